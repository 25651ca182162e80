//! What goes out: results to standard output and nothing else there, everything for people to standard error.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;
use waxwing_plan::diff::printable;

use crate::error::{Error, with_causes};

/// The form of a printed object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// YAML, with `---` between objects
    Yaml,
    /// JSON, one object after the other
    Json,
}

/// The form of a printed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListForm {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// The result could not be printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// Standard output is closed or full.
    #[error("failed to write to standard output")]
    Write(#[source] io::Error),
    /// An object could not be written as YAML.
    #[error("failed to write YAML")]
    Yaml(#[source] serde_saphyr::ser::Error),
    /// An object could not be written as JSON.
    #[error("failed to write JSON")]
    Json(#[source] serde_json::Error),
}

/// Writes objects as one text.
pub(crate) fn documents(objects: &[Value], format: Format) -> Result<String, OutputError> {
    let texts: Result<Vec<_>, _> = objects.iter().map(|object| document(object, format)).collect();
    Ok(match format {
        Format::Yaml => texts?.join("---\n"),
        Format::Json => texts?.concat(),
    })
}

fn document(object: &Value, format: Format) -> Result<String, OutputError> {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    match format {
        Format::Yaml => serde_saphyr::to_string_with_options(object, options).map_err(OutputError::Yaml),
        Format::Json => json(object),
    }
}

/// Writes a result as one JSON object.
pub(crate) fn json(result: &impl Serialize) -> Result<String, OutputError> {
    serde_json::to_string_pretty(result).map(|text| text + "\n").map_err(OutputError::Json)
}

/// Prints a result.
pub(crate) fn print(text: &str) -> Result<(), Error> {
    print_bytes(text.as_bytes())
}

/// Prints a result; a reader that has seen enough is no failure.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(OutputError::Write(error).into()),
        _ => Ok(()),
    }
}

/// Tells the user something that is no failure.
pub(crate) fn note(text: &str) {
    tell(&format!("note: {text}\n"));
}

/// Tells what went wrong, each cause after a colon, and what to do about it on a line of its own.
pub(crate) fn complain(error: &Error) {
    complain_of(error, error.hint());
}

/// Tells of an error of a part of the program.
pub(crate) fn complain_of(error: &dyn std::error::Error, hint: Option<String>) {
    let mut text = format!("error: {}\n", with_causes(error));
    if let Some(hint) = hint {
        text.push_str(&format!("hint: {hint}\n"));
    }
    tell(&text);
}

/// Writes to standard error; where that is closed, nobody listens. Names that are told come from files of others, and may not steer the
/// terminal.
pub(crate) fn tell(text: &str) {
    let text = text.split_inclusive(['\n', '\t']).map(|part| match part.char_indices().next_back() {
        Some((at, end @ ('\n' | '\t'))) => format!("{}{end}", printable(part.get(..at).unwrap_or_default())),
        _ => printable(part),
    });
    let _ = io::stderr().lock().write_all(text.collect::<String>().as_bytes());
}
