//! What a device, or a client, says on prov-ctrl.
#![no_main]

use commission::dialect::espressif::wire::ctrl;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = ctrl::Request::decode(data);
    let _ = ctrl::Response::decode(data);
});
