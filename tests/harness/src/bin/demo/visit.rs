//! Keeps everything running for a user who wants to look around.

use std::io::{self, BufRead, stdin};

use waxwing_harness::Tools;

use crate::error::Error;
use crate::scene::Scene;
use crate::screen::Screen;

/// Shows how to look around, and waits for Enter, Ctrl-C or the end of standard input.
pub(crate) fn receive(scene: &Scene, screen: &mut Screen) -> Result<(), Error> {
    screen.chapter("Look around, in another terminal")?;
    screen.indented(&directions(scene)?)?;
    screen.line("\nEnter or Ctrl-C ends the demo and removes everything.")?;
    Ok(wait()?)
}

fn directions(scene: &Scene) -> Result<String, Error> {
    let kubectl = Tools::locate()?.path("kubectl")?;
    let (kubeconfig, tree) = (scene.cluster.kubeconfig(), scene.repo.tree());
    Ok(format!(
        "\
export KUBECONFIG={kubeconfig}
alias kubectl={kubectl}
kubectl -n shop get waxwing              # the source, the sync and its record
kubectl -n shop describe sync shop       # its conditions and events
kubectl -n shop get inventory -o yaml    # what it has put into the cluster
kubectl -n shop get deployments,pods,secrets
cd {tree}    # change something; it arrives within a minute after
git commit --all --message change && git push origin main
less {log}    # the controller's log",
        kubeconfig = kubeconfig.display(),
        kubectl = kubectl.display(),
        tree = tree.display(),
        log = scene.log_file().display(),
    ))
}

/// Returns when the user has seen enough. A thread reads the terminal; it ends with the process.
fn wait() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let waited = runtime.block_on(async {
        tokio::select! {
            pressed = tokio::task::spawn_blocking(read_line) => pressed.unwrap_or(Ok(())),
            signal = tokio::signal::ctrl_c() => signal,
        }
    });
    runtime.shutdown_background();
    waited
}

fn read_line() -> io::Result<()> {
    stdin().lock().read_line(&mut String::new()).map(drop)
}
