//! Kustomizations: what they name, checked and collected before Kustomize starts.
//!
//! A kustomization is parsed, every path in it is resolved inside the repository, and what is written for Kustomize is
//! made anew from what was understood: local paths only, patches inline with handles, nothing that runs a program or
//! reads the network. So Kustomize sees exactly what was checked. Which fields there are says `schema`.

use std::sync::Arc;

use serde_json::Value;
use waxwing_formats::sops::Store;
use waxwing_formats::{KeyPath, yaml};
use waxwing_plan::Location;

use super::documents::location;
use super::error::{Fault, Place};
use super::reader::{Reader, store_of};
use super::{schema, staging};
use crate::source::{Found, Kind, PathError, RepoPath, TreeError};

/// The names of a kustomization file (`api/konfig/general.go`).
pub(super) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

impl Reader<'_> {
    /// Returns the kustomization file of a folder, if it has one.
    pub(super) fn kustomization_in(&mut self, folder: &RepoPath) -> Option<RepoPath> {
        let files = NAMES.iter().filter_map(|name| folder.child(name).ok());
        let mut found: Vec<RepoPath> = files.filter(|path| self.is_file(path)).collect();
        if let [first, second, ..] = found.as_slice() {
            let name = |path: &RepoPath| path.file_name().unwrap_or_default().to_owned();
            let fault = Fault::TwoKustomizations(name(first), name(second));
            self.refuse(Place::file(folder.to_string()), fault);
        }
        found.truncate(1);
        found.pop()
    }

    /// Reads a kustomization and everything that it names, and stages all of it.
    pub(super) fn kustomization(&mut self, file: &RepoPath) {
        let Some(folder) = file.parent() else { return };
        if !self.kustomizations.insert(file.clone()) {
            return;
        }
        let Some((location, value)) = self.kustomization_value(file) else { return };
        self.check_strings(&Place::from(&location), "", &value);
        self.folders.push(folder.clone());
        let read = Kustomization { reader: self, folder, location }.checked(&value);
        self.folders.pop();
        self.stage(staging::in_repository(file), file, staging::as_yaml(&[read]));
    }

    fn kustomization_value(&mut self, file: &RepoPath) -> Option<(Location, Value)> {
        if self.sealed(file, Store::Yaml)?.is_some() {
            self.refuse(Place::file(file.as_str()), Fault::SealedNotAllowed { what: "a kustomization" });
            return None;
        }
        let contents = self.file(file)?;
        let mut documents = match yaml::manifests(&contents.bytes) {
            Ok(documents) => documents,
            Err(error) => {
                self.refuse(Place::file(file.as_str()).line(error.line), error);
                return None;
            }
        };
        match (documents.pop(), documents.is_empty()) {
            (Some(yaml::ManifestDocument { index, line, value: value @ Value::Object(_) }), true) => {
                Some((location(file, index, line), value))
            }
            _ => {
                self.refuse(Place::file(file.as_str()), Fault::NotAKustomization);
                None
            }
        }
    }
}

/// One kustomization that is being read.
pub(super) struct Kustomization<'r, 'a> {
    pub(super) reader: &'r mut Reader<'a>,
    pub(super) folder: RepoPath,
    pub(super) location: Location,
}

impl Kustomization<'_, '_> {
    /// Returns what Kustomize gets to read: the known fields, with what they name staged.
    fn checked(&mut self, value: &Value) -> Value {
        let mut wrong = Vec::new();
        let mut known = schema::known(value, &KeyPath::root(), &schema::KUSTOMIZATION, &mut wrong).unwrap_or_default();
        for (at, fault) in wrong {
            self.refuse(&at, fault);
        }
        for (field, value) in known.as_object_mut().into_iter().flatten() {
            self.field(field, &KeyPath::root().key(field), value);
        }
        known
    }

