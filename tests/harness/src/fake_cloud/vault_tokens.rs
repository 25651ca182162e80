//! Tokens of the fake of Azure Key Vault: an authority that knows one application, by its secret or by what somebody vouches for it.
//!
//! Source: "Microsoft identity platform and the OAuth 2.0 client credentials flow" (shared secret, and federated credential), RFC 6749,
//! section 4.4, RFC 7523, section 2.2, and OpenID Connect Discovery 1.0.

use std::collections::BTreeSet;
use std::sync::Mutex;

use http::{Method, StatusCode};
use serde_json::json;

use super::{Answer, Asked, random_text};
use crate::failure::Failure;
use crate::tls_server::lock;

/// The host of the authority.
pub(super) const AUTHORITY: &str = "login.microsoftonline.com";
pub(super) const TENANT: &str = "11111111-2222-3333-4444-555555555555";
pub(super) const CLIENT: &str = "66666666-7777-8888-9999-000000000000";
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const SCOPE: &str = "https://vault.azure.net/.default";

/// Issues tokens, and knows those it issued.
pub(super) struct VaultTokens {
    pub(super) secret: String,
    pub(super) assertion: String,
    issued: Mutex<BTreeSet<String>>,
}

impl VaultTokens {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            secret: format!("fake~{}", random_text(24)?),
            assertion: format!("fake.{}.assertion", random_text(24)?),
            issued: Mutex::default(),
        })
    }

    pub(super) fn issue(&self) -> Result<String, Failure> {
        let token = format!("eyJ0.fake.{}", random_text(32)?);
        lock(&self.issued).insert(token.clone());
        Ok(token)
    }

    pub(super) fn admit(&self, token: &str) {
        lock(&self.issued).insert(token.to_owned());
    }

    pub(super) fn admits(&self, token: &str) -> bool {
        lock(&self.issued).contains(token)
    }

    /// Answers what is asked of the authority at `host`.
    pub(super) fn answer(&self, host: &str, asked: &Asked) -> Answer {
        let url = format!("https://{host}/{TENANT}");
        if asked.path == format!("/{TENANT}/oauth2/v2.0/token") && asked.method == Method::POST {
            return self.exchange(asked);
        }
        if asked.path == format!("/{TENANT}/v2.0/.well-known/openid-configuration") {
            let body = json!({
                "issuer": format!("{url}/v2.0"),
                "authorization_endpoint": format!("{url}/oauth2/v2.0/authorize"),
                "token_endpoint": format!("{url}/oauth2/v2.0/token"),
            });
            return super::json(StatusCode::OK, &body);
        }
        if asked.path == "/common/discovery/instance" {
            let body = json!({
                "tenant_discovery_endpoint": format!("{url}/v2.0/.well-known/openid-configuration"),
                "api-version": "1.1",
                "metadata": [{"preferred_network": AUTHORITY, "preferred_cache": "login.windows.net", "aliases": [AUTHORITY]}],
            });
            return super::json(StatusCode::OK, &body);
        }
        super::json(StatusCode::NOT_FOUND, &json!({"error": "invalid_request"}))
    }

    fn exchange(&self, asked: &Asked) -> Answer {
        let field = |name: &str| asked.field(name).unwrap_or_default();
        let has_secret = field("client_secret") == self.secret;
        let has_assertion = field("client_assertion_type") == ASSERTION && field("client_assertion") == self.assertion;
        let is_for_vaults = field("scope").split(' ').any(|scope| scope == SCOPE);
        let is_known = field("client_id") == CLIENT && field("grant_type") == "client_credentials";
        match self.issue() {
            Ok(token) if is_known && is_for_vaults && (has_secret || has_assertion) => {
                let body =
                    json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token});
                super::json(StatusCode::OK, &body)
            }
            _ => {
                let description = "AADSTS7000215: Invalid client secret provided.";
                let body =
                    json!({"error": "invalid_client", "error_description": description, "error_codes": [7_000_215]});
                super::json(StatusCode::UNAUTHORIZED, &body)
            }
        }
    }
}
