//! Fetching from a real `git http-backend` over HTTPS.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::local::Sha256Repo;
use super::*;
use waxwing::source::{Credential, Login, TlsFault};
use waxwing_harness::{Access, GitOperation, GitServer};

fn basic(username: &str, password: &str) -> Login {
    Login::Basic { username: Credential::new(username.to_owned()), password: Credential::new(password.to_owned()) }
}

fn bearer(token: &str) -> Login {
    Login::Bearer(Credential::new(token.to_owned()))
}

fn trusting(server: &GitServer, login: Login) -> Credentials {
    Credentials { login, ca_pem: Some(server.ca_pem().into_bytes()) }
}

/// Fetches without credentials.
fn anonymous(server: &GitServer, url: &str, reference: Reference) -> Arc<Remote> {
    remote(url, reference, trusting(server, Login::Anonymous))
}

/// Serves `repo` to everybody.
fn open_server(repo: &GitRepo) -> (GitServer, String) {
    let server = GitServer::start(Access::Open).unwrap();
    let url = server.publish("fleet", repo);
    (server, url)
}

fn repo_with(content: &str) -> GitRepo {
    let repo = GitRepo::new().unwrap();
    repo.write("a.yaml", content).unwrap();
    repo.commit("first").unwrap();
    repo
}

#[tokio::test]
async fn a_branch_a_tag_and_a_commit_lead_to_their_files() {
    let repo = repo_with("first");
    let first = repo.head().unwrap();
    repo.tag("v1").unwrap();
    repo.git(&["tag", "light"]).unwrap();
    repo.write("a.yaml", "second").unwrap();
    let second = repo.commit("second").unwrap();
    let (server, url) = open_server(&repo);

    let table = [
        (branch("main"), &second, "second"),
        (tag("v1"), &first, "first"),
        (tag("light"), &first, "first"),
        (commit(&first), &first, "first"),
    ];
    for (reference, id, content) in table {
        let bench = Bench::new();
        let fetched = bench.fetch(&anonymous(&server, &url, reference)).await.unwrap();
        assert_eq!(fetched.tree.commit().to_string(), *id);
        assert_eq!(text(&fetched.tree, "a.yaml"), content);
    }
}

#[tokio::test]
async fn only_names_are_listed_while_nothing_changes() {
    let repo = repo_with("first");
    let (server, url) = open_server(&repo);
    let bench = Bench::new();
    let main = anonymous(&server, &url, branch("main"));
    let first = bench.fetch(&main).await.unwrap();
    assert_eq!(server.count(GitOperation::Fetch), 1);

    server.forget_requests();
    let again = bench.store.fetch(Arc::clone(&main), Some(&first.tree)).await.unwrap();
    let operations: Vec<GitOperation> = server.requests().iter().map(|request| request.operation).collect();
    assert_eq!(operations, [GitOperation::Discover, GitOperation::LsRefs]);
    assert!(!again.changed && Arc::ptr_eq(&first.tree, &again.tree));

    server.forget_requests();
    let exact = anonymous(&server, &url, commit(&repo.head().unwrap()));
    let other = bench.fetch(&exact).await.unwrap();
    assert_eq!(server.count(GitOperation::Fetch), 0);
    assert!(Arc::ptr_eq(&first.tree, &other.tree));

    server.forget_requests();
    let held = bench.store.fetch(exact, Some(&other.tree)).await.unwrap();
    assert!(server.requests().is_empty() && !held.changed);

    let bench = bench.restart();
    assert_eq!(text(&bench.fetch(&main).await.unwrap().tree, "a.yaml"), "first");
    assert_eq!(server.count(GitOperation::Fetch), 0);
}

#[tokio::test]
async fn each_new_commit_and_each_forced_push_is_one_fetch_of_what_is_new() {
    let repo = repo_with("0");
    let first = repo.head().unwrap();
    let (server, url) = open_server(&repo);
    let bench = Bench::with(|settings| settings.max_fetches = 4);
    let main = anonymous(&server, &url, branch("main"));
    let mut trees = vec![bench.fetch(&main).await.unwrap().tree];
    for round in 1..7 {
        repo.write("a.yaml", round.to_string()).unwrap();
        repo.commit("more").unwrap();
        trees.push(bench.fetch(&main).await.unwrap().tree);
    }
    assert_eq!(server.count(GitOperation::Fetch), 7);
    repo.reset(&first).unwrap();
    trees.push(bench.fetch(&main).await.unwrap().tree);

    let contents: Vec<String> = trees.iter().map(|tree| text(tree, "a.yaml")).collect();
    assert_eq!(contents, ["0", "1", "2", "3", "4", "5", "6", "0"]);
    drop(trees);
    assert_eq!(bench.mirrors().len(), 1);
}

