//! The volume of the controller's state is full.

use serde_json::Value;
use waxwing_harness::{Controller, ControllerOptions, eventually};

use super::{commit_maps, options, value, world_alone};
use crate::stage::{PATIENCE, Stage};

const VOLUME: u64 = 4 << 20;
/// How many files of 100 KiB are committed, which don't fit.
const FILES: u32 = 60;

#[test]
fn a_full_volume_is_told_and_over_when_what_is_committed_fits_again() {
    let mut world = world_alone();
    world.controller.kill();
    let small = ControllerOptions { volume: Some(VOLUME), ..options(&world.proxy) };
    let small = Controller::start(world.cluster, small).unwrap();
    let stage = Stage::on(world.cluster, "disk").polled();
    let first = commit_maps(&stage, &[("a", "one")]);
    stage.sync("./app", "");
    stage.applied(&first);

    (0..FILES).for_each(|number| stage.repo.write(&format!("more/{number}"), noise(number)).unwrap());
    commit_maps(&stage, &[("a", "two")]);
    let stale = stage.source_says("fleet", "False", "no space is left; hint: enlarge the volume of the source store");
    assert_eq!(crate::stage::condition(&stale, "Ready")["reason"], "FetchFailed");
    assert!(stale["status"]["staleSince"].is_string(), "{:#}", stale["status"]);
    stage.kubectl(&["delete", "configmap/a"]).unwrap();
    eventually(PATIENCE, "drift put back", || stage.get("configmap/a")).unwrap();
    assert_eq!(value(&stage, "a"), "one");

    (0..FILES).for_each(|number| stage.repo.remove(&format!("more/{number}")).unwrap());
    let third = commit_maps(&stage, &[("a", "three")]);
    stage.applied(&third);
    assert_eq!(value(&stage, "a"), "three");
    let fine = stage.source_says("fleet", "True", &third);
    assert_eq!(fine["status"]["staleSince"], Value::Null);
    drop(small);
    world.controller.restart().unwrap();
    world.controller.wait_ready().unwrap();
}

/// Returns 100 KiB that can't be compressed (xorshift32, Marsaglia 2003).
fn noise(seed: u32) -> Vec<u8> {
    let mut state = seed + 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    (0..25 << 10).flat_map(|_| next()).collect()
}
