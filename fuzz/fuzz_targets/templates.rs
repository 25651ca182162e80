//! See `waxwing_fuzz::templates`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| waxwing_fuzz::templates(bytes));
