//! See `waxwing_fuzz::stored`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| waxwing_fuzz::stored(bytes));
