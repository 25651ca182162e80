//! The `seal` command line: seals secrets so that they can be committed.
//!
//! `main` turns arguments into one command and its error into text, a hint and an exit code; everything else stands in
//! `commands`, one file a command, and for those who call the program `sops` or `kubeseal`, in `sops` and `kubeseal`. Plaintext comes in from a file,
//! standard input or a prompt, and what goes out is sealed. Freed memory is wiped, whichever library held it.

mod args;
mod certificate;
mod cluster;
mod commands;
mod error;
mod input;
mod keyservice;
mod kubeseal;
mod output;
mod references;
mod rotate;
mod sealed;
mod sealing;
mod sops;
mod tree;
mod verify;

use std::process::ExitCode;

use waxwing::runtime::harden;
use zeroizing_alloc::ZeroAlloc;

use crate::args::{Call, Outcome, Usage};

#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    match Call::read(std::env::args_os()) {
        Ok(call) => finish(harden().map_err(error::Error::from).and_then(|()| call.run())),
        Err(error) => usage(&error),
    }
}

fn finish(result: Result<Outcome, error::Error>) -> ExitCode {
    match result {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Found) => ExitCode::from(2),
        Err(error) => {
            output::complain(&error);
            ExitCode::from(error.code())
        }
    }
}

/// Prints what clap has to say: help and versions are what was asked for, anything else is a mistake.
fn usage(Usage { error, code }: &Usage) -> ExitCode {
    // Nothing can be said about a terminal that can't be written to.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(*code) } else { ExitCode::SUCCESS }
}
