//! A repository of some forty objects that changes at random, and what the cluster should have of it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use waxwing_harness::Cluster;

use crate::stage::Stage;

/// How many objects a commit has.
const OBJECTS: usize = 40;
/// How many of the ConfigMaps are never removed.
const KEPT: usize = 8;

/// What tells an object from all others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Id {
    /// Returns the id of a live object.
    pub(super) fn of(object: &Value) -> Self {
        Self::from(&object["kind"], &object["metadata"])
    }

    /// Returns the id of an entry of an inventory.
    pub(super) fn of_entry(entry: &Value) -> Self {
        Self::from(&entry["kind"], entry)
    }

    fn from(kind: &Value, place: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self { kind: text(kind), namespace: text(&place["namespace"]), name: text(&place["name"]) }
    }

    fn file(&self) -> String {
        format!("app/{}-{}.yaml", self.kind.to_lowercase(), self.name)
    }
}

/// The objects of the newest commit, each with its value; `""` where the kind has none.
pub(super) struct Fleet {
    wanted: BTreeMap<Id, String>,
    namespace: String,
    next: usize,
    random: Random,
}

impl Fleet {
    /// Writes what every commit has: a namespace with an account in it, a sealed Secret, and some ConfigMaps.
    pub(super) fn new(stage: &Stage, random: Random) -> Self {
        let namespace = stage.namespace.clone();
        let mut fleet = Self { wanted: BTreeMap::new(), namespace, next: 0, random };
        fleet.put(stage, fleet.id("Namespace", "", &far(&stage.namespace)), "");
        fleet.put(stage, fleet.id("ServiceAccount", &far(&stage.namespace), "runner"), "");
        fleet.put(stage, fleet.id("Secret", &fleet.namespace, "database"), "first");
        (0..KEPT).for_each(|_| fleet.add(stage));
        fleet
    }

    /// Returns how many objects every commit has.
    pub(super) fn keepers(&self) -> usize {
        KEPT + 3
    }

    /// Tells whether every commit has this object.
    pub(super) fn keeps(&self, id: &Id) -> bool {
        let is_kept = id.kind != "ConfigMap" || (0..KEPT).any(|number| config(number) == id.name);
        is_kept && self.wanted.contains_key(id)
    }

    /// Returns what the cluster should have.
    pub(super) fn wanted(&self) -> &BTreeMap<Id, String> {
        &self.wanted
    }

    /// Returns an object that not every commit has, and that is a ConfigMap.
    pub(super) fn any(&mut self) -> Option<Id> {
        let others = self.wanted.keys().filter(|id| id.kind == "ConfigMap" && !self.keeps(id)).cloned().collect();
        self.random.pick(others)
    }

    /// Removes some objects, changes some, adds some, and commits.
    pub(super) fn change_and_commit(&mut self, stage: &Stage) -> String {
        for _ in 0..self.random.below(5) {
            let removable = self.wanted.keys().filter(|id| !self.keeps(id)).cloned().collect();
            let Some(id) = self.random.pick(removable) else { break };
            stage.repo.remove(&id.file()).unwrap();
            self.wanted.remove(&id);
        }
        for _ in 0..5 + self.random.below(20) {
            let configs = self.wanted.keys().filter(|id| id.kind == "ConfigMap").cloned().collect();
            let Some(id) = self.random.pick(configs) else { break };
            let value = self.random.word();
            self.put(stage, id, &value);
        }
        if self.random.below(3) == 0 {
            let value = self.random.word();
            self.put(stage, self.id("Secret", &self.namespace, "database"), &value);
        }
        while self.wanted.len() < OBJECTS {
            self.add(stage);
        }
        stage.commit(&[])
    }

    fn add(&mut self, stage: &Stage) {
        let namespace = if self.next.is_multiple_of(3) { far(&self.namespace) } else { self.namespace.clone() };
        let value = self.random.word();
        self.put(stage, self.id("ConfigMap", &namespace, &config(self.next)), &value);
        self.next += 1;
    }

    fn put(&mut self, stage: &Stage, id: Id, value: &str) {
        let Id { kind, namespace, name } = &id;
        let metadata = match namespace.as_str() {
            "" => format!("{{name: {name}}}"),
            _ => format!("{{name: {name}, namespace: {namespace}}}"),
        };
        let head = format!("apiVersion: v1\nkind: {kind}\nmetadata: {metadata}\n");
        let text = match kind.as_str() {
            "ConfigMap" => format!("{head}data: {{value: {value}}}\n"),
            "Secret" => {
                let plain = format!("{head}stringData: {{value: {value}}}\n");
                stage.sops("x.yaml", &plain, &["--encrypted-regex", "^stringData$"])
            }
            _ => head,
        };
        stage.repo.write(&id.file(), text).unwrap();
        self.wanted.insert(id, value.to_owned());
    }

    fn id(&self, kind: &str, namespace: &str, name: &str) -> Id {
        Id { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// The namespace that is in the repository of the tenant in this one.
pub(super) fn far(namespace: &str) -> String {
    format!("{namespace}-far")
}

fn config(number: usize) -> String {
    format!("config-{number:03}")
}

/// Puts objects that are not in the repository into both namespaces.
pub(super) fn add_bystanders(cluster: &Cluster, stage: &Stage) {
    let near = &stage.namespace;
    let objects = [("ConfigMap", near.clone()), ("Secret", near.clone()), ("ConfigMap", far(near))];
    let document = |(kind, namespace)| {
        format!("---\napiVersion: v1\nkind: {kind}\nmetadata: {{name: bystander, namespace: {namespace}}}\n")
    };
    cluster.apply_yaml(&objects.map(document).concat()).unwrap();
}

/// Returns the value of a live object.
pub(super) fn value(object: &Value) -> String {
    let value = object["data"]["value"].as_str().unwrap_or_default();
    match object["kind"] == "Secret" {
        true => String::from_utf8(STANDARD.decode(value).unwrap()).unwrap(),
        false => value.to_owned(),
    }
}

/// Returns a seed that nobody has seen before.
pub(super) fn new_seed() -> u64 {
    RandomState::new().hash_one(())
}

/// Numbers that look random and follow from a seed (SplitMix64, Steele et al. 2014).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns numbers of their own, so that how many are drawn from one changes nothing in the other.
    pub(super) fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// Returns a number from 0 to 1.
    pub(super) fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap()) / f64::from(u32::MAX)
    }

    /// Returns a number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn word(&mut self) -> String {
        format!("v{:x}", self.next())
    }

    /// Returns one of these, none where there is none.
    pub(super) fn pick<T>(&mut self, mut from: Vec<T>) -> Option<T> {
        let index = self.below(from.len().max(1) as u64);
        usize::try_from(index).ok().filter(|index| *index < from.len()).map(|index| from.swap_remove(index))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
