//! The demo: a commit with sealed values arrives in a real cluster, a tampered one is refused, and a good one goes through.
//!
//! [`story`] tells it in the order in which it happens. All of it runs on loopback, in folders that are gone afterwards,
//! against a cluster of its own; `KUBECONFIG` has no say in it. What this is not: a test. Still it checks what it claims,
//! and ends with an exit code other than 0 where that does not hold.

mod claims;
mod error;
mod options;
mod programs;
mod provenance;
mod scene;
mod screen;
mod story;
mod visit;

use std::process::ExitCode;

use crate::error::Error;
use crate::options::Options;
use crate::screen::Screen;

fn main() -> ExitCode {
    let mut screen = Screen::new();
    match run(&mut screen) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(screen: &mut Screen) -> Result<(), Error> {
    match Options::parse(std::env::args().skip(1))? {
        Some(options) => story::tell(&options, screen),
        None => screen.line(options::HELP),
    }
}
