//! What the controller remembers of a GitSource's fetches, and for how long.

use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use waxwing::api::GitSource;
use waxwing::reconcile::Revisions;

use super::*;

fn source(name: &str, uid: &str, url: &str) -> GitSource {
    let metadata = serde_json::json!({ "name": name, "namespace": "team", "uid": uid });
    serde_json::from_value(serde_json::json!({ "metadata": metadata, "spec": { "url": url } })).unwrap()
}

#[tokio::test]
async fn a_source_that_was_made_again_or_moved_has_nothing_of_the_old_repository() {
    let repo = GitRepo::new().unwrap();
    repo.commit("first").unwrap();
    let fetched = Bench::new().fetch(&local(&repo, branch("main"))).await.unwrap();
    let mut watch = Writer::default();
    let (live, revisions) = (watch.as_reader(), Revisions::default());
    let old = source("fleet", "1", "https://git.test/old.git");
    watch.apply_watcher_event(&Event::Apply(old.clone()));
    assert!(revisions.put(&old, fetched.clone(), &live), "it is news");
    assert!(!revisions.put(&old, fetched.clone(), &live), "it is no news");
    assert!(revisions.get(&old).is_some());

    let made_again = source("fleet", "2", "https://git.test/old.git");
    let moved = source("fleet", "1", "https://git.test/new.git");
    for other in [made_again, moved] {
        assert!(revisions.get(&other).is_none());
        watch.apply_watcher_event(&Event::Apply(other.clone()));
        assert!(revisions.put(&other, fetched.clone(), &live), "the same commit of another source is news");
        assert!(revisions.get(&other).is_some() && revisions.get(&old).is_none());
    }
}

#[tokio::test]
async fn a_source_that_is_gone_is_forgotten_with_its_tree() {
    let repo = GitRepo::new().unwrap();
    repo.commit("first").unwrap();
    let fetched = Bench::new().fetch(&local(&repo, branch("main"))).await.unwrap();
    let mut watch = Writer::default();
    let (live, revisions) = (watch.as_reader(), Revisions::default());
    let (gone, stays) = (source("gone", "1", "https://git.test/a.git"), source("stays", "2", "https://git.test/a.git"));
    for source in [&gone, &stays] {
        watch.apply_watcher_event(&Event::Apply(source.clone()));
        revisions.put(source, fetched.clone(), &live);
    }
    watch.apply_watcher_event(&Event::Delete(gone.clone()));
    revisions.put(&stays, fetched, &live);
    assert!(revisions.get(&gone).is_none() && revisions.get(&stays).is_some());
}

#[tokio::test]
async fn the_last_source_is_forgotten_too_when_it_is_gone() {
    let repo = GitRepo::new().unwrap();
    repo.commit("first").unwrap();
    let fetched = Bench::new().fetch(&local(&repo, branch("main"))).await.unwrap();
    let mut watch = Writer::default();
    let (live, revisions) = (watch.as_reader(), Revisions::default());
    let last = source("last", "1", "https://git.test/a.git");
    watch.apply_watcher_event(&Event::Apply(last.clone()));
    revisions.put(&last, fetched, &live);
    revisions.forget_gone(&live);
    assert!(revisions.get(&last).is_some());
    watch.apply_watcher_event(&Event::Delete(last.clone()));
    revisions.forget_gone(&live);
    assert!(revisions.get(&last).is_none());
}
