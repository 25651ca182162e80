//! Flags about the file that a command is given: what it is taken for, how it is opened, and where the result goes.

use std::path::PathBuf;

use clap::Args;

/// What the editor shows.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct DraftFlag {
    /// Show the metadata in the editor too; who is added to the recipients there can open the file, who is taken out no more
    #[arg(short, long)]
    pub(crate) show_master_keys: bool,
}

/// Where the result goes.
#[derive(Args)]
pub(crate) struct Target {
    /// Write the result over the file
    #[arg(short, long)]
    pub(crate) in_place: bool,

    /// Write the result to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// What the file is taken for and written as.
#[derive(Args, Clone, Default)]
pub(crate) struct Formats {
    /// Take the input for yaml, json, dotenv, ini or binary [default: by the name of the file]
    #[arg(long, value_name = "TYPE")]
    pub(crate) input_type: Option<String>,

    /// Write yaml, json, dotenv, ini or binary [default: by the name of the file]
    #[arg(long, value_name = "TYPE")]
    pub(crate) output_type: Option<String>,
}

/// The formats, and another name that they may follow from.
#[derive(Args, Default)]
pub(crate) struct Types {
    #[command(flatten)]
    pub(crate) formats: Formats,

    /// Take the file to have this name, for its types and for the rules of the configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) filename_override: Option<PathBuf>,
}

impl From<Formats> for Types {
    fn from(formats: Formats) -> Self {
        Self { formats, filename_override: None }
    }
}

/// Whether a file must be as it was sealed.
#[derive(Args, Clone, Copy, Debug, Default)]
pub(crate) struct Trust {
    /// Do not check that nothing was changed since the file was sealed, but for what is sealed in it
    #[arg(long)]
    pub(crate) ignore_mac: bool,
}
