//! Why there is no plan.

use crate::live::LiveOwner;
use crate::{FieldPath, Location, ObjectId};

/// A reason why a render can't be planned. Nothing of a render with an error is applied, and nothing is pruned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// Two documents describe the same object.
    #[error("{id} is rendered twice{}{}", at(first), at(second).replace(" (", " and ("))]
    Duplicate {
        /// The object.
        id: ObjectId,
        /// The first document.
        first: Option<Location>,
        /// The second document.
        second: Option<Location>,
    },
    /// A committed object carries a label or annotation that only Waxwing may set.
    #[error("{id} sets {name}{}", at(location))]
    MarkInGit {
        /// The object.
        id: ObjectId,
        /// Its document.
        location: Option<Location>,
        /// The label or annotation.
        name: &'static str,
    },
    /// An annotation that steers Waxwing has a value that isn't known.
    #[error("{id} gives {name} a value that is not known{}", at(location))]
    UnknownSteering {
        /// The object.
        id: ObjectId,
        /// Its document.
        location: Option<Location>,
        /// The annotation.
        name: &'static str,
        /// The values that are known.
        expected: &'static str,
    },
    /// The object isn't shaped as its identity says.
    #[error("{id} has an unexpected {field}{}", at(location))]
    Malformed {
        /// The object.
        id: ObjectId,
        /// Its document.
        location: Option<Location>,
        /// The field.
        field: &'static str,
    },
    /// Another Sync has the object.
    #[error("{id} belongs to {owner}{}", at(location))]
    OwnedByOther {
        /// The object.
        id: ObjectId,
        /// Its document.
        location: Option<Location>,
        /// The API version that it is rendered in, without the group.
        version: String,
        /// The Sync that has it.
        owner: LiveOwner,
    },
    /// A controller made the object and keeps it as it wants.
    #[error("{id} is controlled by {controller}{}", at(location))]
    Controlled {
        /// The object.
        id: ObjectId,
        /// Its document.
        location: Option<Location>,
        /// What controls it.
        controller: ObjectId,
    },
    /// The Sync leaves an item of a list to others, which only a whole list or a field of an item can be.
    #[error("{path} of {id} is an item of a list, and can't be left to others by its position{}", at(location))]
    IgnoredItem {
        /// The object.
        id: ObjectId,
        /// Its document.
        location: Option<Location>,
        /// The item.
        path: FieldPath,
    },
    /// Whether the object exists was not looked up.
    #[error("the state of {id} in the cluster is not known")]
    NotRead {
        /// The object.
        id: ObjectId,
    },
}

impl PlanError {
    /// Returns the object that the error is about.
    pub fn id(&self) -> &ObjectId {
        match self {
            Self::Duplicate { id, .. }
            | Self::MarkInGit { id, .. }
            | Self::UnknownSteering { id, .. }
            | Self::Malformed { id, .. }
            | Self::OwnedByOther { id, .. }
            | Self::Controlled { id, .. }
            | Self::IgnoredItem { id, .. }
            | Self::NotRead { id } => id,
        }
    }

    /// Returns what to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Duplicate { .. } => "keep one of the two documents".to_owned(),
            Self::MarkInGit { name, .. } => format!("remove {name}: Waxwing sets it itself"),
            Self::UnknownSteering { name, expected, .. } => format!("set {name} to {expected}, or remove it"),
            Self::Malformed { field, .. } => format!("correct {field} in the document that the object comes from"),
            Self::OwnedByOther { .. } => {
                "remove it from one of the two Syncs; when the other one drops it, this one takes it over".to_owned()
            }
            Self::Controlled { controller, .. } => {
                format!("remove it from Git and change {controller} instead, or rename it")
            }
            Self::IgnoredItem { .. } => {
                "name a field of the item, or the whole list, in spec.ignore of the Sync".to_owned()
            }
            Self::NotRead { .. } => "the next attempt reads it again".to_owned(),
        }
    }
}

fn at(location: &Option<Location>) -> String {
    location.as_ref().map(|location| format!(" ({location})")).unwrap_or_default()
}
