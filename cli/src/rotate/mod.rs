//! A rotation of the sealed files of a tree: what it would do, found without any key, and doing it, one file after the other.
//!
//! `mod.rs` goes through the files, `task` is what is done to one of them, `report` holds what came of it and writes it. Each file is
//! replaced as a whole or left as it was, so that a rotation can be cut off at any time; what is done already is seen by when a file
//! says that it was sealed last, which its message authentication code covers, and not by a record of our own.

mod report;
mod task;

use std::collections::HashSet;
use std::path::PathBuf;

use jiff::Timestamp;
use waxwing::source::{Files, TreeError};

use crate::error::{Error, Wrong};
use crate::output;
use crate::sealed::{Configurations, Identities, cleaned};
use crate::tree::Tree;
pub(crate) use report::Report;
use report::{Entry, State};
use task::{Task, TaskError};

/// What is to be rotated, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Whether data keys stay, and only their recipients change.
    pub(crate) only_recipients: bool,
    /// Files that were sealed since then are left.
    pub(crate) older_than: Option<Timestamp>,
}

/// What there is to do, and what went wrong already.
pub(crate) struct Rotation {
    tasks: Vec<(Task, Entry)>,
    left: Vec<Entry>,
    wrong: Vec<Wrong>,
    wanted: Wanted,
    configurations: Configurations,
}

impl Rotation {
    /// Looks at the files at or below some paths. It needs no key.
    ///
    /// # Errors
    /// Fails when a path or a configuration can't be read.
    pub(crate) fn plan(paths: &[PathBuf], wanted: Wanted, configurations: Configurations) -> Result<Self, Error> {
        let mut rotation = Self { tasks: Vec::new(), left: Vec::new(), wrong: Vec::new(), wanted, configurations };
        let mut seen = HashSet::new();
        for path in paths {
            let Tree { folder, files } = Tree::at(path)?;
            for file in files {
                let path = cleaned(&folder.root().join(file.as_str()));
                if !seen.insert(path.clone()) {
                    continue;
                }
                match folder.bytes(&file) {
                    Ok(blob) => rotation.look(file.to_string(), path, &blob.bytes)?,
                    // Most of these are no sealed files; whoever knows of one has to know that it is left.
                    Err(error @ (TreeError::TooLarge { .. } | TreeError::LfsPointer(_))) => {
                        output::note(&format!("{file} was not looked into: {error}"));
                    }
                    Err(error) => {
                        let hint = "check the permissions of the file".to_owned();
                        rotation.wrong.push(Wrong::at(&file, &error, Some(hint)));
                        rotation.left.push(Entry::failed(file.as_str(), &error));
                    }
                }
            }
        }
        Ok(rotation)
    }

    fn look(&mut self, file: String, path: PathBuf, bytes: &[u8]) -> Result<(), Error> {
        let task = Task::new(file, path);
        let configuration = self.configurations.of(task.path())?;
        match task.look(bytes, configuration, self.wanted) {
            Ok(None) => {}
            Ok(Some(entry)) if entry.state == State::Planned => self.tasks.push((task, entry)),
            Ok(Some(entry)) => self.left.push(entry),
            Err(error) => self.fail(&task, &error),
        }
        Ok(())
    }

    fn fail(&mut self, task: &Task, error: &TaskError) {
        self.wrong.push(Wrong::at(&task.file(), error, error.hint()));
        self.left.push(Entry::failed(task.file(), error));
    }

    /// Returns how many files there are to rotate.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.len()
    }

    /// Says what would be done.
    pub(crate) fn into_plan(self) -> (Report, Vec<Wrong>) {
        let planned = self.tasks.into_iter().map(|(_, entry)| entry);
        (Report::new(planned.chain(self.left).collect()), self.wrong)
    }

    /// Rotates one file after the other. One that fails is left as it was, and the others go on; `tell` hears of each before it is
    /// begun.
    pub(crate) fn carry_out(
        mut self,
        identities: &Identities,
        mut tell: impl FnMut(usize, &str),
    ) -> Result<(Report, Vec<Wrong>), Error> {
        let mut done = Vec::new();
        for (at, (task, _)) in std::mem::take(&mut self.tasks).into_iter().enumerate() {
            tell(at + 1, task.file());
            let configuration = self.configurations.of(task.path())?;
            match task.carry_out(configuration, self.wanted, identities) {
                Ok(entry) => done.push(entry),
                Err(error) => self.fail(&task, &error),
            }
        }
        Ok((Report::new(done.into_iter().chain(self.left).collect()), self.wrong))
    }
}
