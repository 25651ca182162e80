//! The world of the table: one repository with a folder a row, one age key, and a namespace a row.

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_harness::{AgeKey, Failure, GitRepo, Upstream};

use super::rows::Row;
use crate::stage::tenant;
use crate::watched::watched;

/// A value that stands in applies and nowhere else.
pub(super) const SECRET: &str = "opened-by-nobody-else";
/// What all objects of the table are found by.
const LABEL: &str = "waxwing-test=bad-input";

/// The content of one file of a row's folder.
#[derive(Clone)]
pub(super) enum Content {
    Text(String),
    Link(&'static str),
    Long(usize),
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

/// A row's folder.
pub(super) type Files = BTreeMap<String, Content>;

/// What all rows share.
pub(super) struct World {
    repo: GitRepo,
    upstream: Upstream,
    age: AgeKey,
    stranger: AgeKey,
    /// A Secret that sops sealed for the tenants.
    pub(super) database: String,
    /// The same Secret with another value.
    pub(super) changed: String,
}

impl World {
    pub(super) fn new() -> Self {
        let upstream = Upstream::new().unwrap();
        let (age, stranger) = (upstream.age_keygen().unwrap(), upstream.age_keygen().unwrap());
        let (database, changed) = (String::new(), String::new());
        let mut world = Self { repo: GitRepo::new().unwrap(), upstream, age, stranger, database, changed };
        let plain = secret_manifest("database", "");
        world.database = world.sops("database.yaml", &plain, &[]);
        world.changed = world.sops("database.yaml", &plain.replace(SECRET, &format!("{SECRET}-changed")), &[]);
        world
    }

    /// Encrypts with the real sops for the tenants.
    pub(super) fn sops(&self, name: &str, plain: &str, more: &[&str]) -> String {
        self.encrypt(name, plain, &self.age, more)
    }

    /// Encrypts with the real sops for somebody else.
    pub(super) fn sops_for_a_stranger(&self, name: &str, plain: &str) -> String {
        self.encrypt(name, plain, &self.stranger, &[])
    }

    fn encrypt(&self, name: &str, plain: &str, key: &AgeKey, more: &[&str]) -> String {
        let only_data = ["--encrypted-regex", "^(data|stringData)$"];
        let rules: &[&str] = if more.is_empty() { &only_data } else { more };
        let mut arguments = vec!["encrypt", "--age", key.recipient.as_str(), "--filename-override", name];
        arguments.extend(rules);
        self.upstream.sops(&arguments).unwrap().stdin(plain).text().unwrap()
    }

    /// Seals a Secret with the real kubeseal for the cluster.
    pub(super) fn seal(&self, name: &str, namespace: &str) -> String {
        let (status, pem) = watched().controller().get("/v1/cert.pem").unwrap();
        assert_eq!(status, 200, "{pem}");
        self.seal_with(&pem, name, namespace)
    }

    /// Seals a Secret with the real kubeseal and any certificate.
    pub(super) fn seal_with(&self, certificate: &str, name: &str, namespace: &str) -> String {
        let path = self.upstream.home().join("cert.pem");
        std::fs::write(&path, certificate).unwrap();
        let arguments = ["--cert", path.to_str().unwrap(), "--namespace", namespace, "--format", "yaml"];
        self.upstream.kubeseal(&arguments).unwrap().stdin(secret_manifest(name, "")).text().unwrap()
    }

    /// Puts what the rows need into the cluster, or back into it.
    pub(super) fn settle<'r>(&self, rows: impl Iterator<Item = &'r Row>) {
        let url = self.repo.file_url();
        let parts = |row: &Row| [tenant(&row.namespace(), &self.age), sync_of_row(row, &url)];
        watched().cluster.apply_yaml(&rows.flat_map(parts).collect::<String>()).unwrap();
    }

    /// Deletes an object, given as namespace and name.
    pub(super) fn delete(&self, (namespace, object): &(String, &str)) {
        watched().cluster.kubectl(&["--namespace", namespace, "delete", object]).unwrap();
    }

    /// Commits the folders of all rows at once and asks for it: with short intervals so many rows would keep the
    /// controller busy. A row without files has no folder.
    pub(super) fn commit<'r>(&self, rows: &'r [Row], files: impl Fn(&'r Row) -> Option<Files>) -> String {
        for row in rows {
            let folder = row.folder();
            self.repo.remove(&folder).ok();
            for (name, content) in files(row).into_iter().flatten() {
                let path = format!("{folder}/{name}");
                match content {
                    Content::Text(text) => self.repo.write(&path, text).unwrap(),
                    Content::Long(length) => self.repo.write(&path, vec![b'#'; length]).unwrap(),
                    Content::Link(target) => self.repo.symlink(target, &path).unwrap(),
                }
            }
        }
        let commit = self.repo.commit("change").unwrap();
        let request = format!("waxwing.dev/requestedAt={commit}");
        let everywhere = ["--all-namespaces", "--selector", LABEL, "--overwrite"];
        watched().cluster.kubectl(&[&["annotate", "gitsource", &request], everywhere.as_slice()].concat()).unwrap();
        commit
    }

    /// Returns what of the age identity is secret.
    pub(super) fn identity(&self) -> String {
        let line = self.age.identity.lines().find_map(|line| line.strip_prefix("AGE-SECRET-KEY-1"));
        line.unwrap()[..40].to_owned()
    }

    /// Replaces what differs from run to run.
    pub(super) fn masked(&self, text: String) -> String {
        let text = text.replace(&self.age.recipient, "RECIPIENT").replace(&self.stranger.recipient, "STRANGER");
        let mut parts = text.split("SHA256:");
        let first = parts.next().unwrap_or_default().to_owned();
        // The base64 of 32 bytes has 43 characters.
        parts.fold(first, |told, part| format!("{told}SHA256:FINGERPRINT{}", &part[43..]))
    }
}

/// Returns a Secret in clear text.
pub(super) fn secret_manifest(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  labels: {{team: shop}}\n{more}stringData:\n  user: admin-{SECRET}\n  password: {SECRET}\n"
    )
}

