//! Builders for the tests of this crate.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::inventory::{Applied, Claims, Inventory, Outcome, Results};
use crate::{
    AllApplied, Digest, DigestContext, DriftPolicy, FieldMark, GroupKind, IgnoreRule, Inputs, Live, LiveMark,
    LiveOwner, Location, ManagerMark, Manifest, ObjectId, OwnerMark, Plan, PlanError, PrunePolicy, Recheck, SecretMark,
    Steering, builtin_scope, plan,
};

/// The group of a built-in kind that tests use.
fn group(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => "apps",
        "Role" | "RoleBinding" | "ClusterRole" | "ClusterRoleBinding" => "rbac.authorization.k8s.io",
        "CustomResourceDefinition" => "apiextensions.k8s.io",
        "ValidatingWebhookConfiguration" => "admissionregistration.k8s.io",
        "StorageClass" => "storage.k8s.io",
        "Widget" => "example.com",
        _ => "",
    }
}

/// The id of an object in the namespace `shop`, or of a cluster-scoped one.
pub(crate) fn id(kind: &str, name: &str) -> ObjectId {
    let kind = GroupKind::new(group(kind), kind);
    match builtin_scope(&kind) {
        Some(crate::Scope::Cluster) => ObjectId::cluster_scoped(kind, name),
        _ => ObjectId::namespaced(kind, "shop", name),
    }
}

/// A manifest with the fields of `rest` beside its identity.
pub(crate) fn manifest(kind: &str, name: &str, rest: Value) -> Manifest {
    let id = id(kind, name);
    let mut manifest = Manifest {
        version: "v1".to_owned(),
        body: json!({}),
        secrets: BTreeMap::new(),
        location: Some(Location { file: format!("{name}.yaml"), document: 0, line: 1 }),
        id,
    };
    manifest.body = json!({"apiVersion": manifest.api_version(), "kind": kind, "metadata": {"name": name}});
    if let Some(namespace) = &manifest.id.namespace {
        manifest.body["metadata"]["namespace"] = json!(namespace);
    }
    for (key, value) in rest.as_object().unwrap() {
        match (key.as_str(), value.as_object()) {
            ("metadata", Some(more)) => {
                more.iter().for_each(|(key, value)| manifest.body["metadata"][key] = value.clone());
            }
            _ => manifest.body[key] = value.clone(),
        }
    }
    manifest
}

/// Says that the string at `pointer` stands for a value of `secrets.enc.yaml`.
pub(crate) fn sealed(mut manifest: Manifest, pointer: &str) -> Manifest {
    let mark = SecretMark {
        file: "secrets.enc.yaml".to_owned(),
        document: 0,
        key_path: pointer.replace("/data/", "/stringData/"),
        scheme: "sops".to_owned(),
    };
    manifest.secrets.insert(pointer.to_owned(), vec![mark]);
    manifest
}

/// The Sync that tests plan for.
pub(crate) fn owner() -> OwnerMark {
    OwnerMark::new("flux", "web")
}

/// Prunes without a guard and without waiting.
pub(crate) const PRUNE: PrunePolicy = PrunePolicy { enabled: true, allow_empty: true, max_percent: 100, wait: false };

/// A cluster that does what it is told, and the inventory of one Sync.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    owner: OwnerMark,
    pub(crate) live: Live,
    pub(crate) inventory: Inventory,
    pub(crate) claims: Claims,
    pub(crate) drift: DriftPolicy,
    pub(crate) contested: BTreeSet<ObjectId>,
    pub(crate) ignore: Vec<IgnoreRule>,
    pub(crate) versions: BTreeMap<ObjectId, String>,
    clock: u32,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::of(owner())
    }
}

impl Cluster {
    /// Returns an empty cluster with the Sync `owner`.
    pub(crate) fn of(owner: OwnerMark) -> Self {
        let (live, inventory, claims) = (Live::new(), Inventory::default(), Claims::new());
        let (drift, contested, ignore) = (DriftPolicy::default(), BTreeSet::new(), Vec::new());
        Self { owner, live, inventory, claims, drift, contested, ignore, versions: BTreeMap::new(), clock: 0 }
    }

