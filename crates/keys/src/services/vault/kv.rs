//! Secrets of key/value engines of Vault and OpenBao: reads one, and writes one.
//!
//! A secret is JSON here and nothing more: what its engine's version puts around it, and what it means, is the caller's business.
//! Addresses, tokens and refusals are those of transit engines.
//! Source: <https://openbao.org/api-docs/secret/kv/> (version 1: `Read Secret`, `Create/Update Secret`; version 2: `Read Secret Version`,
//! `Create/Update Secret`), which `publish/vault.go` of sops 3.13.3 calls.

use bytes::Bytes;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use waxwing_formats::SecretBytes;
use zeroize::Zeroizing;

use super::{SERVICE, VaultAccess, VaultTransit, is_name, unavailable};
use crate::services::ServiceError;

/// The most bytes that are read of a secret: more than an entry of a server's storage may have.
const MAX_SECRET: usize = 2 * 1024 * 1024;

/// Reads and writes secrets of the key/value engines of one server.
pub struct VaultKv(VaultTransit);

impl VaultKv {
    /// Makes a client for one server. Nothing is called yet.
    ///
    /// # Errors
    /// As [`VaultTransit::new`].
    pub fn new(address: &str, access: &VaultAccess) -> Result<Self, ServiceError> {
        VaultTransit::new(address, access).map(Self)
    }

    /// Reads what stands at a path below `/v1`, as the server writes it; nothing if there is no secret.
    ///
    /// # Errors
    /// Fails if the path is none, or the server does not give it.
    pub async fn read(&self, path: &str) -> Result<Option<SecretBytes>, ServiceError> {
        let request = self.0.http.get(self.url(path)?);
        let mut answer = match self.send(request).await? {
            answer if answer.status() == StatusCode::NOT_FOUND => return Ok(None),
            answer => self.checked(answer)?,
        };
        let mut chunks: Vec<Bytes> = Vec::new();
        let mut length = 0;
        while let Some(chunk) = answer.chunk().await.map_err(|error| unavailable(&error))? {
            length += chunk.len();
            if length > MAX_SECRET {
                return Err(ServiceError::Answer { service: SERVICE });
            }
            chunks.push(chunk);
        }
        let parts: Vec<&[u8]> = chunks.iter().map(AsRef::as_ref).collect();
        Ok(Some(SecretBytes::concat(&parts)))
    }

    /// Writes JSON to a path below `/v1`.
    ///
    /// # Errors
    /// Fails if the path is none, or the server does not take it.
    pub async fn write(&self, path: &str, json: &SecretBytes) -> Result<(), ServiceError> {
        // Leaves for the server, in memory that is wiped when it is sent.
        let body = Bytes::from_owner(Zeroizing::new(json.expose_secret().to_vec()));
        let answer = self.send(self.0.http.put(self.url(path)?).body(body)).await?;
        self.checked(answer).map(drop)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ServiceError> {
        request.headers(self.0.headers.clone()).send().await.map_err(|error| unavailable(&error))
    }

    fn checked(&self, answer: Response) -> Result<Response, ServiceError> {
        match answer.status() {
            status if status.is_success() => Ok(answer),
            status => Err(self.0.refusal(status, answer.headers())),
        }
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

    #[test]
    fn no_path_leads_out_of_its_engine() {
        let access = VaultAccess { token: None, namespace: None, authorities: None, proxies_of_environment: false };
        let kv = VaultKv::new("https://v:8200", &access).unwrap();
        let url = |path: &str| kv.url(path).map(String::from);
        assert_eq!(url("secret/data/a b/c.yaml").as_deref(), Ok("https://v:8200/v1/secret/data/a%20b/c.yaml"));
        assert_eq!(url("/secret//x/").as_deref(), Ok("https://v:8200/v1/secret/x"));
        for path in ["", "secret", "secret/../sys/seal", "secret/./x", "secret/a\nb"] {
            assert!(url(path).is_err(), "{path:?}");
        }
    }
}
