//! A public PGP key that data keys are wrapped for.
//!
//! Which of the keys that belong together is taken, and which are refused, follows GnuPG 2.2 (`g10/getkey.c`): signatures of their own say
//! until when they are valid and what they are for, the newest counts, and of the keys that encrypt the newest is taken. Not here:
//! whether a key is that of the person that it names, and revocations by somebody else.

use jiff::Timestamp;
use pgp::composed::{ArmorOptions, MessageBuilder, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::public_key::PublicKeyAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{KeyFlags, PublicKey, PublicSubkey, Signature, SignatureType, SubpacketData};
use pgp::types::{EcdhPublicParams, EncryptionKey, KeyDetails, PublicParams, Tag};
use rand_core::OsRng;
use waxwing_formats::{DataKey, WrappedKey};

use super::name::PgpKeyName;
use super::{key_file, unless_it_panics, upper_hex};

/// A public key that can be wrapped for.
#[derive(Clone, Debug)]
pub struct PgpRecipient {
    name: PgpKeyName,
    key: Key,
    cipher: SymmetricKeyAlgorithm,
}

#[derive(Clone, Debug)]
enum Key {
    Primary(Box<PublicKey>),
    Sub(Box<PublicSubkey>),
}

impl PgpRecipient {
    /// Finds a key by its name in a file with public keys, armored or not, and the one among those that belong to it which encrypts.
    ///
    /// # Errors
    /// Says if there is none, or why it can't be used now: it expired, was revoked, does not encrypt, or its signatures are damaged.
    pub fn find(file: &[u8], name: &PgpKeyName, now: Timestamp) -> Result<Self, PgpRecipientError> {
        let found = unless_it_panics(|| Self::find_unguarded(file, name, now)).unwrap_or(Err(Unfit::Damaged));
        found.map_err(|why| PgpRecipientError { name: name.to_string(), why })
    }

    fn find_unguarded(file: &[u8], name: &PgpKeyName, now: Timestamp) -> Result<Self, Unfit> {
        let keys = key_file::public_keys(file).map_err(|_| Unfit::Damaged)?;
        let mut found = keys.iter().filter(|key| is_named(key, name));
        let first = found.next().ok_or(Unfit::Missing)?;
        if found.next().is_some() {
            return Err(Unfit::Ambiguous);
        }
        // Dates of PGP end in 2106.
        let now = u32::try_from(now.as_second()).unwrap_or(u32::MAX);
        let (key, cipher) = Certificate { key: first, now }.key_for(name)?;
        Ok(Self { name: name.clone(), key, cipher })
    }

    /// Wraps a data key, or a share of one, in an armored message, as gpg and sops write it: packets 1 and 18, both of the version that all
    /// programs know.
    ///
    /// # Errors
    /// Fails if the key is of a kind that can't be used, or its numbers are no key.
    pub fn wrap(&self, key: &DataKey) -> Result<WrappedKey, PgpRecipientError> {
        let enc = self
            .message(key.expose_secret())
            .map_err(|_| PgpRecipientError { name: self.name.to_string(), why: Unfit::Unsupported })?;
        Ok(WrappedKey::Pgp { fingerprint: self.name.to_string(), enc })
    }

    fn message(&self, key: &[u8]) -> pgp::errors::Result<String> {
        let mut builder = MessageBuilder::from_reader("", key).seipd_v1(OsRng, self.cipher);
        builder.partial_chunk_size(CHUNK_SIZE)?;
        match &self.key {
            Key::Primary(recipient) => builder.encrypt_to_key(OsRng, recipient.as_ref())?,
            Key::Sub(recipient) => builder.encrypt_to_key(OsRng, recipient.as_ref())?,
        };
        let armored = builder.to_armored_string(OsRng, ArmorOptions::default())?;
        Ok(armored.trim_end().to_owned())
    }
}

fn is_named(key: &SignedPublicKey, name: &PgpKeyName) -> bool {
    names(name, &key.primary_key) || key.public_subkeys.iter().any(|subkey| names(name, &subkey.key))
}

fn names(name: &PgpKeyName, key: &impl KeyDetails) -> bool {
    name.is_of(&upper_hex(key.fingerprint().as_bytes()), &upper_hex(key.legacy_key_id().as_ref()))
}

/// Keys that belong together, judged at a point in time, in seconds since 1970.
struct Certificate<'a> {
    key: &'a SignedPublicKey,
    now: u32,
}

