//! `seal edit`: a SOPS file in the user's editor, or new values for items of a SealedSecret.
//!
//! With a SOPS file it does what `seal sops edit` does, by the same functions; the configuration is that which is nearest to the file, and the
//! exit codes are those of `seal`.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use waxwing_formats::sealed_secret::PublicKey;
use waxwing_formats::sops::Store;

use crate::certificate::CertificateArgs;
use crate::error::Error;
use crate::input;
use crate::output;
use crate::sealed::{self, Configurations};
use crate::sealing::{NewValues, Sheets, may_be_a_manifest, speaks_of_sealed_secrets};
use crate::sops::{self, CreationFlags, DraftFlag, Fault, KeyFlags, KeyServiceFlags};

/// Edit a SOPS file, or exchange items of a SealedSecret; the rest keeps its ciphertext
///
/// Opens the file with your keys, runs the editor that SOPS_EDITOR or EDITOR names, else vim, nano or vi, and seals what was written
/// in it. The text stands in a folder that only you can read, in memory where the system has such a place, and is wiped when the
/// editor ends. The file is replaced as a whole in the end; whatever happens before leaves it as it was.
///
/// A file that does not exist is made from an example, for the recipients that the flags or .sops.yaml name.
///
/// What is sealed in a SealedSecret nobody can show without the private key. So the editor gets the names of the items, and new values take the
/// place of `<sealed>`; lines can be added and taken out. They are sealed with the certificate of --cert or of the cluster for the scope that
/// the file has, and every other byte of the file stays.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EditArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Read this configuration, instead of the .sops.yaml next to the file or above it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    draft: DraftFlag,

    #[command(flatten)]
    keys: KeyFlags,

    #[command(flatten)]
    services: KeyServiceFlags,

    #[command(flatten)]
    items: ItemArgs,

    #[command(flatten)]
    certificate: CertificateArgs,
}

/// New values of a SealedSecret, without an editor.
#[derive(Args)]
#[command(next_help_heading = "SealedSecrets")]
struct ItemArgs {
    /// Seal the content of a file as this item, byte for byte, and run no editor
    #[arg(long, value_name = "ITEM=PATH")]
    from_file: Vec<input::Pair>,

    /// Seal what comes from standard input as this item, byte for byte, and run no editor
    #[arg(long, value_name = "ITEM", value_parser = input::data_key)]
    from_stdin: Option<String>,

    /// Take this item out, and run no editor
    #[arg(long, value_name = "ITEM", value_parser = input::data_key)]
    remove: Vec<String>,

    /// Seal for this namespace, where the SealedSecret names none
    #[arg(short, long, value_name = "NAME", value_parser = input::dns_label)]
    namespace: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  seal edit secrets/db.yaml
  EDITOR='code --wait' seal edit secrets/db.yaml
  seal edit --show-master-keys secrets/db.yaml
  seal edit --cert cluster.pem sealed/db.yaml
  pwgen -s 32 1 | tr -d '\\n' | seal edit --cert cluster.pem --from-stdin password sealed/db.yaml

Exit codes:
  0  the file was written, or left as it was because nothing was changed in the editor
  1  the file was left as it was, and standard error says why";

/// Lets the user edit the file.
pub(crate) fn run(args: EditArgs) -> Result<(), Error> {
    let EditArgs { file, config, draft, keys, services, items, certificate } = args;
    if items.are_given() || is_of_sealed_secrets(&file) {
        return edit_items(&file, &items, &certificate);
    }
    let configuration = Configurations::new(config.as_deref())?.into_one(&file)?;
    let creation = CreationFlags { keys, ..CreationFlags::default() };
    let args = sops::EditArgs { file: Some(file), creation, draft, ..sops::EditArgs::default() };
    match sops::edit_under(configuration, &args, services) {
        Err(fault) if fault.is_unchanged() => {
            output::note("nothing was changed, so the file is as it was");
            Ok(())
        }
        done => done.map_err(Error::Edit),
    }
}

impl ItemArgs {
    fn are_given(&self) -> bool {
        !self.from_file.is_empty() || self.from_stdin.is_some() || !self.remove.is_empty()
    }

    /// Reads the new values.
    fn values(&self) -> Result<NewValues, Error> {
        let mut values = Vec::new();
        for input::Pair { key, value } in &self.from_file {
            values.push((input::data_key(key)?, input::value_file(Path::new(value))?));
        }
        if let Some(item) = &self.from_stdin {
            values.push((item.clone(), input::value_file(Path::new("-"))?));
        }
        let named: Vec<_> = values.iter().map(|(item, _)| item).chain(&self.remove).collect();
        let twice = named.iter().enumerate().find(|(at, item)| named.iter().take(*at).any(|other| other == *item));
        match twice {
            Some((_, item)) => Err(input::ValueError::DuplicateKey { key: (**item).clone() }.into()),
            None => Ok(NewValues { values, removed: self.remove.clone() }),
        }
    }
}

/// Tells whether a file has SealedSecrets in it, and is none of sops.
fn is_of_sealed_secrets(file: &Path) -> bool {
    let bytes = std::fs::read(file).unwrap_or_default();
    let may_be_one = may_be_a_manifest(&file.to_string_lossy()) && speaks_of_sealed_secrets(&bytes);
    may_be_one && !sealed::is_sealed(&bytes, Store::from_path(file))
}

/// Exchanges items of a SealedSecret.
fn edit_items(file: &Path, items: &ItemArgs, certificate: &CertificateArgs) -> Result<(), Error> {
    let sheets = Sheets::read(file, items.namespace.as_deref())?;
    let key = || -> Result<PublicKey, Error> {
        Ok(PublicKey::from_certificate_pem(&certificate.fetch()?, Timestamp::now())?)
    };
    let text = if items.are_given() {
        let values = items.values()?;
        sheets.seal_values(&values, &key()?)?
    } else {
        // What nobody can seal need not be written first.
        let key = key()?;
        // Whatever the form of the file, the sheet is YAML, and editors go by the ending.
        let name = file.with_extension("yaml");
        let seal = |edited: &_| sheets.seal(edited, &key).map_err(|error| Fault::of_items(&error));
        match sops::until_it_seals(&name, &sheets.text(), seal) {
            Err(fault) if fault.is_unchanged() => {
                output::note("nothing was changed, so the file is as it was");
                return Ok(());
            }
            done => done.map_err(Error::Edit)?,
        }
    };
    Ok(sheets.replace(&text)?)
}
