//! Sources: a real Git server over HTTPS with its ways to fail, and the references that can be followed.

use serde_json::Value;
use sha2::{Digest, Sha256};
use waxwing_harness::{Access, GitOperation, GitRepo, GitServer, eventually};

use crate::stage::{PATIENCE, Stage, condition, controller};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {greeting: good}\n";
const PASSWORD: &str = "correct-horse-battery";

impl Stage {
    /// Creates a Secret with credentials; `data` is YAML of text values in one line.
    fn credentials(&self, name: &str, server: &GitServer, data: &str) {
        let ca = server.ca_pem().lines().map(|line| format!("    {line}\n")).collect::<String>();
        let namespace = &self.namespace;
        let data: String = data.lines().map(|line| format!("  {line}\n")).collect();
        self.cluster
            .apply_yaml(&format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData:\n  ca.crt: |\n{ca}{data}"
            ))
            .unwrap();
    }

    /// Creates a Sync of the folder `app` of the GitSource `fleet`.
    fn follow(&self) {
        self.declare("app", "path: ./app\nserviceAccountName: deployer");
    }

    /// Waits until a GitSource says something, and returns it.
    pub(crate) fn source_says(&self, name: &str, status: &str, message: &str) -> Value {
        let found = eventually(PATIENCE, "the GitSource says what is expected", || {
            let source = self.get(&format!("gitsource/{name}")).map_err(|failure| failure.to_string())?;
            let ready = condition(&source, "Ready");
            let told = ready["message"].as_str().unwrap_or_default();
            match ready["status"] == status && told.contains(message) {
                true => Ok(source),
                false => Err(ready.to_string()),
            }
        });
        found.unwrap()
    }
}

/// Serves the repository of a stage.
fn serve(stage: &Stage, access: Access) -> (GitServer, String) {
    let server = GitServer::start(access).unwrap();
    let url = server.publish("fleet", &stage.repo);
    (server, url)
}

/// Makes a tenant that follows its repository on an open server; returns the commit too that has been applied.
pub(crate) fn followed(name: &str) -> (Stage, GitServer, String, String) {
    followed_by(Stage::new(name))
}

/// Lets a tenant follow its repository on an open server; returns the commit too that has been applied.
pub(crate) fn followed_by(stage: Stage) -> (Stage, GitServer, String, String) {
    let (server, url) = serve(&stage, Access::Open);
    let first = stage.commit(&[("app/config.yaml", CONFIG)]);
    stage.credentials("ca", &server, "");
    stage.git_source("fleet", &format!("{{url: '{url}', interval: 1s, secretRef: {{name: ca}}}}"));
    stage.follow();
    stage.applied(&first);
    (stage, server, url, first)
}

#[test]
fn credentials_come_from_a_secret_and_wrong_ones_are_refused_until_they_are_right() {
    let table = [
        (Access::basic("fleet", PASSWORD), format!("username: fleet\npassword: {PASSWORD}\n")),
        (Access::Bearer(PASSWORD.to_owned()), format!("bearerToken: {PASSWORD}\n")),
    ];
    for (access, data) in table {
        let stage = Stage::new("git-login");
        let (server, url) = serve(&stage, access.clone());
        let first = stage.commit(&[("app/config.yaml", CONFIG)]);
        stage.credentials("auth", &server, &data);
        stage.git_source("fleet", &format!("{{url: '{url}', interval: 1s, secretRef: {{name: auth}}}}"));
        stage.follow();
        stage.applied(&first);

        server.set_access(Access::basic("fleet", "changed"));
        let second = stage.commit(&[("app/config.yaml", &CONFIG.replace("good", "better"))]);
        let refused = stage.source_says("fleet", "False", "the server refused the credentials");
        assert_eq!(condition(&refused, "Ready")["reason"], "AuthenticationFailed");
        stage.applied(&first);
        server.set_access(access);
        stage.applied(&second);
    }
    assert!(!controller().log().contains(PASSWORD), "the log has a password");
}

