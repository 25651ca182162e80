//! Two controllers: one writes, both answer, and one takes over from the other.

use serde_json::Value;
use waxwing_harness::{Controller, ControllerOptions, Fault, FaultProxy, Rule, eventually};

use super::{LASTING, QUICK, Scene, leads, says};
use crate::stage::{PATIENCE, slow_kustomize};

#[test]
fn of_two_controllers_one_writes_both_answer_and_the_other_takes_over_when_it_is_told_to_end() {
    let scene = Scene::new("sharing");
    // No test could wait for such a lease: it is given up.
    let mut one = scene.start("one", &LASTING);
    let two = scene.start("two", &LASTING);
    assert!(leads(&one) && !leads(&two));
    scene.stage.sync("./app", "");
    scene.commit("one");
    let sealed = scene.seal("login", &two);
    scene.opened("login");
    answer_alike(&scene, &[&one, &two], &sealed);
    assert_eq!(scene.writes("two"), [] as [String; 0]);
    assert!(scene.writes("one").iter().any(|write| write == "patch configmaps/settings"));
    let first = scene.lease();
    assert_eq!((&first["leaseTransitions"], &first["leaseDurationSeconds"]), (&0.into(), &3600.into()));

    let status = one.terminate(PATIENCE).unwrap();
    assert!(status.success(), "{status}\n{}", one.log());
    scene.holder_after(first["holderIdentity"].as_str().unwrap());
    scene.commit("two");
    scene.stage.kubectl(&["delete", "secret/login"]).unwrap();
    scene.opened("login");
    assert!(leads(&two));
    assert_eq!(scene.lease()["leaseTransitions"], 1);
    let events =
        ["get", "events", "--namespace", &scene.system, "--output=jsonpath={range .items[*]}{.message}{\"\\n\"}{end}"];
    let told = || {
        let told = scene.cluster.kubectl(&events).unwrap();
        let [led, stopped] = ["became leader", "stopped leading"].map(|what| told.matches(what).count());
        if (led, stopped) == (2, 1) { Ok(()) } else { Err(told) }
    };
    eventually(PATIENCE, "events", told).unwrap();
}

/// Asks each controller for everything that it serves.
fn answer_alike(scene: &Scene, controllers: &[&Controller], sealed: &Value) {
    let answers = controllers.iter().map(|controller| {
        assert_eq!(controller.get("/healthz").unwrap().0, 200);
        assert_eq!(controller.get("/readyz").unwrap().0, 200);
        assert_eq!(controller.post("/v1/verify", "", &sealed.to_string()).unwrap().0, 200);
        let (status, rotated) = controller.post("/v1/rotate", "", &sealed.to_string()).unwrap();
        let rotated: Value = serde_json::from_str(&rotated).unwrap();
        assert_eq!((status, &rotated["metadata"]["namespace"]), (200, &scene.stage.namespace.as_str().into()));
        controller.get("/v1/cert.pem").unwrap()
    });
    let answers: Vec<_> = answers.collect();
    assert!(answers[0].0 == 200 && answers.iter().all(|answer| *answer == answers[0]));
}

#[test]
fn a_follower_serves_the_key_that_the_leader_renewed_and_takes_over_when_that_is_killed() {
    let scene = Scene::new("follower");
    let more = [&QUICK[..], &["--key-renew-period=2s"]].concat();
    let mut one = scene.start("one", &more);
    let two = scene.start("two", &more);
    let first = two.get("/v1/cert.pem").unwrap();
    let renewed = || match two.get("/v1/cert.pem").unwrap() {
        now if now.0 == 200 && now != first => Ok(()),
        _ => Err("it is the same"),
    };
    eventually(PATIENCE, "the renewed key", renewed).unwrap();
    assert_eq!(scene.writes("two"), [] as [String; 0]);
    let holder = scene.holder();
    one.kill();
    scene.holder_after(&holder);
    says(&two, "this controller leads", 1);
    scene.stage.sync("./app", "");
    scene.commit("one");
}

#[test]
fn a_controller_that_is_started_again_does_not_wait_for_its_own_lease_nor_take_that_of_one_that_stands_still() {
    let scene = Scene::new("again");
    let mut one = scene.start("one", &LASTING);
    let holder = scene.holder();
    one.freeze();
    let mut two = scene.start("two", &LASTING);
    assert!(!leads(&two) && scene.holder() == holder);
    assert!(two.terminate(PATIENCE).unwrap().success());
    one.kill();
    one.restart().unwrap();
    scene.holder_after(&holder);
    one.wait_ready().unwrap();
    assert!(leads(&one));
}

