//! `proto-ver`: what the firmware is, which security scheme it wants, what it can do. JSON text, never
//! encrypted; the request's content is ignored, but it must have some.
//!
//! Not in scope: what an app object's capabilities mean.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use super::WireError;

/// What to write to `proto-ver`: anything but nothing.
pub const REQUEST: &[u8] = b"ESP";

const NAME: &str = "proto-ver answer";
const PROV: &str = "prov";

/// What a device says about itself. Its texts are a stranger's: they may hold control characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// Such as `v1.1` (ESP-IDF's wifi_provisioning) or `netprov-v1.2` (network_provisioning).
    pub ver: String,
    /// The security scheme; absent before ESP-IDF 5.0. [`Version::scheme`] knows what follows then.
    pub sec_ver: Option<u32>,
    /// The scheme's patch; absent before 5.1.7, 5.2.6, 5.3.3, 5.4.1 and 5.5.0. [`Version::patch`] knows.
    pub sec_patch_ver: Option<u32>,
    /// What the firmware can do, in its order.
    pub caps: Vec<String>,
    /// What the application adds, by name.
    pub apps: BTreeMap<String, App>,
}

/// What an application on the device says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct App {
    /// The application's own version.
    pub ver: String,
    /// What it can do, in its order.
    pub caps: Vec<String>,
}

/// A security scheme of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// 0: no encryption.
    Sec0,
    /// 1: X25519, a proof of possession or none, AES-CTR.
    Sec1,
    /// 2: SRP-6a and AES-GCM.
    Sec2,
}

/// How scheme 2 forms the nonce of each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Patch {
    /// 0: the same nonce for all messages of both directions, which exposes how plaintexts differ and lets tags
    /// be forged; old firmware knows no better.
    Constant,
    /// 1: one counter that both directions share.
    Counter,
}

impl Version {
    /// Reads the answer. Very old firmware answers with a bare string: that is a version without capabilities.
    ///
    /// # Errors
    /// When nothing came, when it is no printable text, when JSON breaks off, or when a field that decides about security is of a wrong kind:
    /// guessing there could weaken the session.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        if bytes.is_empty() {
            return Err(WireError::Empty { message: NAME });
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(members)) => Self::from_object(members),
            _ if bytes.trim_ascii_start().starts_with(b"{") => Err(WireError::Malformed { message: NAME }),
            _ => {
                let text = core::str::from_utf8(bytes).unwrap_or_default();
                let ver = text.trim_matches(['\0', '"', ' ', '\r', '\n']);
                // Noise is no version of a firmware that can do little.
                if ver.is_empty() || ver.chars().any(char::is_control) {
                    return Err(WireError::Malformed { message: NAME });
                }
                Ok(Self {
                    ver: ver.to_string(),
                    ..Self::default()
                })
            }
        }
    }

    fn from_object(members: serde_json::Map<String, Value>) -> Result<Self, WireError> {
        let mut version = Self::default();
        for (name, member) in members {
            if name == PROV {
                version.ver = text(&member, "ver").ok_or(WireError::Malformed { message: NAME })?;
                version.sec_ver = number(&member, "sec_ver", "security scheme")?;
                version.sec_patch_ver = number(&member, "sec_patch_ver", "security patch")?;
                version.caps = caps(&member).ok_or(WireError::Malformed { message: NAME })?;
            } else if let (Some(ver), Some(caps)) = (text(&member, "ver"), caps(&member)) {
                version.apps.insert(name, App { ver, caps });
            }
        }
        Ok(version)
    }

    /// The exact bytes that firmware sends: cJSON's pretty print, app objects first.
    pub fn encode(&self) -> Vec<u8> {
        let objects: Vec<String> = self
            .apps
            .iter()
            .map(|(name, app)| {
                (
                    name,
                    [member("ver", &quoted(&app.ver)), member("cap", &list(&app.caps))].join(",\n"),
                )
            })
            .chain([(&PROV.to_string(), self.own_members().join(",\n"))])
            .map(|(name, members)| alloc::format!("\t{}:\t{{\n{members}\n\t}}", quoted(name)))
            .collect();
        alloc::format!("{{\n{}\n}}", objects.join(",\n")).into_bytes()
    }

    fn own_members(&self) -> Vec<String> {
        let mut members = alloc::vec![member("ver", &quoted(&self.ver))];
        members.extend(self.sec_ver.map(|scheme| member("sec_ver", &scheme.to_string())));
        members.extend(
            self.sec_patch_ver
                .map(|patch| member("sec_patch_ver", &patch.to_string())),
        );
        members.push(member("cap", &list(&self.caps)));
        members
    }

    /// Whether the firmware names this capability.
    pub fn can(&self, cap: &str) -> bool {
        self.caps.iter().any(|own| own == cap)
    }

    /// The scheme to use. Where the device names none: scheme 0 if it has `no_sec`, otherwise 1.
    ///
    /// # Errors
    /// [`WireError::Unknown`] for a scheme that this program does not speak.
    pub fn scheme(&self) -> Result<Scheme, WireError> {
        match self.sec_ver {
            Some(0) => Ok(Scheme::Sec0),
            Some(1) => Ok(Scheme::Sec1),
            Some(2) => Ok(Scheme::Sec2),
            Some(other) => Err(WireError::Unknown {
                field: "security scheme",
                value: other.into(),
            }),
            None if self.can("no_sec") => Ok(Scheme::Sec0),
            None => Ok(Scheme::Sec1),
        }
    }

    /// How scheme 2 forms its nonces; matters for that scheme alone.
    ///
    /// # Errors
    /// [`WireError::Unknown`] for a patch that this program does not speak.
    pub fn patch(&self) -> Result<Patch, WireError> {
        match self.sec_patch_ver {
            None | Some(0) => Ok(Patch::Constant),
            Some(1) => Ok(Patch::Counter),
            Some(other) => Err(WireError::Unknown {
                field: "security patch",
                value: other.into(),
            }),
        }
    }

    /// Whether scheme 1 is used without a proof of possession: one that the label gives must then be left out,
    /// or the session fails.
    pub fn no_pop(&self) -> bool {
        self.can("no_pop")
    }
}

