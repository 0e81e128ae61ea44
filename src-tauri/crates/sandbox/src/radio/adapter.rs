//! An adapter of the simulated machine: what it is set to, and the links that it holds.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::watch;

use super::faults::AdapterConfig;
use super::link::Link;
use super::lock;
use super::record::LinkEnd;

/// An adapter. It has its name for good; all else may change.
pub struct Adapter {
    name: String,
    config: watch::Sender<AdapterConfig>,
    links: Mutex<Vec<Weak<Link>>>,
    listeners: Arc<AtomicUsize>,
}

impl Adapter {
    pub(super) fn new(config: AdapterConfig) -> Self {
        Self {
            name: config.name.clone(),
            config: watch::Sender::new(config),
            links: Mutex::default(),
            listeners: Arc::default(),
        }
    }

    /// What the system calls it, such as `hci0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is set to now.
    pub fn config(&self) -> AdapterConfig {
        self.config.borrow().clone()
    }

    /// Changes its settings: pulls it out, switches it off, gives it fewer links. Links that it can't hold any more
    /// are gone at once. A change of its name has no effect.
    pub fn update(&self, change: impl FnOnce(&mut AdapterConfig)) {
        self.config.send_modify(|config| {
            change(config);
            config.name.clone_from(&self.name);
            config.powered &= config.present && !config.blocked;
        });
        if !self.config.borrow().is_on() {
            self.close_links();
        }
    }

    /// How many links it holds.
    pub fn links(&self) -> usize {
        self.live_links().len()
    }

    /// Ends all its links.
    pub(super) fn close_links(&self) {
        for link in self.live_links() {
            link.close(LinkEnd::Adapter);
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<AdapterConfig> {
        self.config.subscribe()
    }

    /// Resolves once it can't be used.
    pub(super) async fn went_off(&self) {
        let mut config = self.config.subscribe();
        // The sender lives in `self`, so the wait can't fail.
        let _ = config.wait_for(|c| !c.is_on()).await;
    }

    pub(super) fn hold(&self, link: &Arc<Link>) {
        let mut links = lock(&self.links);
        links.retain(|l| l.strong_count() > 0);
        links.push(Arc::downgrade(link));
    }

    pub(super) fn is_listening(&self) -> bool {
        self.listeners.load(Ordering::Relaxed) > 0
    }

    /// Counts as listening until the returned guard is dropped.
    pub(super) fn start_listening(&self) -> Listening {
        self.listeners.fetch_add(1, Ordering::Relaxed);
        Listening(Arc::clone(&self.listeners))
    }

    fn live_links(&self) -> Vec<Arc<Link>> {
        lock(&self.links)
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|l| l.end().is_none())
            .collect()
    }
}

/// A scan under way.
pub(super) struct Listening(Arc<AtomicUsize>);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
