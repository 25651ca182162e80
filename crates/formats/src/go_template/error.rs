//! Why a template was refused or failed: a line, a function and a fixed sentence, never text of a value.

use std::fmt;

/// Why a template was refused or failed. Nothing in it comes from a value or from the template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The line in the template, from 1.
    pub line: usize,
    /// The function at fault, if it is one that Go or Sprig has.
    pub function: Option<&'static str>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is not a Go template.
    #[error("{0}")]
    Syntax(&'static str),
    /// It uses something that upstream has and Waxwing refuses.
    #[error("is refused: {0}")]
    Refused(&'static str),
    /// It calls a function that neither Go nor Sprig has, or that Sealed Secrets removed.
    #[error("a function is called that Sealed Secrets does not offer")]
    UnknownFunction,
    /// It is larger, deeper or more work than one value of a Secret may be.
    #[error("exceeds {0}")]
    Limit(&'static str),
    /// A value has another type than is needed.
    #[error("expects {expected}")]
    Type {
        /// What is needed, with its article.
        expected: &'static str,
    },
    /// A function got too few or too many arguments.
    #[error("has too few or too many arguments")]
    Arguments,
    /// The template can't be run to its end with these values.
    #[error("{0}")]
    Failed(&'static str),
}

impl TemplateError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self.fault {
            Fault::Refused(_) | Fault::UnknownFunction => {
                "docs/from-sealed-secrets.md lists the functions; compute the value before sealing it"
            }
            Fault::Limit(_) => "compute the value before sealing it",
            Fault::Syntax(_) => "templates are those of Go's text/template, with the functions of Sprig",
            Fault::Type { .. } | Fault::Arguments | Fault::Failed(_) => {
                "try it offline with `kubeseal --recovery-unseal` and throw-away values"
            }
        }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, fault, .. } = self;
        match (self.function, fault) {
            (Some(function), fault) => write!(f, "line {line}: `{function}` {fault}"),
            (None, Fault::Refused(what)) => write!(f, "line {line}: refused are {what}"),
            (None, Fault::Syntax(_) | Fault::UnknownFunction | Fault::Failed(_)) => write!(f, "line {line}: {fault}"),
            (None, fault) => write!(f, "line {line}: the template {fault}"),
        }
    }
}

impl std::error::Error for TemplateError {}