#[test]
fn a_server_that_goes_away_leaves_the_last_good_revision_in_use() {
    let (stage, server, url, first) = followed("git-away");

    server.fail_with(503_u16.try_into().unwrap());
    let second = stage.commit(&[("app/config.yaml", &CONFIG.replace("good", "better"))]);
    let failed = stage.source_says("fleet", "False", "stale since");
    assert_eq!(condition(&failed, "Ready")["reason"], "FetchFailed");
    let since = failed["status"]["staleSince"].clone();
    server.stop();
    let gone = stage.source_says("fleet", "False", "cannot be reached");
    assert_eq!(gone["status"]["staleSince"], since, "it is stale since the first failure");
    assert_eq!(gone["status"]["commit"], first.as_str());
    let told = condition(&gone, "Ready")["message"].as_str().unwrap().replace(&first, "COMMIT");
    let told = told.replace(since.as_str().unwrap(), "SINCE").replace(&url, "URL");
    insta::assert_snapshot!(told, @"failed to fetch URL: the server cannot be reached; hint: check host and port of the URL, network policies and the server; main@sha1:COMMIT stays in use, stale since SINCE");

    // The Sync works on with what it has.
    stage.kubectl(&["delete", "configmap/settings"]).unwrap();
    stage.kubectl(&["annotate", "sync/app", "waxwing.dev/requestedAt=now"]).unwrap();
    eventually(PATIENCE, "the lost object is back", || stage.get("configmap/settings")).unwrap();
    stage.applied(&first);

    server.serve();
    server.restart().unwrap();
    stage.applied(&second);
    let back = stage.source_says("fleet", "True", &second);
    assert_eq!(back["status"]["staleSince"], Value::Null);
}

#[test]
fn nothing_is_fetched_while_the_tip_is_known() {
    let (stage, server, ..) = followed("git-quiet");

    server.forget_requests();
    eventually(PATIENCE, "several intervals are over", || match server.count(GitOperation::LsRefs) {
        0..3 => Err("not yet"),
        _ => Ok(()),
    })
    .unwrap();
    assert_eq!(server.count(GitOperation::Fetch), 0, "the tip was known");
    stage.applied(&stage.commit(&[("app/config.yaml", &CONFIG.replace("good", "better"))]));
    assert_eq!(server.count(GitOperation::Fetch), 1, "the tip was new once");
}

#[test]
fn a_repository_that_no_source_names_any_more_is_removed_from_the_disk() {
    let stage = Stage::new("git-gone");
    let other = GitRepo::new().unwrap();
    other.write("app/config.yaml", CONFIG).unwrap();
    other.commit("first").unwrap();
    stage.commit(&[("app/config.yaml", CONFIG)]);
    let urls = [stage.repo.file_url(), other.file_url()];
    let folders = urls.each_ref().map(|url| controller().dir().join("state").join(hex::encode(Sha256::digest(url))));
    let stored = || folders.each_ref().map(|folder| folder.exists());
    let wait = |expected: [bool; 2]| {
        let found = || if stored() == expected { Ok(()) } else { Err(format!("{:?}", stored())) };
        eventually(PATIENCE, "the disk has what is named", found).unwrap();
    };
    stage.git_source("fleet", &format!("{{url: '{}', interval: 1s}}", urls[0]));
    wait([true, false]);
    stage.git_source("fleet", &format!("{{url: '{}', interval: 1s}}", urls[1]));
    wait([false, true]);
    stage.kubectl(&["delete", "gitsource/fleet"]).unwrap();
    wait([false, false]);
}

#[test]
fn tags_and_commits_are_followed_and_a_moved_tag_too() {
    let stage = Stage::new("git-refs");
    let url = stage.repo.file_url();
    let greeting = || stage.get("configmap/settings").unwrap()["data"]["greeting"].clone();
    let first = stage.commit(&[("app/config.yaml", CONFIG)]);
    stage.repo.tag("v1").unwrap();
    let second = stage.commit(&[("app/config.yaml", &CONFIG.replace("good", "better"))]);

    stage.git_source("fleet", &format!("{{url: '{url}', interval: 1s, ref: {{tag: v1}}}}"));
    stage.follow();
    stage.ready("True", |message| message.contains(&first));
    assert_eq!(greeting(), "good");
    stage.repo.tag("v1").unwrap();
    stage.ready("True", |message| message.contains(&second));
    assert_eq!(greeting(), "better");
    stage.git_source("fleet", &format!("{{url: '{url}', interval: 1s, ref: {{commit: {first}}}}}"));
    stage.ready("True", |message| message.contains(&first));
    assert_eq!(greeting(), "good");
}

