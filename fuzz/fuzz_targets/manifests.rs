//! See `waxwing_fuzz::manifests`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| waxwing_fuzz::manifests(bytes));