/// Returns a ConfigMap.
pub(super) fn config(name: &str, greeting: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{greeting: {greeting}}}\n")
}

/// The first commit of every row.
pub(super) fn good_files(world: &World) -> Files {
    files([
        ("config.yaml", config("settings", "good").into()),
        ("database.yaml", world.database.as_str().into()),
        ("leaving.yaml", config("leaving", "here").into()),
    ])
}

/// The commit after the bad one.
pub(super) fn better_files(world: &World) -> Files {
    files([
        ("config.yaml", config("settings", "better").into()),
        ("database.yaml", world.database.as_str().into()),
        ("arriving.yaml", config("arriving", "here").into()),
    ])
}

/// What every bad commit has beside its fault: a changed object, a new one, one that left, and this Secret.
pub(super) fn files_around_the_fault(database: &str) -> Files {
    files([
        ("config.yaml", config("settings", "bad").into()),
        ("database.yaml", database.into()),
        ("arriving.yaml", config("arriving", "here").into()),
    ])
}

fn files<const N: usize>(files: [(&str, Content); N]) -> Files {
    files.into_iter().map(|(name, content)| (name.to_owned(), content)).collect()
}

/// Returns the Sync of a row.
pub(super) fn sync(row: &Row) -> Result<Value, Failure> {
    watched().cluster.get(&format!("/apis/waxwing.dev/v1alpha1/namespaces/{}/syncs/app", row.namespace()))
}

/// Returns all ConfigMaps and Secrets by namespace and `Kind/name`.
pub(super) fn objects() -> BTreeMap<(String, String), Value> {
    let id = |object: &Value| {
        let metadata = &object["metadata"];
        (text(&metadata["namespace"]), format!("{}/{}", text(&object["kind"]), text(&metadata["name"])))
    };
    list("configmap,secret").into_iter().map(|object| (id(&object), object)).collect()
}

fn list(kinds: &str) -> Vec<Value> {
    let text = watched().cluster.kubectl(&["get", kinds, "--all-namespaces", "--output", "json"]).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Returns the password that a Secret has.
pub(super) fn secret(object: Option<&Value>) -> String {
    use base64::Engine;
    let encoded = object.map(|object| text(&object["data"]["password"])).unwrap_or_default();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()).unwrap()
}

/// Returns what a row has beside its tenant: rights in the whole cluster if it needs them, a GitSource and a Sync.
fn sync_of_row(row: &Row, url: &str) -> String {
    let (namespace, folder) = (row.namespace(), row.folder());
    let (key, value) = LABEL.split_once('=').unwrap();
    let everywhere = if row.rights_everywhere() { "cluster-admin" } else { "system:basic-user" };
    let label = format!("labels: {{{key}: {value}}}");
    format!(
        r#"---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: {namespace}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {everywhere}}}
subjects: [{{kind: ServiceAccount, name: deployer, namespace: {namespace}}}]
---
apiVersion: waxwing.dev/v1alpha1
kind: GitSource
metadata: {{name: fleet, namespace: {namespace}, {label}}}
spec: {{url: '{url}', interval: 1h}}
---
apiVersion: waxwing.dev/v1alpha1
kind: Sync
metadata: {{name: app, namespace: {namespace}, {label}}}
spec:
  sourceRef: {{name: fleet}}
  path: ./{folder}
  interval: 1h
  retryInterval: 1h
  serviceAccountName: deployer
  secrets: {{keysFrom: [{{secretRef: {{name: sops-age}}}}]}}
"#
    )
}