#[test]
fn a_key_that_is_due_at_a_start_is_made_when_the_controller_leads_and_not_before() {
    let scene = Scene::new("cutoff");
    let mut one = scene.start("one", &LASTING);
    let cutoff = "--key-cutoff-time=Fri, 01 Jan 2100 00:00:00 +0000";
    let two = scene.start("two", &[&LASTING[..], &[cutoff]].concat());
    let first = one.get("/v1/cert.pem").unwrap();
    assert_eq!(two.get("/v1/cert.pem").unwrap(), first);
    assert_eq!(scene.writes("two"), [] as [String; 0]);
    assert!(one.terminate(PATIENCE).unwrap().success());
    // Made within one second, either may be the newest, so the certificate doesn't tell.
    let made = || match scene.writes("two").len() {
        0 => Err(two.log()),
        _ => Ok(()),
    };
    eventually(PATIENCE, "a new key", made).unwrap();
    let writes = scene.writes("two");
    assert!(writes.len() == 1 && writes[0].starts_with("create secrets/"), "{writes:?}");
}

#[test]
fn what_was_applied_before_a_sync_is_cut_off_is_in_the_audit_log() {
    let scene = Scene::new("audited");
    let proxy = FaultProxy::start(scene.cluster).unwrap();
    proxy.inject(Rule::new(Fault::Hang).verb("patch").on("/secrets/b?").unless("dryRun"));
    let options = scene.options("one", &[&LASTING[..], &["--shutdown-grace=1s"]].concat());
    let options = ControllerOptions { kubeconfig: Some(proxy.kubeconfig()), ..options };
    let mut one = Controller::start(scene.cluster, options).unwrap();
    let secret = |name: &str| {
        let plain = format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{a: x}}\n");
        scene.stage.sops("secret.yaml", &plain, &["--encrypted-regex", "^(data|stringData)$"])
    };
    scene.stage.commit(&[("app/a.yaml", &secret("a")), ("app/b.yaml", &secret("b"))]);
    scene.stage.sync("./app", "");
    let line = || {
        let log = one.log();
        let line = log.lines().find(|line| line.contains("waxwing::audit")).map(str::to_owned);
        line.ok_or(log)
    };
    let object = format!("Secret/{}/a", scene.stage.namespace);
    let told = eventually(PATIENCE, "a line of the audit log", line).unwrap();
    assert!(told.contains(&object) && told.contains("\"result\":\"created\""), "{told}");
    assert!(one.terminate(PATIENCE).unwrap().success(), "{}", one.log());
    let log = one.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("waxwing::audit")).collect();
    let [applied, cut_off] = lines.as_slice() else { panic!("{log}") };
    let unheard = format!("Secret/{}/b", scene.stage.namespace);
    assert_eq!(*applied, told);
    assert!(cut_off.contains(&unheard) && cut_off.contains("\"result\":\"unconfirmed\""), "{cut_off}");
}

#[test]
fn what_takes_longer_than_it_may_at_the_end_is_cut_off_and_done_by_whoever_leads_next() {
    let scene = Scene::new("cut-off");
    let folder = scene.stage.upstream.home().to_owned();
    let kustomize = Some(slow_kustomize(&folder).unwrap());
    let options = scene.options("one", &[&LASTING[..], &["--shutdown-grace=1s"]].concat());
    let mut one = Controller::start(scene.cluster, ControllerOptions { kustomize, ..options }).unwrap();
    let _two = scene.start("two", &LASTING);
    let commit = scene.stage.commit(&[
        ("app/kustomization.yaml", "resources: [settings.yaml]\n"),
        ("app/settings.yaml", &crate::act::config_map("settings", "one")),
    ]);
    scene.stage.sync("./app", "");
    let started = || if folder.join("started").exists() { Ok(()) } else { Err("Kustomize was not started") };
    eventually(PATIENCE, "a sync", started).unwrap();
    let status = one.terminate(PATIENCE).unwrap();
    assert!(status.success() && one.log().contains("what still runs is cut off"), "{status}\n{}", one.log());
    scene.stage.applied(&commit);
    std::fs::write(folder.join("go"), "").unwrap(); // lets the render end that was left behind
}
