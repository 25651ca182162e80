//! Keys that live in key services: AWS KMS, Google Cloud KMS, Azure Key Vault, and transit engines of Vault or OpenBao.
//!
//! Here is how command lines, rules and files name such a key; which of them may be used (`allowed`), what a call can end with
//! (`error`), and what is kept of it, for whom (`cache`, `holdings`). Each service has a file that calls it; `exchange` sends for those that have
//! no library of their own, and `gcp_login` and `azure_login` make tokens of credentials that are at hand. `vault::kv` reads and writes what
//! `seal` publishes; `vault::secrets`, `aws_secrets`, `gcp_secrets` and `azure_secrets` read what references name (`newest`,
//! `store_error`): they have nothing to do with keys but for the login.
//! What is not here: where credentials come from, and which addresses may be called; whoever makes a client decides both.
//! Source: the `MasterKey` types of sops 3.13.3 (`kms`, `gcpkms`, `azkv`, `hcvault`).

mod allowed;
mod aws;
mod aws_access;
mod aws_caller;
mod aws_clients;
mod aws_secrets;
mod azure;
mod azure_login;
mod azure_secrets;
mod cache;
mod error;
mod exchange;
mod gcp;
mod gcp_login;
mod gcp_secrets;
mod holdings;
mod newest;
mod oauth;
mod origin;
mod secret_text;
pub mod service_name;
mod store_error;
mod vault;

use std::collections::BTreeMap;
use std::fmt;

use reqwest::Url;
use waxwing_formats::WrappedKey;

pub use allowed::{KeyPattern, KeyPatternError};
pub use aws::AwsKms;
pub use aws_access::AwsAccess;
pub use aws_clients::AwsClients;
pub use aws_secrets::{AwsPath, AwsSecrets};
pub use azure::AzureKeyVault;
pub use azure_login::{AzureAccess, AzureLogin, AzureProof};
pub use azure_secrets::AzureSecrets;
pub use cache::DataKeyCache;
pub use error::ServiceError;
pub use exchange::{NoConnections, Patience, Proxies, ServiceClient, Tokens};
pub use gcp::GcpKms;
pub use gcp_login::{GcpAccess, GcpAccountKey, GcpAccountKeyError, GcpLogin};
pub use gcp_secrets::GcpSecrets;
pub use holdings::{Holder, Holdings};
pub use newest::{Newest, VersionedSecret};
pub use origin::{Origin, ParseOriginError};
pub use store_error::StoreError;
pub use vault::{
    LeaseId, Lifetime, MadeSecret, StoredVersion, VaultAccess, VaultKv, VaultLeases, VaultLogin, VaultProof,
    VaultSecrets, VaultTransit,
};

/// A key of AWS KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsKey {
    /// Its ARN, of the key or of an alias.
    pub arn: String,
    /// The ARN of the role to assume before it is used.
    pub role: Option<String>,
    /// The encryption context, which must be the same when it unwraps.
    pub context: BTreeMap<String, String>,
    /// The profile of the AWS configuration to use; empty for the usual one.
    pub profile: String,
}

/// A key of Google Cloud KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcpKey {
    /// Its resource id, `projects/P/locations/L/keyRings/R/cryptoKeys/K`.
    pub resource_id: String,
}

/// A key of Azure Key Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureKey {
    /// The vault, such as `https://name.vault.azure.net`.
    pub vault_url: String,
    /// The key's name.
    pub name: String,
    /// Its version; empty for the newest, which is asked for when something is wrapped.
    pub version: String,
}

/// A key of a transit engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultKey {
    /// The server, such as `https://vault.example.com:8200`.
    pub address: String,
    /// Where the engine is mounted, such as `transit`.
    pub engine_path: String,
    /// The key's name.
    pub key_name: String,
}

