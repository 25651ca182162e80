//! What may not be committed, found without any key: values in the clear that should be sealed, files whose recipients are not
//! those of the rules, sealed files that are damaged, and private keys.
//!
//! `mod.rs` goes through the files and says for each which rule of `.sops.yaml` it is under; `judge` looks at one file, `secrets`
//! at the manifests in it, `lines` finds on which line something stands, `report` holds what was found and writes it. Nothing here opens anything, and no value is shown.

mod judge;
mod lines;
mod report;
mod secrets;

use std::collections::{HashMap, HashSet};
use std::env;
use std::path::{Path, PathBuf};

use waxwing::source::{CheckoutError, Files, RepoPath, TreeError};

use crate::error::Error;
use crate::sealed::{CONFIGURATION, Configurations, StagedRules, cleaned};
use crate::tree::Tree;
use judge::{Judged, judge};
use report::{Check, Finding};
pub(crate) use report::{Place, Report, counted};
pub(crate) use secrets::{SealingKeys, is_kustomization};

/// Looks at the files at or below some paths. SealedSecrets in them should be sealed for the keys, if some are known.
///
/// # Errors
/// Fails when a path or a configuration can't be read.
pub(crate) fn verify(
    paths: &[PathBuf],
    is_staged: bool,
    named: Option<&Path>,
    keys: Option<&SealingKeys>,
) -> Result<Report, Error> {
    let mut configurations = Configurations::new(named)?;
    let mut report = Report::default();
    for path in paths {
        let Looked { root, files, kustomizations, read } =
            if is_staged { Looked::staged(path, &mut configurations)? } else { Looked::on_the_disk(path)? };
        let (mut generated, mut sealed, mut referring) = (Vec::new(), HashMap::new(), HashSet::new());
        for file in files {
            let path = cleaned(&root.join(file.as_str()));
            let expected = configurations.of(&path)?.map(|configuration| configuration.expected(&path)).transpose()?;
            let judged = match read(&file) {
                Ok(bytes) => {
                    if secrets::refers_to_a_store(&String::from_utf8_lossy(&bytes), false) {
                        referring.insert(file.clone());
                    }
                    judge(&file, &bytes, expected.flatten().as_ref(), keys)
                }
                Err(error) => Judged::from(not_read(&file, &error)),
            };
            sealed.insert(file, judged.is_sealed);
            generated.extend(judged.generated);
            report.findings.extend(judged.findings);
        }
        for file in kustomizations {
            // What it says itself was committed before; what it reads may be new.
            let bytes = read(&file).map_err(CheckoutError::Tree)?;
            generated.extend(judge(&file, &bytes, None, keys).generated);
        }
        generated.retain(|generated| !referring.contains(generated.file()));
        report.files += sealed.len();
        report.sealed += sealed.values().filter(|is_sealed| **is_sealed).count();
        report.findings.extend(generated.iter().filter_map(|generated| secrets::in_a_file(generated, &sealed)));
    }
    report.settle();
    Ok(report)
}

/// Files that are looked at.
struct Looked {
    /// What their paths are relative to.
    root: PathBuf,
    files: Vec<RepoPath>,
    /// Kustomizations beside them, which may read some of them.
    kustomizations: Vec<RepoPath>,
    read: Box<Read>,
}

type Read = dyn Fn(&RepoPath) -> Result<Vec<u8>, TreeError>;

impl Looked {
    /// The files that would be committed if all were added.
    fn on_the_disk(path: &Path) -> Result<Self, CheckoutError> {
        let Tree { folder, files } = Tree::at(path)?;
        let root = folder.root().to_owned();
        let read = Box::new(move |file: &RepoPath| folder.bytes(file).map(|blob| blob.bytes));
        Ok(Self { root, files, kustomizations: Vec::new(), read })
    }

    /// What the next commit changes, with the rules that it has.
    fn staged(path: &Path, configurations: &mut Configurations) -> Result<Self, Error> {
        let index = env::var_os("GIT_INDEX_FILE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let (below, staged) = Tree::staged(path, index.as_deref())?;
        let root = staged.root().to_owned();
        let named = staged.all().filter(|file| file.file_name() == Some(CONFIGURATION));
        let at = |file: &RepoPath| cleaned(&root.join(file.as_str()));
        let read = named.map(|file| Ok((at(file), StagedRules::File(staged.bytes(file)?))));
        let mut read = read.collect::<Result<HashMap<_, _>, TreeError>>().map_err(CheckoutError::Tree)?;
        let links = staged.links().filter(|link| link.file_name() == Some(CONFIGURATION));
        read.extend(links.map(|link| (at(link), StagedRules::Link)));
        configurations.of_tree(root.clone(), read);
        let files = staged.changed(&below);
        let others = staged.all().filter(|file| is_kustomization(file) && !files.contains(file));
        let kustomizations = others.cloned().collect();
        Ok(Self { root, files, kustomizations, read: Box::new(move |file: &RepoPath| staged.bytes(file)) })
    }
}

fn not_read(file: &RepoPath, error: &TreeError) -> Finding {
    Finding::warning(Check::NotRead, Place::file(file), format!("the file was not looked into: {error}"))
}
