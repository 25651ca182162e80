//! Compares two objects down to their leaves.
//!
//! Maps are compared by key. Lists are compared by the `name` of their items where every item on both sides has one
//! of its own, as the lists that Kubernetes merges have, and by index elsewhere.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{FieldChange, FieldDiff, Shown, redact};
use crate::Manifest;

/// Returns the leaves that differ, in the order of the new object, with what is gone behind what is still there.
pub(super) fn fields(old: Option<&Manifest>, new: Option<&Manifest>) -> Vec<FieldDiff> {
    let mut walk = Walk { old, new, found: Vec::new() };
    walk.compare(old.map(|m| &m.body), new.map(|m| &m.body), &Place::default());
    walk.found
}

/// Where a value stands: an index can differ between the sides.
#[derive(Clone, Default)]
struct Place {
    old: String,
    new: String,
    path: String,
}

impl Place {
    fn key(&self, key: &str) -> Self {
        let token = key.replace('~', "~0").replace('/', "~1");
        let plain = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        let path = match (plain, self.path.as_str()) {
            (true, "") => key.to_owned(),
            (true, path) => format!("{path}.{key}"),
            (false, path) => format!("{path}[{}]", Value::from(key)),
        };
        Self { old: format!("{}/{token}", self.old), new: format!("{}/{token}", self.new), path }
    }

    fn item(&self, old: Option<usize>, new: Option<usize>, name: &str) -> Self {
        let step =
            |pointer: &str, index: Option<usize>| index.map(|index| format!("{pointer}/{index}")).unwrap_or_default();
        Self { old: step(&self.old, old), new: step(&self.new, new), path: format!("{}[{name}]", self.path) }
    }
}

struct Walk<'a> {
    old: Option<&'a Manifest>,
    new: Option<&'a Manifest>,
    found: Vec<FieldDiff>,
}

impl Walk<'_> {
    fn compare(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        match (old, new) {
            (old, new) if old == new => {}
            (Some(Value::Object(old)), Some(Value::Object(new))) => self.maps(old, new, place),
            (Some(Value::Array(old)), Some(Value::Array(new))) => self.lists(old, new, place),
            (None, Some(Value::Object(new))) if !new.is_empty() => self.maps(&Map::new(), new, place),
            (Some(Value::Object(old)), None) if !old.is_empty() => self.maps(old, &Map::new(), place),
            (None, Some(Value::Array(new))) if !new.is_empty() => self.lists(&[], new, place),
            (Some(Value::Array(old)), None) if !old.is_empty() => self.lists(old, &[], place),
            (Some(old), Some(new)) if holds_more(old) || holds_more(new) => {
                self.compare(Some(old), None, place);
                self.compare(None, Some(new), place);
            }
            (old, new) => self.leaf(old, new, place),
        }
    }

    fn maps(&mut self, old: &Map<String, Value>, new: &Map<String, Value>, place: &Place) {
        for (key, value) in new {
            self.compare(old.get(key), Some(value), &place.key(key));
        }
        for (key, value) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
            self.compare(Some(value), None, &place.key(key));
        }
    }

    fn lists(&mut self, old: &[Value], new: &[Value], place: &Place) {
        match (names(old), names(new)) {
            (Some(old_names), Some(new_names)) => self.named(Named(old, old_names), Named(new, new_names), place),
            _ => {
                for index in 0..old.len().max(new.len()) {
                    let (old, new) = (old.get(index), new.get(index));
                    let at = place.item(old.map(|_| index), new.map(|_| index), &index.to_string());
                    self.compare(old, new, &at);
                }
            }
        }
    }

    fn named(&mut self, old: Named<'_>, new: Named<'_>, place: &Place) {
        let kept = |names: &Vec<&str>, others: &Vec<&str>| {
            names.iter().filter(|name| others.contains(name)).map(|name| (*name).to_owned()).collect::<Vec<_>>()
        };
        let (before, after) = (kept(&old.1, &new.1), kept(&new.1, &old.1));
        if before != after {
            self.push(FieldChange::Moved, Some(order(&before)), Some(order(&after)), place);
        }
        let (old_at, new_at) = (old.places(), new.places());
        for (index, name) in new.1.iter().enumerate() {
            let before = old_at.get(name).copied();
            let at = place.item(before, Some(index), name);
            self.compare(before.and_then(|index| old.0.get(index)), new.0.get(index), &at);
        }
        for (index, name) in old.1.iter().enumerate().filter(|(_, name)| !new_at.contains_key(*name)) {
            self.compare(old.0.get(index), None, &place.item(Some(index), None, name));
        }
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>, place: &Place) {
        let change = match (old, new) {
            (None, _) => FieldChange::Added,
            (_, None) => FieldChange::Removed,
            _ => FieldChange::Changed,
        };
        let old = old.zip(self.old).map(|(value, manifest)| redact::leaf(manifest, &place.old, value));
        let new = new.zip(self.new).map(|(value, manifest)| redact::leaf(manifest, &place.new, value));
        self.push(change, old, new, place);
    }

    fn push(&mut self, change: FieldChange, old: Option<Shown>, new: Option<Shown>, place: &Place) {
        let pointer = if new.is_some() { &place.new } else { &place.old };
        self.found.push(FieldDiff {
            pointer: redact::text(pointer),
            path: redact::text(&place.path),
            change,
            old,
            new,
        });
    }
}

fn holds_more(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    }
}

fn order(names: &[String]) -> Shown {
    let names = Value::from(names);
    if redact::is_sealed(&names) { Shown::Sealed(vec![]) } else { Shown::Value(names) }
}

/// The items of a list and their names.
struct Named<'a>(&'a [Value], Vec<&'a str>);

impl<'a> Named<'a> {
    fn places(&self) -> BTreeMap<&'a str, usize> {
        self.1.iter().enumerate().map(|(index, name)| (*name, index)).collect()
    }
}

/// The names of the items, where each has one of its own.
fn names(items: &[Value]) -> Option<Vec<&str>> {
    let names: Vec<_> = items.iter().map(|item| item.get("name").and_then(Value::as_str)).collect::<Option<_>>()?;
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    (unique.len() == names.len()).then_some(names)
}
