//! Access tokens of Microsoft Entra ID for an application whose credentials somebody holds in hand: nothing from the environment, no
//! files, no metadata server.
//!
//! What is not here: certificates, and identities of machines.
//! Source: "Microsoft identity platform and the OAuth 2.0 client credentials flow": shared secret, and federated credential (RFC 7523,
//! section 2.2).

use async_trait::async_trait;
use reqwest::Url;
use waxwing_formats::SecretBytes;

use super::ServiceError;
use super::exchange::{ServiceClient, Tokens, base};
use super::oauth::{self, Issued, KeptTokens};
use super::service_name::ENTRA as SERVICE;

const ASSERTION: &[u8] = b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An application that calls, with what proves that it is it. There is no `Debug`: credentials stand in it.
pub struct AzureAccess {
    /// The id of the tenant, or its domain.
    pub tenant: String,
    /// The application's (client) id.
    pub client: String,
    /// The proof.
    pub proof: AzureProof,
}

/// What proves that a caller is an application.
pub enum AzureProof {
    /// A token of somebody whom the application trusts (a federated credential).
    Federated(SecretBytes),
    /// A secret of the application.
    Secret(SecretBytes),
}

/// An application that logs in.
pub struct AzureLogin {
    client: ServiceClient,
    access: AzureAccess,
    url: Url,
    kept: KeptTokens,
}

impl AzureLogin {
    /// Where tokens are issued for everyone who has no cloud of his own.
    pub const AUTHORITY: &'static str = "https://login.microsoftonline.com";

    /// Makes a login; at `authority`, if tokens are issued elsewhere. Nothing is called yet.
    ///
    /// # Errors
    /// [`ServiceError::Malformed`] when the authority is no `https://` address, or the tenant is no id or domain.
    pub fn new(client: ServiceClient, authority: Option<&str>, access: AzureAccess) -> Result<Self, ServiceError> {
        let malformed = |what| ServiceError::Malformed { what };
        let mut url =
            base(authority.unwrap_or(Self::AUTHORITY)).ok_or(malformed("the address of Microsoft Entra ID"))?;
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-.".contains(letter);
        if access.tenant.trim_matches('.').is_empty() || !access.tenant.chars().all(is_letter) {
            return Err(malformed("the tenant"));
        }
        url.set_path(&format!("{}/{}/oauth2/v2.0/token", url.path().trim_end_matches('/'), access.tenant));
        Ok(Self { client, access, url, kept: KeptTokens::default() })
    }

    async fn log_in(&self, scope: &str) -> Result<Issued, ServiceError> {
        let mut fields: Vec<(&str, &[u8])> = vec![
            ("client_id", self.access.client.as_bytes()),
            ("grant_type", b"client_credentials"),
            ("scope", scope.as_bytes()),
        ];
        match &self.access.proof {
            AzureProof::Federated(token) => {
                fields.extend([("client_assertion_type", ASSERTION), ("client_assertion", token.expose_secret())]);
            }
            AzureProof::Secret(secret) => fields.push(("client_secret", secret.expose_secret().trim_ascii())),
        }
        oauth::token_by_form(&self.client, SERVICE, self.url.clone(), &fields).await
    }
}

#[async_trait]
impl Tokens for AzureLogin {
    async fn token(&self, scope: &str) -> Result<SecretBytes, ServiceError> {
        self.kept.get(scope, self.log_in(scope)).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Patience, Proxies};
    use super::*;

    fn url(authority: Option<&str>, tenant: &str) -> Result<String, ServiceError> {
        let client = ServiceClient::new(None, Proxies::None, Patience::default()).unwrap();
        let proof = AzureProof::Secret(SecretBytes::new(b"hunter2".to_vec()));
        let access = AzureAccess { tenant: tenant.to_owned(), client: "c".to_owned(), proof };
        AzureLogin::new(client, authority, access).map(|login| login.url.to_string())
    }

    #[test]
    fn tokens_come_from_microsoft_or_from_where_the_caller_says_and_no_tenant_leads_elsewhere() {
        let usual = "https://login.microsoftonline.com/shop.example/oauth2/v2.0/token";
        assert_eq!(url(None, "shop.example").as_deref(), Ok(usual));
        assert_eq!(url(Some("https://l:1"), "t").as_deref(), Ok("https://l:1/t/oauth2/v2.0/token"));
        for tenant in ["", "..", ".", "a/b", "a?b", "a#b", "a%2fb", "@evil.example"] {
            assert!(url(None, tenant).is_err(), "{tenant}");
        }
        assert!(url(Some("http://elsewhere.example"), "t").is_err());
    }
}
