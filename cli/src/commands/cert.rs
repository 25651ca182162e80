//! `seal cert`: the certificate to seal with, fetched and checked.

use clap::Args;
use jiff::Timestamp;
use waxwing_formats::sealed_secret::{Certificate, PublicKey};

use crate::certificate::{CertificateArgs, printable};
use crate::error::Error;
use crate::output;

/// Print the certificate to seal with
///
/// Fetches the certificate of the cluster's sealing key, checks that it can be sealed with, and prints it. It is public:
/// commit it, and seal without access to the cluster with --cert.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CertArgs {
    /// Print the key's fingerprint and the certificate's last day instead of the certificate
    #[arg(long)]
    fingerprint: bool,

    #[command(flatten)]
    certificate: CertificateArgs,
}

const EXAMPLES: &str = "\
Examples:
  seal cert > cluster.pem
  seal cert --cert cluster.pem --fingerprint";

/// Fetches, checks and prints the certificate.
pub(crate) fn run(args: &CertArgs) -> Result<(), Error> {
    let pem = args.certificate.fetch()?;
    let key = PublicKey::from_certificate_pem(&pem, Timestamp::now())?;
    if args.fingerprint {
        let certificate = Certificate::from_pem(&pem)?;
        return output::print(&format!("{}\nnot after {}\n", key.fingerprint(), certificate.not_after));
    }
    output::print(&printable(&pem)?)
}
