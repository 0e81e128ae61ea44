//! The label: the code on a device or its box, as scanned or typed.
//!
//! Four forms are read: Espressif's QR payload (a JSON object), the helper URL that firmware prints on its console
//! (the same JSON in its `data=` parameter), RainMaker's compact form `NP:<name>|<pop>|<b or s>`, and a proof of
//! possession typed by hand. Which devices a label fits is decided by [`Label::is_of`] alone.
//!
//! Not in scope: how the code is scanned, and Matter or Wi-Fi codes, which are told apart only to say so.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::str::FromStr;

use serde_json::{Map, Value};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::device::{Serial, SerialError, Sighting};
use crate::dialect::Strength;
use crate::secret::Pop;
use crate::text::shown;

/// Longest text that is looked at, in bytes; firmware writes at most 150 (esp-idf and RainMaker QR buffers).
pub const MAX_LABEL: usize = 512;
/// Longest device name, in bytes: what fits a scan response (Bluetooth Core 5.4, Vol 3, Part C, 11).
pub const MAX_NAME: usize = 29;
/// Longest word of a label that is repeated, in characters: a longer one is no kind of anything.
const MAX_WORD: usize = 16;

/// What a label says. Holds a secret, whose type keeps it out of `Debug`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Label {
    /// The name that the device advertises, to be matched exactly.
    pub name: Option<String>,
    /// The proof of possession.
    pub pop: Option<Pop>,
    /// User name of Espressif Security 2.
    pub username: Option<String>,
    /// The serial number: our own key `serial`, which other tools ignore.
    pub serial: Option<Serial>,
    /// The security scheme that the label states.
    pub security: Option<u8>,
}

impl Label {
    /// How strongly the device's session is protected by the label's word; none where it does not say. Which nonces a device
    /// of security 2 uses no label says.
    pub fn strength(&self) -> Option<Strength> {
        Some(match self.security? {
            0 => Strength::Nothing,
            1 if self.pop.is_none() => Strength::Encryption,
            1 => Strength::GuessablePop,
            _ => Strength::ReusedNonces,
        })
    }
}

/// Why a text is no label of a device that Fieldkey can bring online; [`LabelError::advice`] says what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LabelError {
    /// There is nothing in it.
    #[error("the label is empty")]
    Empty,
    /// It is longer than any label.
    #[error("the label has {0} bytes, a label has at most {MAX_LABEL}")]
    TooLong(usize),
    /// The JSON object ends too early.
    #[error("the label's end is missing")]
    Truncated,
    /// It begins like a JSON object and is none.
    #[error("the label cannot be read from character {0} on")]
    Malformed(usize),
    /// A key has a value of the wrong type.
    #[error("the label's \"{key}\" must be {expected}")]
    Field {
        /// The key.
        key: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// Name, PoP and serial are all missing.
    #[error("the label has neither name, proof of possession nor serial number")]
    Nothing,
    /// The name cannot be advertised.
    #[error("the label's name has {0} bytes, a device's name has at most {MAX_NAME}")]
    NameTooLong(usize),
    /// The serial number is none.
    #[error("the label's serial number is wrong: {0}")]
    Serial(SerialError),
    /// A scheme that does not exist.
    #[error("the label wants security scheme {0}, there are 0, 1 and 2")]
    Security(u64),
    /// The device is provisioned over its own Wi-Fi.
    #[error("this device is set up over its own Wi-Fi (SoftAP), not over Bluetooth")]
    SoftAp,
    /// The device uses another transport than Bluetooth LE.
    #[error("this device is set up over \"{}\", not over Bluetooth", shown(.0, MAX_WORD))]
    Transport(String),
    /// The device joins Thread, not Wi-Fi.
    #[error("this is a Thread device; Fieldkey brings Wi-Fi devices online")]
    Thread,
    /// The device joins a network of an unknown kind.
    #[error("this device joins a network of the kind \"{}\"; Fieldkey brings Wi-Fi devices online", shown(.0, MAX_WORD))]
    NetworkKind(String),
    /// A web address without a label in it.
    #[error("this web address holds no label (no \"data=\" in it)")]
    NoData,
    /// A web address with broken percent-encoding.
    #[error("the web address is damaged at character {0}")]
    PercentEncoding(usize),
    /// The compact form lacks a part.
    #[error("the label should read NP:name|proof|b, a part is missing")]
    Compact,
    /// The compact form ends in something else than `b` or `s`, which may be a piece of the proof.
    #[error("the label should end in |b, as in NP:name|proof|b")]
    CompactEnd,
    /// A Matter code.
    #[error("this is a Matter code")]
    Matter,
    /// A Wi-Fi network's code.
    #[error("this is the code of a Wi-Fi network, not of a device")]
    Wifi,
    /// Neither a label nor something that a person would type as a PoP.
    #[error("this is neither a label nor a proof of possession, which is one word")]
    Unknown,
}

