//! How a Sync logs in at a Vault server: what its backend says and names, read as the tenant, and the one request that it takes.

use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use waxwing_formats::SecretBytes;
use waxwing_keys::service_name::VAULT;
use waxwing_keys::{Holder, ServiceError, VaultLogin, VaultProof, VaultTransit};

use super::reader::Reader;
use super::vault_server::Server;
use super::{PATIENCE, Tenant, Trouble};
use crate::api::{AppRoleAuth, CertificateAuth, JwtAuth, KubernetesAuth, LocalRef, VaultAuth};

const AUTH: &str = "spec.vault.auth";

/// What a Sync logs in with. Not `Debug`.
pub(super) enum Login {
    /// By a token that somebody else got.
    Token(SecretBytes),
    /// By a token of its ServiceAccount.
    Signed { mount: String, role: String, audience: String },
    /// By an AppRole, whose secret id may come wrapped.
    AppRole { spec: AppRoleAuth, secret_id: SecretBytes },
    /// By the certificate that connections are made with.
    Certificate { mount: String, role: Option<String> },
}

/// A login with the certificate that it takes and the version of the Secret that it was read from, each where there is one.
pub(super) struct Read {
    pub(super) login: Login,
    pub(super) identity: Option<SecretBytes>,
    pub(super) version: String,
}

impl Login {
    pub(super) async fn read(reader: &Reader<'_>, auth: &VaultAuth) -> Result<Read, Trouble> {
        let of = |login| Ok(Read { login, identity: None, version: String::new() });
        let VaultAuth { kubernetes, jwt, app_role, cert, token_ref } = auth;
        match (kubernetes, jwt, app_role, cert, token_ref) {
            (Some(KubernetesAuth { mount, role, audience }), None, None, None, None)
            | (None, Some(JwtAuth { mount, role, audience }), None, None, None) => {
                of(Self::Signed { mount: mount.clone(), role: role.clone(), audience: audience.clone() })
            }
            (None, None, Some(spec), None, None) => {
                let (secret_id, version) = entry(reader, &spec.secret_ref, "secretId").await?;
                Ok(Read { login: Self::AppRole { spec: spec.clone(), secret_id }, identity: None, version })
            }
            (None, None, None, Some(spec), None) => Self::certified(reader, spec).await,
            (None, None, None, None, Some(secret)) => {
                let (token, version) = entry(reader, secret, "token").await?;
                Ok(Read { login: Self::Token(token), identity: None, version })
            }
            _ => Err(reader.incomplete(AUTH)),
        }
    }

    async fn certified(reader: &Reader<'_>, spec: &CertificateAuth) -> Result<Read, Trouble> {
        let secret = reader.secret(&spec.secret_ref.name, &["tls.crt", "tls.key"]).await?;
        let pem = |entry: &str| secret.data.get(entry).ok_or_else(|| reader.incomplete(AUTH));
        let (certificate, key) = (pem("tls.crt")?, pem("tls.key")?);
        let identity = SecretBytes::concat(&[certificate.expose_secret(), b"\n", key.expose_secret()]);
        let login = Self::Certificate { mount: spec.mount.clone(), role: spec.role.clone() };
        Ok(Read { login, identity: Some(identity), version: secret.version })
    }

    /// Logs in. `holder` is who does.
    pub(super) async fn log_in(
        &self,
        tenant: &Tenant<'_>,
        server: &Arc<Server>,
        holder: &Holder,
    ) -> Result<VaultLogin, ServiceError> {
        let begun = Instant::now();
        let login = self.prove(tenant, server, holder).await;
        let outcome = login.as_ref().map_or_else(ServiceError::word, |_| "logged-in");
        tenant.job.context.metrics.logged_in(VAULT, outcome, begun.elapsed());
        login
    }

    async fn prove(
        &self,
        tenant: &Tenant<'_>,
        server: &Arc<Server>,
        holder: &Holder,
    ) -> Result<VaultLogin, ServiceError> {
        let who = |who: String| move |error| turned_away(error, &who);
        let (logins, stranger) = (&tenant.job.context.logins, server.connect(PATIENCE)?.transit(None)?);
        match self {
            // It was never logged in with, so nobody comes here with one.
            Self::Token(_) => Err(ServiceError::Malformed { what: AUTH }),
            Self::Signed { mount, role, audience } => {
                let (jwt, role, mount) = (tenant.token(audience, VAULT).await?, role.clone(), mount.clone());
                let asked =
                    async move { stranger.log_in(&mount, &VaultProof::Signed { role: &role, jwt: &jwt }).await };
                logins.log_in(server, asked).await.map_err(who(format!("ServiceAccount {}", tenant.job.account)))
            }
            Self::AppRole { spec, secret_id } => {
                let AppRoleAuth { mount, role_id, .. } = spec.clone();
                let secret_id = match spec.wrapped {
                    false => SecretBytes::concat(&[secret_id.expose_secret()]),
                    true => take_out(tenant, server, holder, (&mount, secret_id)).await?,
                };
                let asked = async move {
                    let proof = VaultProof::AppRole { role_id: &role_id, secret_id: &secret_id };
                    stranger.log_in(&mount, &proof).await
                };
                logins
                    .log_in(server, asked)
                    .await
                    .map_err(who(format!("the secret id of Secret {}", spec.secret_ref.name)))
            }
            Self::Certificate { mount, role } => {
                let (mount, role) = (mount.clone(), role.clone());
                let asked =
                    async move { stranger.log_in(&mount, &VaultProof::Certificate { role: role.as_deref() }).await };
                logins.log_in(server, asked).await.map_err(who("the certificate".to_owned()))
            }
        }
    }

