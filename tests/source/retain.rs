//! What the store still has when sources are gone, and what it says of what it has.

use std::cell::Cell;

use super::*;

/// Describes the fetch of `main` for a holder.
fn main_for(holder: &str, repo: &GitRepo) -> Arc<Remote> {
    let url = RemoteUrl::parse(&repo.file_url(), EVERYTHING).unwrap();
    let (credentials, timeout) = (Credentials::default(), Duration::from_secs(30));
    Arc::new(Remote { holder: holder.to_owned(), url, reference: branch("main"), credentials, timeout })
}

fn repo_with(content: &str) -> GitRepo {
    let repo = GitRepo::new().unwrap();
    repo.write("a.yaml", content).unwrap();
    repo.commit("first").unwrap();
    repo
}

fn named(remotes: &[&Arc<Remote>]) -> Vec<(RemoteUrl, String)> {
    remotes.iter().map(|remote| (remote.url.clone(), remote.holder.clone())).collect()
}

impl Bench {
    /// Returns the folders of URLs.
    fn folders(&self) -> usize {
        std::fs::read_dir(self.directory.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().path().is_dir())
            .count()
    }

    /// Returns the revision that a source would go on with if its server were gone.
    async fn last_good(&self, remote: &Remote) -> Option<String> {
        Some(self.store.stored(&remote.url, &remote.holder).await?.revision.to_string())
    }
}

#[tokio::test]
async fn a_mirror_goes_when_nobody_names_it_also_one_of_an_earlier_run() {
    let repos = [repo_with("gone in this run"), repo_with("gone in another run"), repo_with("stays")];
    let [now, later, stays] = repos.each_ref().map(|repo| main_for("source", repo));
    let bench = Bench::new();
    for remote in [&now, &later, &stays] {
        bench.fetch(remote).await.unwrap();
    }
    assert!(bench.store.retain(|| named(&[&now, &later, &stays])).await);
    assert_eq!(bench.folders(), 3);

    assert!(bench.store.retain(|| named(&[&later, &stays])).await);
    assert_eq!(bench.folders(), 2);
    let bench = bench.restart();
    assert!(bench.store.retain(|| named(&[&stays])).await);
    assert_eq!((bench.folders(), bench.mirrors().len()), (1, 1));
    assert!(bench.last_good(&stays).await.is_some());

    let back = bench.fetch(&now).await.unwrap();
    assert_eq!(text(&back.tree, "a.yaml"), "gone in this run");
    drop(back);
    assert!(bench.store.retain(Vec::new).await);
    assert_eq!(bench.folders(), 0);
}

#[tokio::test]
async fn a_tree_in_use_stays_readable_and_its_mirror_goes_after_it() {
    let repo = repo_with("in use");
    let main = main_for("source", &repo);
    let bench = Bench::new();
    let fetched = bench.fetch(&main).await.unwrap();

    assert!(!bench.store.retain(Vec::new).await, "something is left");
    assert_eq!(text(&fetched.tree, "a.yaml"), "in use");
    assert_eq!(bench.last_good(&main).await, None, "the source is forgotten at once");
    drop(fetched);
    assert!(bench.store.retain(Vec::new).await);
    assert_eq!(bench.folders(), 0);
}

#[tokio::test]
async fn a_tree_of_a_mirror_that_was_replaced_stays_readable_too() {
    let repo = repo_with("old");
    let main = main_for("source", &repo);
    let bench = Bench::with(|settings| settings.max_fetches = 1);
    bench.fetch(&main).await.unwrap();
    repo.write("a.yaml", "in use").unwrap();
    repo.commit("second").unwrap();
    let old = bench.fetch(&main).await.unwrap();
    repo.write("a.yaml", "new").unwrap();
    repo.commit("third").unwrap();
    bench.fetch(&main).await.unwrap();

    assert!(!bench.store.retain(Vec::new).await, "something is left");
    assert_eq!((text(&old.tree, "a.yaml"), bench.mirrors().len()), ("in use".to_owned(), 1));
    let again = bench.fetch(&main).await.unwrap();
    assert_eq!((text(&old.tree, "a.yaml"), text(&again.tree, "a.yaml")), ("in use".into(), "new".into()));
    drop((old, again));
    assert!(bench.store.retain(Vec::new).await);
    assert_eq!(bench.folders(), 0);
}

