//! What a device, or a client, says on prov-scan.
#![no_main]

use commission::dialect::espressif::wire::scan;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = scan::Request::decode(data);
    let _ = scan::Response::decode(data);
    let _ = scan::wifi_rows(data);
});
