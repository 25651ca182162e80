//! What `seal` asks a cluster: the sealing certificate, and which namespace is meant by default.
//!
//! The certificate comes through the API server's service proxy, so that whoever may talk to the cluster needs no other
//! way to the controller. Nothing is written to the cluster here; `connection` does what `seal keys` asks for.

mod connection;
mod patience;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

pub(crate) use connection::{Answer, Ask, Connection};
pub(crate) use patience::Patience;

use crate::input;

/// How long the API server may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// Which cluster, and where in it the controller is.
#[derive(Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    context: ContextArgs,

    /// Look for the controller and its keys in this namespace
    #[arg(long, value_name = "NAME", default_value = "waxwing-system", value_parser = input::dns_label)]
    controller_namespace: String,

    /// Ask the controller through the Service of this name, at its port `http`
    #[arg(long, value_name = "NAME", default_value = "waxwing", value_parser = input::dns_label)]
    controller_name: String,
}

/// Which cluster, and as whom.
#[derive(Args, Clone)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ContextArgs {
    /// Use this kubeconfig [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,

    /// Use this context of the kubeconfig [default: its current context]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

/// The cluster did not answer as it should. What kube says is not passed on where it may quote a kubeconfig or a token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// The kubeconfig can't be read.
    #[error("failed to read the kubeconfig {}", path.display())]
    ReadKubeconfig {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The kubeconfig can't be used.
    #[error("the kubeconfig {0}")]
    Kubeconfig(String),
    /// There is no kubeconfig.
    #[error("there is no kubeconfig to ask the cluster with")]
    NoKubeconfig,
    /// The asynchronous runtime did not start.
    #[error("failed to start the network runtime")]
    Runtime(#[source] std::io::Error),
    /// The API server could not be asked.
    #[error("failed to ask the API server: {0}")]
    Request(String),
    /// The API server, or the controller behind it, refused.
    #[error("failed to fetch the certificate from service {namespace}/{name}: the API server answered {code} {reason}")]
    Refused {
        /// The controller's namespace.
        namespace: String,
        /// The controller's Service.
        name: String,
        /// The HTTP status.
        code: u16,
        /// The API server's reason.
        reason: String,
    },
    /// The API server refused something.
    #[error("{what}: the API server answered {code} {reason}")]
    Denied {
        /// What was tried, with what.
        what: String,
        /// The HTTP status.
        code: u16,
        /// The API server's reason.
        reason: String,
    },
}

impl ClusterError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::ReadKubeconfig { .. } | Self::Kubeconfig(_) => "check --kubeconfig and --context",
            Self::NoKubeconfig => "pass --kubeconfig, or seal without access to the cluster by passing --cert",
            Self::Runtime(_) => return None,
            Self::Request(_) => "check that `kubectl get --raw /readyz` works, or pass --cert",
            Self::Refused { code: 401 | 403, name, namespace, .. } => {
                return Some(format!(
                    "ask for permission to get services/proxy of http:{name}:http in {namespace}, or pass --cert"
                ));
            }
            Self::Refused { code: 404, .. } => {
                "name the controller's Service with --controller-namespace and --controller-name, or pass --cert"
            }
            Self::Refused { .. } => "check that the controller runs and is ready, or pass --cert",
            Self::Denied { code: 401 | 403, .. } => "ask for the permission to do this, or use another --context",
            Self::Denied { code: 404, .. } => "check --controller-namespace and --context",
            Self::Denied { .. } => "try again, and look into the log of the API server",
        };
        Some(text.to_owned())
    }
}

