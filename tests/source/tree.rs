//! Reading files, folders and links of a tree.

use super::*;
use waxwing::source::{Kind, TreeError};

/// Commits what `fill` writes, and returns the tree with the directory that it stands in; it needs no store.
async fn tree_of(fill: impl FnOnce(&GitRepo)) -> (Arc<Tree>, TempDir) {
    let repo = GitRepo::new().unwrap();
    fill(&repo);
    repo.commit("files").unwrap();
    let bench = Bench::new();
    let tree = bench.fetch(&local(&repo, branch("main"))).await.unwrap().tree;
    (tree, bench.directory)
}

fn names(tree: &Tree, folder: &str) -> Vec<String> {
    tree.walk(&path(folder)).unwrap().map(|entry| entry.unwrap().path.to_string()).collect()
}

#[tokio::test]
async fn folders_are_walked_depth_first_by_name_and_links_are_not_entered() {
    let (tree, _directory) = tree_of(|repo| {
        for file in ["a/b/c.yaml", "a/b-c.yaml", "a/z.yaml", "d.yaml"] {
            repo.write(file, "x").unwrap();
        }
        repo.symlink("a", "link").unwrap();
    })
    .await;
    assert_eq!(names(&tree, "."), ["a", "a/b", "a/b/c.yaml", "a/b-c.yaml", "a/z.yaml", "d.yaml", "link"]);
    assert_eq!(names(&tree, "link/b"), ["a/b/c.yaml"]);
    let kinds: Vec<Kind> = tree.entries(&path(".")).unwrap().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Folder, Kind::File, Kind::Link]);
}

#[tokio::test]
async fn the_same_content_has_the_same_id_wherever_it_stands() {
    let (tree, _directory) = tree_of(|repo| {
        for file in ["a/x.yaml", "b/x.yaml", "c/y.yaml"] {
            repo.write(file, "same").unwrap();
        }
        repo.symlink("a", "link").unwrap();
    })
    .await;
    let folder = |name| tree.subtree_id(&path(name)).unwrap();
    assert_eq!(folder("a"), folder("b"));
    assert_eq!(folder("a"), folder("link"));
    assert_ne!(folder("a"), folder("c"));
    assert_eq!(tree.read(&path("a/x.yaml")).unwrap().id, tree.read(&path("c/y.yaml")).unwrap().id);
}

#[tokio::test]
async fn links_inside_the_repository_are_followed() {
    let (tree, _directory) = tree_of(|repo| {
        repo.write("base/deep/a.yaml", "here").unwrap();
        repo.write("base/b.yaml", "beside").unwrap();
        repo.symlink("base/deep", "folder").unwrap();
        repo.symlink("../folder/a.yaml", "links/file").unwrap();
        repo.symlink("folder/../b.yaml", "through").unwrap();
        repo.symlink("./links//file", "twice").unwrap();
    })
    .await;
    for (link, content, place) in [
        ("folder/a.yaml", "here", "base/deep/a.yaml"),
        ("links/file", "here", "base/deep/a.yaml"),
        ("twice", "here", "base/deep/a.yaml"),
        ("through", "beside", "base/b.yaml"),
    ] {
        let blob = tree.read(&path(link)).unwrap();
        assert_eq!((blob.bytes.as_slice(), blob.path), (content.as_bytes(), path(place)), "{link}");
    }
}

