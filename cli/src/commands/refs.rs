//! `seal refs`: references into secret stores in the files of a tree, without asking any store.

use clap::{Args, Subcommand};

use super::listed::Listed;
use crate::args::Outcome;
use crate::error::Error;
use crate::output::{self, ListForm};
use crate::references::list;

/// Show references into secret stores
#[derive(Args)]
pub(crate) struct RefsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    List(ListArgs),
}

/// List which references stand where
///
/// Looks at the manifests and env files that Git would commit below the folders that are named, or here, and lists the
/// references into secret stores (ref+store://, ref+clusterstore://) in their values, also in base64 under data. References of
/// vals and placeholders of argocd-vault-plugin are listed with the reference that would take their place, and with what
/// has to be mapped. No store is asked, and no value is shown. The controller does not resolve references yet.
///
/// Exits with 0 where all references are well-formed, with 2 where one is not, and with 1 where files can't be read.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct ListArgs {
    #[command(flatten)]
    listed: Listed,
}

const EXAMPLES: &str = "\
Examples:
  seal refs list
  seal refs list clusters/prod -o json";

/// Does what is asked for.
pub(crate) fn run(args: &RefsArgs) -> Result<Outcome, Error> {
    let What::List(ListArgs { listed: args }) = &args.what;
    let report = list(&args.paths)?;
    match args.output {
        ListForm::Text => output::print(&report.text())?,
        ListForm::Json => output::print(&output::json(&report)?)?,
    }
    Ok(if report.has_errors() { Outcome::Found } else { Outcome::Done })
}
