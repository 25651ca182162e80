//! Which cluster, as client-go's `clientcmd` finds it: the kubeconfig, what the flags put over it, and else the cluster around.

use std::path::{Path, PathBuf};

use http::Uri;
use kube::Config;
use kube::config::{AuthInfo, Cluster as ClusterEntry, Context, KubeConfigOptions, Kubeconfig};
use kube::config::{NamedAuthInfo, NamedCluster, NamedContext};

use super::args::{Cluster, on};
use super::fault::Fault;
use crate::cluster::{TIMEOUT, kubeconfig, unusable};

/// The namespace that the user works in.
pub(super) struct Namespace {
    pub(super) name: String,
    /// Whether a flag says so.
    pub(super) is_chosen: bool,
}

impl Cluster {
    /// Returns the namespace of the flag.
    pub(super) fn chosen_namespace(&self) -> Option<&String> {
        given(self.namespace.as_ref())
    }

    /// Returns the namespace of the flag, else that of the context, of the pod around, or `default`.
    pub(super) fn namespace(&self) -> Result<Namespace, Fault> {
        if let Some(name) = self.chosen_namespace() {
            return Ok(Namespace { name: name.clone(), is_chosen: true });
        }
        let entry = self.entry()?;
        let name = match entry.cluster.server {
            Some(_) => entry.context.namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "default".to_owned()),
            None => Config::incluster().map_err(|_| Fault::NoConfiguration)?.default_namespace,
        };
        Ok(Namespace { name, is_chosen: false })
    }

    /// Returns how to reach the API server.
    pub(super) async fn config(&self) -> Result<Config, Fault> {
        let entry = self.entry()?;
        let mut config = match entry.cluster.server {
            None => Config::incluster().map_err(|_| Fault::NoConfiguration)?,
            Some(_) => {
                let (options, proxy) = (KubeConfigOptions::default(), entry.cluster.proxy_url.clone());
                let mut config =
                    Config::from_custom_kubeconfig(entry.into_kubeconfig(), &options).await.map_err(unusable)?;
                // kube takes one from the environment too, and then whatever NO_PROXY says about the API server.
                config.proxy_url = config.proxy_url.filter(|_| proxy.is_some());
                match config.proxy_url.as_ref().and_then(Uri::scheme_str) {
                    None | Some("http") => config,
                    Some(_) => return Err(Fault::Proxy),
                }
            }
        };
        config.connect_timeout = Some(TIMEOUT);
        config.read_timeout = self.request_timeout.map_or(Some(TIMEOUT), |patience| patience.0);
        // Otherwise kube repeats a request for minutes where the controller is not running.
        config.default_retry = false;
        Ok(config)
    }

    /// Looks up what the flags and the kubeconfig name, and puts the flags over it.
    fn entry(&self) -> Result<Entry, Fault> {
        let kubeconfig = kubeconfig(given_path(self.kubeconfig.as_ref()))?.unwrap_or_default();
        let context = self.context_of(&kubeconfig)?;
        let cluster_name = given(self.cluster.as_ref()).unwrap_or(&context.cluster);
        let user_name = given(self.user.as_ref()).or(context.user.as_ref());
        let find_cluster = |named: &&NamedCluster| named.name == *cluster_name;
        let find_user = |named: &&NamedAuthInfo| Some(&named.name) == user_name;
        let cluster = kubeconfig.clusters.iter().find(find_cluster).and_then(|named| named.cluster.clone());
        let user = kubeconfig.auth_infos.iter().find(find_user).and_then(|named| named.auth_info.clone());
        if let Some(name) = given(self.cluster.as_ref()).filter(|_| cluster.is_none()) {
            return Err(Fault::NoEntry { kind: "cluster", name: name.clone() });
        }
        if let Some(name) = given(self.user.as_ref()).filter(|_| user.is_none()) {
            return Err(Fault::NoEntry { kind: "auth info", name: name.clone() });
        }
        let cluster = self.over_cluster(cluster.unwrap_or_default());
        Ok(Entry { context, cluster, user: self.over_user(user.unwrap_or_default()) })
    }

    fn context_of(&self, kubeconfig: &Kubeconfig) -> Result<Context, Fault> {
        let name = given(self.context.as_ref()).or(given(kubeconfig.current_context.as_ref()));
        let Some(name) = name else { return Ok(Context::default()) };
        let found = kubeconfig.contexts.iter().find(|named| named.name == *name);
        match found {
            Some(named) => Ok(named.context.clone().unwrap_or_default()),
            None => Err(Fault::NoEntry { kind: "context", name: name.clone() }),
        }
    }

    fn over_cluster(&self, mut cluster: ClusterEntry) -> ClusterEntry {
        cluster.server = cluster.server.filter(|server| !server.is_empty());
        put(&mut cluster.server, self.server.as_ref());
        put(&mut cluster.tls_server_name, self.tls_server_name.as_ref());
        put(&mut cluster.proxy_url, self.proxy_url.as_ref());
        if let Some(path) = self.certificate_authority.as_ref() {
            cluster.certificate_authority = Some(path.display().to_string());
            cluster.certificate_authority_data = None;
        }
        if on(self.insecure_skip_tls_verify) {
            cluster.insecure_skip_tls_verify = Some(true);
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = None;
        }
        if on(self.disable_compression) {
            cluster.disable_compression = Some(true);
        }
        cluster
    }

    fn over_user(&self, mut user: AuthInfo) -> AuthInfo {
        if let Some(token) = given(self.token.as_ref()) {
            user.token = Some(token.as_str().into());
            (user.token_file, user.exec, user.auth_provider) = (None, None, None);
        }
        put(&mut user.username, self.username.as_ref());
        if let Some(password) = given(self.password.as_ref()) {
            user.password = Some(password.as_str().into());
        }
        if let Some(path) = given_path(self.client_certificate.as_ref()) {
            user.client_certificate = Some(path.display().to_string());
            user.client_certificate_data = None;
        }
        if let Some(path) = given_path(self.client_key.as_ref()) {
            user.client_key = Some(path.display().to_string());
            user.client_key_data = None;
        }
        put(&mut user.impersonate, self.as_user.as_ref());
        put(&mut user.impersonate_uid, self.as_uid.as_ref());
        if !self.as_group.is_empty() {
            user.impersonate_groups = Some(self.as_group.clone());
        }
        user
    }
}

/// A context with what it names.
struct Entry {
    context: Context,
    cluster: ClusterEntry,
    user: AuthInfo,
}

impl Entry {
    /// Makes a kubeconfig of it alone.
    fn into_kubeconfig(self) -> Kubeconfig {
        let name = || "kubeseal".to_owned();
        let context = Context { cluster: name(), user: Some(name()), ..self.context };
        let mut kubeconfig = Kubeconfig { current_context: Some(name()), ..Kubeconfig::default() };
        kubeconfig.contexts = vec![NamedContext { name: name(), context: Some(context), ..NamedContext::default() }];
        kubeconfig.clusters =
            vec![NamedCluster { name: name(), cluster: Some(self.cluster), ..NamedCluster::default() }];
        kubeconfig.auth_infos =
            vec![NamedAuthInfo { name: name(), auth_info: Some(self.user), ..NamedAuthInfo::default() }];
        kubeconfig
    }
}

/// Passes over an empty text, which is no value for client-go.
fn given(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

fn given_path(path: Option<&PathBuf>) -> Option<&Path> {
    path.map(PathBuf::as_path).filter(|path| !path.as_os_str().is_empty())
}

fn put(place: &mut Option<String>, text: Option<&String>) {
    if let Some(text) = given(text) {
        *place = Some(text.clone());
    }
}
