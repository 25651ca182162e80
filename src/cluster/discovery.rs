//! Which kinds the API server has, and where they live.
//!
//! Read once and kept; read again when a manifest has a kind that isn't known, since a CRD may have come since.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use kube::Client;
use kube::core::GroupVersionKind;
use kube::discovery::{ApiResource, Discovery, Scope};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use waxwing_plan::{GroupKind, ObjectId};

use super::call::{Call, CallError};
use super::identity::Identity;

/// What may stand in a path segment as it is (RFC 3986, "unreserved", and the colon of RBAC names).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// One kind in one version, as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    plural: String,
    /// Whether objects of this kind live in namespaces.
    pub namespaced: bool,
}

/// The kinds that the API server had when they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    served: HashMap<GroupKind, Vec<(String, Served)>>,
}

impl Kinds {
    /// Tells whether objects of this kind live in namespaces; none when the kind isn't known.
    pub fn namespaced(&self, kind: &GroupKind) -> Option<bool> {
        self.served.get(kind)?.first().map(|(_, served)| served.namespaced)
    }

    /// Returns the kind as served in `version`.
    pub fn served(&self, kind: &GroupKind, version: &str) -> Option<&Served> {
        self.served.get(kind)?.iter().find(|(served, _)| served == version).map(|(_, served)| served)
    }

    /// Returns the version to read this kind in when any will do: the API server's preferred one.
    pub fn any_version(&self, kind: &GroupKind) -> Option<&str> {
        self.served.get(kind)?.first().map(|(version, _)| version.as_str())
    }

    /// Returns the path of one object, none when the kind isn't served in `version`.
    pub fn object_path(&self, id: &ObjectId, version: &str) -> Option<String> {
        let name = segment(&id.name)?;
        Some(format!("{}/{name}", self.collection_path(&id.kind, version, id.namespace.as_deref())?))
    }

    /// Returns the path of all objects of a kind, in one namespace or in all of them.
    pub fn collection_path(&self, kind: &GroupKind, version: &str, namespace: Option<&str>) -> Option<String> {
        let plural = &self.served(kind, version)?.plural;
        let root = version_path(kind, version)?;
        Some(match namespace {
            Some(namespace) => format!("{root}/namespaces/{}/{plural}", segment(namespace)?),
            None => format!("{root}/{plural}"),
        })
    }

    /// Returns a kind in its preferred version, as watches name it.
    pub(super) fn resource(&self, kind: &GroupKind) -> Option<ApiResource> {
        let (version, served) = self.served.get(kind)?.first()?;
        let gvk = GroupVersionKind::gvk(&kind.group, version, &kind.kind);
        Some(ApiResource::from_gvk_with_plural(&gvk, &served.plural))
    }

    /// Returns what an access review asks about doing `verb` with an object (`authorization.k8s.io/v1` `ResourceAttributes`).
    pub(super) fn attributes(&self, id: &ObjectId, verb: &str) -> Option<Value> {
        let (version, served) = self.served.get(&id.kind)?.first()?;
        Some(json!({
            "verb": verb,
            "group": id.kind.group,
            "version": version,
            "resource": served.plural,
            "namespace": id.namespace,
            "name": id.name,
        }))
    }

    fn add(&mut self, group: &str, resource: &ApiResource, scope: &Scope) {
        let served = Served { plural: resource.plural.clone(), namespaced: matches!(scope, Scope::Namespaced) };
        let versions = self.served.entry(GroupKind::new(group, resource.kind.as_str())).or_default();
        versions.push((resource.version.clone(), served));
    }
}

/// Returns the path of a group's version. What names them may come from an inventory that somebody wrote by hand.
fn version_path(kind: &GroupKind, version: &str) -> Option<String> {
    let version = segment(version)?;
    match kind.group.as_str() {
        "" => Some(format!("/api/{version}")),
        group => Some(format!("/apis/{}/{version}", segment(group)?)),
    }
}

/// Encodes a name for a path, and refuses what would climb out of it.
fn segment(name: &str) -> Option<String> {
    let safe = !matches!(name, "" | "." | "..");
    safe.then(|| utf8_percent_encode(name, SEGMENT).to_string())
}

/// Reads the kinds and keeps them.
pub struct KindsCache {
    client: Client,
    kinds: RwLock<Option<Arc<Kinds>>>,
}

impl KindsCache {
    /// Starts with nothing read.
    pub fn new(client: Client) -> Self {
        Self { client, kinds: RwLock::new(None) }
    }

    /// Returns the kinds, from memory where they have been read before.
    ///
    /// # Errors
    ///
    /// Fails when the API server doesn't answer.
    pub async fn get(&self) -> Result<Arc<Kinds>, CallError> {
        let kept = self.kinds.read().unwrap_or_else(PoisonError::into_inner).clone();
        match kept {
            Some(kinds) => Ok(kinds),
            None => self.refresh().await,
        }
    }

