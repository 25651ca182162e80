//! Access tokens of Google for somebody who holds his credentials in hand: nothing from the environment, no files, no metadata server.
//!
//! The addresses are Google's own or the one that the caller names, never one that credentials name: a key file has a `token_uri`, and
//! it is not looked at. What is not here: credentials of users and of machines, which only people and nodes have.
//! Source: Google's "Obtain short-lived tokens for workload identity federation" and the REST references of the Security Token Service
//! (`v1.token`, RFC 8693) and of the IAM Service Account Credentials API (`generateAccessToken`), "Using OAuth 2.0 for server to
//! server applications" (RFC 7523), and RFC 7515 for what is signed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::json;
use waxwing_formats::SecretBytes;
use waxwing_formats::sealed_secret::pem;

use super::ServiceError;
use super::exchange::{Body, Request, ServiceClient, Tokens, base};
use super::oauth::{self, Issued, KeptTokens};
use super::secret_text::SecretText;
use super::service_name::GCP_TOKENS as SERVICE;

/// Where tokens of somebody whom Google trusts are exchanged.
const STS: &str = "https://sts.googleapis.com";
/// Where tokens of service accounts are made.
const IAM: &str = "https://iamcredentials.googleapis.com";
/// Where keys of service accounts are exchanged.
const OAUTH: &str = "https://oauth2.googleapis.com";

const EXCHANGE: &[u8] = b"urn:ietf:params:oauth:grant-type:token-exchange";
const JWT_BEARER: &[u8] = b"urn:ietf:params:oauth:grant-type:jwt-bearer";
const ACCESS_TOKEN: &[u8] = b"urn:ietf:params:oauth:token-type:access_token";
const JWT: &[u8] = b"urn:ietf:params:oauth:token-type:jwt";

/// What a token must be good for with which one of a service account is made.
const IAM_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How long a token of a service account lives that is made for somebody else; a sync needs it once.
const IMPERSONATED: Duration = Duration::from_secs(600);
/// How long what a key signs is good for, which is also how long the token lives.
const SIGNED_SECONDS: i64 = 3600;

/// As whom Google is called. There is no `Debug`: credentials stand in it.
pub enum GcpAccess {
    /// As whoever a token says that Google trusts by a pool of identities.
    WorkloadIdentity {
        /// The provider of the pool, `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`.
        provider: String,
        /// The token.
        token: SecretBytes,
        /// The email of the service account that is acted as; none for the identity of the pool itself.
        service_account: Option<String>,
    },
    /// As a service account, with a key of it.
    Key(Arc<GcpAccountKey>),
}

/// A key of a service account. There is no `Debug`.
pub struct GcpAccountKey {
    email: String,
    id: Option<String>,
    pair: RsaKeyPair,
}

/// Why a key file can't be used. It quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GcpAccountKeyError {
    /// It is no JSON, or a field is missing.
    #[error("it is not the key file of a service account: JSON with type, client_email and private_key")]
    Malformed,
    /// It is another kind of credentials.
    #[error("it has credentials of another type than service_account")]
    Type,
    /// The private key is none.
    #[error("its private_key is no RSA key in PKCS#8")]
    Key,
}

impl GcpAccountKey {
    /// Reads the JSON file of a key, as Google gives it out. Addresses in it don't count.
    ///
    /// # Errors
    /// See [`GcpAccountKeyError`].
    pub fn parse(json: &SecretBytes) -> Result<Self, GcpAccountKeyError> {
        let file: Wire<'_> = serde_json::from_slice(json.expose_secret()).map_err(|_| GcpAccountKeyError::Malformed)?;
        if file.kind != "service_account" {
            return Err(GcpAccountKeyError::Type);
        }
        let (Some(email), Some(private_key)) = (file.client_email, file.private_key) else {
            return Err(GcpAccountKeyError::Malformed);
        };
        let text = private_key.to_secret();
        let block = pem::first_block(text.expose_secret(), &["PRIVATE KEY"]).ok_or(GcpAccountKeyError::Key)?;
        let pair = RsaKeyPair::from_pkcs8(&block.der).map_err(|_| GcpAccountKeyError::Key)?;
        Ok(Self { email, id: file.private_key_id, pair })
    }