/// A key of any service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceKey {
    /// Of AWS KMS.
    Aws(AwsKey),
    /// Of Google Cloud KMS.
    Gcp(GcpKey),
    /// Of Azure Key Vault.
    Azure(AzureKey),
    /// Of a transit engine.
    Vault(VaultKey),
}

/// Why a text names no key of a service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {kind}")]
pub struct ServiceKeyError {
    text: String,
    kind: &'static str,
    hint: &'static str,
}

impl ServiceKeyError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        self.hint
    }
}

impl AwsKey {
    /// Reads an ARN, behind which the role to assume may stand after a plus.
    ///
    /// # Errors
    /// Fails if it is not of the form `arn:aws:kms:REGION:ACCOUNT:key/ID`, or `alias/NAME` at the end.
    pub fn parse(text: &str, context: &BTreeMap<String, String>, profile: &str) -> Result<Self, ServiceKeyError> {
        let text = text.replace(' ', "");
        let (arn, role) = match text.split_once("+arn:") {
            Some((arn, role)) if !arn.is_empty() => (arn.to_owned(), Some(format!("arn:{role}"))),
            _ => (text.clone(), None),
        };
        let key = Self { arn, role, context: context.clone(), profile: profile.to_owned() };
        let refused = || ServiceKeyError {
            text,
            kind: "ARN of a key of AWS KMS",
            hint: "write arn:aws:kms:REGION:ACCOUNT:key/ID, and after it +ROLE-ARN if a role is to be assumed",
        };
        if key.region().is_none() { Err(refused()) } else { Ok(key) }
    }

    /// Returns the region that the ARN names, or nothing if it is not an ARN of a key
    /// (`^arn:aws[\w-]*:kms:(.+):[0-9]+:(key|alias)/.+$`).
    pub fn region(&self) -> Option<&str> {
        let partition = self.arn.strip_prefix("arn:aws")?;
        let (partition, rest) = partition.split_once(":kms:")?;
        if !partition.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter)) {
            return None;
        }
        let mut parts = rest.splitn(3, ':');
        let (region, account, resource) = (parts.next()?, parts.next()?, parts.next()?);
        let is_region =
            !region.is_empty() && region.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
        let is_account = !account.is_empty() && account.bytes().all(|digit| digit.is_ascii_digit());
        let (kind, id) = resource.split_once('/')?;
        (is_region && is_account && ["key", "alias"].contains(&kind) && !id.is_empty()).then_some(region)
    }
}

impl GcpKey {
    /// Reads a resource id.
    ///
    /// # Errors
    /// Fails if it is not of the form `projects/P/locations/L/keyRings/R/cryptoKeys/K`.
    pub fn parse(text: &str) -> Result<Self, ServiceKeyError> {
        let key = Self { resource_id: text.replace(' ', "") };
        let refused = || ServiceKeyError {
            text: key.resource_id.clone(),
            kind: "resource id of a key of Google Cloud KMS",
            hint: "write projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY",
        };
        if key.is_well_formed() { Ok(key) } else { Err(refused()) }
    }

    /// Tells whether the resource id is one; what a file says was not read by [`GcpKey::parse`].
    pub fn is_well_formed(&self) -> bool {
        let parts: Vec<&str> = self.resource_id.split('/').collect();
        let is_name = |part: &str| {
            let is_path = ["", ".", ".."].contains(&part);
            !is_path && part.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.:".contains(letter))
        };
        matches!(parts.as_slice(), ["projects", project, "locations", location, "keyRings", ring, "cryptoKeys", key]
            if [project, location, ring, key].into_iter().all(|part| is_name(part)))
    }
}

