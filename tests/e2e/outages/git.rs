//! Git is away.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waxwing_harness::{GitServer, eventually};

use super::tries;
use crate::act::{config_map, message};
use crate::git::followed;
use crate::stage::{PATIENCE, condition};

/// The most requests of one fetch: what the server can do, and its names.
const REQUESTS_OF_A_FETCH: usize = 2;

/// A way to break a server, and what the source then says.
type Row = (fn(&GitServer), &'static str);

const ROWS: [Row; 3] = [
    (|server| server.fail_with(http::StatusCode::INTERNAL_SERVER_ERROR), "the server answered with HTTP status 500"),
    (GitServer::hang, "within 1s"),
    (GitServer::stop, "the server cannot be reached"),
];

#[test]
fn while_git_is_away_the_source_says_since_when_it_is_stale_and_drift_is_still_reverted() {
    let (stage, server, _, commit) = followed("git-outage");
    let source = stage.path("gitsource/fleet").unwrap();
    stage.cluster.merge(&source, &json!({"spec": {"timeout": "1s"}})).unwrap();
    for (break_it, told) in ROWS {
        let since = Instant::now();
        server.forget_requests();
        break_it(&server);
        let stale = stage.source_says("fleet", "False", told);
        let said = message(&stale);
        let kept =
            format!("main@sha1:{commit} stays in use, stale since {}", stale["status"]["staleSince"].as_str().unwrap());
        assert!(said.ends_with(&kept), "{said}");
        stage.kubectl(&["delete", "configmap/settings"]).unwrap();
        eventually(PATIENCE, "drift put back", || stage.get("configmap/settings")).unwrap();
        stage.applied(&commit);
        let (requests, second) = (server.requests().len(), Duration::from_secs(1));
        let bound = REQUESTS_OF_A_FETCH * (1 + tries(since, second, second));
        assert!(requests <= bound, "{told}: {requests} requests, not {bound}");
        server.serve();
        server.restart().unwrap();
        let back = stage.source_says("fleet", "True", &commit);
        assert_eq!(back["status"]["staleSince"], Value::Null);
    }
}

#[test]
fn a_pack_that_is_cut_on_its_way_is_told_and_fetched_again() {
    let (stage, server, _, mut good) = followed("git-cut");
    // Nothing, less than the line before a pack, and less than its objects.
    for bytes in [0, 7, 200] {
        server.cut_packs_after(bytes);
        let commit = stage.commit(&[("app/config.yaml", &config_map("settings", &format!("after-{bytes}")))]);
        let stale = stage.source_says("fleet", "False", &format!("main@sha1:{good} stays in use, stale since"));
        assert_eq!(condition(&stale, "Ready")["reason"], "FetchFailed", "{}", message(&stale));
        server.serve();
        stage.applied(&commit);
        good = commit;
    }
}
