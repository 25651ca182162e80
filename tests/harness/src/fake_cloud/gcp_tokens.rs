//! Tokens of the fake of Google Cloud: for service accounts, which sign what they ask, for users, and for whom a pool of identities trusts.
//!
//! Source: the REST references of the Security Token Service (`v1.token`, RFC 8693) and of the IAM Service Account Credentials API
//! (`generateAccessToken`), with the errors that Google's page on troubleshooting workload identity federation shows, Google's "Using OAuth 2.0 for server to server applications" (assertions, and tokens that a service account signs itself,
//! AIP-4111), RFC 7523, RFC 7515 and RFC 6749, section 6.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::gcp_kms::{FakeGcpKms, refusal};
use super::trust::{Mistrust, Trust};
use super::{Answer, Asked, CloudRecord, no_cryptography, random_text, spoiled};
use crate::failure::Failure;
use crate::tls_server::lock;

pub(super) const EMAIL: &str = "sops@fake.iam.gserviceaccount.com";
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const AUDIENCE: &str = "https://cloudkms.googleapis.com/";
const CLOUD_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Issues tokens, and knows those it issued.
pub(super) struct GcpTokens {
    url: String,
    /// The public keys (PKCS #1) of service accounts.
    accounts: Mutex<Vec<Vec<u8>>>,
    refresh_tokens: Mutex<BTreeSet<String>>,
    issued: Mutex<BTreeSet<String>>,
    trusted: Mutex<Option<Trust>>,
    /// Tokens of the pool of identities, with what they are good for.
    of_pool: Mutex<BTreeMap<String, String>>,
}

impl GcpTokens {
    pub(super) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            accounts: Mutex::default(),
            refresh_tokens: Mutex::default(),
            issued: Mutex::default(),
            trusted: Mutex::default(),
            of_pool: Mutex::default(),
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

    pub(super) fn trust(&self, trust: Trust) {
        *lock(&self.trusted) = Some(trust);
    }

    /// Answers a request for a token, and nothing if it is for something else.
    pub(super) fn answer(&self, asked: &Asked, record: &CloudRecord) -> Option<Answer> {
        let impersonated = format!("/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken");
        let answer = match asked.path.as_str() {
            _ if asked.method != Method::POST => return None,
            "/token" => Self::exchange,
            "/v1/token" => Self::exchange_identity,
            path if path == impersonated => Self::impersonate,
            _ => return None,
        };
        let throttled =
            || refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Token exchange requests'.");
        let denied = || refused("unauthorized_client", "The client is not authorized to request an access token.");
        Some(spoiled(&record.login_mood, throttled, denied).unwrap_or_else(|| answer(self, asked)))
    }

    /// Exchanges a token of somebody who is trusted.
    fn exchange_identity(&self, asked: &Asked) -> Answer {
        let field = |name: &str| asked.field(name).unwrap_or_default();
        let is_complete = field("grant_type") == EXCHANGE
            && field("requested_token_type") == "urn:ietf:params:oauth:token-type:access_token"
            && field("subject_token_type") == "urn:ietf:params:oauth:token-type:jwt";
        if !is_complete {
            return refused("invalid_request", "A required field is missing.");
        }
        if field("audience") != format!("//iam.googleapis.com/{}", FakeGcpKms::PROVIDER) {
            let text = "The target service indicated by the \"audience\" parameters is invalid. This might either be because the \
                pool or provider is disabled or deleted or because it doesn't exist.";
            return refused("invalid_target", text);
        }
        let trusted = lock(&self.trusted).clone();
        match trusted.map(|trust| trust.check(&field("subject_token"))) {
            Some(Ok(())) => {}
            Some(Err(Mistrust::Audience)) => {
                return refused("invalid_grant", "The audience in ID Token does not match the expected audience.");
            }
            Some(Err(Mistrust::Subject)) => {
                return refused("unauthorized_client", "The given credential is rejected by the attribute condition.");
            }
            Some(Err(Mistrust::Signature)) | None => {
                return refused("invalid_grant", "Error connecting to the given credential's issuer.");
            }
        }
        let Ok(token) = random_text(32).map(|text| format!("ya29.d.fake-{text}")) else {
            return refusal(500, "INTERNAL", "Internal error encountered.");
        };
        lock(&self.of_pool).insert(token.clone(), field("scope"));
        let body = json!({
            "access_token": token,
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 3599,
        });
        super::json(StatusCode::OK, &body)
    }

    /// Makes a token of the service account for somebody of the pool of identities.
    fn impersonate(&self, asked: &Asked) -> Answer {
        let scope = asked.token.as_ref().and_then(|token| lock(&self.of_pool).get(token).cloned());
        if scope.is_none_or(|scope| scope != CLOUD_SCOPE) {
            let text = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).";
            return refusal(403, "PERMISSION_DENIED", text);
        }
        let wanted = asked.json().unwrap_or_default();
        let scopes = wanted.get("scope").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_fine = scopes.iter().any(|scope| scope.as_str().is_some_and(is_scope))
            && wanted.get("lifetime").and_then(Value::as_str).is_some_and(|lifetime| lifetime.ends_with('s'));
        match self.issue() {
            Ok(token) if is_fine => {
                super::json(StatusCode::OK, &json!({"accessToken": token, "expireTime": "2099-01-01T00:00:00Z"}))
            }
            _ => refusal(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
        }
    }

    /// Exchanges what a service account signed, or a user was given.
    fn exchange(&self, asked: &Asked) -> Answer {
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
            _ => refused("invalid_grant", "Invalid grant: account not found"),
        }
    }

    /// Tells whether a token is good: one that was issued, or one that a service account signed for this service.
    pub(super) fn admits(&self, token: &str) -> bool {
        let is_issued = lock(&self.issued).contains(token);
        is_issued
            || lock(&self.of_pool).get(token).is_some_and(|scope| is_scope(scope))
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

/// Writes an error as token endpoints do (RFC 6749, section 5.2).
fn refused(code: &str, description: &str) -> Answer {
    super::json(StatusCode::BAD_REQUEST, &json!({"error": code, "error_description": description}))
}

fn is_scope(text: &str) -> bool {
    let good = [CLOUD_SCOPE, "https://www.googleapis.com/auth/cloudkms"];
    text.split(' ').any(|scope| good.contains(&scope))
}
