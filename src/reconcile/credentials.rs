//! Reads the credentials that a GitSource names into the types of `source`.

use waxwing_formats::SecretBytes;

use super::context::Context;
use super::trouble::{Trouble, of_secret};
use crate::api::{GitSource, Reason};
use crate::cluster::Identity;
use crate::cluster::secrets::{self, Secret};
use crate::source::{Credential, Credentials, Login};

/// Reads the Secret of `spec.secretRef`, as the controller; without one the fetch is anonymous.
///
/// # Errors
///
/// Fails when the Secret can't be read, or has neither a login nor a CA.
pub(super) async fn read(source: &GitSource, context: &Context) -> Result<Credentials, Trouble> {
    let Some(reference) = &source.spec.secret_ref else { return Ok(Credentials::default()) };
    let namespace = source.metadata.namespace.as_deref().unwrap_or_default();
    let secret = secrets::read(&context.client, &Identity::Controller, namespace, &reference.name).await;
    let secret = secret.map_err(|error| match of_secret(error, "spec.secretRef", "the controller") {
        outage @ Trouble { reason: Reason::ApiUnavailable, .. } => outage,
        trouble => Trouble { reason: Reason::AuthenticationFailed, ..trouble },
    })?;
    let ca_pem = secret.data.get("ca.crt").map(|pem| pem.expose_secret().to_vec());
    let login = login(&secret, &reference.name)?;
    if login.is_anonymous() && ca_pem.is_none() {
        return Err(unusable(&reference.name, "has neither username and password, nor bearerToken, nor ca.crt"));
    }
    Ok(Credentials { login, ca_pem })
}

fn login(secret: &Secret, name: &str) -> Result<Login, Trouble> {
    let text = |key: &str| secret.data.get(key).map(|value| credential(name, key, value)).transpose();
    match (text("username")?, text("password")?, text("bearerToken")?) {
        (None, None, None) => Ok(Login::Anonymous),
        (None, None, Some(token)) => Ok(Login::Bearer(token)),
        (Some(username), Some(password), None) => Ok(Login::Basic { username, password }),
        _ => Err(unusable(name, "must have username and password, or bearerToken, and not both")),
    }
}

fn credential(name: &str, key: &str, value: &SecretBytes) -> Result<Credential, Trouble> {
    let not_text = |_| unusable(name, &format!("has a {key} that is not UTF-8 text"));
    let text = std::str::from_utf8(value.expose_secret()).map_err(not_text)?;
    Ok(Credential::new(text.to_owned()))
}

fn unusable(name: &str, fact: &str) -> Trouble {
    let hint = "set username and password, or bearerToken; and ca.crt where the authority is not a public one";
    Trouble::passing(Reason::AuthenticationFailed, format!("Secret {name} {fact}"), hint)
}
