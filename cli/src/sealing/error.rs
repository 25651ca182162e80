//! Why nobody could say which key opens an item, or seal it again.

use std::path::PathBuf;

use waxwing_formats::sealed_secret::SealError;

use crate::cluster::ClusterError;
use crate::kubeseal;

/// What an answer of the controller's interface was, or why there was none. None of it repeats what the controller wrote.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealingError {
    /// The cluster did not answer as it should.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The private keys of a backup can't be read.
    #[error(transparent)]
    Keys(#[from] kubeseal::Fault),
    /// The file with the token can't be read.
    #[error("failed to read the token {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The controller has no such interface: it is another one, or an older one.
    #[error("the controller behind service {service} has no interface for this")]
    NoInterface {
        /// Namespace and name.
        service: String,
    },
    /// The controller does not know who asks.
    #[error("the controller does not take the token")]
    Unknown,
    /// Who asks may not.
    #[error("the ServiceAccount may not {verb} sealedsecrets in namespace {namespace}")]
    Forbidden {
        /// The verb of the right.
        verb: &'static str,
        /// The namespace of the SealedSecret.
        namespace: String,
    },
    /// The controller can't read it.
    #[error("the controller takes it for no SealedSecret")]
    NotRead,
    /// It is too long.
    #[error("it is longer than the controller reads")]
    TooLarge,
    /// Some of it does not open.
    #[error("not all of its items open")]
    Closed,
    /// Another answer.
    #[error("the controller answered {code}")]
    Refused {
        /// The HTTP status.
        code: u16,
    },
    /// The answer is none.
    #[error("the controller answered with something else than was asked for")]
    Strange,
    /// Nobody knows for which namespace it is.
    #[error("it names no namespace")]
    NoNamespace,
    /// A new value could not be sealed.
    #[error("failed to seal it again")]
    Seal(#[source] SealError),
}

impl SealingError {
    /// Tells whether it says something about one object, and not about whoever is asked.
    pub(crate) fn is_of_the_object(&self) -> bool {
        use SealingError::{Closed, Forbidden, NoNamespace, NotRead, TooLarge};
        matches!(self, Closed | Forbidden { .. } | NoNamespace | NotRead | TooLarge)
    }

    /// Tells whether it says something about whoever is asked, so that the next object would fare no better.
    pub(crate) fn is_of_all(&self) -> bool {
        !self.is_of_the_object() && !matches!(self, Self::Strange | Self::Seal(_) | Self::Refused { .. })
    }

    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Cluster(error) => return error.hint(),
            Self::Keys(fault) => return fault.hint(),
            Self::Seal(error) => return error.hint().map(str::to_owned),
            Self::Token { .. } => "mount a token of the pod's ServiceAccount with the audience waxwing",
            Self::NoInterface { .. } => {
                "check --controller-namespace and --controller-name, or pass --recovery-private-key with a backup of the keys"
            }
            Self::Unknown => {
                "a token needs the audience waxwing; those of people can't have it: pass --service-account"
            }
            Self::Forbidden { verb, namespace } => {
                return Some(format!(
                    "let a Role in {namespace} give it the verb {verb} on sealedsecrets of bitnami.com"
                ));
            }
            Self::NotRead => "check apiVersion, kind, name and namespace of it",
            Self::TooLarge => "split it into several",
            Self::Closed => "`seal keys list` says of each item which key it needs, or what is wrong with it",
            Self::Refused { code: 408 | 429 | 503 } => "try again in a moment",
            Self::Refused { .. } | Self::Strange => "look into the log of the controller",
            Self::NoNamespace => "pass --namespace, or write it into metadata.namespace",
        };
        Some(text.to_owned())
    }
}
