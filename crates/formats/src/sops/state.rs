//! What is known of a document, as types: sealed, opened and verified, or opened and not verified.
//!
//! Not here: how a document gets from one to the other (`unlock`). `Open` and `Contents` are the crate's own business, so that
//! nobody else can make a state.

use std::collections::HashMap;

use super::open::OpenedValue;
use crate::KeyPath;

/// The state of a document that nobody has opened.
#[derive(Clone)]
pub struct Sealed;

/// The state of a document whose values were opened and whose message authentication code was verified.
pub struct Verified {
    pub(super) contents: Contents,
    /// For each document the slots of its sealed values.
    pub(super) places: Vec<HashMap<KeyPath, usize>>,
}

/// The state of a document whose sealed values were opened, each of them authentic in its place, while the message authentication
/// code of the whole may not have been looked at ([`Unlock::finish_unverified`](super::Unlock::finish_unverified)): what stands in
/// the clear may be anybody's, and values may have been taken out, added without text, or put in another order in their list.
///
/// It is for users who mend files of their own. Its values can't be asked for one by one:
///
/// ```compile_fail,E0599
/// use waxwing_formats::KeyPath;
/// use waxwing_formats::sops::{Document, Unverified};
///
/// fn peek(document: &Document<Unverified>) {
///     document.value(0, &KeyPath::root());
/// }
/// ```
pub struct Unverified(pub(super) Contents);

/// What came out of a document, and by whose keys.
pub struct Contents {
    /// One entry for each slot.
    pub(super) opened: Vec<Option<OpenedValue>>,
    pub(super) recipients: Vec<String>,
}

/// A state in which the values are there.
pub trait Open {
    /// Returns what came out.
    fn contents(&self) -> &Contents;
}

impl Open for Verified {
    fn contents(&self) -> &Contents {
        &self.contents
    }
}

impl Open for Unverified {
    fn contents(&self) -> &Contents {
        &self.0
    }
}
