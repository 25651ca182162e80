//! Whether a backend can be used as it is written, and its server answers, seen by the controller itself: without any credential.

use waxwing_formats::reference::PathPattern;
use waxwing_keys::{KeyPattern, Origin, ServiceError};

use super::reader::{NO_KEY_PATTERN, NO_ORIGIN, NO_PATH_PATTERN};
use super::vault_server::Server;
use super::{KeyServices, PATIENCE, Trouble};
use crate::api::{Reason, SecretBackendSpec, VaultBackend};

/// Looks at a backend.
///
/// # Errors
///
/// Returns what keeps every Sync from using it.
pub(in crate::reconcile) async fn check(spec: &SecretBackendSpec, services: &KeyServices) -> Result<(), Trouble> {
    for pattern in &spec.allow.keys {
        KeyPattern::parse(pattern).map_err(|error| lasting("spec.allow.keys", &error, NO_KEY_PATTERN))?;
    }
    for pattern in &spec.allow.paths {
        let parsed: Result<PathPattern, _> = pattern.parse();
        parsed.map_err(|error| lasting("spec.allow.paths", &error, NO_PATH_PATTERN))?;
    }
    for dynamic in spec.vault.iter().flat_map(|vault| &vault.dynamic) {
        let parsed: Result<PathPattern, _> = dynamic.path.parse();
        parsed.map_err(|error| lasting("spec.vault.dynamic", &error, NO_PATH_PATTERN))?;
    }
    let address = match (&spec.vault, &spec.azure) {
        (Some(vault), _) => &vault.address,
        (None, Some(azure)) => &azure.vault_url,
        (None, None) => return Ok(()),
    };
    if !address.parse::<Origin>().is_ok_and(|origin| services.origins.contains(&origin)) {
        let fact = format!("it leads to {address}, which is not among the controller's backend origins");
        return Err(Trouble::lasting(Reason::KeyNotAllowed, fact, NO_ORIGIN));
    }
    match &spec.vault {
        // A server that wants a certificate from everybody would not answer without one.
        Some(vault) if vault.auth.cert.is_none() => answers(vault).await,
        _ => Ok(()),
    }
}

async fn answers(vault: &VaultBackend) -> Result<(), Trouble> {
    let server = Server::new(vault, None);
    let answered = async { server.connect(PATIENCE)?.check_health().await };
    answered.await.map_err(|error| match error {
        ServiceError::Malformed { .. } => {
            lasting("spec.vault", &error, "write certificates (PEM) there, or leave it out")
        }
        error => Trouble::passing(Reason::StoreUnavailable, error, "it is asked again; what runs keeps running"),
    })
}

fn lasting(field: &str, error: &dyn std::fmt::Display, hint: &str) -> Trouble {
    Trouble::lasting(Reason::KeysUnavailable, format!("{field}: {error}"), hint)
}