    /// Says what whoever runs the server, or wrote the backend, can do when it does not let `account` in.
    pub(super) fn hint(&self, account: &str) -> String {
        match self {
            Self::Token(_) => "write a token into the Secret of spec.vault.auth.tokenRef that is still good".to_owned(),
            Self::Signed { mount, role, audience } => format!(
                "see that auth/{mount} is enabled and can check tokens of this cluster, that its role {role} takes ServiceAccount {account} and the \
                 audience {audience}, and that {account} may create tokens of itself"
            ),
            Self::AppRole { spec: AppRoleAuth { mount, secret_ref, wrapped: true, .. }, .. } => format!(
                "write a new wrapping into Secret {}, of bao write -f -wrap-ttl=10m auth/{mount}/role/NAME/secret-id; if nobody started the controller \
                 anew, somebody else took out the last one: destroy its secret id",
                secret_ref.name
            ),
            Self::AppRole { spec: AppRoleAuth { mount, secret_ref, .. }, .. } => {
                format!("write a new secret id of auth/{mount} into Secret {}, or correct roleId", secret_ref.name)
            }
            Self::Certificate { mount, .. } => {
                format!("see that auth/{mount} has a role that takes the certificate, and that it is not over")
            }
        }
    }
}

/// Reads an entry of a Secret. Whoever writes one with an editor leaves a line break behind it.
async fn entry(reader: &Reader<'_>, secret: &LocalRef, name: &str) -> Result<(SecretBytes, String), Trouble> {
    let mut secret = reader.secret(&secret.name, &[name]).await?;
    let value = secret.data.remove(name).ok_or_else(|| reader.incomplete(AUTH))?;
    Ok((SecretBytes::concat(&[value.expose_secret().trim_ascii()]), secret.version))
}

/// Returns what was wrapped in a token, which is good for one look.
///
/// What was taken out is found again by the token that it was wrapped in and the place that the token is of: the server, the namespace on it
/// and the mount. It does not belong to a generation of the backend, or to a version of the Secret: the same token can't be taken out a
/// second time, so that a backend with other `allow` or another `roleId`, or a Secret with another label, would need a new wrapping for
/// nothing. Where the place is another one it is not reused, since a secret id of one server must not be sent to another; there the token
/// is looked at anew, and refused.
async fn take_out(
    tenant: &Tenant<'_>,
    server: &Arc<Server>,
    holder: &Holder,
    (mount, wrapping): (&str, &SecretBytes),
) -> Result<SecretBytes, ServiceError> {
    let copy = || SecretBytes::concat(&[wrapping.expose_secret()]);
    let client: Result<VaultTransit, ServiceError> = server.connect(PATIENCE)?.transit(Some(copy()));
    let client = Arc::new(client?);
    // Whoever can read the Secret could take it out himself, so it is theirs together.
    let holder = Holder {
        tenant: tenant.job.namespace().to_owned(),
        account: tenant.job.namespace().to_owned(),
        backend: holder.backend.clone(),
        version: wrapped_at(&server.place(), mount, wrapping),
    };
    let once = || {
        let (client, mount, wrapping) = (client.clone(), mount.to_owned(), copy());
        async move { client.unwrap_secret_id(&mount, &wrapping).await }
    };
    let taken_out = tenant.job.context.logins.secret_id(&holder, once).await;
    let taken_out = taken_out.map_err(|error| match error {
        ServiceError::Denied { service, code } => {
            let why = format!("the wrapping of the secret id is over, or was taken out already ({code})");
            ServiceError::NoCredentials { service, why }
        }
        ServiceError::Refused { service, .. } => {
            let why = format!("what is wrapped is no secret id of auth/{mount}: somebody may have put it there");
            ServiceError::NoCredentials { service, why }
        }
        error => error,
    })?;
    Ok(SecretBytes::concat(&[taken_out.expose_secret()]))
}

/// Returns what tells a wrapping from any other, without showing it.
fn wrapped_at(place: &str, mount: &str, wrapping: &SecretBytes) -> String {
    let digest = digest(&SHA256, wrapping.expose_secret());
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{place} auth/{mount} {digest}")
}

fn turned_away(error: ServiceError, who: &str) -> ServiceError {
    match error {
        ServiceError::Denied { service, code } => {
            ServiceError::NoCredentials { service, why: format!("it does not let {who} in ({code})") }
        }
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_out_of_a_wrapping_is_found_by_the_same_token_at_the_same_place_alone() {
        let at = |place, mount, token: &[u8]| wrapped_at(place, mount, &SecretBytes::new(token.to_vec()));
        let own = at("https://a:8200 ", "approle", b"hunter2");
        assert_eq!(own, at("https://a:8200 ", "approle", b"hunter2"));
        assert!(!own.contains("hunter2"));
        for other in [
            at("https://b:8200 ", "approle", b"hunter2"),
            at("https://a:8200 team", "approle", b"hunter2"),
            at("https://a:8200 ", "approle-2", b"hunter2"),
            at("https://a:8200 ", "approle", b"hunter3"),
        ] {
            assert_ne!(own, other);
        }
    }
}