impl AzureKey {
    /// Reads the URL of a key, `https://VAULT/keys/NAME/VERSION`, where the version may be left out.
    ///
    /// # Errors
    /// Fails if it is not of that form.
    pub fn parse(text: &str) -> Result<Self, ServiceKeyError> {
        let text = text.trim();
        let parts = || {
            let (host, path) = text.strip_prefix("https://")?.split_once('/')?;
            let (name, version) = match path.strip_prefix("keys/")?.split_once('/') {
                Some((name, version)) => (name, version),
                None => (path.strip_prefix("keys/")?, ""),
            };
            let is_one = !host.is_empty() && !name.is_empty() && !version.contains('/');
            is_one.then(|| Self {
                vault_url: format!("https://{host}"),
                name: name.to_owned(),
                version: version.to_owned(),
            })
        };
        parts().ok_or_else(|| ServiceKeyError {
            text: text.to_owned(),
            kind: "URL of a key of Azure Key Vault",
            hint: "write https://VAULT.vault.azure.net/keys/NAME/VERSION; without a version the newest is used",
        })
    }

    /// Returns the vault's address, if it, the name and the version are well-formed; what a file says was not read by
    /// [`AzureKey::parse`].
    pub fn vault(&self) -> Option<Url> {
        let url = Url::parse(&self.vault_url).ok().filter(|url| url.scheme() == "https")?;
        let is_host = url.domain().is_some_and(Self::is_host);
        let is_plain = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        let is_whole = url.query().is_none() && url.fragment().is_none();
        let is_name = (1..=127).contains(&self.name.len())
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_version = self.version.is_empty() || Self::is_version(&self.version);
        (is_host && is_plain && is_whole && is_name && is_version).then_some(url)
    }

    /// Tells whether a domain has nothing in it that means something to a shell: URLs may, and `az` is called by one.
    fn is_host(domain: &str) -> bool {
        domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
    }

    /// Tells whether a text is the version of a key.
    pub(in crate::services) fn is_version(text: &str) -> bool {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
    }
}

impl VaultKey {
    /// Reads the URI of a key, `ADDRESS/v1/ENGINE/keys/NAME`.
    ///
    /// # Errors
    /// Fails if it is not of that form, or if something stands before `/v1`.
    pub fn parse(text: &str) -> Result<Self, ServiceKeyError> {
        let text = text.trim();
        let parts = || {
            let (scheme, rest) = text.split_once("://")?;
            let (host, path) = rest.split_once('/')?;
            let segments: Vec<&str> = path.trim_matches('/').split('/').filter(|part| !part.is_empty()).collect();
            let [version, engine @ .., _, name] = segments.as_slice() else { return None };
            let is_version = version
                .strip_prefix('v')
                .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()));
            let is_one = is_version && !engine.is_empty() && !scheme.is_empty() && !host.is_empty();
            is_one.then(|| Self {
                address: format!("{scheme}://{host}"),
                engine_path: engine.join("/"),
                key_name: (*name).to_owned(),
            })
        };
        parts().ok_or_else(|| ServiceKeyError {
            text: text.to_owned(),
            kind: "URI of a key of a Vault transit engine",
            hint: "write https://vault.example.com:8200/v1/transit/keys/NAME",
        })
    }
}

impl ServiceKey {
    /// Returns the key that a wrapped key of a file is for, with the ciphertext; nothing if it is not of a service that can be
    /// called.
    pub fn of(wrapped: &WrappedKey) -> Option<(Self, &str)> {
        let (key, enc) = match wrapped {
            WrappedKey::AwsKms { arn, role, context, profile, enc } => {
                let (arn, role, context) = (arn.clone(), role.clone(), context.clone());
                (Self::Aws(AwsKey { arn, role, context, profile: profile.clone() }), enc)
            }
            WrappedKey::GcpKms { resource_id, enc } => (Self::Gcp(GcpKey { resource_id: resource_id.clone() }), enc),
            WrappedKey::AzureKeyVault { vault_url, name, version, enc } => {
                let (vault_url, name, version) = (vault_url.clone(), name.clone(), version.clone());
                (Self::Azure(AzureKey { vault_url, name, version }), enc)
            }
            WrappedKey::VaultTransit { address, engine_path, key_name, enc } => {
                let (address, engine_path, key_name) = (address.clone(), engine_path.clone(), key_name.clone());
                (Self::Vault(VaultKey { address, engine_path, key_name }), enc)
            }
            WrappedKey::Age { .. }
            | WrappedKey::Pgp { .. }
            | WrappedKey::HuaweiKms { .. }
            | WrappedKey::SealedItem { .. } => return None,
        };
        Some((key, enc))
    }