#[tokio::test]
async fn another_source_of_the_same_url_keeps_the_mirror_but_not_what_the_gone_one_had() {
    let repo = repo_with("shared");
    let (gone, stays) = (main_for("gone", &repo), main_for("stays", &repo));
    let bench = Bench::new();
    for remote in [&gone, &stays] {
        bench.fetch(remote).await.unwrap();
    }
    let mirrors = bench.mirrors();

    assert!(bench.store.retain(|| named(&[&stays])).await);
    assert_eq!(bench.mirrors(), mirrors);
    assert_eq!(bench.last_good(&gone).await, None);
    assert!(bench.last_good(&stays).await.is_some());
}

#[tokio::test]
async fn a_source_that_fetches_while_others_are_removed_keeps_what_it_fetched() {
    let repo = repo_with("new");
    let main = main_for("new", &repo);
    let bench = Bench::new();
    bench.fetch(&main).await.unwrap();
    let asked = Cell::new(0);
    let named_by_now = || {
        asked.set(asked.get() + 1);
        if asked.get() == 1 { Vec::new() } else { named(&[&main]) }
    };
    assert!(bench.store.retain(named_by_now).await);
    assert!(bench.last_good(&main).await.is_some());

    for _ in 0..20 {
        let (fetched, _) = tokio::join!(bench.fetch(&main), bench.store.retain(Vec::new));
        assert_eq!(text(&fetched.unwrap().tree, "a.yaml"), "new");
    }
}

#[tokio::test]
async fn what_is_not_the_folder_of_a_url_is_left_alone() {
    let bench = Bench::new();
    let other = bench.directory.path().join("lost+found");
    std::fs::create_dir(&other).unwrap();
    assert!(bench.store.retain(Vec::new).await);
    assert!(other.exists() && bench.directory.path().join("lock").exists());
}

#[tokio::test]
async fn the_last_good_revision_keeps_the_name_that_it_was_fetched_by() {
    let repo = repo_with("first");
    let id = repo.head().unwrap();
    repo.tag("v1").unwrap();
    let mut bench = Bench::new();
    let table = [
        (tag("v1"), format!("v1@sha1:{id}")),
        (branch("main"), format!("main@sha1:{id}")),
        (commit(&id), format!("sha1:{id}")),
    ];
    for (reference, revision) in table {
        bench.fetch(&local(&repo, reference)).await.unwrap();
        bench = bench.restart();
        let missing = local(&repo, tag("v2"));
        bench.fetch(&missing).await.unwrap_err();
        assert_eq!(bench.last_good(&missing).await, Some(revision));
    }
}

#[tokio::test]
async fn a_damaged_note_is_worth_nothing_until_the_next_fetch() {
    let repo = repo_with("first");
    let (id, main) = (repo.head().unwrap(), local(&repo, branch("main")));
    let bench = Bench::new();
    bench.fetch(&main).await.unwrap();
    let holders = bench.mirrors()[0].with_file_name("holders");
    let note = std::fs::read_dir(holders).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(&note).unwrap(), format!("{id} branch main\n"));

    for damage in [String::new(), id.clone(), format!("{id} branch ..\n"), format!("{id} branch main\n\0")] {
        std::fs::write(&note, damage).unwrap();
        assert_eq!(bench.last_good(&main).await, None);
        bench.fetch(&main).await.unwrap();
        assert_eq!(bench.last_good(&main).await, Some(format!("main@sha1:{id}")));
    }
}
