//! What a device, or a client, says on cloud-cred, and the bundle that it carries.
#![no_main]

use commission::dialect::espressif::cloud_cred::{self, ClaimBundle, Request};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = Request::decode(data);
    let _ = cloud_cred::decode_response(data);
    let _ = ClaimBundle::decode(data);
});
