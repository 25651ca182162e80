//! See `waxwing_fuzz::wrapped`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| waxwing_fuzz::wrapped(bytes));
