//! The flags of kubeseal 0.40, by their names there (`cmd/kubeseal/main.go`); the doc comments are the help texts.
//!
//! Each can be given by a variable too, as there (`pkg/pflagenv`); a value that does not fit is refused, and not passed over.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use waxwing_formats::sealed_secret::Scope;

use crate::input;

/// Seal Secrets with the command line of kubeseal
///
/// Reads Secrets as YAML or JSON from standard input and prints a SealedSecret for each, which only the cluster whose certificate
/// was used can open. Without --cert the certificate comes from the Sealed Secrets controller, or from Waxwing, through the API
/// server. Called by the name `kubeseal`, the program takes this command line alone.
///
/// Each flag can be set by a variable too: SEALED_SECRETS_CERT is --cert, SEALED_SECRETS_CONTROLLER_NAMESPACE is
/// --controller-namespace.
#[derive(Args)]
#[command(args_override_self = true, disable_version_flag = true, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct KubesealArgs {
    /// Print the version of kubeseal whose command line this is
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_VERSION", hide_env = true)]
    pub(crate) version: Option<bool>,

    #[command(flatten)]
    pub(crate) modes: Modes,

    #[command(flatten)]
    pub(crate) sealing: Sealing,

    #[command(flatten)]
    pub(crate) files: Files,

    #[command(flatten)]
    pub(crate) cluster: Cluster,

    #[command(flatten)]
    pub(crate) logging: Logging,

    /// Words that are no flags are passed over, as in kubeseal
    #[arg(value_name = "WORD", hide = true)]
    pub(crate) words: Vec<OsString>,
}

const EXAMPLES: &str = "\
Examples:
  kubectl create secret generic db --from-file=password --dry-run=client -o yaml | kubeseal -o yaml > db.yaml
  kubeseal --fetch-cert > cluster.pem
  kubeseal --cert cluster.pem -f secret.yaml -w sealed.yaml
  kubeseal --cert cluster.pem --raw --namespace shop --name db --from-file password
  kubeseal --cert cluster.pem -o yaml --merge-into db.yaml < more.yaml
  kubeseal --recovery-unseal --recovery-private-key backup.yaml < db.yaml

Exit codes:
  0  it worked
  1  it did not, and standard error says why; nothing was printed and no file was changed
  2  a flag is unknown or malformed";

/// What to do other than to seal whole Secrets.
#[derive(Args)]
#[command(next_help_heading = "Other things to do")]
pub(crate) struct Modes {
    /// Seal one value, from --from-file or standard input, and print its base64 alone
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_RAW", hide_env = true)]
    pub(crate) raw: Option<bool>,

    /// With --raw, take the value from this file; a KEY before it is ignored
    #[arg(long, value_name = "[KEY=]PATH", value_delimiter = ',', env = "SEALED_SECRETS_FROM_FILE", hide_env = true)]
    pub(crate) from_file: Vec<String>,

    /// Put the sealed values into this SealedSecret file, under its name and namespace, instead of printing them
    ///
    /// The file is written in the form that --format says, JSON by default.
    #[arg(long, value_name = "FILE", env = "SEALED_SECRETS_MERGE_INTO", hide_env = true)]
    pub(crate) merge_into: Option<PathBuf>,

    /// Print the certificate to seal with
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_FETCH_CERT", hide_env = true)]
    pub(crate) fetch_cert: Option<bool>,

    /// Ask the controller whether it can open the SealedSecrets
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_VALIDATE", hide_env = true)]
    pub(crate) validate: Option<bool>,

    /// Have the controller seal the SealedSecrets again with its newest key; with --secret-file alone, in place
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_RE_ENCRYPT", hide_env = true)]
    pub(crate) re_encrypt: Option<bool>,

    /// Older name of --re-encrypt
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_ROTATE", hide_env = true, hide = true)]
    pub(crate) rotate: Option<bool>,

    /// Open a SealedSecret without a cluster, with the keys of --recovery-private-key, and print the Secret in the clear
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_RECOVERY_UNSEAL", hide_env = true)]
    pub(crate) recovery_unseal: Option<bool>,

    /// Open with the private keys of this file: PEM, or the Secrets of the controller, one, several or in a List
    #[arg(long, value_name = "FILE,...", value_delimiter = ',', env = "SEALED_SECRETS_RECOVERY_PRIVATE_KEY")]
    #[arg(hide_env = true)]
    pub(crate) recovery_private_key: Vec<PathBuf>,
}

/// How to seal.
#[derive(Args)]
#[command(next_help_heading = "Sealing")]
pub(crate) struct Sealing {
    /// Seal with this certificate, from a file, a file:// or an https:// address; without it, it is fetched from the cluster
    ///
    /// An http:// address is taken only on this machine, as with `kubectl port-forward`.
    #[arg(long, value_name = "FILE|URL", env = "SEALED_SECRETS_CERT", hide_env = true)]
    pub(crate) cert: Option<String>,

