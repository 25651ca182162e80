//! The PGP keys that are at hand, from where sops 3.13.3 looks for them (`pgp/keysource.go`): keyrings of GnuPG's older form, which are
//! read in process, then those of the program `gpg`.
//!
//! Nothing is read or run before a PGP key is asked for. Not here: passphrases. A key of a keyring that has one is left to gpg, whose
//! agent asks for it.

use std::cell::OnceCell;
use std::env;
use std::path::PathBuf;

use jiff::Timestamp;
use waxwing_formats::{DataKey, Refusal, WrappedKey};
use waxwing_keys::{PgpIdentities, PgpKeyError, PgpKeyName, PgpRecipient, PgpRecipientError, RsaSizes};

use super::gpg::{self, GpgError};
use crate::error::with_causes;

/// The PGP keys that are at hand.
#[derive(Default)]
pub(super) struct PgpKeys {
    /// What is in the keyring with private keys, once that was looked for; nothing if there is none.
    ring: OnceCell<Result<Option<PgpIdentities>, String>>,
}

impl PgpKeys {
    /// Unwraps a data key, or says why not.
    pub(super) fn answer(&self, wrapped: &WrappedKey) -> Result<DataKey, Refusal> {
        let WrappedKey::Pgp { enc, .. } = wrapped else {
            return Err(Refusal(format!("there is no PGP key for {}", wrapped.recipient())));
        };
        let mut refusals = Vec::new();
        match self.ring.get_or_init(private_ring) {
            Ok(Some(identities)) => match identities.answer(wrapped) {
                Ok(key) => return Ok(key),
                Err(Refusal(reason)) => refusals.push(format!("keyring: {reason}")),
            },
            Ok(None) => {}
            Err(reason) => refusals.push(reason.clone()),
        }
        gpg::open(enc).map_err(|error| {
            refusals.push(with_causes(&error));
            Refusal(refusals.join("; "))
        })
    }
}

/// Wraps a data key, or a share of one, for the public key of a name. Keys of kinds that are not known here, and those whose signatures
/// can't be checked here, are left to gpg.
pub(super) fn wrap(name: &PgpKeyName, key: &DataKey) -> Result<WrappedKey, PgpError> {
    let now = Timestamp::now();
    // Whatever is wrong with the older keyring, that of gpg counts.
    let in_ring = public_ring().and_then(|ring| PgpRecipient::find(&ring, name, now).ok());
    let recipient = match in_ring {
        Some(recipient) => Ok(recipient),
        None => PgpRecipient::find(&gpg::export(name)?, name, now),
    };
    match recipient.and_then(|recipient| recipient.wrap(key)) {
        Err(error) if error.is_beyond_us() => {
            Ok(WrappedKey::Pgp { fingerprint: name.to_string(), enc: gpg::seal(name, key)? })
        }
        wrapped => Ok(wrapped?),
    }
}

/// Reads the keyring with private keys: `secring.gpg`, or where there is none `pubring.gpg`, as sops does.
fn private_ring() -> Result<Option<PgpIdentities>, String> {
    let Some(home) = home() else { return Ok(None) };
    let Some(path) = ["secring.gpg", "pubring.gpg"].map(|name| home.join(name)).into_iter().find(|path| path.exists())
    else {
        return Ok(None);
    };
    let file = super::read(Some(&path)).map_err(|error| format!("{}: {error}", path.display()))?;
    match PgpIdentities::parse(&file, RsaSizes::Any) {
        Ok(identities) => Ok(Some(identities)),
        // Since version 2.1 private keys are elsewhere.
        Err(PgpKeyError::Empty) => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn public_ring() -> Option<Vec<u8>> {
    super::read(Some(&home()?.join("pubring.gpg"))).ok().map(|ring| ring.to_vec())
}

/// Returns the folder of GnuPG.
fn home() -> Option<PathBuf> {
    let named = env::var_os("GNUPGHOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    named.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".gnupg")))
}

/// Why a data key was not wrapped for a PGP key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PgpError {
    /// gpg has no such key, or can't be run.
    #[error(transparent)]
    Gpg(#[from] GpgError),
    /// The key can't be used.
    #[error(transparent)]
    Recipient(#[from] PgpRecipientError),
}

impl PgpError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Gpg(error) => error.hint(),
            Self::Recipient(error) => Some(error.hint()),
        }
    }
}
