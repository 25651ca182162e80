//! The world of the table: a neighbour whose Sync has applied all that it has, and a thief next door with a repository, a
//! key and a ServiceAccount of his own, who may do everything in his namespace and nothing in the neighbour's.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use waxwing_formats::{Handle, HandleInput, KeyPath};
use waxwing_plan::OwnerMark;

use super::rows::{Forged, Row};
use crate::stage::{Stage, certificate};

/// A value that the neighbour has, and the thief must never see.
pub(super) const TREASURE: &str = "the-neighbours-treasure";
/// A value that the thief has sealed, and that must not end where others can read it.
pub(super) const LOOT: &str = "a-value-for-few-to-see";

/// What the neighbour has beside a tenant's things: names that exist in that namespace alone, and what nobody manages.
const NEIGHBOUR: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: neighbours-deployer, namespace: VICTIM}
---
apiVersion: v1
kind: Secret
metadata: {name: neighbours-age, namespace: VICTIM}
stringData: {age.agekey: IDENTITY}
---
apiVersion: waxwing.dev/v1alpha1
kind: GitSource
metadata: {name: neighbours-fleet, namespace: VICTIM}
spec: {url: 'URL', interval: 1h, suspend: true}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: unmanaged, namespace: VICTIM}
data: {key: value}
"#;

pub(super) struct World {
    pub(super) victim: Stage,
    pub(super) thief: Stage,
    /// A SealedSecret of the neighbour.
    pub(super) sealed: String,
    /// Another one, which stands in no repository of the neighbour's yet.
    pub(super) spare: String,
    /// A SOPS file of the neighbour.
    pub(super) database: String,
}

impl World {
    /// Makes both, and lets the neighbour's Sync open and apply everything.
    pub(super) fn new() -> Self {
        let (victim, thief) = (Stage::new("victim"), Stage::new("thief"));
        let [sealed, spare] = ["login", "spare"].map(|name| seal(&victim, &secret(name, TREASURE)));
        let database = victim.sops("x.yaml", &secret("database", TREASURE), &["--encrypted-regex", "^stringData$"]);
        let world = Self { victim, thief, sealed, spare, database };
        let identity = world.victim.age.identity.lines().last().unwrap();
        let neighbour = NEIGHBOUR.replace("IDENTITY", identity).replace("URL", &world.victim.repo.file_url());
        let gauge = include_str!("gauge.yaml").replace("THIEF", &world.thief.namespace);
        let both = format!("{}---\n{gauge}", neighbour.replace("VICTIM", &world.victim.namespace));
        world.thief.cluster.apply_yaml(&both).unwrap();
        let commit = world.victim.commit(&[
            ("app/login.yaml", &world.sealed),
            ("app/database.yaml", &world.database),
            ("app/settings.yaml", &config("settings", "theirs")),
            ("app/leaving.yaml", &config("leaving", "theirs")),
        ]);
        world.victim.sync("./app", "");
        world.victim.applied(&commit);
        assert_eq!(world.victim.secret_value("database", "password").as_deref(), Some(TREASURE));
        world
    }

    /// Seals with the real kubeseal what the thief wants to have in his own namespace.
    pub(super) fn seal_for_thief(&self, plain: &str) -> String {
        seal(&self.thief, plain)
    }

    /// Encrypts with the real sops for the thief's own key.
    pub(super) fn sops(&self, plain: &str, more: &[&str]) -> String {
        self.thief.sops("x.yaml", plain, more)
    }

    /// Returns the label of what the neighbour's Sync has applied.
    pub(super) fn neighbours_label(&self) -> String {
        OwnerMark::new(self.victim.namespace.as_str(), "app").label()
    }

    /// Returns the handle that stands in the neighbour's renders where the password of `database` is.
    pub(super) fn neighbours_handle(&self) -> String {
        let token = self.database.lines().find_map(|line| line.trim_start().strip_prefix("password: ")).unwrap();
        let path = KeyPath::root().key("stringData").key("password");
        let input = HandleInput { domain: "sops", document: 0, path: &path, token: token.as_bytes() };
        Handle::of_ciphertext(input).to_string()
    }

    /// Returns what an Inventory would say of a ConfigMap of the neighbour if it was one's own.
    pub(super) fn inventory_entry(&self, name: &str) -> String {
        let namespace = &self.victim.namespace;
        let uid = self.victim.get(&format!("configmap/{name}")).unwrap()["metadata"]["uid"].clone();
        json!({"version": "v1", "kind": "ConfigMap", "namespace": namespace, "name": name, "uid": uid, "state": "Applied"})
            .to_string()
    }

    /// Returns the id that Git gives to a file with this text.
    pub(super) fn blob(&self, text: &str) -> String {
        self.thief.repo.write("blob", text).unwrap();
        let id = self.thief.repo.git(&["hash-object", "blob"]).unwrap();
        self.thief.repo.remove("blob").unwrap();
        id.trim().to_owned()
    }