#[test]
fn a_forced_push_is_followed_and_what_it_forgot_is_pruned() {
    let stage = Stage::new("git-force");
    let first = stage.commit(&[("app/config.yaml", CONFIG)]);
    stage.sync("./app", "");
    stage.applied(&first);
    let forgotten = stage.commit(&[("app/more.yaml", &CONFIG.replace("settings", "forgotten"))]);
    stage.applied(&forgotten);
    stage.get("configmap/forgotten").unwrap();

    stage.repo.reset(&first).unwrap();
    stage.repo.write("app/config.yaml", CONFIG.replace("good", "rewritten")).unwrap();
    stage.applied(&stage.commit(&[]));
    assert_eq!(stage.get("configmap/settings").unwrap()["data"]["greeting"], "rewritten");
    assert!(stage.get("configmap/forgotten").is_err(), "what the new history doesn't have is gone");
}

#[test]
fn a_source_that_cannot_work_says_why_and_what_to_do() {
    let stage = Stage::new("git-bad");
    let (server, url) = serve(&stage, Access::basic("fleet", PASSWORD));
    let (other, _) = serve(&stage, Access::Open);
    stage.commit(&[("app/config.yaml", CONFIG)]);
    stage.credentials("auth", &server, &format!("username: fleet\npassword: {PASSWORD}\n"));
    stage.credentials("wrong", &server, "username: fleet\npassword: mistaken\n");
    stage.credentials("half", &server, "username: fleet\n");
    stage.credentials("both", &server, "username: fleet\npassword: x\nbearerToken: x\n");
    stage.credentials("ca", &server, "");
    stage.credentials("foreign-ca", &other, "username: fleet\npassword: mistaken\n");
    stage.repo.git(&["branch", "other"]).unwrap();
    let missing = "0123456789012345678901234567890123456789";
    let (nothing, unreachable) = (server.url("nothing"), "https://127.0.0.1:1/x.git");
    let table = [
        ("wrong password", "AuthenticationFailed", format!("{{url: '{url}', secretRef: {{name: wrong}}}}")),
        ("no password", "AuthenticationFailed", format!("{{url: '{url}', secretRef: {{name: ca}}}}")),
        ("half a login", "AuthenticationFailed", format!("{{url: '{url}', secretRef: {{name: half}}}}")),
        ("two logins", "AuthenticationFailed", format!("{{url: '{url}', secretRef: {{name: both}}}}")),
        ("no such Secret", "AuthenticationFailed", format!("{{url: '{url}', secretRef: {{name: nothing}}}}")),
        ("no keys", "AuthenticationFailed", format!("{{url: '{url}', secretRef: {{name: sops-age}}}}")),
        ("another authority", "FetchFailed", format!("{{url: '{url}', secretRef: {{name: foreign-ca}}}}")),
        ("an unknown authority", "FetchFailed", format!("{{url: '{url}'}}")),
        ("no such repository", "FetchFailed", format!("{{url: '{nothing}', secretRef: {{name: auth}}}}")),
        ("nobody there", "FetchFailed", format!("{{url: '{unreachable}'}}")),
        (
            "no such branch",
            "RevisionNotFound",
            format!("{{url: '{url}', secretRef: {{name: auth}}, ref: {{branch: x}}}}"),
        ),
        ("no such tag", "RevisionNotFound", format!("{{url: '{url}', secretRef: {{name: auth}}, ref: {{tag: x}}}}")),
        (
            "no such commit",
            "RevisionNotFound",
            format!("{{url: '{url}', secretRef: {{name: auth}}, ref: {{commit: '{missing}'}}}}"),
        ),
        ("not encrypted", "UrlNotAllowed", "{url: 'http://127.0.0.1/x.git'}".to_owned()),
    ];
    let name = |title: &str| title.replace(' ', "-").to_lowercase();
    table.iter().for_each(|(title, _, spec)| stage.git_source(&name(title), spec));
    let mut told = String::new();
    for (title, reason, _) in &table {
        let source = stage.source_says(&name(title), "False", "hint: ");
        let ready = condition(&source, "Ready");
        assert_eq!(ready["reason"], *reason, "{title}: {ready}");
        told.push_str(&format!("# {title}\n{reason}: {}\n\n", ready["message"].as_str().unwrap()));
    }
    insta::assert_snapshot!(
        told.replace(&url, "URL").replace(&nothing, "NOTHING").replace(&stage.namespace, "NAMESPACE")
    );
}
