//! A message that holds a data key (RFC 9580 section 10.3): who it is for, and what is in it.
//!
//! Only what protects its integrity is opened: packets 18 of both versions, and 20 as GnuPG writes it. What is in it may be compressed
//! once, as gpg does.

use std::io::{Cursor, Read};

use pgp::composed::{DecryptionOptions, Edata, Esk, Message, PlainSessionKey, TheRing};
use pgp::crypto::aead::AeadAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{ProtectedDataConfig, PublicKeyEncryptedSessionKey, SymEncryptedProtectedDataConfig};
use waxwing_formats::{DataKey, SecretBytes};
use zeroize::Zeroizing;

/// No message with a data key for a few recipients is longer.
const MAX_MESSAGE_LEN: usize = 1 << 16;
/// What is compressed is a data key with the head of its packet, in which there may be the name of a file.
const MAX_CONTENT_LEN: usize = 1 << 10;
/// A data key has 32 bytes and a Shamir share of it 33; anything near that is judged by who uses it.
const MAX_KEY_LEN: usize = 64;

/// A message that was not opened yet.
pub(super) struct Sealed<'a>(Message<'a>);

/// Why a message gives no data key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum MessageError {
    #[error("it is longer than a wrapped data key can be")]
    TooLong,
    #[error("it is damaged, or not an encrypted PGP message")]
    NotAMessage,
    #[error("nothing protects its integrity, so it is not opened; wrap the data key again")]
    Unprotected,
    #[error("it is for a passphrase, which is not supported; use a PGP key")]
    Passphrase,
    #[error("it is encrypted in a way that is not supported")]
    Cipher,
    #[error("it is damaged")]
    Damaged,
    #[error("what is in it is signed, or compressed in a way that is not supported")]
    Content,
    #[error("what is in it is too long to be a data key")]
    KeyTooLong,
}

impl Sealed<'_> {
    /// Reads an armored message.
    pub(super) fn parse(armored: &str) -> Result<Self, MessageError> {
        let armored = armored.trim();
        if armored.len() > MAX_MESSAGE_LEN {
            return Err(MessageError::TooLong);
        }
        let message = Message::from_armor(Cursor::new(armored.as_bytes().to_vec()));
        match message {
            Ok((Message::Encrypted { edata: Edata::SymEncryptedData { .. }, .. }, _)) => Err(MessageError::Unprotected),
            Ok((Message::Encrypted { edata, .. }, _)) if !is_known(&edata) => Err(MessageError::Cipher),
            Ok((message @ Message::Encrypted { .. }, _)) => Ok(Self(message)),
            _ => Err(MessageError::NotAMessage),
        }
    }

    /// Returns the wrapped session keys.
    ///
    /// # Errors
    /// Fails if there are only such for passphrases.
    pub(super) fn session_keys(&self) -> Result<Vec<&PublicKeyEncryptedSessionKey>, MessageError> {
        let Message::Encrypted { esk, .. } = &self.0 else { return Err(MessageError::NotAMessage) };
        let keys: Vec<_> = esk.iter().filter_map(for_a_key).collect();
        if keys.is_empty() && !esk.is_empty() { Err(MessageError::Passphrase) } else { Ok(keys) }
    }

    /// Opens it with its session key.
    pub(super) fn open(self, session_key: PlainSessionKey) -> Result<DataKey, MessageError> {
        let decrypt_options = DecryptionOptions::new().enable_gnupg_aead();
        let ring = TheRing { session_keys: vec![session_key], decrypt_options, ..TheRing::default() };
        let (message, _) = self.0.decrypt_the_ring(ring, true).map_err(|_| MessageError::Damaged)?;
        match message {
            message @ Message::Literal { .. } => read_key(message),
            Message::Compressed { reader, is_nested } => {
                let reader = reader.decompress().map_err(|_| MessageError::Content)?;
                let content = read(Message::Compressed { reader, is_nested }, MAX_CONTENT_LEN)?;
                // It is copied once more, into what the crate wipes as little as anything else of a message.
                match Message::from_bytes(Cursor::new(content.to_vec())) {
                    Ok(message @ Message::Literal { .. }) => read_key(message),
                    Ok(_) => Err(MessageError::Content),
                    Err(_) => Err(MessageError::Damaged),
                }
            }
            Message::Signed { .. } | Message::Encrypted { .. } => Err(MessageError::Content),
        }
    }
}

/// Tells whether a cipher with a code of its own is one that the crate `pgp` knows; with another it panics.
fn is_known(edata: &Edata<'_>) -> bool {
    let (Edata::SymEncryptedProtectedData { reader } | Edata::GnupgAeadData { reader }) = edata else { return false };
    match reader.config() {
        ProtectedDataConfig::Seipd(SymEncryptedProtectedDataConfig::V2 { sym_alg, aead, .. }) => {
            use {AeadAlgorithm as Mode, SymmetricKeyAlgorithm as Cipher};
            matches!(aead, Mode::Eax | Mode::Ocb | Mode::Gcm)
                && matches!(sym_alg, Cipher::AES128 | Cipher::AES192 | Cipher::AES256)
        }
        // GnuPG's has the one mode, and is refused with any other as it is read.
        ProtectedDataConfig::Seipd(SymEncryptedProtectedDataConfig::V1) | ProtectedDataConfig::GnupgAead(_) => true,
    }
}

fn for_a_key(esk: &Esk) -> Option<&PublicKeyEncryptedSessionKey> {
    match esk {
        Esk::PublicKeyEncryptedSessionKey(esk) => Some(esk),
        Esk::SymKeyEncryptedSessionKey(_) => None,
    }
}

fn read_key(message: Message<'_>) -> Result<DataKey, MessageError> {
    read(message, MAX_KEY_LEN).map(|key| DataKey::new(SecretBytes::concat(&[&key])))
}

/// Reads to the end, where the rest of the integrity is checked, into a buffer of fixed size.
fn read(mut message: Message<'_>, limit: usize) -> Result<Zeroizing<Vec<u8>>, MessageError> {
    let mut buffer = Zeroizing::new(vec![0; limit + 1]);
    let mut len = 0;
    while let Some(free) = buffer.get_mut(len..).filter(|free| !free.is_empty()) {
        match message.read(free) {
            Ok(0) => {
                buffer.truncate(len);
                return Ok(buffer);
            }
            Ok(read) => len += read,
            Err(_) => return Err(MessageError::Damaged),
        }
    }
    Err(MessageError::KeyTooLong)
}
