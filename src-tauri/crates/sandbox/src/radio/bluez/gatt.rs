//! `org.bluez.GattService1`, `GattCharacteristic1` and `GattDescriptor1`: attributes of linked devices.

use std::sync::Arc;

use zbus::Variant;

use super::call::{Call, Options};
use super::daemon::Daemon;
use super::device::Known;
use super::refusal::Refusal;
use super::tree::{CHARACTERISTIC, DESCRIPTOR, Properties as Shown, SERVICE, object_path};
use crate::radio::link::{Link, Request};
use crate::radio::lock;
use crate::radio::peripheral::{AttError, Properties};

/// A call's attribute: its link and its handle there.
struct Asked {
    known: Arc<Known>,
    link: Arc<Link>,
    handle: u16,
}

impl Daemon {
    /// Adds the attributes of a link and says that they are known.
    pub(super) fn publish_attributes(&self, known: &Known, link: &Link) {
        let mut tree = lock(&self.tree);
        let mut state = lock(&known.state);
        if state.link.as_ref().is_none_or(|l| l.id() != link.id()) {
            return;
        }
        for service in &link.table().services {
            let service_path = format!("{}/service{:04x}", known.path, service.handle);
            let mut shown = Shown::from([
                ("UUID", Variant::from(service.uuid.to_string())),
                ("Primary", Variant::from(true)),
            ]);
            refer(&mut shown, "Device", &known.path);
            tree.add(&service_path, SERVICE, shown);
            for characteristic in &service.characteristics {
                let path = format!("{service_path}/char{:04x}", characteristic.handle);
                let mut shown = Shown::from([
                    (
                        "UUID",
                        Variant::from(characteristic.id.characteristic.to_string()),
                    ),
                    ("Flags", Variant::from(flags(characteristic.properties))),
                    ("MTU", Variant::from(link.mtu())),
                    ("Value", Variant::from(Vec::<u8>::new())),
                ]);
                if characteristic.properties.notify || characteristic.properties.indicate {
                    shown.insert("Notifying", Variant::from(false));
                }
                refer(&mut shown, "Service", &service_path);
                tree.add(&path, CHARACTERISTIC, shown);
                for descriptor in &characteristic.descriptors {
                    let descriptor_path = format!("{path}/desc{:04x}", descriptor.handle);
                    let mut shown = Shown::from([
                        ("UUID", Variant::from(descriptor.uuid.to_string())),
                        ("Value", Variant::from(Vec::<u8>::new())),
                    ]);
                    refer(&mut shown, "Characteristic", &path);
                    tree.add(&descriptor_path, DESCRIPTOR, shown);
                    state.handles.insert(descriptor_path, descriptor.handle);
                }
                state.handles.insert(path, characteristic.handle);
            }
        }
        tree.change(&known.path, [("ServicesResolved", Variant::from(true))]);
    }

    /// Shows a notified value.
    pub(super) fn show_notified(&self, known: &Known, handle: u16, value: Vec<u8>) {
        let path = lock(&known.state)
            .handles
            .iter()
            .find(|(_, h)| **h == handle)
            .map(|(p, _)| p.clone());
        if let Some(path) = path {
            lock(&self.tree).change(&path, [("Value", Variant::from(value))]);
        }
    }

    /// A client that is gone is no longer told of values.
    pub(super) fn end_notifications_of(self: &Arc<Self>, client: &str) {
        let known: Vec<_> = lock(&self.known).values().cloned().collect();
        for known in known {
            let paths: Vec<_> = {
                let state = lock(&known.state);
                state
                    .listeners
                    .iter()
                    .filter(|(_, l)| l.contains(client))
                    .map(|(p, _)| p.clone())
                    .collect()
            };
            for path in paths {
                let (daemon, client) = (Arc::clone(self), client.to_owned());
                // The link may end meanwhile, and the subscription with it.
                self.spawn(async move { drop(daemon.stop_notify(&path, &client).await) });
            }
        }
    }

    pub(super) fn call_attribute(self: &Arc<Self>, call: Call) {
        let daemon = Arc::clone(self);
        self.spawn(async move {
            match (call.interface.as_str(), call.member.as_str()) {
                (_, "ReadValue") => {
                    let outcome = daemon.read_value(&call).await;
                    daemon.reply(&call, outcome);
                }
                // The descriptors that a client may write, it writes through StartNotify.
                (DESCRIPTOR, "WriteValue") => {
                    daemon.reply::<()>(&call, Err(AttError::WRITE_NOT_PERMITTED.into()));
                }
                (CHARACTERISTIC, "WriteValue") => {
                    let outcome = daemon.write_value(&call).await;
                    daemon.reply(&call, outcome);
                }
                (CHARACTERISTIC, "StartNotify") => {
                    let outcome = daemon.start_notify(&call).await;
                    daemon.reply(&call, outcome);
                }
                (CHARACTERISTIC, "StopNotify") => {
                    let outcome = daemon.stop_notify(&call.path, &call.sender).await;
                    daemon.reply(&call, outcome);
                }
                _ => daemon.unknown(&call),
            }
        });
    }

