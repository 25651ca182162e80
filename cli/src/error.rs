//! The one error of the program: every module's error ends here, with what the user can do about it.

use std::fmt;

use waxwing_formats::sealed_secret::{CertificateError, PlainSecretError, SealError};

use crate::certificate::FetchError;
use crate::cluster::ClusterError;
use crate::input::{InputError, ValueError};
use crate::output::OutputError;

/// Why a command failed. None of it quotes a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The input could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Documents of the input can't be sealed.
    #[error("{}", in_lines(.0))]
    Documents(Vec<AtDocument>),
    /// A value for a new Secret is missing or wrong.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The certificate could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The certificate is no good.
    #[error("the certificate can't be sealed with")]
    Certificate(#[from] CertificateError),
    /// The cluster did not answer as it should.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// A Secret could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The result could not be printed.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl Error {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Input(error) => error.hint().map(str::to_owned),
            Self::Documents(wrong) => wrong.last().map(|last| last.error.hint().to_owned()),
            Self::Value(error) => error.hint().map(str::to_owned),
            Self::Fetch(error) => error.hint(),
            Self::Certificate(error) => Some(error.hint().to_owned()),
            Self::Cluster(error) => error.hint(),
            Self::Seal(error) => error.hint().map(str::to_owned),
            Self::Output(_) => None,
        }
    }
}

/// Writes each document that is wrong, with a hint below each but the last, whose hint is that of the whole.
fn in_lines(wrong: &[AtDocument]) -> String {
    let mut text = String::new();
    for (index, document) in wrong.iter().enumerate() {
        if let Some(before) = index.checked_sub(1).and_then(|before| wrong.get(before)) {
            text.push_str(&format!("\nhint: {}\nerror: ", before.error.hint()));
        }
        text.push_str(&document.to_string());
    }
    text
}

/// What is wrong with one document, and where it stands.
#[derive(Debug)]
pub(crate) struct AtDocument {
    /// The file and line, as `secret.yaml:12`.
    pub(crate) place: String,
    /// What is wrong with it.
    pub(crate) error: DocumentError,
}

impl fmt::Display for AtDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.error)
    }
}

/// Why a document can't be sealed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    /// It is not a Secret, or not a well-formed one.
    #[error(transparent)]
    Secret(#[from] PlainSecretError),
    /// It is a SealedSecret.
    #[error("the document is a SealedSecret")]
    SealedAlready,
    /// It has no values.
    #[error("the Secret has no values under data or stringData")]
    Empty,
    /// The flag and the document disagree.
    #[error("the Secret is in namespace {own}, but --namespace says {flag}")]
    NamespaceMismatch {
        /// What the flag says.
        flag: String,
        /// What the Secret says.
        own: String,
    },
}

impl DocumentError {
    fn hint(&self) -> &'static str {
        match self {
            Self::Secret(error) => error.hint(),
            Self::SealedAlready => "it is sealed already: commit it as it is",
            Self::Empty => "pass --allow-empty-data if that is meant",
            Self::NamespaceMismatch { .. } => "leave out --namespace, or change metadata.namespace",
        }
    }
}