    /// Bind what is sealed to its name and namespace (strict), to its namespace (namespace-wide), or to neither (cluster-wide)
    ///
    /// Default: what the annotations of the Secret say, else strict. With --raw there are no annotations.
    #[arg(long, value_name = "SCOPE", value_parser = chosen, env = "SEALED_SECRETS_SCOPE", hide_env = true)]
    pub(crate) scope: Option<Chosen>,

    /// Seal under this name, whatever the Secret says; with --raw and scope strict it is needed
    #[arg(long, value_name = "NAME", env = "SEALED_SECRETS_NAME", hide_env = true)]
    pub(crate) name: Option<String>,

    /// Permit a Secret without any value
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_ALLOW_EMPTY_DATA", hide_env = true)]
    pub(crate) allow_empty_data: Option<bool>,
}

/// Where the input comes from and the result goes.
#[derive(Args)]
#[command(next_help_heading = "Input and output")]
pub(crate) struct Files {
    /// Read this file instead of standard input
    #[arg(short = 'f', long, value_name = "FILE", env = "SEALED_SECRETS_SECRET_FILE", hide_env = true)]
    pub(crate) secret_file: Option<PathBuf>,

    /// Write to this file instead of standard output, as a whole or not at all; .yaml and .yml mean --format yaml
    #[arg(short = 'w', long, value_name = "FILE", env = "SEALED_SECRETS_SEALED_SECRET_FILE", hide_env = true)]
    pub(crate) sealed_secret_file: Option<PathBuf>,

    /// Print in this form: json or yaml
    #[arg(short = 'o', long, value_name = "FORM", default_value = "json", env = "SEALED_SECRETS_FORMAT")]
    #[arg(hide_env = true)]
    pub(crate) format: String,
}

/// Which cluster, and where in it the controller is.
#[derive(Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Cluster {
    /// Ask the controller in this namespace
    #[arg(long, value_name = "NAME", default_value = "kube-system", value_parser = input::dns_label)]
    #[arg(env = "SEALED_SECRETS_CONTROLLER_NAMESPACE", hide_env = true)]
    pub(crate) controller_namespace: String,

    /// Ask the controller behind the Service of this name
    #[arg(long, value_name = "NAME", default_value = "sealed-secrets-controller", value_parser = input::dns_label)]
    #[arg(env = "SEALED_SECRETS_CONTROLLER_NAME", hide_env = true)]
    pub(crate) controller_name: String,

    /// Use this kubeconfig [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE", env = "SEALED_SECRETS_KUBECONFIG", hide_env = true)]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// Use this context of the kubeconfig
    #[arg(long, value_name = "NAME", env = "SEALED_SECRETS_CONTEXT", hide_env = true)]
    pub(crate) context: Option<String>,

    /// Use this cluster of the kubeconfig
    #[arg(long, value_name = "NAME", env = "SEALED_SECRETS_CLUSTER", hide_env = true)]
    pub(crate) cluster: Option<String>,

    /// Use this user of the kubeconfig
    #[arg(long, value_name = "NAME", env = "SEALED_SECRETS_USER", hide_env = true)]
    pub(crate) user: Option<String>,

    /// Seal for this namespace, where the Secret names none
    #[arg(short = 'n', long, value_name = "NAME", env = "SEALED_SECRETS_NAMESPACE", hide_env = true)]
    pub(crate) namespace: Option<String>,

    /// Ask the API server at this address
    #[arg(long, value_name = "URL", env = "SEALED_SECRETS_SERVER", hide_env = true)]
    pub(crate) server: Option<String>,

    /// Trust the certificate authority of this file
    #[arg(long, value_name = "FILE", env = "SEALED_SECRETS_CERTIFICATE_AUTHORITY", hide_env = true)]
    pub(crate) certificate_authority: Option<PathBuf>,

    /// Trust any API server, and so whatever certificate it gives
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_INSECURE_SKIP_TLS_VERIFY", hide_env = true)]
    pub(crate) insecure_skip_tls_verify: Option<bool>,

    /// Expect this name in the certificate of the API server
    #[arg(long, value_name = "NAME", env = "SEALED_SECRETS_TLS_SERVER_NAME", hide_env = true)]
    pub(crate) tls_server_name: Option<String>,

    /// Reach the API server through this proxy
    #[arg(long, value_name = "URL", env = "SEALED_SECRETS_PROXY_URL", hide_env = true)]
    pub(crate) proxy_url: Option<String>,

    /// Do not ask for compressed answers
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", env = "SEALED_SECRETS_DISABLE_COMPRESSION", hide_env = true, hide = true)]
    pub(crate) disable_compression: Option<bool>,

    /// Wait this long for each answer, as in 10s; 0 is as long as it takes [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = patience, env = "SEALED_SECRETS_REQUEST_TIMEOUT", hide_env = true)]
    pub(crate) request_timeout: Option<Patience>,

    /// Log in with the client certificate of this file
    #[arg(long, value_name = "FILE", env = "SEALED_SECRETS_CLIENT_CERTIFICATE", hide_env = true)]
    pub(crate) client_certificate: Option<PathBuf>,

    /// Log in with the private key of this file
    #[arg(long, value_name = "FILE", env = "SEALED_SECRETS_CLIENT_KEY", hide_env = true)]
    pub(crate) client_key: Option<PathBuf>,

    /// Log in with this token, which every user of this machine can see; prefer the kubeconfig
    #[arg(long, value_name = "TOKEN", env = "SEALED_SECRETS_TOKEN", hide_env = true)]
    pub(crate) token: Option<String>,

    /// Log in with this name
    #[arg(long, value_name = "NAME", env = "SEALED_SECRETS_USERNAME", hide_env = true)]
    pub(crate) username: Option<String>,

    /// Log in with this password, which every user of this machine can see; prefer the kubeconfig
    #[arg(long, value_name = "PASSWORD", env = "SEALED_SECRETS_PASSWORD", hide_env = true)]
    pub(crate) password: Option<String>,

    /// Act as this user
    #[arg(long = "as", value_name = "NAME", env = "SEALED_SECRETS_AS", hide_env = true)]
    pub(crate) as_user: Option<String>,

    /// Act as a member of this group
    #[arg(long, value_name = "NAME", env = "SEALED_SECRETS_AS_GROUP", hide_env = true)]
    pub(crate) as_group: Vec<String>,

    /// Act as the user with this UID
    #[arg(long, value_name = "UID", env = "SEALED_SECRETS_AS_UID", hide_env = true)]
    pub(crate) as_uid: Option<String>,
}

