//! Proves that an outage costs nothing but time: nothing is lost and nothing pruned by mistake, it is told as it is, few
//! requests are made while it lasts, and it is over without a hand when it is over.
//!
//! All tests here share one cluster with one controller behind a proxy. Those that break something for everybody have it alone.

mod api;
mod backup;
mod clock;
mod disk;
mod git;
mod watches;

use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_harness::{ClusterOptions, Controller, ControllerOptions, FaultProxy};

use crate::stage::{Stage, further_cluster};
use waxwing_harness::Cluster;

/// A cluster whose API server is behind a proxy for the one controller that works there.
pub(crate) struct World {
    pub(crate) cluster: &'static Cluster,
    pub(crate) proxy: FaultProxy,
    pub(crate) controller: Controller,
}

static WORLD: OnceLock<RwLock<World>> = OnceLock::new();

fn the_world() -> &'static RwLock<World> {
    WORLD.get_or_init(|| RwLock::new(World::start()))
}

/// Waits until no other test has the world, and returns it with nothing broken.
pub(crate) fn world_alone() -> RwLockWriteGuard<'static, World> {
    let mut world = the_world().write().unwrap_or_else(PoisonError::into_inner);
    world.mend();
    the_world().clear_poison();
    world
}

/// Returns the world for a test that breaks nothing but requests that name its own namespace.
fn world() -> RwLockReadGuard<'static, World> {
    the_world().read().unwrap_or_else(|_| RwLockWriteGuard::downgrade(world_alone()))
}

impl World {
    fn start() -> Self {
        let cluster = further_cluster(ClusterOptions::default());
        let proxy = FaultProxy::start(cluster).unwrap();
        let controller = Controller::start(cluster, options(&proxy)).unwrap();
        Self { cluster, proxy, controller }
    }

    /// Undoes what a test that failed may have left.
    fn mend(&mut self) {
        self.proxy.lift();
        if !self.proxy.is_running() {
            self.proxy.restart().unwrap();
        }
        if self.controller.get("/readyz").is_err() {
            self.controller.restart().unwrap();
        }
        self.controller.wait_ready().unwrap();
    }

    /// Makes a tenant with a repository in which the folder `app` has these ConfigMaps, and waits until they are applied. The
    /// Sync comes back by itself in an hour after success, and after `retry` when somebody has to change something.
    pub(crate) fn tenant(&self, name: &str, retry: &str, maps: &[(&str, &str)]) -> (Stage, String) {
        let stage = Stage::on(self.cluster, name).polled();
        let commit = commit_maps(&stage, maps);
        stage.sync("./app", "");
        stage.applied(&commit);
        stage.patch_spec(&json!({"retryInterval": retry}).to_string());
        let sync = stage
            .sync_is("the new spec", |sync| sync["status"]["observedGeneration"] == sync["metadata"]["generation"]);
        assert_eq!(sync["spec"]["retryInterval"], retry);
        (stage, commit)
    }
}

/// Returns how to start a controller behind the proxy.
pub(crate) fn options(proxy: &FaultProxy) -> ControllerOptions {
    let options = ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &["--allow-file-sources"]);
    ControllerOptions { kubeconfig: Some(proxy.kubeconfig()), ..options }
}

/// Commits ConfigMaps with these names and values.
fn commit_maps(stage: &Stage, maps: &[(&str, &str)]) -> String {
    let file = |(name, value): &(&str, &str)| (format!("app/{name}.yaml"), crate::act::config_map(name, value));
    for (path, text) in maps.iter().map(file) {
        stage.repo.write(&path, text).unwrap();
    }
    stage.repo.commit("change").unwrap()
}

fn value(stage: &Stage, map: &str) -> Value {
    stage.get(&format!("configmap/{map}")).map_or(Value::Null, |object| object["data"]["key"].clone())
}

fn uid(stage: &Stage, map: &str) -> Value {
    stage.get(&format!("configmap/{map}")).unwrap()["metadata"]["uid"].clone()
}

/// Returns how often something is tried at most between `since` and now, when it pauses for `first` after the first try, twice
/// as long after each further one, and never longer than `longest`.
fn tries(since: Instant, first: Duration, longest: Duration) -> usize {
    let mut rest = since.elapsed();
    let (mut tries, mut pause) = (1, first.min(longest));
    while let Some(left) = rest.checked_sub(pause) {
        (tries, rest, pause) = (tries + 1, left, (pause * 2).min(longest));
    }
    tries
}
