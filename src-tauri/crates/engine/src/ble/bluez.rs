//! What only Linux has: D-Bus errors by name, and the life of the Bluetooth service.

use std::error::Error;
use std::pin::Pin;

use bluez_async::BluetoothError;
use commission::gatt::LinkError;
use futures::stream::{self, Stream, StreamExt};

use super::fault::words;

/// The Bluetooth service's name on the system bus.
const SERVICE: &str = "org.bluez";

/// An error that bluez-async handed on.
pub(super) fn classify(error: &(dyn Error + Send + Sync + 'static)) -> LinkError {
    match error.downcast_ref::<BluetoothError>() {
        Some(BluetoothError::DbusError(error)) => dbus(
            error.name().unwrap_or_default(),
            error.message().unwrap_or_default(),
        ),
        Some(BluetoothError::NoBluetoothAdapters) => LinkError::NoAdapter,
        Some(BluetoothError::ServiceDiscoveryTimedOut) => LinkError::Timeout,
        Some(BluetoothError::UuidNotFound { .. }) => LinkError::Missing,
        _ => words(&error.to_string()),
    }
}

/// Names are those of BlueZ's `src/error.c` and of the D-Bus specification; texts, where one name has several
/// meanings, those of BlueZ's `src/gatt-client.c`, `src/device.c` and of `dbus-daemon`.
fn dbus(name: &str, text: &str) -> LinkError {
    let says = |part: &str| text.contains(part);
    if let Some(kind) = name.strip_prefix("org.bluez.Error.") {
        return match kind {
            "NotReady" | "Blocked" => LinkError::AdapterOff,
            "NotConnected" => LinkError::NotConnected,
            "DoesNotExist" => LinkError::OutOfReach,
            "NotSupported" => LinkError::NotSupported,
            "InProgress" | "AlreadyConnected" => LinkError::InProgress,
            "NotPermitted" if says("Not paired") => LinkError::NotPaired,
            "NotPermitted" | "NotAuthorized" => LinkError::NotPermitted,
            "AuthenticationFailed"
            | "AuthenticationCanceled"
            | "AuthenticationRejected"
            | "AuthenticationTimeout" => LinkError::NotPaired,
            "ConnectionAttemptFailed" => LinkError::OutOfReach,
            "InvalidArguments" if says("Invalid Length") => LinkError::InvalidLength,
            "InvalidArguments" if says("Invalid offset") => LinkError::Att(0x07),
            "Failed" => failed(text),
            _ => LinkError::Other(format!("{kind}: {text}")),
        };
    }
    let kind = name.strip_prefix("org.freedesktop.DBus.Error.").unwrap_or(name);
    match kind {
        // Also what systemd says when it cannot start the service.
        "ServiceUnknown" | "NameHasNoOwner" | "FileNotFound" | "NoServer" | "Disconnected" | "IOError"
        | "BadAddress" => LinkError::NoService,
        _ if kind.starts_with("Spawn.") || name.starts_with("org.freedesktop.systemd1.") => {
            LinkError::NoService
        }
        "AccessDenied" | "AuthFailed" | "InteractiveAuthorizationRequired" => LinkError::NoPermission,
        // The service ended while it had our call.
        "NoReply" if says("disconnected from message bus") => LinkError::NotConnected,
        "NoReply" | "Timeout" | "TimedOut" => LinkError::Timeout,
        // bluetoothd takes the objects of an unbonded device away with its link.
        "UnknownObject" | "UnknownMethod" | "UnknownInterface" => LinkError::NotConnected,
        "InvalidArgs" if says("No such interface") || says("No such property") => LinkError::NotConnected,
        _ => LinkError::Other(format!("{name}: {text}")),
    }
}

/// What `org.bluez.Error.Failed` says.
fn failed(text: &str) -> LinkError {
    let says = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
    if let Some(code) = att_code(text) {
        return match code {
            0x05 | 0x0c | 0x0f => LinkError::NotPaired,
            0x06 => LinkError::NotSupported,
            0x0d => LinkError::InvalidLength,
            code => LinkError::Att(code),
        };
    }
    if says(&["Not connected"]) {
        LinkError::NotConnected
    } else if says(&["Failed to initiate write"]) {
        LinkError::InvalidLength
    } else if says(&["concurrent-connection-limit", "busy"]) {
        LinkError::InProgress
    } else if says(&["rfkill", "adapter-not-powered", "not-powered"]) {
        LinkError::AdapterOff
    } else if says(&[
        "connection-abort",
        "connection abort",
        "Connection abort",
        "Connection timed out",
        "Connection refused",
        "Connection reset",
        "connection-timeout",
        "page-timeout",
        "Host is down",
        "No route to host",
        "failed to be established",
    ]) {
        LinkError::OutOfReach
    } else {
        LinkError::Other(text.to_owned())
    }
}

fn att_code(text: &str) -> Option<u8> {
    let (_, code) = text.split_once("ATT error: 0x")?;
    u8::from_str_radix(code.get(..2)?, 16).ok()
}

/// Yields each time the Bluetooth service ends. Without a bus, and so without a service, it never does.
pub(super) async fn service_ends() -> Pin<Box<dyn Stream<Item = ()> + Send>> {
    let watch = async {
        let bus = zbus::Connection::system().await?;
        let names = zbus::fdo::DBusProxy::new(&bus).await?;
        names.receive_name_owner_changed_with_args(&[(0, SERVICE)]).await
    };
    match watch.await {
        Ok(changes) => Box::pin(changes.filter_map(|change| async move {
            let ended = change.args().is_ok_and(|args| args.new_owner().is_none());
            ended.then_some(())
        })),
        Err(error) => {
            tracing::debug!(%error, "the Bluetooth service's life cannot be watched");
            Box::pin(stream::pending())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_bus_has_its_class() {
        let bluez = |kind: &str, text: &str| dbus(&format!("org.bluez.Error.{kind}"), text);
        let bus = |kind: &str, text: &str| dbus(&format!("org.freedesktop.DBus.Error.{kind}"), text);
        let table = [
            (bluez("Failed", "Not connected"), LinkError::NotConnected),
            (bluez("NotConnected", "Not Connected"), LinkError::NotConnected),
            (
                bluez("Failed", "le-connection-abort-by-local"),
                LinkError::OutOfReach,
            ),
            (
                bluez("Failed", "Software caused connection abort"),
                LinkError::OutOfReach,
            ),
            (
                bluez("Failed", "le-connection-concurrent-connection-limit"),
                LinkError::InProgress,
            ),
            (
                bluez("Failed", "Operation failed with ATT error: 0x04"),
                LinkError::Att(0x04),
            ),
            (
                bluez("Failed", "Operation failed with ATT error: 0x85"),
                LinkError::Att(0x85),
            ),
            (
                bluez("Failed", "Operation failed with ATT error: 0x0f"),
                LinkError::NotPaired,
            ),
            (
                bluez("Failed", "Operation failed with ATT error: 0x"),
                LinkError::Other("Operation failed with ATT error: 0x".into()),
            ),
            (
                bluez("Failed", "Failed to initiate write"),
                LinkError::InvalidLength,
            ),
            (
                bluez("NotPermitted", "Write not permitted"),
                LinkError::NotPermitted,
            ),
            (bluez("NotPermitted", "Not paired"), LinkError::NotPaired),
            (
                bluez("NotAuthorized", "Operation Not Authorized"),
                LinkError::NotPermitted,
            ),
            (bluez("InvalidArguments", "Invalid offset"), LinkError::Att(0x07)),
            (
                bluez("InvalidArguments", "Invalid Length"),
                LinkError::InvalidLength,
            ),
            (
                bluez("NotSupported", "Operation is not supported"),
                LinkError::NotSupported,
            ),
            (bluez("InProgress", "In Progress"), LinkError::InProgress),
            (bluez("NotReady", "Resource Not Ready"), LinkError::AdapterOff),
            (bluez("Blocked", "Blocked through rfkill"), LinkError::AdapterOff),
            (bluez("DoesNotExist", "Does Not Exist"), LinkError::OutOfReach),
            (
                bluez("NotAvailable", "Operation currently not available"),
                LinkError::Other("NotAvailable: Operation currently not available".into()),
            ),
            (
                bus("UnknownObject", "Method doesn't exist"),
                LinkError::NotConnected,
            ),
            (
                bus("UnknownMethod", "Method doesn't exist"),
                LinkError::NotConnected,
            ),
            (bus("NoReply", "Did not receive a reply."), LinkError::Timeout),
            (
                bus(
                    "NoReply",
                    "Message recipient disconnected from message bus without replying",
                ),
                LinkError::NotConnected,
            ),
            (
                bus("ServiceUnknown", "The name org.bluez was not provided"),
                LinkError::NoService,
            ),
            (
                bus("Spawn.ChildExited", "Process exited with status 1"),
                LinkError::NoService,
            ),
            (
                dbus(
                    "org.freedesktop.systemd1.NoSuchUnit",
                    "Unit dbus-org.bluez.service not found.",
                ),
                LinkError::NoService,
            ),
            (
                bus("FileNotFound", "Failed to connect to socket"),
                LinkError::NoService,
            ),
            (
                bus("AccessDenied", "Rejected send message"),
                LinkError::NoPermission,
            ),
        ];
        for (index, (class, expected)) in table.into_iter().enumerate() {
            assert_eq!(class, expected, "row {index}");
        }
    }
}
