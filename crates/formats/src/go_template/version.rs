//! Versions as `Masterminds/semver` 3.4 reads and compares them: more loosely than Semantic Versioning says.

use std::cmp::Ordering;

use zeroize::Zeroizing;

use super::error::Fault;

/// The longest version or constraint in bytes.
pub(super) const MAX_TEXT: usize = 4 << 10;

const NO_VERSION: Fault = Fault::Failed("is given what is no version");

/// A version, which may be a value: its texts are wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    /// What stands between `-` and `+`.
    pub(super) pre: Zeroizing<String>,
    /// What stands behind `+`.
    pub(super) metadata: Zeroizing<String>,
    /// The text that it was read from.
    pub(super) original: Zeroizing<String>,
}

/// Returns a text that may be a version or a constraint.
pub(super) fn checked(bytes: &[u8]) -> Result<&str, Fault> {
    match bytes.len() <= MAX_TEXT {
        true => std::str::from_utf8(bytes).map_err(|_| NO_VERSION),
        false => Err(Fault::Limit("4 KiB of version")),
    }
}

impl Version {
    /// Reads up to three numbers with an optional `v` before them; missing ones are 0, and leading zeros pass.
    pub(super) fn read(text: &str) -> Result<Self, Fault> {
        let (rest, metadata) = text.split_once('+').map_or((text, None), |(rest, data)| (rest, Some(data)));
        let (rest, pre) = rest.split_once('-').map_or((rest, None), |(rest, pre)| (rest, Some(pre)));
        let rest = rest.strip_prefix('v').unwrap_or(rest);
        let numbers: Vec<u64> = rest.split('.').map(number).collect::<Option<_>>().ok_or(NO_VERSION)?;
        let parts = |part: Option<&str>| part.is_none_or(|part| part.split('.').all(is_part));
        let has_zeros =
            |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|c| c.is_ascii_digit());
        let is_pre = !pre.is_some_and(|pre| pre.split('.').any(has_zeros));
        match numbers.as_slice() {
            [major, others @ ..] if others.len() < 3 && parts(pre) && parts(metadata) && is_pre => Ok(Self {
                major: *major,
                minor: others.first().copied().unwrap_or_default(),
                patch: others.get(1).copied().unwrap_or_default(),
                pre: wiped(pre.unwrap_or_default()),
                metadata: wiped(metadata.unwrap_or_default()),
                original: wiped(text),
            }),
            _ => Err(NO_VERSION),
        }
    }

    /// Compares versions; what stands behind `+` does not count.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => compare_pre(&self.pre, &other.pre),
        })
    }

    /// Returns the version as it is printed.
    pub(super) fn text(&self) -> Zeroizing<String> {
        let Self { major, minor, patch, pre, metadata, .. } = self;
        let numbers = format!("{major}.{minor}.{patch}");
        let mut text = Zeroizing::new(String::with_capacity(numbers.len() + pre.len() + metadata.len() + 2));
        text.push_str(&numbers);
        for (mark, part) in [('-', pre), ('+', metadata)].into_iter().filter(|(_, part)| !part.is_empty()) {
            text.push(mark);
            text.push_str(part);
        }
        text
    }
}

fn wiped(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn number(digits: &str) -> Option<u64> {
    // `parse` takes a sign.
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

fn is_part(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Compares what stands behind `-`, part by part.
pub(super) fn compare_pre(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.split('.'), b.split('.'));
    loop {
        let (one, two) = (a.next(), b.next());
        if one.is_none() && two.is_none() {
            return Ordering::Equal;
        }
        let order = compare_part(one.unwrap_or_default(), two.unwrap_or_default());
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Nothing comes before numbers, numbers come before words.
fn compare_part(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (false, false) => match (number(a), number(b)) {
            _ if a == b => Ordering::Equal,
            (Some(one), Some(two)) => one.cmp(&two),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => a.cmp(b),
        },
        (a, b) => b.cmp(&a),
    }
}