/// The flags of kubeseal's log.
#[derive(Args)]
pub(crate) struct Logging {
    /// Accepted, without effect
    #[arg(long = "add_dir_header", value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide = true)]
    pub(crate) add_dir_header: Option<bool>,

    /// Accepted, without effect
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide = true)]
    pub(crate) alsologtostderr: Option<bool>,

    /// Accepted, without effect
    #[arg(long = "legacy_stderr_threshold_behavior", value_name = "BOOL", value_parser = truth, num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "true", hide = true)]
    pub(crate) legacy_stderr_threshold_behavior: Option<bool>,

    /// Accepted, without effect
    #[arg(long, value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide = true)]
    pub(crate) logtostderr: Option<bool>,

    /// Accepted, without effect
    #[arg(long = "one_output", value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide = true)]
    pub(crate) one_output: Option<bool>,

    /// Accepted, without effect
    #[arg(long = "skip_headers", value_name = "BOOL", value_parser = truth, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", hide = true)]
    pub(crate) skip_headers: Option<bool>,

    /// Accepted, without effect
    #[arg(long = "skip_log_headers", value_name = "BOOL", value_parser = truth, num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "true", hide = true)]
    pub(crate) skip_log_headers: Option<bool>,

    /// Accepted, without effect
    #[arg(long, value_name = "VALUE", hide = true)]
    pub(crate) alsologtostderrthreshold: Option<String>,

    /// Accepted, without effect
    #[arg(long = "log_backtrace_at", value_name = "VALUE", hide = true)]
    pub(crate) log_backtrace_at: Option<String>,

    /// Accepted, without effect
    #[arg(long = "log_dir", value_name = "VALUE", hide = true)]
    pub(crate) log_dir: Option<String>,

    /// Accepted, without effect
    #[arg(long = "log_file", value_name = "VALUE", hide = true)]
    pub(crate) log_file: Option<String>,

    /// Accepted, without effect
    #[arg(long = "log_file_max_size", value_name = "VALUE", hide = true)]
    pub(crate) log_file_max_size: Option<String>,

    /// Accepted, without effect
    #[arg(long, value_name = "VALUE", hide = true)]
    pub(crate) stderrthreshold: Option<String>,

    /// Accepted, without effect
    #[arg(long, value_name = "VALUE", hide = true)]
    pub(crate) vmodule: Option<String>,

    /// Accepted, without effect: nothing is logged
    #[arg(short = 'v', long, value_name = "LEVEL", hide = true)]
    pub(crate) v: Option<i32>,
}

/// A scope that was chosen on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chosen(pub(crate) Scope);

/// Reads a scope as kubeseal does, for which nothing is strict.
fn chosen(text: &str) -> Result<Chosen, &'static str> {
    if text.is_empty() {
        return Ok(Chosen(Scope::Strict));
    }
    text.parse().map(Chosen).map_err(|_| "must be one of: strict, namespace-wide, cluster-wide")
}

/// How long to wait for an answer; nothing is as long as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience(pub(crate) Option<Duration>);

/// Reads seconds, or a time as Go writes it.
fn patience(text: &str) -> Result<Patience, &'static str> {
    let time = match text.parse().map(SignedDuration::from_secs) {
        Ok(seconds) => seconds,
        Err(_) => text.parse().map_err(|_| "expected a time such as 30s, 2m or 1h")?,
    };
    let time = Duration::try_from(time).map_err(|_| "a time can't be negative")?;
    Ok(Patience((!time.is_zero()).then_some(time)))
}

/// Tells whether a flag is there that may also say true or false.
pub(super) fn on(flag: Option<bool>) -> bool {
    flag == Some(true)
}

/// Reads a boolean as Go does.
fn truth(text: &str) -> Result<bool, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("expected true or false"),
    }
}
