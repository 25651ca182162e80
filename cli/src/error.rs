//! The one error of the program: every module's error ends here, with what the user can do about it.

use waxwing::runtime::HardeningError;
use waxwing::source::CheckoutError;
use waxwing_formats::sealed_secret::{CertificateError, PlainSecretError, SealError};

use crate::certificate::FetchError;
use crate::cluster::ClusterError;
use crate::commands::keys::RetireError;
use crate::commands::run::NotRun;
use crate::input::{InputError, ValueError};
use crate::kubeseal;
use crate::output::OutputError;
use crate::sealed::{CreationError, NOBODY_TO_ASK};
use crate::sealing::{BackupError, EditError, SealingError};
use crate::sops::Fault;

/// Why a command failed. None of it quotes a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The process could not be kept from leaving plaintext behind.
    #[error(transparent)]
    Hardening(#[from] HardeningError),
    /// The input could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Documents of the input can't be sealed, or files can't be planned with; there is at least one.
    #[error("{}", in_lines(.0))]
    Several(Vec<Wrong>),
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
    /// A folder or a revision could not be read.
    #[error(transparent)]
    Checkout(#[from] CheckoutError),
    /// The random number generator failed.
    #[error("failed to draw random numbers")]
    Randomness(#[source] rand_core::Error),
    /// The result could not be printed.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The rules of `.sops.yaml` can't be had.
    #[error(transparent)]
    Rules(#[from] CreationError),
    /// Neither the keys at hand nor a key service may be asked.
    #[error("there is no key service to ask")]
    NobodyToAsk,
    /// A file could not be edited.
    #[error(transparent)]
    Edit(Fault),
    /// A command of sops failed.
    #[error(transparent)]
    Sops(#[from] Fault),
    /// A call of kubeseal failed.
    #[error(transparent)]
    Kubeseal(#[from] kubeseal::Fault),
    /// Nobody could say what opens sealed items.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// A backup of sealing keys was not written or read.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// A sealing key stays.
    #[error(transparent)]
    Retire(#[from] RetireError),
    /// A SealedSecret was not edited.
    #[error(transparent)]
    EditItems(#[from] EditError),
    /// Nothing can be waited for on this machine.
    #[error("nothing can be waited for on this machine: {0}")]
    Waiting(std::io::ErrorKind),
    /// Stores could not be asked for so many secrets.
    #[error("nobody could be asked for {0} of the secrets")]
    Unanswered(usize),
    /// A command could not be run.
    #[error(transparent)]
    NotRun(NotRun),
}

impl Error {
    /// Returns the exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Sops(fault) => fault.code(),
            Self::NotRun(error) => error.code(),
            _ => 1,
        }
    }

    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Input(error) => error.hint().map(str::to_owned),
            Self::Several(wrong) => wrong.last().and_then(|last| last.hint.clone()),
            Self::Checkout(error) => Some(error.hint().to_owned()),
            Self::Hardening(_) | Self::Randomness(_) => None,
            Self::Value(error) => error.hint().map(str::to_owned),
            Self::Fetch(error) => error.hint(),
            Self::Certificate(error) => Some(error.hint().to_owned()),
            Self::Cluster(error) => error.hint(),
            Self::Seal(error) => error.hint().map(str::to_owned),
            Self::Output(_) => None,
            Self::Rules(error) => error.hint().map(str::to_owned),
            Self::NobodyToAsk => Some(NOBODY_TO_ASK.to_owned()),
            Self::Edit(fault) | Self::Sops(fault) => fault.hint(),
            Self::Kubeseal(fault) => fault.hint(),
            Self::Sealing(error) => error.hint(),
            Self::Backup(error) => error.hint(),
            Self::Retire(error) => Some(error.hint().to_owned()),
            Self::EditItems(error) => error.hint(),
            Self::Waiting(_) | Self::NotRun(_) => None,
            Self::Unanswered(_) => Some("see each of them above".to_owned()),
        }
    }
}

/// Writes everything that is wrong, with a hint below each but the last, whose hint is that of the whole.
fn in_lines(wrong: &[Wrong]) -> String {
    let mut text = String::new();
    for (index, one) in wrong.iter().enumerate() {
        if index > 0 {
            text.push_str("\nerror: ");
        }
        text.push_str(&one.fact);
        if let Some(hint) = one.hint.as_ref().filter(|_| index + 1 < wrong.len()) {
            text.push_str(&format!("\nhint: {hint}"));
        }
    }
    text
}

/// One of several things that are wrong.
#[derive(Debug)]
pub(crate) struct Wrong {
    /// What it is and where, with its causes.
    fact: String,
    /// What the user can do about it.
    hint: Option<String>,
}

impl Wrong {
    /// Says `error` with its causes.
    pub(crate) fn new(error: &dyn std::error::Error, hint: Option<String>) -> Self {
        Self { fact: with_causes(error), hint }
    }

    /// Says what is wrong at `place`.
    pub(crate) fn at(place: &dyn std::fmt::Display, error: &dyn std::error::Error, hint: Option<String>) -> Self {
        Self { fact: format!("{place}: {}", with_causes(error)), hint }
    }
}

/// Writes an error and its causes, with a colon before each.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(&format!(": {source}"));
        cause = source.source();
    }
    text
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
    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Secret(error) => error.hint(),
            Self::SealedAlready => "it is sealed already: commit it as it is",
            Self::Empty => "pass --allow-empty-data if that is meant",
            Self::NamespaceMismatch { .. } => "leave out --namespace, or change metadata.namespace",
        }
    }
}
