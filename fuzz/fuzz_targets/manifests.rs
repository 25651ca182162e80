//! YAML of manifests: any bytes are read or refused, never more.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_formats::yaml;

fuzz_target!(|bytes: &[u8]| {
    let _ = yaml::manifests(bytes);
});
