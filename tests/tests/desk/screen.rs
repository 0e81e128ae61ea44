//! A person at a screen: asks, looks, and remembers everything that was shown.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use commission::secret::Token;
use engine::desk::{Desk, JournalFilter, Parts, Request, SignInView, SignInWay, View};
use engine::ports::{Browser, BrowserError, Clock, Radio, Shell, ShellError, Vault};
use engine::settings::Home;
use engine::system::SystemClock;
use engine::vault;
use journeys::Site;
use sandbox::person::Person;
use sandbox::radio::in_process::InProcess;
use sandbox::sandbox::Secrets;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use url::Url;

/// Longer than anything takes here; ends a test that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The installer Anna at a browser.
struct Anna {
    ca_pem: String,
    password: Token,
}

impl Browser for Anna {
    fn open(&self, page: &Url) -> Result<(), BrowserError> {
        let (person, page, password) = (Person::new(&self.ca_pem), page.clone(), self.password.clone());
        tokio::runtime::Handle::current().spawn(async move {
            person
                .unwrap()
                .sign_in_as(&page, "anna", &password)
                .await
                .unwrap();
        });
        Ok(())
    }
}

struct NoDesktop;

#[async_trait]
impl Shell for NoDesktop {
    async fn try_simulated(&self) -> Result<(), ShellError> {
        Err(ShellError("there is no desktop in a test".into()))
    }
}

/// See the module.
pub(crate) struct Screen {
    desk: Option<Desk>,
    views: watch::Receiver<Arc<View>>,
    /// Every view as it would cross to a window.
    shown: Arc<Mutex<Vec<String>>>,
    looking: JoinHandle<()>,
}

impl Screen {
    /// Opens a desk in the site's home.
    pub(crate) async fn open(site: &Site) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let password = Secrets::read(site.sandbox.state_dir())
            .unwrap()
            .and_then(|secrets| secrets.password("anna"))
            .unwrap();
        let (vault, vault_trouble): (Arc<dyn Vault>, _) = vault::detect().await;
        let air = Arc::clone(site.sandbox.air());
        let radio_clock = Arc::clone(&clock);
        let desk = Desk::open(Parts {
            home: Home::under(&site.files()),
            clock,
            browser: Arc::new(Anna {
                ca_pem: site.status().ca_pem,
                password,
            }),
            shell: Arc::new(NoDesktop),
            vault,
            vault_trouble,
            radio: Box::new(move |_| -> Arc<dyn Radio> {
                Arc::new(InProcess::new(Arc::clone(&air), "hci0", Arc::clone(&radio_clock)))
            }),
        });
        let (views, shown) = (desk.views(), Arc::new(Mutex::new(Vec::new())));
        let (mut looked, memory) = (desk.views(), Arc::clone(&shown));
        let looking = tokio::spawn(async move {
            while looked.changed().await.is_ok() {
                let view = serde_json::to_string(looked.borrow_and_update().as_ref()).unwrap();
                memory.lock().unwrap().push(view);
            }
        });
        Self {
            desk: Some(desk),
            views,
            shown,
            looking,
        }
    }

    /// The same, signed in through the browser.
    pub(crate) async fn signed_in(site: &Site) -> Self {
        let mut screen = Self::open(site).await;
        screen
            .until("nobody", |view| {
                matches!(
                    view.sign_in,
                    SignInView::SignedOut { .. } | SignInView::SignedIn { .. }
                )
            })
            .await;
        if !matches!(screen.view().sign_in, SignInView::SignedIn { .. }) {
            screen.ask(Request::SignIn {
                way: SignInWay::Browser,
            });
        }
        screen.until_ready().await;
        screen
    }

    /// As a window sends it.
    pub(crate) fn send(&self, request: Value) {
        self.ask(serde_json::from_value(request).unwrap());
    }

    pub(crate) fn ask(&self, request: Request) {
        self.desk.as_ref().unwrap().ask(request);
    }

    pub(crate) fn view(&self) -> Arc<View> {
        Arc::clone(&self.views.borrow())
    }

    /// Waits until the screen shows this.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&View) -> bool) -> Arc<View> {
        let seen = tokio::time::timeout(PATIENCE, self.views.wait_for(|view| wanted(view))).await;
        if let Ok(view) = seen.map(|view| Arc::clone(&view.unwrap())) {
            return view;
        }
        panic!("{what} is not shown: {:#?}", self.view())
    }

    pub(crate) async fn until_ready(&mut self) {
        self.until("ready", |view| {
            view.rights.commission == engine::desk::RightView::Granted && view.bluetooth.listening
        })
        .await;
    }

    /// Labels by file, all devices chosen, the network typed.
    pub(crate) async fn commission_all(&mut self, site: &Site, passphrase: &str) -> usize {
        let labels = site.labels(&[]);
        let (count, text) = (labels.len(), json!(labels).to_string());
        self.send(json!({ "do": "read-labels", "file": "today.json", "text": text }));
        let view = self.until("the labels", |view| view.labels.len() == count).await;
        let devices: Vec<Value> = view
            .labels
            .iter()
            .map(|label| json!({ "named": label.name }))
            .collect();
        self.send(json!({
            "do": "commission",
            "devices": devices,
            "network": { "from": "typed", "ssid": "Workshop", "passphrase": passphrase, "hidden": false, "remember": false },
            "purpose": "new",
        }));
        self.until("the jobs", |view| view.jobs.len() == count).await;
        count
    }

    pub(crate) async fn journal(&mut self) -> Arc<View> {
        self.ask(Request::ShowJournal {
            filter: JournalFilter::default(),
        });
        self.until("the journal", |view| view.journal.is_some()).await
    }

    /// Everything that was shown.
    pub(crate) fn memory(&self) -> Vec<String> {
        self.shown.lock().unwrap().clone()
    }

    /// Closes the desk in order.
    pub(crate) async fn close(mut self) -> Arc<View> {
        self.desk.take().unwrap().close().await;
        self.view()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.looking.abort();
    }
}
