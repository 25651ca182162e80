//! Why a reference leads to nothing for the user, in a word, in a sentence, and with what he can do about it. None of it quotes a value.

use waxwing_formats::reference::{ForeignError, Provider};
use waxwing_keys::StoreError;
use waxwing_keys::service_name::{AWS_PARAMETERS, AWS_SECRETS, AZURE_KEY_VAULT, GCP_SECRETS, KUBERNETES, VAULT};

use crate::sealed::credentials_hint;

/// What helps where Secrets of the cluster can't be had.
const NO_CLUSTER: &str = "check --kubeconfig and --context, and that `kubectl get --raw /readyz` works: the Secret is read from the cluster, and none \
     that stands in a file";

/// Why a reference leads to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum StoreFault {
    /// There is no backend of that name.
    #[error("no {kind} {name} stands in these files")]
    NoBackend { kind: &'static str, name: String },
    /// Several backends of that name lead to different places.
    #[error("{kind} {name} stands in these files more than once, and leads to different places")]
    Ambiguous { kind: &'static str, name: String },
    /// The backend leads to no service that is known here.
    #[error("{kind} {name} leads to a service that is not known here")]
    Elsewhere { kind: &'static str, name: String },
    /// The user names no server.
    #[error("neither BAO_ADDR nor VAULT_ADDR names a server")]
    NoAddress,
    /// The user names another server than the backend.
    #[error("{kind} {name} leads to {address}, and {variable} to another server")]
    OtherServer { kind: &'static str, name: String, address: String, variable: String },
    /// The backend leads to a server that is none of Azure's.
    #[error("{kind} {name} leads to {address}, which is no vault of Azure")]
    NoVault { kind: &'static str, name: String, address: String },
    /// The kubeconfig leads to no cluster; what is wrong with it quotes nothing of it.
    #[error("no cluster can be asked: {why}")]
    NoCluster { why: String },
    /// A reference of another tool that can't be read.
    #[error("{0}")]
    Foreign(ForeignError),
    /// A reference of another tool whose store is not known here.
    #[error("a reference of {tool} is not read here")]
    OtherTool { tool: String },
    /// The store says so.
    #[error(transparent)]
    Store(StoreError),
}

impl StoreFault {
    /// Says that references of a provider of vals are not read.
    pub(super) fn of_provider(provider: Provider) -> Self {
        Self::OtherTool { tool: format!("vals to {}", provider.scheme()) }
    }

    /// Returns the word for it that scripts may rely on.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::NoBackend { .. } => "no-backend",
            Self::Ambiguous { .. } => "ambiguous-backend",
            Self::Elsewhere { .. } => "other-service",
            Self::NoAddress => "no-address",
            Self::OtherServer { .. } | Self::NoVault { .. } => "other-server",
            Self::NoCluster { .. } => "no-cluster",
            Self::Foreign(error) => error.name(),
            Self::OtherTool { .. } => "other-tool",
            Self::Store(error) => error.word(),
        }
    }

    /// Tells whether nobody could be asked, so that nothing is known of the secret.
    pub(crate) fn is_unanswered(&self) -> bool {
        match self {
            Self::Elsewhere { .. }
            | Self::NoAddress
            | Self::OtherServer { .. }
            | Self::NoVault { .. }
            | Self::NoCluster { .. } => true,
            Self::Store(error) => is_away(error) || matches!(error, StoreError::Answer { .. }),
            Self::NoBackend { .. } | Self::Ambiguous { .. } | Self::Foreign(_) | Self::OtherTool { .. } => false,
        }
    }

    /// Tells whether asking the same store for another secret would end the same way.
    pub(super) fn closes_the_store(&self) -> bool {
        matches!(self, Self::Store(error) if is_away(error))
    }

    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NoBackend { .. } => "correct the name, or name the file or folder of the backend too",
            Self::Ambiguous { .. } => "name only the file or folder with the backend that is meant",
            Self::Elsewhere { .. } => "correct the backend, or use a newer seal",
            Self::NoAddress => {
                "set VAULT_ADDR and VAULT_TOKEN, or BAO_ADDR and BAO_TOKEN; in place of the token, `vault login` or `bao login`"
            }
            Self::OtherServer { variable, .. } if variable.starts_with("BAO_") => {
                "if that server is the right one, set BAO_ADDR to it: no file decides where your token goes"
            }
            Self::OtherServer { .. } => {
                "if that server is the right one, set VAULT_ADDR to it: no file decides where your token goes"
            }
            Self::NoVault { .. } => "name the vault's own address: no file decides where your token goes",
            Self::NoCluster { .. } => NO_CLUSTER,
            Self::Foreign(error) => error.hint(),
            Self::OtherTool { .. } => "write ref+store://STORE/PATH#/KEY",
            Self::Store(error) => store_hint(error),
        }
    }
}

