//! What a device, or a client, says on cloud-status and blink.
#![no_main]

use commission::dialect::espressif::{blink, cloud_status};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = cloud_status::decode_request(data);
    let _ = cloud_status::decode_response(data);
    let _ = blink::decode_request(data);
    let _ = blink::decode_response(data);
});