#[tokio::test]
async fn branches_whose_names_collide_as_folders_are_fetched_one_after_the_other() {
    let repo = repo_with("x");
    repo.git(&["branch", "team"]).unwrap();
    let (server, url) = open_server(&repo);
    let bench = Bench::new();
    let fetch = |name| anonymous(&server, &url, branch(name));
    bench.fetch(&fetch("team")).await.unwrap();
    repo.git(&["branch", "--delete", "team"]).unwrap();
    repo.write("a.yaml", "y").unwrap();
    repo.commit("second").unwrap();
    repo.git(&["branch", "team/blue"]).unwrap();
    assert_eq!(text(&bench.fetch(&fetch("team/blue")).await.unwrap().tree, "a.yaml"), "y");
}

#[tokio::test]
async fn passwords_and_tokens_are_accepted_and_wrong_ones_refused_without_being_named() {
    let repo = repo_with("x");
    let server = GitServer::start(Access::basic("robot", "right-password")).unwrap();
    let url = server.publish("fleet", &repo);
    let table = [
        (Access::basic("robot", "right-password"), basic("robot", "right-password"), None),
        (Access::Bearer("right-token".into()), bearer("right-token"), None),
        (Access::basic("robot", "right-password"), Login::Anonymous, Some("asks for credentials, and none were given")),
        (Access::basic("robot", "right-password"), basic("robot", "wrong-password"), Some("refused the credentials")),
        (Access::Bearer("right-token".into()), bearer("wrong-token"), Some("refused the credentials")),
        (Access::Open, bearer("wrong-token\n"), Some("the credentials cannot be sent")),
    ];
    for (access, login, expected) in table {
        server.set_access(access);
        let remote = remote(&url, branch("main"), trusting(&server, login));
        let outcome = Bench::new().fetch(&remote).await;
        let Some(expected) = expected else {
            outcome.unwrap();
            continue;
        };
        let error = outcome.unwrap_err();
        assert!(told(&error).contains(expected), "{error}");
        let printed = format!("{error:?} {remote:?}");
        assert!(!printed.contains("wrong") && !printed.contains("robot"), "{printed}");
    }
}

/// Collects what every thread of this program logs.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_credential_is_logged_at_the_most_talkative_level() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let repo = repo_with("x");
    let server = GitServer::start(Access::basic("canary-user", "canary-password")).unwrap();
    let url = server.publish("fleet", &repo);
    for login in [basic("canary-user", "canary-password"), bearer("canary-token")] {
        drop(Bench::new().fetch(&remote(&url, branch("main"), trusting(&server, login))).await);
    }
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("connect"), "the libraries' own messages are there: {logged}");
    // The last one is the pair as it stands in the header, in Base64.
    for word in ["canary-user", "canary-password", "canary-token", "Y2FuYXJ5LXVzZXI6Y2FuYXJ5LXBhc3N3b3Jk"] {
        assert!(!logged.contains(word), "{word} was logged");
    }
}

#[tokio::test]
async fn what_one_source_fetched_is_not_handed_to_another_without_access() {
    let repo = repo_with("private");
    let server = GitServer::start(Access::basic("robot", "right")).unwrap();
    let url = server.publish("fleet", &repo);
    let bench = Bench::new();
    let owner = remote(&url, branch("main"), trusting(&server, basic("robot", "right")));
    let held = bench.fetch(&owner).await.unwrap();
    for reference in [branch("main"), commit(&held.tree.commit().to_string())] {
        let stranger = anonymous(&server, &url, reference);
        let error = bench.fetch(&stranger).await.unwrap_err();
        assert!(matches!(error, SourceError::CredentialsMissing { .. }), "{error:?}");
    }
}

/// Asks as another source than [`remote`] does.
fn stranger(url: &str, reference: Reference, credentials: Credentials) -> Arc<Remote> {
    let remote = Arc::into_inner(remote(url, reference, credentials)).unwrap();
    Arc::new(Remote { holder: "stranger".to_owned(), ..remote })
}