fn is_away(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NoCredentials { .. }
            | StoreError::Throttled { .. }
            | StoreError::Unavailable { .. }
            | StoreError::Malformed { .. }
    )
}

fn store_hint(error: &StoreError) -> &'static str {
    match error {
        StoreError::NoCredentials { service: VAULT, .. } => {
            "set VAULT_TOKEN or BAO_TOKEN, or log in with `vault login` or `bao login`"
        }
        StoreError::NoCredentials { service, .. } => credentials_hint(service).unwrap_or("log in"),
        StoreError::Denied { service, .. } => denied_hint(service),
        StoreError::Missing { service: KUBERNETES, .. } => {
            "correct the path, or apply the Secret to the cluster: none that stands in a file is read"
        }
        StoreError::Missing { .. } => "correct the path, or write the secret",
        StoreError::NoSuchVersion { .. } => "correct the version, or leave it out for the newest",
        StoreError::Deleted { .. } => "undelete the version, or write a new one",
        StoreError::Disabled { .. } => "enable or restore it, or refer to another version",
        StoreError::NoVersions { .. } => "leave the version out of the reference",
        StoreError::NotASecret { service, .. } => path_hint(service),
        StoreError::NotMade { .. } | StoreError::NoRole { .. } => "correct the path",
        StoreError::TooLarge { .. } => "keep less in one secret",
        StoreError::Throttled { service: VAULT, .. } | StoreError::Unavailable { service: VAULT, .. } => {
            "check BAO_ADDR or VAULT_ADDR, or try again later"
        }
        StoreError::Unavailable { service: KUBERNETES, .. } => NO_CLUSTER,
        StoreError::Throttled { .. } | StoreError::Unavailable { .. } => {
            "check that it can be reached from here, also through HTTPS_PROXY, or try again later"
        }
        StoreError::Answer { service: VAULT } => "see that what answers there is Vault or OpenBao",
        StoreError::Answer { .. } => "see that nobody else answers in its place",
        StoreError::Malformed { .. } => {
            "correct VAULT_ADDR and VAULT_CACERT (or BAO_ADDR and BAO_CACERT), AWS_REGION and AWS_ENDPOINT_URL, or what the backend says"
        }
    }
}

fn denied_hint(service: &str) -> &'static str {
    match service {
        VAULT => {
            "log in as somebody who may read the path, and with KV version 2 its metadata; see also that an engine is mounted there"
        }
        AWS_SECRETS => {
            "log in as somebody who may do secretsmanager:GetSecretValue, and DescribeSecret to look for it; see also that the login has not expired"
        }
        AWS_PARAMETERS => "log in as somebody who may do ssm:GetParameters; see also that the login has not expired",
        GCP_SECRETS => "log in as somebody with the role roles/secretmanager.secretAccessor for the secret",
        AZURE_KEY_VAULT => "log in as somebody with the role Key Vault Secrets User, or the permission to get secrets",
        KUBERNETES => "use a --context whose user may get the Secret",
        _ => "log in as somebody who may read it",
    }
}

fn path_hint(service: &str) -> &'static str {
    match service {
        VAULT => "write ENGINE/data/NAME for KV version 2, and ENGINE/NAME for version 1",
        AWS_SECRETS | AWS_PARAMETERS => "write secretsmanager/NAME, or ssm/NAME",
        GCP_SECRETS => "write projects/PROJECT/secrets/NAME",
        AZURE_KEY_VAULT => "write secrets/NAME",
        KUBERNETES => "write NAMESPACE/NAME",
        _ => "correct the path",
    }
}
