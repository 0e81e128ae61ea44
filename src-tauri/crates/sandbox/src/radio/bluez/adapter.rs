//! `org.bluez.Adapter1`: power and discovery.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;
use zbus::{OwnedObjectPath, Variant};

use super::call::{Call, Options};
use super::daemon::Daemon;
use super::refusal::Refusal;
use super::tree::{ADAPTER, Properties};
use crate::radio::adapter::Adapter;
use crate::radio::lock;
use crate::radio::scan::{Report, Scan};

/// What Linux calls a USB Bluetooth adapter of its own making; the form that clients can read.
const MODALIAS: &str = "usb:v1D6Bp0246d0542";

/// Scans of one adapter: who wants one, and what they want to hear.
#[derive(Default)]
pub(super) struct Discovery {
    filters: BTreeMap<String, Vec<Uuid>>,
    active: BTreeMap<String, Vec<Uuid>>,
    task: Option<tokio::task::AbortHandle>,
}

impl Discovery {
    /// Filters of all clients are merged: one without a filter hears everything, and so do the others.
    fn wants(&self, report: &Report) -> bool {
        let advertised = &report.advertisement.services;
        self.active
            .values()
            .any(|f| f.is_empty() || f.iter().any(|uuid| advertised.contains(uuid)))
    }
}

/// The object path of an adapter.
pub(super) fn adapter_path(adapter: &Adapter) -> String {
    format!("/org/bluez/{}", adapter.name())
}

impl Daemon {
    pub(super) fn call_adapter(self: &Arc<Self>, call: &Call) {
        let outcome = match call.member.as_str() {
            "StartDiscovery" => self.once_idle(call).and_then(|()| self.start_discovery(call)),
            "StopDiscovery" => self
                .once_idle(call)
                .and_then(|()| self.stop_discovery(&call.path, &call.sender)),
            "SetDiscoveryFilter" => self.set_filter(call),
            "RemoveDevice" => call
                .arguments()
                .and_then(|device: OwnedObjectPath| self.remove_device(&device)),
            _ => return self.unknown(call),
        };
        self.reply(call, outcome);
    }

    /// Switches an adapter on or off, as any client may.
    pub(super) fn set_powered(&self, path: &str, powered: bool) -> Result<(), Refusal> {
        let adapter = self.adapter_at(path).ok_or_else(Refusal::does_not_exist)?;
        if powered && adapter.config().blocked {
            return Err(Refusal::blocked());
        }
        adapter.update(|config| config.powered = powered);
        self.settle_adapter(&adapter);
        Ok(())
    }

    /// Follows what is done to an adapter from outside.
    pub(super) async fn follow_adapter(self: Arc<Self>, adapter: Arc<Adapter>) {
        let mut config = adapter.watch();
        while config.changed().await.is_ok() {
            self.settle_adapter(&adapter);
        }
    }

    /// Makes the bus show an adapter as it is now.
    pub(super) fn settle_adapter(&self, adapter: &Adapter) {
        let (path, config) = (adapter_path(adapter), adapter.config());
        if !config.is_on() {
            self.end_discovery(&path);
        }
        if !config.present {
            lock(&self.known).retain(|_, known| known.adapter.name() != adapter.name());
            return lock(&self.tree).remove(&path);
        }
        let mut tree = lock(&self.tree);
        let powered = Variant::from(config.powered);
        match tree.properties(&path) {
            None => tree.add(
                &path,
                ADAPTER,
                Properties::from([
                    ("Address", Variant::from(config.address.to_string())),
                    ("AddressType", Variant::from("public")),
                    ("Name", Variant::from("fieldkey-sandbox")),
                    (
                        "Alias",
                        Variant::from(format!("fieldkey-sandbox {}", adapter.name())),
                    ),
                    ("Modalias", Variant::from(MODALIAS)),
                    ("Powered", powered),
                    ("Discovering", Variant::from(false)),
                ]),
            ),
            Some(shown) if shown.get("Powered") != Some(&powered) => {
                tree.change(&path, [("Powered", powered)])
            }
            Some(_) => {}
        }
    }

