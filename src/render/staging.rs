//! The private folder from which Kustomize reads: the closure, with handles.
//!
//! It has mode 0700, lies in memory where the system offers that, and goes away with the value that made it. Below it,
//! `repository/` has what stands at the same path in Git; the other rooms have what generators and other fields read, by
//! use, since one file may be used in more than one way.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::error::Fault;
use crate::source::RepoPath;

/// The room of what stands at the same path in Git.
const REPOSITORY: &str = "repository";
/// A file system in memory, on Linux.
const IN_MEMORY: &str = "/dev/shm";

/// The folder, while it exists.
pub(super) struct Staging(TempDir);

impl Staging {
    /// Makes the folder and writes all files into it: in memory if they fit there, else where temporary files go.
    pub(super) fn write(files: &BTreeMap<String, Vec<u8>>) -> Result<Self, Fault> {
        let in_memory = Self::write_below(Path::new(IN_MEMORY), files);
        in_memory.or_else(|_| Self::write_below(&std::env::temp_dir(), files)).map_err(Fault::Staging)
    }

    fn write_below(parent: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("waxwing-render-").permissions(Permissions::from_mode(0o700));
        let staging = Self(builder.tempdir_in(parent)?);
        for (path, bytes) in files {
            write_file(&staging.path().join(path), bytes)?;
        }
        Ok(staging)
    }

    /// Returns where the folder is.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns where something of the repository is.
    pub(super) fn of(&self, path: &RepoPath) -> PathBuf {
        self.path().join(in_repository(path))
    }

    /// Turns paths of this folder in a message into paths of the repository.
    pub(super) fn in_words_of_the_repository(&self, message: &str) -> String {
        let root = self.path().to_string_lossy();
        ROOMS
            .iter()
            .fold(message.to_owned(), |text, room| {
                text.replace(&format!("{root}/{room}/"), "").replace(&format!("{root}/{room}"), ".")
            })
            .replace(root.as_ref(), ".")
    }
}

/// All rooms, those with longer names first where one begins with another.
const ROOMS: [&str; 9] = [
    REPOSITORY,
    "sealed-secret-envs",
    "sealed-envs",
    "sealed",
    "secret-files",
    "secret-envs",
    "files",
    "envs",
    "plain",
];

/// Returns where something of the repository is staged.
pub(super) fn in_repository(path: &RepoPath) -> String {
    match path.is_root() {
        true => REPOSITORY.to_owned(),
        false => format!("{REPOSITORY}/{}", path.as_str()),
    }
}

/// Returns the path from a staged folder to something staged, always beginning with `./` or `../`, so that nothing
/// takes it for an address.
pub(super) fn relative(folder: &str, target: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (folder.split('/').collect(), target.split('/').collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from.len() - shared;
    let down: Vec<&str> = to.into_iter().skip(shared).collect();
    let up = if up == 0 { "./".to_owned() } else { "../".repeat(up) };
    format!("{up}{}", down.join("/"))
}

/// Writes documents as YAML that is JSON.
pub(super) fn as_yaml(documents: &[Value]) -> Vec<u8> {
    as_yaml_text(documents).into_bytes()
}

/// Writes documents as YAML that is JSON.
pub(super) fn as_yaml_text(documents: &[Value]) -> String {
    let documents: Vec<String> = documents.iter().map(|document| format!("{}\n", json_for_yaml(document))).collect();
    documents.join("---\n")
}

/// JSON in which everything is escaped that YAML 1.1 takes for a line break or refuses (section 5.1 and 5.4).
pub(super) fn json_for_yaml(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        match c {
            '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => text.push(c),
        }
    }
    text
}

fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn staged_paths_are_named_relative_to_their_kustomization() {
        let table = [
            ("repository/apps/a", "repository/apps/a/x.yaml", "./x.yaml"),
            ("repository/apps/a", "repository/base", "../../base"),
            ("repository/apps/a", "files/apps/a/x", "../../../files/apps/a/x"),
            ("repository", "repository/x.yaml", "./x.yaml"),
            ("repository/apps/a", "repository/apps", "../"),
        ];
        for (folder, target, expected) in table {
            assert_eq!(relative(folder, target), expected);
        }
    }

    #[test]
    fn what_yaml_would_break_or_refuse_is_escaped() {
        let text = as_yaml_text(&[json!({"a": "x\u{2028}y\u{85}z\u{7f}\u{feff}é😀"}), json!([])]);
        assert_eq!(text, "{\"a\":\"x\\u2028y\\u0085z\\u007f\\ufeffé😀\"}\n---\n[]\n");
    }
}
