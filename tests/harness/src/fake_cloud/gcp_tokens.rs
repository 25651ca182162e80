//! Tokens of the fake of Google Cloud: for service accounts, which sign what they ask, and for users.
//!
//! Source: Google's "Using OAuth 2.0 for server to server applications" (assertions, and tokens that a service account signs itself,
//! AIP-4111), RFC 7523, RFC 7515 and RFC 6749, section 6.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Asked, no_cryptography, random_text};
use crate::failure::Failure;
use crate::tls_server::lock;

const EMAIL: &str = "sops@fake.iam.gserviceaccount.com";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const AUDIENCE: &str = "https://cloudkms.googleapis.com/";

/// Issues tokens, and knows those it issued.
pub(super) struct GcpTokens {
    url: String,
    /// The public keys (PKCS #1) of service accounts.
    accounts: Mutex<Vec<Vec<u8>>>,
    refresh_tokens: Mutex<BTreeSet<String>>,
    issued: Mutex<BTreeSet<String>>,
}

impl GcpTokens {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            accounts: Mutex::default(),
            refresh_tokens: Mutex::default(),
            issued: Mutex::default(),
        }
    }

    pub(super) fn issue(&self) -> Result<String, Failure> {
        let token = format!("ya29.fake-{}", random_text(24)?);
        lock(&self.issued).insert(token.clone());
        Ok(token)
    }

    pub(super) fn admit(&self, token: &str) {
        lock(&self.issued).insert(token.to_owned());
    }

    pub(super) fn service_account(&self) -> Result<String, Failure> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(no_cryptography)?;
        let der = pair.as_der().map_err(no_cryptography)?;
        let der: &Pkcs8V1Der<'_> = &der;
        let lines: Vec<String> = STANDARD
            .encode(der.as_ref())
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
        lock(&self.accounts).push(pair.public_key().as_ref().to_vec());
        let file = json!({
            "type": "service_account",
            "project_id": "fake",
            "private_key_id": "0123456789abcdef0123456789abcdef01234567",
            "private_key": pem,
            "client_email": EMAIL,
            "client_id": "123456789012345678901",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": self.url,
            "universe_domain": "googleapis.com",
        });
        Ok(file.to_string())
    }

    pub(super) fn authorized_user(&self) -> Result<String, Failure> {
        let token = format!("1//fake-{}", random_text(24)?);
        lock(&self.refresh_tokens).insert(token.clone());
        let file = json!({
            "type": "authorized_user",
            "client_id": "fake.apps.googleusercontent.com",
            "client_secret": "fake-client-secret",
            "refresh_token": token,
            "token_uri": self.url,
        });
        Ok(file.to_string())
    }

    /// Answers a request for a token.
    pub(super) fn exchange(&self, asked: &Asked) -> Answer {
        let field = |name: &str| asked.field(name).or_else(|| Some(asked.json()?.get(name)?.as_str()?.to_owned()));
        let is_known = match field("grant_type").as_deref() {
            Some(JWT_BEARER) => field("assertion").is_some_and(|assertion| {
                self.claims(&assertion)
                    .is_some_and(|claims| claims.get("aud").and_then(Value::as_str) == Some(&self.url))
            }),
            Some("refresh_token") => {
                field("refresh_token").is_some_and(|token| lock(&self.refresh_tokens).contains(&token))
            }
            _ => false,
        };
        match self.issue() {
            Ok(token) if is_known => {
                let body = json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"});
                super::json(StatusCode::OK, &body)
            }
            _ => {
                let body = json!({"error": "invalid_grant", "error_description": "Invalid grant: account not found"});
                super::json(StatusCode::BAD_REQUEST, &body)
            }
        }
    }

    /// Tells whether a token is good: one that was issued, or one that a service account signed for this service.
    pub(super) fn admits(&self, token: &str) -> bool {
        let is_issued = lock(&self.issued).contains(token);
        is_issued
            || self.claims(token).is_some_and(|claims| {
                let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
                text("sub") == EMAIL && (text("aud") == AUDIENCE || is_scope(&text("scope")))
            })
    }

    /// Returns the claims of what a service account of this fake signed, not long ago and not for long.
    fn claims(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let part = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
        let (header, claims, signature) = (part(header)?, part(payload)?, URL_SAFE_NO_PAD.decode(signature).ok()?);
        let is_signed = lock(&self.accounts).iter().any(|key| {
            UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key).verify(signed.as_bytes(), &signature).is_ok()
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let (from, until) = (claims.get("iat")?.as_u64()?, claims.get("exp")?.as_u64()?);
        let is_now = from <= now + 60 && now < until && until - from <= 3660;
        let is_own = claims.get("iss")?.as_str() == Some(EMAIL) && header.get("alg")?.as_str() == Some("RS256");
        (is_signed && is_now && is_own).then_some(claims)
    }
}

fn is_scope(text: &str) -> bool {
    let good = ["https://www.googleapis.com/auth/cloud-platform", "https://www.googleapis.com/auth/cloudkms"];
    text.split(' ').any(|scope| good.contains(&scope))
}