#[tokio::test]
async fn who_knows_the_id_of_anothers_commit_does_not_get_it_unless_the_server_gives_it() {
    let repo = repo_with("public");
    let public = repo.head().unwrap();
    repo.write("a.yaml", "withdrawn").unwrap();
    let withdrawn = repo.commit("withdrawn").unwrap();
    let (server, url) = open_server(&repo);
    let bench = Bench::new();
    let credentials = || trusting(&server, Login::Anonymous);
    let owners = bench.fetch(&remote(&url, branch("main"), credentials())).await.unwrap().tree;
    let mirrors = bench.mirrors();

    server.forget_requests();
    let shared = bench.fetch(&stranger(&url, commit(&withdrawn), credentials())).await.unwrap().tree;
    assert_eq!(server.count(GitOperation::Fetch), 1, "the server was asked for the commit itself");
    assert!(Arc::ptr_eq(&owners, &shared));
    bench.fetch(&stranger(&url, commit(&withdrawn), credentials())).await.unwrap();
    assert_eq!(server.count(GitOperation::Fetch), 1, "and not again");
    bench.fetch(&stranger(&url, commit(&public), credentials())).await.unwrap();

    repo.reset(&public).unwrap();
    repo.git(&["-C", repo.bare().to_str().unwrap(), "gc", "--quiet", "--prune=now"]).unwrap();
    let error = bench.fetch(&stranger(&url, commit(&withdrawn), credentials())).await.unwrap_err();
    assert!(matches!(error, SourceError::ReferenceNotFound { .. }), "{error:?}");
    let own = bench.fetch(&remote(&url, commit(&withdrawn), credentials())).await.unwrap();
    assert_eq!(text(&own.tree, "a.yaml"), "withdrawn");
    assert_eq!(bench.mirrors(), mirrors);
}

#[tokio::test]
async fn after_a_restart_each_source_finds_what_it_fetched_itself_without_the_server() {
    let repo = repo_with("kept");
    let server = GitServer::start(Access::basic("robot", "right")).unwrap();
    let url = server.publish("fleet", &repo);
    let bench = Bench::new();
    let owner = remote(&url, branch("main"), trusting(&server, basic("robot", "right")));
    let commit = bench.fetch(&owner).await.unwrap().tree.commit();
    server.stop();

    let bench = bench.restart();
    let stored = bench.store.stored(&owner.url, "source").await.unwrap().tree;
    assert_eq!((stored.commit(), text(&stored, "a.yaml")), (commit, "kept".to_owned()));
    assert!(bench.store.stored(&owner.url, "stranger").await.is_none());
    let elsewhere = RemoteUrl::parse(&server.url("other"), EVERYTHING).unwrap();
    assert!(bench.store.stored(&elsewhere, "source").await.is_none());
}

