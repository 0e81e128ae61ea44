//! One person's working day at one screen: profile, sign-in, devices around, labels, jobs, journal, settings.
//!
//! What a desktop window shows and a test bridge drives is the same [`Desk`]: a [`Request`] goes down, a [`View`]
//! comes up, and nothing else crosses. The commissioning itself is [`crate::run`]'s; here is what comes before and
//! after it: who works, for which organisation, at which site, with which network, and what an earlier day left.
//!
//! One task owns everything; what takes time runs in tasks of its own and comes back as a `Wake`.

mod engine;
mod kept;
mod known;
mod labels;
mod networks;
mod notices;
mod orders;
mod reading;
mod request;
mod setting;
mod showing;
mod signing;
mod typed;
mod view;
mod worker;

#[cfg(all(test, feature = "ts"))]
mod contract;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

pub use self::request::{
    DeviceChoice, JournalFilter, JournalOutcome, Language, NetworkChoice, Reply, Request, Settings,
    SignInWay, Theme,
};
pub use self::typed::Typed;
pub use self::view::*;

use self::signing::Who;
use self::worker::{Wake, Worker};
use crate::ports::{Browser, Clock, Radio, Shell, Vault, VaultError};
use crate::settings::Home;

/// What a desk works with.
pub struct Parts {
    /// This installation's files.
    pub home: Home,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The browser that a sign-in opens.
    pub browser: Arc<dyn Browser>,
    /// The desktop.
    pub shell: Arc<dyn Shell>,
    /// The keyring, or what stands in for it.
    pub vault: Arc<dyn Vault>,
    /// Why it is not the keyring, where it is not.
    pub vault_trouble: Option<VaultError>,
    /// Bluetooth over the adapter of this id, or over the first that is switched on.
    pub radio: Box<dyn Fn(Option<String>) -> Arc<dyn Radio> + Send + Sync>,
}

/// A running desk. Dropping it stops it without ceremony, [`Desk::close`] does it in order.
pub struct Desk {
    requests: mpsc::UnboundedSender<Request>,
    views: watch::Receiver<Arc<View>>,
    ending: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Desk {
    /// Starts it on the current tokio runtime: takes up the last sign-in, listens for devices.
    pub fn open(parts: Parts) -> Self {
        let (requests, incoming) = mpsc::unbounded_channel();
        let worker = Worker::new(parts);
        let views = worker.views();
        let (ending, ended) = oneshot::channel();
        let task = tokio::spawn(worker.run(incoming, ended));
        Self {
            requests,
            views,
            ending,
            task,
        }
    }

    /// Asks for something. It is dropped where the desk has ended.
    pub fn ask(&self, request: Request) {
        if self.requests.send(request).is_err() {
            tracing::warn!("a request came after the desk was closed");
        }
    }

    /// The same, for whoever has no desk to hold.
    pub fn requests(&self) -> mpsc::UnboundedSender<Request> {
        self.requests.clone()
    }

    /// The views, newest first; a slow reader misses intermediate ones and loses nothing.
    pub fn views(&self) -> watch::Receiver<Arc<View>> {
        self.views.clone()
    }

    /// Brings every job to a named state, gives the links back, and ends.
    pub async fn close(self) {
        let Self { ending, task, .. } = self;
        // An error means that it has ended already.
        let _ = ending.send(());
        over(task).await;
    }

    /// Waits until the person ends it, see [`Request::Quit`].
    pub async fn ended(self) {
        let Self {
            requests,
            ending,
            task,
            ..
        } = self;
        over(task).await;
        drop((requests, ending));
    }
}

async fn over(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "the desk did not end well");
    }
}
