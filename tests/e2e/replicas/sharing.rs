//! Two controllers: one writes, both answer, and one takes over from the other.

use serde_json::Value;
use waxwing_harness::{Controller, eventually};

use super::{LASTING, QUICK, Scene, leads, says};
use crate::stage::PATIENCE;

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
