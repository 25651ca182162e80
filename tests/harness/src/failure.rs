//! The one error type of the harness. Its `Debug` is made for people, since that is what a failed test prints.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Says what part could not be started or used, and why.
#[derive(thiserror::Error)]
pub enum Failure {
    /// A program that `make tools` installs is not there.
    #[error("failed to find the program {name} in {}", folder.display())]
    MissingTool {
        /// The program's name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// The operating system refused something.
    #[error("failed to {what}")]
    Io {
        /// What was tried, with the path.
        what: String,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A program that should run on ended, or did not become ready.
    #[error("failed to start {program}: {why}\nthe end of its log:\n{log}")]
    Start {
        /// The program's name.
        program: String,
        /// What was seen.
        why: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// A program that should run to its end and succeed did not.
    #[error("failed to run `{line}` ({status}):\n{stderr}")]
    Run {
        /// The program and its arguments.
        line: String,
        /// Its exit status in words.
        status: String,
        /// What it wrote to standard error.
        stderr: String,
    },
    /// Something that was waited for did not come.
    #[error("failed to see {what} within {within:?}; the last answer was: {last}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        within: Duration,
        /// Why the last attempt did not count.
        last: String,
    },
    /// A certificate or key could not be made.
    #[error("failed to make a certificate for {name}")]
    Certificate {
        /// Whom it was for.
        name: String,
        /// The library's answer.
        source: rcgen::Error,
    },
    /// A TLS server could not be set up.
    #[error("failed to set up TLS")]
    Tls(#[source] rustls::Error),
    /// A Kubernetes client could not be made.
    #[error("failed to make a Kubernetes client for {user}")]
    Client {
        /// Whom it was for.
        user: String,
        /// The library's answer.
        source: Box<kube::Error>,
    },
    /// What should be applied is no object, or none of a kind that the API server has.
    #[error("failed to apply: {0}")]
    Manifest(String),
    /// Another server refused a request, or did not answer as it should.
    #[error("failed to ask for {what} ({status}):\n{text}")]
    Answer {
        /// What was asked for.
        what: String,
        /// The answer's first line.
        status: String,
        /// What stands in it.
        text: String,
    },
    /// The API server refused a request.
    #[error("failed to ask for {path}")]
    Request {
        /// What was asked for.
        path: String,
        /// The API server's answer.
        source: Box<kube::Error>,
    },
}

impl Failure {
    /// Tells whether the API server said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Request { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code == 404))
    }

    /// Returns what the user can do about it, where there is something.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::MissingTool { .. } => Some("run make tools, or point WAXWING_TOOLS to the folder that has them"),
            _ => None,
        }
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        match self.hint() {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}
