//! What the device says about itself, as capabilities.

use alloc::format;
use alloc::string::String;

use super::Espressif;
use crate::dialect::espressif::endpoints::{self, PROV_CTRL, PROV_SCAN};
use crate::dialect::espressif::offer::Offer;
use crate::dialect::espressif::wire::WireError;
use crate::dialect::espressif::wire::version::{Patch, Scheme, Version};
use crate::dialect::{Capabilities, Report, Strength};
use crate::fault::Fault;

/// Longest version text that is shown.
const VER_SHOWN: usize = 32;
/// The words of the scheme that is protected by a PoP or by none.
const SECURITY_1: &str = "security 1";

impl Espressif {
    /// Takes the answer of `proto-ver`.
    pub(super) fn described(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let version = Version::decode(bytes).map_err(|error| Fault::Protocol(format!("{error}")))?;
        let scheme = version.scheme().map_err(unsupported)?;
        let patch = version.patch().map_err(unsupported)?;
        if version.can("thread_prov") && !version.can("wifi_prov") {
            return Err(Fault::Protocol("it is a Thread device, without Wi-Fi".into()));
        }
        let offer = Offer::of(&version);
        if let Some(offer) = &offer {
            self.endpoints.assume(offer);
        }
        let scan = version.can("wifi_scan").then_some(PROV_SCAN);
        for promised in offer.iter().flat_map(endpoints::offered).chain(scan) {
            self.endpoints.get(promised)?;
        }
        let own = offer.clone().unwrap_or_default();
        self.capabilities = Capabilities {
            network_scan: scan.is_some(),
            retry_in_place: self.endpoints.has(PROV_CTRL),
            keep_link: own.keep_link,
            claims: own.claims,
            identity: own.identity,
            enrol_status: own.status,
            blink: own.blink,
            pop: match scheme {
                Scheme::Sec0 => false,
                Scheme::Sec1 => !version.no_pop(),
                Scheme::Sec2 => true,
            },
            ..Capabilities::default()
        };
        self.offer = offer;
        self.version = Some(version);
        self.secured_by(scheme, patch);
        self.reports
            .push_back(Report::Described(self.capabilities.clone()));
        Ok(())
    }

    /// Corrects the capabilities to a scheme and nonce rule; gives the scheme's words.
    pub(super) fn secured_by(&mut self, scheme: Scheme, patch: Patch) -> String {
        let words = words(scheme, patch);
        let ver: String = self
            .version
            .iter()
            .flat_map(|version| version.ver.chars())
            .filter(|c| !c.is_control())
            .take(VER_SHOWN)
            .collect();
        self.capabilities.strength = match words {
            SECURITY_1 if !self.capabilities.pop => Strength::Encryption,
            words => strength_of(words),
        };
        self.capabilities.encrypted = scheme != Scheme::Sec0;
        self.capabilities.nonce_reuse = scheme == Scheme::Sec2 && patch == Patch::Constant;
        self.capabilities.summary = format!("Espressif {ver}, {words}");
        words.into()
    }
}

/// The words under which a session is remembered.
fn words(scheme: Scheme, patch: Patch) -> &'static str {
    match (scheme, patch) {
        (Scheme::Sec0, _) => "security 0",
        (Scheme::Sec1, _) => SECURITY_1,
        (Scheme::Sec2, Patch::Constant) => "security 2 patch 0",
        (Scheme::Sec2, Patch::Counter) => "security 2 patch 1",
    }
}

/// How a session of these words is protected where it proved a PoP.
pub(in crate::dialect) fn strength_of(scheme: &str) -> Strength {
    match scheme {
        SECURITY_1 => Strength::GuessablePop,
        "security 2 patch 0" => Strength::ReusedNonces,
        "security 2 patch 1" => Strength::Full,
        _ => Strength::Nothing,
    }
}

fn unsupported(error: WireError) -> Fault {
    match error {
        WireError::Unknown { value, .. } => {
            Fault::UnsupportedScheme(u32::try_from(value).unwrap_or(u32::MAX))
        }
        error => Fault::Protocol(format!("{error}")),
    }
}
