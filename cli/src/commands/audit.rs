//! `seal audit`: who can read what, as the sealed files of a tree say, without any key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use clap::{Args, Subcommand};
use serde::Serialize;
use waxwing::source::{Files, TreeError};
use waxwing_formats::sealed_secret::SealedSecretManifest;
use waxwing_formats::sops::{Document, Sealed, SopsError, Store};
use waxwing_formats::yaml;

use super::listed::Listed;
use crate::error::{Error, Wrong};
use crate::output::{self, ListForm};
use crate::sealed::is_sealed;
use crate::tree::Tree;

/// Show what sealed files say about themselves
#[derive(Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Recipients(RecipientsArgs),
}

/// List who can read what
///
/// Looks at the files that Git would commit below the folders that are named, or here, and lists for each recipient the files
/// that it can open: those of sops with their keys, and SealedSecrets with that of their cluster. It needs no key. Where a
/// file has several key groups, a recipient may have only a share of its data key; such files are marked.
///
/// What a file says is not proven: `seal verify` compares it with the rules of .sops.yaml.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct RecipientsArgs {
    #[command(flatten)]
    listed: Listed,
}

const EXAMPLES: &str = "\
Examples:
  seal audit recipients
  seal audit recipients clusters/prod -o json";

/// What a recipient has.
#[derive(Default, Serialize)]
struct Readable {
    /// The files that it can open by itself.
    files: BTreeSet<String>,
    /// The files that it can open together with recipients of other key groups.
    shares: BTreeSet<String>,
}

/// Does what is asked for.
pub(crate) fn run(args: &AuditArgs) -> Result<(), Error> {
    let What::Recipients(RecipientsArgs { listed: args }) = &args.what;
    let mut recipients = BTreeMap::new();
    let mut wrong = Vec::new();
    for path in &args.paths {
        let tree = Tree::at(path)?;
        for file in &tree.files {
            let refused = |error: &dyn std::error::Error, hint: &str| Wrong::at(file, error, Some(hint.to_owned()));
            match tree.folder.bytes(file) {
                Ok(blob) => {
                    if let Err(error) = read(file.as_str(), &blob.bytes, &mut recipients) {
                        wrong.push(refused(&error, error.hint()));
                    }
                }
                // Most of these are no sealed files; whoever knows of one has to know that it is not in the list.
                Err(error @ (TreeError::TooLarge { .. } | TreeError::LfsPointer(_))) => {
                    output::note(&format!("{file} was not looked into: {error}"));
                }
                Err(error) => wrong.push(refused(&error, "check the permissions of the file")),
            }
        }
    }
    if !wrong.is_empty() {
        return Err(Error::Several(wrong));
    }
    match args.output {
        ListForm::Text => output::print(&text(&recipients)),
        ListForm::Json => output::print(&output::json(&serde_json::json!({"recipients": recipients}))?),
    }
}

/// Notes who can open a file.
fn read(file: &str, bytes: &[u8], recipients: &mut BTreeMap<String, Readable>) -> Result<(), SopsError> {
    let store = Store::from_path(Path::new(file));
    if is_sealed(bytes, store) {
        let terms = Document::<Sealed>::parse_local(bytes, store)?.terms();
        let is_shared = terms.groups.len() > 1 && terms.shamir_threshold != 1;
        for recipient in terms.groups.iter().flatten() {
            let readable = recipients.entry(recipient.wrapped().recipient()).or_default();
            let files = if is_shared { &mut readable.shares } else { &mut readable.files };
            files.insert(file.to_owned());
        }
    } else if has_sealed_secret(bytes, store) {
        recipients.entry(SEALED_SECRETS.to_owned()).or_default().files.insert(file.to_owned());
    }
    Ok(())
}

/// Only the key pair is known to be that of a cluster, not of which: a SealedSecret does not say.
const SEALED_SECRETS: &str = "sealed-secrets key";

/// Text that can't be read as manifests has no SealedSecret that any cluster would take.
fn has_sealed_secret(bytes: &[u8], store: Store) -> bool {
    let is_one = |document: &yaml::ManifestDocument| SealedSecretManifest::is_sealed_secret(&document.value);
    matches!(store, Store::Yaml | Store::Json)
        && yaml::manifests(bytes).is_ok_and(|documents| documents.iter().any(is_one))
}

/// Writes a recipient on a line, and below it what it can open.
fn text(recipients: &BTreeMap<String, Readable>) -> String {
    let mut text = String::new();
    for (recipient, Readable { files, shares }) in recipients {
        let _ = writeln!(text, "{recipient}");
        files.iter().for_each(|file| text += &format!("  {file}\n"));
        shares.iter().for_each(|file| text += &format!("  {file} (with a recipient of another key group)\n"));
    }
    if recipients.is_empty() {
        text += "no sealed files\n";
    }
    text
}
