//! A device's answers to our handshake, and a client's to the device's.
#![no_main]

use commission::dialect::espressif::security::{Credentials, Handshake, Protection, Responder, Step};
use commission::secret::Pop;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut steady = |bytes: &mut [u8]| bytes.fill(7);
    let pop = || Some(Pop::new("abcd1234"));
    let (handshake, _) = Handshake::start(Credentials::Sec1 { pop: pop() }, &mut steady);
    let split = data.len() / 2;
    let (first, second) = data.split_at(split);
    if let Ok(Step::Send(handshake, _)) = handshake.response(first) {
        let _ = handshake.response(second);
    }
    let mut responder = Responder::new(Protection::Sec1 { pop: pop() });
    let _ = responder.handle(first, &mut steady);
    let _ = responder.handle(second, &mut steady);
});
