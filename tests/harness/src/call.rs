//! Runs a program to its end in an empty environment and returns what it wrote.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;

use crate::failure::Failure;

/// Is a program that is about to be run to its end. Of the user's environment it gets `PATH` alone.
#[must_use = "a call does nothing until it is run"]
#[derive(Debug)]
pub struct Call {
    line: String,
    command: Command,
    stdin: Vec<u8>,
}

impl Call {
    /// Prepares a call of `program`, whose home is the folder `home`.
    pub fn new(program: &Path, home: &Path) -> Self {
        let mut command = Command::new(program);
        isolate(&mut command, home);
        // Most of them are written in Go and end before there is garbage worth collecting: a quarter of kubectl's time.
        command.env("GOGC", "off");
        Self {
            line: program.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            command,
            stdin: Vec::new(),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.line = format!("{} {}", self.line, argument.as_ref().to_string_lossy());
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    pub fn args(self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        arguments.into_iter().fold(self, Self::arg)
    }

    /// Sets a variable of the program's environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Sets the folder that the program runs in.
    pub fn dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Sets what the program reads from standard input; without this it reads nothing.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// Runs the program, whatever its exit status is.
    ///
    /// # Errors
    /// [`Failure::Io`] when it can't be started or read.
    pub fn run(mut self) -> Result<Finished, Failure> {
        let child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Failure::io(format!("start `{}`", self.line)))?;
        let Output { status, stdout, stderr } =
            feed(child, self.stdin).map_err(Failure::io(format!("read what `{}` writes", self.line)))?;
        Ok(Finished { line: self.line, status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
    }

    /// Runs the program, which must succeed, and returns its standard output as text.
    ///
    /// # Errors
    /// [`Failure::Run`] with its standard error when its exit status is not 0.
    pub fn text(self) -> Result<String, Failure> {
        self.run()?.text()
    }
}

/// Is what a program left behind when it ended.
#[derive(Clone, Debug)]
pub struct Finished {
    line: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Finished {
    /// Returns standard output as text if the program succeeded.
    ///
    /// # Errors
    /// [`Failure::Run`] with its standard error when its exit status is not 0.
    pub fn text(self) -> Result<String, Failure> {
        if !self.status.success() {
            return Err(Failure::Run { line: self.line, status: self.status.to_string(), stderr: self.stderr });
        }
        Ok(String::from_utf8_lossy(&self.stdout).into_owned())
    }
}

/// Returns where `PATH` has a program of the machine. To start one by its mere name in an environment of its own, std copies
/// this whole process first (`fork` instead of `posix_spawn`), which takes long when it is large.
pub(crate) fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    found.unwrap_or_else(|| name.into())
}

/// Empties the environment of `command` but for `PATH`, and makes `home` its home.
pub(crate) fn isolate(command: &mut Command, home: &Path) {
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path).env("HOME", home).env("TMPDIR", home).current_dir(home);
}

/// Writes and reads at the same time, so that neither side waits for the other with a full pipe. A program that ends
/// without reading all of its input is no error.
fn feed(mut child: Child, bytes: Vec<u8>) -> std::io::Result<Output> {
    let pipe = child.stdin.take();
    let writer = thread::spawn(move || pipe.map(|mut pipe| pipe.write_all(&bytes)));
    let output = child.wait_with_output();
    drop(writer.join());
    output
}
