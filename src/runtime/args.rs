//! The arguments of the `waxwing` binary. The doc comments are the help texts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use waxwing_keys::Origin;

use super::lease_args::LeaseArgs;
use super::sealing_args::SealingArgs;
use crate::cluster::ServiceAccount;

/// Keep a Kubernetes cluster equal to Git, and open sealed secrets on the way
///
/// Waxwing reads GitSource and Sync resources. It fetches what a GitSource names, renders the folder that a Sync names,
/// opens SealedSecrets and SOPS files in memory, and applies the result as the Sync's ServiceAccount.
///
/// The cluster is the one of the pod's service account, or of KUBECONFIG outside a cluster.
#[derive(Clone, Debug, Parser)]
#[command(name = "waxwing", version, max_term_width = 100)]
pub struct Args {
    /// Keep fetched Git repositories in this folder; it may be lost at any time
    #[arg(long, value_name = "DIR", default_value = "/var/lib/waxwing")]
    pub state_dir: PathBuf,

    /// Serve probes, metrics and the sealing certificate on this address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Keep the sealing keys in this namespace
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", default_value = "waxwing-system")]
    pub namespace: String,

    /// Work in these namespaces only, instead of the whole cluster: Syncs and GitSources elsewhere are not seen, and what Syncs
    /// apply elsewhere is not watched
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = namespace_name)]
    pub watch_namespaces: Vec<String>,

    /// Run this program to build kustomizations; a bare name is looked up in PATH
    #[arg(long, value_name = "PROGRAM", default_value = "kustomize")]
    pub kustomize: PathBuf,

    /// Allow GitSources with file:// addresses; anyone who may write a GitSource can then read every repository on this machine
    #[arg(long)]
    pub allow_file_sources: bool,

    /// Allow GitSources with http:// addresses; what they fetch can be changed by anyone on the way
    #[arg(long)]
    pub allow_http_sources: bool,

    /// The servers that SecretBackends may lead to.
    #[arg(
        long = "backend-origin",
        value_name = "URL,...",
        value_delimiter = ',',
        help = "Let SecretBackends lead to these servers, as https://vault.example.com:8200 or https://shop.vault.azure.net; without any, none may name a server"
    )]
    pub backend_origins: Vec<Origin>,

    /// Reach AWS here, instead of where each of its services usually is
    #[arg(long, value_name = "URL")]
    pub aws_endpoint: Option<Origin>,

    /// Reach Google Cloud here, instead of where each of its services usually is; over http:// on this machine only
    #[arg(long, value_name = "URL")]
    pub gcp_endpoint: Option<Origin>,

    /// Log in at Azure here, instead of at `https://login.microsoftonline.com`, as in Azure's other clouds
    #[arg(long, value_name = "URL")]
    pub azure_login_endpoint: Option<Origin>,

    /// Keep data keys that key services unwrapped for this many seconds in memory, so that the same one is not asked for again; 0 keeps none
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    pub data_key_lifetime: u32,

    /// Work on this many Syncs, and on this many GitSources, at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,

    /// Log in this form, to standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Log what this filter lets through, such as "debug" or "waxwing=trace,kube=info"
    #[arg(long, value_name = "FILTER", env = "WAXWING_LOG", default_value = "info")]
    pub log_level: String,

    /// Send a trace of each reconcile to this OpenTelemetry collector, over OTLP/HTTP, such as http://otel-collector:4318
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT", hide_env_values = true)]
    pub otlp_endpoint: Option<String>,

    /// Which of several controllers leads.
    #[command(flatten)]
    pub lease: LeaseArgs,

    /// Sealing keys, and SealedSecrets of the cluster.
    #[command(flatten)]
    pub sealing: SealingArgs,
}

/// Reads the name of a namespace, an RFC 1123 label.
fn namespace_name(name: &str) -> Result<String, String> {
    let is_label = name.len() <= 63 && !name.contains('.') && ServiceAccount::new(name, "default").is_ok();
    is_label.then(|| name.to_owned()).ok_or_else(|| "it is not the name of a namespace".to_owned())
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(value: &str) -> Result<Vec<String>, String> {
        let parsed = Args::try_parse_from(["waxwing", "--watch-namespaces", value]);
        parsed.map(|args| args.watch_namespaces).map_err(|error| error.to_string())
    }

    #[test]
    fn namespaces_are_listed_with_commas_and_each_must_be_a_name() {
        assert_eq!(watched("shop,bank").as_deref(), Ok(["shop".to_owned(), "bank".to_owned()].as_slice()));
        for bad in ["", "shop,", "Shop", "a b", "shop/bank", "a.b", &"a".repeat(64)] {
            assert!(watched(bad).is_err_and(|text| text.contains("not the name of a namespace")), "{bad:?}");
        }
    }
}
