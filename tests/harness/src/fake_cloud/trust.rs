//! Whom a fake trusts without having given out a secret: the ServiceAccounts of a cluster, by tokens that its API server signed.
//!
//! Source: RFC 7515 and RFC 7519 (signature and claims), RFC 7517 and RFC 7518, section 6.2 (the API server's keys, `/openid/v1/jwks`, which in
//! tests are of the curve P-256).

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// One ServiceAccount that is trusted.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    pub(super) keys: Value,
    /// Such as `system:serviceaccount:shop:deployer`.
    pub(super) subject: String,
    /// For whom its tokens have to be made.
    pub(super) audience: String,
}

/// What is wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistrust {
    Audience,
    Subject,
    Signature,
}

impl Trust {
    pub(super) fn check(&self, token: &str) -> Result<(), Mistrust> {
        let claims = self.claims(token).ok_or(Mistrust::Signature)?;
        let audiences = claims.get("aud").and_then(Value::as_array).cloned().unwrap_or_default();
        if audiences.iter().all(|audience| audience.as_str() != Some(&self.audience)) {
            return Err(Mistrust::Audience);
        }
        let is_own = claims.get("sub").and_then(Value::as_str) == Some(&self.subject);
        if is_own { Ok(()) } else { Err(Mistrust::Subject) }
    }

    /// Returns the claims of a token that one of the keys signed and whose time is not over.
    fn claims(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (_, payload) = signed.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let number = |key: &Value, name: &str| URL_SAFE_NO_PAD.decode(key.get(name)?.as_str()?).ok();
        let mut keys = self.keys.get("keys")?.as_array()?.iter();
        keys.find(|key| {
            let point = number(key, "x").zip(number(key, "y")).map(|(x, y)| [vec![4], x, y].concat());
            let verifies = |point: Vec<u8>| {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
            };
            point.is_some_and(verifies)
        })?;
        let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        (now < claims.get("exp")?.as_u64()?).then_some(claims)
    }
}
