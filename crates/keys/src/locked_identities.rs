//! age identities that a passphrase protects: SSH keys in OpenSSH's form, and identity files that are age files themselves, with the
//! stanza `scrypt` of <https://age-encryption.org/v1>.
//!
//! Not here: where the passphrase comes from. Who asks nobody, such as the controller, has no use for this file.

use std::cell::Cell;
use std::io::Read;

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, scrypt};
use age_core::format::{FileKey, Stanza};
use waxwing_formats::{SecretBytes, WrappedKey};
use zeroize::Zeroizing;

use crate::age_identities::{AgeIdentities, IdentityError, is_age_file, unwrap_with};
use crate::ssh::{LockedSshKey, SshKeyError};

/// A key file that opens with a passphrase.
pub struct LockedIdentities(Locked);

enum Locked {
    Ssh(Box<LockedSshKey>),
    /// An age file, armored or not.
    File(Vec<u8>),
}

impl LockedIdentities {
    /// Recognizes a key file with a passphrase.
    pub fn recognize(file: &[u8]) -> Option<Self> {
        if is_age_file(file) {
            // The last byte of a file without armor may look like white space.
            let file = file.trim_ascii_start();
            let file = if file.starts_with(b"-----BEGIN") { file.trim_ascii_end() } else { file };
            return Some(Self(Locked::File(file.to_vec())));
        }
        LockedSshKey::from_pem(file).map(|key| Self(Locked::Ssh(Box::new(key))))
    }

    /// Tells whether it may unwrap a data key, as far as that is known without the passphrase.
    pub fn may_open(&self, wrapped: &WrappedKey) -> bool {
        match &self.0 {
            Locked::File(_) => matches!(wrapped, WrappedKey::Age { .. }),
            Locked::Ssh(key) => {
                let probe = Probe { key, met: Cell::new(false) };
                // A probe opens nothing.
                drop(unwrap_with(&probe, wrapped));
                probe.met.get()
            }
        }
    }

    /// Unlocks the identities.
    ///
    /// # Errors
    /// Says whether the passphrase or the file is at fault.
    pub fn unlock(&self, passphrase: &SecretBytes) -> Result<AgeIdentities, UnlockIdentitiesError> {
        match &self.0 {
            Locked::Ssh(key) => match key.unlock(passphrase.expose_secret()) {
                Ok(identity) => Ok(identity.into()),
                Err(SshKeyError::Locked) => Err(UnlockIdentitiesError::Passphrase),
                Err(SshKeyError::Damaged | SshKeyError::Unsupported(_)) => Err(UnlockIdentitiesError::Damaged),
            },
            Locked::File(file) => unlock_file(file, passphrase),
        }
    }
}

/// Looks whether a stanza is meant for a key, and opens nothing.
struct Probe<'a> {
    key: &'a LockedSshKey,
    met: Cell<bool>,
}

impl age::Identity for Probe<'_> {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.met.set(self.met.get() || self.key.is_meant_by(stanza));
        None
    }
}

fn unlock_file(file: &[u8], passphrase: &SecretBytes) -> Result<AgeIdentities, UnlockIdentitiesError> {
    let decryptor = Decryptor::new_buffered(ArmoredReader::new(file)).map_err(|_| UnlockIdentitiesError::Damaged)?;
    if !decryptor.is_scrypt() {
        return Err(UnlockIdentitiesError::NoPassphrase);
    }
    let passphrase = std::str::from_utf8(passphrase.expose_secret()).map_err(|_| UnlockIdentitiesError::Passphrase)?;
    let mut identity = scrypt::Identity::new(SecretString::from(passphrase));
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let plaintext = decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity));
    let mut plaintext = plaintext.map_err(|error| match error {
        DecryptError::DecryptionFailed | DecryptError::NoMatchingKeys => UnlockIdentitiesError::Passphrase,
        DecryptError::ExcessiveWork { required, .. } => UnlockIdentitiesError::TooMuchWork { required },
        _ => UnlockIdentitiesError::Damaged,
    })?;
    // A plaintext is shorter than its age file, so this does not grow.
    let mut text = Zeroizing::new(Vec::with_capacity(file.len()));
    plaintext.read_to_end(&mut text).map_err(|_| UnlockIdentitiesError::Damaged)?;
    AgeIdentities::parse(&text).map_err(UnlockIdentitiesError::Identities)
}

/// Why identities stay locked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnlockIdentitiesError {
    /// The passphrase is another.
    #[error("the passphrase does not open it")]
    Passphrase,
    /// It is an age file for recipients.
    #[error("it is encrypted, but not with a passphrase")]
    NoPassphrase,
    /// Trying the passphrase takes longer than is reasonable.
    #[error("trying the passphrase takes too long: the work factor is {required}, of at most {MAX_WORK_FACTOR}")]
    TooMuchWork {
        /// The logarithm of the work, to base 2.
        required: u8,
    },
    /// It can't be read.
    #[error("it is damaged")]
    Damaged,
    /// What the passphrase opened is no key file.
    #[error(transparent)]
    Identities(IdentityError),
}

/// What filippo.io/age takes, `scrypt.go`: about 15 seconds.
const MAX_WORK_FACTOR: u8 = 22;
