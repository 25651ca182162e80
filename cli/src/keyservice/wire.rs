//! The messages of sops's key services, by the numbers of `keyservice/keyservice.proto` of sops 3.13.3.
//!
//! What is said to whom is not decided here. A message holds a data key in the clear where the protocol has it so: it is wiped when
//! it goes, and there is no `Debug` of it that shows one. What the library that sends it copies is wiped by the allocator.

use std::collections::HashMap;
use std::fmt;

use prost::{Message, Oneof};
use waxwing_formats::WrappedKey;
use zeroize::Zeroize;

/// The paths of the two questions.
pub(super) const ENCRYPT: &str = "/KeyService/Encrypt";
pub(super) const DECRYPT: &str = "/KeyService/Decrypt";
/// The length of a data key, and of a Shamir share of one: nothing else is sent or taken in the clear.
pub(crate) const DATA_KEY_LENGTHS: [usize; 2] = [32, 33];
/// The most bytes of a message. What a data key is wrapped to has some thousand at the most.
pub(super) const MAX_MESSAGE: usize = 64 * 1024;

/// A master key.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Key {
    #[prost(oneof = "KeyType", tags = "1, 2, 3, 4, 5, 6, 7")]
    pub(super) key_type: Option<KeyType>,
}

/// A master key by its kind.
#[derive(Clone, PartialEq, Oneof)]
pub(super) enum KeyType {
    #[prost(message, tag = "1")]
    Kms(KmsKey),
    #[prost(message, tag = "2")]
    Pgp(PgpKey),
    #[prost(message, tag = "3")]
    Gcp(GcpKmsKey),
    #[prost(message, tag = "4")]
    Azure(AzureKeyVaultKey),
    #[prost(message, tag = "5")]
    Vault(VaultKey),
    #[prost(message, tag = "6")]
    Age(AgeKey),
    #[prost(message, tag = "7")]
    Huawei(HckmsKey),
}

/// A PGP key.
#[derive(Clone, PartialEq, Message)]
pub(super) struct PgpKey {
    #[prost(string, tag = "1")]
    pub(super) fingerprint: String,
}

/// A key of AWS KMS.
#[derive(Clone, PartialEq, Message)]
pub(super) struct KmsKey {
    #[prost(string, tag = "1")]
    pub(super) arn: String,
    #[prost(string, tag = "2")]
    pub(super) role: String,
    #[prost(map = "string, string", tag = "3")]
    pub(super) context: HashMap<String, String>,
    #[prost(string, tag = "4")]
    pub(super) aws_profile: String,
}

/// A key of Google Cloud KMS.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GcpKmsKey {
    #[prost(string, tag = "1")]
    pub(super) resource_id: String,
}

/// A key of a transit engine.
#[derive(Clone, PartialEq, Message)]
pub(super) struct VaultKey {
    #[prost(string, tag = "1")]
    pub(super) vault_address: String,
    #[prost(string, tag = "2")]
    pub(super) engine_path: String,
    #[prost(string, tag = "3")]
    pub(super) key_name: String,
}

/// A key of Azure Key Vault.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AzureKeyVaultKey {
    #[prost(string, tag = "1")]
    pub(super) vault_url: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) version: String,
}

/// An age recipient.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AgeKey {
    #[prost(string, tag = "1")]
    pub(super) recipient: String,
}

/// A key of Huawei Cloud KMS.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HckmsKey {
    #[prost(string, tag = "1")]
    pub(super) key_id: String,
}

/// Asks for a data key to be wrapped, or for a wrapped one to be unwrapped: the two messages have one form.
#[derive(Message)]
#[prost(skip_debug)]
pub(super) struct Request {
    #[prost(message, optional, tag = "1")]
    pub(super) key: Option<Key>,
    /// The data key, or what it was wrapped to.
    #[prost(bytes = "vec", tag = "2")]
    pub(super) text: Vec<u8>,
}