    /// Returns the wrapped key with what the service made of a data key.
    pub fn wrapped(self, enc: String) -> WrappedKey {
        match self {
            Self::Aws(AwsKey { arn, role, context, profile }) => {
                WrappedKey::AwsKms { arn, role, context, profile, enc }
            }
            Self::Gcp(GcpKey { resource_id }) => WrappedKey::GcpKms { resource_id, enc },
            Self::Azure(AzureKey { vault_url, name, version }) => {
                WrappedKey::AzureKeyVault { vault_url, name, version, enc }
            }
            Self::Vault(VaultKey { address, engine_path, key_name }) => {
                WrappedKey::VaultTransit { address, engine_path, key_name, enc }
            }
        }
    }

    /// Returns what its service is called.
    pub const fn service(&self) -> &'static str {
        match self {
            Self::Aws(_) => service_name::AWS_KMS,
            Self::Gcp(_) => service_name::GCP_KMS,
            Self::Azure(_) => service_name::AZURE_KEY_VAULT,
            Self::Vault(_) => service_name::VAULT,
        }
    }

    /// Tells whether both are the same key. One of Azure without a version is the same as each of its versions.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Azure(one), Self::Azure(other)) => {
                let are_equal = one.version == other.version || one.version.is_empty() || other.version.is_empty();
                let vault = |key: &AzureKey| key.vault_url.trim_end_matches('/').to_owned();
                are_equal && (vault(one), &one.name) == (vault(other), &other.name)
            }
            _ => self == other,
        }
    }

    /// Returns the scheme and the key, as [`WrappedKey::recipient`] does.
    pub fn recipient(&self) -> String {
        self.clone().wrapped(String::new()).recipient()
    }
}

