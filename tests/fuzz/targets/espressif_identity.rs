//! What a device, or a client, says on identity.
#![no_main]

use commission::dialect::espressif::identity::{self, Request};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Request::decode(data);
    let _ = identity::decode_response(data);
    let _ = identity::decode_answer(data, &[1; 32], &[2; 32]);
});
