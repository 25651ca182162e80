//! A program that runs beside its owner and never outlives it.
//!
//! Each program joins the process group of a small shell that reads a pipe from the owner and kills the group when
//! the pipe ends. So SIGKILL of the owner takes the program along, and so do a panic and an ordinary return. What
//! this is not: it does not follow a program that leaves its process group.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::failure::Failure;
use crate::waiting::eventually;

/// Waits for the end of standard input, then kills its whole process group, itself included.
const WATCH: &str = "trap '' HUP INT TERM; read -r _; kill -9 0";

/// How many bytes of a log an error shows.
const LOG_TAIL: usize = 4096;

/// Owns one running program and all that it starts.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    watch: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`; what it writes, to standard output and standard error, is appended to the file `log`.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't be started.
    pub fn start(name: &str, mut command: Command, log: PathBuf) -> Result<Self, Failure> {
        let output = open_log(&log)?;
        let errors = output.try_clone().map_err(Failure::io(format!("share {}", log.display())))?;
        let mut watch = start_watch(name)?;
        let started = command
            .process_group(group(&watch))
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Failure::io(format!("start {name} ({})", command.get_program().display())));
        match started {
            Ok(child) => Ok(Self { name: name.to_owned(), child, watch, log }),
            Err(failure) => {
                end(&mut watch);
                Err(failure)
            }
        }
    }

    /// Returns the program's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the file that has what the program wrote.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Returns how the program ended, or nothing while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Asks the program to end (SIGTERM).
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Stops the program without ending it (SIGSTOP): it holds its connections and answers nothing.
    pub fn freeze(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Lets a frozen program go on (SIGCONT).
    pub fn thaw(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Ends the program and all that it started at once (SIGKILL), and waits until it is gone.
    pub fn kill(&mut self) {
        end(&mut self.watch);
        self.child.wait().ok();
    }

    /// Waits until the program ended by itself, and returns how.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when it still runs after `within`.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus, Failure> {
        let what = format!("the end of {}", self.name);
        eventually(within, &what, || self.ended().ok_or("it still runs"))
    }

    /// Waits until `ready` says so, or until the program ends, which is a failure that shows its log.
    ///
    /// # Errors
    /// [`Failure::Start`] with what was seen last.
    pub fn wait_ready(
        &mut self,
        within: Duration,
        mut ready: impl FnMut() -> Result<(), String>,
    ) -> Result<(), Failure> {
        let waited = eventually(within, &format!("{} ready", self.name), || match self.ended() {
            Some(status) => Ok(Err(format!("it ended with {status}"))),
            None => ready().map(Ok),
        });
        match waited {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => Err(self.start_failure(why)),
            Err(failure) => Err(self.start_failure(failure.to_string())),
        }
    }

    fn start_failure(&self, why: String) -> Failure {
        Failure::Start { program: self.name.clone(), why, log: tail(&self.log) }
    }

    fn signal(&mut self, signal: Signal) {
        if self.ended().is_none() {
            kill_process(pid(&self.child), signal).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn open_log(path: &Path) -> Result<File, Failure> {
    File::options().create(true).append(true).open(path).map_err(Failure::io(format!("open {}", path.display())))
}

fn start_watch(name: &str) -> Result<Child, Failure> {
    Command::new("sh")
        .args(["-c", WATCH])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(Failure::io(format!("start the shell that watches {name}")))
}

/// Kills the group that `watch` leads. The group's id can't have gone to somebody else: `watch` is waited for only here.
fn end(watch: &mut Child) {
    if matches!(watch.try_wait(), Ok(None)) {
        kill_process_group(pid(watch), Signal::KILL).ok();
    }
    watch.wait().ok();
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

fn group(watch: &Child) -> i32 {
    pid(watch).as_raw_pid()
}

fn tail(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let from = bytes.len().saturating_sub(LOG_TAIL);
    String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned()
}
