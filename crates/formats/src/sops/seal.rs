//! Sealing: from a file in the clear, a data key and terms to a file that may be committed.
//!
//! Source: sops 3.13.3, `Tree.Encrypt` in `sops.go`, `EncryptTree` in `cmd/sops/common/common.go` and `aes/cipher.go`. A value
//! that was opened from the same place is sealed with the vector that it had, so that its token stays the same. Stricter: what
//! was sealed is read and opened again before anyone gets it, so that no file is written that does not open.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use rand_core::CryptoRngCore;
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::cipher::{Cipher, IV_LEN};
use super::error::SopsError;
use super::metadata::{Metadata, Recipient};
use super::open::{self, OpenedValue};
use super::plain::Plain;
use super::raw::RawEntry;
use super::rules::{Rule, RuleKind};
use super::shamir::{self, KEY_LEN};
use super::state::Open;
use super::text::Text;
use super::token::{Token, ValueKind};
use super::tree::{self, Reading, Slot, SlotContent, Tree};
use super::unlock::UnlockError;
use super::{Document, Leaf, Sealed};
use crate::yaml::resolve::Scalar;
use crate::yaml::time::Time;
use crate::{DataKey, KeyPath, SecretBytes};

/// The version of sops whose format is written.
pub const VERSION: &str = "3.13.3";

/// Why a file was not sealed; none of it quotes a value.
#[derive(Debug, Error)]
pub enum SealError {
    /// The file can't be written in this format.
    #[error(transparent)]
    File(#[from] SopsError),
    /// The data key does not have 32 bytes.
    #[error("the data key has {length} bytes where 32 are needed")]
    KeyLength {
        /// How many it has.
        length: usize,
    },
    /// There is nobody who could open the file, or a group has nobody.
    #[error("the file has no recipient, or a key group without one, so that nobody could open it")]
    NoRecipient,
    /// The threshold does not fit the number of groups.
    #[error("{threshold} of {groups} key groups can't be needed: at least 2, and no more than there are")]
    Threshold {
        /// How many groups should be needed.
        threshold: usize,
        /// How many there are.
        groups: usize,
    },
    /// A comment would not be found in the file once it is sealed.
    #[error("a sealed comment matches `unencrypted_comment_regex`, so that the file would not open again")]
    CommentMatches,
    /// What was sealed can't be read again.
    #[error("the sealed file would not open again")]
    Unreadable(#[source] SopsError),
    /// What was sealed does not open again.
    #[error("the sealed file would not open again")]
    Unopened(#[source] UnlockError),
    /// What was sealed has other keys than the file that it was made of.
    #[error("the sealed file would have another structure, from {path} on in document {document}")]
    Moved {
        /// The document, from 0.
        document: usize,
        /// The first value that is not where it was.
        path: KeyPath,
    },
    /// Random numbers could not be drawn.
    #[error("failed to draw random numbers")]
    Randomness(#[source] rand_core::Error),
}

impl SealError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::File(error) => error.hint(),
            Self::KeyLength { .. } | Self::Randomness(_) => "try again; if it fails again, report it",
            Self::NoRecipient => "name a recipient, as with --age, or in the creation rules of .sops.yaml",
            Self::Threshold { .. } => "choose a threshold from 2 to the number of key groups",
            Self::CommentMatches => "choose an expression that matches no text beginning with ENC[",
            Self::Unreadable(_) | Self::Unopened(_) | Self::Moved { .. } => {
                "give the comments lines of their own, quote unusual keys and values, and report it"
            }
        }
    }
}

/// Who can open a file, and what is sealed in it: all of its metadata that its values do not decide.
#[derive(Clone)]
pub struct Terms {
    /// One group or more; any recipient of a group opens it.
    pub groups: Vec<Vec<Recipient>>,
    /// How many groups must be opened if there are several; zero means all.
    pub shamir_threshold: usize,
    /// Which values are sealed; all of them without a rule.
    pub rule: Option<Rule>,
    /// Whether the code of the file covers only what is sealed.
    pub mac_only_encrypted: bool,
    /// The version of sops that the file says wrote it. Nothing in files of very old ones; what is sealed then says [`VERSION`].
    pub version: Option<String>,
}

impl Terms {
    /// Checks the groups and the threshold.
    ///
    /// # Errors
    ///
    /// Refuses groups without recipients and a threshold that could not be reached, or that would share nothing.
    pub fn check(&self) -> Result<(), SealError> {
        let (groups, threshold) = (self.groups.len(), self.shamir_threshold);
        if groups == 0 || self.groups.iter().any(Vec::is_empty) {
            return Err(SealError::NoRecipient);
        }
        if !is_threshold(threshold, groups) {
            return Err(SealError::Threshold { threshold, groups });
        }
        Ok(())
    }

