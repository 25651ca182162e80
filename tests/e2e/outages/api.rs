//! The API server refuses, forgets to answer, breaks off, is slow or away.

use std::thread;
use std::time::{Duration, Instant};

use http::StatusCode;
use waxwing_harness::{Fault, FaultProxy, Rule, eventually};

use super::{commit_maps, tries, uid, value, world, world_alone};
use crate::act::message;
use crate::stage::{PATIENCE, Stage, condition};

/// The most requests that one walk of the line for a dozen ConfigMaps makes, with what is written and told of it: the finalizer,
/// the inventory and each object twice, the account, the status, an event.
const REQUESTS_OF_A_WALK: usize = 36;
/// How soon a Sync is tried again first when the trouble may pass.
const SOON: Duration = Duration::from_secs(1);
/// `spec.retryInterval` of Syncs that must not wait for it.
const NEVER: &str = "10m";

/// What breaks which requests of one tenant, and what its Sync says then.
struct Row {
    name: &'static str,
    fault: Fault,
    verb: &'static str,
    on: &'static str,
    retry: &'static str,
    reason: &'static str,
    told: &'static str,
}

const fn row(name: &'static str, fault: Fault, verb: &'static str, on: &'static str) -> Row {
    Row { name, fault, verb, on, retry: NEVER, reason: "", told: "" }
}

fn rows() -> Vec<Row> {
    use Fault::{Answer, ComeBackAfter, CutAfter, LoseAnswer};
    let code = |code: u16| Answer(StatusCode::from_u16(code).unwrap());
    let (maps, shard) = ("configmaps/", "inventories/app.0?");
    vec![
        Row { reason: "ApiUnavailable", told: "503", ..row("unavailable", code(503), "patch", maps) },
        Row { reason: "ApiUnavailable", told: "429", ..row("overloaded", code(429), "patch", maps) },
        Row { reason: "ApiUnavailable", told: "it is tried again", ..row("lost", LoseAnswer, "patch", maps) },
        Row { reason: "DryRunFailed", told: "see the API server's log", ..row("defect", code(500), "patch", maps) },
        Row { reason: "DryRunFailed", told: "it is tried again", ..row("conflict", code(409), "patch", maps) },
        Row { reason: "DryRunFailed", told: "in Git", retry: "2s", ..row("invalid", code(422), "patch", maps) },
        Row { reason: "InventoryFailed", told: "409", ..row("unrecorded", code(409), "patch", shard) },
        Row { reason: "InventoryFailed", told: "410", ..row("expired", code(410), "patch", shard) },
        Row { reason: "InventoryFailed", told: "failed to reach", ..row("cut", CutAfter(9), "patch", shard) },
        Row {
            reason: "InventoryFailed",
            told: "429",
            ..row("later", ComeBackAfter(Duration::from_secs(6)), "patch", shard)
        },
        row("untold", code(503), "patch", "syncs/app/status"),
    ]
}

impl Row {
    fn rule(&self, stage: &Stage) -> Rule {
        Rule::new(self.fault).verb(self.verb).on(format!("/namespaces/{}/{}", stage.namespace, self.on))
    }

    /// Returns the longest pause between two tries.
    fn longest(&self) -> Duration {
        Duration::from_secs(if self.retry == NEVER { 600 } else { 2 })
    }
}

/// Waits until a tenant's requests have met with faults in so many tries.
fn met(proxy: &FaultProxy, stage: &Stage, since: Instant, times: usize) {
    let attempt = || {
        let requests = proxy.requests_since(since);
        let met =
            requests.iter().filter(|request| request.fault.is_some() && request.target.contains(&stage.namespace));
        if met.count() >= times { Ok(()) } else { Err("too few") }
    };
    eventually(PATIENCE, "faults", attempt).unwrap();
}

