//! What a device, or a client, says on prov-config.
#![no_main]

use commission::dialect::espressif::wire::config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = config::Request::decode(data);
    let _ = config::Response::decode(data);
    let _ = config::wifi_status(data);
});