    /// Returns the metadata of a file that has no code yet.
    pub(super) fn metadata(self, now: Timestamp) -> Metadata {
        let version = Some(self.version.unwrap_or_else(|| VERSION.to_owned()));
        Metadata { terms: Self { version, ..self }, last_modified: Time::from_timestamp(now), mac: None }
    }
}

/// Tells whether so many of the key groups can be needed, where zero stands for all. With one group there is no sharing, whatever
/// the threshold says.
pub(crate) fn is_threshold(threshold: usize, groups: usize) -> bool {
    groups <= 1 || (threshold != 1 && threshold <= groups)
}

impl<S> Document<S> {
    /// Returns the terms under which the file was sealed.
    pub fn terms(&self) -> Terms {
        self.metadata.terms.clone()
    }
}

/// Draws a new data key.
///
/// # Errors
///
/// Fails when random numbers can't be drawn.
pub fn new_data_key(rng: &mut impl CryptoRngCore) -> Result<DataKey, SealError> {
    let mut key = vec![0; KEY_LEN];
    rng.try_fill_bytes(&mut key).map_err(SealError::Randomness)?;
    Ok(DataKey::new(SecretBytes::new(key)))
}

/// Returns what the recipients of each group wrap: the key itself for one group, and else a Shamir share of it for each. A
/// threshold of zero means that all groups are needed.
///
/// # Errors
///
/// Refuses a key that does not have 32 bytes, and fails when random numbers can't be drawn.
pub fn parts(
    key: &DataKey,
    groups: usize,
    threshold: usize,
    rng: &mut impl CryptoRngCore,
) -> Result<Vec<DataKey>, SealError> {
    let key = key.expose_secret();
    if key.len() != KEY_LEN {
        return Err(SealError::KeyLength { length: key.len() });
    }
    if groups <= 1 {
        return Ok(vec![DataKey::new(SecretBytes::concat(&[key]))]);
    }
    let threshold = if threshold == 0 { groups } else { threshold };
    let shares = shamir::split(key, groups, threshold, rng).map_err(SealError::Randomness)?;
    Ok(shares.into_iter().map(DataKey::new).collect())
}

/// The vectors of the values that a file had, by their places, types and texts, in the order of the file. Each is used for one
/// value, so that of two equal values in a list nobody sees that they are equal.
#[derive(Default)]
pub struct Vectors(HashMap<[u8; 32], VecDeque<[u8; IV_LEN]>>);

impl<S: Open> Document<S> {
    /// Returns the vectors of all values, so that those that stay as they are keep their tokens.
    pub fn vectors(&self) -> Vectors {
        let mut vectors = Vectors::default();
        for (slot, opened) in self.slots.iter().zip(&self.state.contents().opened) {
            if let Some((name, vector)) = opened.as_ref().and_then(|opened| vector_of(slot, opened)) {
                vectors.0.entry(name).or_default().push_back(vector);
            }
        }
        vectors
    }
}

/// Vectors of other lengths than ours are not used again.
fn vector_of(slot: &Slot, opened: &OpenedValue) -> Option<([u8; 32], [u8; IV_LEN])> {
    let SlotContent::Sealed(token) = &slot.content else {
        return None;
    };
    let scalar = opened.scalar();
    let text = open::plaintext(&scalar)?;
    Some((name_of_value(slot, token.kind, &text), token.iv.as_slice().try_into().ok()?))
}

/// A digest of a value in its place, so that no table of vectors holds plaintext.
fn name_of_value(slot: &Slot, kind: Option<ValueKind>, text: &[u8]) -> [u8; 32] {
    let place = open::place(&slot.path);
    let kind = kind.map_or(0, |kind| kind as u8 + 1);
    let length = (place.len() as u64).to_be_bytes();
    Sha256::new().chain_update(length).chain_update(place).chain_update([kind]).chain_update(text).finalize().into()
}

impl Plain {
    /// Seals the file with a data key that the recipients in `terms` have wrapped already.
    ///
    /// # Errors
    ///
    /// Refuses terms that do not hold, values that the format can't hold, and a file that would not open again; fails when
    /// random numbers can't be drawn.
    pub fn seal(
        self,
        key: &DataKey,
        terms: Terms,
        vectors: Vectors,
        now: Timestamp,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Document<Sealed>, SealError> {
        terms.check()?;
        let cipher = cipher(key)?;
        let mut metadata = terms.metadata(now);
        let rule = metadata.terms.rule.as_ref();
        let (trees, mut slots) = grow(self.documents, self.by_columns, rule)?;
        let code = open::code(&slots, &[], &metadata);
        let mut sealer = Sealer { cipher: &cipher, vectors, rng };
        for slot in &mut slots {
            sealer.slot(slot, rule)?;
        }
        let place = open::mac_place(&metadata);
        metadata.mac = Some(sealer.token(code.as_bytes(), Some(ValueKind::Str), &place, None)?);
        let sealed = Document { store: self.store, trees, slots, metadata, state: Sealed };
        sealed.check_that_it_opens(&cipher)?;
        Ok(sealed)
    }
}

/// Numbers the leaves with comments where sops finds them, but of documents where that loses one, or leaves a comment or value in the
/// clear that is to be sealed where it stands: there each comment is where it stands.
fn grow(
    documents: Vec<Vec<RawEntry>>,
    by_columns: Option<Vec<Vec<RawEntry>>>,
    rule: Option<&Rule>,
) -> Result<(Vec<Tree>, Vec<Slot>), SopsError> {
    let Some(by_columns) = by_columns else {
        return tree::grow(documents, rule, Reading::Clear);
    };
    let mut chosen = Vec::with_capacity(documents.len());
    for (found, standing) in documents.into_iter().zip(by_columns) {
        let slots =
            |entries: &Vec<RawEntry>| tree::grow(vec![entries.clone()], rule, Reading::Clear).map(|(_, slots)| slots);
        let is_covered = covers(&slots(&found)?, &slots(&standing)?);
        chosen.push(if is_covered { found } else { standing });
    }
    tree::grow(chosen, rule, Reading::Clear)
}

/// Tells whether a reading seals everything that another one seals, and has all of its comments.
fn covers(found: &[Slot], standing: &[Slot]) -> bool {
    let values = |slots| <[Slot]>::iter(slots).filter(|slot| !slot.is_comment).map(|slot| slot.selected);
    let comments = counted(found);
    values(found).zip(values(standing)).all(|(found, standing)| found || !standing)
        && counted(standing).iter().all(|(text, [all, clear])| {
            comments.get(text).is_some_and(|[found_all, found_clear]| found_all >= all && found_clear <= clear)
        })
}

/// How often each comment is there, and how often in the clear.
fn counted(slots: &[Slot]) -> HashMap<&str, [usize; 2]> {
    let mut counted: HashMap<&str, [usize; 2]> = HashMap::new();
    for slot in slots.iter().filter(|slot| slot.is_comment) {
        if let SlotContent::Plain(Scalar::Text(text)) = &slot.content {
            let [all, clear] = counted.entry(text).or_default();
            *all += 1;
            *clear += usize::from(!slot.selected);
        }
    }
    counted
}

fn cipher(key: &DataKey) -> Result<Cipher, SealError> {
    let length = key.expose_secret().len();
    Cipher::new(key.expose_secret()).ok_or(SealError::KeyLength { length })
}

struct Sealer<'a, R> {
    cipher: &'a Cipher,
    /// Those that are left.
    vectors: Vectors,
    rng: &'a mut R,
}

impl<R: CryptoRngCore> Sealer<'_, R> {
    /// Seals what is selected. Null and empty text stay as they are.
    fn slot(&mut self, slot: &mut Slot, rule: Option<&Rule>) -> Result<(), SealError> {
        let SlotContent::Plain(scalar) = &slot.content else {
            return Ok(());
        };
        let Some(text) = open::plaintext(scalar).filter(|text| slot.selected && !text.is_empty()) else {
            return Ok(());
        };
        let kind = if slot.is_comment { None } else { Some(kind_of(scalar)) };
        let known = self.vectors.0.get_mut(&name_of_value(slot, kind, &text)).and_then(VecDeque::pop_front);
        let token = self.token(&text, kind, &open::place(&slot.path), known)?;
        let keeps_plain = |rule: &Rule| rule.kind() == RuleKind::UnencryptedCommentRegex && rule.marks(&token.text);
        if slot.is_comment && rule.is_some_and(keeps_plain) {
            return Err(SealError::CommentMatches);
        }
        slot.content = SlotContent::Sealed(token);
        Ok(())
    }

