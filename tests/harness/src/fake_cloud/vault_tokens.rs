//! Tokens of the fake of Azure Key Vault: an authority that knows one application, by its secret or by what somebody vouches for it.
//!
//! Source: "Microsoft identity platform and the OAuth 2.0 client credentials flow" (shared secret, and federated credential), RFC 6749,
//! section 4.4, RFC 7523, section 2.2, and OpenID Connect Discovery 1.0.

use std::collections::BTreeSet;
use std::sync::Mutex;

use http::{Method, StatusCode};
use serde_json::json;

use super::trust::{Mistrust, Trust};
use super::{Answer, Asked, CloudRecord, random_text, spoiled};
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
    trusted: Mutex<Option<Trust>>,
}

impl VaultTokens {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            secret: format!("fake~{}", random_text(24)?),
            assertion: format!("fake.{}.assertion", random_text(24)?),
            issued: Mutex::default(),
            trusted: Mutex::default(),
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

    pub(super) fn trust(&self, trust: Trust) {
        *lock(&self.trusted) = Some(trust);
    }

    /// Answers what is asked of the authority at `host`.
    pub(super) fn answer(&self, host: &str, asked: &Asked, record: &CloudRecord) -> Answer {
        let url = format!("https://{host}/{TENANT}");
        if asked.path == format!("/{TENANT}/oauth2/v2.0/token") && asked.method == Method::POST {
            let throttled = || super::json(StatusCode::TOO_MANY_REQUESTS, &json!({"error": "temporarily_unavailable"}));
            let denied = || refusal("unauthorized_client", 700_016, "Application was not found in the directory.");
            return spoiled(&record.login_mood, throttled, denied).unwrap_or_else(|| self.exchange(asked));
        }
        if asked.path.ends_with("/oauth2/v2.0/token") {
            return refusal("invalid_request", 90_002, "Tenant not found.");
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
        let is_assertion = field("client_assertion_type") == ASSERTION;
        let mistrust = match lock(&self.trusted).clone().filter(|_| is_assertion && !has_secret) {
            Some(trust) => trust.check(&field("client_assertion")).err(),
            None => None,
        };
        match mistrust {
            Some(Mistrust::Audience) => {
                return refusal(
                    "invalid_client",
                    700_212,
                    "No matching federated identity record found for presented assertion audience.",
                );
            }
            Some(Mistrust::Subject) => {
                return refusal(
                    "invalid_client",
                    700_213,
                    "No matching federated identity record found for presented assertion subject.",
                );
            }
            Some(Mistrust::Signature) => {
                return refusal(
                    "invalid_client",
                    700_027,
                    "The certificate with identifier used to sign the client assertion is not registered on application.",
                );
            }
            None => {}
        }
        let is_trusted = lock(&self.trusted).is_some();
        let has_assertion = is_assertion && (is_trusted || field("client_assertion") == self.assertion);
        let is_for_vaults = field("scope").split(' ').any(|scope| scope == SCOPE);
        let is_known = field("client_id") == CLIENT && field("grant_type") == "client_credentials";
        match self.issue() {
            Ok(token) if is_known && is_for_vaults && (has_secret || has_assertion) => {
                let body =
                    json!({"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": token});
                super::json(StatusCode::OK, &body)
            }
            _ => refusal("invalid_client", 7_000_215, "Invalid client secret provided."),
        }
    }
}

/// Writes an error as the authority does ("Microsoft Entra authentication and authorization error codes").
fn refusal(error: &str, number: u32, text: &str) -> Answer {
    let status = if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
    let body = json!({"error": error, "error_description": format!("AADSTS{number}: {text}"), "error_codes": [number]});
    super::json(status, &body)
}
