//! `seal edit`: a SOPS file in the user's editor.
//!
//! It does what `seal sops edit` does, by the same functions; the configuration is that which is nearest to the file, and the exit
//! codes are those of `seal`.

use std::path::PathBuf;

use clap::Args;

use crate::error::Error;
use crate::output;
use crate::sealed::Configurations;
use crate::sops::{self, CreationFlags, DraftFlag, KeyFlags, KeyServiceFlags};

/// Edit a SOPS file; what was not changed keeps its ciphertext
///
/// Opens the file with your keys, runs the editor that SOPS_EDITOR or EDITOR names, else vim, nano or vi, and seals what was written
/// in it. The text stands in a folder that only you can read, in memory where the system has such a place, and is wiped when the
/// editor ends. The file is replaced as a whole in the end; whatever happens before leaves it as it was.
///
/// A file that does not exist is made from an example, for the recipients that the flags or .sops.yaml name.
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
}

const EXAMPLES: &str = "\
Examples:
  seal edit secrets/db.yaml
  EDITOR='code --wait' seal edit secrets/db.yaml
  seal edit --show-master-keys secrets/db.yaml

Exit codes:
  0  the file was written, or left as it was because nothing was changed in the editor
  1  the file was left as it was, and standard error says why";

/// Lets the user edit the file.
pub(crate) fn run(args: EditArgs) -> Result<(), Error> {
    let EditArgs { file, config, draft, keys, services } = args;
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
