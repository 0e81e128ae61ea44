//! `org.bluez.Device1`: devices as heard, and their links.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};
use zbus::{OwnedObjectPath, Variant};

use super::adapter::adapter_path;
use super::call::Call;
use super::daemon::Daemon;
use super::refusal::Refusal;
use super::tree::{DEVICE, Properties, object_path};
use crate::radio::adapter::Adapter;
use crate::radio::device::Device;
use crate::radio::link::{Link, LinkEvent};
use crate::radio::lock;
use crate::radio::peripheral::Address;
use crate::radio::record::LinkEnd;
use crate::radio::scan::Report;

/// How long bluetoothd remembers a device that was only heard.
const REMEMBERED: Duration = Duration::from_secs(30);

/// A device that the service knows by one address.
pub(super) struct Known {
    pub(super) path: String,
    pub(super) adapter: Arc<Adapter>,
    device: Arc<Device>,
    address: Address,
    pub(super) state: Mutex<KnownState>,
}

pub(super) struct KnownState {
    last_heard: Instant,
    /// Never connected, so forgotten soon.
    temporary: bool,
    /// Gives up the connection attempt under way.
    connecting: Option<oneshot::Sender<()>>,
    pub(super) link: Option<Arc<Link>>,
    /// Handles of attributes by object path.
    pub(super) handles: BTreeMap<String, u16>,
    /// Who is told of a characteristic's values, by object path.
    pub(super) listeners: BTreeMap<String, BTreeSet<String>>,
}

impl Daemon {
    pub(super) fn call_device(self: &Arc<Self>, call: Call) {
        let known = lock(&self.known).get(&call.path).cloned();
        match (call.member.as_str(), known) {
            ("Connect", Some(known)) => self.connect(known, call),
            ("Disconnect", Some(known)) => {
                self.spawn(Arc::clone(self).disconnect(known, call));
            }
            _ => self.unknown(&call),
        }
    }

    /// Takes one packet: a device that appears, a new signal strength, a name.
    pub(super) fn heard(&self, adapter: &Arc<Adapter>, report: &Report) {
        let address = report.address;
        let path = format!(
            "{}/dev_{}",
            adapter_path(adapter),
            address.to_string().replace(':', "_")
        );
        let mut known = lock(&self.known);
        let mut tree = lock(&self.tree);
        if let Some(device) = known.get(&path) {
            lock(&device.state).last_heard = Instant::now();
            let changed = heard_again(report, tree.properties(&path));
            return tree.update(&path, changed, &[]);
        }
        if report.is_scan_response {
            return; // a name without a device: its advertisement was lost
        }
        let device = Known {
            path: path.clone(),
            adapter: Arc::clone(adapter),
            device: Arc::clone(&report.device),
            address,
            state: Mutex::new(KnownState {
                last_heard: Instant::now(),
                temporary: true,
                connecting: None,
                link: None,
                handles: BTreeMap::new(),
                listeners: BTreeMap::new(),
            }),
        };
        let mut properties = heard_again(report, None);
        properties.extend([
            ("Address", Variant::from(address.to_string())),
            (
                "AddressType",
                Variant::from(if address.random { "random" } else { "public" }),
            ),
            // Until there is a name, bluetoothd shows the address as one.
            ("Alias", Variant::from(address.to_string().replace(':', "-"))),
            ("Paired", Variant::from(false)),
            ("Bonded", Variant::from(false)),
            ("Trusted", Variant::from(false)),
            ("Blocked", Variant::from(false)),
            ("LegacyPairing", Variant::from(false)),
            ("Connected", Variant::from(false)),
            ("ServicesResolved", Variant::from(false)),
        ]);
        if let Some(adapter) = object_path(&adapter_path(adapter)) {
            properties.insert("Adapter", Variant::from(adapter.into_owned()));
        }
        tree.add(&path, DEVICE, properties);
        known.insert(path, Arc::new(device));
    }

    /// Drops devices that were heard once and long ago.
    pub(super) fn forget_stale_devices(&self) {
        let mut known = lock(&self.known);
        let mut tree = lock(&self.tree);
        known.retain(|path, device| {
            let state = lock(&device.state);
            let stays = !state.temporary
                || state.connecting.is_some()
                || state.link.is_some()
                || state.last_heard.elapsed() < REMEMBERED;
            if !stays {
                tree.remove(path);
            }
            stays
        });
    }

    /// Forgets a device and its cached services, and ends its link.
    pub(super) fn remove_device(&self, path: &OwnedObjectPath) -> Result<(), Refusal> {
        let removed = lock(&self.known)
            .remove(path.as_str())
            .ok_or_else(Refusal::does_not_exist)?;
        let link = lock(&removed.state).link.take();
        if let Some(link) = link {
            link.close(LinkEnd::Client);
        }
        removed.device.forget_cache();
        lock(&self.tree).remove(&removed.path);
        Ok(())
    }

