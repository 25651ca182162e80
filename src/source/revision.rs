//! Names of commits, files and folders, and the text form of a revision.
//!
//! An id is NOT a proof that its object exists. The text of a revision is `REF@HASH:ID`, or `HASH:ID` for a source that
//! names a commit.

use std::fmt;
use std::str::FromStr;

use super::remote::Reference;

/// Names a commit by its SHA-1 or SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(pub(super) gix::ObjectId);

/// Names the content of a file or folder by its SHA-1 or SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(super) gix::ObjectId);

/// Says that a text is not a full commit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a full commit id of 40 or 64 hexadecimal digits")]
pub struct CommitIdError;

impl FromStr for CommitId {
    type Err = CommitIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match gix::ObjectId::from_hex(text.as_bytes()) {
            Ok(id) if !id.is_null() => Ok(Self(id)),
            _ => Err(CommitIdError),
        }
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitId({self})")
    }
}

impl ObjectId {
    /// Returns the id that a file with these bytes has in a SHA-1 repository (`blob`, its length and NUL in front).
    pub(super) fn of_file(bytes: &[u8]) -> Option<Self> {
        gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Blob, bytes).ok().map(Self)
    }

    /// Returns the raw digest: 20 or 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self})")
    }
}

/// Says which commit a reference led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// What was asked for.
    pub reference: Reference,
    /// The commit that was found.
    pub commit: CommitId,
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Reference::Branch(name) | Reference::Tag(name) = &self.reference {
            write!(f, "{name}@")?;
        }
        write!(f, "{}:{}", self.commit.0.kind(), self.commit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_full_ids_are_commit_ids() {
        for text in ["", "abc", "HEAD", &"0".repeat(40), &"g".repeat(40), &"a".repeat(41), &"a".repeat(39)] {
            assert_eq!(text.parse::<CommitId>(), Err(CommitIdError), "{text}");
        }
        for text in ["a".repeat(40), "b".repeat(64)] {
            assert_eq!(text.parse::<CommitId>().map(|id| id.to_string()), Ok(text));
        }
    }

    #[test]
    fn a_revision_prints_its_reference_its_hash_and_its_commit() -> Result<(), Box<dyn std::error::Error>> {
        let commit: CommitId = "a".repeat(40).parse()?;
        let long: CommitId = "b".repeat(64).parse()?;
        let table = [
            (Reference::Branch("main".parse()?), commit, format!("main@sha1:{commit}")),
            (Reference::Tag("v1".parse()?), long, format!("v1@sha256:{long}")),
            (Reference::Commit(commit), commit, format!("sha1:{commit}")),
        ];
        for (reference, commit, expected) in table {
            assert_eq!(Revision { reference, commit }.to_string(), expected);
        }
        Ok(())
    }
}
