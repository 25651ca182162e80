//! Another program that is run to its end: the editor, or the command of `exec-env` and `exec-file`.

use std::io;
use std::process::ExitStatus;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

/// Runs a program. Ctrl-C is the program's business; a request to end ends it, and then there is no status.
///
/// # Errors
///
/// Fails when it can't be started.
pub(crate) fn run(command: Command) -> io::Result<Option<ExitStatus>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(to_its_end(command))
}

async fn to_its_end(mut command: Command) -> io::Result<Option<ExitStatus>> {
    let mut interrupted = signal(SignalKind::interrupt())?;
    let (mut terminated, mut hung_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let mut child = command.kill_on_drop(true).spawn()?;
    loop {
        tokio::select! {
            status = child.wait() => return status.map(Some),
            _ = interrupted.recv() => {}
            _ = terminated.recv() => return Ok(None),
            _ = hung_up.recv() => return Ok(None),
        }
    }
}
