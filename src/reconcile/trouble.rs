//! The one error edge of the controller: every room's error becomes a reason, a message and a list of failures.
//!
//! A message is `what happened; hint: what to do`. It is public: it goes into conditions, events and logs as it is.

use std::time::Duration;

use crate::api::{Failure, Reason};
use crate::cluster::secrets::SecretError;
use crate::cluster::{self, CallError, Cause, Phase};
use crate::source::{CommitIdError, RefNameError, SourceError, UrlError};

/// What helps where the API server's words are not passed on.
const WITHHELD: &str =
    "correct the object in Git; what else the API server said is withheld, since it may quote a secret value";

/// Why a reconcile could not do what its resource asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// The closed reason.
    pub reason: Reason,
    /// What happened and what to do about it.
    pub message: String,
    /// The objects or files that are wrong, where there are several.
    pub failures: Vec<Failure>,
    /// Whether trying again can't help: somebody has to change something first.
    pub stalled: bool,
    /// Whether it may be gone in a moment, after this long at the earliest; none where it is tried again in the Sync's own time.
    pub soon: Option<Duration>,
}

impl Trouble {
    /// Makes trouble that is tried again, and may be gone then.
    pub fn passing(reason: Reason, fact: impl std::fmt::Display, hint: &str) -> Self {
        Self { reason, message: with_hint(fact, hint), failures: Vec::new(), stalled: false, soon: None }
    }

    /// Makes trouble out of an answer of the API server, or of its absence: it is tried again soon where it may pass.
    pub fn outage(reason: Reason, error: &CallError, hint: &str) -> Self {
        Self { soon: error.passes(), ..Self::passing(reason, error, hint) }
    }

    /// Makes trouble that stays until somebody changes the spec, the repository or a permission.
    pub fn lasting(reason: Reason, fact: impl std::fmt::Display, hint: &str) -> Self {
        Self { stalled: true, ..Self::passing(reason, fact, hint) }
    }

    /// Makes trouble out of several failures: the first one's reason, and a message that counts them.
    pub fn of_failures(failures: Vec<Failure>, stalled: bool) -> Self {
        let (reason, first) = match failures.first() {
            Some(first) => (first.reason, named(first)),
            None => (Reason::Internal, "something failed that nothing was said about".to_owned()),
        };
        let message = match failures.len() {
            0 | 1 => first,
            count => format!("{first} (and {} more in status.failures)", count - 1),
        };
        Self { reason, message, failures, stalled, soon: None }
    }

    /// Tells other trouble of the same revision with this, which stays until somebody changes something, however soon the other may be gone.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        if other.failures.is_empty() {
            let message = format!("{}; the other references were not looked at: {}", self.message, other.message);
            return Self { message, ..self };
        }
        Self::of_failures([self.failures, other.failures].concat(), self.stalled)
    }
}

/// Names the object before the message, unless the message does.
fn named(failure: &Failure) -> String {
    let Failure { object, message, .. } = failure;
    if message.contains(object.as_str()) { message.clone() } else { format!("{object}: {message}") }
}

fn with_hint(fact: impl std::fmt::Display, hint: &str) -> String {
    if hint.is_empty() { fact.to_string() } else { format!("{fact}; hint: {hint}") }
}

impl From<SourceError> for Trouble {
    fn from(error: SourceError) -> Self {
        use SourceError as E;
        let reason = match &error {
            E::CredentialsMissing { .. }
            | E::CredentialsRefused { .. }
            | E::Forbidden { .. }
            | E::CredentialsMalformed { .. }
            | E::CredentialsNotUsable { .. } => Reason::AuthenticationFailed,
            E::ReferenceNotFound { .. } | E::NotACommit { .. } => Reason::RevisionNotFound,
            E::TooLarge { .. } | E::ObjectTooLarge { .. } => Reason::InputTooLarge,
            _ => Reason::FetchFailed,
        };
        Self::passing(reason, &error, error.hint())
    }
}

impl From<UrlError> for Trouble {
    fn from(error: UrlError) -> Self {
        Self::lasting(Reason::UrlNotAllowed, error, error.hint())
    }
}

impl From<RefNameError> for Trouble {
    fn from(error: RefNameError) -> Self {
        Self::lasting(Reason::RevisionNotFound, error, "check spec.ref")
    }
}

impl From<CommitIdError> for Trouble {
    fn from(error: CommitIdError) -> Self {
        Self::lasting(Reason::RevisionNotFound, error, "check spec.ref")
    }
}

impl From<CallError> for Trouble {
    fn from(error: CallError) -> Self {
        match error.code() {
            Some(403) => Self::passing(Reason::Forbidden, error, "grant the controller what its ClusterRole lists"),
            _ => Self::outage(Reason::ApiUnavailable, &error, "it is tried again"),
        }
    }
}

