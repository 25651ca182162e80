//! Opens what a plan is about to send, and binds the values to their manifests.
//!
//! Integrity before meaning: the MAC of every SOPS file that went into the render is verified, on the original bytes from
//! Git, before anything is returned; a file that was verified before is opened again only when its values are
//! needed. Everything is opened or nothing is: the result is either all requests or all refusals. Nothing after this is
//! `Debug`. Not here: talking to anybody; keys are in memory by now.

mod all_cores;
mod bind;
mod error;
mod key_file;
mod references;
mod sealed_items;
mod sops_files;
mod stack;
mod templates;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use waxwing_keys::Keyring;
use waxwing_plan::{GroupKind, Manifest};

use crate::cluster::{Request, ServiceAccount};
use crate::render::{Rendered, SopsFile, bindings};

use all_cores::Worth;
pub use bind::provenance;
pub use error::{OpenError, Place};
pub use key_file::{KeyFile, KeyFileError};
pub use references::{
    Answered, MOST_OF_A_SYNC, RefusalKind, StoreRefusal, Stores, misplaced, refusals, secrets_needed, without_values,
};
pub use sops_files::{Begun, ServiceAnswers, ServiceRefusal};
pub use stack::with_stack_wiped;

/// The keys that one sync may use. Not `Debug`.
pub struct SyncKeys<'a> {
    /// The key files of `spec.secrets.keysFrom`, each with the Secret and key it was read from.
    pub identities: Vec<(String, KeyFile)>,
    /// What key services answered.
    pub services: ServiceAnswers,
    /// What secret stores answered.
    pub stores: Stores,
    /// The cluster's sealing keys.
    pub ring: &'a Keyring,
    /// The ServiceAccount that the sync acts as, for messages.
    pub account: ServiceAccount,
    /// The namespaces in which that account may create and patch Secrets; SealedSecrets of others stay sealed.
    pub may_write_secrets_in: BTreeSet<String>,
}

/// What was opened.
pub struct Opened {
    /// One request for each manifest, in the order of the manifests.
    pub requests: Vec<Request>,
    /// The blob ids of the render's SOPS files, all of which are verified now.
    pub verified: BTreeSet<String>,
    /// What it took, by scheme; nothing of a scheme of which nothing was opened.
    pub effort: Vec<Effort>,
}

/// What opening took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// How the values were sealed: `sops` or `sealed-secret`; or `reference`, of what stores gave.
    pub scheme: &'static str,
    /// How many values of that scheme are on their way into requests.
    pub values: usize,
    /// How long opening took them, with verifying.
    pub took: Duration,
}

/// What opening takes, known without opening anything.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Whether a SOPS file has to be opened.
    pub identities: bool,
    /// The namespaces into which items of SealedSecrets are to be opened.
    pub sealed_in: BTreeSet<String>,
}

/// Says what opening `sent` takes; nothing where nothing is sealed or everything is verified and unchanged.
pub fn needs(rendered: &Rendered, sent: &[&Manifest], verified: &BTreeSet<String>) -> Needs {
    let unverified = rendered.sops_files().any(|file| !verified.contains(&file.blob.to_string()));
    let identities = unverified || !bind::files_needed(rendered, sent).is_empty();
    let sealed = sent.iter().flat_map(|manifest| rendered.sealed_bindings(&manifest.id));
    Needs { identities, sealed_in: sealed.map(|(_, binding)| binding.namespace.clone()).collect() }
}

/// Begins to open the SOPS files that [`open`] would open and that name key services, which have to be asked before.
pub fn begin(rendered: &Rendered, sent: &[&Manifest], verified: &BTreeSet<String>) -> Begun {
    Begun::new(rendered.sops_files(), &bind::files_needed(rendered, sent), verified)
}

/// Opens what `sent` needs and verifies all SOPS files of the render that aren't in `verified`; those that were `begun` go on from
/// there.
///
/// # Errors
///
/// Returns every refusal: values that may not end where they would, files and values that can't be opened or were tampered
/// with.
pub fn open(
    rendered: &Rendered,
    sent: &[&Manifest],
    bind_into: &[GroupKind],
    keys: &SyncKeys<'_>,
    verified: &BTreeSet<String>,
    begun: &Begun,
) -> Result<Opened, Vec<OpenError>> {
    check_bindings(sent, bind_into)?;
    let is_verified = |file: &SopsFile| verified.contains(&file.blob.to_string());
    // The others are opened anyway.
    let needed = match rendered.sops_files().any(is_verified) {
        true => bind::files_needed(rendered, sent),
        false => BTreeSet::new(),
    };
    let start = Instant::now();
    let (files, mut errors) = sops_files::open(rendered.sops_files(), &needed, verified, keys, begun);
    let files_took = start.elapsed();
    let (mut items, mut refusals) = sealed_items::open(rendered, sent, keys);
    if refusals.is_empty() {
        refusals = templates::render(rendered, sent, &mut items);
    }
    let items_took = start.elapsed() - files_took;
    errors.extend(refusals);
    errors.extend(references::unresolved(rendered, sent, &keys.stores));
    if !errors.is_empty() {
        return Err(errors);
    }
    let values = bind::Values { rendered, files: &files, items: &items, stores: &keys.stores };
    let bound = all_cores::map(sent, Worth::ManyItems, |manifest| values.bind(manifest));
    let mut requests = collect(bound.into_iter())?;
    for request in &mut requests {
        request.may_hold_secrets |= bind_into.contains(&request.id.kind);
    }
    let verified = rendered.sops_files().map(|file| file.blob.to_string()).collect();
    let effort = |scheme, took| Effort { scheme, values: count(&requests, scheme), took };
    let sops = (!files.is_empty()).then(|| effort("sops", files_took));
    let sealed = (!items.is_empty()).then(|| effort("sealed-secret", items_took));
    let stored = (!keys.stores.is_empty()).then(|| effort("reference", keys.stores.took));
    let effort = sops.into_iter().chain(sealed).chain(stored).collect();
    Ok(Opened { requests, verified, effort })
}

fn count(requests: &[Request], scheme: &str) -> usize {
    let sources = requests.iter().flat_map(Request::provenance).flat_map(|(_, sources)| sources);
    sources.filter(|source| source.mark.scheme == scheme).count()
}

fn check_bindings(sent: &[&Manifest], bind_into: &[GroupKind]) -> Result<(), Vec<OpenError>> {
    let refused = sent.iter().filter_map(|manifest| bindings::check(manifest, bind_into).err()).flatten();
    let errors: Vec<OpenError> = refused.map(|error| OpenError::Binding(Box::new(error))).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Collects all values, or all errors.
fn collect<T, E>(results: impl Iterator<Item = Result<T, Vec<E>>>) -> Result<Vec<T>, Vec<E>> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(more) => errors.extend(more),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}
