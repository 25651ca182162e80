//! The API server comes back with what an old backup of etcd has.

use serde_json::json;
use waxwing_harness::eventually;

use super::{commit_maps, uid, value, world_alone};
use crate::act::config_map;
use crate::stage::{PATIENCE, Stage};

#[test]
fn after_an_old_backup_was_restored_the_cluster_is_as_git_has_it_and_the_watches_hear_again() {
    let world = world_alone();
    let (stage, _) = world.tenant("backup", "10m", &[("a", "one"), ("b", "one"), ("keeper", "kept")]);
    let bystander = format!("---\n{}", config_map("bystander", "theirs"));
    stage.cluster.kubectl_call(&["apply", "--namespace", &stage.namespace, "-f-"]).stdin(bystander).text().unwrap();
    let keeper = uid(&stage, "keeper");
    let backup = world.cluster.back_up().unwrap();
    stage.repo.remove("app/b.yaml").unwrap();
    let second = commit_maps(&stage, &[("a", "two"), ("c", "one")]);
    stage.applied(&second);
    stage.gone("configmap/b");
    // So many writes that what comes after the backup is restored has lower numbers for long.
    for round in 0..300 {
        let patch = json!({"data": {"key": round.to_string()}});
        stage.cluster.merge(&stage.path("configmap/bystander").unwrap(), &patch).unwrap();
    }

    world.cluster.restore(&backup).unwrap();
    stage.applied(&second);
    stage.gone("configmap/b");
    let values = ["a", "c", "bystander"].map(|name| value(&stage, name));
    assert_eq!(values, ["two", "one", "theirs"].map(serde_json::Value::from));
    assert_eq!(uid(&stage, "keeper"), keeper);

    stage.kubectl(&["delete", "configmap/c"]).unwrap();
    eventually(PATIENCE, "drift put back", || stage.get("configmap/c")).unwrap();
    stage.patch_spec(r#"{"path": "./other"}"#);
    stage.ready("False", |message| message.contains("other"));
    let other = Stage::on(world.cluster, "backup-new").polled();
    let first = commit_maps(&other, &[("a", "ours")]);
    other.sync("./app", "");
    other.applied(&first);
}