    /// Signs that it asks `audience` for a token for `scope` (RFC 7523, section 2.1).
    fn assertion(&self, audience: &str, scope: &str, now: Timestamp) -> Result<SecretBytes, ServiceError> {
        let from = now.as_second();
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.id});
        let claims =
            json!({"iss": self.email, "scope": scope, "aud": audience, "iat": from, "exp": from + SIGNED_SECONDS});
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let signed = format!("{header}.{claims}");
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let random = SystemRandom::new();
        self.pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).map_err(|_| {
            ServiceError::NoCredentials { service: SERVICE, why: "the private key does not sign".to_owned() }
        })?;
        Ok(SecretBytes::concat(&[signed.as_bytes(), b".", URL_SAFE_NO_PAD.encode(signature).as_bytes()]))
    }
}

/// Somebody who logs in at Google.
pub struct GcpLogin {
    client: ServiceClient,
    access: GcpAccess,
    sts: Url,
    iam: Url,
    oauth: Url,
    kept: KeptTokens,
}

impl GcpLogin {
    /// Makes a login; at `endpoint`, if Google is not where it usually is. Nothing is called yet.
    ///
    /// # Errors
    /// [`ServiceError::Malformed`] when the endpoint is no `https://` address, or the name of the provider or of the service account
    /// could lead elsewhere.
    pub fn new(client: ServiceClient, endpoint: Option<&str>, access: GcpAccess) -> Result<Self, ServiceError> {
        let malformed = |what| ServiceError::Malformed { what };
        let at = |usual: &str, path: &str| {
            let mut url = base(endpoint.unwrap_or(usual)).ok_or(malformed("the endpoint of Google"))?;
            url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
            Ok::<_, ServiceError>(url)
        };
        let (sts, oauth) = (at(STS, "/v1/token")?, at(OAUTH, "/token")?);
        let iam = match &access {
            GcpAccess::WorkloadIdentity { provider, .. } if !is_name(provider, "/") => {
                return Err(malformed("the provider of the workload identity"));
            }
            GcpAccess::WorkloadIdentity { service_account: Some(email), .. } if !is_name(email, "@") => {
                return Err(malformed("the service account"));
            }
            GcpAccess::WorkloadIdentity { service_account: Some(email), .. } => {
                at(IAM, &format!("/v1/projects/-/serviceAccounts/{email}:generateAccessToken"))?
            }
            _ => at(IAM, "")?,
        };
        Ok(Self { client, access, sts, iam, oauth, kept: KeptTokens::default() })
    }

    async fn log_in(&self, scope: &str) -> Result<Issued, ServiceError> {
        match &self.access {
            GcpAccess::Key(key) => {
                let assertion = key.assertion(self.oauth.as_str(), scope, Timestamp::now())?;
                let fields = [("grant_type", JWT_BEARER), ("assertion", assertion.expose_secret())];
                oauth::token_by_form(&self.client, SERVICE, self.oauth.clone(), &fields).await
            }
            GcpAccess::WorkloadIdentity { provider, token, service_account: None } => {
                self.exchange(provider, token, scope).await
            }
            GcpAccess::WorkloadIdentity { provider, token, service_account: Some(_) } => {
                let own = self.exchange(provider, token, IAM_SCOPE).await?;
                self.impersonate(&own.token, scope).await
            }
        }
    }

    async fn exchange(&self, provider: &str, token: &SecretBytes, scope: &str) -> Result<Issued, ServiceError> {
        let audience = format!("//iam.googleapis.com/{provider}");
        let fields: [(&str, &[u8]); 6] = [
            ("grant_type", EXCHANGE),
            ("audience", audience.as_bytes()),
            ("scope", scope.as_bytes()),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", JWT),
            ("subject_token", token.expose_secret()),
        ];
        oauth::token_by_form(&self.client, SERVICE, self.sts.clone(), &fields).await
    }