fn text(object: &Value, name: &str) -> Option<String> {
    object.get(name)?.as_str().map(Into::into)
}

fn number(object: &Value, name: &str, field: &'static str) -> Result<Option<u32>, WireError> {
    let Some(value) = object.get(name) else {
        return Ok(None);
    };
    let unknown = || WireError::Unknown {
        field,
        value: value.as_i64().unwrap_or(-1),
    };
    value
        .as_u64()
        .and_then(|number| number.try_into().ok())
        .map(Some)
        .ok_or_else(unknown)
}

/// The strings of `cap`; none where it is absent, and `None` where it is no list.
fn caps(object: &Value) -> Option<Vec<String>> {
    match object.get("cap") {
        None => Some(Vec::new()),
        Some(Value::Array(caps)) => Some(caps.iter().filter_map(Value::as_str).map(Into::into).collect()),
        Some(_) => None,
    }
}

fn member(name: &str, value: &str) -> String {
    alloc::format!("\t\t\"{name}\":\t{value}")
}

fn list(caps: &[String]) -> String {
    let caps: Vec<String> = caps.iter().map(|cap| quoted(cap)).collect();
    alloc::format!("[{}]", caps.join(", "))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(ver: &str, sec_ver: Option<u32>, sec_patch_ver: Option<u32>, caps: &[&str]) -> Version {
        let caps = caps.iter().map(ToString::to_string).collect();
        Version {
            ver: ver.into(),
            sec_ver,
            sec_patch_ver,
            caps,
            apps: BTreeMap::new(),
        }
    }

    #[test]
    fn the_answer_has_the_bytes_seen_on_real_firmware() {
        let scheme_2 = version("netprov-v1.2", Some(2), Some(1), &["wifi_prov", "wifi_scan"]);
        let golden = "{\n\t\"prov\":\t{\n\t\t\"ver\":\t\"netprov-v1.2\",\n\t\t\"sec_ver\":\t2,\n\
                      \t\t\"sec_patch_ver\":\t1,\n\t\t\"cap\":\t[\"wifi_prov\", \"wifi_scan\"]\n\t}\n}";
        assert_eq!(core::str::from_utf8(&scheme_2.encode()), Ok(golden));
        assert_eq!(golden.len(), 116);
        assert_eq!(Version::decode(golden.as_bytes()), Ok(scheme_2));

        let scheme_0 = version(
            "netprov-v1.2",
            Some(0),
            Some(0),
            &["no_sec", "wifi_prov", "wifi_scan"],
        );
        assert_eq!(scheme_0.encode().len(), 126);
        assert_eq!(Version::decode(&scheme_0.encode()), Ok(scheme_0));
    }

    #[test]
    fn app_objects_come_first_and_are_kept() {
        let mut both = version("v1.1", Some(1), None, &[]);
        both.apps.insert(
            "rmaker".into(),
            App {
                ver: "1.0".into(),
                caps: alloc::vec!["claim".into()],
            },
        );
        let golden = "{\n\t\"rmaker\":\t{\n\t\t\"ver\":\t\"1.0\",\n\t\t\"cap\":\t[\"claim\"]\n\t},\n\
                      \t\"prov\":\t{\n\t\t\"ver\":\t\"v1.1\",\n\t\t\"sec_ver\":\t1,\n\t\t\"cap\":\t[]\n\t}\n}";
        assert_eq!(core::str::from_utf8(&both.encode()), Ok(golden));
        assert_eq!(Version::decode(golden.as_bytes()), Ok(both));
    }

    #[test]
    fn what_is_absent_follows_from_the_rest() {
        let old = Version::decode(br#"{"prov":{"ver":"v1.1","cap":["wifi_scan"]}}"#).unwrap();
        assert_eq!(
            (old.scheme(), old.patch()),
            (Ok(Scheme::Sec1), Ok(Patch::Constant))
        );
        assert!(!old.no_pop() && old.can("wifi_scan"));
        let no_sec = Version::decode(br#"{"prov":{"ver":"v1.1","cap":["no_sec"]}}"#).unwrap();
        assert_eq!(no_sec.scheme(), Ok(Scheme::Sec0));
        let no_pop = Version::decode(br#"{"prov":{"ver":"v1.1","sec_ver":1,"cap":["no_pop"]}}"#).unwrap();
        assert!(no_pop.no_pop());
        assert_eq!(no_pop.scheme(), Ok(Scheme::Sec1));
    }

    #[test]
    fn a_bare_string_is_a_version_without_capabilities() {
        for (answer, ver) in [
            ("V0.1", "V0.1"),
            ("SUCCESS", "SUCCESS"),
            ("\"FAIL\"", "FAIL"),
            ("1.0", "1.0"),
            ("v0\0", "v0"),
        ] {
            let read = Version::decode(answer.as_bytes()).unwrap();
            assert_eq!(
                read,
                Version {
                    ver: ver.into(),
                    ..Version::default()
                }
            );
            assert_eq!(read.scheme(), Ok(Scheme::Sec1));
        }
    }

    #[test]
    fn noise_is_no_version() {
        for noise in [&[0xff, 0xfe][..], b"v1\x01", b"\0\0", b"\"\"", b"a\x1b[2J"] {
            assert_eq!(
                Version::decode(noise),
                Err(WireError::Malformed { message: NAME }),
                "{noise:?}"
            );
        }
    }

    #[test]
    fn no_cut_of_the_answer_passes_for_another_answer() {
        let whole = version("netprov-v1.2", Some(2), Some(1), &["wifi_scan"]).encode();
        assert_eq!(Version::decode(&[]), Err(WireError::Empty { message: NAME }));
        for cut in 1..whole.len() {
            assert_eq!(
                Version::decode(&whole[..cut]),
                Err(WireError::Malformed { message: NAME })
            );
        }
    }

    #[test]
    fn what_decides_about_security_is_never_guessed() {
        let unknown = |field, value| Err(WireError::Unknown { field, value });
        let decode = |text: &str| Version::decode(text.as_bytes());
        assert_eq!(
            decode(r#"{"prov":{"ver":"v9","sec_ver":"2"}}"#),
            unknown("security scheme", -1)
        );
        assert_eq!(
            decode(r#"{"prov":{"ver":"v9","sec_ver":-3}}"#),
            unknown("security scheme", -3)
        );
        assert_eq!(
            decode(r#"{"prov":{"ver":"v9","sec_ver":2,"sec_patch_ver":1.5}}"#),
            unknown("security patch", -1)
        );
        let third = decode(r#"{"prov":{"ver":"v9","sec_ver":3,"sec_patch_ver":2}}"#).unwrap();
        assert_eq!(
            third.scheme(),
            Err(WireError::Unknown {
                field: "security scheme",
                value: 3
            })
        );
        assert_eq!(
            third.patch(),
            Err(WireError::Unknown {
                field: "security patch",
                value: 2
            })
        );
        for malformed in [
            r#"{"prov":[]}"#,
            r#"{"prov":{"ver":1}}"#,
            r#"{"prov":{"ver":"v1.1","cap":"no_sec"}}"#,
        ] {
            assert_eq!(
                decode(malformed),
                Err(WireError::Malformed { message: NAME }),
                "{malformed}"
            );
        }
    }

    #[test]
    fn what_is_not_of_an_apps_shape_is_left_out() {
        let read =
            Version::decode(br#"{"n":1,"a":{"cap":[]},"b":{"ver":"1","cap":[1,"x"]},"prov":{"ver":"v1.1"}}"#);
        let apps = read.unwrap().apps;
        assert_eq!(
            apps,
            [(
                "b".into(),
                App {
                    ver: "1".into(),
                    caps: alloc::vec!["x".into()]
                }
            )]
            .into()
        );
    }

    proptest! {
        #[test]
        fn every_version_survives_the_wire(
            ver in ".*",
            sec_ver: Option<u32>,
            sec_patch_ver: Option<u32>,
            caps in proptest::collection::vec(".*", 0..4),
            apps in proptest::collection::btree_map("[a-z\\PC]{1,8}", (".*", proptest::collection::vec(".*", 0..3)), 0..3),
        ) {
            let apps = apps
                .into_iter()
                .filter(|(name, _)| name != PROV)
                .map(|(name, (ver, caps))| (name, App { ver, caps }))
                .collect();
            let version = Version { ver, sec_ver, sec_patch_ver, caps, apps };
            prop_assert_eq!(Version::decode(&version.encode()), Ok(version));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Version::decode(&bytes);
        }

        #[test]
        fn any_text_after_a_brace_is_read_without_panic(text in "\\{.{0,60}") {
            let _ = Version::decode(text.as_bytes());
        }
    }
}
