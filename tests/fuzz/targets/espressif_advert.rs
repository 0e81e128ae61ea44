//! Manufacturer data in an advertisement.
#![no_main]

use commission::dialect::espressif::advert::RainMaker;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = RainMaker::parse(data);
});
