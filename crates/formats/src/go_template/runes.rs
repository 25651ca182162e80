//! Characters in bytes that may not be UTF-8, as Go reads them: each byte that belongs to none is U+FFFD of width 1.

use memchr::memmem::Finder;

/// One character with the bytes that it was read from.
#[derive(Clone, Copy)]
pub(super) struct Rune<'a> {
    /// Nothing where the byte belongs to no character.
    pub(super) char: Option<char>,
    pub(super) bytes: &'a [u8],
}

/// Returns the characters of `text` in order.
pub(super) fn runes(text: &[u8]) -> impl Iterator<Item = Rune<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let width = match first {
            0..=0x7f => 1,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 0,
        };
        let char =
            rest.get(..width).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|text| text.chars().next());
        let (bytes, after) = rest.split_at_checked(if char.is_some() { width } else { 1 })?;
        rest = after;
        Some(Rune { char, bytes })
    })
}

/// Returns how many characters there are.
pub(super) fn count(text: &[u8]) -> usize {
    runes(text).count()
}

/// Maps every character, and what is none to U+FFFD, as `strings.Map` does.
pub(super) fn map(text: &[u8], change: impl Fn(char) -> char) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for rune in runes(text) {
        push(&mut out, change(rune.char.unwrap_or(char::REPLACEMENT_CHARACTER)));
    }
    out
}

/// Appends a character.
pub(super) fn push(out: &mut Vec<u8>, char: char) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Returns the upper-case letter, where it is one letter.
pub(super) fn upper(char: char) -> char {
    single(char, char.to_uppercase())
}

/// Returns the lower-case letter, where it is one letter.
pub(super) fn lower(char: char) -> char {
    // The only letter whose lower case is several characters, and one of them in Go.
    if char == 'İ' { 'i' } else { single(char, char.to_lowercase()) }
}

fn single(char: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => char,
    }
}

/// Tells whether Go prints the character as it is in a quoted string.
pub(super) fn is_printable(char: char) -> bool {
    if char.is_ascii() {
        return (' '..='~').contains(&char);
    }
    // Combining marks are escaped by `escape_debug` at the start of a text only, so that it gets another start.
    let mut start = String::from("a");
    start.push(char);
    start.escape_debug().count() == 2
}

/// Returns the text without the characters at its ends that `is_cut` takes; a byte that is no character stays.
pub(super) fn trim(text: &[u8], is_cut: impl Fn(char) -> bool) -> &[u8] {
    let (mut start, mut end, mut at) = (None, 0, 0);
    for rune in runes(text) {
        let next = at + rune.bytes.len();
        if !is_cut(rune.char.unwrap_or(char::REPLACEMENT_CHARACTER)) {
            start = start.or(Some(at));
            end = next;
        }
        at = next;
    }
    start.and_then(|start| text.get(start..end)).unwrap_or_default()
}

/// Returns the parts of `text` between occurrences of `separator`, at most `limit`; without a separator, its characters.
pub(super) fn split<'t>(text: &'t [u8], separator: &'t [u8], limit: usize) -> impl Iterator<Item = &'t [u8]> + Clone {
    let finder = Finder::new(separator);
    let (mut rest, mut left) = (Some(text), limit);
    std::iter::from_fn(move || {
        let text = rest?;
        left = left.checked_sub(1)?;
        let end = match (left, finder.needle()) {
            (0, _) => None,
            // An empty text has no characters, and what is left of one when all are taken is no part.
            (_, []) => Some(runes(text).next().map_or(0, |rune| rune.bytes.len())).filter(|len| *len < text.len()),
            _ => finder.find(text),
        };
        let Some(end) = end else {
            rest = None;
            return Some(text).filter(|text| !text.is_empty() || !finder.needle().is_empty());
        };
        rest = text.get(end + finder.needle().len()..);
        text.get(..end)
    })
}

/// Tells whether `part` occurs.
pub(super) fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}
