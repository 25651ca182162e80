//! Who asks: a token with the audience `waxwing`, which the API server makes for ServiceAccounts alone (TokenRequest), or private keys,
//! for which nobody has to be asked.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::interface::Interface;
use super::{Opener, SealingError};
use crate::cluster::{Ask, ClusterArgs, ClusterError, Connection};
use crate::input;
use crate::kubeseal;

/// Who the tokens are for.
const AUDIENCE: &str = "waxwing";
/// How long a token is good, in seconds; the API server makes none for less.
const SECONDS: u32 = 600;

/// Who opens sealed items.
#[derive(Args, Default)]
#[command(next_help_heading = "Opening")]
pub(crate) struct OpenerArgs {
    /// Ask the controller as this ServiceAccount, with a token that is made for it
    ///
    /// You need the right to create serviceaccounts/token, and it the right to get sealedsecrets, or to update them where they are
    /// sealed again. The token of a person won't do: the API server makes none with the audience that the controller wants.
    #[arg(long, value_name = "[NAMESPACE/]NAME", conflicts_with_all = ["token_file", "recovery_private_key"])]
    service_account: Option<Account>,

    /// Ask the controller with the token in this file, which needs the audience waxwing, as a projected volume of a pod can have
    #[arg(long, value_name = "FILE", conflicts_with = "recovery_private_key")]
    token_file: Option<PathBuf>,

    /// Ask nobody: open with these private keys, from PEM files or backups of the Secrets
    #[arg(long, value_name = "FILE,...", value_delimiter = ',')]
    recovery_private_key: Vec<PathBuf>,
}

/// A ServiceAccount, perhaps without its namespace.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    namespace: Option<String>,
    name: String,
}

impl FromStr for Account {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(input::dns_label(namespace)?), name),
            None => (None, text),
        };
        Ok(Self { namespace, name: input::dns_subdomain(name)? })
    }
}

/// Where tokens come from, once and again when one has run out.
pub(super) enum Tokens {
    File(PathBuf),
    Account { namespace: String, name: String },
}

impl OpenerArgs {
    /// Tells whether it was said as whom the controller is asked.
    pub(crate) fn asks_the_controller(&self) -> bool {
        self.service_account.is_some() || self.token_file.is_some()
    }

    /// Makes ready to open, if somebody is named who can.
    pub(crate) fn opener(&self, cluster: &ClusterArgs) -> Result<Option<Opener>, SealingError> {
        let tokens = match (&self.token_file, self.service_account.clone()) {
            (Some(path), _) => Tokens::File(path.clone()),
            (None, Some(Account { namespace, name })) => {
                Tokens::Account { namespace: namespace.map_or_else(|| cluster.default_namespace(), Ok)?, name }
            }
            (None, None) if self.recovery_private_key.is_empty() => return Ok(None),
            (None, None) => return Ok(Some(Opener::Keys(kubeseal::recovery_keys(&self.recovery_private_key)?))),
        };
        Ok(Some(Opener::Controller(Box::new(Interface::new(cluster.connect()?, tokens)?))))
    }
}

impl Tokens {
    /// Reads a token, or has one made.
    pub(super) fn next(&self, connection: &Connection) -> Result<Zeroizing<String>, SealingError> {
        match self {
            Self::File(path) => {
                let text = std::fs::read_to_string(path).map(Zeroizing::new);
                let text = text.map_err(|source| SealingError::Token { path: path.clone(), source })?;
                Ok(Zeroizing::new(text.trim().to_owned()))
            }
            Self::Account { namespace, name } => requested(connection, namespace, name),
        }
    }
}

/// Has the API server make a token (`authentication.k8s.io/v1` TokenRequest), as `kubectl create token` does.
fn requested(connection: &Connection, namespace: &str, name: &str) -> Result<Zeroizing<String>, SealingError> {
    let spec = json!({"audiences": [AUDIENCE], "expirationSeconds": SECONDS});
    let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}).to_string();
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token");
    let what = format!("failed to make a token for ServiceAccount {namespace}/{name}");
    let answer = connection.must(&Ask::post(path, body.into_bytes()), &what)?.json();
    let token = answer.pointer("/status/token").and_then(Value::as_str);
    let missing = || ClusterError::Request("the API server made no token".to_owned());
    Ok(Zeroizing::new(token.ok_or_else(missing)?.to_owned()))
}
