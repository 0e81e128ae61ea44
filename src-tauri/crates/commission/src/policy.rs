//! What the organisation allows, and how long each thing may take: data, so that a profile can state it.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dialect::{Capabilities, Strength};
use crate::fault::Fault;
use crate::mending::{Kind, holds};

/// Whether a device must prove its identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityPolicy {
    /// A device that cannot is refused, and so is one whose key neither the cloud nor a maker vouches for.
    Required,
    /// A device that can must; one that cannot is known by its label only.
    #[default]
    WhenOffered,
    /// Not asked for.
    Off,
}

/// What to do with a device that takes Wi-Fi settings but no claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlainDevices {
    /// Refused.
    #[default]
    Refuse,
    /// Given Wi-Fi only, when the cloud shows that it enrols by a credential of its own.
    WifiOnly,
}

/// The organisation's policy. Every default is the strict side; each relaxation is a decision of its own
/// (rule 8 of the design).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Secrets may go over an unencrypted dialect (Espressif Security 0).
    pub allow_unencrypted: bool,
    /// Secrets may go over a session that no PoP protects.
    pub allow_no_pop: bool,
    /// Secrets may go over Security 2 with the old nonce rule (patch 0), which reuses nonces.
    pub allow_nonce_reuse: bool,
    /// Proof of identity.
    pub identity: IdentityPolicy,
    /// Devices without our credential endpoints.
    pub plain_devices: PlainDevices,
    /// The claim may be fetched while the device scans for networks, so that its latency is hidden.
    pub prefetch_claim: bool,
    /// A network that the device sees weaker than this, in dBm, needs a person's yes.
    pub weakest_network: i16,
    /// Links at once.
    pub links: u8,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            allow_unencrypted: false,
            allow_no_pop: false,
            allow_nonce_reuse: false,
            identity: IdentityPolicy::default(),
            plain_devices: PlainDevices::default(),
            prefetch_claim: true,
            weakest_network: -80,
            links: 4,
        }
    }
}

/// What is known of a device from its label, the journal or its maker's list: the least that is taken from it. Whoever
/// answers with less is another device, or somebody in between (rule 5 of how the rules are kept).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Least {
    /// How its session is protected.
    pub strength: Strength,
    /// It can prove its identity.
    pub identity: bool,
}

impl Least {
    /// Whether a device that offers this can be the one that is known.
    ///
    /// # Errors
    /// [`Fault::Downgraded`] where it offers less.
    pub fn permit(self, offered: &Capabilities) -> Result<(), Fault> {
        // Which nonces a device uses may show in the handshake only; whether it may reuse them is the policy's business.
        let known = self.strength.min(Strength::ReusedNonces);
        if offered.strength < known && holds(Kind::NoDowngrade) {
            return Err(Fault::Downgraded {
                known: known.words(),
                offered: offered.strength.words(),
            });
        }
        if self.identity && !offered.identity {
            return Err(Fault::Downgraded {
                known: "a proof of identity",
                offered: "none",
            });
        }
        Ok(())
    }
}

impl Policy {
    /// Whether secrets may go to a device that offers this, before anything is proven to it.
    ///
    /// # Errors
    /// [`Fault::Downgraded`] where it offers less than is known of it; else the one relaxation that the policy would need.
    pub fn permit(&self, least: Least, offered: &Capabilities) -> Result<(), Fault> {
        let identity = least.identity && self.identity != IdentityPolicy::Off;
        Least { identity, ..least }.permit(offered)?;
        if !offered.encrypted && !self.allow_unencrypted {
            return Err(Fault::Unencrypted);
        }
        if !offered.pop && !self.allow_no_pop {
            return Err(Fault::Unproven);
        }
        if offered.nonce_reuse && !self.allow_nonce_reuse {
            return Err(Fault::NonceReuse);
        }
        Ok(())
    }
}

/// Deadlines and paces. Numbers are starting points from published logs and firmware sources, not promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// One attempt to connect and discover. BlueZ resolves services within seconds or not at all.
    pub link: Duration,
    /// Attempts to connect, with `link_pause` doubling between them.
    pub link_attempts: u8,
    /// First pause between attempts to connect.
    pub link_pause: Duration,
    /// One GATT operation: ATT's own time-out is 30 s (Bluetooth Core 5.4, Vol 3, Part F, 3.3.3).
    pub gatt: Duration,
    /// The device's network scan, which takes 2 to 4 s on an ESP32.
    pub scan: Duration,
    /// Pause between looks at a scan under way.
    pub scan_pace: Duration,
    /// From apply to an address; firmware itself waits 1 s, then 3 to 6 s are usual and coexistence may need 30.
    pub join: Duration,
    /// Pause between looks at the join. Firmware tears the link down 1 s after the first Connected answer.
    pub join_pace: Duration,
    /// From joined to registered and seen online. The claim's own life bounds it too.
    pub enrol: Duration,
    /// Pause between looks at enrolment over the link.
    pub enrol_pace: Duration,
    /// Pause after a look at the cloud that failed, doubling to eight times of it.
    pub cloud_pause: Duration,
    /// One command to the device, from its first operation to its last; a scan has `scan`, a claim its own life.
    pub command: Duration,
    /// After a link lost past apply: how long the device is left alone before it is looked for again. It needs 3 to
    /// 6 s to join, and most often the cloud has answered by then.
    pub settle: Duration,
    /// How long passing trouble with the cloud is waited out, and how long one answer may take.
    pub cloud: Duration,
    /// How long a job waits, awake, for a radio that is off or gone.
    pub radio: Duration,
    /// Wrong PoPs after which we stop by ourselves: RainMaker firmware locks after 5.
    pub pop_attempts: u8,
    /// How long a question may stay unanswered before the link is given back.
    pub question: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            link: Duration::from_secs(20),
            link_attempts: 3,
            link_pause: Duration::from_millis(500),
            gatt: Duration::from_secs(31),
            scan: Duration::from_secs(15),
            scan_pace: Duration::from_millis(100),
            join: Duration::from_secs(60),
            join_pace: Duration::from_millis(500),
            enrol: Duration::from_secs(90),
            enrol_pace: Duration::from_millis(500),
            cloud_pause: Duration::from_secs(1),
            command: Duration::from_secs(60),
            settle: Duration::from_secs(5),
            cloud: Duration::from_secs(60),
            radio: Duration::from_secs(30 * 60),
            pop_attempts: 3,
            question: Duration::from_secs(180),
        }
    }
}
