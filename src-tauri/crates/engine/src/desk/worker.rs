//! The one task that owns a desk: what woke it, and who of the other modules sees to that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use commission::fault::CloudError;
use commission::flow::JobId;
use commission::gatt::PeripheralId;
use commission::label::Label;
use commission::time::Moment;
use tokio::sync::{mpsc, oneshot, watch};

use super::kept::{Kept, KnownNetwork};
use super::known::Past;
use super::labels::Labels;
use super::orders::Ordered;
use super::signing::{Leaving, Office, Who};
use super::{
    ExaminationView, JournalView, LabelId, NetworkView, NoticeView, Parts, QuitView, Request, StoryView,
    VerifiedView, View, showing,
};
use crate::doctor::Finding;
use crate::failure::Failure;
use crate::journal::{AdoptError, SqliteJournal};
use crate::ports::{Adapter, JournalError, Preflight, Radio, ShellError, VaultError};
use crate::request::{BlinkError, Order, Request as EngineRequest};
use crate::run::Engine;
use crate::settings::{Candidate, Work};
use crate::signin::{Session, SignInError, SignInEvent, SignedOut};
use crate::view::View as EngineView;

/// The view is published at most this often: ten times a second reads as live and leaves a laptop in peace.
pub(super) const PUBLISH_PACE: Duration = Duration::from_millis(100);
/// The view is published at least this often, so that a window can tell a desk that hangs from one that rests.
const PULSE: Duration = Duration::from_secs(1);

/// Something that took time and is over, or that the outside began.
pub(super) enum Wake {
    Restored(u64, Result<Option<Session>, SignInError>),
    Told(u64, SignInEvent),
    SignedIn(u64, Result<Session, SignInError>),
    SignedOut(Result<SignedOut, SignInError>),
    Preflight(u64, Result<Preflight, CloudError>),
    Adapters(Vec<Adapter>),
    Networks(u64, Vec<NetworkView>),
    /// By which sign-in, and with which values for the template's parameters.
    Ordered(u64, Vec<(JobId, Ordered)>, BTreeMap<String, String>),
    Remembered(Result<KnownNetwork, Failure>),
    Forgot(String, Result<(), VaultError>),
    Past(Past),
    /// Jobs of earlier runs that are to be taken up, and how; for which sign-in.
    TakeUp(u64, Vec<JobId>, fn(JobId) -> EngineRequest),
    Adopted(Result<(), AdoptError>),
    Journal(Box<JournalView>),
    Story(Box<StoryView>),
    JournalFailed(JournalError),
    Verified(VerifiedView),
    Examined(Vec<Finding>),
    Blinked(String, Result<(), BlinkError>),
    Simulated(Result<(), ShellError>),
    Failed(Failure),
}

