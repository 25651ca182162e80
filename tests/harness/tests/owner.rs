//! Proves that nothing outlives its owner, however the owner ends.

#![expect(clippy::expect_used, reason = "a test stops where it stands, in its helpers too")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use waxwing_harness::{eventually, processes_in};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_killed_owner_leaves_no_process_and_no_folder() {
    let (mut owner, folder) = start_owner();
    assert!(
        processes_in(&folder).expect("this is Linux").len() >= 4,
        "etcd, the API server, the controller manager and kwok run in {folder:?}"
    );
    owner.kill().expect("the owner runs");
    owner.wait().expect("the owner is our child");
    expect_nothing_in(&folder);
}

#[test]
fn an_owner_that_returns_leaves_no_process_and_no_folder() {
    let (mut owner, folder) = start_owner();
    drop(owner.stdin.take());
    assert!(owner.wait().expect("the owner is our child").success());
    expect_nothing_in(&folder);
}

/// Starts a process that owns a cluster, and returns it with the cluster's folder.
fn start_owner() -> (Child, PathBuf) {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_test-cluster"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program was built with this test");
    let mut line = String::new();
    BufReader::new(owner.stdout.take().expect("it is a pipe")).read_line(&mut line).expect("the owner writes text");
    let kubeconfig = line.trim().strip_prefix("export KUBECONFIG=").expect("the owner tells where the cluster is");
    let folder = Path::new(kubeconfig).parent().expect("the file is in a folder").to_owned();
    (owner, folder)
}

fn expect_nothing_in(folder: &Path) {
    eventually(SOON, "nothing left", || match (processes_in(folder).expect("this is Linux"), folder.exists()) {
        (processes, false) if processes.is_empty() => Ok(()),
        (processes, exists) => Err(format!("processes {processes:?}, folder exists: {exists}")),
    })
    .expect("the owner's death takes all along");
}
