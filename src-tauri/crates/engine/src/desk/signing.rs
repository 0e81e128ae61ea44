//! Profile and sign-in: whose people work here, and who of them.

use std::sync::Arc;
use std::time::Duration;

use commission::fault::CloudError;
use tokio::sync::{oneshot, watch};

use super::{QuitView, SignInView, SignInWay, Wake, Worker};
use crate::failure::{Failure, Remedy};
use crate::organisation::Organisation;
use crate::ports::{Cloud, Preflight};
use crate::request::Request as EngineRequest;
use crate::settings::{Candidate, Profile};
use crate::signin::{Session, SignIn, SignInError, SignInEvent, SignedOut};

/// Pause before an issuer or a cloud that did not answer is asked again.
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
    Leaving(Leaving),
}

/// How far a sign-out is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaving {
    /// Jobs are being brought to a named state.
    Jobs,
    /// The issuer is being told.
    Issuer,
}

impl Worker {
    /// Checks a profile, keeps it and works with it, once the person has agreed to what it changes.
    pub(super) async fn import(&mut self, text: &str, signature: Option<&str>) {
        if self.refuses_while_busy() {
            return;
        }
        match self.profiles().look(text, signature) {
            Ok(candidate) if candidate.changes.is_empty() => self.keep_profile(&candidate).await,
            Ok(candidate) => self.replacing = Some(candidate),
            Err(error) => self.warn(
                "profile",
                error.to_string(),
                "Get the file from your office again.",
            ),
        }
    }

    /// The person's word on what an imported profile changes.
    pub(super) async fn replace(&mut self, sure: bool) {
        if let Some(candidate) = self.replacing.take()
            && sure
            && !self.refuses_while_busy()
        {
            self.keep_profile(&candidate).await;
        }
    }

    async fn keep_profile(&mut self, candidate: &Candidate) {
        self.replacing = None;
        match self.profiles().keep(candidate) {
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
                "Check that the disk has room and that the folder is yours.",
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
        self.restore_at = None;
        self.forget_work();
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
                self.office = Some(office);
                self.who = Who::Restoring;
                self.restore();
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

    /// Takes the sign-in of an earlier run up.
    pub(super) fn restore(&self) {
        if let Some(office) = &self.office {
            let (sign_in, generation) = (office.sign_in.clone(), self.generation);
            self.later(async move { Wake::Restored(generation, sign_in.restore().await) });
        }
    }

    pub(super) async fn restored(&mut self, generation: u64, result: Result<Option<Session>, SignInError>) {
        if generation != self.generation || !matches!(self.who, Who::Restoring | Who::Nobody(_)) {
            return;
        }
        match result {
            Ok(Some(session)) => self.begin(session).await,
            Ok(None) => self.who = Who::Nobody(None),
            Err(error) => {
                // It is kept, and taken up once the issuer answers.
                if matches!(error, SignInError::Unreachable(_)) {
                    self.restore_at = Some(self.parts.clock.now() + ASK_AGAIN);
                }
                self.who = Who::Nobody(Some(failure(&error)));
            }
        }
    }

    pub(super) fn sign_in(&mut self, way: SignInWay) {
        let Some(office) = &self.office else {
            return;
        };
        if matches!(self.who, Who::Somebody(_) | Who::Leaving(_) | Who::Signing(..)) {
            return;
        }
        self.generation += 1;
        self.restore_at = None;
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

    /// Somebody works: the cloud is asked what they may do. Nothing of whoever worked before serves them.
    async fn begin(&mut self, session: Session) {
        self.generation += 1;
        self.restore_at = None;
        if self
            .worked
            .as_ref()
            .is_some_and(|worked| *worked != session.person.subject)
        {
            self.forget_work();
            // Jobs of somebody else have no cloud any more.
            self.engine(EngineRequest::CancelAll);
        }
        self.worked = Some(session.person.subject.clone());
        (self.preflight, self.preflight_at) = (None, None);
        self.who = Who::Somebody(session);
        self.renew_cloud();
        self.look_at_networks();
        self.ask_cloud();
        self.reopen_engine().await;
    }

    /// What one sign-in gave to work with, and what was typed and read under it, is not there for the next.
    fn forget_work(&mut self) {
        (self.preflight, self.preflight_at) = (None, None);
        self.given.clear();
        self.orders.clear();
        self.forget_labels(None);
    }

    /// A cloud with nothing of an earlier sign-in: keys that came of one end with it.
    fn renew_cloud(&mut self) {
        let Some(office) = &mut self.office else {
            return;
        };
        match office.organisation.cloud(&office.sign_in) {
            Ok(cloud) => office.cloud = cloud,
            Err(error) => self.warn(
                "profile",
                error.to_string(),
                "Import the profile again, as the office gave it.",
            ),
        }
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
        // Who was refused is asked for again by a person; each try costs a renewal.
        if result.as_ref().is_err_and(CloudError::is_passing) {
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
            (Who::Somebody(before), Some(session)) if before.person.subject == session.person.subject => {
                self.who = Who::Somebody(session);
            }
            // It was taken up elsewhere: by the doctor, who asks the issuer as well.
            (Who::Somebody(_) | Who::Restoring | Who::Nobody(_), Some(session)) => self.begin(session).await,
            (Who::Somebody(_), None) => {
                self.who = Who::Nobody(Some(failure(&SignInError::SignedOut)));
                (self.preflight, self.preflight_at) = (None, None);
                self.given.clear();
                self.renew_cloud();
                self.reopen_engine().await;
            }
            _ => {}
        }
    }

    /// Jobs are brought to a named state first, while the cloud can still be asked.
    pub(super) fn sign_out(&mut self) {
        if let Who::Somebody(_) = &self.who {
            self.who = Who::Leaving(Leaving::Jobs);
            self.engine(EngineRequest::CancelAll);
        }
    }

    pub(super) async fn leave(&mut self) {
        let Some(office) = &self.office else {
            return;
        };
        let sign_in = office.sign_in.clone();
        self.generation += 1;
        self.who = Who::Leaving(Leaving::Issuer);
        self.forget_work();
        // What is read from now on is whoever's comes next.
        self.worked = None;
        self.renew_cloud();
        self.later(async move { Wake::SignedOut(sign_in.sign_out().await) });
        self.open_engine().await;
    }

    pub(super) async fn signed_out(&mut self, result: Result<SignedOut, SignInError>) {
        let whole = matches!(result, Ok(SignedOut::Revoked | SignedOut::Nothing));
        // Somebody has to see what could not be done.
        if !whole && self.quit == QuitView::Ending && !self.closing {
            self.quit = QuitView::No;
        }
        self.who = Who::Nobody(None);
        match result {
            Ok(SignedOut::Revoked | SignedOut::Nothing) => {}
            Ok(SignedOut::HereOnly(error)) => {
                tracing::warn!(%error, "signed out here only");
                self.warn(
                    error.code(),
                    format!("You are signed out on this computer; the issuer was not told: {error}."),
                    "Sign in and out again when the issuer can be reached.",
                );
            }
            Err(error) => {
                tracing::warn!(%error, "not signed out");
                let office = self.office.as_ref();
                // The keyring did not let go, so that whoever wanted to leave is still signed in.
                if let Some(session) = office.and_then(|office| office.sign_in.session()) {
                    self.begin(session).await;
                }
                self.fail(failure(&error));
            }
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
