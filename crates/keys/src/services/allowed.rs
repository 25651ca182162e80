//! Which keys of a service may be used: the list that whoever runs the cluster wrote, compared with what a committed file names.
//!
//! Compared part by part, never as a prefix: `*` stands for one whole part and `{namespace}` for the tenant's namespace, so that
//! nothing in a file can reach beyond the part that it stands in. Addresses are not patterns: a backend has one address, and a file
//! must name exactly that. What is not listed is refused before any call.

use super::{AwsKey, AzureKey, GcpKey, ServiceKey, VaultKey};

/// The stand-in for the tenant's namespace.
const NAMESPACE: &str = "{namespace}";

/// A pattern for keys of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPattern {
    key: Vec<String>,
    /// The role that a file may want to be assumed, of AWS.
    role: Option<Vec<String>>,
}

/// Why a pattern is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{pattern:?} is no pattern of keys: {why}")]
pub struct KeyPatternError {
    pattern: String,
    why: &'static str,
}

/// Takes names apart: ARNs at colons and slashes, all others at slashes.
fn parts(text: &str) -> Vec<&str> {
    match text.starts_with("arn:") {
        true => text.split([':', '/']).collect(),
        false => text.split('/').collect(),
    }
}

impl KeyPattern {
    /// Reads a pattern: of AWS an ARN, behind which the role that may be assumed may stand after a plus; of Google Cloud a resource
    /// id; of Azure `keys/NAME`; of a transit engine `ENGINE/keys/NAME`.
    ///
    /// # Errors
    /// Fails if it has an address, if a part is empty, or has a `*` or a brace that does not stand for the whole of it.
    pub fn parse(pattern: &str) -> Result<Self, KeyPatternError> {
        let refused = |why| KeyPatternError { pattern: pattern.to_owned(), why };
        let (key, role) = match pattern.split_once("+arn:") {
            Some((key, role)) => (key, Some(format!("arn:{role}"))),
            None => (pattern, None),
        };
        let read = |text: &str| {
            // The region and account of a role are empty.
            let is_arn = text.starts_with("arn:");
            let is_fine = |part: &&str| is_arn || !part.is_empty();
            let is_literal = |part: &str| !part.contains(['*', '{', '}', '%']);
            match parts(text) {
                _ if text.contains("://") => Err(refused("the address of a server is no part of it")),
                parts if !parts.iter().all(is_fine) => Err(refused("a part of it is empty")),
                parts if !parts.iter().all(|part| is_literal(part) || ["*", NAMESPACE].contains(part)) => {
                    Err(refused("* and {namespace} stand for whole parts only"))
                }
                parts => Ok(parts.into_iter().map(str::to_owned).collect()),
            }
        };
        Ok(Self { key: read(key)?, role: role.as_deref().map(read).transpose()? })
    }

    /// Tells whether a key that a file of a tenant in `namespace` names may be used. The address of a server is not part of it.
    pub fn allows(&self, key: &ServiceKey, namespace: &str) -> bool {
        let matches = |pattern: &[String], text: &str| {
            let parts = parts(text);
            let is_one = |(pattern, part): (&String, &&str)| match pattern.as_str() {
                "*" => !part.is_empty() && ![".", ".."].contains(part),
                NAMESPACE => *part == namespace,
                literal => literal == *part,
            };
            pattern.len() == parts.len() && pattern.iter().zip(&parts).all(is_one)
        };
        let wants_role = match key {
            ServiceKey::Aws(AwsKey { role, .. }) => role.as_deref(),
            _ => None,
        };
        let role = match (&self.role, wants_role) {
            (_, None) => true,
            (Some(pattern), Some(role)) => matches(pattern, role),
            (None, Some(_)) => false,
        };
        role && matches(&self.key, &name(key))
    }
}

