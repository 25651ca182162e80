//! See `waxwing_fuzz::references`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| waxwing_fuzz::references(bytes));
