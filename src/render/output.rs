//! The second half of a render: documents, and what Kustomize printed, become manifests.

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_formats::reference::ForeignStores;
use waxwing_formats::{KeyPath, Salt, SecretBytes, yaml};
use waxwing_plan::{GroupKind, Location, Manifest, ObjectId};

use super::defined_kinds::DefinedKinds;
use super::error::{Fault, Place, RenderError};
use super::handles::{HandleTable, locate};
use super::kustomize::TimeLimit;
use super::manifests::{self, Scope, SourceDocument};
use super::plaintext::{self, PlaintextSecret};
use super::references::{self, Expansions, Taking};
use super::sealed_secrets::{self, SealedBindings};
use super::secret_templates::Templates;
use super::staging::Staging;
use super::{RenderOptions, Rendered, SourceFiles, kustomize};
use crate::source::RepoPath;

/// Makes manifests of source files, and says what is wrong with those that it could not make, or not whole. Fails where there is nothing to
/// make any of.
pub(super) fn render(
    mut files: SourceFiles,
    options: &RenderOptions,
    salt: &Salt,
    scope_of: &dyn Fn(&GroupKind) -> Option<Scope>,
) -> Result<(Rendered, Vec<RenderError>), Vec<RenderError>> {
    let (closure_key, renderer) = (files.closure_key(options), files.renderer());
    let built = built(&mut files, options)?;
    let mut documents = files.documents;
    documents.extend(built);
    let documents: Vec<SourceDocument> = documents.into_iter().flat_map(manifests::unfold).collect();
    let defined = DefinedKinds::of(&documents);
    let mut output = Output {
        options,
        salt,
        foreign: files.foreign,
        scope_of: &|kind| scope_of(kind).or_else(|| defined.scope_of(kind)),
        handles: files.handles,
        plaintext: files.plaintext,
        sealed: SealedBindings::new(),
        templates: Templates::new(),
        expansions: Expansions::new(),
        manifests: Vec::new(),
        places: BTreeMap::new(),
        errors: Vec::new(),
    };
    documents.into_iter().for_each(|document| output.document(document));
    output.mark();
    let Output { manifests, handles, sealed, templates, expansions, plaintext, errors, .. } = output;
    let (references, sops) = (references::needed(&manifests, &handles, &expansions), files.sops);
    let rendered = Rendered {
        manifests,
        handles,
        sealed,
        templates,
        expansions,
        references,
        sops,
        plaintext,
        closure_key,
        renderer,
    };
    Ok((rendered, errors))
}

/// Builds the kustomizations, once more where the first build tells which values are public.
fn built(files: &mut SourceFiles, options: &RenderOptions) -> Result<Vec<SourceDocument>, Vec<RenderError>> {
    let limit = TimeLimit::starting_now(options.timeout);
    let mut unsure = std::mem::take(&mut files.unsure);
    let documents = build(&files.staged, &files.roots, options, limit)
        .map_err(|errors| errors.into_iter().map(|error| unsure.explain(error)).collect::<Vec<_>>())?;
    files.plaintext.extend(unsure.settle(&documents)?);
    files.plaintext.sort();
    if unsure.is_empty() {
        return Ok(documents);
    }
    unsure.put_back(&mut files.staged, &mut files.handles);
    build(&files.staged, &files.roots, options, limit)
}

fn build(
    staged: &BTreeMap<String, Vec<u8>>,
    roots: &[RepoPath],
    options: &RenderOptions,
    limit: TimeLimit,
) -> Result<Vec<SourceDocument>, Vec<RenderError>> {
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    let staging = Staging::write(staged).map_err(|fault| vec![RenderError::new(Place::default(), fault)])?;
    let mut documents = Vec::new();
    for root in roots {
        let place = Place::file(root.as_str());
        let folder = root.parent().unwrap_or_default();
        let built = kustomize::build(&staging, &folder, &options.kustomize, limit)
            .and_then(|printed| read_printed(&place, &printed));
        documents.extend(built.map_err(|fault| vec![RenderError::new(place, fault)])?);
    }
    Ok(documents)
}

