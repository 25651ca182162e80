//! Watches break, are refused, expire, or end at once.

use std::time::{Duration, Instant};

use http::StatusCode;
use waxwing_harness::{Fault, Rule, eventually};

use super::{commit_maps, tries, value, world_alone};
use crate::git::followed_by;
use crate::stage::{PATIENCE, Stage, condition};

/// The most watches that the controller has here: Syncs, GitSources, sealing keys, and the kinds that are in use.
const WATCHES: usize = 8;
/// The shortest pause after the first failure of a watch, or after its end.
const FIRST: Duration = Duration::from_millis(800);
/// The pause after many failures.
const LONGEST: Duration = Duration::from_secs(10);

#[test]
fn what_happens_while_watches_are_broken_is_seen_afterwards() {
    let world = world_alone();
    let (stage, commit) = world.tenant("watches", "10m", &[("a", "ours"), ("b", "ours"), ("c", "ours"), ("d", "ours")]);
    let refused = Fault::Answer(StatusCode::SERVICE_UNAVAILABLE);
    let faults =
        [(refused, LONGEST), (Fault::ExpireWatch, LONGEST), (Fault::EndWatch, FIRST), (Fault::CutAfter(0), LONGEST)];
    // An object that is put back three times would be contested.
    let maps = [("a", "b"), ("a", "b"), ("c", "d"), ("c", "d")];
    for ((fault, longest), (deleted, changed)) in faults.into_iter().zip(maps) {
        let since = Instant::now();
        world.proxy.inject(Rule::new(fault).verb("watch"));
        world.proxy.break_watches();
        stage.kubectl(&["delete", &format!("configmap/{deleted}")]).unwrap();
        let theirs = r#"{"data": {"key": "theirs"}}"#;
        stage.kubectl(&["patch", &format!("configmap/{changed}"), "--type=merge", "--patch", theirs]).unwrap();
        let other = Stage::on(world.cluster, "watches-new").polled();
        let first = commit_maps(&other, &[("a", "ours")]);
        other.sync("./app", "");
        let watches = || world.proxy.requests_since(since).iter().filter(|request| request.verb == "watch").count();
        let attempt = || if watches() >= WATCHES { Ok(()) } else { Err(format!("{} watches", watches())) };
        eventually(PATIENCE, "watches tried again", attempt).unwrap();
        let bound = WATCHES * (1 + tries(since, FIRST, longest));
        assert!(watches() <= bound, "{fault:?}: {} watches, not {bound}", watches());
        world.proxy.lift();
        let put_back = || match (value(&stage, deleted).as_str(), value(&stage, changed).as_str()) {
            (Some("ours"), Some("ours")) => Ok(()),
            other => Err(format!("{other:?}")),
        };
        eventually(PATIENCE, &format!("put back after {fault:?}"), put_back).unwrap();
        other.applied(&first);
    }
    let sync = stage.applied(&commit);
    assert_eq!(condition(&sync, "Drifted")["status"], "False");
}

#[test]
fn a_source_that_fails_while_its_watch_is_broken_has_failed_since_the_first_time_and_says_so_once() {
    let world = world_alone();
    let (stage, server, _, first) = followed_by(Stage::on(world.cluster, "watches-source"));
    world.proxy.inject(Rule::new(Fault::Answer(StatusCode::SERVICE_UNAVAILABLE)).verb("watch"));
    world.proxy.break_watches();
    server.fail_with(StatusCode::SERVICE_UNAVAILABLE);
    let failed = stage.source_says("fleet", "False", "stale since");
    server.forget_requests();
    let tries = || match server.requests().len() {
        0..4 => Err("not yet"),
        _ => Ok(()),
    };
    eventually(PATIENCE, "tried again some times, seconds after the first", tries).unwrap();
    let still = stage.get("gitsource/fleet").unwrap();
    assert_eq!(still["status"]["staleSince"], failed["status"]["staleSince"]);
    let told = stage.events_about("GitSource", "fleet");
    assert_eq!(told.iter().filter(|event| event.starts_with("Warning FetchFailed")).count(), 1, "{told:#?}");

    server.serve();
    let back = stage.source_says("fleet", "True", &first);
    assert!(back["status"]["staleSince"].is_null());
    world.proxy.lift();
}

/// More shards than a page of a list has, of Syncs that are not there.
fn more_than_a_page(namespace: &str) -> String {
    let shard = |number: usize| {
        format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: Inventory\nmetadata: {{name: other-{number}.0, namespace: {namespace}, \
             labels: {{waxwing.dev/inventory-of: other}}}}\nspec: {{sync: {{name: other-{number}, uid: u-{number}}}, \
             shard: 0, entries: [], verified: []}}\n---\n"
        )
    };
    (0..30).map(shard).collect()
}

#[test]
fn a_list_that_expires_amid_its_pages_is_begun_anew() {
    let world = world_alone();
    let (stage, _) = world.tenant("pages", "10m", &[("a", "ours"), ("b", "ours")]);
    world.cluster.apply_yaml(&more_than_a_page(&stage.namespace)).unwrap();
    // Without its watch the controller lists whenever it needs to know who else has an object.
    let inventories = "/waxwing.dev/v1alpha1/inventories?";
    world.proxy.inject(Rule::new(Fault::Answer(StatusCode::SERVICE_UNAVAILABLE)).verb("watch").on(inventories));
    world.proxy.break_watches();
    let since = Instant::now();
    world.proxy.inject(Rule::new(Fault::Answer(StatusCode::GONE)).verb("get").on("continue=ey").times(1));
    let commit = stage.remove(&["app/b.yaml"]);
    stage.applied(&commit);
    stage.gone("configmap/b");
    let pages = world.proxy.requests_since(since);
    let pages = pages.iter().filter(|request| request.target.contains("continue=ey")).map(|page| page.status);
    let pages: Vec<_> = pages.flatten().map(|status| status.as_u16()).collect();
    assert!(pages.starts_with(&[410, 200]), "{pages:?}");
    world.proxy.lift();
}
