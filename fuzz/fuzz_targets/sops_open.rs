//! See `waxwing_fuzz::sops_open`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| waxwing_fuzz::sops_open(bytes));