    async fn impersonate(&self, own: &SecretBytes, scope: &str) -> Result<Issued, ServiceError> {
        let asked = json!({"scope": [scope], "lifetime": format!("{}s", IMPERSONATED.as_secs())}).to_string();
        let (method, url, headers) = (Method::POST, self.iam.clone(), HeaderMap::new());
        let body = Some(Body::json(&[asked.as_bytes()]));
        let request = Request { service: SERVICE, method, url, token: Some(own), headers, body };
        let answer = self.client.ask(&request).await?;
        if answer.status != 200 {
            return Err(oauth::refusal(SERVICE, &answer));
        }
        let made = serde_json::from_slice::<Made<'_>>(answer.body.expose_secret());
        let made = made.map_err(|_| ServiceError::Answer { service: SERVICE })?;
        Ok(Issued { token: made.access_token.to_secret(), lives: IMPERSONATED })
    }
}

#[async_trait]
impl Tokens for GcpLogin {
    async fn token(&self, scope: &str) -> Result<SecretBytes, ServiceError> {
        self.kept.get(scope, self.log_in(scope)).await
    }
}

/// Tells whether a text has letters and digits, these further characters, and nothing that leads out of a path.
fn is_name(text: &str, further: &str) -> bool {
    let is_one = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter) || further.contains(letter);
    text.chars().all(is_one) && text.split('/').all(|part| !["", ".", ".."].contains(&part))
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, rename = "type")]
    kind: String,
    client_email: Option<String>,
    private_key_id: Option<String>,
    #[serde(borrow)]
    private_key: Option<SecretText<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Made<'a> {
    #[serde(borrow)]
    access_token: SecretText<'a>,
}

#[cfg(test)]
mod tests {
    use super::super::{Patience, Proxies};
    use super::*;

    fn login(endpoint: Option<&str>, provider: &str, account: Option<&str>) -> Result<GcpLogin, ServiceError> {
        let client = ServiceClient::new(None, Proxies::None, Patience::default()).unwrap();
        let (token, service_account) = (SecretBytes::new(b"t".to_vec()), account.map(str::to_owned));
        let access = GcpAccess::WorkloadIdentity { provider: provider.to_owned(), token, service_account };
        GcpLogin::new(client, endpoint, access)
    }

    #[test]
    fn tokens_come_from_google_or_from_where_the_caller_says() {
        let google = login(None, "projects/1/x/y", Some("a@b.example")).unwrap();
        assert_eq!(google.sts.as_str(), "https://sts.googleapis.com/v1/token");
        assert_eq!(google.oauth.as_str(), "https://oauth2.googleapis.com/token");
        let url = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/a@b.example:generateAccessToken";
        assert_eq!(google.iam.as_str(), url);
        assert_eq!(login(Some("https://g:1"), "p", None).unwrap().sts.as_str(), "https://g:1/v1/token");
    }

    #[test]
    fn no_name_leads_elsewhere() {
        for (provider, account) in [
            ("projects/../x", None),
            ("projects//x", None),
            ("", None),
            ("p?x", None),
            ("p", Some("a/../b")),
            ("p", Some("a?b")),
            ("p", Some("")),
            ("p", Some("..")),
        ] {
            assert!(login(None, provider, account).is_err(), "{provider} {account:?}");
        }
        assert!(login(Some("http://elsewhere.example"), "p", None).is_err());
    }

    #[test]
    fn a_file_that_is_no_key_of_a_service_account_is_refused_without_its_words() {
        let key = r#"{"type":"service_account","client_email":"a@b","private_key":"hunter2"}"#;
        for (text, wanted) in [
            ("", GcpAccountKeyError::Malformed),
            ("[]", GcpAccountKeyError::Malformed),
            (r#"{"type":"service_account","client_email":"a@b"}"#, GcpAccountKeyError::Malformed),
            (r#"{"private_key":"hunter2"}"#, GcpAccountKeyError::Type),
            (r#"{"type":"external_account","token_url":"https://evil.example"}"#, GcpAccountKeyError::Type),
            (r#"{"type":"authorized_user","refresh_token":"hunter2"}"#, GcpAccountKeyError::Type),
            (key, GcpAccountKeyError::Key),
        ] {
            let refused = GcpAccountKey::parse(&SecretBytes::new(text.as_bytes().to_vec())).err();
            assert_eq!(refused, Some(wanted), "{text}");
        }
    }
}
