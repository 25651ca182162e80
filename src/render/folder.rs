//! The folder that a Sync names: a kustomization, or plain files, in which folders with a kustomization may lie.

use super::SourceFiles;
use super::error::{Fault, Place, RenderError};
use super::manifests::SourceDocument;
use super::reader::Reader;
use crate::source::{Found, Kind, RepoPath, TreeError};

/// What a folder turned out to hold.
#[derive(Default)]
pub(super) struct Folder {
    documents: Vec<SourceDocument>,
    roots: Vec<RepoPath>,
}

impl Reader<'_> {
    /// Reads the folder to render.
    pub(super) fn folder(&mut self, path: &RepoPath) -> Folder {
        let mut folder = Folder::default();
        match self.files.find(path) {
            Ok(Found { kind: Kind::Folder, path }) => self.subfolder(&path, &mut folder),
            Ok(_) => {
                self.refuse(Place::file(path.to_string()), Fault::Folder(TreeError::NotAFolder(path.clone())));
            }
            Err(error) => self.refuse(Place::file(path.to_string()), Fault::Folder(error)),
        }
        folder
    }

    /// Hands out what was read, or what is wrong with it.
    pub(super) fn finish(mut self, folder: Folder) -> Result<SourceFiles, Vec<RenderError>> {
        self.refuse_cuts();
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        self.plaintext.sort();
        self.plaintext.dedup();
        Ok(SourceFiles {
            foreign: self.foreign.clone(),
            closure: self.closure(),
            documents: folder.documents,
            roots: folder.roots,
            staged: self.take_staged(),
            handles: self.handles,
            plaintext: self.plaintext,
            unsure: self.unsure,
            sops: self.sops.into_values().collect(),
        })
    }

    fn subfolder(&mut self, path: &RepoPath, folder: &mut Folder) {
        if let Some(file) = self.kustomization_in(path) {
            self.kustomization(&file);
            folder.roots.push(file);
            return;
        }
        let entries = match self.files.list(path) {
            Ok(entries) => entries,
            Err(error) => return self.refuse(Place::file(path.to_string()), error),
        };
        for entry in entries.into_iter().filter(|entry| !is_hidden(&entry.path)) {
            self.entry(path, entry, folder);
        }
    }

    fn entry(&mut self, parent: &RepoPath, entry: Found, folder: &mut Folder) {
        match entry.kind {
            Kind::Folder => self.subfolder(&entry.path, folder),
            Kind::File if is_manifest(&entry.path) => self.manifest_file(&entry.path, folder),
            Kind::File => {}
            Kind::Submodule => {
                self.refuse(Place::file(entry.path.as_str()), TreeError::Submodule(entry.path.clone()));
            }
            Kind::Link => self.link(parent, &entry.path, folder),
        }
    }

    /// Links to files count like files; links to folders are not followed, as they could lead in circles.
    fn link(&mut self, parent: &RepoPath, link: &RepoPath, folder: &mut Folder) {
        match self.files.find(link) {
            Ok(Found { kind: Kind::File, path }) if is_manifest(link) && !path.is_within(parent) => {
                self.manifest_file(&path, folder);
            }
            Ok(_) => {}
            Err(error) => self.refuse(Place::file(link.as_str()), error),
        }
    }

    fn manifest_file(&mut self, path: &RepoPath, folder: &mut Folder) {
        let documents = self.documents(path);
        folder.documents.extend(documents);
    }

    /// Tells whether a file stands at a path. What can't be read is a file, so that reading it says why.
    pub(super) fn is_file(&self, path: &RepoPath) -> bool {
        match self.files.find(path) {
            Ok(entry) => entry.kind == Kind::File,
            Err(TreeError::NotFound(_) | TreeError::NotAFolder(_)) => false,
            Err(_) => true,
        }
    }
}

fn is_hidden(path: &RepoPath) -> bool {
    path.file_name().is_some_and(|name| name.starts_with('.'))
}

fn is_manifest(path: &RepoPath) -> bool {
    let extension = path.file_name().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    matches!(extension, Some("yaml" | "yml" | "json"))
}
