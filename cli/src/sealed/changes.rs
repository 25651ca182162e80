//! Who comes and who goes where a file gets other recipients.

use std::fmt;

use serde::Serialize;
use waxwing_formats::sops::Recipient;

use super::recipients::{Groups, MasterKey, MasterKeyError};

/// A recipient that comes or goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// The key group, from 1.
    pub(crate) group: usize,
    /// Whether it can open the file afterwards.
    #[serde(rename = "comes")]
    pub(crate) is_new: bool,
    /// As [`WrappedKey::recipient`](waxwing_formats::WrappedKey::recipient) names it.
    pub(crate) recipient: String,
}

impl Change {
    /// Returns for each group who comes, and then who goes.
    pub(crate) fn all(old: &[Vec<Recipient>], new: &Groups) -> Vec<Self> {
        let is_for = |recipient: &Recipient, key: &MasterKey| {
            MasterKey::of(recipient.wrapped()).is_ok_and(|other| other.is(key))
        };
        let mut changes = Vec::new();
        for at in 0..old.len().max(new.0.len()) {
            let old = old.get(at).map(Vec::as_slice).unwrap_or_default();
            let new = new.0.get(at).map(Vec::as_slice).unwrap_or_default();
            let comes = new.iter().filter(|key| !old.iter().any(|recipient| is_for(recipient, key)));
            let goes = old.iter().filter(|recipient| !new.iter().any(|key| is_for(recipient, key)));
            let change = |is_new, recipient| Self { group: at + 1, is_new, recipient };
            changes.extend(comes.map(|key| change(true, key.name())));
            changes.extend(goes.map(|recipient| change(false, recipient.wrapped().recipient())));
        }
        changes
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.is_new { '+' } else { '-' }, self.recipient)
    }
}

impl Groups {
    /// Returns the master keys of the recipients of a file.
    pub(crate) fn of(groups: &[Vec<Recipient>]) -> Result<Self, MasterKeyError> {
        let of_group = |group: &Vec<Recipient>| {
            group.iter().map(|recipient| MasterKey::of(recipient.wrapped())).collect::<Result<Vec<_>, _>>()
        };
        groups.iter().map(of_group).collect::<Result<_, _>>().map(Self)
    }
}
