//! What engines of Vault and OpenBao make when they are asked, such as users of a database and certificates: has it made, and renews the
//! lease that it comes with.
//!
//! To ask twice makes two of it, so a request is sent once. A lease is a child of the token that it was asked for with and ends with
//! it; nothing here ends a single lease, since that takes a right to end those of others. Paths of the server itself are never asked. Not
//! here: which paths may be asked, and when.
//! Source: <https://openbao.org/api-docs/secret/databases/> (`Generate Credentials`), <https://openbao.org/api-docs/secret/pki/> (`Generate
//! Certificate and Key`), <https://openbao.org/api-docs/system/leases/> (`Renew Lease`), <https://openbao.org/api-docs/auth/token/>
//! (`Renew a Token (Self)`).

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use waxwing_formats::SecretBytes;
use waxwing_formats::reference::{SecretPath, StoredSecret};

use super::login::{object, public};
use super::{Answer, Body, SERVICE, VaultAccess, VaultTransit};
use crate::services::exchange::ServiceClient;
use crate::services::secret_text::SecretText;
use crate::services::{ServiceError, StoreError};

/// The most bytes that are read of an answer.
const MAX_SECRET: usize = 1024 * 1024;

/// What is good for longer than this (in seconds) is taken to be good for this long.
const LONGEST: u64 = 10 * 365 * 24 * 60 * 60;

/// Where the server itself is, and no engine that anybody mounted.
const OF_THE_SERVER: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];

/// Has engines of one server make secrets, as one login.
pub struct VaultLeases(VaultTransit);

/// What was made. There is no `Debug`.
pub struct MadeSecret {
    /// The secret.
    pub secret: StoredSecret,
    /// Its lease, unless it has an end of its own.
    pub lease: Option<LeaseId>,
    /// How long it is good for if nobody renews it.
    pub lifetime: Lifetime,
}

/// Until when something is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// For so long from now.
    For(Duration),
    /// Until this second since 1970.
    Until(i64),
}

/// The name of a lease. There is no `Debug`: whoever may end leases and knows it can end this one.
pub struct LeaseId {
    id: SecretBytes,
    /// Whether the server says that it can be renewed.
    pub is_renewable: bool,
}

impl VaultLeases {
    /// Makes a client for one server. Nothing is called yet.
    ///
    /// # Errors
    /// As [`VaultTransit::new`].
    pub fn new(client: ServiceClient, address: &str, access: &VaultAccess) -> Result<Self, ServiceError> {
        VaultTransit::new(client.once().for_answers_up_to(MAX_SECRET), address, access).map(Self)
    }

    /// Has a secret made: by reading its path, or with parameters, by writing them to it.
    ///
    /// # Errors
    /// [`StoreError::NotMade`] if the path is one of the server itself, or what it gives has no end; fails also if the server does not
    /// make it.
    pub async fn issue(
        &self,
        path: &SecretPath,
        parameters: &BTreeMap<String, String>,
    ) -> Result<MadeSecret, StoreError> {
        let segments = path.segments();
        if segments.len() < 2 || segments.first().is_some_and(|first| OF_THE_SERVER.contains(&first.as_str())) {
            return Err(not_made("it is one of the server itself"));
        }
        let url = self.0.below(segments.iter().map(String::as_str))?;
        let (method, body) = match parameters.is_empty() {
            true => (Method::GET, None),
            false => (Method::POST, Some(fields(parameters)?)),
        };
        let answer = self.0.ask(method, url, body).await.map_err(|error| match error {
            // An answer that is not read to its end is one that is too large.
            ServiceError::Answer { service } => StoreError::TooLarge { service },
            error => error.into(),
        })?;
        made(self.0.checked(answer).map_err(|error| match error {
            // 400 is what a role answers that there isn't, or that wants other parameters.
            ServiceError::Refused { service, .. } => StoreError::NoRole { service },
            error => error.into(),
        })?)
    }

    /// Renews a lease, and returns how long it is good for from now; nothing where the server does not.
    ///
    /// # Errors
    /// Fails if the server does not answer.
    pub async fn renew(&self, lease: &LeaseId) -> Result<Option<Duration>, StoreError> {
        let text = std::str::from_utf8(lease.id.expose_secret()).map_err(|_| unreadable())?;
        let renewed = self.0.call(self.0.below(["sys", "leases", "renew"])?, object(&[("lease_id", public(text)?)])?);
        let Some(answer) = unless_refused(renewed.await)? else { return Ok(None) };
        let renewed: Renewed = parse(&answer)?;
        Ok(Some(seconds(renewed.lease_duration)))
    }

