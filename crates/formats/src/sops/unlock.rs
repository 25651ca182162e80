//! The conversation that opens a sealed file: it asks for wrapped keys until it has enough, then verifies.
//!
//! One request at a time. Every key of a group opens the group; with several groups each gives a Shamir share
//! and a threshold of them is needed (sops 3.13.3, `GetDataKeyWithKeyServices`). Unlike sops it stops asking
//! once the file opens, and goes on when what was returned does not open it.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

use thiserror::Error;

use super::Document;
use super::cipher::Cipher;
use super::metadata::Recipient;
use super::open;
use super::shamir::{KEY_LEN, SHARE_LEN, combine};
use super::state::{Contents, Sealed, Unverified, Verified};
use super::tree::{Slot, SlotContent};
use crate::{DataKey, KeyPath, KeyRequest, Refusal, RequestId};

/// A recipient that was asked in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The recipient, as [`crate::WrappedKey::recipient`] names it.
    pub recipient: String,
    /// Why it did not help.
    pub reason: String,
}

/// Why a file did not open. Documents count from 0.
#[derive(Debug, Error)]
pub enum UnlockError {
    /// Not enough keys could be had.
    #[error("failed to open the data key: {opened} of {needed} key groups opened{}", list(attempts))]
    NoKey {
        /// How many groups gave a key or share.
        opened: usize,
        /// How many are needed.
        needed: usize,
        /// Who was asked, and why it did not help.
        attempts: Vec<Attempt>,
    },
    /// The file has no message authentication code.
    #[error("the file has no message authentication code (`sops.mac`)")]
    NoMac,
    /// The message authentication code itself does not authenticate.
    #[error("`sops.mac` or `sops.lastmodified` was changed after the file was sealed")]
    MacDamaged,
    /// The message authentication code is another one.
    #[error("the message authentication code does not match: a value, a key or their order was changed")]
    MacMismatch,
    /// A value does not authenticate.
    #[error("document {document}, {path}: the sealed value was changed, or moved from another place")]
    Value {
        /// The document.
        document: usize,
        /// Where the value stands.
        path: KeyPath,
    },
    /// A comment does not authenticate.
    #[error("document {document}, comment in {path}: the sealed comment was changed, or moved")]
    Comment {
        /// The document.
        document: usize,
        /// The collection that the comment stands in.
        path: KeyPath,
    },
    /// A value is not of the type that its token says.
    #[error("document {document}, {path}: the sealed value is not of the type that it claims")]
    Type {
        /// The document.
        document: usize,
        /// Where the value stands.
        path: KeyPath,
    },
}

impl UnlockError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoKey { .. } => "give a key of one of these recipients, or add a recipient whose key you have",
            Self::NoMac => "seal the file again; a file without this code could be changed unseen",
            _ => "restore the file from its last good revision, and change it with `sops edit` only",
        }
    }
}

fn list(attempts: &[Attempt]) -> String {
    attempts.iter().fold(String::new(), |mut text, Attempt { recipient, reason }| {
        let _ = write!(text, "; {recipient}: {reason}");
        text
    })
}

/// Opens one [`Document`]. Ask [`Unlock::next`], answer with [`Unlock::answer`], until there is no next.
pub struct Unlock {
    document: Document<Sealed>,
    /// Whether a file without a code is for nobody, so that no key is asked for.
    needs_code: bool,
    queue: VecDeque<Question>,
    asked: Option<Question>,
    shares: Vec<Share>,
    attempts: Vec<Attempt>,
    opened: Option<Opened>,
}

/// A data key that opens the file, and whose keys gave it.
struct Opened {
    cipher: Cipher,
    key: DataKey,
    recipients: Vec<String>,
}

#[derive(Clone)]
struct Question {
    group: usize,
    request: KeyRequest,
}

struct Share {
    group: usize,
    recipient: String,
    key: DataKey,
}

/// How many combinations of shares are tried when one of them is wrong.
const MAX_COMBINATIONS: usize = 256;

/// Which kinds of keys are asked first, where nobody says otherwise (`DefaultDecryptionOrder` in sops 3.13.3, `sops.go`).
pub const USUAL_ORDER: [&str; 2] = ["age", "pgp"];

impl Document<Sealed> {
    /// Begins to open the document; in each group the kinds of [`USUAL_ORDER`] are asked first.
    pub fn unlock(self) -> Unlock {
        self.unlock_in_order(&USUAL_ORDER)
    }

