//! Secrets of key/value engines of Vault and OpenBao: reads one, and writes one.
//!
//! A secret is JSON here and nothing more: what its engine's version puts around it, and what it means, is the caller's business.
//! Addresses, tokens and refusals are those of transit engines.
//! Source: <https://openbao.org/api-docs/secret/kv/> (version 1: `Read Secret`, `Create/Update Secret`; version 2: `Read Secret Version`,
//! `Create/Update Secret`), which `publish/vault.go` of sops 3.13.3 calls.

use reqwest::{Method, Url};
use waxwing_formats::SecretBytes;

use super::{VaultAccess, VaultTransit, is_name};
use crate::services::ServiceError;
use crate::services::exchange::{Body, ServiceClient};

/// The most bytes that are read of a secret: more than an entry of a server's storage may have.
const MAX_SECRET: usize = 2 * 1024 * 1024;

/// Reads and writes secrets of the key/value engines of one server.
pub struct VaultKv(VaultTransit);

impl VaultKv {
    /// Makes a client for one server. Nothing is called yet.
    ///
    /// # Errors
    /// As [`VaultTransit::new`].
    pub fn new(client: ServiceClient, address: &str, access: &VaultAccess) -> Result<Self, ServiceError> {
        VaultTransit::new(client.for_answers_up_to(MAX_SECRET), address, access).map(Self)
    }

    /// Reads what stands at a path below `/v1`, as the server writes it; nothing if there is no secret.
    ///
    /// # Errors
    /// Fails if the path is none, or the server does not give it.
    pub async fn read(&self, path: &str) -> Result<Option<SecretBytes>, ServiceError> {
        match self.0.ask(Method::GET, self.url(path)?, None).await? {
            answer if answer.status == 404 => Ok(None),
            answer => self.0.checked(answer).map(|answer| Some(answer.body)),
        }
    }

    /// Writes JSON to a path below `/v1`.
    ///
    /// # Errors
    /// Fails if the path is none, or the server does not take it.
    pub async fn write(&self, path: &str, json: &SecretBytes) -> Result<(), ServiceError> {
        let answer = self.0.ask(Method::PUT, self.url(path)?, Some(Body::json(&[json.expose_secret()]))).await?;
        self.0.checked(answer).map(drop)
    }

    fn url(&self, path: &str) -> Result<Url, ServiceError> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        if parts.len() < 2 || !parts.iter().all(|part| is_name(part)) {
            return Err(ServiceError::Malformed { what: "the path of the secret" });
        }
        self.0.below(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::{Patience, Proxies};

    #[test]
    fn no_path_leads_out_of_its_engine() {
        let client = ServiceClient::new(None, Proxies::None, Patience::default()).unwrap();
        let kv = VaultKv::new(client, "https://v:8200", &VaultAccess { token: None, namespace: None }).unwrap();
        let url = |path: &str| kv.url(path).map(String::from);
        assert_eq!(url("secret/data/a b/c.yaml").as_deref(), Ok("https://v:8200/v1/secret/data/a%20b/c.yaml"));
        assert_eq!(url("/secret//x/").as_deref(), Ok("https://v:8200/v1/secret/x"));
        for path in ["", "secret", "secret/../sys/seal", "secret/./x", "secret/a\nb"] {
            assert!(url(path).is_err(), "{path:?}");
        }
    }
}
