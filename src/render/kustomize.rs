//! Runs the real `kustomize` over a staged closure.
//!
//! A child process of its own group with a time limit, 2 GiB of address space, no variables but `GOMEMLIMIT` and
//! a dead HTTP proxy, no input and no plugins; without `PATH` it finds no other program. Loading is not restricted to the kustomization's
//! folder, since bases may lie beside it: the staged folder holds nothing but the closure, and all paths were checked.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};

use super::error::Fault;
use super::staging::Staging;
use crate::source::RepoPath;

/// The address space of the child in bytes. Its runtime reserves 1.3 GiB before it reads anything (measured).
const ADDRESS_SPACE: u64 = 2 << 30;
/// All variables of the child: what its garbage collector keeps below, and a proxy at a port that can't be reached, so
/// that Go's HTTP client fails should it ever be asked for something beyond this machine.
const ENVIRONMENT: [(&str, &str); 3] =
    [("GOMEMLIMIT", "700MiB"), ("HTTP_PROXY", "http://127.0.0.1:0"), ("HTTPS_PROXY", "http://127.0.0.1:0")];
/// The most bytes that are taken from the child.
const MAX_OUTPUT: usize = 64 << 20;
/// The most bytes of its messages that are kept.
const MAX_MESSAGE: usize = 2_000;

/// Returns the whole path of a program: the child gets no `PATH` to look it up in. `path` is the caller's own `PATH`, in which
/// a bare name is looked up.
pub fn find_program(name: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return name.canonicalize().ok();
    }
    std::env::split_paths(path?).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// The time that all runs of one render share.
#[derive(Clone, Copy)]
pub(super) struct TimeLimit {
    started: Instant,
    whole: Duration,
}

impl TimeLimit {
    /// Makes a limit that runs from now.
    pub(super) fn starting_now(whole: Duration) -> Self {
        Self { started: Instant::now(), whole }
    }

    fn left(&self) -> Duration {
        self.whole.saturating_sub(self.started.elapsed())
    }

    fn over(&self) -> Fault {
        Fault::TimedOut(self.whole)
    }
}

/// Builds one kustomization and returns what the program printed.
pub(super) fn build(staging: &Staging, folder: &RepoPath, program: &Path, limit: TimeLimit) -> Result<Vec<u8>, Fault> {
    if limit.left().is_zero() {
        return Err(limit.over());
    }
    let mut command = Command::new(program);
    command.args(["build", "--load-restrictor", "LoadRestrictionsNone"]).arg(staging.of(folder));
    command.env_clear().envs(ENVIRONMENT).current_dir(staging.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().map_err(Fault::Start)?;
    let mut group = Group(Some(Pid::from_child(&child)));
    let events = watch(child);
    group.confine()?;
    let finished = collect(&events, limit)?;
    group.0 = None;
    match finished.status.success() {
        true => Ok(finished.output),
        false => Err(Fault::Kustomize { message: message(staging, &finished.messages) }),
    }
}

/// The child's process group, which is killed when this goes away while it may still run.
struct Group(Option<Pid>);

impl Group {
    fn confine(&self) -> Result<(), Fault> {
        let limit = Rlimit { current: Some(ADDRESS_SPACE), maximum: Some(ADDRESS_SPACE) };
        match self.0.map(|pid| prlimit(Some(pid), Resource::As, limit)) {
            // It has ended already, and says itself why.
            None | Some(Ok(_) | Err(rustix::io::Errno::SRCH)) => Ok(()),
            Some(Err(error)) => Err(Fault::Start(error.into())),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // Nothing is left to kill if it ended in between.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// What the child did.
enum Event {
    Output(Vec<u8>),
    Messages(Vec<u8>),
    Exit(std::io::Result<ExitStatus>),
}

struct Finished {
    output: Vec<u8>,
    messages: Vec<u8>,
    status: ExitStatus,
}

fn watch(mut child: Child) -> Receiver<Event> {
    let (sender, events) = mpsc::channel();
    let (output, messages) = (child.stdout.take(), child.stderr.take());
    let (to_output, to_messages) = (sender.clone(), sender.clone());
    // A send fails only when nobody waits any more.
    thread::spawn(move || to_output.send(Event::Output(read_up_to(MAX_OUTPUT + 1, output))));
    thread::spawn(move || to_messages.send(Event::Messages(read_up_to(MAX_MESSAGE * 4, messages))));
    thread::spawn(move || sender.send(Event::Exit(child.wait())));
    events
}

fn read_up_to(limit: usize, pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(mut pipe) = pipe else { return bytes };
    // What was read until an error counts; the exit status says whether that is all.
    let _ = pipe.by_ref().take(limit as u64).read_to_end(&mut bytes);
    bytes
}

fn collect(events: &Receiver<Event>, limit: TimeLimit) -> Result<Finished, Fault> {
    let (mut output, mut messages, mut status) = (None, None, None);
    loop {
        if let (Some(output), Some(messages), Some(status)) = (&mut output, &mut messages, status) {
            let (output, messages) = (std::mem::take(output), std::mem::take(messages));
            return Ok(Finished { output, messages, status });
        }
        match events.recv_timeout(limit.left()).map_err(|_| limit.over())? {
            Event::Output(bytes) if bytes.len() > MAX_OUTPUT => return Err(Fault::TooMuchOutput(MAX_OUTPUT)),
            Event::Output(bytes) => output = Some(bytes),
            Event::Messages(bytes) => messages = Some(bytes),
            Event::Exit(result) => status = Some(result.map_err(Fault::Start)?),
        }
    }
}

/// Returns what the child complained about, without its warnings, a stack of its runtime, and paths of this machine.
fn message(staging: &Staging, messages: &[u8]) -> String {
    let text = String::from_utf8_lossy(messages);
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("# Warning")).collect();
    let lines = match lines.first() {
        // Its runtime gave up, and a stack follows.
        Some(line) if line.starts_with("fatal error: ") => lines.get(..1).unwrap_or_default(),
        _ => &lines,
    };
    let text = staging.in_words_of_the_repository(lines.join(" ").trim());
    let text = text.strip_prefix("Error: ").unwrap_or(&text);
    match text.is_empty() {
        true => "it ended without a message".to_owned(),
        false => text.chars().take(MAX_MESSAGE).collect(),
    }
}