/// All that a desk knows.
pub(super) struct Worker {
    pub(super) parts: Parts,
    pub(super) kept: Kept,
    pub(super) office: Option<Office>,
    pub(super) who: Who,
    pub(super) preflight: Option<Result<Preflight, CloudError>>,
    pub(super) preflight_at: Option<Moment>,
    /// An imported profile that waits for the person's word.
    pub(super) replacing: Option<Candidate>,
    /// When the kept sign-in, whose issuer did not answer, is to be taken up.
    pub(super) restore_at: Option<Moment>,
    /// The subject of whoever worked here last.
    pub(super) worked: Option<String>,
    pub(super) journal: Option<Arc<SqliteJournal>>,
    pub(super) engine: Option<(Engine, watch::Receiver<Arc<EngineView>>)>,
    /// The right to run jobs, while the engine may.
    pub(super) work: Option<Arc<Work>>,
    /// The subject as whom the engine runs jobs.
    pub(super) works_for: Option<String>,
    /// The one radio of this desk, with the adapter that it was chosen for.
    pub(super) radio: (Option<String>, Arc<dyn Radio>),
    pub(super) wanted_listening: bool,
    pub(super) adapters: Vec<Adapter>,
    pub(super) labels: Labels,
    /// The label that each job was given.
    pub(super) label_jobs: BTreeMap<JobId, LabelId>,
    /// What the person who is signed in gave for the template's parameters last.
    pub(super) given: BTreeMap<String, String>,
    pub(super) typed: BTreeMap<PeripheralId, Label>,
    pub(super) orders: BTreeMap<JobId, Order>,
    /// Jobs that have ended and that the person has taken off the list.
    pub(super) cleared: BTreeSet<JobId>,
    pub(super) past: Past,
    /// Jobs of this run that have ended, as far as the past is up to date with them.
    pub(super) counted: usize,
    pub(super) networks: Vec<NetworkView>,
    /// Numbers looks at the networks: what an earlier one saw is dropped.
    pub(super) network_looks: u64,
    pub(super) examination: Option<ExaminationView>,
    pub(super) journal_view: Option<JournalView>,
    pub(super) story: Option<StoryView>,
    pub(super) focus: Option<JobId>,
    pub(super) notices: Vec<NoticeView>,
    pub(super) noticed: u64,
    /// Numbers sign-ins and profiles: answers about an earlier one are dropped.
    pub(super) generation: u64,
    pub(super) quit: QuitView,
    /// Whether it ends though somebody might still want to see something.
    pub(super) closing: bool,
    pub(super) wakes: mpsc::UnboundedSender<Wake>,
    pub(super) woken: mpsc::UnboundedReceiver<Wake>,
    pub(super) publish: watch::Sender<Arc<View>>,
    pub(super) publish_at: Moment,
    pub(super) changed: bool,
}

impl Worker {
    pub(super) fn new(parts: Parts) -> Self {
        let (wakes, woken) = mpsc::unbounded_channel();
        let (kept, trouble) = Kept::read(&parts.home);
        let now = parts.clock.now();
        let adapter = kept.settings.adapter.clone();
        let radio = (parts.radio)(adapter.clone());
        let mut worker = Self {
            kept,
            radio: (adapter, radio),
            office: None,
            who: Who::NoProfile,
            preflight: None,
            preflight_at: None,
            replacing: None,
            restore_at: None,
            worked: None,
            journal: None,
            engine: None,
            work: None,
            works_for: None,
            wanted_listening: true,
            adapters: Vec::new(),
            labels: Labels::default(),
            label_jobs: BTreeMap::new(),
            given: BTreeMap::new(),
            typed: BTreeMap::new(),
            orders: BTreeMap::new(),
            cleared: BTreeSet::new(),
            past: Past::default(),
            counted: 0,
            networks: Vec::new(),
            network_looks: 0,
            examination: None,
            journal_view: None,
            story: None,
            focus: None,
            notices: Vec::new(),
            noticed: 0,
            generation: 0,
            quit: QuitView::No,
            closing: false,
            wakes,
            woken,
            publish: watch::Sender::new(Arc::new(showing::empty())),
            publish_at: now,
            changed: true,
            parts,
        };
        if let Some(trouble) = trouble {
            worker.warn(
                "settings",
                trouble,
                "The usual settings are in force; set them again.",
            );
        }
        if let Some(trouble) = worker.parts.vault_trouble.clone() {
            worker.warn(
                "keyring",
                trouble.to_string(),
                "Sign-in and passphrases are kept until this program ends. Unlock or start a keyring to keep them.",
            );
        }
        worker.open_journal();
        worker.open_profile();
        worker
    }

