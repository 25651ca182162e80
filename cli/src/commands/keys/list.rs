//! `seal keys list`: which keys there are, and which sealed items need which of them.

use std::fmt::Write;

use clap::Args;
use jiff::{SpanRound, Timestamp, Unit};
use serde::Serialize;
use waxwing_keys::UnsealingKey;
use waxwing_plan::diff::printable;

use super::Places;
use crate::cluster::{ClusterArgs, ClusterError};
use crate::error::Error;
use crate::output::{self, ListForm};
use crate::sealing::{KeySecret, KeySecrets, Need, Needs, Opener, OpenerArgs};

/// List the sealing keys, newest first, and what needs them
///
/// With --needed-by or --in-cluster, says of each sealed item which key it needs. Your own copies of the keys tell that, the Secrets that
/// were read; with --service-account or --token-file the controller does, and then you need no right to read the keys; with
/// --recovery-private-key the keys of a backup do.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListArgs {
    #[command(flatten)]
    places: Places,

    /// Print in this form
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = ListForm::Text)]
    output: ListForm,

    #[command(flatten)]
    opener: OpenerArgs,

    #[command(flatten)]
    cluster: ClusterArgs,
}

const EXAMPLES: &str = "\
Examples:
  seal keys list
  seal keys list --in-cluster --needed-by .
  seal keys list --needed-by clusters/prod --service-account waxwing-system/auditor -o json";

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    keys: Vec<Row>,
    /// Items that no key opens.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    closed: Vec<Need>,
    /// What could not be looked into, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_looked_into: Vec<String>,
}

/// One key.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    /// The name of the Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Whether the controller opens with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    opens: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
    /// Why it can't be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// The items that need it, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    needed_by: Option<Vec<Need>>,
}

/// Lists the keys.
pub(super) fn run(args: &ListArgs) -> Result<(), Error> {
    let ListArgs { places, output, opener, cluster } = args;
    let connection = cluster.connect()?;
    let secrets = match KeySecrets::read(&connection) {
        Err(ClusterError::Denied { code: 403, .. }) if opener.asks_the_controller() => {
            output::note("you may not read the keys, so only those are listed that something needs");
            None
        }
        read => Some(read?),
    };
    let mut rows: Vec<Row> = secrets.iter().flat_map(|secrets| &secrets.0).map(Row::of).collect();
    let mut report = Report { keys: Vec::new(), closed: Vec::new(), not_looked_into: Vec::new() };
    if places.are_some() {
        let opener = opener.opener(cluster)?.unwrap_or_else(|| Opener::Keys(keys(secrets.as_ref())));
        let needs = Needs::of(places.look(&connection)?, places.namespace.as_deref(), &opener)?;
        put_in(&mut rows, &needs);
        report.closed = needs.items.into_iter().filter(|need| need.closed.is_some()).collect();
        report.not_looked_into = needs.unread;
    }
    report.keys = rows;
    match output {
        ListForm::Text => output::print(&report.text(Timestamp::now())),
        ListForm::Json => output::print(&output::json(&report)?),
    }
}

/// Returns the keys that can be used.
fn keys(secrets: Option<&KeySecrets>) -> Vec<UnsealingKey> {
    let secrets = secrets.into_iter().flat_map(|secrets| &secrets.0);
    secrets.filter(|secret| secret.checked().is_ok()).filter_map(|secret| secret.key().ok()).collect()
}

/// Says of each key what needs it; keys that nobody has read get rows of their own.
fn put_in(rows: &mut Vec<Row>, needs: &Needs) {
    for need in &needs.items {
        if let Some(key) = need.key.as_ref().filter(|key| rows.iter().all(|row| row.fingerprint.as_ref() != Some(key)))
        {
            let (name, fingerprint) = (need.key_name.clone(), Some(key.clone()));
            rows.push(Row { name, fingerprint, ..Row::default() });
        }
    }
    for row in rows {
        row.needed_by = row.fingerprint.as_ref().map(|key| needs.of_key(key).cloned().collect());
    }
}

