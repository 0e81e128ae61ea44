//! The text of a label, whoever printed it.
#![no_main]

use commission::label::Label;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Label::parse(text);
    }
});
