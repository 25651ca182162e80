//! The files of a folder on the disk, in the form of a tree of Git objects.
//!
//! Folders are listed, and their files read, when they are asked for, so that a large checkout costs only what is used.
//! Files and links have the ids that Git would give them. A folder's id names its path instead, since nobody
//! knows yet what is in it. Nothing is written, and nothing is kept but where each id stands.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gix::hash;
use gix::objs;

use super::mirror::ObjectFault;
use super::revision::CommitId;
use super::tree::{Objects, Tree};

/// The hash that ids are made with; any would do, since they are not stored.
const HASH: hash::Kind = hash::Kind::Sha1;

/// A folder on the disk.
pub(super) struct WorkTree {
    root: PathBuf,
    places: Mutex<HashMap<gix::ObjectId, PathBuf>>,
}

impl WorkTree {
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), places: Mutex::default() }
    }

    pub(super) fn into_tree(self, max_file_bytes: u64) -> Tree {
        let home = self.root.clone();
        let root = self.place(path_id(&self.root), &self.root);
        Tree::of_root(Arc::new(self), home, CommitId(HASH.null()), root, max_file_bytes)
    }

    /// Remembers where the content with this id stands.
    fn place(&self, id: gix::ObjectId, path: &Path) -> gix::ObjectId {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).insert(id, path.to_owned());
        id
    }

    fn path(&self, id: &gix::oid) -> Option<PathBuf> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// Writes the listing of a folder as Git's tree object has it: `MODE NAME\0ID` for each entry.
    fn list(&self, folder: &Path) -> std::io::Result<Vec<u8>> {
        let mut listing = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_name() == ".git" {
                continue;
            }
            if let Some((mode, id)) = self.entry(&entry.path())? {
                listing.extend_from_slice(mode);
                listing.push(b' ');
                listing.extend_from_slice(entry.file_name().as_bytes());
                listing.push(0);
                listing.extend_from_slice(id.as_slice());
            }
        }
        Ok(listing)
    }

    /// Returns Git's mode and an id for what stands at `path`; nothing for sockets and the like, which Git doesn't have.
    fn entry(&self, path: &Path) -> std::io::Result<Option<(&'static [u8], gix::ObjectId)>> {
        let kind = fs::symlink_metadata(path)?.file_type();
        let (mode, id): (&[u8], _) = match () {
            () if kind.is_symlink() => (b"120000", blob_id(&content(path, u64::MAX)?)?),
            () if kind.is_dir() && path.join(".git").exists() => (b"160000", path_id(path)),
            () if kind.is_dir() => (b"40000", path_id(path)),
            () if kind.is_file() => (b"100644", file_id(path)?),
            () => return Ok(None),
        };
        Ok(Some((mode, self.place(id, path))))
    }
}

impl Objects for WorkTree {
    fn read(&self, id: &gix::oid, kind: objs::Kind, limit: u64) -> Result<Vec<u8>, ObjectFault> {
        let path = self.path(id).ok_or(ObjectFault::Missing)?;
        if kind == objs::Kind::Tree {
            return self.list(&path).map_err(|_| ObjectFault::Unreadable);
        }
        let size = fs::symlink_metadata(&path).map_err(|_| ObjectFault::Unreadable)?.len();
        if size > limit {
            return Err(ObjectFault::TooLarge(size));
        }
        let bytes = content(&path, limit).map_err(|_| ObjectFault::Unreadable)?;
        match blob_id(&bytes) {
            Ok(found) if *found == *id => Ok(bytes),
            _ => Err(ObjectFault::Unreadable),
        }
    }
}

/// The files that are not read to name them; they are refused anyway when they are asked for.
const MAX_NAMED_BYTES: u64 = 16 << 20;

fn file_id(path: &Path) -> std::io::Result<gix::ObjectId> {
    match fs::metadata(path)?.len() {
        0..=MAX_NAMED_BYTES => blob_id(&content(path, MAX_NAMED_BYTES)?),
        _ => Ok(path_id(path)),
    }
}

/// Reads a file, or the text of a link.
fn content(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    if fs::symlink_metadata(path)?.is_symlink() {
        return Ok(fs::read_link(path)?.into_os_string().into_vec());
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn blob_id(bytes: &[u8]) -> std::io::Result<gix::ObjectId> {
    objs::compute_hash(HASH, objs::Kind::Blob, bytes).map_err(std::io::Error::other)
}

/// Names a path, in a way that no content of a file is named.
fn path_id(path: &Path) -> gix::ObjectId {
    objs::compute_hash(HASH, objs::Kind::Tree, path.as_os_str().as_bytes()).unwrap_or_else(|_| HASH.null())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::path::RepoPath;
    use super::super::tree::{Kind, TreeError};
    use super::*;

    const LIMIT: u64 = 1000;

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    fn folder() -> (tempfile::TempDir, Tree) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("app/.git-not")).unwrap();
        fs::create_dir_all(folder.path().join("other/.git")).unwrap();
        fs::create_dir_all(folder.path().join(".git")).unwrap();
        fs::write(folder.path().join("app/hello"), "hello\n").unwrap();
        let tree = WorkTree::at(folder.path()).into_tree(LIMIT);
        (folder, tree)
    }

    #[test]
    fn files_have_the_ids_that_git_gives_them() {
        let (_folder, tree) = folder();
        let blob = tree.read(&path("app/hello")).unwrap();
        // echo hello | git hash-object --stdin
        assert_eq!(blob.id.to_string(), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(blob.bytes, b"hello\n");
    }

    #[test]
    fn folders_are_listed_without_git_itself_and_other_repositories_are_named() {
        let (_folder, tree) = folder();
        let found: Vec<_> =
            tree.entries(&path(".")).unwrap().into_iter().map(|e| (e.path.to_string(), e.kind)).collect();
        assert_eq!(found, [("app".to_owned(), Kind::Folder), ("other".to_owned(), Kind::Submodule)]);
        assert_eq!(tree.read(&path("other/x")), Err(TreeError::Submodule(path("other"))));
    }

    #[test]
    fn links_are_followed_inside_the_checkout_and_refused_outside() {
        let (folder, tree) = folder();
        for (target, link) in [("hello", "inside"), ("../../x", "above"), ("/etc/hostname", "absolute")] {
            symlink(target, folder.path().join("app").join(link)).unwrap();
        }
        assert_eq!(tree.read(&path("app/inside")).map(|blob| blob.bytes), Ok(b"hello\n".to_vec()));
        for link in ["app/above", "app/absolute"] {
            assert_eq!(tree.read(&path(link)), Err(TreeError::LinkLeaves(path(link))));
        }
    }

    #[test]
    fn large_files_are_refused_by_size_and_changed_ones_by_content() {
        let (folder, tree) = folder();
        fs::write(folder.path().join("app/large"), vec![b'x'; 1001]).unwrap();
        fs::write(folder.path().join("app/changing"), "before").unwrap();
        let refused = tree.read(&path("app/large"));
        assert_eq!(refused, Err(TreeError::TooLarge { path: path("app/large"), size: 1001, limit: LIMIT }));
        fs::write(folder.path().join("app/changing"), "after").unwrap();
        assert_eq!(tree.read(&path("app/changing")), Err(TreeError::Unreadable(path("app/changing"))));
    }
}
