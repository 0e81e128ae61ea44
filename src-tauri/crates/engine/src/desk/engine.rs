//! The engine's life at the desk: the whole of it for a person who may commission, else one that only listens.

use std::sync::Arc;

use commission::policy::{Limits, Policy};
use commission::rights::May;

use super::{QuitView, Wake, Who, Worker};
use crate::cloud::Nobody;
use crate::ports::Radio;
use crate::request::Request as EngineRequest;
use crate::run::{self, Engine};
use crate::settings::WorkError;
use crate::system::SystemEntropy;
use crate::view::{JobState, View as EngineView};

impl Worker {
    pub(super) fn engine(&self, request: EngineRequest) {
        if let Some((engine, _)) = &self.engine {
            engine.request(request);
        }
    }

    pub(super) fn engine_view(&self) -> Option<Arc<EngineView>> {
        self.engine.as_ref().map(|(_, views)| Arc::clone(&views.borrow()))
    }

    /// Whether jobs are in work.
    pub(super) fn is_busy(&self) -> bool {
        self.engine_view()
            .is_some_and(|view| view.jobs.iter().any(|job| !job.is_over()))
    }

    pub(super) fn quit(&mut self, sure: bool) {
        if self.is_busy() && !sure {
            self.quit = QuitView::Asked;
        } else {
            self.quit = QuitView::Ending;
            self.engine(EngineRequest::CancelAll);
        }
    }

    pub(super) fn engine_changed(&mut self) {
        self.changed = true;
        let ended = self
            .engine_view()
            .map_or(0, |view| view.jobs.iter().filter(|job| job.is_over()).count());
        if ended != self.counted {
            self.counted = ended;
            self.look_at_past();
            self.forget_done();
        }
    }

    /// The subject of whoever is signed in.
    pub(super) fn present(&self) -> Option<String> {
        match &self.who {
            Who::Somebody(session) => Some(session.person.subject.clone()),
            _ => None,
        }
    }

    /// Whether whoever is signed in may give the engine work: it is theirs, and no engine of somebody before them.
    pub(super) fn may_work(&self) -> bool {
        self.work.is_some() && self.works_for == self.present()
    }

    /// What was needed for devices that are done is needed no more.
    fn forget_done(&mut self) {
        let view = self.engine_view();
        let done = view
            .iter()
            .flat_map(|view| &view.jobs)
            .filter(|job| job.state == JobState::Done);
        for job in done {
            if self.orders.remove(&job.id).is_some() {
                self.forget_label_of(job);
            }
        }
    }

    pub(super) fn listen(&self) {
        self.engine(if self.wanted_listening {
            EngineRequest::Listen
        } else {
            EngineRequest::StopListening
        });
    }

    /// The engine for whoever works: the whole of it for a person who may commission, else one that only listens.
    pub(super) async fn open_engine(&mut self) {
        self.shut_engine().await;
        // Only now that nobody works over it any more may another take its place.
        if self.radio.0 != self.kept.settings.adapter {
            let adapter = self.kept.settings.adapter.clone();
            self.radio = (adapter.clone(), (self.parts.radio)(adapter));
        }
        let parts = match self.whole_parts() {
            Some(parts) => Some(parts),
            None => self.listening_parts(),
        };
        let Some(parts) = parts else {
            return;
        };
        let engine = Engine::start(parts);
        let views = engine.views();
        self.engine = Some((engine, views));
        self.counted = 0;
        self.listen();
    }

    /// The same with other settings, unless jobs are in work: those go on as they began.
    pub(super) async fn reopen_engine(&mut self) {
        if !self.is_busy() {
            self.open_engine().await;
        }
    }

    pub(super) async fn shut_engine(&mut self) {
        if let Some((engine, _)) = self.engine.take() {
            engine.shutdown().await;
        }
        (self.work, self.works_for) = (None, None);
    }

    pub(super) fn whole_parts(&mut self) -> Option<run::Parts> {
        let (Who::Somebody(session), Some(office)) = (&self.who, &self.office) else {
            return None;
        };
        let Some(Ok(preflight)) = &self.preflight else {
            return None;
        };
        if preflight.may_commission() != May::Yes {
            return None;
        }
        let (session, cloud, organisation) = (
            session.clone(),
            Arc::clone(&office.cloud),
            office.organisation.clone(),
        );
        let journal = self.journal.clone()?;
        let work = match self.parts.home.work() {
            Ok(work) => Arc::new(work),
            Err(error @ WorkError::Busy(_)) => {
                self.warn(
                    "in-use",
                    error.to_string(),
                    "Wait until it has ended, then sign in again here.",
                );
                return None;
            }
            Err(error @ WorkError::File(..)) => {
                self.warn(
                    "home",
                    error.to_string(),
                    "Check that the disk has room and that the folder is yours.",
                );
                return None;
            }
        };
        let entropy = self.entropy()?;
        self.work = Some(Arc::clone(&work));
        self.works_for = Some(session.person.subject.clone());
        let mut parts = organisation.parts(&session, cloud, self.radio(), journal, work, Box::new(entropy));
        if let Some(links) = self.kept.settings.links {
            parts.policy.links = links.clamp(1, parts.policy.links);
        }
        Some(parts)
    }

    pub(super) fn listening_parts(&mut self) -> Option<run::Parts> {
        let journal = self.journal.clone()?;
        let entropy = self.entropy()?;
        Some(run::Parts {
            radio: self.radio(),
            cloud: Arc::new(Nobody),
            journal,
            work: None,
            organisation: None,
            clock: Arc::clone(&self.parts.clock),
            entropy: Box::new(entropy),
            makers: Vec::new(),
            person: String::new(),
            policy: Policy::default(),
            limits: Limits::default(),
        })
    }

    pub(super) fn entropy(&mut self) -> Option<SystemEntropy> {
        SystemEntropy::new()
            .map_err(|error| self.warn("entropy", error.to_string(), "Restart this computer."))
            .ok()
    }

    /// The one radio of this desk: whoever made another would break the links of this one.
    pub(super) fn radio(&self) -> Arc<dyn Radio> {
        Arc::clone(&self.radio.1)
    }

    pub(super) fn look_at_adapters(&self) {
        let radio = self.radio();
        // Why there are none is what listening says.
        self.later(async move { Wake::Adapters(radio.adapters().await.unwrap_or_default()) });
    }
}