    /// A client that is gone no longer wants to scan.
    pub(super) fn end_discoveries_of(&self, client: &str) {
        let paths: Vec<_> = lock(&self.discoveries).keys().cloned().collect();
        for path in paths {
            if let Some(discovery) = lock(&self.discoveries).get_mut(&path) {
                discovery.filters.remove(client);
            }
            // Most clients that end did not scan, which is no error here.
            let _ = self.stop_discovery(&path, client);
        }
    }

    fn adapter_at(&self, path: &str) -> Option<Arc<Adapter>> {
        self.air
            .adapters()
            .iter()
            .find(|a| adapter_path(a) == path)
            .cloned()
    }

    /// Whether the adapter is through with the last order about scanning.
    fn once_idle(&self, call: &Call) -> Result<(), Refusal> {
        let adapter = self.adapter_at(&call.path).ok_or_else(Refusal::does_not_exist)?;
        if !adapter.config().is_on() || adapter.config().busy_scans == 0 {
            return Ok(());
        }
        adapter.update(|config| config.busy_scans -= 1);
        Err(Refusal::in_progress())
    }

    fn set_filter(&self, call: &Call) -> Result<(), Refusal> {
        let options: Options = call.arguments()?;
        let uuids: Vec<String> = match options.get("UUIDs") {
            Some(value) => {
                let value = value.try_clone().map_err(|_| Refusal::bad_arguments())?;
                value.try_into().map_err(|_| Refusal::bad_arguments())?
            }
            None => Vec::new(),
        };
        let parsed: Result<Vec<Uuid>, _> = uuids.iter().map(|u| Uuid::parse_str(u)).collect();
        let filter = parsed.map_err(|_| Refusal::bad_arguments())?;
        let mut discoveries = lock(&self.discoveries);
        let discovery = discoveries.entry(call.path.clone()).or_default();
        discovery.filters.insert(call.sender.clone(), filter);
        Ok(())
    }

    fn start_discovery(self: &Arc<Self>, call: &Call) -> Result<(), Refusal> {
        let adapter = self.adapter_at(&call.path).ok_or_else(Refusal::does_not_exist)?;
        if !adapter.config().is_on() {
            return Err(Refusal::not_ready());
        }
        let mut discoveries = lock(&self.discoveries);
        let discovery = discoveries.entry(call.path.clone()).or_default();
        let filter = discovery.filters.get(&call.sender).cloned().unwrap_or_default();
        if discovery.active.insert(call.sender.clone(), filter).is_some() {
            return Err(Refusal::in_progress());
        }
        if discovery.task.is_none() {
            lock(&self.tree).change(&call.path, [("Discovering", Variant::from(true))]);
            let scan = Scan::start(&self.air, &adapter);
            discovery.task = Some(self.spawn(Arc::clone(self).discover(adapter, scan)));
        }
        Ok(())
    }

    fn stop_discovery(&self, path: &str, client: &str) -> Result<(), Refusal> {
        let mut discoveries = lock(&self.discoveries);
        let discovery = discoveries
            .get_mut(path)
            .filter(|d| d.active.contains_key(client));
        let discovery = discovery.ok_or_else(|| Refusal::failed("No discovery started"))?;
        discovery.active.remove(client);
        let last = discovery.active.is_empty();
        drop(discoveries);
        if last {
            self.end_discovery(path);
        }
        Ok(())
    }

    /// Ends the scan of an adapter for everybody. Signal strengths are of a scan and end with it.
    fn end_discovery(&self, path: &str) {
        let task = {
            let mut discoveries = lock(&self.discoveries);
            let Some(discovery) = discoveries.get_mut(path) else {
                return;
            };
            discovery.active.clear();
            discovery.task.take()
        };
        let Some(task) = task else { return };
        task.abort();
        let known = lock(&self.known);
        let mut tree = lock(&self.tree);
        for device in known.values().filter(|k| adapter_path(&k.adapter) == path) {
            tree.update(&device.path, Properties::new(), &["RSSI"]);
        }
        tree.change(path, [("Discovering", Variant::from(false))]);
    }

    async fn discover(self: Arc<Self>, adapter: Arc<Adapter>, mut scan: Scan) {
        let path = adapter_path(&adapter);
        while let Some(report) = scan.next().await {
            let discoveries = lock(&self.discoveries);
            if discoveries.get(&path).is_some_and(|d| d.wants(&report)) {
                self.heard(&adapter, &report);
            }
        }
    }
}
