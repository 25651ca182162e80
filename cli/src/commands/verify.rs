//! `seal verify`: what may not be committed as it is, found without any key.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use crate::args::Outcome;
use crate::certificate::from_place;
use crate::error::Error;
use crate::output;
use crate::verify::{SealingKeys, verify};

/// Check that what is to be committed is sealed
///
/// Looks at the files that Git would commit below the folders that are named, or here, and needs no key and no cluster. It
/// finds values of Secrets in the clear, values that a rule of .sops.yaml wants sealed, SOPS files whose recipients are not
/// those of their rule, sealed files that are damaged, SealedSecrets that were renamed, moved or given another scope after they were
/// sealed, private keys, and expired certificates. Files that .gitignore names are passed over unless
/// Git has them already.
///
/// Exits with 0 where there is nothing but warnings, with 2 where something should not be committed, and with 1 where
/// files can't be read.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The files and folders to look at
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    paths: Vec<PathBuf>,

    /// Look at what the next commit would change, as it is staged, instead of at the files on the disk; its rules count too
    #[arg(long)]
    staged: bool,

    /// Take the rules from this file, instead of the .sops.yaml next to each file or above it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Check that SealedSecrets are sealed with this certificate, or one of these, of which one at least may not have expired
    ///
    /// Only the private key can tell for sure. Without it one in two values of another key of the same size passes. A cluster has several keys
    /// once it has renewed one: give the certificates of all that something may be sealed with.
    #[arg(long, value_name = "FILE|URL")]
    cert: Vec<String>,

    /// Print in this form
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = Form::Text)]
    output: Form,
}

const EXAMPLES: &str = "\
Examples:
  seal verify
  seal verify clusters/prod -o json
  seal verify --cert cluster.pem clusters/prod
  seal verify -o sarif > seal.sarif
  seal verify --staged";

/// The form of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// For people
    Text,
    /// One JSON object
    Json,
    /// SARIF 2.1.0, which code scanning reads
    Sarif,
}

/// Looks at the files and prints what was found.
pub(crate) fn run(args: &VerifyArgs) -> Result<Outcome, Error> {
    let pems = args.cert.iter().map(|place| from_place(place)).collect::<Result<Vec<_>, _>>()?;
    let keys = SealingKeys::of_certificates(&pems, Timestamp::now())?;
    let report = verify(&args.paths, args.staged, args.config.as_deref(), keys.as_ref())?;
    match args.output {
        Form::Text => output::print(&report.text())?,
        Form::Json => output::print(&output::json(&report)?)?,
        Form::Sarif => output::print(&output::json(&report.sarif())?)?,
    }
    Ok(if report.has_errors() { Outcome::Found } else { Outcome::Done })
}
