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
    Check(CheckArgs),
}

/// List which references stand where
///
/// Looks at the manifests and env files that Git would commit below the folders that are named, or here, and lists the
/// references into secret stores (ref+store://, ref+clusterstore://) in their values, also in base64 under data. References of
/// vals and placeholders of argocd-vault-plugin are listed with the reference that would take their place, and with what
/// has to be mapped. No store is asked, and no value is shown.
///
/// Exits with 0 where all references are well-formed, with 2 where one is not, and with 1 where files can't be read.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
struct ListArgs {
    #[command(flatten)]
    listed: Listed,
}

/// Check references against the backends in the same files
///
/// As `seal refs list`, and holds each reference against the SecretBackends that stand in the files: there must be one of its name, and
/// its spec.allow.paths must allow the path. Neither a cluster nor a store is asked, so whether the secret exists is not told.
///
/// Exits with 0 where all references are well-formed and allowed, with 2 where one is not, and with 1 where files can't be read.
#[derive(Args)]
#[command(after_help = CHECK_EXAMPLES)]
struct CheckArgs {
    #[command(flatten)]
    listed: Listed,

    /// Check for Syncs of this namespace [default: that of each backend]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  seal refs check clusters/prod
  seal refs check -n shop apps/shop backends";

const EXAMPLES: &str = "\
Examples:
  seal refs list
  seal refs list clusters/prod -o json";

/// Does what is asked for.
pub(crate) fn run(args: &RefsArgs) -> Result<Outcome, Error> {
    let (args, report) = match &args.what {
        What::List(ListArgs { listed }) => (listed, list(&listed.paths)?),
        What::Check(CheckArgs { listed, namespace }) => (listed, list(&listed.paths)?.check(namespace.as_deref())),
    };
    match args.output {
        ListForm::Text => output::print(&report.text())?,
        ListForm::Json => output::print(&output::json(&report)?)?,
    }
    Ok(if report.has_errors() { Outcome::Found } else { Outcome::Done })
}