    fn connect(self: &Arc<Self>, known: Arc<Known>, call: Call) {
        let given_up = {
            let mut state = lock(&known.state);
            if state.link.is_some() {
                drop(state);
                return self.reply(&call, Ok(()));
            }
            if state.connecting.is_some() {
                drop(state);
                return self.reply::<()>(&call, Err(Refusal::in_progress()));
            }
            let (give_up, given_up) = oneshot::channel();
            state.connecting = Some(give_up);
            given_up
        };
        let daemon = Arc::clone(self);
        self.spawn(async move {
            let attempt = daemon.air.connect(&known.adapter, &known.device, known.address);
            let outcome = tokio::select! {
                outcome = attempt => outcome.map_err(Refusal::from),
                _ = given_up => Err(Refusal::failed("le-connection-abort-by-local")),
            };
            match outcome {
                Ok((link, events)) => {
                    {
                        let mut state = lock(&known.state);
                        state.connecting = None;
                        state.temporary = false;
                        state.link = Some(Arc::clone(&link));
                    }
                    let connected = Properties::from([("Connected", Variant::from(true))]);
                    lock(&daemon.tree).update(&known.path, connected, &["RSSI"]);
                    daemon.reply(&call, Ok(()));
                    daemon.follow_link(&known, &link, events).await;
                }
                Err(refusal) => {
                    lock(&known.state).connecting = None;
                    daemon.reply::<()>(&call, Err(refusal));
                }
            }
        });
    }

    /// Shows what a link has to show, until it ends.
    async fn follow_link(
        &self,
        known: &Known,
        link: &Arc<Link>,
        mut events: mpsc::UnboundedReceiver<LinkEvent>,
    ) {
        let resolved = async {
            if link.device().faults().never_resolves {
                link.ended().await;
            } else {
                sleep(link.latency().resolve).await;
            }
        };
        tokio::select! {
            biased;
            () = link.ended() => {}
            () = resolved => self.publish_attributes(known, link),
        }
        loop {
            // Values that arrived before the end are shown before it.
            tokio::select! {
                biased;
                Some(LinkEvent::Notified(handle, value)) = events.recv() => {
                    self.show_notified(known, handle, value);
                }
                () = link.ended() => break,
            }
        }
        self.link_gone(known, link);
    }

    /// Shows the end of a link, once. Attributes of a device that is not bonded vanish with it.
    fn link_gone(&self, known: &Known, link: &Link) {
        let mut tree = lock(&self.tree);
        let mut state = lock(&known.state);
        if state.link.as_ref().is_none_or(|l| l.id() != link.id()) {
            return;
        }
        state.link = None;
        state.handles.clear();
        state.listeners.clear();
        state.last_heard = Instant::now();
        let down = [
            ("ServicesResolved", Variant::from(false)),
            ("Connected", Variant::from(false)),
        ];
        tree.change(&known.path, down);
        tree.remove_below(&known.path);
    }

    async fn disconnect(self: Arc<Self>, known: Arc<Known>, call: Call) {
        let (connecting, link) = {
            let mut state = lock(&known.state);
            (state.connecting.take(), state.link.clone())
        };
        if let Some(give_up) = connecting {
            // The attempt may have ended just now, and then there is nobody to tell.
            let _ = give_up.send(());
            return self.reply(&call, Ok(()));
        }
        let Some(link) = link else {
            return self.reply::<()>(&call, Err(Refusal::not_connected()));
        };
        tokio::select! {
            () = sleep(link.latency().disconnect) => {}
            () = link.ended() => {}
        }
        link.close(LinkEnd::Client);
        self.link_gone(&known, &link);
        self.reply(&call, Ok(()));
    }
}

/// What a packet says: the signal strength every time, all else where it is news.
fn heard_again(report: &Report, shown: Option<&Properties>) -> Properties {
    let advertisement = &report.advertisement;
    let mut said = Properties::new();
    if report.is_scan_response {
        if let Some(name) = &advertisement.name_in_scan_response {
            said.insert("Name", Variant::from(name.clone()));
            said.insert("Alias", Variant::from(name.clone()));
        }
    } else {
        let uuids: Vec<String> = advertisement.services.iter().map(ToString::to_string).collect();
        said.insert("UUIDs", Variant::from(uuids));
        if !advertisement.manufacturer.is_empty() {
            let data = advertisement
                .manufacturer
                .iter()
                .map(|(id, bytes)| (*id, Variant::from(bytes.clone())));
            said.insert(
                "ManufacturerData",
                Variant::from(data.collect::<BTreeMap<_, _>>()),
            );
        }
        if !advertisement.service_data.is_empty() {
            let data = advertisement.service_data.iter();
            let data = data.map(|(uuid, bytes)| (uuid.to_string(), Variant::from(bytes.clone())));
            said.insert("ServiceData", Variant::from(data.collect::<BTreeMap<_, _>>()));
        }
    }
    said.retain(|name, value| shown.and_then(|s| s.get(name)) != Some(value));
    if !report.is_scan_response {
        said.insert("RSSI", Variant::from(report.rssi));
    }
    said
}
