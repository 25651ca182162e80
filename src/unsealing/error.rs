//! Why something stays sealed. Names files, documents and key paths, never a value or a ciphertext.

use waxwing_formats::go_template::TemplateError;
use waxwing_formats::sealed_secret::{BlobError, ItemError};
use waxwing_formats::sops::UnlockError;

use super::references::StoreRefusal;
use crate::render::bindings::BindingError;

/// The place of a sealed value in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: String,
    /// The position of the document in the file, from 0.
    pub document: usize,
    /// The JSON pointer in the document.
    pub key_path: String,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, document {}, {}", self.file, self.document, self.key_path)
    }
}

/// Why something stays sealed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A value would end where it may not.
    #[error("{0}")]
    Binding(Box<BindingError>),
    /// A SOPS file can't be opened or verified.
    #[error("failed to open the SOPS file {file}: {source}")]
    Sops {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: UnlockError,
        /// What can be done, if it is more than the error itself says.
        hint: Option<String>,
    },
    /// A SOPS file opened, but can't be written in its own format.
    #[error("failed to write out the SOPS file {file}, which is used as a whole")]
    Whole {
        /// The file.
        file: String,
    },
    /// A SOPS file has no value where the render found a sealed one.
    #[error("no sealed value stands at {place}")]
    Missing {
        /// The place.
        place: Place,
    },
    /// The item of a SealedSecret is malformed or was tampered with.
    #[error("failed to open the sealed item at {place}: {source}")]
    Item {
        /// The place.
        place: Place,
        /// What is wrong with it.
        source: ItemError,
    },
    /// What a SealedSecret of the deprecated form was sealed from makes no Secret.
    #[error("failed to make a Secret of what is sealed at {place}: {source}")]
    Blob {
        /// The place.
        place: Place,
        /// What is wrong with it.
        source: Box<BlobError>,
    },
    /// The template of a SealedSecret fails with the values that it was opened to.
    #[error("the template at {place} fails: {source}")]
    Template {
        /// The place.
        place: Place,
        /// The line, the function and what is wrong.
        source: TemplateError,
    },
    /// None of the sealing keys opens an item for this name, namespace and scope.
    #[error("no sealing key of this cluster opens {place} as {claim}: {refusal}")]
    SealedForAnother {
        /// The place.
        place: Place,
        /// What its SealedSecret claims after rendering: scope, namespace and name.
        claim: String,
        /// What the keyring says.
        refusal: String,
    },
    /// The Sync's account could not write the Secret itself, so nothing is opened for it.
    #[error(
        "ServiceAccount {account} may not create and patch Secrets in namespace {namespace}, so {place} stays sealed"
    )]
    AccessDenied {
        /// The place.
        place: Place,
        /// The account.
        account: String,
        /// The namespace of the Secret.
        namespace: String,
    },
    /// A value is not text and would end in a place that takes only text.
    #[error("the value from {place} is not UTF-8 text, so it can't end in {pointer} of {object}")]
    NotText {
        /// The place.
        place: Place,
        /// The JSON pointer in the object.
        pointer: String,
        /// The object.
        object: String,
    },
    /// A reference into a store is not resolved.
    #[error("{reference} at {place}: {fact}", fact = .refusal.fact)]
    Reference {
        /// The place of the reference.
        place: Place,
        /// The reference, which is public.
        reference: String,
        /// What the store said, or why it was not asked.
        refusal: Box<StoreRefusal>,
    },
    /// A stand-in leads nowhere.
    #[error("the stand-in of a sealed value in {object} at {pointer} is damaged or of another render")]
    Handle {
        /// The object.
        object: String,
        /// The JSON pointer in the object.
        pointer: String,
    },
}

impl OpenError {
    /// Returns what the error is about: a file, or an object.
    pub fn subject(&self) -> String {
        match self {
            Self::Binding(error) => error.object.to_string(),
            Self::Sops { file, .. } | Self::Whole { file } => file.clone(),
            Self::Missing { place } | Self::Item { place, .. } | Self::Blob { place, .. } => place.file.clone(),
            Self::Template { place, .. } | Self::Reference { place, .. } => place.file.clone(),
            Self::SealedForAnother { place, .. } | Self::AccessDenied { place, .. } => place.file.clone(),
            Self::NotText { object, .. } | Self::Handle { object, .. } => object.clone(),
        }
    }

    /// Returns what the user can do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Binding(error) => error.hint(),
            Self::Sops { source, hint, .. } => hint.clone().unwrap_or_else(|| source.hint().to_owned()),
            Self::Whole { .. } => "encrypt the file again with sops".to_owned(),
            Self::Missing { .. } => "please report this".to_owned(),
            Self::Item { source, .. } => source.hint().to_owned(),
            Self::Blob { source, .. } => source.hint().to_owned(),
            Self::Template { source, .. } => source.hint().to_owned(),
            Self::SealedForAnother { .. } => {
                "seal it again with `seal` for this cluster, name, namespace and scope".to_owned()
            }
            Self::AccessDenied { account, namespace, .. } => {
                format!("bind a Role with create and patch on secrets in {namespace} to {account}")
            }
            Self::NotText { .. } => "put binary values into the data of a Secret".to_owned(),
            Self::Reference { refusal, .. } => refusal.hint.clone(),
            Self::Handle { .. } => "don't cut, change the case of, or compute with sealed values".to_owned(),
        }
    }
}
