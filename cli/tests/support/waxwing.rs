//! The controller and what it needs in a cluster.

use std::path::Path;

use waxwing_harness::{Cluster, Controller, ControllerOptions, Failure, SealedSecretsController};

/// Makes the kinds of Waxwing and of Sealed Secrets known.
pub(crate) fn prepare(cluster: &Cluster) -> Result<(), Failure> {
    let definitions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crds");
    cluster.kubectl_call(&["apply", "--server-side", "--filename"]).arg(definitions).text()?;
    SealedSecretsController::install(cluster)?;
    let established = ["wait", "--for=condition=Established", "--timeout=120s", "customresourcedefinitions", "--all"];
    cluster.kubectl(&established).map(drop)
}

/// Starts the controller, which is built beside `seal` when the workspace is.
pub(crate) fn start(cluster: &Cluster, arguments: &[&str]) -> Result<Controller, Failure> {
    let program = Path::new(env!("CARGO_BIN_EXE_seal")).with_file_name("waxwing");
    Controller::start(cluster, ControllerOptions::new(program, arguments))
}
