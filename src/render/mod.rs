//! From a tree of files to manifests with handles: plain folders of YAML and JSON, and Kustomize.
//!
//! The way through: [`read`] collects and parses every file that goes in, puts a handle where ciphertext stands, and
//! returns [`SourceFiles`]; [`render`] makes [`Rendered`] manifests of them. By then every sealed value is a handle, so
//! everything here may be printed, and Kustomize, which runs as a child process, never sees a secret. [`bindings`] says
//! where a sealed value may end.
//!
//! Not here: opening anything, the cluster, and Git beyond its [`Files`]. Kustomize is the real program, version 5.8.

pub mod bindings;
mod closure;
mod defined_kinds;
mod documents;
mod error;
mod folder;
mod generators;
mod handles;
mod kustomization;
mod kustomize;
mod manifests;
mod output;
mod patches;
mod plaintext;
mod reader;
mod references;
mod replacements;
mod schema;
mod sealed_secrets;
mod secret_templates;
mod staging;
mod unsure;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use waxwing_formats::reference::ForeignStores;
use waxwing_formats::{Handle, Salt};
use waxwing_plan::{self as plan, GroupKind, Manifest};

use crate::source::{Files, ObjectId, RepoPath};

pub use closure::ClosureKey;
pub use error::{Fault, Place, RenderError};
pub use handles::{Damage, Embedding, HandleTable, Origin, locate};
pub use kustomize::find_program;
pub use manifests::Scope;
pub use plaintext::{PlaintextPolicy, PlaintextSecret, judge};
pub use reader::SopsFile;
pub use references::{EXPAND, Expansion, PlacedReference};
pub use sealed_secrets::SealedBinding;
pub use secret_templates::SecretTemplates;

use manifests::SourceDocument;
use reader::Reader;
use references::{Expansions, References};
use sealed_secrets::SealedBindings;
use secret_templates::Templates;
use unsure::UnsureValues;

/// How to render.
#[derive(Clone, Debug)]
pub struct RenderOptions {
    /// The namespace of objects that have one and don't name it.
    pub default_namespace: String,
    /// The `kustomize` program.
    pub kustomize: PathBuf,
    /// How long all its runs for one render may take together.
    pub timeout: Duration,
}

/// The files that go into a render, read and with handles.
pub struct SourceFiles {
    documents: Vec<SourceDocument>,
    /// The kustomizations to build.
    roots: Vec<RepoPath>,
    staged: BTreeMap<String, Vec<u8>>,
    handles: HandleTable,
    plaintext: Vec<PlaintextSecret>,
    unsure: UnsureValues,
    sops: Vec<SopsFile>,
    closure: BTreeMap<String, ObjectId>,
    foreign: ForeignStores,
}

impl SourceFiles {
    /// Returns what the handles stand for.
    pub fn handles(&self) -> &HandleTable {
        &self.handles
    }

    /// Returns the Secret values that stand in Git in clear text, as far as the files show; a render may find more.
    pub fn plaintext(&self) -> &[PlaintextSecret] {
        &self.plaintext
    }

    /// Returns the SOPS files that go in, by path.
    pub fn sops_files(&self) -> impl Iterator<Item = &SopsFile> {
        self.sops.iter()
    }

    /// Returns the files that go in with the ids of their blobs.
    pub fn closure(&self) -> &BTreeMap<String, ObjectId> {
        &self.closure
    }

    /// Returns what renders them: `kustomize` where it takes part, else `plain`.
    pub fn renderer(&self) -> &'static str {
        if self.roots.is_empty() { "plain" } else { "kustomize" }
    }

    /// Returns the key of the render that these files and options make. What `scope_of` says is not in it.
    pub fn closure_key(&self, options: &RenderOptions) -> ClosureKey {
        ClosureKey::of(self, options)
    }
}

/// The outcome of a render.
#[derive(Debug)]
pub struct Rendered {
    manifests: Vec<Manifest>,
    handles: HandleTable,
    sealed: SealedBindings,
    templates: Templates,
    expansions: Expansions,
    references: References,
    sops: Vec<SopsFile>,
    plaintext: Vec<PlaintextSecret>,
    closure_key: ClosureKey,
    renderer: &'static str,
}

