//! From the source to manifests: the revision, its files, and what they render to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use kube::runtime::reflector::ObjectRef;
use waxwing_formats::reference::ForeignStores;
use waxwing_plan::{GroupKind, Manifest};

use super::other_references::with_other_references;
use crate::api::{Failure, GitSource, Plaintext, Reason, Sync};
use crate::cluster::Kinds;
use crate::reconcile::{Job, Progress, Trouble, foreign_stores};
use crate::render::{self, Fault, PlaintextPolicy, RenderError, RenderOptions, Rendered, Scope, SourceFiles, judge};
use crate::source::{CommitId, Confined, Fetched, ObjectId, RepoPath, TreeError};

/// What each Sync rendered last, so that neither an unchanged commit nor an unchanged closure is rendered again.
#[derive(Default)]
pub struct RenderCache(Mutex<HashMap<ObjectRef<Sync>, Cached>>);

struct Cached {
    commit: CommitId,
    path: String,
    /// The id of the Sync's folder, where nothing outside of it went in.
    folder: Option<ObjectId>,
    kinds: Arc<Kinds>,
    foreign: ForeignStores,
    rendered: Arc<Rendered>,
}

impl RenderCache {
    /// Returns the render of a commit, which may be that of another commit with the same folder.
    fn get(&self, sync: &Sync, fetched: &Fetched, kinds: &Arc<Kinds>) -> Option<Arc<Rendered>> {
        let path = &sync.spec.path;
        let (commit, folder, rendered) = self.last(sync, kinds)?;
        if commit == fetched.revision.commit {
            return Some(rendered);
        }
        let same_folder = folder.is_some() && folder == folder_id(fetched, path);
        same_folder.then_some(rendered)
    }

    fn last(&self, sync: &Sync, kinds: &Arc<Kinds>) -> Option<(CommitId, Option<ObjectId>, Arc<Rendered>)> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache.get(&ObjectRef::from_obj(sync))?;
        let is_same = cached.path == sync.spec.path && cached.foreign == foreign_stores(&sync.spec.secrets);
        let cached = Some(cached).filter(|cached| is_same && Arc::ptr_eq(&cached.kinds, kinds))?;
        Some((cached.commit, cached.folder, cached.rendered.clone()))
    }

    fn same_closure(
        &self,
        sync: &ObjectRef<Sync>,
        key: &render::ClosureKey,
        kinds: &Arc<Kinds>,
    ) -> Option<Arc<Rendered>> {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cached = cache.get(sync)?;
        let same = *cached.rendered.closure_key() == *key && Arc::ptr_eq(&cached.kinds, kinds);
        same.then(|| cached.rendered.clone())
    }

    /// Returns what a Sync rendered last, of whatever revision.
    pub(in crate::reconcile) fn latest(&self, sync: &ObjectRef<Sync>) -> Option<Arc<Rendered>> {
        Some(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(sync)?.rendered.clone())
    }

    fn put(&self, sync: ObjectRef<Sync>, cached: Cached) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(sync, cached);
    }

    /// Forgets what a deleted Sync rendered.
    pub fn remove(&self, sync: &ObjectRef<Sync>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(sync);
    }
}

fn folder_id(fetched: &Fetched, path: &str) -> Option<ObjectId> {
    fetched.tree.subtree_id(&RepoPath::parse(path).ok()?).ok()
}

/// Files that were read.
pub(in crate::reconcile) struct Read {
    files: SourceFiles,
    /// Nothing outside of the Sync's folder went in.
    confined: bool,
}

/// What `read` found: new files, or that the commit was rendered before.
pub(in crate::reconcile) enum Sources<'a> {
    New(Box<Read>, &'a Fetched),
    Known(Arc<Rendered>),
}

/// Why there is no render.
enum NotMade {
    /// Files, or objects made of them, are refused.
    Refused(Vec<RenderError>),
    /// Anything else.
    Trouble(Trouble),
}