    fn token(
        &mut self,
        text: &[u8],
        kind: Option<ValueKind>,
        place: &[u8],
        known: Option<[u8; IV_LEN]>,
    ) -> Result<Token, SealError> {
        let mut vector = [0; IV_LEN];
        match known {
            Some(known) => vector = known,
            None => self.rng.try_fill_bytes(&mut vector).map_err(SealError::Randomness)?,
        }
        self.cipher.seal(text, kind, place, &vector).ok_or(SealError::File(SopsError::TooManyLeaves))
    }
}

fn kind_of(scalar: &Scalar) -> ValueKind {
    match scalar {
        Scalar::Bool(_) => ValueKind::Bool,
        Scalar::Int(_) | Scalar::Uint(_) => ValueKind::Int,
        Scalar::Float(_) => ValueKind::Float,
        Scalar::Time(_) => ValueKind::Time,
        Scalar::Null | Scalar::Text(_) | Scalar::Bytes(_) | Scalar::Merge => ValueKind::Str,
    }
}

impl Document<Sealed> {
    /// Returns the text of the sealed file, with a level indented by so many spaces; if that is not said, by 4 in YAML and by a
    /// tab in JSON.
    ///
    /// # Errors
    ///
    /// Refuses what the format can't say: a list or mapping in dotenv, a value outside of a section in INI, an infinite number
    /// in JSON.
    pub fn text(&self, indent: Option<u8>) -> Result<String, SopsError> {
        let block = self.metadata.block();
        let shown = tree::shown(&self.slots);
        let text = Text { trees: &self.trees, slots: &self.slots, shown, block: Some(&block), indent };
        Ok(String::from_utf8_lossy(text.write(self.store)?.expose_secret()).into_owned())
    }

