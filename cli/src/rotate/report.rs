//! What a rotation does, would do or has done, for people and as JSON.

use std::fmt::Write;

use serde::Serialize;
use waxwing_plan::diff::printable;

use crate::error::with_causes;
use crate::sealed::Change;
use crate::verify::counted;

/// What becomes of each sealed file.
#[derive(Serialize)]
pub(crate) struct Report {
    /// In the order of their paths.
    files: Vec<Entry>,
    /// How many there are of each state.
    planned: usize,
    done: usize,
    left: usize,
    failed: usize,
}

/// What becomes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Entry {
    /// The path from the root of the repository.
    file: String,
    pub(super) state: State,
    /// Nothing for a file that is left as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) action: Option<Action>,
    /// Who comes and who goes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
    /// Why it is left, or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Everything is sealed anew with a new data key.
    NewDataKey,
    /// The data key is wrapped for others.
    Recipients,
    /// So many items of SealedSecrets, of so many, are sealed again with the newest sealing key.
    NewestKey { items: usize, of: usize },
}

impl Serialize for Action {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::NewDataKey => "new-data-key",
            Self::Recipients => "recipients",
            Self::NewestKey { .. } => "newest-key",
        })
    }
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// It is to be rotated.
    Planned,
    /// It was rotated.
    Done,
    /// It stays as it is.
    Left,
    /// It could not be rotated, and is as it was.
    Failed,
}

impl Entry {
    pub(super) fn new(file: &str, action: Option<Action>, changes: Vec<Change>, state: State) -> Self {
        Self { file: file.to_owned(), state, action, changes, reason: None }
    }

    pub(super) fn because(self, reason: String) -> Self {
        Self { reason: Some(reason), ..self }
    }

    pub(super) fn done(self) -> Self {
        Self { state: State::Done, ..self }
    }

    pub(super) fn failed(file: &str, error: &dyn std::error::Error) -> Self {
        Self::new(file, None, Vec::new(), State::Failed).because(with_causes(error))
    }

    fn text(&self) -> String {
        let Self { file, state, action, changes, reason } = self;
        let items = |verb, items, of| format!("{verb} {items} of {} sealed with the newest key", counted(of, "item"));
        let what = match (state, *action) {
            (State::Planned, Some(Action::NewestKey { items: count, of })) => &items("gets", count, of),
            (State::Done, Some(Action::NewestKey { items: count, of })) => &items("has", count, of),
            (State::Planned, Some(Action::NewDataKey)) => "gets a new data key",
            (State::Planned, _) => "gets other recipients",
            (State::Done, Some(Action::NewDataKey)) => "has a new data key",
            (State::Done, _) => "has other recipients",
            (State::Left, _) => "is left",
            (State::Failed, _) => "failed, and is as it was",
        };
        let reason = reason.as_ref().map(|reason| format!(": {}", printable(reason))).unwrap_or_default();
        let mut text = format!("{} {what}{reason}\n", printable(file));
        let several = changes.iter().any(|change| change.group > 1);
        for change in changes {
            let group = if several { format!("group {}: ", change.group) } else { String::new() };
            let _ = writeln!(text, "  {group}{change}");
        }
        text
    }
}

impl Report {
    pub(super) fn new(mut files: Vec<Entry>) -> Self {
        files.sort_by(|one, other| one.file.cmp(&other.file));
        let count = |state| files.iter().filter(|entry| entry.state == state).count();
        let (planned, done) = (count(State::Planned), count(State::Done));
        Self { planned, done, left: count(State::Left), failed: count(State::Failed), files }
    }

    /// Tells whether there is something to rotate.
    pub(crate) fn has_plans(&self) -> bool {
        self.planned > 0
    }

    /// Writes it for people. What failed is told elsewhere, with what to do about it.
    pub(crate) fn text(&self) -> String {
        let shown = self.files.iter().filter(|entry| entry.state != State::Failed);
        let mut text: String = shown.map(Entry::text).collect();
        let states =
            [("to rotate", self.planned), ("rotated", self.done), ("left", self.left), ("failed", self.failed)];
        let counts: Vec<_> =
            states.iter().filter(|(_, count)| *count > 0).map(|(state, count)| format!("{count} {state}")).collect();
        match counts.is_empty() {
            true => text.push_str("no sealed files\n"),
            false => {
                let _ = writeln!(text, "{}", counts.join(", "));
            }
        }
        text
    }
}