    pub(super) async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Request>,
        ended: oneshot::Receiver<()>,
    ) {
        let clock = Arc::clone(&self.parts.clock);
        tokio::pin!(ended);
        self.open_engine().await;
        self.look_at_adapters();
        while self.goes_on() {
            let until = self.next_moment();
            tokio::select! {
                Some(request) = requests.recv() => self.take(request).await,
                Some(wake) = self.woken.recv() => self.wake(wake).await,
                end = &mut ended, if !self.closing => match end {
                    Ok(()) => {
                        self.closing = true;
                        self.quit(true);
                    }
                    Err(_) => return,
                },
                () = engine_changed(&mut self.engine) => self.engine_changed(),
                () = session_changed(&mut self.office) => self.session_changed().await,
                () = clock.sleep_until(until) => {}
            }
            self.tend().await;
        }
        // The engine takes its jobs along.
        self.show();
        self.shut_engine().await;
        // A token that is being renewed would be lost, and the sign-in with it.
        if let Some(office) = &self.office {
            office.sign_in.settled().await;
        }
    }

    pub(super) fn views(&self) -> watch::Receiver<Arc<View>> {
        self.publish.subscribe()
    }

    /// Whether it does not end yet: nobody wants it to, or something has to be brought to its end first.
    pub(super) fn goes_on(&self) -> bool {
        self.quit != QuitView::Ending || self.is_busy() || matches!(self.who, Who::Leaving(_))
    }

    fn next_moment(&self) -> Moment {
        let publish = if self.changed {
            self.publish_at
        } else {
            self.publish_at + PULSE
        };
        let due = self.preflight_at.into_iter().chain(self.restore_at);
        due.fold(publish, Moment::min)
    }

    /// What is due at this moment.
    pub(super) async fn tend(&mut self) {
        let now = self.parts.clock.now();
        if self.preflight_at.is_some_and(|at| at <= now) {
            self.preflight_at = None;
            self.ask_cloud();
        }
        if self.restore_at.is_some_and(|at| at <= now) {
            self.restore_at = None;
            self.restore();
        }
        if matches!(self.who, Who::Leaving(Leaving::Jobs)) && !self.is_busy() {
            self.leave().await;
        }
        if self.work.is_some() && self.works_for != self.present() {
            self.reopen_engine().await;
        }
        if (self.changed && self.publish_at <= now) || self.publish_at + PULSE <= now {
            self.show();
        }
    }

    async fn take(&mut self, request: Request) {
        self.changed = true;
        match request {
            Request::ImportProfile { text, signature } => self.import(&text, signature.as_deref()).await,
            Request::Replace { sure } => self.replace(sure).await,
            Request::ChooseProfile { name } => self.choose(&name).await,
            Request::SignIn { way } => self.sign_in(way),
            Request::CancelSignIn => self.cancel_sign_in(),
            Request::SignOut => self.sign_out(),
            Request::TrySimulated => self.try_simulated(),
            Request::ChooseAdapter { adapter } => {
                self.kept.settings.adapter = adapter;
                self.keep_settings();
                self.reopen_engine().await;
            }
            Request::Listen { on } => {
                self.wanted_listening = on;
                self.listen();
            }
            Request::ReadLabel { text, device } => self.read_label(&text, device),
            Request::ReadLabels { file, text } => self.read_labels(&file, &text),
            Request::ForgetLabels { label } => self.forget_labels(label),
            Request::Commission {
                devices,
                network,
                purpose,
                parameters,
            } => self.commission(&devices, network, purpose, parameters),
            Request::Retry { job } => self.retry(job),
            Request::Answer { job, question, reply } => self.answer(job, question, reply),
            Request::Cancel { job } => self.engine(EngineRequest::Cancel(job)),
            Request::CancelAll => self.engine(EngineRequest::CancelAll),
            Request::Resume { job } => self.take_up(job, EngineRequest::Resume),
            Request::Undo { job } => self.take_up(job, EngineRequest::Undo),
            Request::Adopt { job } => self.adopt(job),
            Request::ClearEnded => self.clear_ended(),
            Request::Blink { device } => self.blink(device),
            Request::RememberNetwork { ssid, passphrase } => self.remember_network(ssid, &passphrase),
            Request::ForgetNetwork { ssid } => self.forget_network(ssid),
            Request::Settings { settings } => self.set(settings).await,
            Request::Examine => self.examine(),
            Request::ShowJournal { filter } => self.show_journal(filter),
            Request::ShowJob { job } => self.show_job(job),
            Request::VerifyJournal => self.verify_journal(),
            Request::Focus { job } => self.focus = job,
            Request::Quit { sure } => self.quit(sure),
            Request::Stay => {
                if self.quit == QuitView::Asked {
                    self.quit = QuitView::No;
                }
            }
            Request::Dismiss { notice } => self.notices.retain(|shown| shown.number != notice),
        }
    }

    pub(super) async fn wake(&mut self, wake: Wake) {
        self.changed = true;
        match wake {
            Wake::Restored(generation, result) => self.restored(generation, result).await,
            Wake::Told(generation, event) => self.told(generation, event),
            Wake::SignedIn(generation, result) => self.signed_in(generation, result).await,
            Wake::SignedOut(result) => self.signed_out(result).await,
            Wake::Preflight(generation, result) => self.preflighted(generation, result).await,
            Wake::Adapters(adapters) => self.adapters = adapters,
            Wake::Networks(look, networks) => {
                if look == self.network_looks {
                    self.networks = networks;
                }
            }
            Wake::Ordered(by, orders, parameters) => self.ordered_by(by, orders, parameters),
            Wake::Remembered(Ok(network)) => {
                self.kept.remember(network);
                self.keep_settings();
                self.look_at_networks();
            }
            Wake::Remembered(Err(failure)) | Wake::Failed(failure) => self.fail(failure),
            Wake::Forgot(ssid, result) => {
                self.kept.forget(&ssid);
                self.keep_settings();
                if let Err(error) = result {
                    self.warn(
                        "keyring",
                        error.to_string(),
                        "Unlock the keyring and forget the network again.",
                    );
                }
                self.look_at_networks();
            }
            Wake::Past(past) => self.past = past,
            Wake::TakeUp(generation, jobs, how) => {
                if generation == self.generation {
                    for job in jobs {
                        self.engine(how(job));
                    }
                }
            }
            Wake::Adopted(result) => self.adopted(result),
            Wake::Journal(journal) => self.journal_view = Some(*journal),
            Wake::Story(story) => self.story = Some(*story),
            Wake::JournalFailed(error) => self.fail_journal(&error),
            Wake::Verified(verified) => {
                if let Some(journal) = &mut self.journal_view {
                    journal.verified = Some(verified);
                }
            }
            Wake::Examined(findings) => {
                self.examination = Some(ExaminationView {
                    running: false,
                    at: Some(self.parts.clock.unix().0),
                    findings,
                });
                self.look_at_adapters();
                self.preflight_at = Some(self.parts.clock.now());
            }
            Wake::Blinked(name, Ok(())) => self.tell("blinked", format!("{name} blinks now."), String::new()),
            Wake::Blinked(name, Err(error)) => self.not_blinked(&name, &error),
            Wake::Simulated(Ok(())) => {}
            Wake::Simulated(Err(error)) => self.warn(
                "simulated",
                error.to_string(),
                "Install what is missing, then try again.",
            ),
        }
    }

    /// Runs something beside, whose end comes back as a wake.
    pub(super) fn later(&self, work: impl Future<Output = Wake> + Send + 'static) {
        let wakes = self.wakes.clone();
        tokio::spawn(async move {
            // An error means that the desk is closed, and nobody wants the result.
            let _ = wakes.send(work.await);
        });
    }
    fn try_simulated(&mut self) {
        let shell = Arc::clone(&self.parts.shell);
        self.later(async move { Wake::Simulated(shell.try_simulated().await) });
    }
}

async fn engine_changed(engine: &mut Option<(Engine, watch::Receiver<Arc<EngineView>>)>) {
    if let Some((_, views)) = engine
        && views.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

async fn session_changed(office: &mut Option<Office>) {
    if let Some(office) = office
        && office.sessions.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
