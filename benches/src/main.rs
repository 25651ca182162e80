//! Measures Waxwing: absolute figures, and ratios to a named peer or a stated limit from the same run.
//!
//! `make bench` runs all benchmarks, `make bench B=syncs` one, `make bench SCALE=0.1` a tenth of each. The real control
//! plane, the real Git and the release build of the controller do the work. What this is not: a test; nothing here
//! fails because it was slow, and `benches/README.md` says what the figures were and what limits them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what this program is for")]
#![expect(clippy::indexing_slicing, reason = "only JSON is indexed, where what is missing reads as null")]

mod aws_references;
mod bare;
mod command_line;
mod drift;
mod error;
mod fairness;
mod handover;
mod objects;
mod page;
mod references;
mod repository;
mod requests;
mod scale;
mod sealed;
mod sealed_objects;
mod services;
mod sops;
mod stage;
mod syncs;
mod unsealing;
mod usage;
mod watched;

use std::process::ExitCode;
use std::time::Instant;

use error::Error;
use scale::Scale;

/// The allocator of the controller, so that what runs in this process costs what it costs there.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<std::alloc::System> = zeroizing_alloc::ZeroAlloc(std::alloc::System);

type Bench = fn(Scale) -> Result<(), Error>;

/// Each benchmark with its name.
const BENCHES: [(&str, Bench); 13] = [
    ("syncs", syncs::run),
    ("objects", objects::run),
    ("sealed", sealed::run),
    ("sealed-objects", sealed_objects::run),
    ("sops", sops::run),
    ("services", services::run),
    ("references", references::run),
    ("aws-references", aws_references::run),
    ("command-line", command_line::run),
    ("drift", drift::run),
    ("repository", repository::run),
    ("fairness", fairness::run),
    ("handover", handover::run),
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Error> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| BENCHES.iter().all(|(known, _)| known != name)) {
        return Err(Error::Unknown { name: unknown.clone(), known: BENCHES.map(|(name, _)| name).join(", ") });
    }
    let scale = Scale::from_environment()?;
    page::machine(&scale);
    for (name, bench) in BENCHES.iter().filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|one| one == name)) {
        let start = Instant::now();
        bench(scale)?;
        println!("  ({name}: {:.0} s in all)", start.elapsed().as_secs_f64());
    }
    Ok(())
}
