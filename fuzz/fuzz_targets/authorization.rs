#![no_main]
//! An `Authorization` header: refused or taken apart.
use nilometer_access::{Credential, decode_basic, parse_authorization};

libfuzzer_sys::fuzz_target!(|header: &[u8]| {
    if let Ok(Credential::Basic(base64)) = parse_authorization(header) {
        drop(decode_basic(base64));
    }
});
