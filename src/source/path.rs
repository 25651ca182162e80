//! Paths inside a repository.
//!
//! A [`RepoPath`] is relative to the root of the repository, has `/` between its parts, and can't leave it. It is NOT a
//! path of the file system and never touches one.

use std::fmt;

/// The longest path in bytes that is accepted, as in Linux's `PATH_MAX`.
const MAX_BYTES: usize = 4096;

/// Names a file or folder of a repository. The root is the empty path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RepoPath(String);

/// Says why a text is not the path of something in the repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path begins with a slash.
    #[error("the path {0:?} is absolute")]
    Absolute(String),
    /// The path climbs above the root of the repository.
    #[error("the path {0:?} leaves the repository")]
    Leaves(String),
    /// A part of the path is `.git` or has a control character.
    #[error("the path {0:?} has a part that is not allowed")]
    Part(String),
    /// The path is longer than 4096 bytes.
    #[error("a path is longer than {MAX_BYTES} bytes")]
    TooLong,
}

impl RepoPath {
    /// Returns the root of the repository.
    pub fn root() -> Self {
        Self::default()
    }

    /// Parses a path relative to the root, such as `./clusters/prod`; `.` and doubled slashes are dropped and `..` is
    /// resolved.
    ///
    /// # Errors
    ///
    /// Fails when the path is absolute, leaves the repository, is too long, or has a part that no file can have.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        Self::root().join(text)
    }

    /// Resolves `relative` against this folder, as `cd` would.
    ///
    /// # Errors
    ///
    /// Fails as [`RepoPath::parse`] does.
    pub fn join(&self, relative: &str) -> Result<Self, PathError> {
        if relative.starts_with('/') {
            return Err(PathError::Absolute(relative.to_owned()));
        }
        let mut path = self.clone();
        for part in relative.split('/') {
            path = path.step(part, relative)?;
        }
        Ok(path)
    }

    fn step(self, part: &str, whole: &str) -> Result<Self, PathError> {
        match part {
            "" | "." => Ok(self),
            ".." => self.parent().ok_or_else(|| PathError::Leaves(whole.to_owned())),
            _ => self.child(part),
        }
    }

    /// Returns the entry `name` of this folder.
    ///
    /// # Errors
    ///
    /// Fails when `name` is not a plain name: empty, `.`, `..`, `.git`, or with a slash or control character.
    pub fn child(&self, name: &str) -> Result<Self, PathError> {
        let forbidden = ["", ".", ".."].contains(&name)
            || name.eq_ignore_ascii_case(".git")
            || name.contains('/')
            || name.chars().any(char::is_control);
        if forbidden {
            return Err(PathError::Part(name.to_owned()));
        }
        if self.0.len() + name.len() >= MAX_BYTES {
            return Err(PathError::TooLong);
        }
        match self.0.as_str() {
            "" => Ok(Self(name.to_owned())),
            folder => Ok(Self(format!("{folder}/{name}"))),
        }
    }

    /// Returns the folder that holds this entry, or nothing for the root.
    pub fn parent(&self) -> Option<Self> {
        match self.0.rsplit_once('/') {
            Some((folder, _)) => Some(Self(folder.to_owned())),
            None if self.is_root() => None,
            None => Some(Self::root()),
        }
    }

    /// Returns the last part, or nothing for the root.
    pub fn file_name(&self) -> Option<&str> {
        self.parts().next_back()
    }

    /// Returns the parts from the root down.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// Tells whether this is `folder` or stands somewhere below it.
    pub fn is_within(&self, folder: &Self) -> bool {
        match self.0.strip_prefix(folder.as_str()) {
            Some(rest) => folder.is_root() || rest.is_empty() || rest.starts_with('/'),
            None => false,
        }
    }

    /// Tells whether this is the root of the repository.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the path as text, without a leading `./`; empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepoPath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_not_inside_the_repository_is_refused() {
        let long = "a/".repeat(3000);
        let table = [
            ("/etc/passwd", PathError::Absolute("/etc/passwd".to_owned())),
            ("..", PathError::Leaves("..".to_owned())),
            ("a/../../b", PathError::Leaves("a/../../b".to_owned())),
            (".git/config", PathError::Part(".git".to_owned())),
            ("a/.GIT/config", PathError::Part(".GIT".to_owned())),
            ("a\0b", PathError::Part("a\0b".to_owned())),
            ("a\nb", PathError::Part("a\nb".to_owned())),
            (&long, PathError::TooLong),
        ];
        for (text, expected) in table {
            assert_eq!(RepoPath::parse(text), Err(expected));
        }
    }

    #[test]
    fn a_path_is_stored_in_its_plain_form() -> Result<(), PathError> {
        let table = [
            ("", "", "."),
            (".", "", "."),
            ("./clusters//prod/", "clusters/prod", "clusters/prod"),
            ("a/b/../c", "a/c", "a/c"),
        ];
        for (text, plain, printed) in table {
            let path = RepoPath::parse(text)?;
            assert_eq!((path.as_str(), path.to_string().as_str()), (plain, printed));
        }
        Ok(())
    }

    #[test]
    fn a_folder_contains_itself_and_what_is_below_but_not_its_neighbours() -> Result<(), PathError> {
        let folder = RepoPath::parse("a/b")?;
        let table = [("a/b", true), ("a/b/c", true), ("a/bc", false), ("a", false), ("", false)];
        for (path, expected) in table {
            assert_eq!(RepoPath::parse(path)?.is_within(&folder), expected, "{path}");
        }
        assert!(folder.is_within(&RepoPath::root()));
        Ok(())
    }
}
