//! What the tests of sign-in and broker share: a laptop whose clocks can be wrong, a keyring in memory, a person at
//! a browser, and an installer's program against the sandbox cloud.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use commission::device::Sighting;
use commission::gatt::{LinkError, PeripheralId};
use commission::secret::Token;
use commission::time::{Moment, UnixTime};
use engine::cloud::Http;
use engine::ports::{Adapter, Browser, BrowserError, Clock, Link, Radio, Vault, VaultEntry, VaultError};
use engine::signin::{Session, SignIn, SignInError, SignInSettings};
use sandbox::cloud::visitor::Visitor;
use sandbox::cloud::{Cloud, CloudConfig};
use tokio::sync::{mpsc, watch};
use url::Url;

/// A laptop's clocks: the monotonic one can be moved ahead, the calendar can be wrong.
pub(crate) struct Laptop {
    start: Instant,
    skipped: watch::Sender<Duration>,
    calendar_ahead: AtomicI64,
}

impl Default for Laptop {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            skipped: watch::Sender::new(Duration::from_secs(1000)),
            calendar_ahead: AtomicI64::new(0),
        }
    }
}

impl Laptop {
    pub(crate) fn skip(&self, span: Duration) {
        self.skipped.send_modify(|skipped| *skipped += span);
    }

    pub(crate) fn set_calendar_ahead(&self, seconds: i64) {
        self.calendar_ahead.store(seconds, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for Laptop {
    fn now(&self) -> Moment {
        Moment::new(self.start.elapsed() + *self.skipped.borrow())
    }

    fn unix(&self) -> UnixTime {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_secs()).unwrap();
        UnixTime(now + self.calendar_ahead.load(Ordering::Relaxed))
    }

    async fn sleep_until(&self, moment: Moment) {
        let mut skipped = self.skipped.subscribe();
        loop {
            let left = moment.left(self.now());
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = skipped.changed() => {}
            }
        }
    }
}

/// A keyring in memory.
#[derive(Default)]
pub(crate) struct Keyring(Mutex<BTreeMap<VaultEntry, Token>>);

impl Keyring {
    /// The one secret in it.
    pub(crate) fn only(&self) -> Option<Token> {
        let kept = self.0.lock().unwrap();
        assert!(kept.len() <= 1);
        kept.values().next().cloned()
    }

    /// Another keyring with the same in it.
    pub(crate) fn copy(&self) -> Arc<Self> {
        Arc::new(Self(Mutex::new(self.0.lock().unwrap().clone())))
    }
}

#[async_trait]
impl Vault for Keyring {
    async fn read(&self, entry: &VaultEntry) -> Result<Option<Token>, VaultError> {
        Ok(self.0.lock().unwrap().get(entry).cloned())
    }

    async fn write(&self, entry: &VaultEntry, secret: &Token) -> Result<(), VaultError> {
        self.0.lock().unwrap().insert(entry.clone(), secret.clone());
        Ok(())
    }

    async fn forget(&self, entry: &VaultEntry) -> Result<(), VaultError> {
        self.0.lock().unwrap().remove(entry);
        Ok(())
    }
}

/// The system's browser with somebody in front of it who does as told.
pub(crate) struct Person<F>(pub(crate) F);

impl<F, D> Browser for Person<F>
where
    F: Fn(Url) -> D + Send + Sync,
    D: Future<Output = ()> + Send + 'static,
{
    fn open(&self, page: &Url) -> Result<(), BrowserError> {
        tokio::spawn((self.0)(page.clone()));
        Ok(())
    }
}

/// An installer's program and the cloud it works with.
pub(crate) struct Office {
    pub(crate) cloud: Cloud,
    pub(crate) config: CloudConfig,
    pub(crate) laptop: Arc<Laptop>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) signin: SignIn,
}

impl Office {
    pub(crate) async fn open(config: CloudConfig) -> Self {
        let cloud = Cloud::start(config.clone()).await.unwrap();
        let (laptop, keyring) = (Arc::new(Laptop::default()), Arc::new(Keyring::default()));
        let signin = signin(settings(&cloud), &cloud, &keyring, &laptop);
        Self {
            cloud,
            config,
            laptop,
            keyring,
            signin,
        }
    }

    pub(crate) fn password(&self, user: &str) -> Token {
        let found = self.config.users.iter().find(|known| known.subject == user);
        found.unwrap().password.clone()
    }

    /// The program started anew, on this keyring.
    pub(crate) fn another_program(&self, keyring: &Arc<Keyring>) -> SignIn {
        signin(settings(&self.cloud), &self.cloud, keyring, &self.laptop)
    }

    /// A person signs in with the browser.
    pub(crate) async fn sign_in(&self, user: &'static str) -> Result<Session, SignInError> {
        let (ca, password) = (self.cloud.ca_pem.clone(), self.password(user));
        let person = Person(move |page: Url| {
            let (visitor, password) = (Visitor::new(&ca).unwrap(), password.clone());
            async move {
                visitor.sign_in(&page, user, &password).await.unwrap();
            }
        });
        self.signin
            .with_browser(Arc::new(person), &|_| {}, pending())
            .await
    }
}

pub(crate) fn settings(cloud: &Cloud) -> SignInSettings {
    SignInSettings {
        origin: "sandbox".into(),
        earlier: None,
        issuer: cloud.issuer_url.clone(),
        client_id: cloud.client_id.clone(),
        scopes: ["openid", "profile", "email", "offline_access"]
            .map(str::to_owned)
            .to_vec(),
    }
}

pub(crate) fn signin(
    settings: SignInSettings,
    cloud: &Cloud,
    keyring: &Arc<Keyring>,
    laptop: &Arc<Laptop>,
) -> SignIn {
    let http = Http::new(std::slice::from_ref(&cloud.ca_pem), laptop.clone()).unwrap();
    SignIn::new(settings, Arc::new(http), keyring.clone(), laptop.clone())
}

/// A computer without Bluetooth.
pub(crate) struct NoBluetooth;

#[async_trait]
impl Radio for NoBluetooth {
    async fn adapters(&self) -> Result<Vec<Adapter>, LinkError> {
        Ok(Vec::new())
    }

    async fn scan(&self) -> Result<mpsc::Receiver<Sighting>, LinkError> {
        Err(LinkError::NoAdapter)
    }

    async fn connect(&self, _: &PeripheralId, _: Duration) -> Result<Box<dyn Link>, LinkError> {
        Err(LinkError::NoAdapter)
    }
}