    fn asked(&self, path: &str) -> Result<Asked, Refusal> {
        let gone = || Refusal::failed("Not connected");
        let device = path.split("/service").next().unwrap_or(path);
        let known = lock(&self.known).get(device).cloned().ok_or_else(gone)?;
        let (link, handle) = {
            let state = lock(&known.state);
            (
                state.link.clone().ok_or_else(gone)?,
                *state.handles.get(path).ok_or_else(gone)?,
            )
        };
        Ok(Asked { known, link, handle })
    }

    async fn read_value(&self, call: &Call) -> Result<Vec<u8>, Refusal> {
        let options: Options = call.arguments()?;
        let offset = offset(&options)?;
        let Asked { link, handle, .. } = self.asked(&call.path)?;
        let is_descriptor = call.interface == DESCRIPTOR;
        let request = if is_descriptor {
            Request::ReadDescriptor(handle)
        } else {
            Request::Read(handle)
        };
        let value = link.perform(request).await?;
        // bluetoothd shows every value that it reads, and clients take that for a notification.
        lock(&self.tree).change(&call.path, [("Value", Variant::from(value.clone()))]);
        value
            .get(offset..)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Refusal::invalid_arguments("Invalid offset"))
    }

    async fn write_value(&self, call: &Call) -> Result<(), Refusal> {
        let (value, options): (Vec<u8>, Options) = call.arguments()?;
        if offset(&options)? != 0 {
            return Err(Refusal::not_supported());
        }
        let Asked { link, handle, .. } = self.asked(&call.path)?;
        let kind = options.get("type").and_then(|t| <&str>::try_from(&**t).ok());
        let allows = link
            .table()
            .characteristic(handle)
            .map(|c| c.properties)
            .unwrap_or_default();
        let request = match kind {
            Some("command") => Request::WriteCommand(handle, value),
            None if !allows.write && allows.write_without_response => Request::WriteCommand(handle, value),
            Some("request") | None => Request::Write(handle, value),
            Some(_) => return Err(Refusal::not_supported()),
        };
        link.perform(request).await?;
        Ok(())
    }

    async fn start_notify(&self, call: &Call) -> Result<(), Refusal> {
        let Asked { known, link, handle } = self.asked(&call.path)?;
        let listens = |known: &Known| {
            lock(&known.state)
                .listeners
                .get(&call.path)
                .is_some_and(|l| l.contains(&call.sender))
        };
        if listens(&known) {
            return Err(Refusal::busy());
        }
        link.perform(Request::Subscribe(handle, true)).await?;
        lock(&known.state)
            .listeners
            .entry(call.path.clone())
            .or_default()
            .insert(call.sender.clone());
        lock(&self.tree).change(&call.path, [("Notifying", Variant::from(true))]);
        Ok(())
    }

    async fn stop_notify(&self, path: &str, client: &str) -> Result<(), Refusal> {
        let Asked { known, link, handle } = self.asked(path)?;
        let last = {
            let mut state = lock(&known.state);
            let listeners = state.listeners.entry(path.to_owned()).or_default();
            if !listeners.remove(client) {
                return Err(Refusal::failed("No notify session started"));
            }
            listeners.is_empty()
        };
        if last {
            link.perform(Request::Subscribe(handle, false)).await?;
            lock(&self.tree).change(path, [("Notifying", Variant::from(false))]);
        }
        Ok(())
    }
}

/// Properties in the words of BlueZ.
fn flags(properties: Properties) -> Vec<String> {
    [
        (properties.read, "read"),
        (properties.write_without_response, "write-without-response"),
        (properties.write, "write"),
        (properties.notify, "notify"),
        (properties.indicate, "indicate"),
    ]
    .into_iter()
    .filter(|(on, _)| *on)
    .map(|(_, word)| word.to_owned())
    .collect()
}

fn refer(shown: &mut Shown, name: &'static str, path: &str) {
    if let Some(path) = object_path(path) {
        shown.insert(name, Variant::from(path.into_owned()));
    }
}

/// The offset among the options; clients write it as `q`, some as `t`.
fn offset(options: &Options) -> Result<usize, Refusal> {
    let Some(value) = options.get("offset") else {
        return Ok(0);
    };
    match **value {
        Variant::U16(offset) => Ok(usize::from(offset)),
        Variant::U64(offset) => usize::try_from(offset).map_err(|_| Refusal::bad_arguments()),
        _ => Err(Refusal::bad_arguments()),
    }
}
