//! What arrived, and for each secret key where it came from: read from what the controller logs.
//!
//! The controller logs `applied` for each object that it sends, and for each that has secret values a line of the audit log,
//! with commit, file, scheme and recipient of each (docs/metrics.md). The values themselves are nowhere in there.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::Error;
use crate::scene::text;
use crate::screen::Screen;

/// Objects by name.
#[derive(Default)]
pub(crate) struct Arrived(BTreeMap<String, Object>);

#[derive(Default)]
struct Object {
    result: String,
    keys: BTreeMap<String, Vec<String>>,
}

impl Arrived {
    /// Reads a piece of the controller's log.
    pub(crate) fn read(log: &str) -> Self {
        let mut arrived = Self::default();
        let events = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        events.for_each(|event| arrived.note(&event));
        arrived
    }

    /// Takes the first result of an object: when a sync goes on, what it has applied is unchanged.
    fn note(&mut self, event: &Value) {
        let object = || text(event, "/object");
        match text(event, "/message").as_str() {
            "applied" => {
                let known = self.0.entry(object()).or_default();
                if known.result.is_empty() {
                    known.result = text(event, "/result");
                }
            }
            "applied an object with secret values" => {
                let values = event.get("values").and_then(Value::as_array).into_iter().flatten();
                let of_key =
                    |value| (text(value, "/key").trim_start_matches("/data/").to_owned(), origin(event, value));
                self.0.entry(object()).or_default().keys.extend(values.map(of_key));
            }
            _ => {}
        }
    }

    /// Returns how many values of Secrets arrived.
    pub(crate) fn values(&self) -> usize {
        self.0.values().map(|object| object.keys.len()).sum()
    }

    /// Writes the table.
    pub(crate) fn show(&self, screen: &mut Screen) -> Result<(), Error> {
        let head = ["OBJECT, KEY", "RESULT", "COMMIT", "FILE", "SCHEME", "RECIPIENT"].map(str::to_owned);
        let mut rows = vec![head.to_vec()];
        for (name, object) in &self.0 {
            rows.push(vec![name.clone(), object.result.clone()]);
            let keys = object.keys.iter();
            rows.extend(keys.map(|(key, origin)| [vec![format!("  {key}"), String::new()], origin.clone()].concat()));
        }
        screen.indented("What arrived, and where each value came from, as the controller logs it:")?;
        screen.line("")?;
        rows.iter().try_for_each(|row| screen.indented(&padded(row, &widths(&rows))))
    }
}

/// Returns the columns that say where a value came from.
fn origin(event: &Value, value: &Value) -> Vec<String> {
    let revision = text(event, "/revision");
    let commit: String = revision.rsplit(':').next().unwrap_or_default().chars().take(12).collect();
    let from = |field: &str| text(value, &format!("/from/0/{field}"));
    vec![commit, from("file"), from("scheme"), shortened(&from("recipient"))]
}

/// Cuts out the middle of a long recipient; both ends are what people compare.
fn shortened(recipient: &str) -> String {
    const ENDS: usize = 10;
    let length = recipient.chars().count();
    if length <= 2 * ENDS + 3 {
        return recipient.to_owned();
    }
    let head: String = recipient.chars().take(ENDS).collect();
    let tail: String = recipient.chars().skip(length - ENDS).collect();
    format!("{head}...{tail}")
}

fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
    (0..columns).map(|column| width(column).unwrap_or_default()).collect()
}

fn padded(row: &[String], widths: &[usize]) -> String {
    row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}  ")).collect()
}
