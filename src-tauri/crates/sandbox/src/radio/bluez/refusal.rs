//! The D-Bus errors of bluetoothd, by name and text.
//!
//! The names are from BlueZ's `src/error.c`, the texts for ATT errors from its `src/gatt-client.c`.

use super::super::air::ConnectError;
use super::super::link::OpError;
use super::super::peripheral::AttError;

/// An error as it goes over the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The error's D-Bus name.
    pub(super) name: &'static str,
    /// Its text.
    pub(super) text: String,
}

impl Refusal {
    fn new(name: &'static str, text: impl Into<String>) -> Self {
        Self {
            name,
            text: text.into(),
        }
    }

    pub(super) fn failed(text: impl Into<String>) -> Self {
        Self::new("org.bluez.Error.Failed", text)
    }

    pub(super) fn not_ready() -> Self {
        Self::new("org.bluez.Error.NotReady", "Resource Not Ready")
    }

    pub(super) fn in_progress() -> Self {
        Self::new("org.bluez.Error.InProgress", "Operation already in progress")
    }

    /// An operation on an attribute that has one under way already.
    pub(super) fn busy() -> Self {
        Self::new("org.bluez.Error.InProgress", "In Progress")
    }

    pub(super) fn not_connected() -> Self {
        Self::new("org.bluez.Error.NotConnected", "Not Connected")
    }

    pub(super) fn not_supported() -> Self {
        Self::new("org.bluez.Error.NotSupported", "Operation is not supported")
    }

    pub(super) fn does_not_exist() -> Self {
        Self::new("org.bluez.Error.DoesNotExist", "Does Not Exist")
    }

    pub(super) fn invalid_arguments(text: &str) -> Self {
        Self::new("org.bluez.Error.InvalidArguments", text)
    }

    pub(super) fn blocked() -> Self {
        Self::new("org.bluez.Error.Blocked", "Blocked through rfkill")
    }

    /// What D-Bus itself says of an object or method that is not there.
    pub(super) fn unknown_method(interface: &str, member: &str, signature: &str) -> Self {
        let text = format!(
            "Method \"{member}\" with signature \"{signature}\" on interface \"{interface}\" doesn't exist\n"
        );
        Self::new("org.freedesktop.DBus.Error.UnknownMethod", text)
    }

    pub(super) fn unknown_interface(interface: &str) -> Self {
        Self::new(
            "org.freedesktop.DBus.Error.InvalidArgs",
            format!("No such interface '{interface}'"),
        )
    }

    pub(super) fn unknown_property(property: &str) -> Self {
        Self::new(
            "org.freedesktop.DBus.Error.InvalidArgs",
            format!("No such property '{property}'"),
        )
    }

    pub(super) fn read_only_property(property: &str) -> Self {
        let text = format!("Property '{property}' is not writable");
        Self::new("org.freedesktop.DBus.Error.PropertyReadOnly", text)
    }

    pub(super) fn bad_arguments() -> Self {
        Self::new(
            "org.freedesktop.DBus.Error.InvalidArgs",
            "Invalid arguments in method call",
        )
    }
}

impl From<ConnectError> for Refusal {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::AdapterOff => Self::not_ready(),
            ConnectError::TooManyLinks => Self::failed("le-connection-concurrent-connection-limit"),
            ConnectError::Aborted | ConnectError::TimedOut => Self::failed("le-connection-abort-by-local"),
        }
    }
}

impl From<OpError> for Refusal {
    fn from(error: OpError) -> Self {
        match error {
            OpError::NotConnected => Self::failed("Not connected"),
            OpError::InProgress => Self::busy(),
            OpError::TooLong => Self::invalid_arguments("Invalid Length"),
            OpError::CommandTooLong => Self::failed("Failed to initiate write"),
            OpError::Missing => Self::does_not_exist(),
            OpError::Att(error) => error.into(),
        }
    }
}

impl From<AttError> for Refusal {
    fn from(error: AttError) -> Self {
        match error.0 {
            0x02 => Self::new("org.bluez.Error.NotPermitted", "Read not permitted"),
            0x03 => Self::new("org.bluez.Error.NotPermitted", "Write not permitted"),
            0x05 | 0x0c | 0x0f => Self::new("org.bluez.Error.NotPermitted", "Not paired"),
            0x06 => Self::not_supported(),
            0x07 => Self::invalid_arguments("Invalid offset"),
            0x08 => Self::new("org.bluez.Error.NotAuthorized", "Operation Not Authorized"),
            0x0d => Self::invalid_arguments("Invalid Length"),
            code => Self::failed(format!("Operation failed with ATT error: 0x{code:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn att_errors_take_the_names_and_texts_of_bluetoothd() {
        for (code, name, text) in [
            (0x02, "org.bluez.Error.NotPermitted", "Read not permitted"),
            (0x03, "org.bluez.Error.NotPermitted", "Write not permitted"),
            (
                0x04,
                "org.bluez.Error.Failed",
                "Operation failed with ATT error: 0x04",
            ),
            (0x05, "org.bluez.Error.NotPermitted", "Not paired"),
            (0x06, "org.bluez.Error.NotSupported", "Operation is not supported"),
            (0x07, "org.bluez.Error.InvalidArguments", "Invalid offset"),
            (0x08, "org.bluez.Error.NotAuthorized", "Operation Not Authorized"),
            (0x0c, "org.bluez.Error.NotPermitted", "Not paired"),
            (0x0d, "org.bluez.Error.InvalidArguments", "Invalid Length"),
            (
                0x0e,
                "org.bluez.Error.Failed",
                "Operation failed with ATT error: 0x0e",
            ),
            (0x0f, "org.bluez.Error.NotPermitted", "Not paired"),
            (
                0x85,
                "org.bluez.Error.Failed",
                "Operation failed with ATT error: 0x85",
            ),
        ] {
            let expected = Refusal {
                name,
                text: text.to_owned(),
            };
            assert_eq!(
                Refusal::from(OpError::Att(AttError(code))),
                expected,
                "0x{code:02x}"
            );
        }
    }

    #[test]
    fn a_lost_link_and_a_failed_connection_are_told_apart() {
        assert_eq!(
            Refusal::from(OpError::NotConnected),
            Refusal::failed("Not connected")
        );
        assert_eq!(
            Refusal::from(ConnectError::Aborted),
            Refusal::failed("le-connection-abort-by-local")
        );
    }
}
