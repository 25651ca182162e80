//! Fetching over `file://`, and what the store does in any case.

use super::*;

#[tokio::test]
async fn a_branch_a_tag_and_a_commit_lead_to_their_files() {
    let repo = GitRepo::new().unwrap();
    repo.write("a.yaml", "first").unwrap();
    let first = repo.commit("first").unwrap();
    repo.tag("v1").unwrap();
    repo.write("a.yaml", "second").unwrap();
    let second = repo.commit("second").unwrap();

    let bench = Bench::new();
    let table = [
        (branch("main"), &second, format!("main@sha1:{second}"), "second"),
        (tag("v1"), &first, format!("v1@sha1:{first}"), "first"),
        (commit(&first), &first, format!("sha1:{first}"), "first"),
    ];
    for (reference, id, revision, content) in table {
        let fetched = bench.fetch(&local(&repo, reference)).await.unwrap();
        assert_eq!(fetched.revision.to_string(), revision);
        assert_eq!(fetched.tree.commit().to_string(), *id);
        assert_eq!(text(&fetched.tree, "a.yaml"), content);
    }
}

#[tokio::test]
async fn a_forced_push_is_followed_and_the_old_tree_stays_readable() {
    let repo = GitRepo::new().unwrap();
    repo.write("a.yaml", "first").unwrap();
    let first = repo.commit("first").unwrap();
    repo.write("a.yaml", "second").unwrap();
    repo.commit("second").unwrap();
    let bench = Bench::new();
    let main = local(&repo, branch("main"));
    let before = bench.fetch(&main).await.unwrap();

    repo.reset(&first).unwrap();
    repo.write("a.yaml", "rewritten").unwrap();
    repo.git(&["commit", "--quiet", "--all", "--message", "rewritten"]).unwrap();
    let after = bench.store.fetch(main, Some(&before.tree)).await.unwrap();

    assert!(after.changed);
    assert_eq!((text(&before.tree, "a.yaml"), text(&after.tree, "a.yaml")), ("second".into(), "rewritten".into()));
}

#[tokio::test]
async fn a_tree_stays_readable_when_its_repository_is_gone() {
    let repo = GitRepo::new().unwrap();
    repo.write("folder/a.yaml", "kept").unwrap();
    repo.commit("first").unwrap();
    let bench = Bench::new();
    let main = local(&repo, branch("main"));
    let fetched = bench.fetch(&main).await.unwrap();

    drop(repo);

    let error = bench.fetch(&main).await.unwrap_err();
    assert!(matches!(error, SourceError::RepositoryNotFound { .. }), "{error:?}");
    assert_eq!(text(&fetched.tree, "folder/a.yaml"), "kept");
}

#[tokio::test]
async fn what_did_not_change_is_the_same_tree_for_all_who_want_it() {
    let repo = GitRepo::new().unwrap();
    let id = repo.commit("first").unwrap();
    let bench = Bench::new();

    let one = bench.fetch(&local(&repo, branch("main"))).await.unwrap();
    let other = bench.fetch(&local(&repo, commit(&id))).await.unwrap();
    let again = bench.store.fetch(local(&repo, branch("main")), Some(&one.tree)).await.unwrap();

    assert!(Arc::ptr_eq(&one.tree, &other.tree) && Arc::ptr_eq(&one.tree, &again.tree));
    assert!(one.changed && !again.changed);
}

#[tokio::test]
async fn each_thing_that_is_not_there_is_refused_by_name() {
    let repo = GitRepo::new().unwrap();
    let empty = Bench::new().fetch(&local(&repo, branch("main"))).await.unwrap_err();
    assert!(told(&empty).contains("the repository is empty"), "{empty}");

    repo.write("a.yaml", "x").unwrap();
    repo.commit("first").unwrap();
    let blob = repo.git(&["rev-parse", "HEAD:a.yaml"]).unwrap();
    repo.git(&["tag", "blob", blob.trim()]).unwrap();
    let missing = "1".repeat(40);
    let bench = Bench::new();
    let table = [
        (branch("mian"), "there is no branch mian".to_owned()),
        (tag("v9"), "there is no tag v9".to_owned()),
        (commit(&missing), format!("there is no commit {missing}")),
        (commit(blob.trim()), format!("the commit {} does not name a commit", blob.trim())),
        (tag("blob"), "the tag blob does not name a commit".to_owned()),
    ];
    for (reference, expected) in table {
        let error = bench.fetch(&local(&repo, reference)).await.unwrap_err();
        assert!(told(&error).ends_with(&expected), "{error}");
    }
}

