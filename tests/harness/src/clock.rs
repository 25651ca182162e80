//! A clock that a test sets for one program: a small library in C, which the program loads first, adds to the time of day.
//! What this is not: time that passes faster. Monotonic clocks go on as they are.

use std::fs;

use crate::call::{Call, installed};
use crate::failure::Failure;
use crate::run_dir::RunDir;

const SOURCE: &str = include_str!("clock.c");
const OFFSET: &str = "offset";

/// Is the clock of a program; the program has to end before this value is dropped.
pub struct Clock {
    dir: RunDir,
}

impl Clock {
    /// Makes a clock that goes like the machine's. It takes a C compiler, `cc`.
    ///
    /// # Errors
    /// [`Failure::Io`] without a C compiler, [`Failure::Run`] with what it complained about.
    pub fn new() -> Result<Self, Failure> {
        let dir = RunDir::new("clock")?;
        dir.write("clock.c", SOURCE)?;
        let arguments = ["-shared", "-fPIC", "-Wall", "-Werror", "-o", "clock.so", "clock.c"];
        Call::new(&installed("cc"), dir.path()).args(arguments).text()?;
        let clock = Self { dir };
        clock.put(0)?;
        Ok(clock)
    }

    /// Puts the clock forward by so many seconds from the machine's, or back.
    ///
    /// # Errors
    /// [`Failure::Io`] when the file can't be written.
    pub fn put(&self, seconds: i64) -> Result<(), Failure> {
        // In one step: the program may look at any moment.
        let (new, now) = (self.dir.write("offset.new", seconds.to_string())?, self.dir.join(OFFSET));
        fs::rename(&new, &now).map_err(Failure::io(format!("rename {}", new.display())))
    }

    /// Returns the variables that a program has to start with.
    pub fn environment(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.dir.join(name).display().to_string();
        vec![("LD_PRELOAD".to_owned(), path("clock.so")), ("CLOCK_OFFSET".to_owned(), path(OFFSET))]
    }
}
