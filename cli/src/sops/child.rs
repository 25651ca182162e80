//! Another program that is run to its end: the editor, or the command of `exec-env` and `exec-file`.
//!
//! Whoever has plain text lying around while it runs has to hear of requests to end before the text is there and until it is gone,
//! so the listening is a thing of its own.

use std::io::{self, BufRead};
use std::process::ExitStatus;

use tokio::process::Command;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

/// Listens for requests to end, from when it is made. They end nothing by themselves from then on.
pub(crate) struct Watch {
    interrupted: Signal,
    terminated: Signal,
    hung_up: Signal,
    runtime: Runtime,
}

impl Watch {
    /// Begins to listen.
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let listen = |kind| {
            let _inside = runtime.enter();
            signal(kind)
        };
        let (interrupted, terminated) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let hung_up = listen(SignalKind::hangup())?;
        Ok(Self { interrupted, terminated, hung_up, runtime })
    }

    /// Runs a program. Ctrl-C is the program's business; a request to end ends it, and then there is no status.
    ///
    /// # Errors
    ///
    /// Fails when it can't be started.
    pub(crate) fn run(&mut self, mut command: Command) -> io::Result<Option<ExitStatus>> {
        let Self { interrupted, terminated, hung_up, runtime } = self;
        runtime.block_on(async {
            let mut child = command.kill_on_drop(true).spawn()?;
            loop {
                tokio::select! {
                    status = child.wait() => return status.map(Some),
                    _ = interrupted.recv() => {}
                    _ = terminated.recv() => return Ok(None),
                    _ = hung_up.recv() => return Ok(None),
                }
            }
        })
    }

    /// Waits until the user presses Enter. Tells whether that happened, and not the end of the input, Ctrl-C or a request to end.
    pub(crate) fn is_entered(&mut self) -> bool {
        let Self { interrupted, terminated, hung_up, runtime } = self;
        let (tell, told) = oneshot::channel();
        // Nobody waits for this thread: it may read until the program ends.
        std::thread::spawn(move || tell.send(matches!(io::stdin().lock().read_line(&mut String::new()), Ok(1..))));
        runtime.block_on(async {
            tokio::select! {
                entered = told => entered.unwrap_or(false),
                _ = interrupted.recv() => false,
                _ = terminated.recv() => false,
                _ = hung_up.recv() => false,
            }
        })
    }

    /// Tells whether there was a request to end that nobody has heard yet.
    pub(crate) fn is_asked_to_end(&mut self) -> bool {
        let Self { terminated, hung_up, runtime, .. } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                _ = terminated.recv() => true,
                _ = hung_up.recv() => true,
                () = std::future::ready(()) => false,
            }
        })
    }
}
