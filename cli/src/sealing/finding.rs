//! SealedSecrets, wherever they are: in files that Git would commit, and in the cluster.

use std::path::PathBuf;

use serde_json::Value;
use waxwing::source::{Files, TreeError};
use waxwing_formats::sealed_secret::SealedFile;
use waxwing_plan::diff::printable;

use crate::cluster::{Ask, ClusterError, Connection};
use crate::error::{Error, with_causes};
use crate::tree::Tree;

/// Where a SealedSecret was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In a file of this path from the root of its repository.
    File(String),
    /// In the cluster.
    Cluster,
}

/// A SealedSecret.
#[derive(Clone)]
pub(crate) struct Found {
    pub(crate) origin: Origin,
    pub(crate) object: Value,
}

/// What was found, and what may be one and could not be looked into.
#[derive(Clone, Default)]
pub(crate) struct SealedSource {
    pub(crate) found: Vec<Found>,
    /// Each with its place and why.
    pub(crate) unread: Vec<String>,
}

/// How many are asked for at once.
const PAGE: usize = 250;

/// Looks for SealedSecrets in the files that Git would commit at or below some paths.
///
/// # Errors
/// Fails when a path can't be read.
pub(crate) fn of_files(paths: &[PathBuf]) -> Result<SealedSource, Error> {
    let mut source = SealedSource::default();
    for path in paths {
        let Tree { folder, files } = Tree::at(path)?;
        for file in files.iter().filter(|file| may_be_a_manifest(file.as_str())) {
            let name = file.to_string();
            match folder.bytes(file) {
                Ok(blob) => source.look(&name, &blob.bytes),
                Err(error @ (TreeError::TooLarge { .. } | TreeError::LfsPointer(_))) => source.pass_over(&name, &error),
                Err(error) => source.pass_over(&name, &error),
            }
        }
    }
    Ok(source)
}

/// Tells by its name whether a file may hold manifests.
pub(crate) fn may_be_a_manifest(file: &str) -> bool {
    [".yaml", ".yml", ".json"].iter().any(|ending| file.ends_with(ending))
}

/// Tells whether a text speaks of SealedSecrets; what does not is never parsed.
pub(crate) fn speaks_of_sealed_secrets(bytes: &[u8]) -> bool {
    bytes.windows(WORD.len()).any(|window| window == WORD)
}

const WORD: &[u8] = waxwing_formats::sealed_secret::KIND.as_bytes();

impl SealedSource {
    fn look(&mut self, name: &str, bytes: &[u8]) {
        if !speaks_of_sealed_secrets(bytes) {
            return;
        }
        match SealedFile::parse(bytes) {
            Ok(file) => {
                let objects = file.objects().iter().map(|object| object.manifest.clone());
                let origin = Origin::File(name.to_owned());
                self.found.extend(objects.map(|object| Found { origin: origin.clone(), object }));
            }
            Err(error) => self.pass_over(name, &error),
        }
    }

    fn pass_over(&mut self, name: &str, error: &dyn std::error::Error) {
        self.unread.push(format!("{}: {}", printable(name), with_causes(error)));
    }

    /// Adds all SealedSecrets of the cluster that the user may list; a cluster that does not know the kind has none.
    ///
    /// # Errors
    /// Fails as the request does.
    pub(crate) fn add_cluster(&mut self, connection: &Connection) -> Result<(), ClusterError> {
        let mut next = String::new();
        loop {
            let path = format!("/apis/bitnami.com/v1alpha1/sealedsecrets?limit={PAGE}{next}");
            let answer = connection.ask(&Ask::get(path))?;
            if answer.code == 404 {
                return Ok(());
            }
            if !answer.is_good() {
                let what = "failed to list the SealedSecrets of the cluster".to_owned();
                return Err(ClusterError::Denied { what, code: answer.code, reason: answer.reason() });
            }
            let mut list = answer.json();
            let items = list.get_mut("items").map(Value::take);
            for mut object in items.as_ref().and_then(Value::as_array).cloned().into_iter().flatten() {
                // A list says only once what its items are.
                super::set_type(&mut object);
                self.found.push(Found { origin: Origin::Cluster, object });
            }
            match list.pointer("/metadata/continue").and_then(Value::as_str).filter(|token| !token.is_empty()) {
                Some(token) => next = format!("&continue={}", super::escaped(token)),
                None => return Ok(()),
            }
        }
    }
}