impl Rendered {
    /// Returns the objects, with handles; each id stands once.
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// Returns what a handle stands for, if it is of this render.
    pub fn origin(&self, handle: &Handle) -> Option<&Origin> {
        self.handles.get(handle)
    }

    /// Returns what the items of a SealedSecret are bound to, by their key in the Secret that it became.
    pub fn sealed_bindings(&self, secret: &plan::ObjectId) -> impl Iterator<Item = (&str, &SealedBinding)> {
        self.sealed.get(secret).into_iter().flatten().map(|(key, binding)| (key.as_str(), binding))
    }

    /// Returns the templates of a SealedSecret, by the Secret that it became; nothing where it has none.
    pub fn templates(&self, secret: &plan::ObjectId) -> Option<&SecretTemplates> {
        self.templates.get(secret)
    }

    /// Returns what a Secret is to be filled with from a store; nothing where its annotations don't say so.
    pub fn expansion(&self, secret: &plan::ObjectId) -> Option<&Expansion> {
        self.expansions.get(secret)
    }

    /// Returns the references that each object needs to have resolved; objects without any are not in it.
    pub fn references(&self) -> &BTreeMap<plan::ObjectId, Vec<PlacedReference>> {
        &self.references
    }

    /// Returns the SOPS files that went in, by path.
    pub fn sops_files(&self) -> impl Iterator<Item = &SopsFile> {
        self.sops.iter()
    }

    /// Returns the Secret values that stand in Git in clear text; [`judge`] says whether that is allowed.
    pub fn plaintext(&self) -> &[PlaintextSecret] {
        &self.plaintext
    }

    /// Returns what rendered them: `kustomize` where it took part, else `plain`.
    pub fn renderer(&self) -> &'static str {
        self.renderer
    }

    /// Returns the key of this render.
    pub fn closure_key(&self) -> &ClosureKey {
        &self.closure_key
    }
}

/// Reads the folder at `path` and everything that it refers to, and puts handles where values are sealed.
///
/// A folder with a kustomization is built by Kustomize. Of any other, the files that end in `.yaml`, `.yml` and `.json`
/// are read, in its folders too, apart from hidden ones; folders in it with a kustomization are built. `foreign` says which references of
/// other tools are read as ours.
///
/// # Errors
///
/// Returns everything that is wrong with any file, not just the first.
pub fn read(
    files: &dyn Files,
    path: &RepoPath,
    salt: &Salt,
    foreign: &ForeignStores,
) -> Result<SourceFiles, Vec<RenderError>> {
    let mut reader = Reader::new(files, salt, foreign);
    let folder = reader.folder(path);
    reader.finish(folder)
}

/// Makes manifests of the files. `salt` is the one that they were read with; `scope_of` says whether objects of a kind
/// live in namespaces; what it doesn't know is taken from definitions in this render, and else to be namespaced.
///
/// # Errors
///
/// Returns everything that is wrong with any object, or why Kustomize refused its input.
pub fn render(
    files: SourceFiles,
    options: &RenderOptions,
    salt: &Salt,
    scope_of: &dyn Fn(&GroupKind) -> Option<Scope>,
) -> Result<Rendered, Vec<RenderError>> {
    match output::render(files, options, salt, scope_of)? {
        (rendered, errors) if errors.is_empty() => Ok(rendered),
        (_, errors) => Err(errors),
    }
}

/// Makes what can be made where [`read`] or [`render`] refuses something, and says all that it left out; nothing where more is wrong than
/// what `is_left_out` says. It is to be looked at, so that all is told at once, and never to be applied.
pub fn render_rest(
    (files, path, foreign): (&dyn Files, &RepoPath, &ForeignStores),
    options: &RenderOptions,
    salt: &Salt,
    scope_of: &dyn Fn(&GroupKind) -> Option<Scope>,
    is_left_out: &dyn Fn(&Fault) -> bool,
) -> Option<(Rendered, Vec<RenderError>)> {
    let mut reader = Reader::new(files, salt, foreign);
    let folder = reader.folder(path);
    let mut left_out: Vec<RenderError> = reader.errors.extract_if(.., |error| is_left_out(&error.fault)).collect();
    let (rendered, errors) = output::render(reader.finish(folder).ok()?, options, salt, scope_of).ok()?;
    left_out.extend(errors);
    left_out.iter().all(|error| is_left_out(&error.fault)).then_some((rendered, left_out))
}
