//! Which files of a working folder would be committed: those that Git has in its index, and those that no ignore file names.
//!
//! The ignore files of the repository count (`.gitignore` of each folder, `.git/info/exclude`); one that only the user's
//! configuration names has no say, since it keeps nobody else from committing a file.

use std::path::Path;

use gix::bstr::BStr;
use gix::index::entry::Mode;
use gix::worktree::stack::state::ignore::Source;

use super::checkout::CheckoutError;
use super::files::Files;
use super::path::RepoPath;
use super::tree::Kind;
use super::working_folder::WorkingFolder;

impl WorkingFolder {
    /// Returns the files at or below `path` that would be committed, in the order of their paths; all of them where there is no
    /// repository. Links are left out, and repositories in the repository. A `path` that is a file is returned whatever ignores it.
    ///
    /// # Errors
    ///
    /// Fails when a folder, the index or an ignore file can't be read.
    pub fn committable(&self, path: &RepoPath) -> Result<Vec<RepoPath>, CheckoutError> {
        let mut files = Vec::new();
        if self.find(path)?.kind == Kind::File {
            files.push(path.clone());
        } else if self.root().join(".git").exists() {
            self.walk_repository(path, &mut files)?;
        } else {
            self.walk(path, &mut |_, _| Ok(true), &mut files)?;
        }
        Ok(files)
    }

    fn walk_repository(&self, path: &RepoPath, files: &mut Vec<RepoPath>) -> Result<(), CheckoutError> {
        let refused = || CheckoutError::Repository(self.root().to_owned());
        let options = gix::open::Options::isolated().with(gix::sec::Trust::Reduced);
        let repository = gix::open_opts(self.root(), options).map_err(|_| refused())?;
        let index = repository.index_or_empty().map_err(|_| refused())?;
        let mut ignored = repository.excludes(&index, None, Source::default()).map_err(|_| refused())?;
        let mut counts = |path: &RepoPath, kind: Kind| {
            let mode = if kind == Kind::Folder { Mode::DIR } else { Mode::FILE };
            let place = ignored.at_path(Path::new(path.as_str()), Some(mode)).map_err(|_| refused())?;
            Ok(!place.is_excluded() || is_tracked(&index, path, kind))
        };
        self.walk(path, &mut counts, files)
    }

    fn walk(&self, folder: &RepoPath, counts: &mut Counts<'_>, files: &mut Vec<RepoPath>) -> Result<(), CheckoutError> {
        for found in self.list(folder)? {
            match found.kind {
                Kind::File if counts(&found.path, found.kind)? => files.push(found.path),
                Kind::Folder if self.is_repository(&found.path) => {}
                Kind::Folder if counts(&found.path, found.kind)? => self.walk(&found.path, counts, files)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn is_repository(&self, folder: &RepoPath) -> bool {
        self.root().join(folder.as_str()).join(".git").exists()
    }
}

/// Tells whether a file or folder is looked at.
type Counts<'a> = dyn FnMut(&RepoPath, Kind) -> Result<bool, CheckoutError> + 'a;

/// Tells whether Git has the file, or a file in the folder.
fn is_tracked(index: &gix::index::State, path: &RepoPath, kind: Kind) -> bool {
    match kind {
        Kind::Folder => {
            let prefix = format!("{}/", path.as_str());
            index.prefixed_entries(BStr::new(&prefix)).is_some_and(|entries| !entries.is_empty())
        }
        _ => index.entry_by_path(BStr::new(path.as_str())).is_some(),
    }
}