impl LabelError {
    /// What to do now.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::Empty | Self::Malformed(_) => "Scan the code again, or type the proof of possession.",
            Self::Truncated | Self::PercentEncoding(_) | Self::Compact | Self::CompactEnd => {
                "Scan the whole code again, or type the proof of possession."
            }
            Self::TooLong(_) | Self::Nothing | Self::NoData | Self::Wifi => {
                "Scan the code on the device itself, or type its proof of possession."
            }
            Self::Unknown => "Scan the code on the device, or type its proof of possession without spaces.",
            Self::Field { .. } | Self::NameTooLong(_) | Self::Serial(_) | Self::Security(_) => {
                "Ask the maker for a correct label; until then, type the proof of possession."
            }
            Self::SoftAp | Self::Transport(_) | Self::Thread | Self::NetworkKind(_) => {
                "Set this device up with its maker's app."
            }
            Self::Matter => "Set this device up with a Matter app.",
        }
    }
}

impl Label {
    /// Reads a label in any of its forms.
    ///
    /// # Errors
    /// [`LabelError`] names what is wrong.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err(LabelError::Empty);
        }
        if text.len() > MAX_LABEL {
            return Err(LabelError::TooLong(text.len()));
        }
        if text.starts_with('{') {
            return from_json(text);
        }
        if let Some(rest) = strip_prefix_ignoring_case(text, "NP:") {
            return from_compact(rest);
        }
        if ["http://", "https://"]
            .iter()
            .any(|scheme| strip_prefix_ignoring_case(text, scheme).is_some())
        {
            return from_url(text);
        }
        if strip_prefix_ignoring_case(text, "MT:").is_some() {
            return Err(LabelError::Matter);
        }
        if strip_prefix_ignoring_case(text, "WIFI:").is_some() {
            return Err(LabelError::Wifi);
        }
        from_typed(text)
    }

    /// Whether the label names this device: the names must be equal to the byte. A label without a name is of none.
    pub fn is_of(&self, sighting: &Sighting) -> bool {
        self.name.is_some() && self.name == sighting.name
    }
}

impl FromStr for Label {
    type Err = LabelError;

    fn from_str(text: &str) -> Result<Self, LabelError> {
        Self::parse(text)
    }
}

/// Reads the first JSON value; what follows it is ignored, since a raw URL may go on behind it.
fn from_json(text: &str) -> Result<Label, LabelError> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let mut fields = match values.next() {
        Some(Ok(Value::Object(fields))) => fields,
        Some(Err(error)) if error.is_eof() => return Err(LabelError::Truncated),
        Some(Err(error)) => return Err(LabelError::Malformed(error.column())),
        Some(Ok(_)) | None => return Err(LabelError::Malformed(1)),
    };

    // The secret first, so that it is in its own type whatever is wrong with the rest.
    let pop = text_of(&mut fields, "pop")?.map(Pop::new);
    transport(&text_of(&mut fields, "transport")?)?;
    network(&text_of(&mut fields, "network")?)?;
    let name = name(text_of(&mut fields, "name")?)?;
    let serial = text_of(&mut fields, "serial")?
        .map(Serial::new)
        .transpose()
        .map_err(LabelError::Serial)?;
    let label = Label {
        name,
        pop,
        username: text_of(&mut fields, "username")?,
        serial,
        security: security(&fields)?,
    };
    if label.name.is_none() && label.pop.is_none() && label.serial.is_none() {
        return Err(LabelError::Nothing);
    }
    Ok(label)
}

