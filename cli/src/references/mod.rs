//! References into secret stores, found in the files of a tree; what is one decides `waxwing_formats::reference`.
//!
//! `mod.rs` goes through the files and the values in them, `report` holds what was found and writes it, `check` holds that against the
//! backends in the same files, without asking anyone. `stores` says where the user is led, `asking` asks there, `fault` says why not: `online` asks
//! whether secrets are there, `environment` for the values that a command gets. What a value is apart from its references is never shown, since it may be a secret in the clear.

mod asking;
mod check;
mod environment;
mod fault;
mod online;
mod report;
mod stores;

use std::path::{Path, PathBuf};

use serde_json::Value;
use waxwing::api::Secrets;
use waxwing::reconcile::foreign_stores;
use waxwing::source::{Files, RepoPath};
use waxwing_formats::reference::{Content, ForeignStores, Reference, decoded};
use waxwing_formats::sops::Store;
use waxwing_formats::{KeyPath, Segment, yaml};

use crate::cluster::ContextArgs;
use crate::error::{Error, with_causes};
use crate::tree::Tree;
use crate::verify::{Place, is_kustomization};
use check::Backend;
pub(crate) use environment::Variables;
pub(crate) use report::Report;
use report::{Entry, What};
use stores::Store as Leading;
pub(crate) use stores::UserStores;

/// Lists the references in the files at or below some paths.
///
/// # Errors
/// Fails when a path can't be read.
pub(crate) fn list(paths: &[PathBuf]) -> Result<Report, Error> {
    let mut report = Report::default();
    for path in paths {
        let tree = Tree::at(path)?;
        let is_named = !path.is_dir();
        for file in &tree.files {
            let Some(look) = Look::of(file, is_named) else { continue };
            report.files += 1;
            match tree.folder.bytes(file) {
                Ok(blob) => look_into(file, &blob.bytes, look, &mut report),
                Err(error) => report.not_read(Place::file(file), error.to_string()),
            }
        }
    }
    Ok(report)
}

/// Finds the backends in the files at or below some paths, for references to be resolved as the user.
///
/// # Errors
/// Fails when a path can't be read.
pub(crate) fn stores_in(paths: &[PathBuf], context: &ContextArgs) -> Result<UserStores, Error> {
    let mut found = Vec::new();
    for path in paths {
        let tree = Tree::at(path)?;
        for file in tree.files.iter().filter(|file| matches!(Look::of(file, !path.is_dir()), Some(Look::Manifests))) {
            let Ok(blob) = tree.folder.bytes(file) else { continue };
            if blob.bytes.windows(BACKEND.len()).any(|part| part == BACKEND) {
                let documents = yaml::manifests(&blob.bytes).unwrap_or_default();
                found.extend(documents.iter().filter_map(|document| Leading::of(&document.value)));
            }
        }
    }
    Ok(UserStores::new(found, context.clone()))
}

/// What stands in each file with a backend.
const BACKEND: &[u8] = b"SecretBackend";

/// How a file is looked into.
#[derive(Clone, Copy)]
enum Look {
    /// As manifests: each value.
    Manifests,
    /// Line by line, as an env file has values.
    Lines,
    /// As one text.
    Whole,
}

impl Look {
    /// Says how a file is looked into by its name; one that is named itself always is.
    fn of(file: &RepoPath, is_named: bool) -> Option<Self> {
        match Store::from_path(Path::new(file.as_str())) {
            Store::Yaml | Store::Json => Some(Self::Manifests),
            _ if is_kustomization(file) => Some(Self::Manifests),
            Store::Dotenv => Some(Self::Lines),
            Store::Ini | Store::Binary => is_named.then_some(Self::Whole),
        }
    }
}

fn look_into(file: &RepoPath, bytes: &[u8], look: Look, report: &mut Report) {
    let text = String::from_utf8_lossy(bytes);
    match look {
        Look::Manifests => match yaml::manifests(bytes) {
            Ok(documents) => {
                let count = documents.iter().map(|document| document.index + 1).max().unwrap_or_default();
                for document in &documents {
                    let place = |path: &KeyPath| Place::value(file, (document.index, count), path);
                    report.backends.extend(Backend::of(&document.value, place(&KeyPath::root())));
                    report.stores.extend(Leading::of(&document.value));
                    report.foreign.extend(foreign_of(&document.value));
                    in_value(&document.value, &KeyPath::root(), &place, report);
                }
            }
            // A template that has none is of no interest.
            Err(error) if has_any(&text) => report.not_read(Place::file(file), with_causes(&error)),
            Err(_) => {}
        },
        Look::Lines => {
            for line in text.lines().filter(|line| !line.starts_with('#')) {
                let (key, value) = line.split_once('=').unwrap_or(("", line));
                in_text(value, false, &Place::value(file, (0, 1), &KeyPath::root().key(key)), report);
            }
        }
        Look::Whole => in_text(&text, false, &Place::file(file), report),
    }
}

/// Returns which references of other tools a Sync has read, with its namespace.
fn foreign_of(document: &Value) -> Option<(Option<String>, ForeignStores)> {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str);
    let is_sync = text("/kind") == Some("Sync") && text("/apiVersion")?.starts_with("waxwing.dev/");
    let secrets = document.pointer("/spec/secrets").filter(|_| is_sync)?;
    let secrets: Secrets = serde_json::from_value(secrets.clone()).ok()?;
    Some((text("/metadata/namespace").map(str::to_owned), foreign_stores(&secrets)))
}

fn has_any(text: &str) -> bool {
    Reference::find(text).iter().any(|piece| piece.content != Content::Text)
}

fn in_value(value: &Value, path: &KeyPath, place: &dyn Fn(&KeyPath) -> Place, report: &mut Report) {
    match value {
        Value::String(text) => match Some(text).filter(|_| is_data(path)).and_then(|text| decoded(text)) {
            Some(text) => in_text(&text, true, &place(path), report),
            None => in_text(text, false, &place(path), report),
        },
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| in_value(item, &path.index(index), place, report));
        }
        Value::Object(map) => map.iter().for_each(|(key, value)| in_value(value, &path.key(key), place, report)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Tells whether a value stands where a Secret has base64, also in a patch that does not name the kind.
fn is_data(path: &KeyPath) -> bool {
    matches!(path.segments(), [.., Segment::Key(field), Segment::Key(_)] if field == "data")
}

fn in_text(text: &str, is_base64: bool, place: &Place, report: &mut Report) {
    let mut offset = 0;
    for piece in Reference::find(text) {
        let foreign = match &piece.content {
            Content::Foreign(foreign) => Some(foreign.clone()),
            _ => None,
        };
        let entry =
            |what| Entry { place: place.clone(), is_base64, offset, what, refused: None, in_store: None, foreign };
        report.found.extend(What::of(piece.content).map(entry));
        offset += piece.raw.len();
    }
}
