//! The demo's command line.

use crate::error::Error;

/// What `--help` prints.
pub(crate) const HELP: &str = "\
Show how a commit with sealed values arrives in a real cluster

Usage: demo [--keep] [--no-build]

Options:
  --keep      Keep everything running at the end, until Enter or Ctrl-C
  --no-build  Use the programs that stand beside this one, and don't look whether they are up to date
  -h, --help  Print this

make demo and make demo KEEP=1 run it.";

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Whether to keep everything running until the user has seen enough.
    pub(crate) keep: bool,
    /// Whether to bring the programs up to date first.
    pub(crate) build: bool,
}

impl Options {
    /// Reads the arguments; nothing is returned where help was asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, Error> {
        let mut options = Self { keep: false, build: true };
        for argument in arguments {
            match argument.as_str() {
                "--keep" => options.keep = true,
                "--no-build" => options.build = false,
                "-h" | "--help" => return Ok(None),
                _ => return Err(Error::Argument { argument }),
            }
        }
        Ok(Some(options))
    }
}
