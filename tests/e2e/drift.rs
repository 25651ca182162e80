//! Proves that what others do to applied objects is seen at once, told and put back, or left as the Sync says. No test here asks
//! for a sync, and the next one by itself would come in an hour.

use serde_json::Value;
use waxwing_harness::eventually;

use crate::act::{config_map, message};
use crate::stage::{PATIENCE, Stage, cluster, condition};

/// What somebody does to the object `settings-NUMBER` with kubectl, and what the event then tells of it.
type Deed = (fn(&Stage, &str), &'static str);

const DEEDS: [Deed; 9] = [
    (|stage, name| patch(stage, name, "merge", r#"{"data": {"key": "theirs"}}"#), "reverted: kubectl-patch wrote at "),
    (|stage, name| patch(stage, name, "json", r#"[{"op": "remove", "path": "/data/key"}]"#), "reverted: "),
    (|stage, name| patch(stage, name, "merge", r#"{"metadata": {"labels": null}}"#), "reverted: "),
    (|stage, name| replace(stage, name), "reverted: kubectl-replace wrote at "),
    (|stage, name| apply(stage, name, "somebody"), "reverted: somebody wrote at "),
    (|stage, name| apply(stage, name, "waxwing"), "reverted: "),
    (|stage, name| delete(stage, name), "it was deleted"),
    (|stage, name| delete_and_create(stage, name), ""),
    (|stage, name| edit(stage, name), "reverted: kubectl-edit wrote at "),
];

fn patch(stage: &Stage, name: &str, kind: &str, patch: &str) {
    stage.kubectl(&["patch", name, &format!("--type={kind}"), "--patch", patch]).unwrap();
}

fn theirs(name: &str) -> String {
    config_map(name.trim_start_matches("configmap/"), "theirs")
}

fn feed(stage: &Stage, arguments: &[&str], document: &str) {
    let all = [arguments, &["--namespace", &stage.namespace, "--filename=-"]].concat();
    cluster().kubectl_call(&all).stdin(document).text().unwrap();
}

fn replace(stage: &Stage, name: &str) {
    feed(stage, &["replace"], &theirs(name));
}

fn apply(stage: &Stage, name: &str, manager: &str) {
    let manager = format!("--field-manager={manager}");
    feed(stage, &["apply", "--server-side", "--force-conflicts", &manager], &theirs(name));
}

fn delete(stage: &Stage, name: &str) {
    stage.kubectl(&["delete", name]).unwrap();
}

fn delete_and_create(stage: &Stage, name: &str) {
    let arguments = ["replace", "--force", "--namespace", &stage.namespace, "--filename=-"];
    // It may be back before kubectl comes to create it.
    let _ = cluster().kubectl_call(&arguments).stdin(theirs(name)).text();
}

fn edit(stage: &Stage, name: &str) {
    let arguments = ["--namespace", &stage.namespace, "edit", name];
    cluster().kubectl_call(&arguments).env("KUBE_EDITOR", "sed -i s/ours/theirs/").text().unwrap();
}

fn data(stage: &Stage, name: &str) -> Value {
    stage.get(name).map_or(Value::Null, |object| object["data"].clone())
}

fn is_put_back(stage: &Stage, name: &str) -> Result<(), String> {
    let object = stage.get(name).map_err(|failure| failure.to_string())?;
    let is_ours = object["metadata"]["labels"]["waxwing.dev/sync"].is_string();
    if is_ours && object["data"]["key"] == "ours" { Ok(()) } else { Err(object.to_string()) }
}

#[test]
fn every_way_to_write_over_an_object_is_seen_told_and_put_back() {
    let stage = Stage::new("drift");
    let names: Vec<String> = (0..DEEDS.len()).map(|number| format!("settings-{number}")).collect();
    names.iter().for_each(|name| stage.repo.write(&format!("app/{name}.yaml"), config_map(name, "ours")).unwrap());
    let commit = stage.commit(&[]);
    stage.sync("./app", "");
    stage.applied(&commit);
    for (name, (deed, told)) in names.iter().zip(DEEDS) {
        let object = format!("configmap/{name}");
        deed(&stage, &object);
        eventually(PATIENCE, name, || is_put_back(&stage, &object)).unwrap();
        let about = format!("ConfigMap/{}/{name} ", stage.namespace);
        let is_told = |event: &String| event.split_once(&about).is_some_and(|(_, rest)| rest.contains(told));
        let attempt = || {
            let events = stage.events();
            let mut later = events.iter().skip_while(|event| !event.contains(" created"));
            later.next();
            if later.any(is_told) { Ok(()) } else { Err(events.join("\n")) }
        };
        eventually(PATIENCE, told, attempt).unwrap();
    }
    let sync = stage.applied(&commit);
    assert_eq!(
        (&condition(&sync, "Drifted")["status"], &condition(&sync, "Drifted")["reason"]),
        (&"False".into(), &"InSync".into())
    );
}

#[test]
fn a_field_that_others_set_beside_ours_is_theirs() {
    let stage = Stage::new("drift-beside");
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "ours"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    patch(&stage, "configmap/a", "merge", r#"{"data": {"key": "theirs", "beside": "theirs"}}"#);
    eventually(PATIENCE, "put back", || is_put_back(&stage, "configmap/a")).unwrap();
    assert_eq!(data(&stage, "configmap/a")["beside"], "theirs");
}

#[test]
fn a_sealed_secret_value_that_somebody_changed_is_put_back() {
    let stage = Stage::new("drift-secret");
    let plain = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: ours}\n";
    let commit =
        stage.commit(&[("app/db.yaml", &stage.sops("db.yaml", plain, &["--encrypted-regex", "^stringData$"]))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    for change in [r#"{"stringData": {"password": "theirs"}}"#, r#"{"data": null}"#] {
        patch(&stage, "secret/db", "merge", change);
        let attempt = || match stage.secret_value("db", "password").as_deref() {
            Some("ours") => Ok(()),
            other => Err(format!("{other:?}")),
        };
        eventually(PATIENCE, change, attempt).unwrap();
    }
}

#[test]
fn a_sync_that_alerts_says_who_wrote_and_leaves_it_until_git_changes() {
    let stage = Stage::new("drift-alert");
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "ours")), ("app/b.yaml", &config_map("b", "ours"))]);
    stage.sync("./app", "drift: Alert");
    stage.applied(&commit);
    patch(&stage, "configmap/a", "merge", r#"{"data": {"key": "theirs"}}"#);
    delete(&stage, "configmap/b");
    let sync = stage.sync_is("both told", |sync| {
        let told = condition(sync, "Drifted")["message"].to_string();
        told.contains("/a: kubectl-patch wrote at ") && told.contains("/b: it was written over or deleted")
    });
    assert_eq!(
        (&condition(&sync, "Drifted")["reason"], &condition(&sync, "Ready")["status"]),
        (&"Drifted".into(), &"True".into())
    );
    assert_eq!((data(&stage, "configmap/a")["key"].as_str(), stage.has("configmap/b")), (Some("theirs"), false));
    stage.applied(
        &stage.commit(&[("app/a.yaml", &config_map("a", "newer")), ("app/b.yaml", &config_map("b", "newer"))]),
    );
    assert_eq!((data(&stage, "configmap/a")["key"].as_str(), stage.has("configmap/b")), (Some("newer"), true));
}

#[test]
fn a_sync_that_ignores_drift_leaves_edits_and_makes_deleted_objects_again() {
    let stage = Stage::new("drift-ignore");
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "ours")), ("app/b.yaml", &config_map("b", "ours"))]);
    stage.sync("./app", "drift: Ignore");
    stage.applied(&commit);
    patch(&stage, "configmap/a", "merge", r#"{"data": {"key": "theirs"}}"#);
    delete(&stage, "configmap/b");
    eventually(PATIENCE, "b again", || is_put_back(&stage, "configmap/b")).unwrap();
    assert_eq!(data(&stage, "configmap/a")["key"], "theirs");
}

/// The fields that the next test leaves to others.
const LEFT: &str = "[{\"target\": {\"kind\": \"apps/Deployment\", \"name\": \"web\"}, \
                    \"paths\": [\"/spec/replicas\", \"/spec/template/spec/containers/0/resources\"]}]";

fn web(replicas: u8, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  paused: true\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
         spec: {{containers: [{{name: web, image: {image}, resources: {{limits: {{cpu: 1}}}}}}]}}\n"
    )
}

/// Returns the replicas, the image and the CPU limit of the Deployment.
fn web_is(stage: &Stage) -> String {
    let spec = &stage.get("deployment/web").unwrap()["spec"];
    let container = &spec["template"]["spec"]["containers"][0];
    format!("{} {} {}", spec["replicas"], container["image"], container["resources"]["limits"]["cpu"]).replace('"', "")
}

fn web_becomes(stage: &Stage, wanted: &str) {
    let attempt = || Some(web_is(stage)).filter(|is| is == wanted).ok_or_else(|| web_is(stage));
    eventually(PATIENCE, wanted, attempt).unwrap();
}

#[test]
fn a_field_that_is_left_to_others_is_sent_once_and_then_stays_as_they_set_it() {
    let stage = Stage::new("drift-left");
    let commit = stage.commit(&[("app/web.yaml", &web(2, "web:1"))]);
    stage.sync("./app", &format!("wait: false\nignore: {LEFT}"));
    stage.applied(&commit);
    assert_eq!(web_is(&stage), "2 web:1 1");
    stage.kubectl(&["scale", "deployment/web", "--replicas=5"]).unwrap();
    let theirs = r#"{"spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "theirs", "resources": {"limits": {"cpu": "3"}}}]}}}}"#;
    patch(&stage, "deployment/web", "strategic", theirs);
    web_becomes(&stage, "5 web:1 3");
    stage.applied(&stage.commit(&[("app/web.yaml", &web(4, "web:2"))]));
    assert_eq!(web_is(&stage), "5 web:2 3");
    stage.patch_spec(r#"{"ignore": null}"#);
    web_becomes(&stage, "4 web:2 1");
    // They are ours by now, and an apply without them must not take them away.
    stage.patch_spec(&format!(r#"{{"ignore": {LEFT}}}"#));
    stage.applied(&stage.commit(&[("app/web.yaml", &web(6, "web:3"))]));
    assert_eq!(web_is(&stage), "4 web:3 1");
}

#[test]
fn a_field_that_can_not_be_left_to_others_alone_is_refused_with_what_can() {
    let stage = Stage::new("drift-whole");
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}\nrules:\n\
                - {apiGroups: [''], resources: [pods], verbs: [get]}\n";
    stage.commit(&[("app/a.yaml", role)]);
    for (path, told) in [
        ("/rules/0", "; hint: name a field of the item, or the whole list, in spec.ignore of the Sync"),
        ("/rules/0/verbs", "; hint: name the whole value in spec.ignore of the Sync"),
    ] {
        stage.sync("./app", &format!("ignore: [{{paths: [{path}]}}]"));
        stage.ready("False", |message| message.contains(&format!("{path} of ")) && message.contains(told));
    }
    stage.sync("./app", "ignore: [{paths: [/rules]}]");
    stage.ready("True", |_| true);
}

#[test]
fn while_a_new_revision_fails_the_last_good_one_is_put_back() {
    let stage = Stage::new("drift-held");
    let good = stage.commit(&[("app/a.yaml", &config_map("a", "ours")), ("app/b.yaml", &config_map("b", "ours"))]);
    stage.sync("./app", "");
    stage.applied(&good);
    let unreadable = "kind: [";
    let refused = "apiVersion: v1\nkind: Service\nmetadata: {name: c}\nspec: {type: Nonsense}\n";
    for (bad, reason) in [(unreadable, "RenderFailed"), (refused, "DryRunFailed")] {
        // The new revision changes one of the two objects, and never gets to it.
        let commit = stage.commit(&[("app/a.yaml", &config_map("a", "newer")), ("app/c.yaml", bad)]);
        stage.refused(&commit, reason);
        patch(&stage, "configmap/a", "merge", r#"{"data": {"key": "theirs"}}"#);
        delete(&stage, "configmap/b");
        for object in ["configmap/a", "configmap/b"] {
            eventually(PATIENCE, object, || is_put_back(&stage, object)).unwrap();
        }
        let sync = stage.refused(&commit, reason);
        assert!(sync["status"]["lastAppliedRevision"].as_str().unwrap().ends_with(&good), "{}", sync["status"]);
    }
    stage.repo.remove("app/c.yaml").unwrap();
    stage.applied(&stage.commit(&[]));
    assert_eq!(data(&stage, "configmap/a")["key"], "newer");
}

#[test]
fn an_object_that_somebody_writes_again_and_again_is_contested_and_left() {
    let stage = Stage::new("drift-fight");
    let commit = stage.commit(&[("app/a.yaml", &config_map("a", "ours")), ("app/b.yaml", &config_map("b", "ours"))]);
    stage.sync("./app", "");
    stage.applied(&commit);
    for round in 0..3 {
        patch(&stage, "configmap/a", "merge", &format!(r#"{{"data": {{"key": "theirs-{round}"}}}}"#));
        eventually(PATIENCE, "put back", || is_put_back(&stage, "configmap/a")).unwrap();
    }
    patch(&stage, "configmap/a", "merge", r#"{"data": {"key": "theirs"}}"#);
    let sync = stage.sync_is("contested", |sync| condition(sync, "Drifted")["reason"] == "Contested");
    let told = condition(&sync, "Drifted")["message"].as_str().unwrap().to_owned();
    assert!(told.contains("/a: kubectl-patch wrote at ") && told.contains("; hint: "), "{told}");
    assert_eq!(condition(&sync, "Ready")["status"], "True", "{}", message(&sync));
    patch(&stage, "configmap/b", "merge", r#"{"data": {"key": "theirs"}}"#);
    eventually(PATIENCE, "the other", || is_put_back(&stage, "configmap/b")).unwrap();
    assert_eq!(data(&stage, "configmap/a")["key"], "theirs");
}