/// Takes a text out of the object; absent, null and empty are the same.
fn text_of(fields: &mut Map<String, Value>, key: &'static str) -> Result<Option<String>, LabelError> {
    match fields.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(LabelError::Field {
            key,
            expected: "text in quotes",
        }),
    }
}

fn name(name: Option<String>) -> Result<Option<String>, LabelError> {
    match name.as_ref().map(String::len) {
        Some(length) if length > MAX_NAME => Err(LabelError::NameTooLong(length)),
        _ => Ok(name),
    }
}

fn transport(transport: &Option<String>) -> Result<(), LabelError> {
    match transport.as_deref() {
        None => Ok(()),
        Some(text) if text.eq_ignore_ascii_case("ble") => Ok(()),
        Some(text) if text.eq_ignore_ascii_case("softap") => Err(LabelError::SoftAp),
        Some(text) => Err(LabelError::Transport(text.to_owned())),
    }
}

fn network(kind: &Option<String>) -> Result<(), LabelError> {
    match kind.as_deref() {
        None => Ok(()),
        Some(text) if text.eq_ignore_ascii_case("wifi") => Ok(()),
        Some(text) if text.eq_ignore_ascii_case("thread") => Err(LabelError::Thread),
        Some(text) => Err(LabelError::NetworkKind(text.to_owned())),
    }
}

/// The scheme as a number, or as a number in quotes, which makers print too.
fn security(fields: &Map<String, Value>) -> Result<Option<u8>, LabelError> {
    let number = match fields.get("security") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    match number {
        Some(scheme @ 0..=2) => Ok(u8::try_from(scheme).ok()),
        Some(scheme) => Err(LabelError::Security(scheme)),
        None => Err(LabelError::Field {
            key: "security",
            expected: "0, 1 or 2",
        }),
    }
}

/// `<name>|<pop>|<b or s>`; the proof may be empty, and may itself hold a bar.
fn from_compact(rest: &str) -> Result<Label, LabelError> {
    let (device, rest) = rest.split_once('|').ok_or(LabelError::Compact)?;
    let (pop, transport) = rest.rsplit_once('|').ok_or(LabelError::Compact)?;
    match transport {
        "b" | "B" => {}
        "s" | "S" => return Err(LabelError::SoftAp),
        "" => return Err(LabelError::Compact),
        _ => return Err(LabelError::CompactEnd),
    }
    if device.is_empty() {
        return Err(LabelError::Compact);
    }
    Ok(Label {
        name: name(Some(device.to_owned()))?,
        pop: (!pop.is_empty()).then(|| Pop::new(pop)),
        ..Label::default()
    })
}

/// The JSON in a URL's `data=` parameter: percent-encoded, or raw as firmware prints it.
fn from_url(url: &str) -> Result<Label, LabelError> {
    let (at, _) = url
        .match_indices("data=")
        .find(|(at, _)| {
            url.get(..*at)
                .is_some_and(|before| before.ends_with(['?', '&', '#']))
        })
        .ok_or(LabelError::NoData)?;
    let at = at + "data=".len();
    let data = url.get(at..).unwrap_or_default();
    if data.starts_with('{') {
        return from_json(data);
    }
    let end = data.find(['&', '#']).unwrap_or(data.len());
    let decoded = percent_decode(data.get(..end).unwrap_or_default(), at)?;
    if decoded.is_empty() {
        return Err(LabelError::NoData);
    }
    from_json(&decoded)
}

