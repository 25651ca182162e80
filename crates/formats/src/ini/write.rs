//! Writes INI, in the spelling of that library: delimiters aligned, an empty line between sections.

use std::borrow::Cow;

use super::DEFAULT;
use crate::SecretBytes;

/// A section that is written.
pub(crate) struct OutSection<'a> {
    pub(crate) name: &'a str,
    pub(crate) comment: Cow<'a, [u8]>,
    pub(crate) keys: Vec<OutKey<'a>>,
}

/// A key that is written.
pub(crate) struct OutKey<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: Cow<'a, [u8]>,
    pub(crate) comment: Cow<'a, [u8]>,
}

/// Writes all sections in their order. What is secret is copied once, into the result.
pub(crate) fn write(sections: &[OutSection<'_>]) -> SecretBytes {
    let mut parts = Vec::new();
    for (at, section) in sections.iter().enumerate() {
        let is_first_default = at == 0 && section.name == DEFAULT;
        if is_first_default && section.keys.is_empty() {
            continue;
        }
        comment(&mut parts, &section.comment, |line| line);
        if !is_first_default {
            parts.extend([text("["), text(section.name), text("]\n")]);
        }
        keys(&mut parts, &section.keys);
        if at + 1 < sections.len() {
            parts.push(text("\n"));
        }
    }
    SecretBytes::concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())
}

/// What is written next. Whatever is secret is borrowed.
type Part<'a> = Cow<'a, [u8]>;

fn text(text: &str) -> Part<'_> {
    Cow::Borrowed(text.as_bytes())
}

fn keys<'a>(parts: &mut Vec<Part<'a>>, keys: &'a [OutKey<'_>]) {
    let names: Vec<Cow<'a, str>> = keys.iter().map(|key| quoted_name(key.name)).collect();
    let width = names.iter().map(|name| name.len()).max().unwrap_or(0);
    for (key, name) in keys.iter().zip(names) {
        comment(parts, &key.comment, trim);
        let spaces = " ".repeat(width - name.len());
        parts.push(Cow::Owned(format!("{name}{spaces} = ").into_bytes()));
        let quote = quote_of(&key.value);
        parts.extend([text(quote), Cow::Borrowed(&*key.value), text(quote), text("\n")]);
    }
}

fn quoted_name(name: &str) -> Cow<'_, str> {
    match name {
        _ if name.contains(['"', '=', ':']) => format!("`{name}`").into(),
        _ if name.contains('`') => format!("\"\"\"{name}\"\"\"").into(),
        _ => name.into(),
    }
}

fn quote_of(value: &[u8]) -> &'static str {
    let has = |bytes: &[u8]| value.iter().any(|byte| bytes.contains(byte));
    match value {
        _ if has(b"\n`") => "\"\"\"",
        _ if has(b"#;") => "`",
        _ if trim(value).len() != value.len() => "\"",
        _ => "",
    }
}

fn comment<'a>(parts: &mut Vec<Part<'a>>, comment: &'a [u8], trimmed: impl Fn(&'a [u8]) -> &'a [u8]) {
    if comment.is_empty() {
        return;
    }
    for line in comment.split(|byte| *byte == b'\n') {
        let (sign, rest) = match line.split_first() {
            Some((b'#', rest)) => ("# ", trim(rest)),
            Some((b';', rest)) => ("; ", trim(rest)),
            _ => ("; ", trimmed(line)),
        };
        parts.extend([text(sign), Cow::Borrowed(rest), text("\n")]);
    }
}

/// Cuts off the white space of Unicode, or of ASCII where the bytes are no text.
fn trim(bytes: &[u8]) -> &[u8] {
    std::str::from_utf8(bytes).map_or_else(|_| bytes.trim_ascii(), |text| text.trim().as_bytes())
}
