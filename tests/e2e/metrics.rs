//! Proves that `/metrics` serves what docs/metrics.md says, with the truth about a Sync in it, and that the audit log has the
//! fields that the page lists. That neither holds a secret is the leak canary's business.

mod page;

use std::collections::BTreeSet;

use page::{Metrics, documented};
use serde_json::Value;
use waxwing_harness::eventually;

use crate::act::config_map;
use crate::stage::{PATIENCE, Stage, certificate, controller};

#[test]
fn what_is_served_is_what_the_page_says() {
    let stage = Stage::new("metrics");
    let first = stage.commit(&[
        ("app/settings.yaml", &config_map("settings", "one")),
        ("app/database.yaml", &stage.sops("x.yaml", &secret("database"), &["--encrypted-regex", "^stringData$"])),
        ("app/token.yaml", &sealed(&stage, "token")),
    ]);
    stage.sync("./app", "");
    stage.applied(&first);
    // A commit that comes while the Sync is there is what the time to healthy is about.
    stage.repo.remove("app/token.yaml").unwrap();
    let second = stage.commit(&[("app/settings.yaml", &config_map("settings", "two"))]);
    stage.applied(&second);

    // They are counted once the status stands.
    tells(&stage, "objects", &["2"]);
    assert_eq!(told(&stage, "ready"), ["1"]);
    assert_eq!(told(&stage, "suspended"), ["0"]);
    assert_eq!(told(&stage, "interval_seconds"), ["3600.0"]);
    assert!(text().contains(&format!(
        "waxwing_sync_info{{namespace=\"{}\",name=\"app\",status=\"True\",reason=\"Applied\",source=\"fleet\"}} 1\n",
        stage.namespace
    )));
    let (mut served, page) = (without_help(&text()), documented());
    // A Sync without leases has no values of these; one that has some is in `backends/leases.rs`.
    for (name, (_, labels)) in served.iter_mut().filter(|(name, _)| name.contains("lease")) {
        assert!(labels.is_empty(), "{name}");
        labels.extend(page.get(name).into_iter().flat_map(|(_, labels)| labels.iter().cloned()));
    }
    assert_eq!(served, page);
    audit_log_is_as_documented(&stage, &first);

    stage.kubectl(&["delete", "sync/app"]).unwrap();
    tells(&stage, "ready", &[]);
}

#[test]
fn what_was_opened_for_a_revision_that_is_refused_is_in_the_audit_log_as_unconfirmed() {
    let stage = Stage::new("audit-refused");
    let sealed = stage.sops("x.yaml", &secret("database"), &["--encrypted-regex", "^stringData$"]);
    let settings =
        |value: &str| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {value}\n");
    let refused = stage.commit(&[("app/database.yaml", &sealed), ("app/settings.yaml", &settings("{a: [1]}"))]);
    stage.sync("./app", "");
    let told_of = |commit: &str, result: &str| {
        let is_so = || {
            let lines = audited(&stage);
            let found = lines.iter().find(|line| line["result"] == result).cloned();
            found.ok_or_else(|| format!("{lines:?}"))
        };
        let line = eventually(PATIENCE, &format!("a line that says {result}"), is_so).unwrap();
        assert_eq!(line["object"], format!("Secret/{}/database", stage.namespace));
        assert_eq!(line["revision"], format!("main@sha1:{commit}"));
        line
    };
    let line = told_of(&refused, "unconfirmed");
    assert_eq!((&line["message"], &line["uid"]), (&"opened an object with secret values".into(), &"".into()));
    assert_eq!(line["values"][0]["from"][0]["key_path"], "/stringData/password");
    assert!(audited(&stage).iter().all(|line| line["result"] == "unconfirmed"));
    let mended = stage.commit(&[("app/settings.yaml", &settings("{a: b}"))]);
    stage.applied(&mended);
    assert_eq!(told_of(&mended, "created")["message"], "applied an object with secret values");
}

