//! The client's own computing in a Security 2 handshake: three messages made or read, the device's half not counted.

use std::time::{Duration, Instant};

use commission::dialect::espressif::security::sec2::{Credentials, Verifier};
use commission::dialect::espressif::security::srp::XRule;
use commission::dialect::espressif::security::{Credentials as Any, Handshake, Protection, Responder, Step};
use commission::dialect::espressif::wire::version::Patch;
use commission::secret::{Entropy, Pop};
use engine::system::SystemEntropy;

/// Handshakes measured.
const TIMES: usize = 101;

/// What each handshake took the client, the fastest first.
pub(crate) fn client_time() -> Vec<Duration> {
    let mut entropy = SystemEntropy::new().expect("random numbers");
    let pop = Pop::new("three-blue-boats");
    let mut salt = [0; 16];
    entropy.fill(&mut salt);
    let verifier = Verifier::generate("wifiprov", &pop, &salt, XRule::Rfc);
    let mut device = Responder::new(Protection::Sec2 {
        verifier,
        patch: Patch::Counter,
    });
    let mut times: Vec<Duration> = (0..TIMES)
        .map(|_| once(&mut device, &pop, &mut entropy))
        .collect();
    times.sort_unstable();
    times
}

fn once(device: &mut Responder, pop: &Pop, entropy: &mut SystemEntropy) -> Duration {
    let credentials = Any::Sec2(Credentials {
        username: "wifiprov".into(),
        password: pop.clone(),
        patch: Patch::Counter,
        rule: XRule::Rfc,
    });
    let begun = Instant::now();
    let (mut handshake, mut message) = Handshake::start(credentials, entropy);
    let mut spent = begun.elapsed();
    loop {
        let answer = device.handle(&message, entropy).expect("the device's answer");
        let begun = Instant::now();
        let step = handshake.response(&answer).expect("the client's answer");
        spent += begun.elapsed();
        match step {
            Step::Done(_) => return spent,
            Step::Send(next, bytes) => (handshake, message) = (next, bytes),
        }
    }
}