impl<E> From<E> for NotMade
where
    Trouble: From<E>,
{
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

impl NotMade {
    /// Tells it to the user. Where nothing but references is refused, what is wrong with the others is told with it.
    async fn told(self, job: &Job<'_>, fetched: &Fetched) -> Trouble {
        let errors = match self {
            Self::Trouble(trouble) => return trouble,
            Self::Refused(errors) => errors,
        };
        match errors.iter().all(|error| is_of_reference(&error.fault)) {
            true => match rest(job, fetched).await {
                Some((rest, errors)) => with_other_references(job, &rest, trouble(&errors)).await,
                None => trouble(&errors),
            },
            false => trouble(&errors),
        }
    }
}

/// Takes the revision that the Sync's source has.
pub(in crate::reconcile) fn fetch(job: &Job<'_>, progress: &mut Progress) -> Result<Fetched, Trouble> {
    let name = &job.sync.spec.source_ref.name;
    let reference = ObjectRef::<GitSource>::new(name).within(job.namespace());
    let Some(source) = job.context.sources.get(&reference) else {
        let fact = format!("GitSource {}/{name} does not exist", job.namespace());
        return Err(Trouble::passing(Reason::SourceNotFound, fact, "create it, or correct spec.sourceRef"));
    };
    let Some(fetched) = job.context.revisions.get(&source) else {
        let fact = format!("GitSource {}/{name} has not fetched anything yet", job.namespace());
        return Err(Trouble::passing(Reason::SourceNotReady, fact, "see its conditions"));
    };
    job.span.record("revision", fetched.revision.to_string());
    progress.attempt(fetched.revision.to_string(), job.context.revisions.new_since(&source));
    Ok(fetched)
}

/// Reads the files of the Sync's folder and all that they refer to.
pub(in crate::reconcile) async fn read<'a>(job: &Job<'_>, fetched: &'a Fetched) -> Result<Sources<'a>, Trouble> {
    let kinds = job.context.kinds.get().await?;
    match job.context.rendered.get(job.sync, fetched, &kinds) {
        Some(rendered) if !has_unknown_kind(&rendered, &kinds) => Ok(Sources::Known(rendered)),
        _ => match files(job, fetched) {
            Ok(read) => Ok(Sources::New(Box::new(read), fetched)),
            Err(error) => Err(error.told(job, fetched).await),
        },
    }
}

fn folder(job: &Job<'_>) -> Result<RepoPath, Trouble> {
    RepoPath::parse(&job.sync.spec.path).map_err(|error| {
        let hint = "correct spec.path: a folder of the repository, relative to its root";
        Trouble::lasting(Reason::PathEscapes, error, hint)
    })
}

fn files(job: &Job<'_>, fetched: &Fetched) -> Result<Read, NotMade> {
    let folder = folder(job)?;
    let foreign = foreign_stores(&job.sync.spec.secrets);
    let read = || {
        let confined = Confined::new(&fetched.tree, &folder);
        let files = render::read(&confined, &folder, &job.context.salt, &foreign)?;
        Ok(Read { files, confined: confined.is_so() })
    };
    tokio::task::block_in_place(read).map_err(NotMade::Refused)
}

/// Renders what is not refused of a revision of which some references are, to ask stores about the others, and returns all that are; nothing
/// where clear text keeps it from being applied anyway.
async fn rest(job: &Job<'_>, fetched: &Fetched) -> Option<(Rendered, Vec<RenderError>)> {
    let (kinds, folder) = (job.context.kinds.get().await.ok()?, folder(job).ok()?);
    let foreign = foreign_stores(&job.sync.spec.secrets);
    let scope = |kind: &GroupKind| scope(&kinds, kind);
    let (files, options) = ((&fetched.tree as _, &folder, &foreign), options(job));
    let make = || render::render_rest(files, &options, &job.context.salt, &scope, &is_of_reference);
    let rest = tokio::task::block_in_place(make)?;
    judge(rest.0.plaintext(), policy(job)).is_ok().then_some(rest)
}

/// Renders, and holds the result against the Sync's policy for secrets in clear text.
pub(in crate::reconcile) async fn render(
    job: &Job<'_>,
    sources: Sources<'_>,
    progress: &mut Progress,
) -> Result<Arc<Rendered>, Trouble> {
    let rendered = match sources {
        Sources::Known(rendered) => remembered(job, rendered),
        Sources::New(files, fetched) => match make(job, *files, fetched).await {
            Ok(rendered) => rendered,
            Err(error) => return Err(error.told(job, fetched).await),
        },
    };
    progress.revision().inspect(|(revision, _)| job.note_tried(revision));
    let warned = judge(rendered.plaintext(), policy(job)).map_err(|errors| trouble(&errors))?;
    progress.warn_of_plaintext(warned);
    Ok(rendered)
}

fn policy(job: &Job<'_>) -> PlaintextPolicy {
    match job.sync.spec.secrets.plaintext {
        Plaintext::Deny => PlaintextPolicy::Deny,
        Plaintext::Warn => PlaintextPolicy::Warn,
        Plaintext::Allow => PlaintextPolicy::Allow,
    }
}

fn options(job: &Job<'_>) -> RenderOptions {
    RenderOptions {
        default_namespace: job.namespace().to_owned(),
        kustomize: job.context.kustomize.clone(),
        timeout: job.sync.spec.timeout.get(),
    }
}

/// Renders with the kinds that are known; where those are not enough, it reads the kinds again and renders once more, since
/// whether a kind has namespaces decides the identity of its objects.
async fn make(job: &Job<'_>, sources: Read, fetched: &Fetched) -> Result<Arc<Rendered>, NotMade> {
    let kinds = job.context.kinds.get().await?;
    let rendered = make_with(job, sources, fetched, &kinds)?;
    if !has_unknown_kind(&rendered, &kinds) {
        return Ok(rendered);
    }
    let fresh = job.context.kinds.refresh().await?;
    match Arc::ptr_eq(&fresh, &kinds) {
        true => Ok(rendered),
        false => make_with(job, files(job, fetched)?, fetched, &fresh),
    }
}

fn make_with(
    job: &Job<'_>,
    Read { files, confined }: Read,
    fetched: &Fetched,
    kinds: &Arc<Kinds>,
) -> Result<Arc<Rendered>, NotMade> {
    let options = options(job);
    let sync = ObjectRef::from_obj(job.sync);
    let rendered = match job.context.rendered.same_closure(&sync, &files.closure_key(&options), kinds) {
        Some(rendered) => remembered(job, rendered),
        None => {
            let scope = |kind: &GroupKind| scope(kinds, kind);
            let (renderer, begun) = (files.renderer(), Instant::now());
            let render = || render::render(files, &options, &job.context.salt, &scope);
            let rendered = tokio::task::block_in_place(render);
            job.context.metrics.render(renderer, rendered.is_ok(), begun.elapsed());
            Arc::new(rendered.map_err(NotMade::Refused)?)
        }
    };
    let (commit, path) = (fetched.revision.commit, job.sync.spec.path.clone());
    let foreign = foreign_stores(&job.sync.spec.secrets);
    let folder = if confined { folder_id(fetched, &path) } else { None };
    job.context
        .rendered
        .put(sync, Cached { commit, path, folder, kinds: kinds.clone(), foreign, rendered: rendered.clone() });
    Ok(rendered)
}

fn remembered(job: &Job<'_>, rendered: Arc<Rendered>) -> Arc<Rendered> {
    job.context.metrics.render_remembered(rendered.renderer());
    rendered
}

/// Tells whether a rendered object has a kind that the cluster is not known to have.
fn has_unknown_kind(rendered: &Rendered, kinds: &Kinds) -> bool {
    let unknown = |manifest: &Manifest| kinds.served(&manifest.id.kind, &manifest.version).is_none();
    rendered.manifests().iter().any(unknown)
}

fn scope(kinds: &Kinds, kind: &GroupKind) -> Option<Scope> {
    kinds.namespaced(kind).map(|namespaced| if namespaced { Scope::Namespaced } else { Scope::Cluster })
}

fn trouble(errors: &[RenderError]) -> Trouble {
    let failure = |error: &RenderError| Failure::new(&error.place, reason(&error.fault), message(error));
    let stalled = !errors.iter().all(|error| may_pass(&error.fault));
    Trouble::of_failures(errors.iter().map(failure).collect(), stalled)
}

/// Tells whether the same commit may render at another try: it was the machine that failed, or the store, which fetches
/// anew what it lost.
fn may_pass(fault: &Fault) -> bool {
    match fault {
        Fault::Start(_) | Fault::TimedOut(_) | Fault::Staging(_) => true,
        Fault::Folder(error) | Fault::Tree(error) => matches!(error, TreeError::Damaged(_) | TreeError::Unreadable(_)),
        _ => false,
    }
}

fn message(error: &RenderError) -> String {
    let mut message = error.fault.to_string();
    let mut source = std::error::Error::source(&error.fault);
    while let Some(cause) = source {
        message.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    match error.hint() {
        Some(hint) => format!("{message}; hint: {hint}"),
        None => message,
    }
}

/// Tells whether it is a reference that is refused, so that all else is as it would be without it.
fn is_of_reference(fault: &Fault) -> bool {
    reason(fault) == Reason::ReferenceRefused
}

fn reason(fault: &Fault) -> Reason {
    use Fault as F;
    match fault {
        F::TooMuch { .. } | F::TooMuchOutput(_) => Reason::InputTooLarge,
        F::LeavesRepository { .. } | F::AbsoluteEntry { .. } => Reason::PathEscapes,
        F::SealedIdentity { .. } => Reason::BindingRefused,
        F::PlaintextSecret | F::PlaintextRendered { .. } => Reason::PlaintextRefused,
        F::Reference(_)
        | F::Foreign(_)
        | F::SealedReference
        | F::ReferenceNotEncoded
        | F::ExpandsOther
        | F::ExpandsSealed
        | F::ReferenceBesideSealed
        | F::ExpandsValue => Reason::ReferenceRefused,
        F::HandleInGit
        | F::CutsSealedValues
        | F::DamagedHandle { .. }
        | F::UnknownHandle { .. }
        | F::EncodedHandle { .. }
        | F::SealedItemMoved { .. }
        | F::TestsSecret
        | F::HandleInKey { .. } => Reason::HandleRefused,
        F::Sops(_)
        | F::FormatHidden
        | F::CiphertextOutside
        | F::StraySopsBlock
        | F::SealedNotAllowed { .. }
        | F::EnvNotDotenv
        | F::SealedSecret(_)
        | F::NotASealedItem
        | F::SealedTemplate => Reason::UnsealFailed,
        F::Kustomize { .. } | F::KustomizeUnsure { .. } | F::TimedOut(_) | F::Start(_) | F::Output(_) => {
            Reason::KustomizeFailed
        }
        F::Staging(_) | F::StagedTwice => Reason::Internal,
        F::Folder(TreeError::NotFound(_) | TreeError::NotAFolder(_)) => Reason::PathNotFound,
        F::Folder(error) | F::Tree(error) => tree_reason(error),
        F::Yaml(_)
        | F::NotAnObject { .. }
        | F::BadApiVersion
        | F::GenerateName
        | F::SecretValueNotText
        | F::NotAMapping
        | F::Duplicate { .. }
        | F::TwoKustomizations(..)
        | F::NotAKustomization
        | F::FieldNotAllowed { .. }
        | F::UnknownField { .. }
        | F::KustomizationAsFile { .. }
        | F::KustomizeObject
        | F::WrongType { .. }
        | F::RemoteEntry { .. }
        | F::MissingEntry { .. }
        | F::FolderEntry { .. }
        | F::NoKustomization { .. }
        | F::Cycle { .. }
        | F::GeneratorEntry { .. }
        | F::EnvLine => Reason::RenderFailed,
    }
}

fn tree_reason(error: &TreeError) -> Reason {
    use TreeError as E;
    match error {
        E::TooLarge { .. } | E::TooMany { .. } => Reason::InputTooLarge,
        E::LinkLeaves(_) | E::LinkLoop(_) => Reason::PathEscapes,
        _ => Reason::RenderFailed,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use super::*;
    use crate::render::Place;

    fn stalled(faults: Vec<Fault>) -> bool {
        let errors = faults.into_iter().map(|fault| RenderError::new(Place::file("app"), fault));
        trouble(&errors.collect::<Vec<_>>()).stalled
    }

    #[test]
    fn what_the_machine_or_the_store_failed_at_is_tried_again_and_what_stands_in_git_waits_for_a_change() {
        let path = || RepoPath::parse("app/a.yaml").expect("it is well-formed");
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let passing = || {
            vec![
                Fault::Start(io::Error::from(io::ErrorKind::NotFound)),
                Fault::TimedOut(Duration::from_secs(1)),
                Fault::Staging(full()),
                Fault::Tree(TreeError::Damaged(path())),
                Fault::Folder(TreeError::Damaged(path())),
                Fault::Tree(TreeError::Unreadable(path())),
            ]
        };
        let lasting = || {
            vec![
                Fault::Kustomize { message: "no".to_owned() },
                Fault::TooMuchOutput(1),
                Fault::PlaintextSecret,
                Fault::HandleInGit,
                Fault::Tree(TreeError::LfsPointer(path())),
                Fault::Folder(TreeError::NotFound(path())),
            ]
        };
        for fault in passing() {
            let told = fault.to_string();
            assert!(!stalled(vec![fault]), "{told}");
        }
        for fault in lasting() {
            let told = fault.to_string();
            assert!(stalled(vec![fault]), "{told}");
        }
        assert!(!stalled(passing()));
        assert!(stalled(passing().into_iter().chain(lasting()).collect()), "another try won't help with all of them");
    }
}