    /// Begins to open the document; in each group keys of the kinds in `order` are asked first, in that order
    /// ([`WrappedKey::kind`](crate::WrappedKey::kind)), the others as they stand in the file.
    pub fn unlock_in_order(self, order: &[&str]) -> Unlock {
        let groups = self.metadata.terms.groups.iter().enumerate();
        let keys = groups.flat_map(|(group, keys)| keys.iter().map(move |key| (group, key)));
        let question = |(id, (group, recipient)): (usize, (usize, &Recipient))| Question {
            group,
            request: KeyRequest { id: RequestId(id), wrapped: recipient.wrapped.clone() },
        };
        let mut queue: Vec<Question> = keys.enumerate().map(question).collect();
        let rank = |kind: &str| order.iter().position(|first| *first == kind).unwrap_or(order.len());
        queue.sort_by_key(|question| (question.group, rank(question.request.wrapped.kind())));
        for (group, wrapped) in self.metadata.terms.mixed_contexts() {
            queue.push(Question { group, request: KeyRequest { id: RequestId(queue.len()), wrapped } });
        }
        let needs_code = true;
        let queue = VecDeque::from(queue);
        Unlock {
            document: self,
            needs_code,
            queue,
            asked: None,
            shares: Vec::new(),
            attempts: Vec::new(),
            opened: None,
        }
    }
}

impl Unlock {
    /// Has the keys of a file without a message authentication code asked for too, for [`Unlock::finish_unverified`].
    pub fn unverified(self) -> Self {
        Self { needs_code: false, ..self }
    }

    /// Returns the next request, or nothing when no more is needed or nobody is left. An unanswered request is
    /// returned again.
    #[expect(clippy::should_implement_trait, reason = "a conversation, not an iterator: answers come in between")]
    pub fn next(&mut self) -> Option<KeyRequest> {
        let is_for_nobody = self.needs_code && self.document.metadata.mac.is_none();
        if self.opened.is_some() || is_for_nobody {
            return None;
        }
        if self.asked.is_none() {
            self.asked = self.pick();
        }
        self.asked.as_ref().map(|question| question.request.clone())
    }

    /// Prefers a group that has not opened yet.
    fn pick(&mut self) -> Option<Question> {
        let closed = |question: &Question| self.shares.iter().all(|share| share.group != question.group);
        let at = self.queue.iter().position(closed).unwrap_or(0);
        self.queue.remove(at)
    }

    /// Takes the answer to the request that [`Unlock::next`] returned last; an answer to another one is dropped.
    pub fn answer(&mut self, id: RequestId, result: Result<DataKey, Refusal>) {
        let Some(question) = self.asked.take_if(|question| question.request.id == id) else {
            return;
        };
        let recipient = question.request.wrapped.recipient();
        let outcome = match result {
            Ok(key) => self.take(question.group, &recipient, key),
            Err(Refusal(reason)) => Err(reason),
        };
        if let Err(reason) = outcome {
            self.attempts.push(Attempt { recipient, reason });
        }
    }

    fn take(&mut self, group: usize, recipient: &str, key: DataKey) -> Result<(), String> {
        let (wanted, found) = (self.key_length(), key.expose_secret().len());
        if found != wanted {
            return Err(format!("it unwraps to {found} bytes where {wanted} are needed"));
        }
        if self.document.metadata.terms.groups.len() == 1 {
            let cipher = self.fitting(key.expose_secret()).ok_or("it unwraps to a key that does not open this file")?;
            self.opened = Some(Opened { cipher, key, recipients: vec![recipient.to_owned()] });
            return Ok(());
        }
        self.shares.push(Share { group, recipient: recipient.to_owned(), key });
        self.opened = self.combined();
        let enough = self.open_groups() >= self.document.metadata.threshold();
        match self.opened.is_none() && enough {
            true => Err("its share does not open this file together with the others".to_owned()),
            false => Ok(()),
        }
    }

    fn key_length(&self) -> usize {
        if self.document.metadata.terms.groups.len() == 1 { KEY_LEN } else { SHARE_LEN }
    }

    fn open_groups(&self) -> usize {
        let groups = self.shares.iter().map(|share| share.group);
        groups.collect::<BTreeSet<_>>().len()
    }

    /// Tries the newest share with the others: first all of them, as sops does, then each smaller choice.
    fn combined(&self) -> Option<Opened> {
        let threshold = self.document.metadata.threshold();
        let (newest, others) = self.shares.split_last()?;
        let others: Vec<&Share> = others.iter().filter(|share| share.group != newest.group).collect();
        let mut left = MAX_COMBINATIONS;
        let all = others.len() + 1;
        (threshold..=all).rev().find_map(|size| self.choose(&mut vec![newest], &others, size, &mut left))
    }

