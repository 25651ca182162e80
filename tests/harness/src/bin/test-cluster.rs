//! Starts a test cluster with every part, for looking around by hand, and ends it with its standard input (Ctrl-D).

use std::io::{Read as _, Write as _, stdin, stdout};

use waxwing_harness::{Cluster, ClusterOptions, Failure};

fn main() -> Result<(), Failure> {
    let cluster = Cluster::start(ClusterOptions::full())?;
    let failed = |source| Failure::Io { what: "write to standard output".to_owned(), source };
    writeln!(stdout(), "export KUBECONFIG={}", cluster.kubeconfig().display()).map_err(failed)?;
    stdin().read_to_end(&mut Vec::new()).ok();
    Ok(())
}