/// Undoes percent-encoding (RFC 3986, 2.1); a plus sign stays one. `at` is where `text` begins, for the error.
fn percent_decode(text: &str, at: usize) -> Result<Zeroizing<String>, LabelError> {
    // Full capacity from the start: a buffer that grows leaves copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes().enumerate();
    while let Some((offset, byte)) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |next: Option<(usize, u8)>| {
            next.and_then(|(_, digit)| char::from(digit).to_digit(16))
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or(LabelError::PercentEncoding(at + offset + 1))
        };
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(high << 4 | low);
    }
    match core::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(error) => Err(LabelError::PercentEncoding(at + error.valid_up_to() + 1)),
    }
}

/// A PoP as a person types it: one word.
fn from_typed(text: &str) -> Result<Label, LabelError> {
    let is_word = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    // What quotes or braces are in is a piece of a damaged code, not a word that somebody typed.
    if !is_word || text.contains(['"', '{', '}']) {
        return Err(LabelError::Unknown);
    }
    Ok(Label {
        pop: Some(Pop::new(text)),
        ..Label::default()
    })
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use proptest::prelude::*;

    fn label(name: &str, pop: &str) -> Label {
        Label {
            name: Some(name.into()),
            pop: Some(Pop::new(pop)),
            ..Label::default()
        }
    }

    #[test]
    fn reads_every_form_of_a_good_label() {
        let table = [
            (
                r#"{"ver":"v1","name":"PROV_01B1E8","username":"wifiprov","pop":"abcd1234","transport":"ble"}"#,
                Label {
                    username: Some("wifiprov".into()),
                    ..label("PROV_01B1E8", "abcd1234")
                },
            ),
            (
                r#"{"ver":"v1","name":"PROV_3cd3d8","pop":"b33cd3d8","transport":"ble"}"#,
                label("PROV_3cd3d8", "b33cd3d8"),
            ),
            (
                r#" {"name":"PROV_1","pop":"p","transport":"BLE","security":1,"serial":"SN-1","colour":"red"} "#,
                Label {
                    security: Some(1),
                    serial: Some(Serial::new("SN-1").unwrap()),
                    ..label("PROV_1", "p")
                },
            ),
            (
                r#"{"name":"PROV_1","pop":"p","transport":"ble","network":"wifi","security":"2"}"#,
                Label {
                    security: Some(2),
                    ..label("PROV_1", "p")
                },
            ),
            (
                r#"{"name":"PROV_1","pop":"","username":null,"transport":"ble"}"#,
                Label {
                    pop: None,
                    ..label("PROV_1", "")
                },
            ),
            (
                "https://espressif.github.io/esp-jumpstart/qrcode.html?data=%7B%22name%22%3A%22PROV_1%22%2C%22pop%22%3A%22a%26b%2B%22%2C%22transport%22%3A%22ble%22%7D&x=1",
                label("PROV_1", "a&b+"),
            ),
            (
                r#"https://example.test/q?x=1&data={"name":"PROV_1","pop":"a&b#c","transport":"ble"}"#,
                label("PROV_1", "a&b#c"),
            ),
            ("NP:PROV_1|abcd1234|b", label("PROV_1", "abcd1234")),
            ("np:PROV_1|a|b|b", label("PROV_1", "a|b")),
            (
                "NP:PROV_1||b",
                Label {
                    pop: None,
                    ..label("PROV_1", "")
                },
            ),
            (
                "\u{feff}abcd1234\r\n",
                Label {
                    name: None,
                    ..label("", "abcd1234")
                },
            ),
        ];
        for (text, expected) in table {
            assert_eq!(Label::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_with_every_bad_label() {
        let field = |key, expected| LabelError::Field { key, expected };
        let table = [
            ("", LabelError::Empty),
            (" \n", LabelError::Empty),
            (r#"{"ver":"v1","name":"PROV_1","po"#, LabelError::Truncated),
            ("{", LabelError::Truncated),
            (r#"{"name":PROV_1}"#, LabelError::Malformed(9)),
            (r#"{"name":7,"pop":"p"}"#, field("name", "text in quotes")),
            (
                r#"{"name":"PROV_1","pop":12345678}"#,
                field("pop", "text in quotes"),
            ),
            (
                r#"{"name":"PROV_1","security":true}"#,
                field("security", "0, 1 or 2"),
            ),
            (
                r#"{"name":"PROV_1","security":-1}"#,
                field("security", "0, 1 or 2"),
            ),
            (r#"{"name":"PROV_1","security":3}"#, LabelError::Security(3)),
            (
                r#"{"name":"PROV_1","serial":"a b"}"#,
                LabelError::Serial(SerialError::Character(' ')),
            ),
            (r#"{"name":"PROV_1","transport":"softap"}"#, LabelError::SoftAp),
            (r#"{"name":"PROV_1","transport":"SoftAP"}"#, LabelError::SoftAp),
            (
                r#"{"name":"PROV_1","transport":"usb"}"#,
                LabelError::Transport("usb".into()),
            ),
            (r#"{"name":"PROV_1","network":"thread"}"#, LabelError::Thread),
            (
                r#"{"name":"PROV_1","network":"lora"}"#,
                LabelError::NetworkKind("lora".into()),
            ),
            (r#"{"ver":"v1"}"#, LabelError::Nothing),
            (
                r#"{"name":"PROV_456789012345678901234567890"}"#,
                LabelError::NameTooLong(32),
            ),
            ("https://example.test/", LabelError::NoData),
            ("https://example.test/?metadata=1", LabelError::NoData),
            ("https://example.test/?data=", LabelError::NoData),
            ("http://a.test/?data=%7", LabelError::PercentEncoding(21)),
            ("http://a.test/?data=%zz", LabelError::PercentEncoding(21)),
            ("http://a.test/?data=%ff", LabelError::PercentEncoding(21)),
            ("http://a.test/?data=hello", LabelError::Malformed(1)),
            ("NP:PROV_1", LabelError::Compact),
            ("NP:PROV_1|abcd1234", LabelError::Compact),
            ("NP:PROV_1|abcd1234|", LabelError::Compact),
            ("NP:|abcd1234|b", LabelError::Compact),
            ("NP:PROV_1|abcd1234|s", LabelError::SoftAp),
            ("NP:PROV_1|abcd1234|x", LabelError::CompactEnd),
            // The last part is a piece of a proof with a bar in it, whose end is missing.
            ("NP:PROV_1|abcd|1234", LabelError::CompactEnd),
            ("MT:Y.K9042C00KA0648G00", LabelError::Matter),
            ("WIFI:T:WPA;S:plant;P:secret;;", LabelError::Wifi),
            ("two words", LabelError::Unknown),
            (r#""name":"PROV_1"}"#, LabelError::Unknown),
        ];
        for (text, expected) in table {
            assert_eq!(Label::parse(text), Err(expected), "{text}");
        }
        assert_eq!(Label::parse(&"x".repeat(513)), Err(LabelError::TooLong(513)));
    }

    #[test]
    fn debug_of_a_label_hides_its_pop() {
        let label = Label::parse("NP:PROV_1|hush|b").unwrap();
        assert!(!format!("{label:?}").contains("hush"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC{0,600}") {
            let _ = Label::parse(&text);
        }

        #[test]
        fn a_label_survives_json_and_url(name in "[A-Za-z0-9_ ]{1,29}", pop in "\\PC{1,40}") {
            let json = serde_json::json!({ "name": name, "pop": pop, "transport": "ble" });
            let json = serde_json::to_string(&json).unwrap();
            let expected = Ok(label(&name, &pop));
            prop_assert_eq!(&Label::parse(&json), &expected);
            let encoded: String = json.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let url = format!("https://a.test/?data={encoded}");
            prop_assume!(url.len() <= MAX_LABEL);
            prop_assert_eq!(&Label::parse(&url), &expected);
        }
    }
}
