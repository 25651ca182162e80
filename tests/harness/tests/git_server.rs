//! Proves that the Git server of the harness is one for the real git, and that it can fail like one.

use std::path::Path;

use http::StatusCode;
use waxwing_harness::{Access, Call, Failure, GitOperation, GitRepo, GitServer, RunDir};

fn repository() -> Result<GitRepo, Failure> {
    let repo = GitRepo::new()?;
    repo.write("web.yaml", "kind: ConfigMap\n")?;
    repo.commit("first")?;
    Ok(repo)
}

/// Prepares a call of git that trusts the server and asks nobody for a password.
fn git(server: &GitServer, dir: &RunDir, arguments: &[&str]) -> Result<Call, Failure> {
    let ca = dir.write("ca.crt", server.ca_pem())?;
    let call = Call::new(Path::new("git"), dir.path()).env("GIT_CONFIG_GLOBAL", "/dev/null");
    Ok(call.env("GIT_TERMINAL_PROMPT", "0").env("GIT_SSL_CAINFO", ca).args(arguments))
}

#[test]
fn git_clones_with_the_password_and_is_refused_without() -> Result<(), Failure> {
    let (repo, dir) = (repository()?, RunDir::new("test")?);
    let server = GitServer::start(Access::basic("fleet", "s3cret"))?;
    let url = server.publish("org/fleet", &repo);
    let refused = git(&server, &dir, &["clone", "--quiet", &url, "refused"])?.run()?;
    assert!(refused.stderr.contains("could not read Username"), "{}", refused.stderr);
    assert!(!dir.join("refused").exists());
    let with_password = url.replace("https://", "https://fleet:s3cret@");
    git(&server, &dir, &["clone", "--quiet", "--depth=1", &with_password, "cloned"])?.text()?;
    assert_eq!(std::fs::read(dir.join("cloned/web.yaml")).expect("the file was cloned"), b"kind: ConfigMap\n");
    Ok(())
}

#[test]
fn a_bearer_token_is_enough_and_a_wrong_one_is_not() -> Result<(), Failure> {
    let (repo, dir) = (repository()?, RunDir::new("test")?);
    let server = GitServer::start(Access::Bearer("good".to_owned()))?;
    let url = server.publish("fleet", &repo);
    let ask = |token: &str| {
        let header = format!("http.extraHeader=Authorization: Bearer {token}");
        git(&server, &dir, &["-c", &header, "ls-remote", &url])?.run()
    };
    assert!(ask("good")?.status.success());
    assert!(!ask("wrong")?.status.success());
    Ok(())
}

#[test]
fn an_unknown_authority_is_refused_by_git() -> Result<(), Failure> {
    let (repo, dir) = (repository()?, RunDir::new("test")?);
    let (server, other) = (GitServer::start(Access::Open)?, GitServer::start(Access::Open)?);
    let url = server.publish("fleet", &repo);
    let refused = git(&other, &dir, &["ls-remote", &url])?.run()?;
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
    Ok(())
}

#[test]
fn the_log_tells_listing_from_fetching() -> Result<(), Failure> {
    let (repo, dir) = (repository()?, RunDir::new("test")?);
    let server = GitServer::start(Access::Open)?;
    let url = server.publish("fleet", &repo);
    git(&server, &dir, &["ls-remote", &url])?.text()?;
    let counts = || [GitOperation::Discover, GitOperation::LsRefs, GitOperation::Fetch].map(|what| server.count(what));
    assert_eq!(counts(), [1, 1, 0]);
    git(&server, &dir, &["clone", "--quiet", &url, "cloned"])?.text()?;
    assert_eq!(counts(), [2, 2, 1]);
    assert!(server.requests().iter().all(|request| request.status == Some(StatusCode::OK)));
    server.forget_requests();
    assert_eq!(counts(), [0, 0, 0]);
    Ok(())
}

#[test]
fn the_server_fails_hangs_stops_and_comes_back() -> Result<(), Failure> {
    let (repo, dir) = (repository()?, RunDir::new("test")?);
    let server = GitServer::start(Access::Open)?;
    let url = server.publish("fleet", &repo);
    let list =
        || git(&server, &dir, &["-c", "http.lowSpeedLimit=1", "-c", "http.lowSpeedTime=1", "ls-remote", &url])?.run();
    server.fail_with(StatusCode::SERVICE_UNAVAILABLE);
    assert!(list()?.stderr.contains("503"));
    server.hang();
    assert!(list()?.stderr.contains("too slow"));
    assert_eq!(server.requests().last().and_then(|request| request.status), None);
    server.stop();
    assert!(!list()?.status.success());
    server.restart()?;
    server.serve();
    assert!(list()?.status.success());
    Ok(())
}