    /// Renews the token of this client, and returns how long it is good for from now; nothing where the server does not.
    ///
    /// # Errors
    /// Fails if the server does not answer.
    pub async fn renew_own_token(&self) -> Result<Option<Duration>, StoreError> {
        let renewed = self.0.call(self.0.below(["auth", "token", "renew-self"])?, Body::json(&[b"{}"]));
        let Some(answer) = unless_refused(renewed.await)? else { return Ok(None) };
        let OfToken { auth } = parse(&answer)?;
        Ok(Some(seconds(auth.lease_duration)))
    }
}

/// The server does not know a token or lease any more, or may not renew it: no reason to ask again.
fn unless_refused(answer: Result<Answer, ServiceError>) -> Result<Option<Answer>, StoreError> {
    match answer {
        Err(ServiceError::Denied { .. } | ServiceError::Refused { .. } | ServiceError::NotFound { .. }) => Ok(None),
        answer => Ok(Some(answer?)),
    }
}

fn fields(parameters: &BTreeMap<String, String>) -> Result<Body, ServiceError> {
    let body = serde_json::to_vec(parameters).map_err(|_| ServiceError::Malformed { what: "a parameter" })?;
    Ok(Body::json(&[&body]))
}

fn made(answer: Answer) -> Result<MadeSecret, StoreError> {
    let (lease, lifetime) = {
        let Made { lease_id, lease_duration, renewable, data } = parse(&answer)?;
        let id = lease_id.map(|id| id.to_secret()).filter(|id| !id.expose_secret().is_empty());
        match (id, data.expiration) {
            (Some(_), _) if lease_duration == 0 => return Err(not_made("what it gives has no end")),
            (Some(id), _) => {
                let lifetime = Lifetime::For(seconds(lease_duration));
                (Some(LeaseId { id, is_renewable: renewable }), lifetime)
            }
            (None, Some(Expiration::At(second))) => (None, Lifetime::Until(second)),
            (None, _) => return Err(not_made("what it gives has neither a lease nor an end")),
        }
    };
    Ok(MadeSecret { secret: StoredSecret::new(answer.body, &["data"]), lease, lifetime })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds.min(LONGEST))
}

fn parse<'a, T: Deserialize<'a>>(answer: &'a Answer) -> Result<T, StoreError> {
    serde_json::from_slice(answer.body.expose_secret()).map_err(|_| unreadable())
}

fn unreadable() -> StoreError {
    StoreError::Answer { service: SERVICE }
}

fn not_made(why: &'static str) -> StoreError {
    StoreError::NotMade { service: SERVICE, why }
}

#[derive(Deserialize)]
struct Made<'a> {
    #[serde(borrow, default)]
    lease_id: Option<SecretText<'a>>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    data: Data,
}

/// Of what was made, only when it ends.
#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    expiration: Option<Expiration>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expiration {
    At(i64),
    Otherwise(IgnoredAny),
}

#[derive(Deserialize)]
struct Renewed {
    lease_duration: u64,
}

#[derive(Deserialize)]
struct OfToken {
    auth: Renewed,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(body: &str) -> Result<MadeSecret, StoreError> {
        made(Answer {
            status: 200,
            retry_after: None,
            challenge: None,
            body: SecretBytes::new(body.as_bytes().to_vec()),
        })
    }

    #[test]
    fn what_is_made_has_a_lease_or_an_end_of_its_own_and_nothing_else_is_taken() {
        let lease = r#"{"lease_id":"database/creds/a/x","lease_duration":60,"renewable":true,"data":{"password":"p"}}"#;
        let lease = answered(lease).ok().unwrap();
        assert!(lease.lease.is_some_and(|lease| lease.is_renewable));
        assert_eq!(lease.lifetime, Lifetime::For(Duration::from_secs(60)));
        let own = answered(r#"{"lease_id":"","lease_duration":0,"data":{"expiration":1893456000,"private_key":"k"}}"#);
        let own = own.ok().unwrap();
        assert!(own.lease.is_none() && own.lifetime == Lifetime::Until(1_893_456_000));
        let long = answered(r#"{"lease_id":"a","lease_duration":18446744073709551615,"data":{}}"#).ok().unwrap();
        assert_eq!(long.lifetime, Lifetime::For(Duration::from_secs(LONGEST)));
        for (body, wanted) in [
            (r#"{"lease_id":"","lease_duration":2764800,"data":{"password":"p"}}"#, "neither a lease nor an end"),
            (r#"{"data":{"expiration":"2030-01-01"}}"#, "neither a lease nor an end"),
            (r#"{"lease_id":"a","lease_duration":0,"data":{}}"#, "no end"),
            (r#"{"lease_id":"a","lease_duration":-1,"data":{}}"#, "can't be read"),
            (r#"{"lease_id":"a","lease_duration":60,"data":null}"#, "can't be read"),
            ("[]", "can't be read"),
        ] {
            let error = answered(body).err().map(|error| error.to_string()).unwrap();
            assert!(error.contains(wanted), "{body}: {error}");
        }
    }
}