/// Waits until the stage's Sync has these values of a metric.
fn tells(stage: &Stage, metric: &str, expected: &[&str]) {
    let is_so = || match told(stage, metric) {
        values if values == expected => Ok(()),
        values => Err(format!("they are {values:?}")),
    };
    eventually(PATIENCE, &format!("{metric} has the values {expected:?}"), is_so).unwrap();
}

fn secret(name: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{password: of-{name}}}\n")
}

fn sealed(stage: &Stage, name: &str) -> String {
    let certificate = certificate(stage);
    let arguments =
        ["--cert", certificate.to_str().unwrap(), "--format", "yaml", "--namespace", stage.namespace.as_str()];
    stage.upstream.kubeseal(&arguments).unwrap().stdin(secret(name)).text().unwrap()
}

/// Returns what is served now.
fn text() -> String {
    let (status, text) = controller().get("/metrics").unwrap();
    assert_eq!(status, 200, "{text}");
    assert!(text.ends_with("# EOF\n"));
    text
}

/// Returns the values of a metric of the stage's Sync.
fn told(stage: &Stage, metric: &str) -> Vec<String> {
    let start = format!("waxwing_sync_{metric}{{namespace=\"{}\",name=\"app\"}} ", stage.namespace);
    text().lines().filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
}

/// Reads OpenMetrics text: the names that dashboards use, with types and labels.
fn without_help(text: &str) -> Metrics {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let ending = |kind: &str| match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    };
    types
        .map(|(name, kind)| {
            let name = format!("{name}{}", ending(kind));
            let labels = labels(text, &name);
            (name, (kind.to_owned(), labels))
        })
        .collect()
}

/// Returns the labels that the samples of a metric have. Its name ends where a brace, a space or a part of a histogram begins.
fn labels(text: &str, name: &str) -> BTreeSet<String> {
    let rests = text.lines().filter_map(|line| line.strip_prefix(name));
    let rests =
        rests.map(|rest| ["_bucket", "_sum", "_count"].iter().find_map(|part| rest.strip_prefix(part)).unwrap_or(rest));
    let inside = rests.filter_map(|rest| rest.strip_prefix('{')?.split_once('}')).map(|(inside, _)| inside);
    let names = inside.flat_map(|inside| inside.split(',').filter_map(|label| label.split_once('=')));
    names.map(|(name, _)| name.to_owned()).filter(|name| name != "le").collect()
}

/// Returns the lines of the audit log about the stage's Sync.
fn audited(stage: &Stage) -> Vec<Value> {
    let sync = format!("{}/app", stage.namespace);
    let log = controller().log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["target"] == "waxwing::audit" && line["sync"] == sync).collect()
}

fn audit_log_is_as_documented(stage: &Stage, commit: &str) {
    let lines = audited(stage);
    let mut objects: Vec<&str> = lines.iter().map(|line| line["object"].as_str().unwrap()).collect();
    objects.sort_unstable();
    let secret = |name: &str| format!("Secret/{}/{name}", stage.namespace);
    assert_eq!(objects, [secret("database"), secret("token")], "one line for each object, and none without secrets");
    let database = lines.iter().find(|line| line["object"] == secret("database")).unwrap();
    assert_eq!(database["service_account"], format!("{}/deployer", stage.namespace));
    assert_eq!(database["revision"], format!("main@sha1:{commit}"));
    let from = &database["values"][0]["from"][0];
    assert_eq!(from["recipient"], format!("age {}", stage.age.recipient));
    assert_eq!((&from["file"], &from["scheme"]), (&"app/database.yaml".into(), &"sops".into()));
    let mut fields = BTreeSet::new();
    list_fields(database, "", &mut fields);
    assert_eq!(fields, documented_fields());
}

/// Lists fields in the words of the page: `values[].key`.
fn list_fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                found.insert(path.clone());
                list_fields(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| list_fields(item, &format!("{path}[]"), found)),
        _ => {}
    }
}

fn documented_fields() -> BTreeSet<String> {
    let page = page::text();
    let (_, table) = page.split_once("\n## The audit log").unwrap();
    let first_cells = table.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
    first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned)).collect()
}
