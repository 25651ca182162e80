//! Why the demo ended early.

use std::io;
use std::path::PathBuf;

use waxwing_harness::Failure;

/// Something did not work, or is not as the demo says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// An argument that the demo doesn't know.
    #[error("unknown argument {argument:?}")]
    Argument {
        /// The argument.
        argument: String,
    },
    /// A program that should stand beside this one doesn't.
    #[error("failed to find {}", path.display())]
    Program {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file of the example can't be read, or is not as the demo needs it.
    #[error("failed to read the example file {}", path.display())]
    Example {
        /// The file.
        path: PathBuf,
    },
    /// A part of the harness failed.
    #[error("{0:?}")]
    Part(#[from] Failure),
    /// An answer of a program is not what it should be.
    #[error("failed to read the answer of {program}")]
    Answer {
        /// The program.
        program: &'static str,
    },
    /// What the demo has just claimed is not true.
    #[error("the demo does not hold: {claim}")]
    Claim {
        /// What is not true.
        claim: String,
    },
    /// Standard output, or standard input, is gone.
    #[error("failed to use the terminal")]
    Terminal(#[from] io::Error),
    /// Something went wrong while the controller ran.
    #[error("{error}\nthe end of the controller's log:\n{log}")]
    Running {
        /// What went wrong.
        error: Box<Error>,
        /// The last lines of the log.
        log: String,
    },
}

impl Error {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Argument { .. } => Some("make demo and make demo KEEP=1 are the two ways to run it"),
            Self::Program { .. } => Some("run it with make demo, which builds what it needs"),
            Self::Running { error, .. } => error.hint(),
            _ => None,
        }
    }
}
