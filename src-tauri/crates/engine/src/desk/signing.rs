//! Profile and sign-in: whose people work here, and who of them.

use std::sync::Arc;
use std::time::Duration;

use commission::fault::CloudError;
use tokio::sync::{oneshot, watch};

use super::{SignInView, SignInWay, Wake, Worker};
use crate::failure::{Failure, Remedy};
use crate::organisation::Organisation;
use crate::ports::{Cloud, Preflight};
use crate::request::Request as EngineRequest;
use crate::settings::Profile;
use crate::signin::{Session, SignIn, SignInError, SignInEvent, SignedOut};

/// Pause before a cloud that did not answer is asked again what the person may do.
const ASK_AGAIN: Duration = Duration::from_secs(20);

/// The organisation in work.
pub(super) struct Office {
    pub(super) organisation: Organisation,
    pub(super) sign_in: SignIn,
    pub(super) cloud: Arc<dyn Cloud>,
    pub(super) sessions: watch::Receiver<Option<Session>>,
}

/// Who works, as far as it is known.
pub(super) enum Who {
    NoProfile,
    Restoring,
    Nobody(Option<Failure>),
    /// A sign-in is under way; dropping the sender gives it up.
    Signing(
        SignInView,
        #[expect(dead_code, reason = "it is there to be dropped")] oneshot::Sender<()>,
    ),
    Somebody(Session),
    Leaving,
}

impl Worker {
    /// Checks a profile, keeps it and works with it.
    pub(super) async fn import(&mut self, text: &str) {
        if self.refuses_while_busy() {
            return;
        }
        match self.profiles().import(text) {
            Ok(profile) => {
                self.tell(
                    "profile-imported",
                    format!("{} is imported.", profile.name),
                    String::new(),
                );
                self.work_for(profile);
                self.reopen_engine().await;
            }
            Err(error) => self.warn(
                "profile",
                error.to_string(),
                "Get the file from your office again.",
            ),
        }
    }

    pub(super) async fn choose(&mut self, name: &str) {
        if self.refuses_while_busy() {
            return;
        }
        match self.profiles().choose(name) {
            Ok(profile) => {
                self.work_for(profile);
                self.reopen_engine().await;
            }
            Err(error) => self.warn(
                "profile",
                error.to_string(),
                "Choose another, or import it again.",
            ),
        }
    }

    /// The profile of the last time.
    pub(super) fn open_profile(&mut self) {
        match self.profiles().current() {
            Ok(Some(profile)) => self.work_for(profile),
            Ok(None) => {}
            Err(error) => self.warn(
                "profile",
                error.to_string(),
                "Import it again, as the office gave it.",
            ),
        }
    }

    fn refuses_while_busy(&mut self) -> bool {
        let busy = self.is_busy();
        if busy {
            self.warn(
                "busy",
                "Devices are in work for the present organisation.",
                "Let them end or stop them, then change the organisation.",
            );
        }
        busy
    }

    fn work_for(&mut self, profile: Profile) {
        self.generation += 1;
        (self.preflight, self.preflight_at) = (None, None);
        self.given.clear();
        self.networks.clear();
        let organisation = Organisation::new(Arc::new(profile), Arc::clone(&self.parts.clock));
        let sign_in = organisation.sign_in(Arc::clone(&self.parts.vault));
        let office = sign_in.and_then(|sign_in| {
            let cloud = organisation.cloud(&sign_in)?;
            let sessions = sign_in.sessions();
            Ok(Office {
                organisation,
                sign_in,
                cloud,
                sessions,
            })
        });
        match office {
            Ok(office) => {
                let (sign_in, generation) = (office.sign_in.clone(), self.generation);
                self.later(async move { Wake::Restored(generation, sign_in.restore().await) });
                self.office = Some(office);
                self.who = Who::Restoring;
                self.look_at_networks();
            }
            Err(error) => {
                self.office = None;
                self.who = Who::NoProfile;
                self.look_at_networks();
                self.warn(
                    "profile",
                    error.to_string(),
                    "Import the profile again, as the office gave it.",
                );
            }
        }
    }

    pub(super) async fn restored(&mut self, generation: u64, result: Result<Option<Session>, SignInError>) {
        if generation != self.generation || !matches!(self.who, Who::Restoring) {
            return;
        }
        match result {
            Ok(Some(session)) => self.begin(session).await,
            Ok(None) => self.who = Who::Nobody(None),
            Err(error) => self.who = Who::Nobody(Some(failure(&error))),
        }
    }

    pub(super) fn sign_in(&mut self, way: SignInWay) {
        let Some(office) = &self.office else {
            return;
        };
        if matches!(self.who, Who::Somebody(_) | Who::Leaving | Who::Signing(..)) {
            return;
        }
        self.generation += 1;
        let (generation, wakes, sign_in) = (self.generation, self.wakes.clone(), office.sign_in.clone());
        let browser = Arc::clone(&self.parts.browser);
        let (give_up, given_up) = oneshot::channel::<()>();
        self.later(async move {
            let tell = move |event| {
                // An error means that the desk is closed, and nobody wants to know.
                let _ = wakes.send(Wake::Told(generation, event));
            };
            let cancelled = async {
                let _ = given_up.await;
            };
            let result = match way {
                SignInWay::Browser => sign_in.with_browser(browser, &tell, cancelled).await,
                SignInWay::Code => sign_in.with_device_code(&tell, cancelled).await,
            };
            Wake::SignedIn(generation, result)
        });
        self.who = Who::Signing(SignInView::Browser { page: None }, give_up);
    }

