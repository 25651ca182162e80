//! What a sealed document asks of whoever holds keys, as plain public data.
//!
//! Not here: any cryptography on master keys, and any network. `waxwing-keys` answers.

use std::collections::BTreeMap;

/// Numbers the requests of one conversation, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub usize);

/// Asks for one wrapped key to be unwrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRequest {
    /// Names this request in the answer.
    pub id: RequestId,
    /// The wrapped key and what is needed to unwrap it.
    pub wrapped: WrappedKey,
}

/// One wrapped key as it stands in a committed file; nothing in it is secret, and nothing in it is trusted.
///
/// The SOPS forms follow `stores/stores.go` of sops 3.13.3.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WrappedKey {
    /// An armored age file for one recipient.
    Age {
        /// The recipient, such as `age1...`.
        recipient: String,
        /// The armored age file.
        enc: String,
    },
    /// An armored OpenPGP message.
    Pgp {
        /// The fingerprint of the key it is for.
        fingerprint: String,
        /// The armored message.
        enc: String,
    },
    /// A ciphertext of AWS KMS.
    AwsKms {
        /// The key's ARN.
        arn: String,
        /// The role to assume, if any.
        role: Option<String>,
        /// The encryption context.
        context: BTreeMap<String, String>,
        /// The profile of the AWS configuration that the file names; empty if none.
        profile: String,
        /// The ciphertext in standard base64.
        enc: String,
    },
    /// A ciphertext of Google Cloud KMS.
    GcpKms {
        /// The key's resource id.
        resource_id: String,
        /// The ciphertext in standard base64.
        enc: String,
    },
    /// A ciphertext of Azure Key Vault.
    AzureKeyVault {
        /// The vault's URL.
        vault_url: String,
        /// The key's name.
        name: String,
        /// The key's version.
        version: String,
        /// The ciphertext in unpadded URL-safe base64.
        enc: String,
    },
    /// A ciphertext of a Vault transit engine.
    VaultTransit {
        /// The address of the server.
        address: String,
        /// The engine's mount path.
        engine_path: String,
        /// The key's name.
        key_name: String,
        /// The ciphertext, such as `vault:v1:...`.
        enc: String,
    },
    /// A ciphertext of Huawei Cloud KMS, which Waxwing keeps in the file and can't open.
    HuaweiKms {
        /// The key's id.
        key_id: String,
        /// The ciphertext.
        enc: String,
    },
    /// The RSA block of one SealedSecret item.
    SealedItem {
        /// RSA-OAEP ciphertext (SHA-256, MGF1 with SHA-256) of the 32-byte session key.
        rsa: Vec<u8>,
        /// The OAEP label: `namespace/name`, `namespace` or nothing, by scope.
        label: Vec<u8>,
    },
}

/// The kinds of master keys of sops, by the names that `--decryption-order` has for them (`KeyTypeIdentifier` in sops 3.13.3).
pub const KEY_KINDS: [&str; 7] = ["age", "pgp", "kms", "gcp_kms", "azure_kv", "hc_vault", "hckms"];

impl WrappedKey {
    /// Returns which kind of master key it is for: one of [`KEY_KINDS`], or `sealed-secret`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Age { .. } => "age",
            Self::Pgp { .. } => "pgp",
            Self::AwsKms { .. } => "kms",
            Self::GcpKms { .. } => "gcp_kms",
            Self::AzureKeyVault { .. } => "azure_kv",
            Self::VaultTransit { .. } => "hc_vault",
            Self::HuaweiKms { .. } => "hckms",
            Self::SealedItem { .. } => "sealed-secret",
        }
    }

    /// Returns the scheme and the recipient in the form that messages and provenance use, such as
    /// `age age1...` or `pgp 0123...`. It never holds ciphertext.
    pub fn recipient(&self) -> String {
        match self {
            Self::Age { recipient, .. } => format!("age {recipient}"),
            Self::Pgp { fingerprint, .. } => format!("pgp {fingerprint}"),
            Self::AwsKms { arn, .. } => format!("aws-kms {arn}"),
            Self::GcpKms { resource_id, .. } => format!("gcp-kms {resource_id}"),
            Self::AzureKeyVault { vault_url, name, .. } => {
                format!("azure-kv {}/keys/{name}", vault_url.trim_end_matches('/'))
            }
            Self::VaultTransit { address, engine_path, key_name, .. } => {
                format!("vault-transit {address}/{engine_path}/{key_name}")
            }
            Self::HuaweiKms { key_id, .. } => format!("huawei-kms {key_id}"),
            Self::SealedItem { .. } => "sealed-secrets key".to_owned(),
        }
    }
}

/// Says why a request was not answered with a key; the text is public and ends up in conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);