#[tokio::test]
async fn a_server_is_believed_only_if_the_given_authority_vouches_for_it() {
    let repo = repo_with("x");
    let (server, url) = open_server(&repo);
    let other = GitServer::start(Access::Open).unwrap();
    let with = |ca_pem: Option<Vec<u8>>| Credentials { login: bearer("must-not-be-sent"), ca_pem };
    for ca in [None, Some(other.ca_pem().into_bytes())] {
        let error = Bench::new().fetch(&remote(&url, branch("main"), with(ca))).await.unwrap_err();
        assert!(matches!(error, SourceError::Tls { fault: TlsFault::UnknownAuthority, .. }), "{error:?}");
    }
    let broken = b"-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n".to_vec();
    for ca in [b"".to_vec(), b"not PEM".to_vec(), broken] {
        let error = Bench::new().fetch(&remote(&url, branch("main"), with(Some(ca)))).await.unwrap_err();
        assert!(matches!(error, SourceError::CaMalformed { .. }), "{error:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let repo = repo_with("x");
    let (server, url) = open_server(&repo);
    let url = url.replace("127.0.0.1", "127.0.0.2");
    let proxy = Forwarder::start("127.0.0.2:0", &server, None);
    let url = url.replace(&port_of(&url), &proxy.port.to_string());
    let remote = anonymous(&server, &url, branch("main"));
    let error = Bench::new().fetch(&remote).await.unwrap_err();
    assert!(matches!(error, SourceError::Tls { fault: TlsFault::WrongName, .. }), "{error:?}");
}

#[tokio::test]
async fn each_failure_of_the_server_is_told_apart_and_the_last_good_tree_stays() {
    let repo = repo_with("kept");
    let (server, url) = open_server(&repo);
    let bench = Bench::new();
    let main = anonymous(&server, &url, branch("main"));
    let held = bench.fetch(&main).await.unwrap();
    let table = [
        (403, "the server denies access"),
        (404, "there is no such repository"),
        (302, "the server redirects, which is not followed"),
        (500, "the server answered with HTTP status 500"),
        (503, "the server answered with HTTP status 503"),
        (204, "the server answered with HTTP status 204"),
        (200, "the server does not answer as a Git server"),
    ];
    for (status, expected) in table {
        server.fail_with(status.try_into().unwrap());
        let error = bench.store.fetch(Arc::clone(&main), Some(&held.tree)).await.unwrap_err();
        assert!(told(&error).ends_with(expected), "{error}");
    }
    server.stop();
    let error = bench.fetch(&main).await.unwrap_err();
    assert!(matches!(error, SourceError::Unreachable { .. }), "{error:?}");
    assert_eq!(text(&held.tree, "a.yaml"), "kept");

    server.serve();
    server.restart().unwrap();
    assert!(Arc::ptr_eq(&bench.fetch(&main).await.unwrap().tree, &held.tree));
}

#[tokio::test]
async fn a_name_that_is_not_there_and_an_empty_repository_are_told_apart() {
    let repo = GitRepo::new().unwrap();
    let (server, url) = open_server(&repo);
    let fetch = |reference| anonymous(&server, &url, reference);
    let empty = Bench::new().fetch(&fetch(branch("main"))).await.unwrap_err();
    assert!(matches!(empty, SourceError::Empty { .. }), "{empty:?}");

    repo.write("a.yaml", "x").unwrap();
    repo.commit("first").unwrap();
    repo.git(&["tag", "blob", "HEAD:a.yaml"]).unwrap();
    let missing = "1".repeat(40);
    let table = [
        (branch("mian"), "there is no branch mian".to_owned()),
        (branch("mai"), "there is no branch mai".to_owned()),
        (tag("v9"), "there is no tag v9".to_owned()),
        (commit(&missing), format!("there is no commit {missing}")),
        (tag("blob"), "the tag blob does not name a commit".to_owned()),
    ];
    for (reference, expected) in table {
        let error = Bench::new().fetch(&fetch(reference)).await.unwrap_err();
        assert!(told(&error).ends_with(&expected), "{error:?}");
    }
}

#[tokio::test]
async fn an_unknown_host_is_named() {
    // A label of more than 63 letters has no address, and nobody is asked for one.
    let url = format!("http://{}.test/fleet.git", "a".repeat(64));
    let error = Bench::new().fetch(&remote(&url, branch("main"), Credentials::default())).await.unwrap_err();
    assert!(matches!(error, SourceError::HostNotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_costs_the_timeout_and_no_more() {
    let repo = repo_with("x");
    let (server, url) = open_server(&repo);
    server.hang();
    let bench = Bench::new();
    let url = RemoteUrl::parse(&url, EVERYTHING).unwrap();
    let patient = |timeout| {
        let credentials = trusting(&server, Login::Anonymous);
        Arc::new(Remote {
            holder: "source".to_owned(),
            url: url.clone(),
            reference: branch("main"),
            credentials,
            timeout,
        })
    };
    let error = bench.fetch(&patient(Duration::from_millis(200))).await.unwrap_err();
    assert!(matches!(error, SourceError::TimedOut { .. }), "{error:?}");
    let strict = Bench::with(|settings| settings.max_timeout = Duration::from_millis(200));
    let error = strict.fetch(&patient(Duration::MAX)).await.unwrap_err();
    assert!(matches!(error, SourceError::TimedOut { timeout, .. } if timeout.as_millis() == 200), "{error:?}");
    server.serve();
    bench.fetch(&patient(Duration::from_secs(30))).await.unwrap();
}

#[tokio::test]
async fn a_server_that_goes_away_while_it_sends_leaves_nothing_half_done() {
    let repo = repo_with("first");
    let (server, url) = open_server(&repo);
    let noise = noise(1 << 20);
    repo.write("noise.bin", &noise).unwrap();
    repo.commit("second").unwrap();
    let proxy = Forwarder::start("127.0.0.1:0", &server, Some(100_000));
    let cut = url.replace(&port_of(&url), &proxy.port.to_string());
    let bench = Bench::new();
    let through = anonymous(&server, &cut, branch("main"));
    for _ in 0..2 {
        let error = bench.fetch(&through).await.unwrap_err();
        assert!(matches!(error, SourceError::Broken { .. }), "{error:?}");
    }
    proxy.lift_limit();
    let fetched = bench.fetch(&through).await.unwrap();
    assert_eq!(fetched.tree.read(&path("noise.bin")).unwrap().bytes, noise);
}

#[tokio::test]
async fn an_answer_over_the_limit_is_refused() {
    let repo = repo_with("x");
    repo.write("noise.bin", noise(1 << 18)).unwrap();
    repo.commit("second").unwrap();
    let (server, url) = open_server(&repo);
    let bench = Bench::with(|settings| settings.max_fetch_bytes = 100_000);
    let error = bench.fetch(&anonymous(&server, &url, branch("main"))).await.unwrap_err();
    assert!(matches!(error, SourceError::TooLarge { limit: 100_000, .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_of_a_hundred_megabytes_is_refused_by_name() {
    let repo = repo_with("small");
    std::fs::File::create(repo.tree().join("big.bin")).unwrap().set_len(100 << 20).unwrap();
    repo.commit("second").unwrap();
    let (server, url) = open_server(&repo);
    let bench = Bench::new();
    let fetched = bench.fetch(&anonymous(&server, &url, branch("main"))).await.unwrap();
    let error = fetched.tree.read(&path("big.bin")).unwrap_err();
    assert_eq!(error.to_string(), "big.bin has 104857600 bytes, the limit is 16777216");
    assert_eq!(text(&fetched.tree, "a.yaml"), "small");
}

#[tokio::test]
async fn a_file_that_only_promises_to_be_huge_takes_no_memory() {
    let repo = repo_with("x");
    std::fs::File::create(repo.tree().join("huge.bin")).unwrap().set_len(129 << 20).unwrap();
    repo.commit("second").unwrap();
    let (server, url) = open_server(&repo);
    for url in [url, repo.file_url()] {
        let login = Login::Anonymous;
        let error = Bench::new().fetch(&remote(&url, branch("main"), trusting(&server, login))).await.unwrap_err();
        assert!(matches!(error, SourceError::ObjectTooLarge { limit: 134_217_728, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_sha256_repository_is_fetched_like_any_other() {
    let repo = Sha256Repo::new();
    let served = GitRepo::new().unwrap();
    std::fs::remove_dir_all(served.bare()).unwrap();
    repo.git(&["clone", "--quiet", "--bare", ".", served.bare().to_str().unwrap()]);
    let (server, url) = open_server(&served);
    let bench = Bench::new();
    let main = anonymous(&server, &url, branch("main"));
    for reference in [branch("main"), commit(&repo.head())] {
        let one = anonymous(&server, &url, reference);
        assert_eq!(text(&bench.fetch(&one).await.unwrap().tree, "a.yaml"), "long ids");
    }
    server.forget_requests();
    bench.fetch(&main).await.unwrap();
    assert_eq!(server.count(GitOperation::Fetch), 0);
}

#[tokio::test]
async fn damaged_packs_are_noticed_and_fetched_again() {
    let repo = repo_with("whole");
    let (server, url) = open_server(&repo);
    let main = anonymous(&server, &url, branch("main"));
    let table: [fn(&std::path::Path); 3] = [
        |pack| std::fs::write(pack, "").unwrap(),
        |pack| std::fs::remove_file(pack).unwrap(),
        |pack| {
            let mut bytes = std::fs::read(pack).unwrap();
            let middle = bytes.len() / 2;
            bytes[12..middle].fill(0x55);
            std::fs::remove_file(pack).unwrap();
            std::fs::write(pack, bytes).unwrap();
        },
    ];
    for damage in table {
        let bench = Bench::new();
        drop(bench.fetch(&main).await.unwrap());
        let packs = std::fs::read_dir(bench.mirrors()[0].join("objects/pack")).unwrap();
        let pack = packs.map(|entry| entry.unwrap().path()).find(|path| path.extension().unwrap() == "pack").unwrap();
        damage(&pack);
        let bench = bench.restart();
        assert_eq!(text(&bench.fetch(&main).await.unwrap().tree, "a.yaml"), "whole");
    }
}

#[tokio::test]
async fn a_store_that_is_damaged_while_it_is_used_is_repaired_by_the_next_fetches() {
    type Damage = fn(&std::path::Path);
    let table: [(&str, Damage); 5] = [
        ("everything is gone", |mirror| std::fs::remove_dir_all(mirror.parent().unwrap()).unwrap()),
        ("the mirror is gone", |mirror| std::fs::remove_dir_all(mirror).unwrap()),
        ("the packs are gone", |mirror| std::fs::remove_dir_all(mirror.join("objects/pack")).unwrap()),
        ("HEAD is gone", |mirror| std::fs::remove_file(mirror.join("HEAD")).unwrap()),
        ("the packs are garbled", |mirror| crate::local::garble(&mirror.join("objects/pack"))),
    ];
    for (what, damage) in table {
        let repo = repo_with("first");
        let (server, url) = open_server(&repo);
        let (main, bench) = (anonymous(&server, &url, branch("main")), Bench::new());
        drop(bench.fetch(&main).await.unwrap());
        damage(&bench.mirrors()[0]);
        for content in ["first", "second"] {
            if content == "second" {
                repo.write("a.yaml", content).unwrap();
                repo.commit(content).unwrap();
            }
            if let Ok(fetched) = bench.fetch(&main).await {
                drop(fetched.tree.read(&path("a.yaml")));
            }
            let fetched = bench.fetch(&main).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(text(&fetched.tree, "a.yaml"), content, "{what}");
        }
    }
}

#[tokio::test]
async fn two_sources_of_one_repository_fetch_at_once_and_share_the_tree() {
    let repo = repo_with("x");
    let (server, url) = open_server(&repo);
    let bench = Bench::new();
    let one = anonymous(&server, &url, branch("main"));
    let other = anonymous(&server, &url, branch("main"));
    let (one, other) = tokio::join!(bench.fetch(&one), bench.fetch(&other));
    assert!(Arc::ptr_eq(&one.unwrap().tree, &other.unwrap().tree));
    assert_eq!(server.count(GitOperation::Fetch), 1);
}

#[tokio::test]
async fn credentials_are_never_sent_in_the_clear_nor_to_where_a_server_redirects() {
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = sink.local_addr().unwrap();
    let redirecting = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/fleet.git", redirecting.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        let (mut stream, _) = redirecting.accept().unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).unwrap();
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{target}/fleet.git/info/refs\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });

    let secret = Credentials { login: bearer("secret"), ca_pem: None };
    let error = Bench::new().fetch(&remote(&url, branch("main"), secret)).await.unwrap_err();
    assert!(matches!(error, SourceError::CredentialsNotUsable { .. }), "{error:?}");

    let error = Bench::new().fetch(&remote(&url, branch("main"), Credentials::default())).await.unwrap_err();
    assert!(matches!(error, SourceError::Redirected { .. }), "{error:?}");
    assert!(!served.join().unwrap().to_lowercase().contains("authorization"));
    sink.set_nonblocking(true).unwrap();
    assert!(sink.accept().is_err(), "nobody followed the redirect");
}

/// Returns bytes that do not compress (xorshift).
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn port_of(url: &str) -> String {
    url.split([':', '/']).find(|part| part.parse::<u16>().is_ok()).unwrap().to_owned()
}

/// Passes connections on to a server, and breaks each off after so many bytes of answers.
struct Forwarder {
    port: u16,
    limit: Arc<std::sync::atomic::AtomicUsize>,
}

impl Forwarder {
    fn start(address: &str, server: &GitServer, limit: Option<usize>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = format!("127.0.0.1:{}", port_of(&server.url("any")));
        let limit = Arc::new(std::sync::atomic::AtomicUsize::new(limit.unwrap_or(usize::MAX)));
        let forwarder = Self { port, limit: Arc::clone(&limit) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&target).unwrap();
                let (mut questions, mut asked) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut questions, &mut asked).ok());
                let limit = limit.load(std::sync::atomic::Ordering::Relaxed) as u64;
                std::thread::spawn(move || {
                    std::io::copy(&mut (&server).take(limit), &mut &client).ok();
                    client.shutdown(Shutdown::Both).ok();
                    server.shutdown(Shutdown::Both).ok();
                });
            }
        });
        forwarder
    }

    fn lift_limit(&self) {
        self.limit.store(usize::MAX, std::sync::atomic::Ordering::Relaxed);
    }
}