impl Row {
    fn of(secret: &KeySecret) -> Self {
        let (certificate, checked) = (secret.certificate().ok(), secret.checked());
        Self {
            name: Some(secret.name.clone()),
            label: secret.label().map(str::to_owned),
            opens: Some(secret.is_active() && checked.is_ok()),
            problem: checked.as_ref().err().map(|error| error.to_string()),
            fingerprint: checked.ok(),
            created: secret.created,
            not_before: certificate.as_ref().map(|certificate| certificate.not_before),
            not_after: certificate.as_ref().map(|certificate| certificate.not_after),
            needed_by: None,
        }
    }

    fn cells(&self, now: Timestamp) -> [String; 6] {
        let label = match (&self.label, &self.name) {
            (Some(label), _) => label.clone(),
            (None, Some(_)) if self.opens.is_some() => "-".to_owned(),
            (None, _) => "?".to_owned(),
        };
        let valid = self.not_after.map(|end| {
            let day = end.strftime("%Y-%m-%d").to_string();
            if end < now { format!("{day} (over)") } else { day }
        });
        let needed = self.needed_by.as_ref().map(|needs| needs.len().to_string());
        [
            self.name.as_deref().map_or_else(|| "?".to_owned(), printable),
            printable(&label),
            self.not_before.map_or_else(|| "?".to_owned(), |since| age(since, now)),
            valid.unwrap_or_else(|| "?".to_owned()),
            needed.unwrap_or_default(),
            self.fingerprint.clone().unwrap_or_else(|| "?".to_owned()),
        ]
    }
}

impl Report {
    /// Writes it for people: a table of the keys, then what needs each of them, then what is wrong.
    fn text(&self, now: Timestamp) -> String {
        let titles = ["NAME", "LABEL", "AGE", "VALID UNTIL", "ITEMS", "FINGERPRINT"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(titles).chain(self.keys.iter().map(|row| row.cells(now))).collect();
        let is_asked = self.keys.iter().any(|row| row.needed_by.is_some());
        let shown = |column: usize| column != ITEMS || is_asked;
        let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().enumerate().filter(|(column, _)| shown(*column));
            let cells: Vec<_> = cells.map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
        for row in &self.keys {
            if let (Some(name), Some(problem)) = (&row.name, &row.problem) {
                let _ = writeln!(text, "\n{} is no key: {problem}", printable(name));
            }
            let needs = row.needed_by.as_deref().unwrap_or_default();
            let key = row.name.as_ref().or(row.fingerprint.as_ref()).map_or("", String::as_str);
            list(&mut text, &format!("{} is needed by", printable(key)), needs);
        }
        list(&mut text, "no key opens", &self.closed);
        list(&mut text, "not looked into", &self.not_looked_into);
        text
    }
}

/// Writes a title and what is below it, if there is anything.
fn list(text: &mut String, title: &str, entries: &[impl std::fmt::Display]) {
    if !entries.is_empty() {
        let _ = writeln!(text, "\n{title}");
    }
    for entry in entries {
        let _ = writeln!(text, "  {entry}");
    }
}

const ITEMS: usize = 4;

/// Writes how long ago something was, in the largest unit, as kubectl does.
fn age(since: Timestamp, now: Timestamp) -> String {
    let span = (now - since).round(SpanRound::new().smallest(Unit::Second).largest(Unit::Hour)).unwrap_or_default();
    match (span.get_hours(), span.get_minutes(), span.get_seconds()) {
        (hours, _, _) if hours >= 48 => format!("{}d", hours / 24),
        (hours, _, _) if hours > 0 => format!("{hours}h"),
        (_, minutes, _) if minutes > 0 => format!("{minutes}m"),
        (_, _, seconds) => format!("{}s", seconds.max(0)),
    }
}
