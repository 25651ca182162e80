//! Notices whether all that is asked of files lies in one folder: then the folder's id says whether an answer would be another.

use std::cell::Cell;

use super::files::{Files, Found};
use super::path::RepoPath;
use super::tree::{Blob, TreeError};

/// Files, and whether questions about them have stayed in a folder.
pub struct Confined<'a> {
    files: &'a dyn Files,
    folder: &'a RepoPath,
    strayed: Cell<bool>,
}

impl<'a> Confined<'a> {
    /// Passes questions on to `files`.
    pub fn new(files: &'a dyn Files, folder: &'a RepoPath) -> Self {
        Self { files, folder, strayed: Cell::new(false) }
    }

    /// Tells whether nothing was asked about what lies outside of the folder, and no link was followed.
    pub fn is_so(&self) -> bool {
        !self.strayed.get()
    }

    fn note(&self, asked: &RepoPath, found: Option<&RepoPath>) {
        let stayed = asked.is_within(self.folder) && found.is_none_or(|found| found == asked);
        self.strayed.set(self.strayed.get() || !stayed);
    }
}

impl Files for Confined<'_> {
    fn find(&self, path: &RepoPath) -> Result<Found, TreeError> {
        let found = self.files.find(path);
        self.note(path, found.as_ref().ok().map(|found| &found.path));
        found
    }

    fn bytes(&self, path: &RepoPath) -> Result<Blob, TreeError> {
        let blob = self.files.bytes(path);
        self.note(path, blob.as_ref().ok().map(|blob| &blob.path));
        blob
    }

    fn list(&self, path: &RepoPath) -> Result<Vec<Found>, TreeError> {
        let found = self.find(path)?;
        self.files.list(&found.path)
    }
}

#[cfg(test)]
mod tests {
    use super::super::WorkingFolder;
    use super::*;

    /// Tells whether `ask` stays in the folder `apps` of a repository with files inside and outside, and links to both.
    fn is_confined(ask: impl Fn(&Confined<'_>)) -> bool {
        let root = tempfile::tempdir().unwrap();
        for folder in [".git", "apps"] {
            std::fs::create_dir(root.path().join(folder)).unwrap();
        }
        for file in ["apps/a.yaml", "other.yaml"] {
            std::fs::write(root.path().join(file), "a: b").unwrap();
        }
        for (target, link) in [("a.yaml", "inside"), ("../other.yaml", "outside")] {
            std::os::unix::fs::symlink(target, root.path().join("apps").join(link)).unwrap();
        }
        let (files, folder) = WorkingFolder::around(&root.path().join("apps")).unwrap();
        let confined = Confined::new(&files, &folder);
        ask(&confined);
        confined.is_so()
    }

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    #[test]
    fn questions_about_a_folder_and_what_is_in_it_or_is_not_are_confined_to_it() {
        assert!(is_confined(|files| {
            files.list(&path("apps")).unwrap();
            files.bytes(&path("apps/a.yaml")).unwrap();
            files.find(&path("apps/kustomization.yaml")).unwrap_err();
        }));
    }

    #[test]
    fn a_question_about_anything_else_or_through_a_link_is_not() {
        assert!(!is_confined(|files| drop(files.find(&path("other.yaml")))));
        assert!(!is_confined(|files| drop(files.find(&path("missing")))));
        assert!(!is_confined(|files| drop(files.bytes(&path("apps/inside")))));
        assert!(!is_confined(|files| drop(files.find(&path("apps/outside")))));
        assert!(!is_confined(|files| drop(files.list(&path("")))));
    }
}
