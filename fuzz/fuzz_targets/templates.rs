//! Templates of SealedSecrets: any text is run or refused, the same way twice, and no error holds a value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_formats::go_template::{Allowance, GoTemplate, Values};

const CANARY: &str = "canary-7f3a";

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let values = || Values::new([("a", CANARY.as_bytes()), ("b", &[0xff, 0x00][..]), ("c", text.as_bytes())].into_iter());
    let Ok(template) = GoTemplate::parse("t", text) else { return };
    let first = template.render(&values(), &mut Allowance::default());
    let second = template.render(&values(), &mut Allowance::default());
    match (first, second) {
        (Ok(first), Ok(second)) => assert!(first.ct_eq(&second), "a template made two things"),
        (Err(first), Err(second)) => {
            assert_eq!(first, second);
            assert!(!format!("{first} {first:?}").contains(CANARY), "an error holds a value");
        }
        _ => panic!("a template failed once"),
    }
});
