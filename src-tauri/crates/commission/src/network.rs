//! Wi-Fi networks: as a device sees them, and as a person chooses them.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

use thiserror::Error;

use crate::secret::Passphrase;
use crate::text;

/// A network name: 0 to 32 bytes, not necessarily text (IEEE 802.11-2020, 9.4.2.2).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssid(Vec<u8>);

/// Why a name or passphrase cannot be a network's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetworkError {
    /// The name is empty or longer than 32 bytes.
    #[error("a Wi-Fi name has 1 to 32 bytes, this has {0}")]
    SsidLength(usize),
    /// The passphrase has neither 8 to 63 bytes nor none.
    #[error("a Wi-Fi passphrase has 8 to 63 characters, this has {0}; leave it out for an open network")]
    PassphraseLength(usize),
}

impl Ssid {
    /// Checks and takes a network name.
    ///
    /// # Errors
    /// [`NetworkError::SsidLength`] when it is empty or over 32 bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, NetworkError> {
        let bytes = bytes.into();
        if (1..=32).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(NetworkError::SsidLength(bytes.len()))
        }
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Ssid {
    /// Readable whatever the bytes are: what is no UTF-8 shows as `\xNN`, what would play with a terminal as `\u{NN}`,
    /// and a backslash as two, so that no two names look alike.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if text::is_trick(c) {
                    write!(f, "{}", c.escape_unicode())?;
                } else if c == '\\' {
                    f.write_str("\\\\")?;
                } else {
                    f.write_char(c)?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Ssid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ssid({self})")
    }
}

/// How a network is protected, as devices report it; open, since newer chips report newer values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Auth {
    /// No protection.
    Open,
    /// WEP, which is none.
    Wep,
    /// WPA with a passphrase.
    WpaPsk,
    /// WPA2 with a passphrase.
    Wpa2Psk,
    /// WPA and WPA2 with a passphrase.
    WpaWpa2Psk,
    /// WPA2 with IEEE 802.1X.
    Wpa2Enterprise,
    /// WPA3 with a passphrase.
    Wpa3Psk,
    /// WPA2 and WPA3 with a passphrase.
    Wpa2Wpa3Psk,
    /// A value that this version does not know.
    Other(u32),
}

/// A network as the device sees it, at its own place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenNetwork {
    /// Its name.
    pub ssid: Ssid,
    /// Signal at the device, in dBm.
    pub rssi: i16,
    /// Wi-Fi channel; 1 to 14 is the 2.4 GHz band.
    pub channel: u32,
    /// Its protection.
    pub auth: Auth,
}

/// The network that a device is to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub ssid: Ssid,
    /// Its passphrase; none for an open network.
    pub passphrase: Option<Passphrase>,
    /// Whether it hides its name, so that not being seen is no trouble.
    pub hidden: bool,
}

impl Auth {
    /// Whether a passphrase opens it. What this version does not know may be protected without one.
    pub fn wants_passphrase(self) -> bool {
        match self {
            Self::Wep
            | Self::WpaPsk
            | Self::Wpa2Psk
            | Self::WpaWpa2Psk
            | Self::Wpa3Psk
            | Self::Wpa2Wpa3Psk => true,
            Self::Open | Self::Wpa2Enterprise | Self::Other(_) => false,
        }
    }
}

impl Network {
    /// Checks and takes a network's settings.
    ///
    /// # Errors
    /// [`NetworkError`] when name or passphrase cannot be right, before any device is bothered with them.
    pub fn new(ssid: Ssid, passphrase: Option<Passphrase>, hidden: bool) -> Result<Self, NetworkError> {
        let passphrase = passphrase.filter(|text| !text.is_empty());
        match passphrase.as_ref().map(|text| text.reveal().len()) {
            Some(length) if !(8..=63).contains(&length) => Err(NetworkError::PassphraseLength(length)),
            _ => Ok(Self {
                ssid,
                passphrase,
                hidden,
            }),
        }
    }
}

/// The name as text, for a person; see [`Ssid`]'s `Display`.
impl From<&Ssid> for String {
    fn from(ssid: &Ssid) -> Self {
        alloc::format!("{ssid}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn names_that_are_no_text_stay_apart() {
        let (a, b) = (
            Ssid::new(b"caf\xe9".to_vec()).unwrap(),
            Ssid::new(b"caf\xe8".to_vec()).unwrap(),
        );
        assert_eq!(format!("{a}"), "caf\\xe9");
        assert_ne!(format!("{a}"), format!("{b}"));
    }

    #[test]
    fn a_name_that_spells_the_bytes_of_another_looks_different() {
        let bytes = Ssid::new(b"caf\xe9".to_vec()).unwrap();
        let spelt = Ssid::new("caf\\xe9").unwrap();
        assert_eq!(format!("{spelt}"), "caf\\\\xe9");
        assert_ne!(format!("{bytes}"), format!("{spelt}"));
    }

    #[test]
    fn a_name_cannot_play_with_the_terminal_that_lists_it() {
        let hostile = Ssid::new("a\u{1b}[2J\nb").unwrap();
        assert_eq!(format!("{hostile}"), "a\\u{1b}[2J\\u{a}b");
    }

    #[test]
    fn passphrase_length_is_checked_before_sending() {
        let ssid = Ssid::new("plant").unwrap();
        let with = |text: &str| Network::new(ssid.clone(), Some(Passphrase::new(text)), false);
        assert_eq!(with("1234567"), Err(NetworkError::PassphraseLength(7)));
        assert_eq!(with(&"x".repeat(64)), Err(NetworkError::PassphraseLength(64)));
        assert_eq!(with("").map(|n| n.passphrase), Ok(None));
    }
}