impl ClusterArgs {
    /// Fetches the certificate through the API server's service proxy.
    pub(crate) fn certificate(&self) -> Result<Vec<u8>, ClusterError> {
        install_tls();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ClusterError::Runtime)?;
        runtime.block_on(async {
            let client = Client::try_from(self.context.config().await?).map_err(|error| self.explain(&error))?;
            let (namespace, name) = (&self.controller_namespace, &self.controller_name);
            let path = format!("/api/v1/namespaces/{namespace}/services/http:{name}:http/proxy/v1/cert.pem");
            let request = http::Request::get(path)
                .body(Vec::new())
                .map_err(|error| self.explain(&kube::Error::HttpError(error)))?;
            client.request_text(request).await.map(String::into_bytes).map_err(|error| self.explain(&error))
        })
    }

    /// Makes ready to ask the API server for more.
    pub(crate) fn connect(&self) -> Result<Connection, ClusterError> {
        Connection::open(self)
    }

    fn explain(&self, error: &kube::Error) -> ClusterError {
        match error {
            kube::Error::Api(status) => ClusterError::Refused {
                namespace: self.controller_namespace.clone(),
                name: self.controller_name.clone(),
                code: status.code,
                reason: status.reason.clone(),
            },
            kube::Error::Auth(_) => ClusterError::Request("the kubeconfig's way to log in failed".to_owned()),
            other => ClusterError::Request(innermost(other)),
        }
    }

    /// Returns the namespace that kubectl would use: the context's, else `default`.
    pub(crate) fn default_namespace(&self) -> Result<String, ClusterError> {
        let Some(kubeconfig) = self.context.kubeconfig()? else {
            return Ok("default".to_owned());
        };
        let wanted = self.context.context.as_ref().or(kubeconfig.current_context.as_ref());
        let named = kubeconfig.contexts.iter().find(|context| Some(&context.name) == wanted);
        let namespace = named.and_then(|named| named.context.as_ref()?.namespace.clone());
        Ok(namespace.filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "default".to_owned()))
    }
}

impl ContextArgs {
    /// Makes a client on the runtime that this is called in.
    pub(crate) async fn client(&self) -> Result<Client, ClusterError> {
        install_tls();
        Client::try_from(self.config().await?).map_err(|error| connection::fault(&error))
    }

    async fn config(&self) -> Result<Config, ClusterError> {
        let kubeconfig = self.kubeconfig()?.ok_or(ClusterError::NoKubeconfig)?;
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(unusable)?;
        config.connect_timeout = Some(TIMEOUT);
        config.read_timeout = Some(TIMEOUT);
        // Otherwise kube repeats a request for minutes where the controller is not running.
        config.default_retry = false;
        Ok(config)
    }

    fn kubeconfig(&self) -> Result<Option<Kubeconfig>, ClusterError> {
        kubeconfig(self.kubeconfig.as_deref())
    }
}

/// Reads the kubeconfig that kubectl would read, where there is one.
pub(crate) fn kubeconfig(named: Option<&Path>) -> Result<Option<Kubeconfig>, ClusterError> {
    if let Some(path) = named {
        return Kubeconfig::read_from(path).map(Some).map_err(unusable);
    }
    if let Some(kubeconfig) = Kubeconfig::from_env().map_err(unusable)? {
        return Ok(Some(kubeconfig));
    }
    let path = std::env::home_dir().map(|home| home.join(".kube/config")).filter(|path| path.exists());
    path.map(|path| Kubeconfig::read_from(path).map_err(unusable)).transpose()
}

/// Says what is wrong with a kubeconfig without quoting it, since it holds credentials.
pub(crate) fn unusable(error: KubeconfigError) -> ClusterError {
    ClusterError::Kubeconfig(match error {
        KubeconfigError::ReadConfig(source, path) => return ClusterError::ReadKubeconfig { path, source },
        KubeconfigError::CurrentContextNotSet => "has no current context".to_owned(),
        KubeconfigError::LoadContext(name) => format!("has no context {name}"),
        KubeconfigError::LoadClusterOfContext(name) => format!("has no cluster {name}"),
        KubeconfigError::MissingClusterUrl | KubeconfigError::ParseClusterUrl(_) => {
            "has no usable address for the cluster".to_owned()
        }
        KubeconfigError::LoadCertificateAuthority(_)
        | KubeconfigError::LoadClientCertificate(_)
        | KubeconfigError::LoadClientKey(_)
        | KubeconfigError::ParseCertificates(_) => "names a certificate or key that can't be read".to_owned(),
        _ => "is not well-formed".to_owned(),
    })
}

/// Returns what the innermost cause says: kube repeats each cause in the text of the error around it.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// Chooses the one TLS implementation; a second call changes nothing.
pub(crate) fn install_tls() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