/// Answers with the wrapped or the unwrapped data key.
#[derive(Message)]
#[prost(skip_debug)]
pub(super) struct Response {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) text: Vec<u8>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request([REDACTED; {} bytes])", self.text.len())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response([REDACTED; {} bytes])", self.text.len())
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl Key {
    /// Returns the master key that a wrapped key is for; nothing for those that are no business of sops.
    pub(super) fn of(wrapped: &WrappedKey) -> Option<Self> {
        let key_type = match wrapped.clone() {
            WrappedKey::Age { recipient, .. } => KeyType::Age(AgeKey { recipient }),
            WrappedKey::Pgp { fingerprint, .. } => KeyType::Pgp(PgpKey { fingerprint }),
            WrappedKey::AwsKms { arn, role, context, profile, .. } => KeyType::Kms(KmsKey {
                arn,
                role: role.unwrap_or_default(),
                context: context.into_iter().collect(),
                aws_profile: profile,
            }),
            WrappedKey::GcpKms { resource_id, .. } => KeyType::Gcp(GcpKmsKey { resource_id }),
            WrappedKey::AzureKeyVault { vault_url, name, version, .. } => {
                KeyType::Azure(AzureKeyVaultKey { vault_url, name, version })
            }
            WrappedKey::VaultTransit { address, engine_path, key_name, .. } => {
                KeyType::Vault(VaultKey { vault_address: address, engine_path, key_name })
            }
            WrappedKey::HuaweiKms { key_id, .. } => KeyType::Huawei(HckmsKey { key_id }),
            WrappedKey::SealedItem { .. } => return None,
        };
        Some(Self { key_type: Some(key_type) })
    }

    /// Returns the wrapped key with this ciphertext; nothing if the message names no key.
    pub(super) fn wrapped(self, enc: String) -> Option<WrappedKey> {
        Some(match self.key_type? {
            KeyType::Age(AgeKey { recipient }) => WrappedKey::Age { recipient, enc },
            KeyType::Pgp(PgpKey { fingerprint }) => WrappedKey::Pgp { fingerprint, enc },
            KeyType::Kms(KmsKey { arn, role, context, aws_profile }) => WrappedKey::AwsKms {
                arn,
                role: Some(role).filter(|role| !role.is_empty()),
                context: context.into_iter().collect(),
                profile: aws_profile,
                enc,
            },
            KeyType::Gcp(GcpKmsKey { resource_id }) => WrappedKey::GcpKms { resource_id, enc },
            KeyType::Azure(AzureKeyVaultKey { vault_url, name, version }) => {
                WrappedKey::AzureKeyVault { vault_url, name, version, enc }
            }
            KeyType::Vault(VaultKey { vault_address, engine_path, key_name }) => {
                WrappedKey::VaultTransit { address: vault_address, engine_path, key_name, enc }
            }
            KeyType::Huawei(HckmsKey { key_id }) => WrappedKey::HuaweiKms { key_id, enc },
        })
    }
}

/// Returns what a data key was wrapped to, as text; empty for what is no business of sops.
pub(crate) fn ciphertext(wrapped: &WrappedKey) -> &str {
    match wrapped {
        WrappedKey::Age { enc, .. }
        | WrappedKey::Pgp { enc, .. }
        | WrappedKey::AwsKms { enc, .. }
        | WrappedKey::GcpKms { enc, .. }
        | WrappedKey::AzureKeyVault { enc, .. }
        | WrappedKey::VaultTransit { enc, .. }
        | WrappedKey::HuaweiKms { enc, .. } => enc,
        WrappedKey::SealedItem { .. } => "",
    }
}

/// Returns the same wrapped key with another ciphertext.
pub(super) fn with_ciphertext(wrapped: WrappedKey, enc: String) -> WrappedKey {
    let key = Key::of(&wrapped);
    key.and_then(|key| key.wrapped(enc)).unwrap_or(wrapped)
}
