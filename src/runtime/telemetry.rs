//! What the process says about itself: the log, the audit log, and traces where somebody wants them.
//!
//! The log is one line an event, with fields, to standard error. The audit log goes there too, one JSON object a line whatever
//! the form and level of the log; `"target":"waxwing::audit"` tells its lines from others.

use std::io::Write;

use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, ParseError, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::args::{Args, LogFormat};
use super::traces::{self, TracesError};
use crate::reconcile::AUDIT_TARGET;

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// What the log is to let through is malformed.
    #[error("failed to read the filter of --log-level")]
    Filter(#[source] ParseError),
    /// Traces can't be sent.
    #[error("failed to prepare the sending of traces to --otlp-endpoint")]
    Traces(#[source] TracesError),
}

/// What is to be ended before the process is. Traces that were not sent yet are lost with it.
#[must_use]
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Sends what is left; what can't be sent within a few seconds is lost.
    pub async fn end(self) {
        let Some(traces) = self.0 else { return };
        // The sender has complained already if it could not send.
        let _ = tokio::task::spawn_blocking(move || traces.shutdown()).await;
    }
}

/// Starts all of it for the whole process. It has to be called in the runtime that the process works in.
///
/// # Errors
///
/// See [`TelemetryError`]. There is a log by then, so that it can be told.
pub fn speak(args: &Args) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_new(&args.log_level).map_err(TelemetryError::Filter);
    let provider = args.otlp_endpoint.as_deref().map(traces::provider).transpose().map_err(TelemetryError::Traces);
    let (filter, wrong) = match filter {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let (provider, wrong) = match provider {
        Ok(provider) => (provider, wrong),
        Err(error) => (None, Some(error)),
    };
    begin(filter, args.log_format, provider.as_ref());
    match wrong {
        None => Ok(Telemetry(provider)),
        Some(error) => Err(error),
    }
}

fn begin(filter: EnvFilter, format: LogFormat, traces: Option<&SdkTracerProvider>) {
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter.and(filter_fn(|metadata| !is_audit(metadata) && !may_tell_secrets(metadata))));
    let spans = traces.map(|provider| traces::layer(provider).with_filter(filter_fn(is_span_of_ours)));
    let audit = Audit.with_filter(filter_fn(is_audit));
    tracing_subscriber::registry().with(lines).with(audit).with(spans).init();
}

fn is_audit(metadata: &Metadata<'_>) -> bool {
    metadata.target() == AUDIT_TARGET
}

/// Libraries whose events below WARN can have secrets in them, whatever the filter lets through: `pgp` writes private keys when it
/// reads one (no such call is made), the SDK of AWS whole requests with session tokens.
fn may_tell_secrets(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    let tells = target == "pgp" || target.starts_with("pgp::") || target.starts_with("aws_");
    tells && *metadata.level() > Level::WARN
}

/// Events are not sent with traces, so that no message of a library can be.
fn is_span_of_ours(metadata: &Metadata<'_>) -> bool {
    let is_ours = metadata.target() == "waxwing" || metadata.target().starts_with("waxwing::");
    metadata.is_span() && is_ours && *metadata.level() <= tracing::Level::INFO
}

/// Writes the audit log.
struct Audit;

impl<S: Subscriber> Layer<S> for Audit {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut record = Record::default();
        event.record(&mut record);
        // In one write, so that no other line comes in between. There is nobody to tell if that fails.
        let _ = std::io::stderr().lock().write_all(record.0.as_bytes());
    }
}

/// Takes the field `record` of an event, which is a whole line.
#[derive(Default)]
struct Record(String);

impl Visit for Record {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "record" {
            self.0 = format!("{value}\n");
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