    /// Returns a cluster to which `manifests` were applied.
    pub(crate) fn with(manifests: &[Manifest]) -> Self {
        let mut cluster = Self::default();
        cluster.sync(manifests).unwrap();
        cluster
    }

    /// Plans, with everything looked up.
    pub(crate) fn plan(&mut self, manifests: &[Manifest], policy: PrunePolicy) -> Result<Plan, Vec<PlanError>> {
        let known = manifests.iter().map(|m| &m.id).chain(self.inventory.entries.keys());
        for id in known.cloned().collect::<Vec<_>>() {
            self.live.entry(id).or_insert(None);
        }
        plan(Inputs {
            manifests: manifests.to_vec(),
            inventory: &self.inventory,
            live: &self.live,
            claims: &self.claims,
            owner: &self.owner,
            drift: self.drift,
            contested: &self.contested,
            ignore: &self.ignore,
            versions: &self.versions,
            digest: DigestContext { secrets_spec: json!({}), cluster: "local", binding_rules_version: 1 },
            policy,
        })
    }

    /// Plans and does it all.
    pub(crate) fn sync(&mut self, manifests: &[Manifest]) -> Result<Plan, Vec<PlanError>> {
        let plan = self.plan(manifests, PRUNE)?;
        self.inventory = self.inventory.union(&plan);
        let mut results = Results::default();
        for step in plan.to_send() {
            results.applied.insert(step.manifest.id.clone(), self.apply(&step.manifest));
        }
        let applied = AllApplied::check(&plan, &results).unwrap();
        for deletion in plan.deletions(&applied, None).unwrap() {
            let live = self.live[deletion.id()].as_ref();
            assert!(matches!(deletion.recheck(live), Recheck::Delete { .. }));
            self.live.insert(deletion.id().clone(), None);
            results.deleted.insert(deletion.id().clone());
        }
        self.inventory = self.inventory.after_apply(&results).without_released(&plan).without_deleted(&results.deleted);
        Ok(plan)
    }

    /// Does what the API server does with an apply.
    pub(crate) fn apply(&mut self, manifest: &Manifest) -> Applied {
        let outcome = if self.live[&manifest.id].is_some() { Outcome::Configured } else { Outcome::Created };
        self.clock += 1;
        let before = self.live.get_mut(&manifest.id).unwrap().take();
        let uid = before.as_ref().map_or_else(|| format!("uid-{}", self.clock), |live| live.uid.clone());
        let time = format!("2026-01-01T00:00:{:05}Z", self.clock);
        let field_mark = Some(FieldMark { digest: Digest::of(&manifest.body), time });
        let live = LiveMark {
            uid: uid.clone(),
            resource_version: self.clock.to_string(),
            owner: Some(live_owner(&self.owner)),
            field_mark: field_mark.clone(),
            managed: Digest::of(&json!(self.clock)),
            generation: None,
            rewritten: false,
            controlled_by: None,
            terminating: false,
            others: before.map(|live| live.others).unwrap_or_default(),
            steering: Steering::of(manifest.body["metadata"]["annotations"].as_object()),
        };
        self.live.insert(manifest.id.clone(), Some(live));
        Applied { uid, field_mark, outcome }
    }

    /// Changes the metadata of a live object.
    pub(crate) fn edit(&mut self, id: &ObjectId, change: impl FnOnce(&mut LiveMark)) {
        change(self.live.get_mut(id).unwrap().as_mut().unwrap());
    }

    /// Has somebody write over our fields.
    pub(crate) fn overwrite(&mut self, id: &ObjectId, manager: &str) {
        self.clock += 1;
        let time = format!("2026-01-01T00:00:{:05}Z", self.clock);
        let by = ManagerMark { manager: manager.to_owned(), operation: "Update".to_owned(), time };
        self.edit(id, |live| {
            live.others.insert(0, by);
            live.field_mark.as_mut().unwrap().digest = Digest::of(&json!("less"));
        });
    }
}

/// The mark of a Sync as it is read from an object.
pub(crate) fn live_owner(owner: &OwnerMark) -> LiveOwner {
    LiveOwner { label: owner.label(), name: Some(owner.clone()) }
}
