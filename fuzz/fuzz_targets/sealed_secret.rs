//! SealedSecret items, Secrets to seal and certificates: any bytes are read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_formats::sealed_secret::{Certificate, PlainSecret, SealedItem};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = SealedItem::parse(text);
    }
    let _ = PlainSecret::parse(bytes);
    let _ = Certificate::from_pem(bytes);
});
