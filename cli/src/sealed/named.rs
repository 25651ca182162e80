//! How master keys are called in `.sops.yaml`, turned into how they are called in files and messages
//! ([`WrappedKey::recipient`](waxwing_formats::WrappedKey::recipient)).
//!
//! Source: the `NewMasterKeyFrom...` functions of sops 3.13.3, one for each kind. What is not well-formed keeps its text, and
//! matches nothing.

/// Names an age recipient.
pub(crate) fn age(text: &str) -> String {
    format!("age {}", text.trim())
}

/// Names a PGP key by its fingerprint, which may have spaces in it.
pub(crate) fn pgp(text: &str) -> String {
    format!("pgp {}", without_spaces(text))
}

/// Names a key of AWS KMS; the role to take for it comes after a plus.
pub(crate) fn aws(text: &str) -> String {
    let text = without_spaces(text);
    format!("aws-kms {}", text.split("+arn:").next().unwrap_or_default())
}

/// Names a key of Google Cloud KMS.
pub(crate) fn gcp(text: &str) -> String {
    format!("gcp-kms {}", without_spaces(text))
}

/// Names a key of Huawei Cloud KMS.
pub(crate) fn huawei(text: &str) -> String {
    format!("huawei-kms {}", text.trim())
}

/// Names a key of Azure Key Vault; its version is left out.
pub(crate) fn azure(text: &str) -> String {
    let text = text.trim();
    let named = text.split_once("/keys/").map(|(vault, rest)| (vault, rest.split('/').next().unwrap_or_default()));
    named.map_or_else(|| format!("azure-kv {text}"), |(vault, name)| format!("azure-kv {vault}/keys/{name}"))
}

/// Names a key of a transit engine, given as `ADDRESS/v1/ENGINE/keys/NAME`.
pub(crate) fn vault(text: &str) -> String {
    let text = text.trim();
    let parts = || {
        let (scheme, rest) = text.split_once("://")?;
        let (host, path) = rest.split_once('/')?;
        let (_, path) = path.trim_matches('/').split_once('/')?;
        let (path, name) = path.rsplit_once('/')?;
        let (engine, _) = path.rsplit_once('/')?;
        Some(format!("vault-transit {scheme}://{host}/{engine}/{name}"))
    };
    parts().unwrap_or_else(|| format!("vault-transit {text}"))
}

fn without_spaces(text: &str) -> String {
    text.replace(' ', "")
}
