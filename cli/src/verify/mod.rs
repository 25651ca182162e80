//! What may not be committed, found without any key: values in the clear that should be sealed, files whose recipients are not
//! those of the rules, sealed files that are damaged, and private keys.
//!
//! `mod.rs` goes through the files and says for each which rule of `.sops.yaml` it is under; `judge` looks at one file, `secrets`
//! at the manifests in it, `report` holds what was found and writes it. Nothing here opens anything, and no value is shown.

mod judge;
mod report;
mod secrets;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use waxwing::source::{Files, RepoPath, TreeError};
use waxwing_formats::sealed_secret::PublicKey;

use crate::error::Error;
use crate::sealed::{Configurations, cleaned};
use crate::tree::Tree;
use judge::{Judged, judge};
use report::{Check, Finding};
pub(crate) use report::{Place, Report, counted};
pub(crate) use secrets::is_kustomization;

/// Looks at the files at or below some paths. SealedSecrets in them should be sealed for the key, if one is known.
///
/// # Errors
/// Fails when a path or a configuration can't be read.
pub(crate) fn verify(paths: &[PathBuf], named: Option<&Path>, key: Option<&PublicKey>) -> Result<Report, Error> {
    let mut configurations = Configurations::new(named)?;
    let mut report = Report::default();
    for path in paths {
        let Tree { folder, files } = Tree::at(path)?;
        let (mut generated, mut sealed, mut referring) = (Vec::new(), HashMap::new(), HashSet::new());
        for file in files {
            let path = cleaned(&folder.root().join(file.as_str()));
            let expected = configurations.of(&path)?.map(|configuration| configuration.expected(&path)).transpose()?;
            let judged = match folder.bytes(&file) {
                Ok(blob) => {
                    let text = String::from_utf8_lossy(&blob.bytes);
                    if secrets::refers_to_a_store(&text, false) {
                        referring.insert(file.clone());
                    }
                    judge(&file, &blob.bytes, expected.flatten().as_ref(), key)
                }
                Err(error) => Judged::from(not_read(&file, &error)),
            };
            sealed.insert(file, judged.is_sealed);
            generated.extend(judged.generated);
            report.findings.extend(judged.findings);
        }
        generated.retain(|generated| !referring.contains(generated.file()));
        report.files += sealed.len();
        report.sealed += sealed.values().filter(|is_sealed| **is_sealed).count();
        report.findings.extend(generated.iter().filter_map(|generated| secrets::in_a_file(generated, &sealed)));
    }
    report.settle();
    Ok(report)
}

fn not_read(file: &RepoPath, error: &TreeError) -> Finding {
    Finding::warning(Check::NotRead, Place::file(file), format!("the file was not looked into: {error}"))
}
