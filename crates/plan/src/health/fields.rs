//! Reads single fields out of a live object, whatever shape it has.

use serde_json::Value;

/// A live object.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a>(pub(super) &'a Value);

/// One condition of an object.
#[derive(Clone, Copy)]
pub(super) struct Condition<'a> {
    kind: &'a str,
    pub(super) status: &'a str,
    reason: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// The string at a JSON pointer, if there is one and it isn't empty.
    pub(super) fn text(self, pointer: &str) -> Option<&'a str> {
        self.0.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub(super) fn number(self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer).and_then(Value::as_i64)
    }

    /// A count of the status, which the API server leaves out when it is 0.
    pub(super) fn count(self, field: &str) -> i64 {
        self.0.get("status").and_then(|status| status.get(field)).and_then(Value::as_i64).unwrap_or(0)
    }

    pub(super) fn flag(self, pointer: &str) -> bool {
        self.0.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn list(self, pointer: &str) -> impl Iterator<Item = Fields<'a>> {
        self.0.pointer(pointer).and_then(Value::as_array).into_iter().flatten().map(Fields)
    }

    pub(super) fn condition(self, kind: &str) -> Option<Condition<'a>> {
        let found = self.list("/status/conditions").find(|condition| condition.text("/type") == Some(kind))?;
        Some(Condition {
            kind: found.text("/type").unwrap_or_default(),
            status: found.text("/status").unwrap_or("Unknown"),
            reason: found.text("/reason").filter(|reason| is_reason(reason)),
        })
    }
}

impl Condition<'_> {
    pub(super) fn is_true(&self) -> bool {
        self.status == "True"
    }

    pub(super) fn is_false(&self) -> bool {
        self.status == "False"
    }

    pub(super) fn has_reason(&self, reason: &str) -> bool {
        self.reason == Some(reason)
    }

    /// Writes `Ready is False (ReasonOfIt)`.
    pub(super) fn describe(&self) -> String {
        let status = if matches!(self.status, "True" | "False") { self.status } else { "Unknown" };
        match self.reason {
            Some(reason) => format!("{} is {status} ({reason})", self.kind),
            None => format!("{} is {status}", self.kind),
        }
    }
}

/// Tells whether a text is a reason as the API defines it (`meta/v1` `Condition`), and not a sentence that could
/// quote something.
pub(super) fn is_reason(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
}