    /// Creates the Syncs of all rows with their forged inventories, of which the Syncs learn when they begin; then lets them.
    pub(super) fn begin(&self, rows: &[Row]) {
        self.thief.source();
        let syncs: String = rows.iter().map(|row| self.sync(row)).collect();
        self.thief.cluster.apply_yaml(&syncs).unwrap();
        let uids = self.syncs();
        let forged = rows.iter().filter_map(|row| Some((row.sync(), row.forged.as_ref()?)));
        let forged: String = forged.map(|(sync, forged)| self.inventory(&sync, forged, &uids[&sync])).collect();
        self.thief.cluster.apply_yaml(&forged).unwrap();
        for row in rows {
            self.change(&row.sync(), &json!({"spec": {"suspend": false}}));
        }
    }

    /// Changes a Sync of the thief.
    pub(super) fn change(&self, sync: &str, patch: &Value) -> Value {
        let path = self.thief.path(&format!("sync/{sync}")).unwrap();
        self.thief.cluster.merge(&path, patch).unwrap()
    }

    fn sync(&self, row: &Row) -> String {
        let own_source = if row.spec.contains("sourceRef") { "" } else { "  sourceRef: {name: fleet}\n" };
        let spec: String = row.spec.lines().map(|line| format!("  {line}\n")).collect();
        let (name, namespace) = (row.sync(), &self.thief.namespace);
        format!(
            "---\napiVersion: waxwing.dev/v1alpha1\nkind: Sync\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  path: ./{name}\n  interval: 1h\n  retryInterval: 5s\n  suspend: true\n{own_source}{spec}"
        )
    }

    fn inventory(&self, sync: &str, forged: &Forged, live: &Value) -> String {
        let Forged { entries, verified, uid } = forged;
        // The first shard of another Sync of this name would be in the way of the row's own.
        let shard = if uid.is_some() { 9 } else { 0 };
        let uid = uid.unwrap_or_else(|| live["metadata"]["uid"].as_str().unwrap());
        let label = OwnerMark::new(self.thief.namespace.as_str(), sync).label();
        let namespace = &self.thief.namespace;
        format!(
            "---\napiVersion: waxwing.dev/v1alpha1\nkind: Inventory\nmetadata: {{name: {sync}.{shard}, namespace: {namespace}, labels: {{waxwing.dev/inventory-of: '{label}'}}}}\nspec: {{sync: {{name: {sync}, uid: {uid}}}, shard: {shard}, entries: [{entries}], verified: [{verified}]}}\n"
        )
    }

    /// Returns the thief's Syncs by name.
    pub(super) fn syncs(&self) -> BTreeMap<String, Value> {
        self.thief.get("syncs").unwrap()["items"].as_array().unwrap().iter().map(by_name).collect()
    }

    /// Replaces what differs from run to run.
    pub(super) fn masked(&self, text: &str, commit: &str) -> String {
        let pairs = [
            (self.thief.namespace.as_str(), "THIEF"),
            (&self.victim.namespace, "VICTIM"),
            (&self.victim.age.recipient, "VICTIMS-KEY"),
            (&self.thief.age.recipient, "THIEFS-KEY"),
            (commit, "COMMIT"),
        ];
        let text = pairs.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
        let mut parts = text.split("SHA256:");
        let first = parts.next().unwrap_or_default().to_owned();
        // The base64 of 32 bytes has 43 characters.
        parts.fold(first, |told, part| format!("{told}SHA256:FINGERPRINT{}", &part[43..]))
    }
}

/// Returns the ConfigMaps and Secrets of a namespace by kind and name, without the certificate that the controller manager puts
/// into every namespace.
pub(super) fn objects(stage: &Stage) -> BTreeMap<String, Value> {
    let list = |kind: &str| stage.cluster.get(&format!("/api/v1/namespaces/{}/{kind}s", stage.namespace)).unwrap();
    let named = |kind: &'static str| {
        let items = list(kind)["items"].as_array().unwrap().clone();
        items.into_iter().map(move |object| (format!("{kind}/{}", by_name(&object).0), object))
    };
    let all = named("configmap").chain(named("secret"));
    all.filter(|(name, _)| name != "configmap/kube-root-ca.crt").collect()
}

fn by_name(object: &Value) -> (String, Value) {
    (object["metadata"]["name"].as_str().unwrap().to_owned(), object.clone())
}

fn seal(stage: &Stage, plain: &str) -> String {
    let certificate = certificate(stage);
    let arguments = ["--cert", certificate.to_str().unwrap(), "--format", "yaml", "--namespace", &stage.namespace];
    stage.upstream.kubeseal(&arguments).unwrap().stdin(plain).text().unwrap()
}

/// Returns a Secret.
pub(super) fn secret(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{password: {value}}}\n")
}

/// Returns a ConfigMap.
pub(super) fn config(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: {value}}}\n")
}
