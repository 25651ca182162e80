//! The files of one revision, immutable and readable from any thread.
//!
//! A [`Tree`] stays readable as long as someone holds it, whatever happens to the branch, the server or the store around
//! it. Folders are read when they are asked for. Nothing is written to the file system, so a symbolic link is only a text
//! that is resolved here, inside the tree; it is NOT possible to leave the repository. Submodules and Git LFS pointers
//! are reported by name, not followed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use gix::objs::{self, TreeRefIter, tree::EntryKind};

use super::mirror::{Mirror, ObjectFault};
use super::path::{PathError, RepoPath};
use super::revision::{CommitId, ObjectId};

/// The most links that are followed for one path, as in Linux.
const MAX_LINKS: usize = 40;
/// The longest text of a link in bytes, as in Linux's `PATH_MAX`.
const MAX_LINK_BYTES: u64 = 4096;
/// The largest folder listing in bytes that is read.
const MAX_FOLDER_BYTES: u64 = 64 << 20;
/// The most entries that one walk visits; nested identical folders could otherwise describe any number.
const MAX_WALK: usize = 200_000;
/// The first line of a Git LFS pointer (git-lfs, docs/spec.md).
pub(super) const LFS_LINE: &[u8] = b"version https://git-lfs.github.com/spec/v1\n";

/// Where the content of a tree is read from, by its id.
pub(super) trait Objects: Send + Sync {
    /// Returns the content of an object of this kind and of at most `limit` bytes; a larger one is not read.
    ///
    /// # Errors
    ///
    /// Fails as [`ObjectFault`] says.
    fn read(&self, id: &gix::oid, kind: objs::Kind, limit: u64) -> Result<Vec<u8>, ObjectFault>;
}

/// Holds the files of one revision.
pub struct Tree {
    objects: Arc<dyn Objects>,
    /// The folder that the content stands in.
    home: PathBuf,
    commit: CommitId,
    root: gix::ObjectId,
    max_file_bytes: u64,
    folders: Mutex<HashMap<gix::ObjectId, Arc<Folder>>>,
}

/// Says what stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link, which [`Tree::resolve`] and [`Tree::read`] follow.
    Link,
    /// Another repository, whose files are not here.
    Submodule,
}

/// Names something in the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub path: RepoPath,
    /// What it is.
    pub kind: Kind,
    /// The id of its content: the same id means the same bytes. For a submodule, the commit that it names.
    pub id: ObjectId,
}

/// Holds the bytes of a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Blob {
    /// The id of the bytes.
    pub id: ObjectId,
    /// Where the bytes stand, after following links.
    pub path: RepoPath,
    /// The bytes, as they were committed.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({}, {} bytes of {})", self.path, self.bytes.len(), self.id)
    }
}

/// Says why something in the tree could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// Nothing stands at this path.
    #[error("{0} does not exist in the repository")]
    NotFound(RepoPath),
    /// A folder was wanted, and a file stands there.
    #[error("{0} is not a folder")]
    NotAFolder(RepoPath),
    /// A file was wanted, and a folder stands there.
    #[error("{0} is a folder, not a file")]
    NotAFile(RepoPath),
    /// The file is larger than the limit.
    #[error("{path} has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// The file.
        path: RepoPath,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A link leads out of the repository, or its text is not a path.
    #[error("the symbolic link {0} leads out of the repository")]
    LinkLeaves(RepoPath),
    /// Links lead to each other without end.
    #[error("the symbolic link {0} never ends at a file: too many links follow each other")]
    LinkLoop(RepoPath),
    /// A link leads to nothing.
    #[error("the symbolic link {link} leads to {target}, which does not exist in the repository")]
    LinkDangles {
        /// The link.
        link: RepoPath,
        /// Where it leads.
        target: RepoPath,
    },
    /// The path is a submodule or lies in one.
    #[error("{0} is a submodule, which is not fetched")]
    Submodule(RepoPath),
    /// The file is a pointer to content that Git LFS keeps elsewhere.
    #[error("{0} is a Git LFS pointer, and its content is not fetched")]
    LfsPointer(RepoPath),
    /// A folder has an entry with a name that can't be used.
    #[error("the folder {folder} has an entry with a name that is not allowed: {name}")]
    Name {
        /// The folder.
        folder: RepoPath,
        /// The name, escaped.
        name: String,
    },
    /// The folder has more entries than are visited.
    #[error("the folder {folder} has more than {limit} entries")]
    TooMany {
        /// The folder.
        folder: RepoPath,
        /// The limit.
        limit: usize,
    },
    /// The store lost or damaged the content; the next fetch gets it anew.
    #[error("{0} cannot be read back from the source store")]
    Damaged(RepoPath),
    /// A file on disk can't be read.
    #[error("{0} cannot be read")]
    Unreadable(RepoPath),
}

