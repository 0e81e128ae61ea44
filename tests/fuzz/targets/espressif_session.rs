//! What a device, or a client, says on prov-session.
#![no_main]

use commission::dialect::espressif::wire::session::Message;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Message::decode(data);
});