    fn field(&mut self, field: &str, at: &KeyPath, value: &mut Value) {
        match field {
            "resources" | "bases" => self.texts(value, at, Self::resource),
            "components" => self.texts(value, at, Self::component),
            "crds" | "configurations" => self.texts(value, at, |this, entry, at| drop(this.plain_file(entry, at))),
            "openapi" => self.path_of(value, at, |this, entry, at| drop(this.plain_file(entry, at))),
            "replacements" => self.items(value, at, Self::replacement),
            "patches" | "patchesJson6902" => self.items(value, at, Self::patch),
            "patchesStrategicMerge" => self.texts(value, at, Self::strategic_merge_patch),
            "configMapGenerator" => self.items(value, at, |this, item, at| this.generator(item, at, false)),
            "secretGenerator" => self.items(value, at, |this, item, at| this.generator(item, at, true)),
            // Without paths, and known.
            _ => {}
        }
    }

    /// Notes a fault at a key path of this kustomization.
    pub(super) fn refuse(&mut self, at: &KeyPath, fault: impl Into<Fault>) {
        let place = Place { line: None, document: None, ..Place::from(&self.location).at(at.to_string()) };
        self.reader.refuse(place, fault);
    }

    /// Reads the items of a list.
    pub(super) fn items(
        &mut self,
        value: &mut Value,
        at: &KeyPath,
        mut read: impl FnMut(&mut Self, &mut Value, &KeyPath),
    ) {
        for (index, item) in value.as_array_mut().into_iter().flatten().enumerate() {
            // What was refused already is null.
            if !item.is_null() {
                read(self, item, &at.index(index));
            }
        }
    }

    /// Reads the strings of a list.
    pub(super) fn texts(
        &mut self,
        value: &mut Value,
        at: &KeyPath,
        mut read: impl FnMut(&mut Self, &mut String, &KeyPath),
    ) {
        self.items(value, at, |this, item, at| {
            if let Value::String(text) = item {
                read(this, text, at);
            }
        });
    }

    /// Reads the entry under `path` of a mapping, if it has one.
    pub(super) fn path_of(
        &mut self,
        value: &mut Value,
        at: &KeyPath,
        read: impl FnOnce(&mut Self, &mut String, &KeyPath),
    ) {
        match value.get_mut("path") {
            Some(Value::String(path)) if !path.is_empty() => read(self, path, &at.key("path")),
            _ => {}
        }
    }

    fn resource(&mut self, entry: &mut String, at: &KeyPath) {
        let Some(Found { kind, path }) = self.resolve(entry, at) else { return };
        if kind == Kind::Folder {
            return self.base(&path, entry, at);
        }
        let Some(path) = self.ordinary(path, entry, at) else { return };
        let documents: Vec<Value> = self.reader.documents(&path).into_iter().map(|document| document.value).collect();
        let staged = staging::in_repository(&path);
        *entry = self.relative(&staged);
        self.reader.stage(staged, &path, staging::as_yaml(&documents));
    }

    fn component(&mut self, entry: &mut String, at: &KeyPath) {
        let Some(Found { kind, path }) = self.resolve(entry, at) else { return };
        match kind {
            Kind::Folder => self.base(&path, entry, at),
            _ => self.refuse(at, Fault::WrongType { expected: "a folder" }),
        }
    }

    fn base(&mut self, folder: &RepoPath, entry: &mut String, at: &KeyPath) {
        if self.reader.folders.contains(folder) {
            return self.refuse(at, Fault::Cycle { entry: entry.clone() });
        }
        match self.reader.kustomization_in(folder) {
            Some(file) => {
                self.reader.kustomization(&file);
                *entry = self.relative(&staging::in_repository(folder));
            }
            None => self.refuse(at, Fault::NoKustomization { entry: entry.clone() }),
        }
    }

