//! Kustomizations: what they name, checked and collected before Kustomize starts.
//!
//! A kustomization is parsed, every path in it is resolved inside the repository, and what is written for Kustomize is
//! made anew from what was understood: local paths only, patches inline with handles, nothing that runs a program or
//! reads the network. So Kustomize sees exactly what was checked. The fields are those of Kustomize 5.8
//! (`api/types/kustomization.go`).

use serde_json::{Map, Value};
use waxwing_formats::sops::Store;
use waxwing_formats::{KeyPath, yaml};
use waxwing_plan::Location;

use super::documents::location;
use super::error::{Fault, Place};
use super::reader::{Reader, store_of};
use super::staging;
use crate::source::{Found, Kind, PathError, RepoPath, TreeError};

/// The names of a kustomization file (`api/konfig/general.go`).
pub(super) const NAMES: [&str; 3] = ["kustomization.yaml", "kustomization.yml", "Kustomization"];

/// Fields without paths, kept as they are.
const PLAIN_FIELDS: &[&str] = &[
    "apiVersion",
    "kind",
    "metadata",
    "namePrefix",
    "nameSuffix",
    "namespace",
    "commonLabels",
    "labels",
    "commonAnnotations",
    "images",
    "imageTags",
    "replicas",
    "vars",
    "sortOptions",
    "generatorOptions",
    "buildMetadata",
];
/// Fields that run programs, expand charts or take plugins.
const REFUSED_FIELDS: &[&str] =
    &["helmCharts", "helmGlobals", "helmChartInflationGenerator", "generators", "transformers", "validators"];

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
        let staged = staging::in_repository(file);
        let Some(folder) = file.parent() else { return };
        if self.staged.contains_key(&staged) {
            return;
        }
        let Some((location, mut fields)) = self.kustomization_fields(file) else { return };
        self.check_strings(&Place::from(&location), "", &Value::Object(fields.clone()));
        self.staged.insert(staged.clone(), Vec::new());
        self.folders.push(folder.clone());
        Kustomization { reader: self, folder, location }.fields(&mut fields);
        self.folders.pop();
        self.staged.insert(staged, staging::as_yaml(&[Value::Object(fields)]));
    }

    fn kustomization_fields(&mut self, file: &RepoPath) -> Option<(Location, Map<String, Value>)> {
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
            (Some(yaml::ManifestDocument { index, line, value: Value::Object(fields) }), true) => {
                Some((location(file, index, line), fields))
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
    fn fields(&mut self, fields: &mut Map<String, Value>) {
        for (field, value) in fields {
            self.field(field, &KeyPath::root().key(field), value);
        }
    }

    fn field(&mut self, field: &str, at: &KeyPath, value: &mut Value) {
        match field {
            _ if value.is_null() => {}
            "resources" | "bases" => self.texts(value, at, Self::resource),
            "components" => self.texts(value, at, Self::component),
            "crds" | "configurations" => self.texts(value, at, Self::plain_file),
            "openapi" => self.path_of(value, at, Self::plain_file),
            "replacements" => self.items(value, at, |this, item, at| this.path_of(item, at, Self::plain_file)),
            "patches" | "patchesJson6902" => self.items(value, at, Self::patch),
            "patchesStrategicMerge" => self.texts(value, at, Self::strategic_merge_patch),
            "configMapGenerator" => self.items(value, at, |this, item, at| this.generator(item, at, false)),
            "secretGenerator" => self.items(value, at, |this, item, at| this.generator(item, at, true)),
            _ if PLAIN_FIELDS.contains(&field) => {}
            _ if REFUSED_FIELDS.contains(&field) => self.refuse(at, Fault::FieldNotAllowed { field: field.to_owned() }),
            _ => self.refuse(at, Fault::UnknownField { field: field.to_owned() }),
        }
    }

    /// Notes a fault at a key path of this kustomization.
    pub(super) fn refuse(&mut self, at: &KeyPath, fault: impl Into<Fault>) {
        let place = Place { line: None, document: None, ..Place::from(&self.location).at(at.to_string()) };
        self.reader.refuse(place, fault);
    }

    pub(super) fn items(
        &mut self,
        value: &mut Value,
        at: &KeyPath,
        mut read: impl FnMut(&mut Self, &mut Value, &KeyPath),
    ) {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    read(self, item, &at.index(index));
                }
            }
            _ => self.refuse(at, Fault::WrongType { expected: "a list" }),
        }
    }

    pub(super) fn texts(
        &mut self,
        value: &mut Value,
        at: &KeyPath,
        mut read: impl FnMut(&mut Self, &mut String, &KeyPath),
    ) {
        self.items(value, at, |this, item, at| match item {
            Value::String(text) => read(this, text, at),
            _ => this.refuse(at, Fault::WrongType { expected: "a string" }),
        });
    }

    fn path_of(&mut self, value: &mut Value, at: &KeyPath, read: impl FnOnce(&mut Self, &mut String, &KeyPath)) {
        match value.get_mut("path") {
            None | Some(Value::Null) => {}
            Some(Value::String(path)) if path.is_empty() => {}
            Some(Value::String(path)) => read(self, path, &at.key("path")),
            Some(_) => self.refuse(&at.key("path"), Fault::WrongType { expected: "a string" }),
        }
    }

    fn resource(&mut self, entry: &mut String, at: &KeyPath) {
        let Some(Found { kind, path }) = self.resolve(entry, at) else { return };
        if kind == Kind::Folder {
            return self.base(&path, entry, at);
        }
        let documents: Vec<Value> = self.reader.documents(&path).into_iter().map(|document| document.value).collect();
        let staged = staging::in_repository(&path);
        *entry = self.relative(&staged);
        self.reader.staged.insert(staged, staging::as_yaml(&documents));
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

    /// Stages a file as it is: one that has no secrets by its nature.
    fn plain_file(&mut self, entry: &mut String, at: &KeyPath) {
        let Some(path) = self.resolve_file(entry, at) else { return };
        let Some(sealed) = self.reader.sealed(&path, store_of(&path)).map(|file| file.is_some()) else {
            return;
        };
        if sealed {
            return self.refuse(at, Fault::SealedNotAllowed { what: "the file" });
        }
        let Some(contents) = self.reader.file(&path) else { return };
        self.reader.refuse_stray_tokens(&path, &contents.bytes);
        let staged = staging::in_repository(&path);
        *entry = self.relative(&staged);
        self.reader.staged.insert(staged, contents.bytes.to_vec());
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
        Some(found.path)
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
