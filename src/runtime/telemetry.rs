//! Logs: one line an event, with fields, to standard error.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use super::args::LogFormat;

/// Starts logging for the whole process.
///
/// # Errors
///
/// Fails when `filter` isn't a filter in the syntax of `tracing-subscriber`.
pub fn log_to_stderr(filter: &str, format: LogFormat) -> Result<(), ParseError> {
    let filter = EnvFilter::try_new(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