#[test]
fn each_fault_of_the_api_server_is_told_costs_few_requests_and_is_over_when_it_is_over() {
    let world = world();
    let rows = rows();
    let tenants =
        rows.iter().map(|row| (row, world.tenant(row.name, row.retry, &[("a", "one"), ("keeper", "kept")]).0));
    let tenants: Vec<_> = tenants.map(|(row, stage)| (row, uid(&stage, "keeper"), stage)).collect();
    let since = Instant::now();
    tenants.iter().for_each(|(row, _, stage)| world.proxy.inject(row.rule(stage)));
    let commits: Vec<_> = tenants.iter().map(|(_, _, stage)| commit_maps(stage, &[("a", "two")])).collect();
    for (row, _, stage) in &tenants {
        met(&world.proxy, stage, since, 2);
        if !row.reason.is_empty() {
            let sync = stage.ready("False", |message| message.contains(row.told));
            assert_eq!(condition(&sync, "Ready")["reason"], row.reason, "{}: {}", row.name, message(&sync));
        }
    }
    for (row, _, stage) in &tenants {
        let requests = world.proxy.requests_since(since);
        let own: Vec<_> = requests.iter().filter(|request| request.target.contains(&stage.namespace)).collect();
        let bound = REQUESTS_OF_A_WALK * tries(since, SOON, row.longest());
        assert!(own.len() <= bound, "{}: {} requests, not {bound}: {own:#?}", row.name, own.len());
    }
    tenants.iter().for_each(|(_, _, stage)| world.proxy.lift_on(&stage.namespace));
    for ((row, keeper, stage), commit) in tenants.iter().zip(&commits) {
        stage.applied(commit);
        assert_eq!((value(stage, "a"), uid(stage, "keeper")), ("two".into(), keeper.clone()), "{}", row.name);
    }
}

#[test]
fn who_is_asked_to_come_back_later_does_not_come_sooner() {
    let world = world();
    let (stage, _) = world.tenant("patient", NEVER, &[("a", "one")]);
    let target = |on: &str| format!("/namespaces/{}/{on}", stage.namespace);
    let pauses = [("patch", "inventories/app.0?", 6), ("patch", "configmaps/a", 1), ("patch", "syncs/app/status", 1)];
    for (verb, on, seconds) in pauses {
        let fault = Fault::ComeBackAfter(Duration::from_secs(seconds));
        world.proxy.inject(Rule::new(fault).verb(verb).on(target(on)).times(1));
    }
    let since = Instant::now();
    let commit = commit_maps(&stage, &[("a", "two")]);
    stage.applied(&commit);
    for (verb, on, seconds) in pauses {
        let requests = world.proxy.requests_since(since);
        let mut own = requests.iter().filter(|request| request.verb == verb && request.target.contains(&target(on)));
        let put_off = own.find(|request| request.fault.is_some()).unwrap();
        let again = own.next().unwrap();
        assert!(again.at - put_off.at >= Duration::from_secs(seconds), "{on}: {:?}", again.at - put_off.at);
    }
}

