//! How master keys are called in `.sops.yaml`, turned into how they are called in files and messages
//! ([`WrappedKey::recipient`](waxwing_formats::WrappedKey::recipient)).
//!
//! What is not well-formed keeps its text, and matches nothing.

use std::collections::BTreeMap;

use waxwing_keys::{AwsKey, AzureKey, GcpKey, ServiceKey, ServiceKeyError, VaultKey};

/// Names an age recipient.
pub(crate) fn age(text: &str) -> String {
    format!("age {}", text.trim())
}

/// Names a PGP key by its fingerprint, which may have spaces in it.
pub(crate) fn pgp(text: &str) -> String {
    format!("pgp {}", text.replace(' ', ""))
}

/// Names a key of AWS KMS; the role to take for it is left out.
pub(crate) fn aws(text: &str) -> String {
    service(AwsKey::parse(text, &BTreeMap::new(), "").map(ServiceKey::Aws), "aws-kms", text)
}

/// Names a key of Google Cloud KMS.
pub(crate) fn gcp(text: &str) -> String {
    service(GcpKey::parse(text).map(ServiceKey::Gcp), "gcp-kms", text)
}

/// Names a key of Huawei Cloud KMS.
pub(crate) fn huawei(text: &str) -> String {
    format!("huawei-kms {}", text.trim())
}

/// Names a key of Azure Key Vault; its version is left out.
pub(crate) fn azure(text: &str) -> String {
    service(AzureKey::parse(text).map(ServiceKey::Azure), "azure-kv", text)
}

/// Names a key of a transit engine, given as `ADDRESS/v1/ENGINE/keys/NAME`.
pub(crate) fn vault(text: &str) -> String {
    service(VaultKey::parse(text).map(ServiceKey::Vault), "vault-transit", text)
}

fn service(key: Result<ServiceKey, ServiceKeyError>, scheme: &str, text: &str) -> String {
    key.map_or_else(|_| format!("{scheme} {}", text.trim()), |key| key.recipient())
}
