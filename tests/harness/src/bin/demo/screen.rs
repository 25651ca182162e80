//! What people see: plain lines that read well in a file too, with some colour on a terminal.

use std::env;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

use crate::error::Error;

/// How many characters a wrapped line has at most.
const WIDTH: usize = 110;

const BOLD: &str = "\x1b[1m";
const BLUE: &str = "\x1b[34m";
const PLAIN: &str = "\x1b[0m";

/// Writes to standard output.
pub(crate) struct Screen {
    colour: bool,
    chapters: usize,
    started: Instant,
}

impl Screen {
    /// Returns a screen that uses colour on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn new() -> Self {
        let colour = stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
        Self { colour, chapters: 0, started: Instant::now() }
    }

    /// Begins a part of the story.
    pub(crate) fn chapter(&mut self, title: &str) -> Result<(), Error> {
        self.chapters += 1;
        let line = format!("{}. {title}", self.chapters);
        let line = self.paint(BOLD, &line);
        self.line(&format!("\n{line}"))
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, text: &str) -> Result<(), Error> {
        Ok(writeln!(stdout(), "{text}")?)
    }

    /// Writes lines that belong to the one before.
    pub(crate) fn indented(&mut self, text: &str) -> Result<(), Error> {
        text.lines().try_for_each(|line| self.line(format!("   {line}").trim_end()))
    }

    /// Writes a long text in lines that fit on most screens.
    pub(crate) fn wrapped(&mut self, text: &str) -> Result<(), Error> {
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
                self.indented(&line)?;
                line = "   ".to_owned();
            }
            line = if line.trim().is_empty() { line + word } else { format!("{line} {word}") };
        }
        self.indented(&line)
    }

    /// Shows a command that the demo runs.
    pub(crate) fn command(&mut self, command: &str) -> Result<(), Error> {
        let command = self.paint(BLUE, &format!("$ {command}"));
        self.indented(&command)
    }

    /// Does something that may take long, and says what and, at the end of the same line, how long it took.
    pub(crate) fn step<T, E: Into<Error>>(
        &mut self,
        what: &str,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        write!(stdout(), "   {what} ... ")?;
        stdout().flush()?;
        let done = work().map_err(Into::into);
        let end = if done.is_ok() { seconds(started.elapsed()) } else { "failed".to_owned() };
        self.line(&end)?;
        done
    }

    /// Does the same with something that writes lines of its own.
    pub(crate) fn talking_step<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        self.indented(&format!("{what} ..."))?;
        let done = work(self)?;
        self.indented(&format!("... {}", seconds(started.elapsed())))?;
        Ok(done)
    }

    /// Returns how long the demo has been running.
    pub(crate) fn so_far(&self) -> String {
        seconds(self.started.elapsed())
    }

    /// Says on standard error why the demo ends early. Where that is closed, nobody listens.
    pub(crate) fn complain(&mut self, error: &Error) {
        let hint = error.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        let gap = if self.chapters > 0 { "\n" } else { "" };
        let _ = write!(stderr(), "{gap}error: {error}\n{hint}");
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{text}{PLAIN}") } else { text.to_owned() }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
