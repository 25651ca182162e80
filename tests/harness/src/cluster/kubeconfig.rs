//! Writes kubeconfig files and client configurations for the test cluster, out of what the harness made itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::AuthInfo;
use serde_json::json;

use crate::certificates::Identity;

/// Is how a user shows who it is.
#[derive(Clone)]
pub(crate) enum Credential {
    /// With a client certificate.
    Certificate(Identity),
    /// With a ServiceAccount's token.
    Token(String),
}

/// Returns a kubeconfig file (JSON, which is YAML too) with everything in it that a client needs.
pub(crate) fn file(server: &str, authority_pem: &str, credential: &Credential) -> String {
    let user = match credential {
        Credential::Certificate(identity) => json!({
            "client-certificate-data": STANDARD.encode(&identity.certificate_pem),
            "client-key-data": STANDARD.encode(&identity.key_pem),
        }),
        Credential::Token(token) => json!({ "token": token }),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "test",
            "cluster": { "server": server, "certificate-authority-data": STANDARD.encode(authority_pem) },
        }],
        "users": [{ "name": "test", "user": user }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test" } }],
        "current-context": "test",
    })
    .to_string()
}

/// Returns kube's form of the same; no environment variable has a say in it.
pub(crate) fn config(server: http::Uri, authority_der: Vec<u8>, credential: &Credential) -> kube::Config {
    let mut config = kube::Config::new(server);
    config.root_cert = Some(vec![authority_der]);
    config.auth_info = match credential {
        Credential::Certificate(identity) => AuthInfo {
            client_certificate_data: Some(STANDARD.encode(&identity.certificate_pem)),
            client_key_data: Some(STANDARD.encode(&identity.key_pem).into()),
            ..AuthInfo::default()
        },
        Credential::Token(token) => AuthInfo { token: Some(token.clone().into()), ..AuthInfo::default() },
    };
    config
}