    /// Returns the file with other recipients for the same data key, and everything else as it was.
    ///
    /// # Errors
    ///
    /// Refuses groups without recipients, a threshold that does not fit them, and a file that would not open again.
    pub fn with_recipients(
        mut self,
        key: &DataKey,
        groups: Vec<Vec<Recipient>>,
        shamir_threshold: usize,
    ) -> Result<Self, SealError> {
        self.metadata.terms.groups = groups;
        self.metadata.terms.shamir_threshold = shamir_threshold;
        self.metadata.terms.check()?;
        self.check_that_it_opens(&cipher(key)?)?;
        Ok(self)
    }

    fn check_that_it_opens(&self, cipher: &Cipher) -> Result<(), SealError> {
        let text = self.text(None)?;
        let read = Self::parse_local(text.as_bytes(), self.store).map_err(SealError::Unreadable)?;
        if let Some(Leaf { document, path, .. }) = self.first_moved(&read) {
            return Err(SealError::Moved { document, path: path.clone() });
        }
        open::open(&read.slots, &read.metadata, cipher).map(drop).map_err(SealError::Unopened)
    }

    /// Returns the first value that does not stand in another file where it stands here, or that is there only.
    fn first_moved<'a>(&'a self, other: &'a Self) -> Option<Leaf<'a>> {
        let mut others = other.leaves();
        let is_moved = |leaf: &Leaf<'_>| {
            others.next().is_none_or(|other| (leaf.document, leaf.path) != (other.document, other.path))
        };
        let moved = self.leaves().find(is_moved);
        moved.or_else(|| others.next())
    }
}

impl Recipient {
    /// Pairs a wrapped key with the time at which it was wrapped; for age, sops keeps none.
    pub fn new(wrapped: crate::WrappedKey, now: Timestamp) -> Self {
        let created_at = match wrapped {
            crate::WrappedKey::Age { .. } => None,
            _ => Some(Time::from_timestamp(now)),
        };
        Self { wrapped, created_at }
    }

    /// Returns the wrapped key.
    pub fn wrapped(&self) -> &crate::WrappedKey {
        &self.wrapped
    }
}