impl TreeError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "check spec.path and the revision; names are case sensitive",
            Self::NotAFolder(_) => "let spec.path name a folder",
            Self::NotAFile(_) => "name a file",
            Self::TooLarge { .. } => "make the file smaller, or remove it from the repository",
            Self::LinkLeaves(_) => "let the link lead to a file of this repository, by a relative path",
            Self::LinkLoop(_) | Self::LinkDangles { .. } => "let the link lead to a file that exists",
            Self::Submodule(_) => "commit the files themselves, or sync the other repository as a source of its own",
            Self::LfsPointer(_) => "commit the file itself, without Git LFS",
            Self::Name { .. } => "rename the entry: UTF-8, no control characters, not .git",
            Self::TooMany { .. } => "name a smaller folder",
            Self::Unreadable(_) => "check its permissions",
            Self::Damaged(_) => "it is fetched anew next time; check the volume of the store if it stays so",
        }
    }
}

/// One folder, parsed.
struct Folder {
    entries: BTreeMap<String, (Kind, gix::ObjectId)>,
    refused: Option<String>,
}

/// How many more links may be followed on the way to what was asked for.
struct Links<'a> {
    left: usize,
    asked: &'a RepoPath,
}

impl Tree {
    /// Finds the files of `commit`, which the mirror must have.
    pub(super) fn new(mirror: Arc<Mirror>, commit: gix::ObjectId, max_file_bytes: u64) -> Result<Self, ObjectFault> {
        let home = mirror.path().to_owned();
        Self::of_commit(mirror, home, commit, max_file_bytes)
    }

    /// Finds the files of `commit` among `objects`, which stand in the folder `home`.
    pub(super) fn of_commit(
        objects: Arc<dyn Objects>,
        home: PathBuf,
        commit: gix::ObjectId,
        max_file_bytes: u64,
    ) -> Result<Self, ObjectFault> {
        let bytes = objects.read(&commit, objs::Kind::Commit, MAX_FOLDER_BYTES)?;
        let mut commit_iter = objs::CommitRefIter::from_bytes(&bytes, commit.kind());
        let root = commit_iter.tree_id().map_err(|_| ObjectFault::Damaged)?;
        objects.read(&root, objs::Kind::Tree, MAX_FOLDER_BYTES)?;
        Ok(Self { objects, home, commit: CommitId(commit), root, max_file_bytes, folders: Mutex::default() })
    }

    /// Returns the commit that these are the files of.
    pub fn commit(&self) -> CommitId {
        self.commit
    }

    /// Tells whether this tree stands in the given mirror's directory.
    pub(super) fn is_in(&self, folder: &std::path::Path) -> bool {
        self.home.starts_with(folder)
    }

    /// Finds what stands at `path`, and follows links until it is a file or folder.
    ///
    /// # Errors
    ///
    /// Fails when nothing is there, on the way is a file or submodule, or a link leads out or nowhere.
    pub fn resolve(&self, path: &RepoPath) -> Result<Entry, TreeError> {
        self.follow(self.root_entry(), path.as_str(), &mut Links { left: MAX_LINKS, asked: path })
    }

    /// Returns the bytes of the file at `path`, following links. A file over the size limit is not read.
    ///
    /// # Errors
    ///
    /// Fails as [`Tree::resolve`] does, and when it is no file, too large or a Git LFS pointer.
    pub fn read(&self, path: &RepoPath) -> Result<Blob, TreeError> {
        let entry = self.resolve(path)?;
        if entry.kind != Kind::File {
            return Err(TreeError::NotAFile(path.clone()));
        }
        let bytes = self.object(&entry.id.0, objs::Kind::Blob, self.max_file_bytes, path)?;
        if bytes.starts_with(LFS_LINE) {
            return Err(TreeError::LfsPointer(path.clone()));
        }
        Ok(Blob { id: entry.id, path: entry.path, bytes })
    }

