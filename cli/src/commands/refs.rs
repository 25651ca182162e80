//! `seal refs`: references into secret stores in the files of a tree; stores are asked by `check --online` alone, and never for what is shown.

use clap::{Args, Subcommand};

use super::listed::Listed;
use crate::args::Outcome;
use crate::cluster::ContextArgs;
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
/// its spec.allow.paths must allow the path. References of vals and argocd-vault-plugin are held against what the Syncs in the files have read
/// of them (spec.secrets.foreignReferences). Neither a cluster nor a store is asked, so whether the secret exists is not told.
///
/// With --online the stores are asked whether the secrets are there, with your own credentials, which are found as `seal run` finds them: only
/// the server of Vault in VAULT_ADDR or BAO_ADDR, AWS, Google Cloud, vaults in Azure's own domains, and the cluster of the kubeconfig. Where a store tells
/// versions without values (key/value engines with versions, AWS) nothing else is asked for, and whether a single value is in the secret is not
/// told; elsewhere the secret is read, and never shown.
///
/// Exits with 0 where all references are well-formed and allowed, with 2 where one is not, or its secret is not there or not to be read, and with 1
/// where files can't be read or a store could not be asked.
#[derive(Args)]
#[command(after_help = CHECK_EXAMPLES)]
struct CheckArgs {
    #[command(flatten)]
    listed: Listed,

    /// Check for Syncs of this namespace [default: that of each backend]
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Ask the stores whether the secrets are there
    #[arg(long)]
    online: bool,

    #[command(flatten)]
    context: ContextArgs,
}

const CHECK_EXAMPLES: &str = "\
Examples:
  seal refs check clusters/prod
  seal refs check --online clusters/prod
  seal refs check -n shop apps/shop backends";

const EXAMPLES: &str = "\
Examples:
  seal refs list
  seal refs list clusters/prod -o json";

/// Does what is asked for.
pub(crate) fn run(args: &RefsArgs) -> Result<Outcome, Error> {
    let mut unanswered = 0;
    let (args, report) = match &args.what {
        What::List(ListArgs { listed }) => (listed, list(&listed.paths)?),
        What::Check(CheckArgs { listed, namespace, online, context }) => {
            let namespace = namespace.as_deref();
            let mut report = list(&listed.paths)?.with_foreign(namespace).check(namespace);
            if *online {
                unanswered = report.ask(context)?;
            }
            (listed, report)
        }
    };
    match args.output {
        ListForm::Text => output::print(&report.text())?,
        ListForm::Json => output::print(&output::json(&report)?)?,
    }
    if unanswered > 0 {
        return Err(Error::Unanswered(unanswered));
    }
    Ok(if report.has_errors() { Outcome::Found } else { Outcome::Done })
}
