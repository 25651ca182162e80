//! The arguments of the `waxwing` binary. The doc comments are the help texts.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};

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

    /// Start the name of a new sealing key Secret with this
    #[arg(long, value_name = "PREFIX", default_value = "sealed-secrets-key")]
    pub key_prefix: String,

    /// Run this program to build kustomizations; a bare name is looked up in PATH
    #[arg(long, value_name = "PROGRAM", default_value = "kustomize")]
    pub kustomize: PathBuf,

    /// Allow GitSources with file:// addresses; anyone who may write a GitSource can then read every repository on this machine
    #[arg(long)]
    pub allow_file_sources: bool,

    /// Allow GitSources with http:// addresses; what they fetch can be changed by anyone on the way
    #[arg(long)]
    pub allow_http_sources: bool,

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
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}
