//! Proves that the harness starts, watches and ends a controller's process. The program here is `kubectl proxy` with the
//! controller's arguments: it answers `/readyz` too, and only if it was handed the cluster. The controller itself is
//! tested where it is built.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::time::Duration;

use waxwing_harness::{Cluster, Controller, ControllerOptions, Failure, RunDir, Tools};

const SOON: Duration = Duration::from_secs(20);

const PROXY: &str = r#"#!/bin/sh
echo "started with $*, $GREETING"
exec "$KUBECTL" proxy --kubeconfig "$KUBECONFIG" --port "${1##*:}"
"#;

fn options(dir: &RunDir) -> Result<ControllerOptions, Failure> {
    let kubectl = Tools::locate()?.path("kubectl")?.display().to_string();
    let environment = vec![("KUBECTL".to_owned(), kubectl), ("GREETING".to_owned(), "hello".to_owned())];
    Ok(ControllerOptions { environment, ..ControllerOptions::new(program(dir, PROXY)?, &["--further"]) })
}

fn program(dir: &RunDir, script: &str) -> Result<PathBuf, Failure> {
    let program = dir.write("program", script)?;
    let failed = |source| Failure::Io { what: "make the script a program".to_owned(), source };
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    Ok(program)
}

#[test]
fn a_controller_starts_restarts_and_ends() -> Result<(), Failure> {
    let dir = RunDir::new("test")?;
    let mut controller = Controller::start(Cluster::shared()?, options(&dir)?)?;
    assert_eq!(controller.get("/readyz")?, (200, "ok".to_owned()));
    controller.kill();
    assert!(controller.get("/readyz").is_err());
    controller.restart()?;
    controller.wait_ready()?;
    assert_eq!(controller.terminate(SOON)?.signal(), Some(15));
    let starts = controller.log().lines().filter(|line| line.ends_with("--further, hello")).count();
    assert_eq!(starts, 2, "{}", controller.log());
    Ok(())
}

#[test]
fn a_controller_that_ends_at_once_is_a_failure_that_shows_its_log() -> Result<(), Failure> {
    let dir = RunDir::new("test")?;
    let options = ControllerOptions::new(program(&dir, "#!/bin/sh\necho no rights >&2\nexit 7\n")?, &[]);
    match Controller::start(Cluster::shared()?, options) {
        Err(Failure::Start { why, log, .. }) => assert!(why.contains('7') && log.contains("no rights"), "{why}\n{log}"),
        Err(other) => panic!("expected another failure than {other:?}"),
        Ok(_) => panic!("expected a failure"),
    }
    Ok(())
}
