//! Proves that the Git repository of the harness is what the real git takes for one.

use waxwing_harness::{Failure, GitRepo};

#[test]
fn the_same_steps_give_the_same_commit_ids() -> Result<(), Failure> {
    let make = || {
        let repo = GitRepo::new()?;
        repo.write("apps/web.yaml", "kind: ConfigMap\n")?;
        repo.symlink("apps", "link")?;
        repo.commit("first")
    };
    assert_eq!(make()?, make()?);
    Ok(())
}

#[test]
fn the_bare_repository_has_the_branches_and_tags_of_the_working_tree_and_forgets_with_it() -> Result<(), Failure> {
    let repo = GitRepo::new()?;
    repo.write("a", "1")?;
    let first = repo.commit("first")?;
    repo.tag("v1")?;
    repo.remove("a")?;
    let second = repo.commit("second")?;
    repo.branch("side")?;
    let side = repo.commit("side")?;
    repo.branch("main")?;
    repo.reset(&first)?;
    let served = |name: &str| repo.git(&["ls-remote", &repo.file_url(), name]);
    assert!(served("refs/heads/main")?.starts_with(&first));
    assert!(served("refs/heads/side")?.starts_with(&side));
    assert!(served("refs/tags/v1^{}")?.starts_with(&first));
    assert_ne!(first, second);
    Ok(())
}
