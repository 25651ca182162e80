//! Checks of what the demo says: that the old state stands, and that nothing is left behind.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

use serde_json::Value;
use waxwing_harness::processes_in;

use crate::error::Error;
use crate::scene::{Scene, text};

/// What the cluster has of the tenant, as far as it must not change by itself. Of values it keeps a hash.
#[derive(PartialEq, Eq)]
pub(crate) struct State(BTreeMap<String, Version>);

#[derive(PartialEq, Eq)]
struct Version {
    uid: String,
    version: String,
    content: u64,
}

impl State {
    /// Reads the objects that carry Waxwing's mark.
    pub(crate) fn read(scene: &Scene) -> Result<Self, Error> {
        let kinds = "configmaps,deployments,secrets,services";
        let list = scene.get(&[kinds, "--selector=waxwing.dev/sync"])?;
        let items = list.get("items").and_then(Value::as_array).into_iter().flatten();
        Ok(Self(items.map(|item| (name(item), Version::of(item))).collect()))
    }

    /// Returns how many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the names of the objects that are not the same in `other`.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys().filter(|name| !self.0.contains_key(*name)));
        names.filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect()
    }
}

impl Version {
    /// The resource version of a Deployment moves with its status, so there the generation counts.
    fn of(object: &Value) -> Self {
        let generation = object.pointer("/metadata/generation").map(ToString::to_string);
        let mut content = DefaultHasher::new();
        for part in ["data", "spec", "type"] {
            object.get(part).map(ToString::to_string).hash(&mut content);
        }
        Self {
            uid: text(object, "/metadata/uid"),
            version: generation.unwrap_or_else(|| text(object, "/metadata/resourceVersion")),
            content: content.finish(),
        }
    }
}

fn name(object: &Value) -> String {
    format!("{}/{}", text(object, "/kind"), text(object, "/metadata/name"))
}

/// Fails with `claim` where something is not so.
pub(crate) fn claim(holds: bool, claim: impl FnOnce() -> String) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Claim { claim: claim() }) }
}

/// Makes sure that none of the folders exists, and that no process works in one.
pub(crate) fn nothing_left(folders: &[PathBuf]) -> Result<(), Error> {
    for folder in folders {
        claim(!folder.exists(), || format!("{} is still there", folder.display()))?;
        let processes = processes_in(folder)?;
        claim(processes.is_empty(), || format!("processes still run: {}", processes.join(", ")))?;
    }
    Ok(())
}