impl Certificate<'_> {
    /// Returns the key to encrypt with, and the cipher that its owner wants.
    fn key_for(&self, name: &PgpKeyName) -> Result<(Key, SymmetricKeyAlgorithm), Unfit> {
        let signature = self.own_signature()?;
        let primary = &self.key.primary_key;
        let is_meant = |key: &dyn Fn() -> bool| !name.is_exact() || key();
        let subkeys = self.key.public_subkeys.iter().filter(|subkey| is_meant(&|| names(name, &subkey.key)));
        let mut judged: Vec<(u32, Result<Key, Unfit>)> =
            subkeys.map(|subkey| (subkey.key.created_at().as_secs(), self.judged(subkey))).collect();
        judged.sort_by_key(|(created, _)| std::cmp::Reverse(*created));
        // The newest counts, also where it is of a kind that can't be used here.
        let (fit, unfit): (Vec<_>, Vec<_>) = judged
            .into_iter()
            .map(|(_, judged)| judged)
            .partition(|judged| matches!(judged, Ok(_) | Err(Unfit::Unsupported)));
        let newest = fit.into_iter().next();
        let cipher = cipher(signature);
        match newest {
            Some(Ok(key)) => return Ok((key, cipher)),
            Some(Err(unsupported)) => return Err(unsupported),
            None => {}
        }
        if is_meant(&|| names(name, primary)) && is_to_encrypt(signature, primary) {
            return Ok((Key::Primary(Box::new(primary.clone())), cipher));
        }
        // What is wrong with one that is to encrypt says more than that others are for something else.
        let why = unfit.into_iter().filter_map(Result::err).find(|why| *why != Unfit::NotToEncrypt);
        Err(why.unwrap_or(Unfit::NotToEncrypt))
    }

    /// Returns the newest valid signature of the key over itself or one of its names, if the key is valid by it.
    fn own_signature(&self) -> Result<&Signature, Unfit> {
        let primary = &self.key.primary_key;
        let details = &self.key.details;
        if details.revocation_signatures.iter().any(|signature| signature.verify_key(primary).is_ok()) {
            return Err(Unfit::Revoked);
        }
        let direct = details
            .direct_signatures
            .iter()
            .filter(|signature| signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok());
        let named = details.users.iter().filter_map(|user| {
            let own = user.signatures.iter().filter(|signature| {
                self.is_in_force(signature) && signature.verify_certification(primary, Tag::UserId, &user.id).is_ok()
            });
            let newest = own.max_by_key(|signature| signature.created().map(|created| created.as_secs()))?;
            (newest.typ() != Some(SignatureType::CertRevocation)).then_some(newest)
        });
        let valid = direct.filter(|signature| self.is_in_force(signature)).chain(named);
        let newest = valid.max_by_key(|signature| signature.created().map(|created| created.as_secs()));
        let newest = newest.ok_or(Unfit::Unsigned)?;
        self.in_time(primary, newest).map(|()| newest)
    }

    fn judged(&self, subkey: &SignedPublicSubKey) -> Result<Key, Unfit> {
        let primary = &self.key.primary_key;
        let bindings = || {
            let valid = |signature: &&Signature| signature.verify_subkey_binding(primary, &subkey.key).is_ok();
            subkey.signatures.iter().filter(|signature| self.is_in_force(signature)).filter(valid)
        };
        if bindings().any(|signature| signature.typ() == Some(SignatureType::SubkeyRevocation)) {
            return Err(Unfit::Revoked);
        }
        let newest = bindings().max_by_key(|signature| signature.created().map(|created| created.as_secs()));
        let newest = newest.ok_or(Unfit::Unsigned)?;
        if !is_to_encrypt(newest, &subkey.key) {
            return Err(Unfit::NotToEncrypt);
        }
        self.in_time(&subkey.key, newest)?;
        match is_supported(subkey.key.public_params()) {
            true => Ok(Key::Sub(Box::new(subkey.key.clone()))),
            false => Err(Unfit::Unsupported),
        }
    }

    /// Tells whether a signature was made, and has not run out.
    fn is_in_force(&self, signature: &Signature) -> bool {
        let Some(created) = signature.created().map(|created| created.as_secs()) else { return false };
        let duration = signature.signature_expiration_time().map_or(0, |duration| duration.as_secs());
        created <= self.now && (duration == 0 || created.saturating_add(duration) > self.now)
    }

    /// Checks that a key was made, and has not run out by what a signature says.
    fn in_time(&self, key: &impl KeyDetails, signature: &Signature) -> Result<(), Unfit> {
        let created = key.created_at().as_secs();
        let duration = signature.key_expiration_time().map_or(0, |duration| duration.as_secs());
        match created {
            _ if created > self.now => Err(Unfit::NotYet),
            _ if duration != 0 && created.saturating_add(duration) <= self.now => Err(Unfit::Expired),
            _ => Ok(()),
        }
    }
}