/// Reads what Kustomize printed, document by document, so that the limit for one file doesn't hold for all.
fn read_printed(place: &Place, printed: &[u8]) -> Result<Vec<SourceDocument>, Fault> {
    let text = String::from_utf8_lossy(printed);
    let mut documents = Vec::new();
    for part in text.split("\n---\n") {
        let parsed = yaml::manifests(part.as_bytes()).map_err(Fault::Output)?;
        let with_place = |value| SourceDocument { place: place.clone(), location: None, value };
        documents.extend(parsed.into_iter().map(|document| with_place(document.value)));
    }
    Ok(documents)
}

struct Output<'a> {
    options: &'a RenderOptions,
    salt: &'a Salt,
    foreign: ForeignStores,
    scope_of: &'a dyn Fn(&GroupKind) -> Option<Scope>,
    handles: HandleTable,
    plaintext: Vec<PlaintextSecret>,
    sealed: SealedBindings,
    templates: Templates,
    expansions: Expansions,
    manifests: Vec<Manifest>,
    /// Where each object was seen first.
    places: BTreeMap<ObjectId, Place>,
    errors: Vec<RenderError>,
}

impl Output<'_> {
    fn document(&mut self, document: SourceDocument) {
        let place = document.place.clone();
        if manifests::is_kustomize_input(&document.value) {
            // In a plain folder it is known where it stands; in the output of a build it would hide something.
            if document.location.is_none() {
                self.errors.push(RenderError::new(place, Fault::KustomizeObject));
            }
            return;
        }
        match self.manifest(document, &place) {
            Ok(manifest) => self.keep(manifest, place),
            Err(error) => self.errors.push(error),
        }
    }

    fn manifest(&mut self, document: SourceDocument, place: &Place) -> Result<Manifest, RenderError> {
        let mut manifest = manifests::manifest(document, self.scope_of, &self.options.default_namespace)?;
        let (sealed, templates) = sealed_secrets::become_secret(&mut manifest, place, &mut self.handles, self.salt)?;
        self.sealed.extend(sealed);
        self.templates.extend(templates);
        let taking = Taking { salt: self.salt, foreign: &self.foreign };
        match references::take_rendered(&mut manifest, place, &mut self.handles, taking) {
            Ok(expansion) => {
                self.expansions.extend(expansion.map(|expansion| (manifest.id.clone(), expansion)));
            }
            Err(errors) => self.errors.extend(errors),
        }
        self.take_plaintext(&mut manifest, place);
        Ok(manifest)
    }

    /// Puts handles where a rendered Secret has values in clear text, however they came there.
    fn take_plaintext(&mut self, manifest: &mut Manifest, place: &Place) {
        if !manifests::is_secret(&manifest.body) {
            return;
        }
        let location = manifest.location.clone().unwrap_or_else(|| Location {
            file: place.file.clone(),
            document: place.document.unwrap_or_default(),
            line: place.line.unwrap_or(1),
        });
        let data = manifest.body.get_mut("data").and_then(Value::as_object_mut);
        for (key, value) in data.into_iter().flatten() {
            let Value::String(text) = value else { continue };
            if !text.is_empty() && matches!(locate(text), Ok(None)) {
                let secret = SecretBytes::new(std::mem::take(text).into_bytes());
                let path = KeyPath::root().key("data").key(key);
                self.plaintext.push(PlaintextSecret {
                    location: location.clone(),
                    key_path: path.to_string(),
                    object: Some(manifest.id.clone()),
                });
                *text = plaintext::add(&mut self.handles, self.salt, &location, path, secret);
            }
        }
    }

    fn keep(&mut self, manifest: Manifest, place: Place) {
        match self.places.get(&manifest.id) {
            Some(other) => {
                let fault = Fault::Duplicate { id: Box::new(manifest.id), other: Box::new(other.clone()) };
                self.errors.push(RenderError::new(place, fault));
            }
            None => {
                self.places.insert(manifest.id.clone(), place);
                self.manifests.push(manifest);
            }
        }
    }

    fn mark(&mut self) {
        for manifest in &mut self.manifests {
            let mut faults = manifests::mark(manifest, &self.handles).err().unwrap_or_default();
            faults.extend(sealed_secrets::stay_in_place(manifest, &self.handles, &self.sealed));
            let place = self.places.get(&manifest.id).cloned().unwrap_or_default();
            self.errors.extend(faults.into_iter().map(|fault| RenderError::new(place.clone(), fault)));
        }
    }
}
