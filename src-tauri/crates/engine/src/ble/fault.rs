//! Every error of every stack as one [`LinkError`].
//!
//! What the stack said goes to the log at debug level; no stack quotes a value in an error.

use btleplug::Error;
use commission::gatt::LinkError;

/// An error of a link or of an operation over it.
pub(super) fn link_error(error: &Error) -> LinkError {
    let class = match error {
        Error::PermissionDenied => LinkError::NoPermission,
        Error::DeviceNotFound => LinkError::OutOfReach,
        Error::NotConnected => LinkError::NotConnected,
        Error::NoSuchCharacteristic | Error::UnexpectedCharacteristic => LinkError::Missing,
        Error::NoAdapterAvailable => LinkError::NoAdapter,
        Error::NotSupported(_) => LinkError::NotSupported,
        Error::TimedOut(_) => LinkError::Timeout,
        #[cfg(target_os = "linux")]
        Error::Other(inner) => super::bluez::classify(inner.as_ref()),
        other => words(&other.to_string()),
    };
    tracing::debug!(raw = ?error, ?class, "Bluetooth error");
    class
}

/// An error of an adapter; where an object is gone, that is the adapter.
pub(super) fn adapter_error(error: &Error) -> LinkError {
    match link_error(error) {
        LinkError::NotConnected | LinkError::OutOfReach => LinkError::NoAdapter,
        other => other,
    }
}

/// The last resort: stacks that give words only (WinRT, CoreBluetooth, btleplug itself).
pub(super) fn words(text: &str) -> LinkError {
    let lower = text.to_lowercase();
    let says = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if says(&[
        "0x80070005",
        "access is denied",
        "unauthorized",
        "not authorized to use",
    ]) {
        LinkError::NoPermission
    } else if says(&["uuid"]) && says(&["not found"]) {
        LinkError::Missing
    } else if says(&["not connected", "disconnected", "unreachable"]) {
        LinkError::NotConnected
    } else if says(&["encryption is insufficient", "authentication is insufficient"]) {
        LinkError::NotPaired
    } else if says(&["timed out", "timeout"]) {
        LinkError::Timeout
    } else {
        LinkError::Other(text.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn errors_of_btleplug_itself_keep_their_meaning() {
        for (error, class) in [
            (Error::PermissionDenied, LinkError::NoPermission),
            (Error::DeviceNotFound, LinkError::OutOfReach),
            (Error::NotConnected, LinkError::NotConnected),
            (Error::NoSuchCharacteristic, LinkError::Missing),
            (Error::TimedOut(Duration::from_secs(1)), LinkError::Timeout),
            (
                Error::Other("Characteristic with UUID x not found.".into()),
                LinkError::Missing,
            ),
            (Error::RuntimeError("Unreachable".into()), LinkError::NotConnected),
            (
                Error::RuntimeError("Access is denied. (0x80070005)".into()),
                LinkError::NoPermission,
            ),
            (
                Error::RuntimeError("something new".into()),
                LinkError::Other("Runtime Error: something new".into()),
            ),
        ] {
            assert_eq!(link_error(&error), class, "{error}");
        }
    }

    #[test]
    fn an_adapter_that_is_gone_is_no_device_out_of_reach() {
        assert_eq!(adapter_error(&Error::DeviceNotFound), LinkError::NoAdapter);
        assert_eq!(adapter_error(&Error::PermissionDenied), LinkError::NoPermission);
    }
}
