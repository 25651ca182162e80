//! Fetches from real Git repositories, over `file://` and from a real server over HTTPS, and reads the trees.

#![expect(clippy::unwrap_used, reason = "a test stops where it stands, in what it uses too")]

mod https;
mod local;
mod retain;
mod revisions;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use waxwing::source::{
    Allowed, Credentials, Fetched, RefName, Reference, Remote, RemoteUrl, RepoPath, Settings, SourceError, Store, Tree,
};
use waxwing_harness::{GitRepo, eventually};

const EVERYTHING: Allowed = Allowed { file: true, http: true };

/// Is a store of its own in a temporary directory.
struct Bench {
    store: Store,
    directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = TempDir::new().unwrap();
        let store = Store::open(settings(&directory, change)).unwrap();
        Self { store, directory }
    }

    /// Closes the store and opens it again, as a restart does.
    fn restart(self) -> Self {
        let Self { store, directory } = self;
        drop(store);
        // A program that another test starts has the lock until it is itself, for a moment.
        let open = || Store::open(settings(&directory, |_| {}));
        let store = eventually(Duration::from_secs(5), "the lock of the store", open).unwrap();
        Self { store, directory }
    }

    async fn fetch(&self, remote: &Arc<Remote>) -> Result<Fetched, SourceError> {
        self.store.fetch(Arc::clone(remote), None).await
    }

    /// Returns the bare repositories in the store.
    fn mirrors(&self) -> Vec<std::path::PathBuf> {
        let folders = |path: &std::path::Path| {
            let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
        };
        let mirrors = folders(self.directory.path()).into_iter().flat_map(|folder| folders(&folder));
        mirrors.filter(|path| path.join("objects").exists()).collect()
    }
}

fn settings(directory: &TempDir, change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::new(directory.path());
    change(&mut settings);
    settings
}

fn branch(name: &str) -> Reference {
    Reference::Branch(name.parse::<RefName>().unwrap())
}

fn tag(name: &str) -> Reference {
    Reference::Tag(name.parse::<RefName>().unwrap())
}

fn commit(id: &str) -> Reference {
    Reference::Commit(id.parse().unwrap())
}

fn remote(url: &str, reference: Reference, credentials: Credentials) -> Arc<Remote> {
    let url = RemoteUrl::parse(url, EVERYTHING).unwrap();
    Arc::new(Remote { holder: "source".to_owned(), url, reference, credentials, timeout: Duration::from_secs(30) })
}

fn local(repo: &GitRepo, reference: Reference) -> Arc<Remote> {
    remote(&repo.file_url(), reference, Credentials::default())
}

fn path(text: &str) -> RepoPath {
    RepoPath::parse(text).unwrap()
}

/// Returns the text of a file.
fn text(tree: &Tree, name: &str) -> String {
    String::from_utf8(tree.read(&path(name)).unwrap().bytes).unwrap()
}

/// Returns an error with its hint, as a user would see it.
fn told(error: &SourceError) -> String {
    assert!(!error.hint().is_empty());
    error.to_string()
}
