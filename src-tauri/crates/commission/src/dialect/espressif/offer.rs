//! What a device with our endpoints announces in `proto-ver`: the app object `fieldkey`.
//!
//! A plain Espressif device has no such object and so no [`Offer`]. Not in scope: what the endpoints do.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::wire::version::{App, Version};
use crate::claim::ClaimForm;

/// The app object's name in `proto-ver`.
pub const APP: &str = "fieldkey";
/// The version of our endpoints that this program speaks; the number before the dot changes when old programs must
/// stay away.
pub const VERSION: &str = "1.0";

const CRED: &str = "cred_v1";
const CHUNK_400: &str = "chunk_400";
const STATUS: &str = "status";
const IDENTITY: &str = "identity";
const BLINK: &str = "blink";
const KEEP_LINK: &str = "keep_link";
const LOCKOUT: &str = "lockout_";

/// The forms of claim and their capabilities.
const FORMS: [(ClaimForm, &str); 5] = [
    (ClaimForm::Certificate, "claim_certificate"),
    (ClaimForm::PublicKey, "claim_public_key"),
    (ClaimForm::Sas, "claim_sas"),
    (ClaimForm::SymmetricKey, "claim_symmetric_key"),
    (ClaimForm::Tpm, "claim_tpm"),
];

/// Which of our endpoints a device has, and how it uses them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// `cloud-cred` is there.
    pub credentials: bool,
    /// It takes, and sends, pieces of up to 400 bytes instead of 200.
    pub chunk_400: bool,
    /// The forms of claim that it takes, best first.
    pub claims: Vec<ClaimForm>,
    /// `cloud-status` is there.
    pub status: bool,
    /// `identity` is there.
    pub identity: bool,
    /// `blink` is there.
    pub blink: bool,
    /// The link lives on after the device joined, so that enrolment can be watched over it.
    pub keep_link: bool,
    /// Wrong PoPs after which the device takes no further one until it is switched off and on.
    pub lockout: Option<u8>,
}

impl Offer {
    /// Reads the offer out of what a device says about itself. `None` where it has no app object of ours, or one of
    /// a version that this program does not speak.
    pub fn of(version: &Version) -> Option<Self> {
        let app = version.apps.get(APP)?;
        let major = |text: &str| text.split('.').next().map(ToString::to_string);
        if major(&app.ver) != major(VERSION) {
            return None;
        }
        let can = |cap: &str| app.caps.iter().any(|own| own == cap);
        let credentials = can(CRED);
        let claims = app
            .caps
            .iter()
            .filter_map(|cap| FORMS.iter().find(|(_, name)| name == cap))
            .map(|(form, _)| *form)
            .filter(|_| credentials)
            .collect();
        Some(Self {
            credentials,
            chunk_400: can(CHUNK_400),
            claims,
            status: can(STATUS),
            identity: can(IDENTITY),
            blink: can(BLINK),
            keep_link: can(KEEP_LINK),
            lockout: app
                .caps
                .iter()
                .find_map(|cap| cap.strip_prefix(LOCKOUT)?.parse().ok()),
        })
    }

    /// The app object that announces this offer.
    pub fn to_app(&self) -> App {
        let forms = self
            .claims
            .iter()
            .filter_map(|form| FORMS.iter().find(|(own, _)| own == form))
            .map(|(_, name)| *name);
        let caps = [
            self.credentials.then_some(CRED),
            self.chunk_400.then_some(CHUNK_400),
            self.status.then_some(STATUS),
            self.identity.then_some(IDENTITY),
            self.blink.then_some(BLINK),
        ];
        let mut caps: Vec<String> = caps.into_iter().flatten().chain(forms).map(Into::into).collect();
        caps.extend(self.keep_link.then(|| KEEP_LINK.into()));
        caps.extend(self.lockout.map(|tries| alloc::format!("{LOCKOUT}{tries}")));
        App {
            ver: VERSION.into(),
            caps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn version(app: App) -> Version {
        Version {
            apps: [(APP.into(), app)].into(),
            ..Version::default()
        }
    }

    fn full() -> Offer {
        Offer {
            credentials: true,
            chunk_400: true,
            claims: vec![ClaimForm::PublicKey, ClaimForm::Certificate],
            status: true,
            identity: true,
            blink: true,
            keep_link: true,
            lockout: Some(5),
        }
    }

    #[test]
    fn an_offer_survives_the_app_object_with_the_order_of_its_claims() {
        for offer in [full(), Offer::default()] {
            assert_eq!(Offer::of(&version(offer.to_app())), Some(offer));
        }
    }

    #[test]
    fn a_plain_device_offers_nothing() {
        assert_eq!(Offer::of(&Version::default()), None);
        let mut rainmaker = version(App::default());
        rainmaker.apps = [("rmaker".into(), App::default())].into();
        assert_eq!(Offer::of(&rainmaker), None);
    }

    #[test]
    fn a_later_minor_version_is_spoken_to_and_a_later_major_one_is_not() {
        let of = |ver: &str| {
            Offer::of(&version(App {
                ver: ver.into(),
                ..full().to_app()
            }))
        };
        assert_eq!(of("1.7"), Some(full()));
        assert_eq!(of("2.0"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn unknown_capabilities_are_ignored_and_claims_need_their_endpoint() {
        let caps = ["levitate", "claim_sas", "lockout_x"].map(String::from).to_vec();
        let offer = Offer::of(&version(App {
            ver: "1.0".into(),
            caps,
        }));
        assert_eq!(offer, Some(Offer::default()));
    }
}