    /// Returns the id of the folder at `path`, following links: the same id means the same files with the same bytes,
    /// except for what links in it lead to.
    ///
    /// # Errors
    ///
    /// Fails as [`Tree::resolve`] does, and when it is no folder.
    pub fn subtree_id(&self, path: &RepoPath) -> Result<ObjectId, TreeError> {
        Ok(self.resolve_folder(path)?.id)
    }

    /// Returns what stands directly in the folder at `path`, by name. Paths begin with the resolved folder.
    ///
    /// # Errors
    ///
    /// Fails as [`Tree::subtree_id`] does, and when an entry has a name that is not allowed.
    pub fn entries(&self, path: &RepoPath) -> Result<Vec<Entry>, TreeError> {
        let folder = self.resolve_folder(path)?;
        self.list(&folder.path, folder.id.0)
    }

    /// Visits everything below the folder at `path`, depth first and by name; folders come before what is in them.
    /// Links and submodules are named but not entered.
    ///
    /// # Errors
    ///
    /// Fails as [`Tree::subtree_id`] does; the items fail as [`Tree::entries`] does, and the last one does when there
    /// are too many.
    pub fn walk(&self, path: &RepoPath) -> Result<Walk<'_>, TreeError> {
        let start = self.resolve_folder(path)?;
        let mut pending = self.list(&start.path, start.id.0)?;
        pending.reverse();
        Ok(Walk { tree: self, start: start.path, pending, visited: 0 })
    }

    fn resolve_folder(&self, path: &RepoPath) -> Result<Entry, TreeError> {
        match self.resolve(path)? {
            entry if entry.kind == Kind::Folder => Ok(entry),
            entry => Err(TreeError::NotAFolder(entry.path)),
        }
    }

    fn list(&self, path: &RepoPath, id: gix::ObjectId) -> Result<Vec<Entry>, TreeError> {
        let folder = self.folder(id, path)?;
        if let Some(name) = &folder.refused {
            return Err(TreeError::Name { folder: path.clone(), name: name.clone() });
        }
        let entry = |(name, (kind, id)): (&String, &(Kind, gix::ObjectId))| {
            let path = path.child(name).map_err(|error| refused_name(path, name, &error))?;
            Ok(Entry { path, kind: *kind, id: ObjectId(*id) })
        };
        folder.entries.iter().map(entry).collect()
    }

    fn root_entry(&self) -> Entry {
        Entry { path: RepoPath::root(), kind: Kind::Folder, id: ObjectId(self.root) }
    }

    /// Walks `text` part by part as a file system would, so that `..` after a link is the folder above its target.
    fn follow(&self, start: Entry, text: &str, links: &mut Links<'_>) -> Result<Entry, TreeError> {
        let mut here = start;
        for part in text.split('/') {
            here = match part {
                "" | "." => here,
                ".." => self.above(&here)?,
                name => self.step(&here, name, links)?,
            };
        }
        Ok(here)
    }

    fn above(&self, folder: &Entry) -> Result<Entry, TreeError> {
        let path = folder.path.parent().ok_or_else(|| TreeError::LinkLeaves(folder.path.clone()))?;
        self.resolve(&path)
    }

    fn step(&self, folder: &Entry, name: &str, links: &mut Links<'_>) -> Result<Entry, TreeError> {
        if folder.kind != Kind::Folder {
            return Err(TreeError::NotAFolder(folder.path.clone()));
        }
        let path = folder.path.child(name).map_err(|error| refused_name(&folder.path, name, &error))?;
        match self.folder(folder.id.0, &folder.path)?.entries.get(name) {
            Some((Kind::Link, id)) => self.follow_link(folder, &path, id, links),
            Some((Kind::Submodule, _)) => Err(TreeError::Submodule(path)),
            Some((kind, id)) => Ok(Entry { path, kind: *kind, id: ObjectId(*id) }),
            None => Err(TreeError::NotFound(path)),
        }
    }

    fn follow_link(
        &self,
        folder: &Entry,
        link: &RepoPath,
        id: &gix::ObjectId,
        links: &mut Links<'_>,
    ) -> Result<Entry, TreeError> {
        links.left = links.left.checked_sub(1).ok_or_else(|| TreeError::LinkLoop(links.asked.clone()))?;
        let leaves = || TreeError::LinkLeaves(link.clone());
        let text = match self.object(id, objs::Kind::Blob, MAX_LINK_BYTES, link) {
            Err(TreeError::TooLarge { .. }) => return Err(leaves()),
            text => String::from_utf8(text?).map_err(|_| leaves())?,
        };
        if text.is_empty() || text.starts_with('/') {
            return Err(leaves());
        }
        match self.follow(folder.clone(), &text, links) {
            Err(TreeError::NotFound(target)) => Err(TreeError::LinkDangles { link: link.clone(), target }),
            Err(TreeError::LinkLeaves(_)) => Err(leaves()),
            followed => followed,
        }
    }

    fn folder(&self, id: gix::ObjectId, path: &RepoPath) -> Result<Arc<Folder>, TreeError> {
        if let Some(folder) = self.folders.lock().unwrap_or_else(PoisonError::into_inner).get(&id) {
            return Ok(Arc::clone(folder));
        }
        let bytes = self.object(&id, objs::Kind::Tree, MAX_FOLDER_BYTES, path)?;
        let folder = Arc::new(parse_folder(&bytes, id.kind()).ok_or_else(|| TreeError::Damaged(path.clone()))?);
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&folder));
        Ok(folder)
    }

    fn object(&self, id: &gix::oid, kind: objs::Kind, limit: u64, path: &RepoPath) -> Result<Vec<u8>, TreeError> {
        self.objects.read(id, kind, limit).map_err(|fault| match fault {
            ObjectFault::TooLarge(size) => TreeError::TooLarge { path: path.clone(), size, limit },
            ObjectFault::Missing | ObjectFault::Damaged | ObjectFault::OtherKind => TreeError::Damaged(path.clone()),
        })
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({})", self.commit)
    }
}