    fn choose<'a>(
        &self,
        chosen: &mut Vec<&'a Share>,
        others: &[&'a Share],
        size: usize,
        left: &mut usize,
    ) -> Option<Opened> {
        if chosen.len() == size {
            *left = left.checked_sub(1)?;
            return self.try_shares(chosen);
        }
        let mut rest = others;
        while let Some((first, after)) = rest.split_first() {
            rest = after;
            if *left == 0 || chosen.len() + 1 + after.len() < size {
                return None;
            }
            if chosen.iter().all(|share| share.group != first.group) {
                chosen.push(first);
                if let Some(found) = self.choose(chosen, after, size, left) {
                    return Some(found);
                }
                chosen.pop();
            }
        }
        None
    }

    fn try_shares(&self, shares: &[&Share]) -> Option<Opened> {
        let parts: Vec<&[u8]> = shares.iter().map(|share| share.key.expose_secret()).collect();
        let key = DataKey::new(combine(&parts)?);
        let cipher = self.fitting(key.expose_secret())?;
        Some(Opened { cipher, key, recipients: shares.iter().map(|share| share.recipient.clone()).collect() })
    }

    /// Tells the right key from a wrong one by the code or by the first value: a change to one of the two must
    /// not look like a wrong key.
    fn fitting(&self, key: &[u8]) -> Option<Cipher> {
        let cipher = Cipher::new(key)?;
        let Document { metadata, slots, .. } = &self.document;
        let opens_mac = || metadata.mac.as_ref().and_then(|mac| cipher.open(mac, &open::mac_place(metadata))).is_some();
        let opens_any =
            || slots.iter().filter_map(sealed).take(PROBES).any(|(token, at)| cipher.open(token, &at).is_some());
        (opens_mac() || opens_any()).then_some(cipher)
    }

    /// Opens every value and checks the message authentication code.
    ///
    /// # Errors
    ///
    /// Says who was asked and why each did not help, or which value was changed.
    pub fn finish(self) -> Result<Document<Verified>, UnlockError> {
        self.finish_with_key().map(|(document, _)| document)
    }

    /// Does the same as [`Unlock::finish`] and returns the data key too, for who wants to seal the file again.
    ///
    /// # Errors
    ///
    /// As [`Unlock::finish`].
    pub fn finish_with_key(self) -> Result<(Document<Verified>, DataKey), UnlockError> {
        if self.document.metadata.mac.is_none() {
            return Err(UnlockError::NoMac);
        }
        let (Document { store, trees, slots, metadata, state: Sealed }, Opened { cipher, key, recipients }) =
            self.end()?;
        let contents = Contents { opened: open::open(&slots, &metadata, &cipher)?, recipients };
        let places = super::places(trees.len(), &slots);
        Ok((Document { store, trees, slots, metadata, state: Verified { contents, places } }, key))
    }

    /// Opens every value and does **not** check the message authentication code, which may be missing: for users who know that a
    /// file of their own was changed, and want to mend it. A sealed value that was changed or moved is still refused.
    ///
    /// # Errors
    ///
    /// Says who was asked and why each did not help, or which value was changed.
    pub fn finish_unverified(self) -> Result<(Document<Unverified>, DataKey), UnlockError> {
        let (Document { store, trees, slots, metadata, state: Sealed }, Opened { cipher, key, recipients }) =
            self.end()?;
        let contents = Contents { opened: open::open_unverified(&slots, &cipher)?, recipients };
        Ok((Document { store, trees, slots, metadata, state: Unverified(contents) }, key))
    }

    fn end(self) -> Result<(Document<Sealed>, Opened), UnlockError> {
        let (opened, needed) = (self.open_groups(), self.document.metadata.threshold());
        let key = self.opened.ok_or(UnlockError::NoKey { opened, needed, attempts: self.attempts })?;
        Ok((self.document, key))
    }
}

/// How many values are tried when the message authentication code does not open with a key.
const PROBES: usize = 8;

fn sealed(slot: &Slot) -> Option<(&super::token::Token, Vec<u8>)> {
    match &slot.content {
        SlotContent::Sealed(token) => Some((token, open::place(&slot.path))),
        SlotContent::Plain(_) => None,
    }
}
