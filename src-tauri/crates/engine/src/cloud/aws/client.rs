//! A signed call: paced, with keys that are renewed, AWS's time, and as many tries as make sense.
//!
//! Tried again here: keys that ended on the way (once), a clock that AWS contradicts (once), and throttling, which is
//! a call that was not made and may so be made again even where it is not idempotent. All else is the flow's to weigh.

use std::sync::Arc;
use std::time::Duration;

use ::http::Method;
use url::Url;

use super::keys::{KeySource, Numbered};
use super::operation::Operation;
use super::refusal::Reason;
use super::sign::signed;
use super::wire::{Trouble, Wire, request};
use crate::cloud::http::Answer;
use crate::cloud::pace::Pace;

/// Claims: AWS limits them by the second for a whole account, which all installers share.
const CLAIM_PACE: (Duration, u32) = (Duration::from_millis(500), 2);
/// Everything else.
const READ_PACE: (Duration, u32) = (Duration::from_millis(200), 5);
/// First pause after throttling; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(500);
/// Tries of a call that is throttled; the flow waits longer than that, and tells the person.
const TRIES: u32 = 4;

/// Calls to AWS IoT.
pub(super) struct Client {
    pub(super) wire: Arc<Wire>,
    keys: KeySource,
    region: String,
    claims: Pace,
    reads: Pace,
}

/// What is asked.
pub(super) struct Call<'a> {
    pub(super) operation: Operation,
    pub(super) base: &'a Url,
    pub(super) method: Method,
    /// Path and query, escaped.
    pub(super) target: String,
}

/// Calls whose parameters stand in a body, all of which may be left out; AWS's own clients send it all the same.
fn body(operation: Operation) -> (Option<&'static str>, &'static [u8]) {
    match operation {
        Operation::GetThingConnectivityData => (Some("application/json"), b"{}"),
        _ => (None, b""),
    }
}

impl Client {
    pub(super) fn new(wire: Arc<Wire>, keys: KeySource, region: String) -> Self {
        Self {
            wire,
            keys,
            region,
            claims: Pace::new(CLAIM_PACE.0, CLAIM_PACE.1),
            reads: Pace::new(READ_PACE.0, READ_PACE.1),
        }
    }

    /// One call; a success, or why not.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Answer, Trouble> {
        self.call_with(call, body(call.operation)).await
    }

    /// The same with a body of its own, of this kind.
    pub(super) async fn call_with(
        &self,
        call: &Call<'_>,
        content: (Option<&str>, &[u8]),
    ) -> Result<Answer, Trouble> {
        let mut tried = Tried::default();
        loop {
            let keys = self.keys.keys().await?;
            let trouble = match self.once(call, content, &keys).await {
                Err(Trouble::Refused(refusal)) => refusal,
                ended => return ended,
            };
            match tried.again(trouble.reason) {
                Again::No => return Err(trouble.into()),
                Again::Now => {}
                Again::NewKeys => self.keys.forget(&keys).await,
                Again::After(pause) => {
                    let clock = &*self.wire.clock;
                    clock.sleep_until(clock.now() + jittered(pause)).await;
                }
            }
        }
    }

    async fn once(
        &self,
        call: &Call<'_>,
        (content_type, body): (Option<&str>, &[u8]),
        keys: &Numbered,
    ) -> Result<Answer, Trouble> {
        let pace = match call.operation {
            Operation::CreateProvisioningClaim => &self.claims,
            _ => &self.reads,
        };
        pace.wait(&*self.wire.clock).await;
        let bare = request(call.base, &call.method, &call.target, content_type, body.to_vec())?;
        let service = call.operation.service().signing_name();
        let ready = signed(bare, &keys.keys, &self.region, service, self.wire.now())?;
        self.wire.send(call.operation, ready).await
    }
}

/// What was tried against a refusal.
#[derive(Default)]
struct Tried {
    new_keys: bool,
    set_right: bool,
    pauses: u32,
}

/// What to try next.
#[derive(Debug, PartialEq, Eq)]
enum Again {
    No,
    /// With AWS's time, which the refusal brought.
    Now,
    NewKeys,
    After(Duration),
}

impl Tried {
    fn again(&mut self, reason: Reason) -> Again {
        match reason {
            Reason::KeysOver if !std::mem::replace(&mut self.new_keys, true) => Again::NewKeys,
            Reason::Skew if !std::mem::replace(&mut self.set_right, true) => Again::Now,
            Reason::Throttled if self.pauses + 1 < TRIES => {
                let pause = PAUSE * (1 << self.pauses);
                self.pauses += 1;
                Again::After(pause)
            }
            _ => Again::No,
        }
    }
}

/// Between half of it and the whole, so that laptops that were refused together do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8; 1];
    // Without randomness all wait the longest.
    let share = match getrandom::fill(&mut byte) {
        Ok(()) => u32::from(byte[0]),
        Err(_) => 255,
    };
    pause / 2 + pause / 2 * share / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_is_waited_out_in_doubling_pauses_and_then_told() {
        let mut tried = Tried::default();
        let pauses: Vec<Again> = (0..4).map(|_| tried.again(Reason::Throttled)).collect();
        let after = |millis| Again::After(Duration::from_millis(millis));
        assert_eq!(pauses, [after(500), after(1000), after(2000), Again::No]);
    }

    #[test]
    fn new_keys_and_a_clock_set_right_are_tried_once_each_and_nothing_else_is() {
        let mut tried = Tried::default();
        assert_eq!(tried.again(Reason::KeysOver), Again::NewKeys);
        assert_eq!(tried.again(Reason::Skew), Again::Now);
        for reason in [
            Reason::KeysOver,
            Reason::Skew,
            Reason::Outage,
            Reason::Signature,
            Reason::Identity,
            Reason::Denied,
            Reason::Missing,
            Reason::Conflict,
            Reason::Setup,
            Reason::Invalid,
            Reason::Unknown,
        ] {
            assert_eq!(tried.again(reason), Again::No, "{reason:?}");
        }
    }

    #[test]
    fn jitter_stays_between_half_and_whole() {
        let pause = Duration::from_millis(2000);
        for _ in 0..200 {
            let jittered = jittered(pause);
            assert!((pause / 2..=pause).contains(&jittered), "{jittered:?}");
        }
    }
}
