//! The clock of the controller's machine is put forward and back.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use waxwing_harness::{Clock, Controller, ControllerOptions, eventually};

use super::{commit_maps, options, value, world_alone};
use crate::act::message;
use crate::stage::{PATIENCE, Stage, condition};

const DAY: i64 = 24 * 60 * 60;
/// More requests than a few walks of the line make, and fewer than a loop without pauses.
const MANY: usize = 300;
/// Nothing runs in this cluster, so it is never there.
const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web}]}\n";

#[test]
fn a_clock_that_is_put_forward_or_back_makes_nothing_late_or_early_and_nobody_busy() {
    let mut world = world_alone();
    world.controller.kill();
    let clock = Clock::new().unwrap();
    let with_clock = ControllerOptions { environment: clock.environment(), ..options(&world.proxy) };
    let controller = Controller::start(world.cluster, with_clock).unwrap();
    let stage = Stage::on(world.cluster, "clock").polled();
    stage.repo.write("app/web.yaml", WEB).unwrap();
    let first = commit_maps(&stage, &[("a", "one")]);
    stage.sync("./app", "");
    waits(&stage, &first);

    for (map, days) in [("two", 1), ("three", -1)] {
        let since = Instant::now();
        clock.put(days * DAY).unwrap();
        stage.kubectl(&["delete", "configmap/a"]).unwrap();
        eventually(PATIENCE, "drift put back", || stage.get("configmap/a")).unwrap();
        assert_eq!(condition(&stage.request(), "Ready")["reason"], "Progressing");
        let commit = commit_maps(&stage, &[("a", map)]);
        waits(&stage, &commit);
        assert_eq!(value(&stage, "a"), map);
        let source = stage.get("gitsource/fleet").unwrap();
        assert_eq!(source["status"]["staleSince"], Value::Null);
        let fetched: Timestamp = source["status"]["fetchedAt"].as_str().unwrap().parse().unwrap();
        let ahead = fetched.duration_since(Timestamp::now()).as_hours() - days * 24;
        assert!(ahead.abs() <= 1, "{fetched} is not by the clock that was put {days} days");
        let requests = world.proxy.requests_since(since);
        let own = requests.iter().filter(|request| request.target.contains(&stage.namespace)).count();
        assert!(own < MANY, "{own} requests");
    }

    stage.patch_spec(r#"{"timeout": "8s"}"#);
    stage.sync_is("the new spec", |sync| sync["status"]["observedGeneration"] == sync["metadata"]["generation"]);
    clock.put(-2 * DAY).unwrap();
    let late = stage.ready("False", |message| message.contains("not healthy within 8s"));
    let since: Timestamp = condition(&late, "Ready")["lastTransitionTime"].as_str().unwrap().parse().unwrap();
    assert!(since < Timestamp::now() - SignedDuration::from_hours(24), "{since}");

    drop(controller);
    world.controller.restart().unwrap();
    world.controller.wait_ready().unwrap();
}

/// Waits until a commit is applied and its objects are waited for.
fn waits(stage: &Stage, commit: &str) {
    let sync = stage.ready("Unknown", |message| message.contains(commit) && message.contains("waiting for health"));
    assert!(message(&sync).contains("Deployment"), "{}", message(&sync));
}
