//! Why a SealedSecret was not done, in the words that the Sealed Secrets controller has for it where it has some: scripts look for
//! them. None of it quotes a value.

use std::time::Duration;

use waxwing_formats::sealed_secret::{ItemTemplateError, ManifestError, Scope};

use crate::cluster::CallError;

/// The most names of items in one message.
const MOST_NAMES: usize = 20;

/// Why a SealedSecret was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// It is not well-formed, or has what is not supported.
    #[error("{0}; hint: {hint}", hint = .0.hint())]
    Manifest(#[from] ManifestError),
    /// Its template would pass the Secret off as a Sync's.
    #[error("/spec/template/metadata sets {0}, which only Waxwing sets; hint: remove it")]
    Reserved(&'static str),
    /// Items can't be opened.
    #[error("{0}")]
    Open(#[from] Unopened),
    /// Templates under `spec.template.data` fail.
    #[error("{}", failed(.0))]
    Templates(Vec<ItemTemplateError>),
    /// A Secret of its name is somebody else's.
    #[error("failed update: {}", unmanaged(.name, *.of_sync))]
    Unmanaged {
        /// The name of both.
        name: String,
        /// Whether a Sync applied it.
        of_sync: bool,
    },
    /// Somebody writes over the Secret again and again.
    #[error(
        "failed update: the Secret is written over again and again{}, and is left for a while; hint: let only one of the two write it",
        .by.as_ref().map(|by| format!(", last by {by:?}")).unwrap_or_default()
    )]
    Contested {
        /// The field manager that did it last.
        by: Option<String>,
        /// How long it is left.
        left: Duration,
    },
    /// The Secret may not be changed.
    #[error("the target Secret is immutable: its values can't be changed; hint: delete it, and it is made anew")]
    Immutable,
    /// The API server refused, or didn't answer.
    #[error("failed update: {0}")]
    Call(#[from] CallError),
}

/// The items of a SealedSecret that can't be opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Unopened {
    /// What is wrong with which items.
    pub(super) faults: Vec<(String, Vec<String>)>,
    /// How many were not tried after so many had failed.
    pub(super) untried: usize,
    /// What would open those that no key opens; none where that was not looked for.
    pub(super) why: Option<Why>,
}

/// Why no key opens an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It was sealed with another scope than the SealedSecret states.
    Scope {
        /// The scope that it was sealed with.
        sealed: Scope,
        /// The one that its annotations state.
        stated: Scope,
    },
    /// There is no key at all.
    NoKey,
    /// It was sealed for another name or namespace, or with another certificate.
    Elsewhere {
        /// What it would have to be sealed for.
        name: String,
        /// The same.
        namespace: String,
        /// The same.
        scope: Scope,
    },
}

impl std::error::Error for Unopened {}

impl std::fmt::Display for Unopened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, (fault, items)) in self.faults.iter().enumerate() {
            let separator = if position > 0 { ", " } else { "" };
            let named = items.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
            write!(f, "{separator}{fault} ({named}")?;
            match items.len().saturating_sub(MOST_NAMES) {
                0 => f.write_str(")")?,
                more => write!(f, " and {more} more)")?,
            }
        }
        if self.untried > 0 {
            write!(f, "; {} more items were not tried after that", self.untried)?;
        }
        self.why.as_ref().map_or(Ok(()), |why| write!(f, ": {}; hint: {}", why.fact(), why.hint()))
    }
}

impl Why {
    /// Returns what is wrong.
    pub(super) fn fact(&self) -> String {
        match self {
            Self::NoKey => "there is no sealing key".to_owned(),
            Self::Scope { sealed, stated } => {
                format!("it was sealed with scope {sealed}, and the SealedSecret has scope {stated}")
            }
            Self::Elsewhere { name, namespace, scope } => {
                let fact = "it was sealed with the certificate of another cluster or a key that is gone";
                match scope {
                    Scope::ClusterWide => fact.to_owned(),
                    Scope::NamespaceWide => format!("{fact}, or for another namespace than {namespace}"),
                    Scope::Strict => format!("{fact}, or for another name or namespace than {namespace}/{name}"),
                }
            }
        }
    }

    /// Returns what can be done about it.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::NoKey => "restore one, or seal again".to_owned(),
            Self::Scope { sealed, .. } => match sealed.annotation() {
                Some(annotation) => format!("set its annotation {annotation} to \"true\""),
                None => "take the annotation of its scope away".to_owned(),
            },
            Self::Elsewhere { .. } => "seal it again".to_owned(),
        }
    }
}

/// What an event says when something could not be done.
impl Trouble {
    /// Returns the reason of the event.
    pub(super) const fn event_reason(&self) -> &'static str {
        match self {
            Self::Manifest(_) | Self::Reserved(_) | Self::Open(_) | Self::Templates(_) => "ErrUnsealFailed",
            Self::Unmanaged { .. } | Self::Contested { .. } | Self::Immutable | Self::Call(_) => "ErrUpdateFailed",
        }
    }

    /// Returns what the event says.
    pub(super) fn event_note(&self) -> String {
        match self {
            Self::Manifest(_) | Self::Reserved(_) | Self::Open(_) | Self::Templates(_) => {
                format!("Failed to unseal: {self}")
            }
            Self::Unmanaged { name, of_sync } => unmanaged(name, *of_sync),
            Self::Immutable | Self::Contested { .. } => self.to_string(),
            Self::Call(error) => error.to_string(),
        }
    }

    /// Returns the label of the metric that counts it.
    pub(super) const fn metric_reason(&self) -> &'static str {
        match self {
            Self::Manifest(_) | Self::Reserved(_) | Self::Open(_) | Self::Templates(_) => "unseal",
            Self::Unmanaged { .. } => "unmanaged",
            Self::Contested { .. } | Self::Immutable | Self::Call(_) => "update",
        }
    }

    /// Tells whether another keyring may open it.
    pub(super) const fn is_about_keys(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Returns how long to wait at least before it is tried again, none where somebody has to change something that is seen.
    pub(super) fn passes(&self) -> Option<Duration> {
        match self {
            Self::Call(error) if matches!(error.code(), Some(400 | 413 | 422)) => None,
            // Rights, quotas and webhooks change unseen.
            Self::Call(error) => Some(error.passes().unwrap_or_default()),
            Self::Contested { left, .. } => Some(*left),
            Self::Unmanaged { .. } => Some(Duration::ZERO),
            Self::Manifest(_) | Self::Reserved(_) | Self::Open(_) | Self::Templates(_) | Self::Immutable => None,
        }
    }
}

fn unmanaged(name: &str, of_sync: bool) -> String {
    let by = if of_sync { "; a Sync applies it" } else { "" };
    format!("Resource {name:?} already exists and is not managed by SealedSecret{by}")
}

fn failed(templates: &[ItemTemplateError]) -> String {
    let told: Vec<_> = templates.iter().take(MOST_NAMES).map(ToString::to_string).collect();
    let more = match templates.len().saturating_sub(MOST_NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let hint = templates.first().map_or("", |template| template.source.hint());
    format!("{}{more}; hint: {hint}", told.join(", "))
}
