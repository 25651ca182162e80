//! Proves how the controller's process behaves: it becomes ready, serves its certificate, comes back after a kill with
//! the same key, and ends when it is asked to.

use std::path::Path;
use std::time::Duration;

use waxwing_harness::{Cluster, ClusterOptions, Controller, ControllerOptions, Failure};

const SOON: Duration = Duration::from_secs(30);

#[test]
fn the_controller_becomes_ready_keeps_its_key_and_ends_on_sigterm() -> Result<(), Failure> {
    let cluster = Cluster::start(ClusterOptions::default())?;
    let crds = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    cluster.kubectl_call(&["apply", "--server-side", "--filename"]).arg(crds).text()?;
    cluster.kubectl(&["create", "namespace", "waxwing-system"])?;
    let mut controller = Controller::start(&cluster, ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &[]))?;
    let certificate = controller.get("/v1/cert.pem")?;
    assert!(certificate.1.starts_with("-----BEGIN CERTIFICATE-----"), "{certificate:?}");
    controller.kill();
    controller.restart()?;
    controller.wait_ready()?;
    assert_eq!(controller.get("/v1/cert.pem")?, certificate);
    let status = controller.terminate(SOON).map_err(|failure| panic!("{failure}\n{}", controller.log()))?;
    assert!(status.success(), "{status}\n{}", controller.log());
    Ok(())
}