/// Returns what a pattern is compared with.
fn name(key: &ServiceKey) -> String {
    match key {
        ServiceKey::Aws(AwsKey { arn, .. }) => arn.clone(),
        ServiceKey::Gcp(GcpKey { resource_id }) => resource_id.clone(),
        ServiceKey::Azure(AzureKey { name, .. }) => format!("keys/{name}"),
        ServiceKey::Vault(VaultKey { engine_path, key_name, .. }) => format!("{engine_path}/keys/{key_name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn aws(text: &str) -> ServiceKey {
        ServiceKey::Aws(AwsKey::parse(text, &BTreeMap::new(), "").unwrap())
    }

    fn vault(engine_path: &str, key_name: &str) -> ServiceKey {
        let (engine_path, key_name) = (engine_path.to_owned(), key_name.to_owned());
        ServiceKey::Vault(VaultKey { address: "https://v".to_owned(), engine_path, key_name })
    }

    fn allows(pattern: &str, key: &ServiceKey) -> bool {
        KeyPattern::parse(pattern).unwrap().allows(key, "shop")
    }

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/abc";

    #[test]
    fn a_key_is_allowed_by_itself_and_by_patterns_of_its_parts() {
        assert!(allows(KEY, &aws(KEY)));
        assert!(allows("arn:aws:kms:*:111122223333:key/*", &aws(KEY)));
        assert!(allows(
            "arn:aws:kms:*:111122223333:alias/{namespace}",
            &aws("arn:aws:kms:eu-west-1:111122223333:alias/shop")
        ));
        assert!(allows("transit/keys/{namespace}", &vault("transit", "shop")));
        assert!(allows("team/*/keys/k", &vault("team/transit", "k")));
    }

    #[test]
    fn nothing_in_a_file_reaches_beyond_the_part_it_stands_in() {
        for (pattern, key) in [
            (KEY, aws("arn:aws:kms:eu-west-1:111122223333:key/abcd")),
            ("arn:aws:kms:*:111122223333:key/*", aws("arn:aws:kms:eu-west-1:444455556666:key/abc")),
            ("arn:aws:kms:*:111122223333:alias/*", aws("arn:aws:kms:eu-west-1:111122223333:alias/a/b")),
            ("arn:aws:kms:*:111122223333:alias/{namespace}", aws("arn:aws:kms:eu-west-1:111122223333:alias/bank")),
            ("transit/keys/*", vault("transit", "a/b")),
            ("transit/keys/*", vault("transit/keys", "a")),
            ("transit/keys/*", vault("transit", "..")),
            ("transit/keys/*", vault("transit", "")),
            ("transit/keys/{namespace}", vault("transit", "{namespace}")),
        ] {
            assert!(!allows(pattern, &key), "{pattern} {key}");
        }
    }

    #[test]
    fn keys_of_google_and_azure_are_allowed_part_by_part_too() {
        let google = |text: &str| ServiceKey::Gcp(GcpKey { resource_id: text.to_owned() });
        let azure = |name: &str| {
            let (vault_url, name) = ("https://v.vault.azure.net".to_owned(), name.to_owned());
            ServiceKey::Azure(AzureKey { vault_url, name, version: "0a".to_owned() })
        };
        let ring = "projects/acme/locations/*/keyRings/sops/cryptoKeys/{namespace}";
        assert!(allows(ring, &google("projects/acme/locations/eu/keyRings/sops/cryptoKeys/shop")));
        for other in [
            "projects/acme/locations/eu/keyRings/sops/cryptoKeys/bank",
            "projects/evil/locations/eu/keyRings/sops/cryptoKeys/shop",
            "projects/acme/locations/eu/keyRings/sops/cryptoKeys/shop/cryptoKeyVersions/1",
            "projects/acme/locations/../keyRings/sops/cryptoKeys/shop",
        ] {
            assert!(!allows(ring, &google(other)), "{other}");
        }
        assert!(allows("keys/{namespace}", &azure("shop")) && allows("keys/*", &azure("bank")));
        for other in ["bank", "shop/0a", "SHOP", "", ".."] {
            assert!(!allows("keys/{namespace}", &azure(other)), "{other}");
        }
    }

    #[test]
    fn a_role_is_assumed_only_if_it_is_listed_with_the_key() {
        let role = "arn:aws:iam::111122223333:role/deploy";
        let key = aws(&format!("{KEY}+{role}"));
        assert!(!allows(KEY, &key));
        assert!(allows(&format!("{KEY}+{role}"), &key));
        assert!(allows(&format!("{KEY}+arn:aws:iam::111122223333:role/*"), &key));
        assert!(!allows(&format!("{KEY}+arn:aws:iam::444455556666:role/*"), &key));
        assert!(allows(&format!("{KEY}+{role}"), &aws(KEY)));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "",
            "transit//keys/k",
            "transit/keys/shop-*",
            "transit/keys/{name}",
            "transit/keys/%2e%2e",
            "/transit/keys/k",
        ] {
            assert!(KeyPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
