//! What somebody else does to the lease, and who may not have one.

use std::time::Instant;

use serde_json::json;
use waxwing_harness::{Controller, ControllerOptions, Fault, FaultProxy, Rule, eventually};

use super::{LASTING, LONG_ENOUGH, QUICK, Scene, leads, says};
use crate::stage::PATIENCE;

#[test]
fn a_lease_that_is_deleted_or_emptied_by_hand_is_taken_again_and_one_that_is_given_to_another_is_lost() {
    let scene = Scene::new("by-hand");
    let mut one = scene.start("one", &LASTING);
    let (holder, process) = (scene.holder(), one.process().id());
    scene.cluster.delete(&scene.lease_path()).unwrap();
    assert_eq!(scene.holder_after(""), holder);
    scene.edit(&json!({"holderIdentity": ""}));
    assert_eq!(scene.holder_after(""), holder);
    assert!(leads(&one) && one.process().id() == process);

    scene.edit(&json!({"holderIdentity": "elsewhere", "leaseDurationSeconds": 1}));
    assert_eq!(one.wait_end(PATIENCE).unwrap().code(), Some(3), "{}", one.log());
    assert!(one.log().contains("is lost: elsewhere has it"), "{}", one.log());
    assert_eq!(scene.holder(), "elsewhere");
}

#[test]
fn a_holder_that_goes_on_renewing_is_followed_for_ever_and_no_clock_of_its_own_makes_it_longer() {
    let scene = Scene::new("foreign");
    drop(scene.start("one", &QUICK)); // makes the keys
    let before = scene.writes("one").len();
    let far = "2099-01-01T00:00:00.000000Z";
    let renew = |number: i32| {
        scene.edit(&json!({"holderIdentity": "elsewhere", "leaseDurationSeconds": 6, "renewTime": far, "leaseTransitions": number}))
    };
    renew(0);
    let one = scene.start("one", &QUICK);
    let (since, mut renewals) = (Instant::now(), 0);
    let goes_on = || {
        renewals += 1;
        renew(renewals);
        assert!(!leads(&one) && one.get("/readyz").unwrap().0 == 200, "{}", one.log());
        if since.elapsed() > LONG_ENOUGH { Ok(()) } else { Err("it is not over yet") }
    };
    eventually(PATIENCE, "twice as long as the lease", goes_on).unwrap();
    assert_eq!(scene.holder(), "elsewhere");
    assert_eq!(scene.writes("one").len(), before);
    // Nobody renews it any more, and its time is still to come.
    scene.holder_after("elsewhere");
    assert_eq!(scene.lease()["leaseTransitions"], renewals + 1);
    says(&one, "this controller leads", 1);
}

#[test]
fn a_lease_that_has_no_holder_or_nothing_at_all_is_taken_at_once() {
    let scene = Scene::new("empty");
    let lease = |spec: &str| {
        let metadata = format!("{{name: waxwing, namespace: {}}}", scene.system);
        format!("apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {metadata}\nspec: {spec}\n")
    };
    let released =
        "{holderIdentity: '', leaseDurationSeconds: 1, renewTime: '2099-01-01T00:00:00.000000Z', leaseTransitions: 7}";
    for (spec, transitions) in [("{}", 1), (released, 8)] {
        scene.cluster.apply_yaml(&lease(spec)).unwrap();
        let controller = scene.start("one", &LASTING);
        assert!(leads(&controller));
        assert_eq!(scene.lease()["leaseTransitions"], transitions);
        drop(controller);
        scene.cluster.delete(&scene.lease_path()).unwrap();
    }
}

#[test]
fn a_controller_that_is_told_to_end_while_it_takes_the_lease_leaves_it_free_and_is_alive_meanwhile() {
    let scene = Scene::new("amid");
    let proxy = FaultProxy::start(scene.cluster).unwrap();
    proxy.inject(Rule::new(Fault::LoseAnswer).verb("post").on("/leases").times(1));
    // It doesn't hear that it has the lease, and would ask again only when the test is over.
    let arguments = ["--lease-duration=60m", "--lease-renew-deadline=50m", "--lease-retry-period=20m"];
    let options = ControllerOptions { kubeconfig: Some(proxy.kubeconfig()), ..scene.options("one", &arguments) };
    let mut one = Controller::launch(scene.cluster, options).unwrap();
    scene.holder_after("");
    says(&one, "the API server doesn't answer; it is asked for the lease again", 1);
    assert_eq!(["/healthz", "/readyz", "/metrics"].map(|path| one.get(path).unwrap().0), [200, 503, 200]);
    assert!(one.terminate(PATIENCE).unwrap().success(), "{}", one.log());
    assert_eq!(scene.holder(), "", "{}", one.log());
}

#[test]
fn who_may_not_have_a_lease_is_told_how_to_allow_it_or_do_without() {
    let scene = Scene::new("refused");
    let mut options = scene.options("one", &[]);
    options.kubeconfig = Some(scene.cluster.kubeconfig_as("nobody").unwrap());
    let mut refused = Controller::launch(scene.cluster, options).unwrap();
    assert_eq!(refused.wait_end(PATIENCE).unwrap().code(), Some(1));
    let log = refused.log();
    let told = format!(
        "the API server answered 403 when this controller asked for the lease {}/waxwing; hint: let it",
        scene.system
    );
    assert!(log.contains(&told), "{log}");

    let wrong = ["--lease-duration=5s", "--lease-renew-deadline=5s"];
    let mut wrong = Controller::launch(scene.cluster, scene.options("one", &wrong)).unwrap();
    assert_eq!(wrong.wait_end(PATIENCE).unwrap().code(), Some(1));
    assert!(wrong.log().contains("--lease-renew-deadline has to be at least a second less"), "{}", wrong.log());

    let alone = scene.start("one", &["--leader-election=false"]);
    assert!(leads(&alone) && scene.lease().is_null());
    scene.stage.sync("./app", "");
    scene.commit("one");
}