/// Tells whether rpgp encrypts with keys of a kind.
fn is_supported(key: &PublicParams) -> bool {
    use EcdhPublicParams::{Brainpool256, Brainpool384, Brainpool512, Unsupported};
    match key {
        PublicParams::ECDH(curve) => {
            !matches!(curve, Brainpool256 { .. } | Brainpool384 { .. } | Brainpool512 { .. } | Unsupported { .. })
        }
        PublicParams::Elgamal(_) | PublicParams::Unknown { .. } => false,
        _ => true,
    }
}

/// Tells whether a key is to encrypt: by what a signature says, or where that says nothing, by what its kind can.
fn is_to_encrypt(signature: &Signature, key: &impl EncryptionKey) -> bool {
    use PublicKeyAlgorithm::{ECDH, Elgamal, ElgamalEncrypt, RSA, RSAEncrypt, X448, X25519};
    let can = matches!(key.algorithm(), RSA | RSAEncrypt | ECDH | X25519 | X448 | Elgamal | ElgamalEncrypt);
    let flags = flags(signature);
    can && flags.is_none_or(|flags| flags.encrypt_comms() || flags.encrypt_storage())
}

fn flags(signature: &Signature) -> Option<&KeyFlags> {
    signature.config()?.hashed_subpackets().find_map(|part| match &part.data {
        SubpacketData::KeyFlags(flags) => Some(flags),
        _ => None,
    })
}

/// Returns the longest key of AES that the owner wants.
fn cipher(signature: &Signature) -> SymmetricKeyAlgorithm {
    use SymmetricKeyAlgorithm::{AES128, AES192, AES256};
    let wanted = signature.preferred_symmetric_algs();
    [AES256, AES192, AES128].into_iter().find(|cipher| wanted.contains(cipher)).unwrap_or(AES256)
}

/// Why a key was not found or can't be wrapped for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the PGP key {name} {why}")]
pub struct PgpRecipientError {
    name: String,
    why: Unfit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Unfit {
    #[error("is not in the keyring")]
    Missing,
    #[error("is in the keyring several times, or shares its key id with another")]
    Ambiguous,
    #[error("can't be read: the keyring is damaged")]
    Damaged,
    #[error("has no signature of its own that can be verified")]
    Unsigned,
    #[error("has been revoked")]
    Revoked,
    #[error("has expired")]
    Expired,
    #[error("was made in the future, by this clock")]
    NotYet,
    #[error("is not to encrypt with")]
    NotToEncrypt,
    #[error("is of a kind that is not supported")]
    Unsupported,
}

impl PgpRecipientError {
    /// Tells whether a program that knows more kinds of keys may be able to use this one, which then has to judge it by itself.
    pub fn is_beyond_us(&self) -> bool {
        matches!(self.why, Unfit::Unsupported | Unfit::Unsigned | Unfit::Damaged)
    }

    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self.why {
            Unfit::Missing => "import it with `gpg --import FILE`",
            Unfit::Ambiguous => "name it by its fingerprint",
            Unfit::Damaged | Unfit::Unsigned => "get the key once more from its owner",
            Unfit::Revoked | Unfit::Expired => "get the owner's new key, or the old one with a new date",
            Unfit::NotYet => "set the clock",
            Unfit::NotToEncrypt => "name a key with a part that encrypts; `gpg --list-keys` marks it with [E]",
            Unfit::Unsupported => "name a key of RSA, or of the curves 25519 or P-256, P-384, P-521",
        }
    }
}

/// A power of two, and more than a message of ours has.
const CHUNK_SIZE: u32 = 512;
