//! Keys of AWS KMS in files of sops before 3.3.0, which wrapped the data key under a wrong encryption context.
//!
//! Of a context with several values sops took one, whichever came up, for all of its names, and wrote down the right one. So such a
//! key is asked for under the context in the file, and then, in the end, once for each of the values. Nothing is asked that
//! whoever wrote the file could not have written into it. Source: `GetKMSKeyWithEncryptionCtx` and `RecoverDataKeyFromBuggyKMS` of sops
//! 3.13.3, `cmd/sops/common/common.go`.

use std::collections::BTreeSet;

use super::seal::Terms;
use crate::key_request::WrappedKey;

/// The version that has it right.
const RIGHT: [u64; 3] = [3, 3, 0];
/// So many values of a context are tried.
const MAX_VALUES: usize = 16;

impl Terms {
    /// Tells whether a key of the file may be wrapped under another encryption context than the file says, which is known by its
    /// version alone.
    pub fn may_have_mixed_contexts(&self) -> bool {
        self.mixed_contexts().next().is_some()
    }

    /// Returns such keys as they may have been wrapped, with their groups.
    pub(super) fn mixed_contexts(&self) -> impl Iterator<Item = (usize, WrappedKey)> {
        let is_old = self.version.as_deref().is_some_and(is_before_it_was_right);
        let groups = self.groups.iter().enumerate().filter(move |_| is_old);
        let keys = groups.flat_map(|(group, keys)| keys.iter().map(move |key| (group, &key.wrapped)));
        keys.flat_map(|(group, wrapped)| mixed(wrapped).into_iter().map(move |wrapped| (group, wrapped)))
    }
}

fn mixed(wrapped: &WrappedKey) -> Vec<WrappedKey> {
    let WrappedKey::AwsKms { arn, role, context, profile, enc } = wrapped else { return Vec::new() };
    let values: BTreeSet<&String> = context.values().collect();
    if values.len() < 2 {
        return Vec::new();
    }
    let with = |value: &String| WrappedKey::AwsKms {
        arn: arn.clone(),
        role: role.clone(),
        context: context.keys().map(|name| (name.clone(), value.clone())).collect(),
        profile: profile.clone(),
        enc: enc.clone(),
    };
    values.into_iter().take(MAX_VALUES).map(with).collect()
}

/// Tells whether a version is an older one; those before 2 have two parts. What is no version is none.
fn is_before_it_was_right(version: &str) -> bool {
    let version = version.strip_prefix('v').unwrap_or(version);
    let parts: Option<Vec<u64>> = version.split('.').map(|part| part.parse().ok()).collect();
    version.starts_with("1.") || parts.is_some_and(|parts| parts.len() == RIGHT.len() && parts.as_slice() < &RIGHT[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_before_3_3_0_are_older() {
        for (version, is_older) in [
            ("1.18", true),
            ("1.0", true),
            ("2.0.9", true),
            ("3.2.0", true),
            ("v3.0.5", true),
            ("3.3.0", false),
            ("3.13.3", false),
            ("10.0.0", false),
            ("3", false),
            ("", false),
        ] {
            assert_eq!(is_before_it_was_right(version), is_older, "{version}");
        }
    }
}