#[tokio::test]
async fn a_folder_that_is_no_repository_is_refused() {
    let folder = TempDir::new().unwrap();
    let url = format!("file://{}", folder.path().display());
    let error = Bench::new().fetch(&remote(&url, branch("main"), Credentials::default())).await.unwrap_err();
    assert!(matches!(error, SourceError::LocalUnreadable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_store_is_taken_over_after_a_restart_and_what_a_killed_process_left_is_cleared_away() {
    let repo = GitRepo::new().unwrap();
    repo.write("a.yaml", "first").unwrap();
    repo.commit("first").unwrap();
    let bench = Bench::new();
    bench.fetch(&local(&repo, branch("main"))).await.unwrap();
    let mirrors = bench.mirrors();
    let folder = mirrors[0].parent().unwrap().to_owned();
    std::fs::create_dir_all(folder.join("unfinished/objects")).unwrap();
    std::fs::write(mirrors[0].join("shallow.lock"), "").unwrap();
    std::fs::write(mirrors[0].join("objects/pack/.tmpXYZ"), "half a pack").unwrap();

    let bench = bench.restart();
    repo.write("a.yaml", "second").unwrap();
    repo.commit("second").unwrap();
    let fetched = bench.fetch(&local(&repo, branch("main"))).await.unwrap();

    assert_eq!(text(&fetched.tree, "a.yaml"), "second");
    assert_eq!(bench.mirrors(), mirrors);
    assert!(!mirrors[0].join("shallow.lock").exists() && !mirrors[0].join("objects/pack/.tmpXYZ").exists());
}

#[tokio::test]
async fn a_damaged_store_is_thrown_away_and_fetched_again() {
    let repo = GitRepo::new().unwrap();
    repo.write("a.yaml", "whole").unwrap();
    repo.commit("first").unwrap();
    let blob = repo.git(&["rev-parse", "HEAD:a.yaml"]).unwrap();
    type Damage = fn(&std::path::Path, &str);
    let table: [(&str, Damage); 3] = [
        ("HEAD is gone", |mirror, _| std::fs::remove_file(mirror.join("HEAD")).unwrap()),
        ("all objects are gone", |mirror, _| {
            std::fs::remove_dir_all(mirror.join("objects")).unwrap();
            std::fs::create_dir(mirror.join("objects")).unwrap();
        }),
        ("the file is another", |mirror, blob| {
            let object = mirror.join("objects").join(&blob[..2]).join(blob[2..].trim());
            let other = std::fs::read_dir(mirror.join("objects")).unwrap().flatten();
            let other = other.flat_map(|entry| std::fs::read_dir(entry.path()).into_iter().flatten().flatten());
            let other = other.map(|entry| entry.path()).find(|path| *path != object && path.is_file()).unwrap();
            std::fs::remove_file(&object).unwrap();
            std::fs::copy(other, object).unwrap();
        }),
    ];
    for (what, damage) in table {
        let bench = Bench::new();
        let main = local(&repo, branch("main"));
        drop(bench.fetch(&main).await.unwrap());
        let mirrors = bench.mirrors();
        damage(&mirrors[0], &blob);

        let bench = bench.restart();
        if let Ok(fetched) = bench.fetch(&main).await {
            drop(fetched.tree.read(&path("a.yaml")));
        }
        let fetched = bench.fetch(&main).await.unwrap();
        assert_eq!(text(&fetched.tree, "a.yaml"), "whole", "{what}");
    }
}

#[tokio::test]
async fn a_store_that_is_damaged_while_it_is_used_is_repaired_by_the_next_fetches() {
    type Damage = fn(&std::path::Path);
    let table: [(&str, Damage); 6] = [
        ("everything is gone", |mirror| std::fs::remove_dir_all(mirror.parent().unwrap()).unwrap()),
        ("the mirror is gone", |mirror| std::fs::remove_dir_all(mirror).unwrap()),
        ("all objects are gone", |mirror| std::fs::remove_dir_all(mirror.join("objects")).unwrap()),
        ("HEAD is gone", |mirror| std::fs::remove_file(mirror.join("HEAD")).unwrap()),
        ("all files are garbled", |mirror| garble(&mirror.join("objects"))),
        ("the notes are gone", |mirror| std::fs::remove_dir_all(mirror.parent().unwrap().join("holders")).unwrap()),
    ];
    for (what, damage) in table {
        let (repo, bench) = (GitRepo::new().unwrap(), Bench::new());
        repo.write("a.yaml", "first").unwrap();
        repo.commit("first").unwrap();
        let main = local(&repo, branch("main"));
        drop(bench.fetch(&main).await.unwrap());
        damage(&bench.mirrors()[0]);
        // Whoever reads finds the damage, and the next fetch repairs it; a new commit comes in whatever was found.
        for content in ["first", "second"] {
            repo.write("a.yaml", content).unwrap();
            if content == "second" {
                repo.commit(content).unwrap();
            }
            if let Ok(fetched) = bench.fetch(&main).await {
                drop(fetched.tree.read(&path("a.yaml")));
            }
            let fetched = bench.fetch(&main).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(text(&fetched.tree, "a.yaml"), content, "{what}");
        }
        assert!(bench.store.stored(&main.url, &main.holder).await.is_some(), "{what}");
    }
}

/// Writes over every file below `folder`, as long as it was.
pub(crate) fn garble(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            garble(&entry.path());
            continue;
        }
        let bytes = vec![0x55; usize::try_from(entry.metadata().unwrap().len()).unwrap()];
        std::fs::remove_file(entry.path()).unwrap();
        std::fs::write(entry.path(), bytes).unwrap();
    }
}

#[tokio::test]
async fn a_copy_that_fails_leaves_nothing_behind() {
    let (repo, bench) = (GitRepo::new().unwrap(), Bench::new());
    repo.write("a.yaml", "first").unwrap();
    repo.commit("first").unwrap();
    let main = local(&repo, branch("main"));
    bench.fetch(&main).await.unwrap();
    let count = || {
        std::fs::read_dir(bench.mirrors()[0].join("objects"))
            .unwrap()
            .flatten()
            .map(|folder| std::fs::read_dir(folder.path()).unwrap().count())
            .sum::<usize>()
    };
    let before = count();
    (0..20).for_each(|number| repo.write(&format!("more/{number:02}"), number.to_string()).unwrap());
    repo.commit("second").unwrap();
    let last = repo.git(&["rev-parse", "HEAD:more/19"]).unwrap();
    let object = repo.bare().join("objects").join(&last[..2]).join(last[2..].trim());
    std::fs::remove_file(object).unwrap();
    let error = bench.fetch(&main).await.unwrap_err();
    assert!(told(&error).contains("failed to read the repository"), "{error}");
    assert_eq!(count(), before);
}

#[tokio::test]
async fn a_mirror_is_made_anew_after_its_last_fetch_and_the_old_one_goes_with_its_last_tree() {
    let repo = GitRepo::new().unwrap();
    let bench = Bench::with(|settings| settings.max_fetches = 2);
    let main = local(&repo, branch("main"));
    repo.write("a.yaml", "0").unwrap();
    repo.commit("0").unwrap();
    let first = bench.fetch(&main).await.unwrap();
    for round in 1..4 {
        repo.write("a.yaml", round.to_string()).unwrap();
        repo.commit("more").unwrap();
        let fetched = bench.fetch(&main).await.unwrap();
        assert_eq!(text(&fetched.tree, "a.yaml"), round.to_string());
    }
    assert_eq!(bench.mirrors().len(), 2);
    assert_eq!(text(&first.tree, "a.yaml"), "0");
    drop(first);
    assert_eq!(bench.mirrors().len(), 1);
}

#[tokio::test]
async fn a_mirror_that_was_made_anew_for_one_source_is_not_taken_for_damaged_by_another() {
    let repo = GitRepo::new().unwrap();
    repo.commit("first").unwrap();
    repo.branch("other").unwrap();
    repo.write("a.yaml", "x").unwrap();
    repo.commit("second").unwrap();
    let bench = Bench::with(|settings| settings.max_fetches = 1);
    let fetch = |name: &str| {
        let url = RemoteUrl::parse(&repo.file_url(), EVERYTHING).unwrap();
        let (credentials, timeout) = (Credentials::default(), Duration::from_secs(30));
        Arc::new(Remote { holder: name.to_owned(), url, reference: branch(name), credentials, timeout })
    };
    bench.fetch(&fetch("main")).await.unwrap();
    bench.fetch(&fetch("other")).await.unwrap();
    repo.write("a.yaml", "y").unwrap();
    repo.commit("third").unwrap();
    let other = bench.fetch(&fetch("other")).await.unwrap();
    let mirrors = bench.mirrors();

    assert!(bench.store.stored(&fetch("main").url, "main").await.is_none());
    let again = bench.fetch(&fetch("other")).await.unwrap();

    assert!(Arc::ptr_eq(&other.tree, &again.tree));
    assert_eq!(bench.mirrors(), mirrors);
}

#[tokio::test]
async fn a_store_belongs_to_one_process_and_one_user() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    let inner = directory.path().join("store");
    let store = Store::open(Settings::new(&inner)).unwrap();
    assert_eq!(std::fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    let second = Store::open(Settings::new(&inner)).err().unwrap();
    assert!(matches!(second, SourceError::StoreInUse { .. }), "{second:?}");
    drop(store);
    eventually(Duration::from_secs(5), "the lock of the store", || Store::open(Settings::new(&inner))).unwrap();
}

#[tokio::test]
async fn a_sha256_repository_is_read_like_any_other() {
    let repo = Sha256Repo::new();
    let bench = Bench::new();
    let fetched = bench.fetch(&remote(&repo.url(), branch("main"), Credentials::default())).await.unwrap();
    assert_eq!(fetched.revision.to_string(), format!("main@sha256:{}", repo.head()));
    assert_eq!(text(&fetched.tree, "a.yaml"), "long ids");
}

/// Is a repository with SHA-256 ids.
pub(crate) struct Sha256Repo {
    directory: TempDir,
}

impl Sha256Repo {
    pub(crate) fn new() -> Self {
        let repo = Self { directory: TempDir::new().unwrap() };
        repo.git(&["init", "--quiet", "--object-format=sha256", "--initial-branch=main"]);
        std::fs::write(repo.directory.path().join("a.yaml"), "long ids").unwrap();
        repo.git(&["add", "--all"]);
        repo.git(&["commit", "--quiet", "--message", "first"]);
        repo
    }

    fn url(&self) -> String {
        format!("file://{}", self.directory.path().display())
    }

    pub(crate) fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        let who = ["GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"];
        let output = std::process::Command::new("git")
            .current_dir(self.directory.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(who.map(|name| (name, "test@example.com")))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}