    /// Stages a file as it is, one that has no secrets by its nature, and returns its path and bytes.
    pub(super) fn plain_file(&mut self, entry: &mut String, at: &KeyPath) -> Option<(RepoPath, Arc<[u8]>)> {
        let path = self.resolve_file(entry, at)?;
        if self.reader.sealed(&path, store_of(&path))?.is_some() {
            self.refuse(at, Fault::SealedNotAllowed { what: "the file" });
            return None;
        }
        let contents = self.reader.file(&path)?;
        self.reader.refuse_stray_tokens(&path, &contents.bytes);
        let staged = self.reader.stage_in("plain", &path, contents.bytes.to_vec());
        *entry = self.relative(&staged);
        Some((path, contents.bytes))
    }

    /// Resolves an entry to something that exists in the repository.
    fn resolve(&mut self, entry: &str, at: &KeyPath) -> Option<Found> {
        let found = resolve(&self.folder, entry).and_then(|path| match self.reader.files.find(&path) {
            Ok(found) => Ok(found),
            Err(TreeError::NotFound(_) | TreeError::NotAFolder(_)) => {
                Err(Fault::MissingEntry { entry: entry.to_owned() })
            }
            Err(error) => Err(error.into()),
        });
        match found {
            Ok(found) => Some(found),
            Err(fault) => {
                self.refuse(at, fault);
                None
            }
        }
    }

    /// Resolves an entry to a file.
    pub(super) fn resolve_file(&mut self, entry: &str, at: &KeyPath) -> Option<RepoPath> {
        let found = self.resolve(entry, at)?;
        if found.kind == Kind::Folder {
            self.refuse(at, Fault::FolderEntry { entry: entry.to_owned() });
            return None;
        }
        self.ordinary(found.path, entry, at)
    }

    /// Refuses the file of a kustomization where an ordinary file is meant: it is read as a kustomization or not at all.
    fn ordinary(&mut self, path: RepoPath, entry: &str, at: &KeyPath) -> Option<RepoPath> {
        if path.file_name().is_some_and(|name| NAMES.contains(&name)) {
            self.refuse(at, Fault::KustomizationAsFile { entry: entry.to_owned() });
            return None;
        }
        Some(path)
    }

    /// Returns the path of something staged as this kustomization has to name it.
    pub(super) fn relative(&self, staged: &str) -> String {
        staging::relative(&staging::in_repository(&self.folder), staged)
    }
}

fn resolve(folder: &RepoPath, entry: &str) -> Result<RepoPath, Fault> {
    let named = || entry.to_owned();
    if is_remote(entry) {
        return Err(Fault::RemoteEntry { entry: named() });
    }
    folder.join(entry).map_err(|error| match error {
        PathError::Absolute(_) => Fault::AbsoluteEntry { entry: named() },
        PathError::Leaves(_) => Fault::LeavesRepository { entry: named() },
        PathError::Part(_) | PathError::TooLong => Fault::MissingEntry { entry: named() },
    })
}

/// Tells whether Kustomize would take an entry for an URL or a Git address (`api/internal/git/repospec.go`), or could
/// in another version of it.
fn is_remote(entry: &str) -> bool {
    let lower = entry.to_ascii_lowercase();
    let first = lower.split('/').next().unwrap_or_default();
    lower.contains("://")
        || lower.contains("?ref=")
        || lower.starts_with("git::")
        || first.contains('@')
        || first.contains(':')
        || ["github.com", "gitlab.com", "bitbucket.org"].contains(&first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_that_kustomize_would_fetch_are_told_from_paths() {
        let remote = [
            "https://example.com/base",
            "HTTP://example.com/x.yaml",
            "ssh://git@example.com/org/repo",
            "git::x/y",
            "git@example.com:org/repo",
            "github.com/org/repo",
            "GitHub.com/org/repo//base",
            "github.com:org/repo",
            "file:///etc",
            "org@host/repo",
            "base?ref=main",
        ];
        let local = ["base", "./base", "../github.com/base", "a b", "x.git/base", "./github.com/org", "dir/a@b"];
        assert_eq!(remote.iter().filter(|entry| !is_remote(entry)).collect::<Vec<_>>(), Vec::<&&str>::new());
        assert_eq!(local.iter().filter(|entry| is_remote(entry)).collect::<Vec<_>>(), Vec::<&&str>::new());
    }
}
