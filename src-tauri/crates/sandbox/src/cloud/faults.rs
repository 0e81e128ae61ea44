//! What goes wrong in the cloud, changeable while it runs.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Endpoint;
use super::broker::Code;

/// The faults that are switched on. The default is a cloud with none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CloudFaults {
    /// Milliseconds before a claim is answered.
    pub claim_delay_ms: u64,
    /// Every claim is refused with this problem code.
    pub claim_refused: Option<Code>,
    /// Life of the claims that are issued from now on, in milliseconds, instead of the configured one. The answer
    /// says so honestly, rounded down to seconds.
    pub claim_life_ms: Option<u64>,
    /// This many claims are dead at the MQTT server as soon as they are issued, whatever the answer promised; counts
    /// down.
    pub expire_first: u32,
    /// This many claim requests are answered with 429 first; counts down.
    pub throttle_first: u32,
    /// Claims send the device there instead.
    pub claim_endpoint: Option<Endpoint>,
    /// Every broker call is answered with 503.
    pub broker_down: bool,
    /// The provisioning template is not enabled.
    pub template_disabled: bool,
    /// The policies that the template names are not in the account.
    pub policies_missing: bool,
    /// Serials that the pre-provisioning hook refuses.
    pub hook_refuses: BTreeSet<String>,
    /// Where the MQTT server hangs up without a word.
    pub mqtt_hang_up: Option<HangUp>,
    /// How often it does so; counts down. Nothing happens at zero.
    pub mqtt_hang_ups_left: u32,
    /// Milliseconds before RegisterThing is answered.
    pub enrol_delay_ms: u64,
    /// RegisterThing is rejected with this error code, before anything else is looked at.
    pub register_rejected: Option<String>,
    /// The MQTT server takes no connection.
    pub mqtt_down: bool,
    /// Permanent identities are accepted by RegisterThing but get no connection: registered, never seen online.
    pub never_online: bool,
    /// This many calls of AWS IoT, to its control plane or its data plane, are refused with ThrottlingException first;
    /// counts down.
    pub aws_throttle_first: u32,
    /// This many signed calls of any AWS service are refused first because their keys are said to be over; counts down.
    pub aws_keys_over_first: u32,
    /// Every call of any AWS service is answered with 503, also those for keys.
    pub aws_down: bool,
    /// Life of the AWS keys that are handed out from now on, in milliseconds, instead of what was asked for. The answer
    /// says so honestly, rounded down to seconds.
    pub aws_keys_life_ms: Option<u64>,
    /// Fleet indexing is off, so that AWS IoT's control plane cannot tell who is online; its data plane can.
    pub aws_index_off: bool,
    /// Milliseconds that each line of a bulk registration takes.
    pub aws_bulk_line_ms: u64,
    /// Life of the links to reports of bulk registrations that are given from now on, in milliseconds.
    pub aws_link_life_ms: Option<u64>,
    /// The cloud's clock is this many seconds ahead (or, negative, behind).
    pub clock_skew_s: i64,
}

/// A place where the MQTT server hangs up without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HangUp {
    /// When a claim connects.
    ClaimConnect,
    /// When a certificate is asked for.
    Create,
    /// When RegisterThing arrives, before it is done.
    RegisterBefore,
    /// After RegisterThing was done, before it is answered.
    RegisterAfter,
}

/// The switchboard: shared by every part of one cloud and by whoever drives it.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<CloudFaults>>);

impl Faults {
    pub(crate) fn new(faults: CloudFaults) -> Self {
        Self(Arc::new(Mutex::new(faults)))
    }

    /// The faults as they are now.
    pub fn now(&self) -> CloudFaults {
        self.with(|faults| faults.clone())
    }

    /// Replaces all faults.
    pub fn set(&self, faults: CloudFaults) {
        self.with(|current| *current = faults);
    }

    /// Changes some faults in one go.
    pub fn change(&self, change: impl FnOnce(&mut CloudFaults)) {
        self.with(change);
    }

    pub(crate) fn throttles(&self) -> bool {
        self.with(|faults| count_down(&mut faults.throttle_first))
    }

    pub(crate) fn throttles_aws(&self) -> bool {
        self.with(|faults| count_down(&mut faults.aws_throttle_first))
    }

    pub(crate) fn ends_keys(&self) -> bool {
        self.with(|faults| count_down(&mut faults.aws_keys_over_first))
    }

    pub(crate) fn expires(&self) -> bool {
        self.with(|faults| count_down(&mut faults.expire_first))
    }

    pub(crate) fn hangs_up(&self, place: HangUp) -> bool {
        self.with(|faults| {
            let hit = faults.mqtt_hang_up == Some(place) && faults.mqtt_hang_ups_left > 0;
            if hit {
                faults.mqtt_hang_ups_left -= 1;
            }
            hit
        })
    }

    pub(crate) fn claim_delay(&self) -> Duration {
        self.with(|faults| Duration::from_millis(faults.claim_delay_ms))
    }

    pub(crate) fn bulk_line_delay(&self) -> Duration {
        self.with(|faults| Duration::from_millis(faults.aws_bulk_line_ms))
    }

    pub(crate) fn enrol_delay(&self) -> Duration {
        self.with(|faults| Duration::from_millis(faults.enrol_delay_ms))
    }

    fn with<T>(&self, f: impl FnOnce(&mut CloudFaults) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Whether there was one left.
fn count_down(left: &mut u32) -> bool {
    let hit = *left > 0;
    *left = left.saturating_sub(1);
    hit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counted_fault_stops_by_itself() {
        let faults = Faults::new(CloudFaults {
            throttle_first: 2,
            ..CloudFaults::default()
        });
        assert_eq!(
            [faults.throttles(), faults.throttles(), faults.throttles()],
            [true, true, false]
        );
        faults.change(|now| {
            now.mqtt_hang_up = Some(HangUp::Create);
            now.mqtt_hang_ups_left = 1;
        });
        assert!(!faults.hangs_up(HangUp::RegisterAfter));
        assert!(faults.hangs_up(HangUp::Create));
        assert!(!faults.hangs_up(HangUp::Create));
    }
}
