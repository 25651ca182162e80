//! Repositories for tests, and renders of them in a readable form.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use waxwing::render::{self, Embedding, Origin, RenderError, RenderOptions, Rendered, Scope, SourceFiles};
use waxwing::source::{Allowed, Credentials, Reference, Remote, RemoteUrl, RepoPath, Settings, Store, Tree};
use waxwing_formats::Salt;
use waxwing_formats::reference::ForeignStores;
use waxwing_harness::{Failure, GitRepo, RunDir, Tools};
use waxwing_plan::GroupKind;

/// A repository and what the store has of it.
pub(crate) struct Repository {
    pub(crate) git: GitRepo,
    _store: RunDir,
    pub(crate) tree: Arc<Tree>,
    pub(crate) foreign: ForeignStores,
}

/// Commits files, given as path and content, and fetches them.
pub(crate) fn repository(files: &[(&str, &str)]) -> Result<Repository, Box<dyn Error>> {
    let git = GitRepo::new()?;
    for (path, content) in files {
        match content.strip_prefix("fixture:") {
            Some(name) => git.write(path, fixture(name)?)?,
            None => git.write(path, content)?,
        }
    }
    fetched(git)
}

/// Commits the working tree and fetches it.
pub(crate) fn fetched(git: GitRepo) -> Result<Repository, Box<dyn Error>> {
    git.commit("files")?;
    let store_dir = RunDir::new("store")?;
    let store = Store::open(Settings::new(store_dir.path()))?;
    let remote = Remote {
        holder: "test".to_owned(),
        url: RemoteUrl::parse(&git.file_url(), Allowed { file: true, http: false })?,
        reference: Reference::Branch("main".parse()?),
        credentials: Credentials::default(),
        timeout: Duration::from_secs(60),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let fetched = runtime.block_on(store.fetch(Arc::new(remote), None))?;
    Ok(Repository { git, _store: store_dir, tree: fetched.tree, foreign: ForeignStores::default() })
}

/// Returns a fixture's bytes.
pub(crate) fn fixture(name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/render").join(name);
    Ok(std::fs::read(path)?)
}

/// The key of handles in all tests.
pub(crate) fn salt() -> Salt {
    Salt::new([7; 32])
}

impl Repository {
    /// Reads a folder.
    pub(crate) fn read(&self, path: &str) -> Result<SourceFiles, Vec<RenderError>> {
        let path = RepoPath::parse(path).expect("the tests name well-formed paths");
        render::read(&self.tree, &path, &salt(), &self.foreign)
    }

    /// Renders without Kustomize.
    pub(crate) fn render(&self, path: &str) -> Result<Rendered, Vec<RenderError>> {
        self.render_with(path, PathBuf::from("/nonexistent/kustomize"))
    }

    /// Renders with the given program in place of Kustomize.
    pub(crate) fn render_with(&self, path: &str, kustomize: PathBuf) -> Result<Rendered, Vec<RenderError>> {
        render::render(self.read(path)?, &options(kustomize), &salt(), &scope_of)
    }
}

/// Returns options with the given program.
pub(crate) fn options(kustomize: PathBuf) -> RenderOptions {
    RenderOptions { default_namespace: "default".to_owned(), kustomize, timeout: Duration::from_secs(30) }
}

/// Returns the real program, or says loudly that it is missing.
pub(crate) fn kustomize() -> Option<PathBuf> {
    let found: Result<PathBuf, Failure> = Tools::locate().and_then(|tools| tools.path("kustomize"));
    found.inspect_err(|failure| eprintln!("SKIPPED: {failure:?}; run `make tools`")).ok()
}

/// Knows a few kinds that belong to the cluster.
pub(crate) fn scope_of(kind: &GroupKind) -> Option<Scope> {
    match kind.kind.as_str() {
        "Namespace" | "ClusterRole" => Some(Scope::Cluster),
        _ => Some(Scope::Namespaced),
    }
}

/// Writes manifests as JSON lines in which each handle is replaced by what it stands for.
pub(crate) fn readable(rendered: &Rendered) -> String {
    let objects = rendered.manifests().iter().map(|manifest| {
        let mut body = manifest.body.clone();
        explain(rendered, &mut body);
        let body = serde_json::to_string(&body).expect("JSON can be written");
        let place = manifest.location.as_ref().map(|location| format!(" from {location}")).unwrap_or_default();
        format!("{}{place}\n  {body}\n", manifest.id)
    });
    objects.collect()
}

fn explain(rendered: &Rendered, value: &mut Value) {
    match value {
        Value::String(text) => *text = explained(rendered, text),
        Value::Array(items) => items.iter_mut().for_each(|item| explain(rendered, item)),
        Value::Object(map) => map.values_mut().for_each(|child| explain(rendered, child)),
        _ => {}
    }
}

fn explained(rendered: &Rendered, text: &str) -> String {
    let (found, text) = match render::locate(text) {
        Ok(Some(embedding @ Embedding::Text(_))) => (embedding, text.to_owned()),
        Ok(Some(Embedding::Base64 { text, handles })) => (Embedding::Text(handles), format!("base64({text})")),
        _ => return text.to_owned(),
    };
    found.handles().fold(text, |text, handle| {
        let origin = rendered.origin(handle).map(name).unwrap_or_default();
        text.replace(handle.as_str(), &format!("<{origin}>"))
    })
}

fn name(origin: &Origin) -> String {
    let mark = origin.mark();
    let kind = match origin {
        Origin::SopsWhole { .. } => "whole ",
        Origin::SopsEnv { .. } => "env ",
        _ => "",
    };
    format!("{kind}{} {}#{}{}", mark.scheme, mark.file, mark.document, mark.key_path)
}

/// Writes refusals with their causes and hints.
pub(crate) fn told(errors: &[RenderError]) -> String {
    let lines = errors.iter().map(|error| {
        let mut line = error.to_string();
        let mut cause = error.fault.source();
        while let Some(next) = cause {
            line.push_str(&format!(": {next}"));
            cause = next.source();
        }
        match error.hint() {
            Some(hint) => format!("{line}\n  hint: {hint}\n"),
            None => format!("{line}\n"),
        }
    });
    lines.collect()
}