fn refused_name(folder: &RepoPath, name: &str, error: &PathError) -> TreeError {
    match error {
        PathError::TooLong => TreeError::Name { folder: folder.clone(), name: "a path that is too long".to_owned() },
        _ => TreeError::Name { folder: folder.clone(), name: name.escape_debug().to_string() },
    }
}

/// Returns nothing when the bytes are not a folder. Of names that are not UTF-8 or stand twice, the first is kept to be
/// reported.
fn parse_folder(bytes: &[u8], hash: gix::hash::Kind) -> Option<Folder> {
    let mut folder = Folder { entries: BTreeMap::new(), refused: None };
    for entry in TreeRefIter::from_bytes(bytes, hash) {
        let entry = entry.ok()?;
        let kind = match entry.mode.kind() {
            EntryKind::Tree => Kind::Folder,
            EntryKind::Blob | EntryKind::BlobExecutable => Kind::File,
            EntryKind::Link => Kind::Link,
            EntryKind::Commit => Kind::Submodule,
        };
        let name = std::str::from_utf8(entry.filename).ok();
        let is_new = name.map(|name| folder.entries.insert(name.to_owned(), (kind, entry.oid.to_owned())).is_none());
        if is_new != Some(true) {
            folder.refused.get_or_insert_with(|| entry.filename.escape_ascii().to_string());
        }
    }
    Some(folder)
}

/// Visits everything below a folder; made by [`Tree::walk`].
pub struct Walk<'a> {
    tree: &'a Tree,
    start: RepoPath,
    pending: Vec<Entry>,
    visited: usize,
}

impl Iterator for Walk<'_> {
    type Item = Result<Entry, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entry = self.pending.pop()?;
        self.visited += 1;
        if let Err(error) = self.enter(&entry) {
            self.pending.clear();
            return Some(Err(error));
        }
        Some(Ok(entry))
    }
}

impl Walk<'_> {
    fn enter(&mut self, entry: &Entry) -> Result<(), TreeError> {
        if self.visited > MAX_WALK {
            return Err(TreeError::TooMany { folder: self.start.clone(), limit: MAX_WALK });
        }
        if entry.kind == Kind::Folder {
            let children = self.tree.list(&entry.path, entry.id.0)?;
            self.pending.extend(children.into_iter().rev());
        }
        Ok(())
    }
}
