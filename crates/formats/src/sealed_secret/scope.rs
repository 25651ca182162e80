//! Where a sealed value may be opened: at one name, in one namespace, or anywhere in the cluster.
//!
//! The scope is not stored with the ciphertext; it decides the OAEP label, so a wrong scope simply doesn't open
//! (`pkg/apis/sealedsecrets/v1alpha1/sealedsecret_expansion.go`, `SecretScope` and `EncryptionLabel`).

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// Says how far a SealedSecret may be moved and still be opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Only under the same name in the same namespace.
    #[default]
    Strict,
    /// Under any name in the same namespace.
    NamespaceWide,
    /// Under any name in any namespace.
    ClusterWide,
}

impl Scope {
    /// All scopes, the narrowest first.
    pub const ALL: [Self; 3] = [Self::Strict, Self::NamespaceWide, Self::ClusterWide];
    /// The annotations that carry a scope.
    pub const ANNOTATIONS: [&'static str; 2] = [NAMESPACE_WIDE, CLUSTER_WIDE];

    /// Reads the scope from an object's annotations: only the exact string `true` counts, and the wider scope wins.
    pub fn from_annotations(annotations: &Map<String, Value>) -> Self {
        let is_set = |name| annotations.get(name).and_then(Value::as_str) == Some("true");
        match (is_set(CLUSTER_WIDE), is_set(NAMESPACE_WIDE)) {
            (true, _) => Self::ClusterWide,
            (false, true) => Self::NamespaceWide,
            (false, false) => Self::Strict,
        }
    }

    /// Returns the annotation that a SealedSecret of this scope carries with the value `true`; strict has none.
    pub fn annotation(self) -> Option<&'static str> {
        match self {
            Self::Strict => None,
            Self::NamespaceWide => Some(NAMESPACE_WIDE),
            Self::ClusterWide => Some(CLUSTER_WIDE),
        }
    }

    /// Returns the OAEP label: `namespace/name`, `namespace`, or nothing.
    pub fn label(self, namespace: &str, name: &str) -> Vec<u8> {
        match self {
            Self::Strict => format!("{namespace}/{name}").into_bytes(),
            Self::NamespaceWide => namespace.as_bytes().to_vec(),
            Self::ClusterWide => Vec::new(),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Strict => "strict",
            Self::NamespaceWide => "namespace-wide",
            Self::ClusterWide => "cluster-wide",
        })
    }
}

impl FromStr for Scope {
    type Err = ParseScopeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|scope| scope.to_string() == text).ok_or(ParseScopeError)
    }
}

/// The text names no scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one of strict, namespace-wide, cluster-wide")]
pub struct ParseScopeError;

const NAMESPACE_WIDE: &str = "sealedsecrets.bitnami.com/namespace-wide";
const CLUSTER_WIDE: &str = "sealedsecrets.bitnami.com/cluster-wide";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scope_of(annotations: Value) -> Scope {
        Scope::from_annotations(annotations.as_object().expect("the test passes an object"))
    }

    #[test]
    fn only_the_exact_string_true_widens_the_scope() {
        assert_eq!(scope_of(json!({})), Scope::Strict);
        for value in [json!("TRUE"), json!("1"), json!("yes"), json!(true), json!("")] {
            assert_eq!(scope_of(json!({ CLUSTER_WIDE: value })), Scope::Strict, "{value}");
        }
        assert_eq!(scope_of(json!({ NAMESPACE_WIDE: "true" })), Scope::NamespaceWide);
    }

    #[test]
    fn cluster_wide_wins_over_namespace_wide() {
        assert_eq!(scope_of(json!({ NAMESPACE_WIDE: "true", CLUSTER_WIDE: "true" })), Scope::ClusterWide);
    }

    #[test]
    fn labels_bind_what_the_scope_says() {
        let labels = Scope::ALL.map(|scope| String::from_utf8(scope.label("shop", "db")).expect("labels are text"));
        assert_eq!(labels, ["shop/db", "shop", ""]);
    }

    #[test]
    fn scopes_print_as_they_parse() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert_eq!("Strict".parse::<Scope>(), Err(ParseScopeError));
    }
}
