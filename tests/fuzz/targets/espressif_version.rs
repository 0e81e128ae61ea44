//! What a device says on proto-ver.
#![no_main]

use commission::dialect::espressif::wire::version::Version;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(version) = Version::decode(data) {
        let _ = (version.scheme(), version.patch(), version.no_pop());
        // What was understood can be said again and means the same.
        assert_eq!(Version::decode(&version.encode()).as_ref(), Ok(&version));
    }
});