    /// Reads the kinds again.
    ///
    /// # Errors
    ///
    /// Fails when the API server doesn't answer.
    pub async fn refresh(&self) -> Result<Arc<Kinds>, CallError> {
        let unreachable = |_| CallError::Unreachable { path: "/apis".to_owned() };
        let discovery = Discovery::new(self.client.clone()).run_aggregated().await.map_err(unreachable)?;
        Ok(self.keep(read(&discovery)))
    }

    /// Keeps what was read, and goes on handing out the same value as long as nothing has changed.
    fn keep(&self, read: Kinds) -> Arc<Kinds> {
        let mut kept = self.kinds.write().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(same) if **same == read => same.clone(),
            _ => kept.insert(Arc::new(read)).clone(),
        }
    }
}

/// Makes sure that the API server doesn't have a kind that it didn't list: the listing leaves out what it can't reach, such as
/// an aggregated API whose server is down, and the objects of that are not gone.
///
/// # Errors
///
/// Fails when the group's API doesn't answer, or has the kind after all.
pub async fn confirm_unserved(client: &Client, kind: &GroupKind, version: &str) -> Result<(), CallError> {
    let Some(path) = version_path(kind, version) else { return Ok(()) };
    let resources = match Call::get(&path).send(client, &Identity::Controller).await {
        Ok(listed) => listed,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut resources = resources.get("resources").and_then(Value::as_array).into_iter().flatten();
    match resources.any(|resource| resource.get("kind").is_some_and(|name| *name == kind.kind)) {
        true => Err(CallError::Malformed { path }),
        false => Ok(()),
    }
}

fn read(discovery: &Discovery) -> Kinds {
    let mut kinds = Kinds::default();
    for group in discovery.groups() {
        let preferred = group.preferred_version_or_latest();
        let mut versions: Vec<&str> = group.versions().collect();
        versions.sort_by_key(|version| *version != preferred);
        for version in versions {
            for (resource, capabilities) in group.versioned_resources(version) {
                kinds.add(group.name(), &resource, &capabilities.scope);
            }
        }
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds() -> Kinds {
        let secrets = Served { plural: "secrets".into(), namespaced: true };
        let roles = Served { plural: "clusterroles".into(), namespaced: false };
        Kinds {
            served: HashMap::from([
                (GroupKind::new("", "Secret"), vec![("v1".to_owned(), secrets)]),
                (GroupKind::new("rbac.authorization.k8s.io", "ClusterRole"), vec![("v1".to_owned(), roles)]),
            ]),
        }
    }

    fn secret(name: &str) -> ObjectId {
        ObjectId { kind: GroupKind::new("", "Secret"), namespace: Some("shop".into()), name: name.into() }
    }

    #[test]
    fn paths_are_those_of_the_api_conventions() {
        let role = ObjectId {
            kind: GroupKind::new("rbac.authorization.k8s.io", "ClusterRole"),
            namespace: None,
            name: "system:node".into(),
        };
        let path = |id: &ObjectId| kinds().object_path(id, "v1").unwrap();
        assert_eq!(path(&secret("db")), "/api/v1/namespaces/shop/secrets/db");
        assert_eq!(path(&role), "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node");
    }

    #[test]
    fn a_name_from_git_cannot_leave_its_place_in_a_path() {
        for (name, encoded) in [("../x", "..%2Fx"), ("a?dryRun=All", "a%3FdryRun%3DAll"), ("a%2Fb", "a%252Fb")] {
            let path = kinds().object_path(&secret(name), "v1").unwrap();
            assert_eq!(path, format!("/api/v1/namespaces/shop/secrets/{encoded}"));
        }
        for name in ["", ".", ".."] {
            assert_eq!(kinds().object_path(&secret(name), "v1"), None);
        }
    }

    #[test]
    fn a_group_or_version_from_an_inventory_cannot_leave_its_place_in_a_path() {
        let path = |group: &str, version: &str| version_path(&GroupKind::new(group, "Pod"), version);
        let proxied = path("", "v1/namespaces/shop/pods/web/proxy").unwrap();
        assert_eq!(proxied, "/api/v1%2Fnamespaces%2Fshop%2Fpods%2Fweb%2Fproxy");
        assert_eq!(path("x/../../api", "v1?watch=1").unwrap(), "/apis/x%2F..%2F..%2Fapi/v1%3Fwatch%3D1");
        assert_eq!((path("..", "v1"), path("apps", "..")), (None, None));
    }

    #[test]
    fn an_unknown_kind_or_version_has_no_path() {
        assert_eq!(kinds().object_path(&secret("db"), "v2"), None);
        assert_eq!(kinds().namespaced(&GroupKind::new("example.com", "Nothing")), None);
    }
}