    pub(super) fn cancel_sign_in(&mut self) {
        if let Who::Signing(..) = self.who {
            self.generation += 1;
            self.who = Who::Nobody(None);
            self.look_at_networks();
        }
    }

    pub(super) fn told(&mut self, generation: u64, event: SignInEvent) {
        let now = self.parts.clock.now();
        let Who::Signing(shown, _) = &mut self.who else {
            return;
        };
        if generation != self.generation {
            return;
        }
        *shown = match event {
            SignInEvent::BrowserOpened => SignInView::Browser { page: None },
            SignInEvent::OpenByHand { page, .. } => SignInView::Browser {
                page: Some(page.to_string()),
            },
            SignInEvent::EnterCode {
                user_code,
                page,
                page_with_code,
                life,
            } => SignInView::Code {
                code: user_code,
                page: page.to_string(),
                page_with_code: page_with_code.map(|page| page.to_string()),
                expires_ms: super::showing::millis(now + life),
            },
        };
    }

    pub(super) async fn signed_in(&mut self, generation: u64, result: Result<Session, SignInError>) {
        if generation != self.generation || !matches!(self.who, Who::Signing(..)) {
            return;
        }
        match result {
            Ok(session) => self.begin(session).await,
            Err(error) => self.who = Who::Nobody(Some(failure(&error))),
        }
    }

    /// Somebody works: the cloud is asked what they may do.
    async fn begin(&mut self, session: Session) {
        self.who = Who::Somebody(session);
        self.preflight = None;
        self.given.clear();
        self.look_at_networks();
        self.ask_cloud();
        self.reopen_engine().await;
    }

    pub(super) fn ask_cloud(&mut self) {
        let (Who::Somebody(_), Some(office)) = (&self.who, &self.office) else {
            return;
        };
        let (cloud, generation) = (Arc::clone(&office.cloud), self.generation);
        self.later(async move { Wake::Preflight(generation, cloud.preflight().await) });
    }

    pub(super) async fn preflighted(&mut self, generation: u64, result: Result<Preflight, CloudError>) {
        if generation != self.generation || !matches!(self.who, Who::Somebody(_)) {
            return;
        }
        if result.is_err() {
            self.preflight_at = Some(self.parts.clock.now() + ASK_AGAIN);
        }
        // What was granted stays so while a cloud is out of reach: each call of a job is answered by the cloud itself.
        if result.is_ok() || !matches!(self.preflight, Some(Ok(_))) {
            self.preflight = Some(result);
        }
        if self.work.is_none() {
            self.reopen_engine().await;
        }
    }

    /// The sign-in was renewed, or has ended by itself.
    pub(super) async fn session_changed(&mut self) {
        self.changed = true;
        let session = self
            .office
            .as_mut()
            .and_then(|office| office.sessions.borrow_and_update().clone());
        match (&self.who, session) {
            (Who::Somebody(_), Some(session)) => self.who = Who::Somebody(session),
            (Who::Somebody(_), None) => {
                self.who = Who::Nobody(Some(failure(&SignInError::SignedOut)));
                self.preflight = None;
                self.given.clear();
                self.reopen_engine().await;
            }
            _ => {}
        }
    }

    /// Jobs are brought to a named state first, while the cloud can still be asked.
    pub(super) fn sign_out(&mut self) {
        if let Who::Somebody(_) = &self.who {
            self.who = Who::Leaving;
            self.engine(EngineRequest::CancelAll);
        }
    }

    pub(super) async fn leave(&mut self) {
        let Some(office) = &self.office else {
            return;
        };
        let sign_in = office.sign_in.clone();
        self.generation += 1;
        self.who = Who::Nobody(None);
        self.preflight = None;
        self.given.clear();
        self.later(async move { Wake::SignedOut(sign_in.sign_out().await) });
        self.open_engine().await;
    }

    pub(super) fn signed_out(&mut self, result: Result<SignedOut, SignInError>) {
        match result {
            Ok(SignedOut::Everywhere | SignedOut::Nothing) => {}
            Ok(SignedOut::HereOnly(error)) => self.warn(
                error.code(),
                format!("You are signed out on this computer; the issuer was not told: {error}."),
                "Sign in and out again when the issuer can be reached.",
            ),
            Err(error) => self.fail(failure(&error)),
        }
    }
}

/// A sign-in error in the form that a window shows.
fn failure(error: &SignInError) -> Failure {
    Failure {
        code: error.code().into(),
        what: error.to_string(),
        why: String::new(),
        now: String::new(),
        remedy: Remedy::SignIn,
    }
}
