//! What commands take that list something of a tree.

use std::path::PathBuf;

use clap::Args;

use crate::output::ListForm;

/// Where to look, and how to print what was found.
#[derive(Args)]
pub(crate) struct Listed {
    /// The files and folders to look at
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    pub(crate) paths: Vec<PathBuf>,

    /// Print in this form
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = ListForm::Text)]
    pub(crate) output: ListForm,
}
