//! Reads the files that go into a render, each once, and keeps count of them.
//!
//! The reader collects every fault instead of stopping at the first. It knows bytes and paths; what a file is used as,
//! and so which handles it gets, is decided in `documents` and `generators`.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use waxwing_formats::reference::ForeignStores;
use waxwing_formats::sops::{self, Document, Sealed, SopsError, Store};
use waxwing_formats::{Handle, Salt};

use super::error::{Fault, Place, RenderError};
use super::handles::{HandleTable, Origin, mentions_handle};
use super::manifests::SourceDocument;
use super::plaintext::PlaintextSecret;
use super::unsure::UnsureValues;
use crate::source::{Files, ObjectId, RepoPath};

/// The most files that one render takes.
const MAX_FILES: usize = 20_000;
/// The most bytes that one render takes.
const MAX_BYTES: usize = 128 * 1024 * 1024;
/// What every ciphertext of SOPS begins with (sops `aes/cipher.go`).
const SOPS_TOKEN: &str = "ENC[AES256_GCM,data:";

/// One SOPS file of a render, as it stands in Git.
#[derive(Debug)]
pub struct SopsFile {
    /// The path from the repository's root.
    pub path: String,
    /// The id of its blob, by which a verified MAC is remembered.
    pub blob: ObjectId,
    /// The document, not opened yet.
    pub document: Document<Sealed>,
    /// The format that it was parsed as.
    pub store: Store,
}

/// The bytes of one file.
#[derive(Clone)]
pub(super) struct Contents {
    pub(super) bytes: Arc<[u8]>,
    pub(super) blob: ObjectId,
}