/// Turns an unreadable Secret that a resource names into trouble.
pub(super) fn of_secret(error: SecretError, field: &str, reader: &str) -> Trouble {
    let unavailable = |fact: String, hint: String| Trouble::passing(Reason::KeysUnavailable, fact, &hint);
    match &error {
        SecretError::Name { .. } => unavailable(error.to_string(), format!("correct {field}")),
        SecretError::Call { source, .. } => match source.code() {
            Some(404) => unavailable(format!("{error}: it does not exist"), format!("create it, or correct {field}")),
            Some(403) => unavailable(format!("{error}: {reader} may not"), format!("let {reader} get this Secret")),
            _ => Trouble {
                soon: source.passes(),
                ..Trouble::passing(Reason::ApiUnavailable, &error, "it is tried again")
            },
        },
    }
}

/// Turns the objects that could not be applied into trouble.
pub(super) fn of_apply(failures: &[cluster::Failure], account: &str) -> Trouble {
    let soon = failures.iter().filter_map(|failure| passes(&failure.cause)).max();
    let failures: Vec<Failure> = failures.iter().map(|failure| of_object(failure, account)).collect();
    Trouble { soon, ..Trouble::of_failures(failures, false) }
}

/// Tells how soon at the earliest it may help to try an object again, as [`CallError::passes`].
pub(super) fn passes(cause: &Cause) -> Option<Duration> {
    match cause {
        Cause::Call(error) => error.passes(),
        _ => None,
    }
}

fn of_object(failure: &cluster::Failure, account: &str) -> Failure {
    let (reason, hint) = judge(failure, account);
    let message = with_hint(&failure.cause, &hint);
    Failure::new(&failure.id, reason, message)
}

fn judge(failure: &cluster::Failure, account: &str) -> (Reason, String) {
    let refused = match failure.phase {
        Phase::DryRun => Reason::DryRunFailed,
        Phase::Apply => Reason::ApplyFailed,
    };
    match &failure.cause {
        cause if cluster::is_terminating(cause) => {
            (Reason::Terminating, "it is tried again once the namespace is gone".to_owned())
        }
        Cause::UnknownKind { .. } => {
            (Reason::UnknownKind, "install the CustomResourceDefinition, or correct apiVersion and kind".to_owned())
        }
        Cause::OutOfTime => {
            (Reason::TimedOut, "it goes on from here; raise spec.timeout if this revision needs longer".to_owned())
        }
        Cause::AlreadyThere => (Reason::PlanConflict, "it is looked at and tried again".to_owned()),
        Cause::OwnedAsAWhole { .. } => (refused, "name the whole value in spec.ignore of the Sync".to_owned()),
        Cause::Unbound(_) => (Reason::Internal, "please report this".to_owned()),
        Cause::Call(CallError::Refused(refusal)) => match refusal.code {
            401 | 403 if refusal.code == 401 || refusal.lacks_right => {
                (Reason::Forbidden, format!("grant ServiceAccount {account} the right by a Role"))
            }
            403 => (refused, "correct the object in Git, or see the quotas and policies of its namespace".to_owned()),
            409 => (refused, "the object was changed in between; it is tried again".to_owned()),
            429 | 502..=504 => (Reason::ApiUnavailable, "it is tried again".to_owned()),
            500..=599 => (refused, "it is tried again; see the API server's log, and its webhooks".to_owned()),
            404 if failure.id.namespace.is_some() => {
                (Reason::NamespaceMissing, "create the namespace, or put it into the repository".to_owned())
            }
            _ if refusal.message.is_none() => (refused, WITHHELD.to_owned()),
            _ => (refused, "correct the object in Git".to_owned()),
        },
        Cause::Call(CallError::NotLeading(_)) => (refused, "it is done by the controller that leads".to_owned()),
        Cause::Call(_) => (Reason::ApiUnavailable, "it is tried again".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_failures_are_counted_and_the_first_is_named() {
        let failure = |object: &str| Failure::new(&object, Reason::RenderFailed, "is malformed".to_owned());
        let trouble = Trouble::of_failures(vec![failure("a.yaml:1"), failure("b.yaml:2")], true);
        assert_eq!(trouble.reason, Reason::RenderFailed);
        assert_eq!(trouble.message, "a.yaml:1: is malformed (and 1 more in status.failures)");
    }

    #[test]
    fn a_message_without_a_hint_is_the_fact_alone() {
        assert_eq!(Trouble::passing(Reason::Internal, "x", "").message, "x");
        assert_eq!(Trouble::passing(Reason::Internal, "x", "do y").message, "x; hint: do y");
    }
}
