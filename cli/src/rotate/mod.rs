//! A rotation of the sealed files of a tree: what it would do, found without any key, and doing it, one file after the other.
//!
//! `mod.rs` goes through the files, `task` is what is done to one of sops, `sealed_secret` to one with SealedSecrets, `report` holds what came of it and writes it. Each file is
//! replaced as a whole or left as it was, so that a rotation can be cut off at any time; what is done already is seen by when a file
//! says that it was sealed last, which its message authentication code covers, and not by a record of our own.

mod report;
mod sealed_secret;
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
pub(crate) use sealed_secret::Resealing;
use sealed_secret::SealedTask;
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
    sealed: Vec<(SealedTask, Entry)>,
    resealing: Option<Resealing>,
    /// How many files may have SealedSecrets that nobody was named for to seal again.
    passed_over: usize,
    left: Vec<Entry>,
    wrong: Vec<Wrong>,
    wanted: Wanted,
    configurations: Configurations,
}

impl Rotation {
    /// Looks at the files at or below some paths. It needs no key for those of sops; for SealedSecrets somebody has to be named who
    /// can open them.
    ///
    /// # Errors
    /// Fails when a path or a configuration can't be read, or when nobody says which keys items need.
    pub(crate) fn plan(
        paths: &[PathBuf],
        wanted: Wanted,
        configurations: Configurations,
        resealing: Option<Resealing>,
    ) -> Result<Self, Error> {
        let mut rotation = Self {
            tasks: Vec::new(),
            sealed: Vec::new(),
            resealing,
            passed_over: 0,
            left: Vec::new(),
            wrong: Vec::new(),
            wanted,
            configurations,
        };
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
            Ok(None) => return self.look_for_sealed_secrets(&task, bytes),
            Ok(Some(entry)) if entry.state == State::Planned => self.tasks.push((task, entry)),
            Ok(Some(entry)) => self.left.push(entry),
            Err(error) => self.fail(task.file(), &error),
        }
        Ok(())
    }

    /// Looks at a file that is none of sops.
    fn look_for_sealed_secrets(&mut self, task: &Task, bytes: &[u8]) -> Result<(), Error> {
        if !sealed_secret::may_be_one(task.path(), bytes) || self.wanted.only_recipients {
            return Ok(());
        }
        let Some(resealing) = &self.resealing else {
            self.passed_over += 1;
            return Ok(());
        };
        match SealedTask::plan(task.file(), task.path(), bytes, resealing) {
            Ok(None) => {}
            Ok(Some((task, entry))) if entry.state == State::Planned => self.sealed.push((task, entry)),
            Ok(Some((_, entry))) => self.left.push(entry),
            Err(TaskError::Sealing(error)) if error.is_of_all() => return Err(error.into()),
            Err(error) => self.fail(task.file(), &error),
        }
        Ok(())
    }

    fn fail(&mut self, file: &str, error: &TaskError) {
        self.wrong.push(Wrong::at(&file, error, error.hint()));
        self.left.push(Entry::failed(file, error));
    }

    /// Returns how many files of sops there are to rotate, which say when that was done.
    pub(crate) fn dated(&self) -> usize {
        self.tasks.len()
    }

    /// Returns how many files there are to rotate.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.len() + self.sealed.len()
    }

    /// Returns how many files may have SealedSecrets that nobody can open.
    pub(crate) fn passed_over(&self) -> usize {
        self.passed_over
    }

    /// Says what would be done.
    pub(crate) fn into_plan(self) -> (Report, Vec<Wrong>) {
        let sealed = self.sealed.into_iter().map(|(_, entry)| entry);
        let planned = self.tasks.into_iter().map(|(_, entry)| entry).chain(sealed);
        (Report::new(planned.chain(self.left).collect()), self.wrong)
    }

    /// Rotates one file after the other. One that fails is left as it was, and the others go on; `tell` hears of each before it is
    /// begun.
    pub(crate) fn carry_out(
        mut self,
        identities: &Identities,
        mut tell: impl FnMut(usize, &str),
    ) -> Result<(Report, Vec<Wrong>), Error> {
        let (mut done, dated) = (Vec::new(), self.dated());
        for (at, (task, _)) in std::mem::take(&mut self.tasks).into_iter().enumerate() {
            tell(at + 1, task.file());
            let configuration = self.configurations.of(task.path())?;
            match task.carry_out(configuration, self.wanted, identities) {
                Ok(entry) => done.push(entry),
                Err(error) => self.fail(task.file(), &error),
            }
        }
        let resealing = self.resealing.take();
        for (at, (task, entry)) in std::mem::take(&mut self.sealed).into_iter().enumerate() {
            tell(dated + at + 1, task.file());
            let Some(resealing) = &resealing else { continue };
            match task.carry_out(entry, resealing) {
                Ok(entry) => done.push(entry),
                Err(error) => self.fail(task.file(), &error),
            }
        }
        Ok((Report::new(done.into_iter().chain(self.left).collect()), self.wrong))
    }
}
