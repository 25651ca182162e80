//! Templates and the values that they see in tests.

use std::collections::BTreeMap;

use waxwing_formats::SecretBytes;
use waxwing_formats::go_template::{Allowance, GoTemplate, TemplateError, Values};

/// The values that templates see.
pub const VALUES: [(&str, &[u8]); 10] = [
    ("a", b"alpha"),
    ("bytes", &[0xff, 0xfe, b'a', 0xc3, b' ']),
    ("empty", b""),
    ("float", b"3.14"),
    ("json", br#"{"user":{"name":"eve","roles":["x","y"]},"list":[1,2.5,null],"html":"<&>"}"#),
    ("list", b"one, two,three"),
    ("number", b"42"),
    ("password", b"p@ss \"w\" <&>'$"),
    ("text", "first\n second\tline\n\nl\u{e4}st\n".as_bytes()),
    ("user", b"admin"),
];

/// Returns the templates of the table.
pub fn corpus() -> Vec<String> {
    let text = std::fs::read_to_string(super::fixtures().join("../templates/corpus.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.replace('⏎', "\n")).collect()
}

/// Renders one template among others, whose texts it sees.
pub fn rendered(key: &str, text: &str, beside: &BTreeMap<String, String>) -> Result<Vec<u8>, TemplateError> {
    let template = GoTemplate::parse(key, text)?;
    let beside = beside.iter().map(|(key, text)| (key.as_str(), text.as_bytes()));
    let values = Values::new(beside.chain(VALUES));
    template.render(&values, &mut Allowance::default()).map(|text: SecretBytes| text.expose_secret().to_vec())
}
