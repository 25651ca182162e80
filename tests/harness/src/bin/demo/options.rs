//! The demo's command line.

use crate::error::Error;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Show how a commit with sealed values arrives in a real cluster

Usage: demo [--keep]

Options:
  --keep      Keep everything running at the end, until Enter or Ctrl-C
  -h, --help  Print this

make demo and make demo KEEP=1 build what it needs and run it.";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether to keep everything running until the user has seen enough.
    pub(crate) keep: bool,
}

impl Options {
    /// Reads the arguments; nothing is returned where help was asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, Error> {
        let mut options = Self { keep: false };
        for argument in arguments {
            match argument.as_str() {
                "--keep" => options.keep = true,
                "-h" | "--help" => return Ok(None),
                _ => return Err(Error::Argument { argument }),
            }
        }
        Ok(Some(options))
    }
}
