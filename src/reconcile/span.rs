//! One span a step of the straight line, and how long it took.
//!
//! They stand in the span of their Sync, which has its namespace, name and revision. Names and fields are public; a span
//! never has a field of what a step works on.

use std::time::Instant;

use tracing::field::Empty;
use tracing::{Instrument, Span};

use super::job::Job;
use super::trouble::Trouble;
use crate::api::Reason;

/// Returns the span of a Sync's reconcile; it gets the revision once that is known.
pub(super) fn of_sync(namespace: &str, name: &str) -> Span {
    tracing::info_span!("sync", namespace, name, revision = Empty, reason = Empty, otel.status_code = Empty)
}

/// Returns the span of a GitSource's reconcile.
pub(super) fn of_source(namespace: &str, name: &str) -> Span {
    tracing::info_span!("source", namespace, name, reason = Empty, otel.status_code = Empty)
}

/// Notes in a span why what it is about did not end well; work that goes on is no failure.
pub(super) fn failed(span: &Span, reason: Reason) {
    span.record("reason", reason.as_str());
    if reason != Reason::Progressing {
        span.record("otel.status_code", "ERROR");
    }
}

macro_rules! steps {
    ($($(#[doc = $text:literal])+ $step:ident = $name:literal,)+) => {
        /// The steps of the straight line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Step {
            $($(#[doc = $text])+ $step,)+
        }

        impl Step {
            const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }

            fn span(self) -> Span {
                match self {
                    $(Self::$step => tracing::info_span!($name, reason = Empty, otel.status_code = Empty),)+
                }
            }
        }
    };
}

steps! {
    /// Takes the revision that the source has.
    Fetch = "fetch",
    /// Reads the files.
    Read = "read",
    /// Makes manifests.
    Render = "render",
    /// Asks stores which versions there are of what references lead to.
    Probe = "probe",
    /// Reads what earlier syncs have applied.
    Load = "load",
    /// Reads what the cluster has.
    Live = "live",
    /// Decides what to do.
    Plan = "plan",
    /// Opens what is sealed.
    Unseal = "unseal",
    /// Has the API server judge what was opened.
    DryRun = "dry-run",
    /// Writes down what is about to be applied.
    BeforeApply = "before-apply",
    /// Sends it.
    Apply = "apply",
    /// Writes down what was applied.
    AfterApply = "after-apply",
    /// Judges how the objects are.
    Health = "health",
    /// Deletes what left Git.
    Prune = "prune",
    /// Writes down what was deleted.
    AfterPrune = "after-prune",
    /// Puts back what others did to the last good revision, where this one failed.
    Hold = "hold",
}

impl Job<'_> {
    /// Takes one step, in a span of its own, and measures it.
    ///
    /// # Errors
    ///
    /// Fails as the step does.
    pub(super) async fn step<T>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        let (span, begun) = (step.span(), Instant::now());
        let result = work.instrument(span.clone()).await;
        if let Err(trouble) = &result {
            failed(&span, trouble.reason);
        }
        self.context.metrics.step(step.as_str(), begun.elapsed());
        result
    }
}