/// All that tells one key from another, as `ToString` of sops writes it.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aws(AwsKey { arn, role, context, profile }) => {
                f.write_str(arn)?;
                if let Some(role) = role {
                    write!(f, "+{role}")?;
                }
                let context: Vec<String> = context.iter().map(|(name, value)| format!("{name}:{value}")).collect();
                match (context.as_slice(), profile.as_str()) {
                    ([], "") => Ok(()),
                    (context, "") => write!(f, "|{}", context.join(",")),
                    (context, profile) => write!(f, "|{}|{profile}", context.join(",")),
                }
            }
            Self::Gcp(GcpKey { resource_id }) => f.write_str(resource_id),
            Self::Azure(AzureKey { vault_url, name, version }) => write!(f, "{vault_url}/keys/{name}/{version}"),
            Self::Vault(VaultKey { address, engine_path, key_name }) => {
                write!(f, "{address}/v1/{engine_path}/keys/{key_name}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLE: &str = "arn:aws:iam::111122223333:role/deploy";

    fn aws(text: &str) -> Result<AwsKey, ServiceKeyError> {
        AwsKey::parse(text, &BTreeMap::new(), "")
    }

    #[test]
    fn an_arn_gives_its_region_and_the_role_behind_the_plus() {
        let key = aws(&format!("arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/abc +{ROLE}")).unwrap();
        assert_eq!((key.region(), key.role.as_deref()), (Some("us-gov-west-1"), Some(ROLE)));
        assert!(aws("arn:aws:kms:eu-west-1:111122223333:alias/mine").is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_remedy() {
        for text in [
            "",
            "alias/mine",
            "arn:aws:kms::1:key/x",
            "arn:aws:kms:evil.example/:1:key/x",
            "arn:aws:kms:eu-west-1:x:key/x",
            "arn:aws:kms:eu-west-1:1:grant/x",
            "arn:aws:s3:eu-west-1:1:key/x",
        ] {
            assert!(aws(text).is_err(), "{text}");
        }
        for text in [
            "projects/p",
            "projects/p/locations/l/keyRings/r/cryptoKeys/",
            "projects/../locations/l/keyRings/r/cryptoKeys/k",
        ] {
            assert!(GcpKey::parse(text).is_err(), "{text}");
        }
        for text in
            ["http://v/keys/k", "https://v/secrets/k", "https://v/keys/k/1/2", "https:///keys/k", "https://v/keys/"]
        {
            assert!(AzureKey::parse(text).is_err(), "{text}");
        }
        for text in [
            "vault/v1/transit/keys/k",
            "https://v/transit/keys/k",
            "https://v/p/v1/transit/keys/k",
            "https://v/v1/keys/k",
        ] {
            let error = VaultKey::parse(text).unwrap_err();
            assert!(error.hint().contains("/v1/transit/keys/"), "{text}");
        }
    }

    #[test]
    fn a_key_reads_back_from_the_text_that_sops_writes_for_it() {
        let vault = VaultKey::parse("https://v:8200/v1/a/b/keys/k").unwrap();
        assert_eq!(vault.engine_path, "a/b");
        assert_eq!(VaultKey::parse(&ServiceKey::Vault(vault.clone()).to_string()), Ok(vault));
        let azure = AzureKey::parse("https://v.vault.azure.net/keys/k/0123").unwrap();
        assert_eq!(AzureKey::parse(&ServiceKey::Azure(azure.clone()).to_string()), Ok(azure));
        let newest = AzureKey::parse("https://v.vault.azure.net/keys/k").unwrap();
        assert_eq!((newest.name.as_str(), newest.version.as_str()), ("k", ""));
        let context = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
        let aws = AwsKey::parse("arn:aws:kms:eu-west-1:1:key/x", &context, "prod").unwrap();
        assert_eq!(ServiceKey::Aws(aws).to_string(), "arn:aws:kms:eu-west-1:1:key/x|app:shop|prod");
    }

    #[test]
    fn a_vault_of_a_file_is_an_address_and_nothing_else() {
        let key = |vault_url: &str, name: &str, version: &str| AzureKey {
            vault_url: vault_url.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
        };
        let vault = "https://v.vault.azure.net";
        for (vault_url, name, version) in [
            ("http://v.vault.azure.net", "k", ""),
            ("https://u@v.vault.azure.net", "k", ""),
            ("https://v.vault.azure.net/path", "k", ""),
            ("https://v.vault.azure.net?a=b", "k", ""),
            ("https://127.0.0.1", "k", ""),
            ("https://v.$(id).example", "k", ""),
            ("v.vault.azure.net", "k", ""),
            (vault, "", ""),
            (vault, "../k", ""),
            (vault, "k", "../encrypt"),
        ] {
            assert!(key(vault_url, name, version).vault().is_none(), "{vault_url} {name} {version}");
        }
        assert!(key("https://v.vault.azure.net:8443/", "my-Key", "0123abc").vault().is_some());
        let (one, other) = (key(vault, "k", "1"), key(&format!("{vault}/"), "k", ""));
        let (one, other) = (ServiceKey::Azure(one), ServiceKey::Azure(other));
        assert!(one.is_same(&other));
        assert_eq!(one.recipient(), other.recipient());
    }

    #[test]
    fn a_wrapped_key_goes_back_to_its_key() {
        let key = ServiceKey::Gcp(GcpKey::parse("projects/p/locations/l/keyRings/r/cryptoKeys/k").unwrap());
        let wrapped = key.clone().wrapped("YQ==".to_owned());
        assert_eq!(ServiceKey::of(&wrapped), Some((key, "YQ==")));
    }
}