#[test]
fn a_sync_for_which_the_api_server_is_too_slow_says_so_and_goes_on_from_there() {
    let world = world();
    // More than are sent at once, so that the time is over before the first is applied.
    let names: Vec<String> = (0..24).map(|number| format!("a-{number}")).collect();
    let maps = |value: &'static str| names.iter().map(move |name| (name.as_str(), value)).collect::<Vec<_>>();
    let (stage, _) = world.tenant("slow", "2s", &maps("one"));
    stage.patch_spec(r#"{"timeout": "1s"}"#);
    let patches = format!("/namespaces/{}/configmaps/", stage.namespace);
    world.proxy.inject(Rule::new(Fault::Delay(Duration::from_millis(700))).verb("patch").on(patches));
    let commit = commit_maps(&stage, &maps("two"));
    let sync = stage.refused(&commit, "TimedOut");
    assert!(message(&sync).contains("the time for this sync was over"), "{}", message(&sync));
    assert!(message(&sync).contains("raise spec.timeout"), "{}", message(&sync));
    world.proxy.lift_on(&stage.namespace);
    stage.applied(&commit);
}

#[test]
fn a_sync_that_somebody_writes_while_it_gets_its_finalizer_is_applied_at_once() {
    let world = world();
    let stage = Stage::on(world.cluster, "finalizer").polled();
    let finalizer = format!("/namespaces/{}/syncs/app?fieldManager=waxwing-finalizer", stage.namespace);
    world.proxy.inject(Rule::new(Fault::Delay(Duration::from_secs(1))).on(finalizer.as_str()).times(1));
    let commit = commit_maps(&stage, &[("a", "one")]);
    let since = Instant::now();
    stage.sync("./app", "");
    met(&world.proxy, &stage, since, 1);
    let path = stage.path("sync/app").unwrap();
    world.cluster.merge(&path, &serde_json::json!({"metadata": {"finalizers": ["example.com/other"]}})).unwrap();
    let sync = stage.applied(&commit);
    assert_eq!(sync["metadata"]["finalizers"], serde_json::json!(["example.com/other", "waxwing.dev/finalizer"]));
    let requests = world.proxy.requests_since(since);
    let codes: Vec<_> = requests.iter().filter(|request| request.target.contains(&finalizer)).collect();
    let codes: Vec<_> = codes.iter().filter_map(|request| request.status).map(|status| status.as_u16()).collect();
    assert_eq!(codes, [409, 200]);
    world.cluster.merge(&path, &serde_json::json!({"metadata": {"finalizers": ["waxwing.dev/finalizer"]}})).unwrap();
}

#[test]
fn an_api_server_that_is_away_between_syncs_and_amid_one_is_waited_for() {
    let world = world_alone();
    let (stage, _) = world.tenant("away", NEVER, &[("a", "one"), ("b", "one"), ("keeper", "kept")]);
    let keeper = uid(&stage, "keeper");

    world.proxy.stop();
    let second = commit_maps(&stage, &[("a", "two")]);
    stage.kubectl(&["delete", "configmap/b"]).unwrap();
    thread::sleep(Duration::from_secs(2)); // This long it is away.
    world.proxy.restart().unwrap();
    stage.applied(&second);
    assert_eq!((value(&stage, "a"), value(&stage, "b")), ("two".into(), "one".into()));

    let patches = format!("/namespaces/{}/configmaps/", stage.namespace);
    let slowly = Rule::new(Fault::Delay(Duration::from_millis(500))).verb("patch").on(patches).unless("dryRun");
    world.proxy.inject(slowly);
    let since = Instant::now();
    stage.repo.remove("app/b.yaml").unwrap();
    let third = commit_maps(&stage, &[("a", "three"), ("c", "one")]);
    met(&world.proxy, &stage, since, 1);
    world.proxy.stop();
    world.proxy.lift();
    world.proxy.restart().unwrap();
    stage.applied(&third);
    stage.gone("configmap/b");
    assert_eq!((value(&stage, "a"), value(&stage, "c")), ("three".into(), "one".into()));
    assert_eq!(uid(&stage, "keeper"), keeper);
}

#[test]
fn a_controller_that_starts_in_an_outage_waits_for_its_end() {
    let mut world = world_alone();
    let secrets = "/namespaces/waxwing-system/secrets";
    let faults = [Fault::Answer(StatusCode::SERVICE_UNAVAILABLE), Fault::LoseAnswer];
    for fault in faults {
        let since = Instant::now();
        world.proxy.inject(Rule::new(fault).on(secrets));
        world.controller.restart().unwrap();
        let tries = || world.proxy.requests_since(since).iter().filter(|request| request.fault.is_some()).count();
        let attempt = || if tries() >= 2 { Ok(()) } else { Err("it was not tried again") };
        eventually(PATIENCE, "two tries", attempt).unwrap();
        world.proxy.lift();
        // This fails where the process has ended.
        world.controller.wait_ready().unwrap();
    }
}

#[test]
fn the_inventory_of_a_sync_that_was_torn_away_in_an_outage_holds_up_nothing_after_it() {
    let world = world();
    let (stage, _) = world.tenant("torn", NEVER, &[("a", "one")]);
    stage.patch_spec(r#"{"suspend": true}"#);
    let since = Instant::now();
    let shard = format!("/namespaces/{}/inventories/app.0", stage.namespace);
    world.proxy.inject(Rule::new(Fault::Answer(StatusCode::SERVICE_UNAVAILABLE)).verb("patch").on(shard));
    let path = stage.path("sync/app").unwrap();
    world.cluster.merge(&path, &serde_json::json!({"metadata": {"finalizers": null}})).unwrap();
    world.cluster.delete(&path).unwrap();
    met(&world.proxy, &stage, since, 1);
    world.proxy.lift_on(&stage.namespace);
    let attempt = || match stage.get("inventories/app.0").unwrap()["metadata"].get("finalizers") {
        None => Ok(()),
        Some(_) => Err("it has its finalizer"),
    };
    eventually(PATIENCE, "the inventory let go", attempt).unwrap();
    assert!(stage.has("configmap/a"));
}

#[test]
fn a_deleted_sync_lets_go_of_nothing_that_an_outage_kept_it_from_deleting() {
    let world = world();
    let (stage, _) = world.tenant("ending", NEVER, &[("a", "one")]);
    stage.patch_spec(r#"{"timeout": "1s"}"#);
    let target = format!("/namespaces/{}/configmaps/", stage.namespace);
    world.proxy.inject(Rule::new(Fault::Answer(StatusCode::SERVICE_UNAVAILABLE)).verb("delete").on(target));
    let since = Instant::now();
    stage.kubectl(&["delete", "--wait=false", "sync/app"]).unwrap();
    met(&world.proxy, &stage, since, 3); // The timeout is over by then.
    let sync = stage.ready("False", |message| message.starts_with("being deleted: "));
    assert!(message(&sync).contains("503"), "{}", message(&sync));
    world.proxy.lift_on(&stage.namespace);
    stage.gone("sync/app");
    assert!(!stage.has("configmap/a"));
}