/// What has been read so far.
pub(super) struct Reader<'a> {
    pub(super) files: &'a dyn Files,
    pub(super) salt: &'a Salt,
    pub(super) foreign: &'a ForeignStores,
    pub(super) errors: Vec<RenderError>,
    pub(super) handles: HandleTable,
    pub(super) plaintext: Vec<PlaintextSecret>,
    pub(super) unsure: UnsureValues,
    pub(super) sops: BTreeMap<RepoPath, SopsFile>,
    /// The kustomizations that were read, or are being read.
    pub(super) kustomizations: BTreeSet<RepoPath>,
    /// The folders of the kustomizations that are being read, the outermost first.
    pub(super) folders: Vec<RepoPath>,
    /// Where replacements have delimiters that could cut handles.
    pub(super) cuts: Vec<Place>,
    /// What Kustomize will read, by its path in the staged folder.
    staged: BTreeMap<String, Vec<u8>>,
    contents: BTreeMap<RepoPath, Option<Contents>>,
    documents: BTreeMap<RepoPath, Vec<SourceDocument>>,
    total: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(files: &'a dyn Files, salt: &'a Salt, foreign: &'a ForeignStores) -> Self {
        Self {
            files,
            salt,
            foreign,
            errors: Vec::new(),
            handles: HandleTable::default(),
            plaintext: Vec::new(),
            unsure: UnsureValues::default(),
            sops: BTreeMap::new(),
            kustomizations: BTreeSet::new(),
            folders: Vec::new(),
            staged: BTreeMap::new(),
            cuts: Vec::new(),
            contents: BTreeMap::new(),
            documents: BTreeMap::new(),
            total: 0,
        }
    }

    /// Notes a fault and goes on.
    pub(super) fn refuse(&mut self, place: Place, fault: impl Into<Fault>) {
        self.errors.push(RenderError::new(place, fault));
    }

    /// Stages what Kustomize will read instead of `file`. A place is written once: other bytes for it are refused.
    pub(super) fn stage(&mut self, staged: String, file: &RepoPath, bytes: Vec<u8>) {
        match self.staged.entry(staged) {
            Entry::Vacant(place) => {
                place.insert(bytes);
            }
            Entry::Occupied(known) if *known.get() == bytes => {}
            Entry::Occupied(_) => self.refuse(Place::file(file.as_str()), Fault::StagedTwice),
        }
    }

    /// Stages what is read instead of `file` in a room of its use, and returns where it is.
    pub(super) fn stage_in(&mut self, room: &str, file: &RepoPath, bytes: Vec<u8>) -> String {
        let staged = format!("{room}/{file}");
        self.stage(staged.clone(), file, bytes);
        staged
    }

    /// Hands out what was staged.
    pub(super) fn take_staged(&mut self) -> BTreeMap<String, Vec<u8>> {
        std::mem::take(&mut self.staged)
    }

    /// Returns the files read so far with their blobs: the closure.
    pub(super) fn closure(&self) -> BTreeMap<String, ObjectId> {
        let read = self.contents.iter().filter_map(|(path, contents)| Some((path, contents.as_ref()?)));
        read.map(|(path, contents)| (path.as_str().to_owned(), contents.blob)).collect()
    }

    /// Reads a file, once; text that holds handles is refused.
    pub(super) fn file(&mut self, path: &RepoPath) -> Option<Contents> {
        if let Some(known) = self.contents.get(path) {
            return known.clone();
        }
        let contents = self.load(path);
        self.contents.insert(path.clone(), contents.clone());
        contents
    }

    fn load(&mut self, path: &RepoPath) -> Option<Contents> {
        let place = Place::file(path.as_str());
        let blob = match self.files.bytes(path) {
            Ok(blob) => blob,
            Err(error) => {
                self.refuse(place, error);
                return None;
            }
        };
        self.total += blob.bytes.len();
        if self.total > MAX_BYTES || self.contents.len() >= MAX_FILES {
            self.refuse(place, Fault::TooMuch { limit: "20,000 files or 128 MiB" });
            return None;
        }
        if let Some(line) = line_of_handle(&blob.bytes) {
            self.refuse(place.line(line), Fault::HandleInGit);
            return None;
        }
        Some(Contents { bytes: blob.bytes.into(), blob: blob.id })
    }

    /// Parses a file as SOPS if it is sealed, once; the outer option is none when it was refused.
    pub(super) fn sealed(&mut self, path: &RepoPath, store: Store) -> Option<Option<&SopsFile>> {
        if !self.sops.contains_key(path) {
            let contents = self.file(path)?;
            if !sops::is_sealed(&contents.bytes, store) {
                return Some(None);
            }
            match Document::parse(&contents.bytes, store) {
                Ok(document) => {
                    let (path_text, blob) = (path.as_str().to_owned(), contents.blob);
                    self.sops.insert(path.clone(), SopsFile { path: path_text, blob, document, store });
                }
                Err(SopsError::Text(_)) if store == Store::Binary => {
                    self.refuse(Place::file(path.as_str()), Fault::FormatHidden);
                    return None;
                }
                Err(error) => {
                    self.refuse(Place::file(path.as_str()), error);
                    return None;
                }
            }
        }
        Some(self.sops.get(path))
    }

    /// Registers a handle and returns its text.
    pub(super) fn add_handle(&mut self, handle: Handle, origin: Origin) -> String {
        self.handles.add(handle, origin)
    }

    /// Reads the documents of a manifest file, once.
    pub(super) fn documents(&mut self, path: &RepoPath) -> Vec<SourceDocument> {
        if let Some(known) = self.documents.get(path) {
            return known.clone();
        }
        let documents = self.read_documents(path);
        self.documents.insert(path.clone(), documents.clone());
        documents
    }

    /// Refuses bytes that are not sealed as a whole but hold a SOPS token.
    pub(super) fn refuse_stray_tokens(&mut self, path: &RepoPath, bytes: &[u8]) -> Option<()> {
        let line = line_of(bytes, SOPS_TOKEN)?;
        self.refuse(Place::file(path.as_str()).line(line), Fault::CiphertextOutside);
        Some(())
    }
}

/// Returns the format that a sealed file of this name has.
pub(super) fn store_of(path: &RepoPath) -> Store {
    Store::from_path(Path::new(path.as_str()))
}

/// Tells whether a string is, or holds, a SOPS token.
pub(super) fn has_token(text: &str) -> bool {
    text.contains(SOPS_TOKEN)
}

fn line_of_handle(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    if !mentions_handle(&text) {
        return None;
    }
    let line = text.lines().position(mentions_handle);
    Some(line.map_or(1, |line| line + 1))
}

fn line_of(bytes: &[u8], needle: &str) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let at = text.find(needle)?;
    Some(1 + text.get(..at)?.matches('\n').count())
}