#[tokio::test]
async fn each_path_that_leads_nowhere_or_elsewhere_is_refused_by_name() {
    let (tree, _directory) = tree_of(|repo| {
        repo.write("a.yaml", "x").unwrap();
        repo.write("folder/b.yaml", "x").unwrap();
        repo.write("lfs.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n").unwrap();
        for (target, link) in [
            ("/etc/passwd", "absolute"),
            ("../outside", "above"),
            ("folder/../../outside", "above-later"),
            ("nothing", "dangling"),
            ("loop-b", "loop-a"),
            ("loop-a", "loop-b"),
            ("self/self", "self"),
            (".git/config", "git"),
        ] {
            repo.symlink(target, link).unwrap();
        }
        repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{},module", "1".repeat(40))]).unwrap();
        std::fs::create_dir(repo.tree().join("module")).unwrap();
    })
    .await;
    let table = [
        ("missing.yaml", TreeError::NotFound(path("missing.yaml"))),
        ("folder/missing/c", TreeError::NotFound(path("folder/missing"))),
        ("a.yaml/b", TreeError::NotAFolder(path("a.yaml"))),
        ("folder", TreeError::NotAFile(path("folder"))),
        (".", TreeError::NotAFile(path("."))),
        ("absolute", TreeError::LinkLeaves(path("absolute"))),
        ("above", TreeError::LinkLeaves(path("above"))),
        ("above-later", TreeError::LinkLeaves(path("above-later"))),
        ("dangling", TreeError::LinkDangles { link: path("dangling"), target: path("nothing") }),
        ("loop-a", TreeError::LinkLoop(path("loop-a"))),
        ("self", TreeError::LinkLoop(path("self"))),
        ("git", TreeError::Name { folder: path("."), name: ".git".to_owned() }),
        ("module", TreeError::Submodule(path("module"))),
        ("module/x", TreeError::Submodule(path("module"))),
        ("lfs.bin", TreeError::LfsPointer(path("lfs.bin"))),
    ];
    for (name, expected) in table {
        assert_eq!(tree.read(&path(name)).unwrap_err(), expected, "{name}");
        assert!(!expected.hint().is_empty());
    }
    let module = tree.entries(&path(".")).unwrap().into_iter().find(|entry| entry.path == path("module")).unwrap();
    assert_eq!(module.kind, Kind::Submodule);
}

#[tokio::test]
async fn many_links_that_multiply_each_other_end_quickly() {
    let (tree, _directory) = tree_of(|repo| {
        repo.write("level0/a.yaml", "x").unwrap();
        for level in 1..40 {
            let below = level - 1;
            repo.symlink(&format!("level{below}/../level{below}/../level{below}"), &format!("level{level}")).unwrap();
        }
    })
    .await;
    assert_eq!(tree.read(&path("level39/a.yaml")).unwrap_err(), TreeError::LinkLoop(path("level39/a.yaml")));
}

#[tokio::test]
async fn a_name_that_cannot_be_used_is_refused_where_it_is_listed_and_nowhere_else() {
    for name in [&b"bad\xff"[..], b"bad\n"] {
        let (tree, _directory) = tree_of(|repo| {
            repo.write("good/a.yaml", "x").unwrap();
            repo.write("odd/x", "x").unwrap();
            let bad = std::os::unix::ffi::OsStrExt::from_bytes(name);
            let folder = repo.tree().join("odd");
            std::fs::rename(folder.join("x"), folder.join::<&std::ffi::OsStr>(bad)).unwrap();
        })
        .await;
        assert_eq!(names(&tree, "good"), ["good/a.yaml"]);
        let error = tree.entries(&path("odd")).unwrap_err();
        assert_eq!(error, TreeError::Name { folder: path("odd"), name: name.escape_ascii().to_string() });
        assert!(tree.walk(&path(".")).unwrap().any(|entry| entry.is_err()));
    }
}

#[tokio::test]
async fn a_tree_is_read_from_many_threads_at_once() {
    let (tree, _directory) = tree_of(|repo| {
        for number in 0..50 {
            repo.write(&format!("folder{}/{number}.yaml", number % 5), number.to_string()).unwrap();
        }
    })
    .await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let tree = Arc::clone(&tree);
            std::thread::spawn(move || {
                let files = tree.walk(&path(".")).unwrap().map(Result::unwrap).filter(|entry| entry.kind == Kind::File);
                files.map(|entry| tree.read(&entry.path).unwrap().bytes.len()).sum::<usize>()
            })
        })
        .collect();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 10 + 40 * 2);
    }
}
