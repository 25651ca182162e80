//! The audit log: one line for each object that was applied with secret values, with where each of them came from.
//!
//! A contract with whoever reads it, described in docs/metrics.md: fields are added, but none changes its meaning. There is no
//! value in it, and none at hand: a record is made of places and names. `runtime` writes it as one JSON object a line, whatever
//! the form and level of the log.

use jiff::Timestamp;
use serde::Serialize;
use waxwing_plan::ObjectId;

use super::job::Job;
use crate::cluster::{Landed, Provenance, Request};

/// The tracing target of the audit log. Its events have one field, `record`: the line.
pub const TARGET: &str = "waxwing::audit";

/// The message of every line.
const MESSAGE: &str = "applied an object with secret values";

/// One line.
#[derive(Serialize)]
struct Record<'a> {
    timestamp: String,
    level: &'static str,
    target: &'static str,
    message: &'static str,
    sync: String,
    service_account: String,
    object: String,
    uid: &'a str,
    result: &'static str,
    revision: &'a str,
    values: Vec<Value<'a>>,
}

/// One secret value of the object.
#[derive(Serialize)]
struct Value<'a> {
    /// Where it stands in the object.
    key: &'a str,
    /// Where it came from; several where a string was put together from several.
    from: Vec<Source<'a>>,
}

/// One sealed value in Git.
#[derive(Serialize)]
struct Source<'a> {
    file: &'a str,
    document: usize,
    key_path: &'a str,
    scheme: &'a str,
    /// Whose key opened it, or who gave it; empty where it was not sealed.
    recipient: &'a str,
    /// The reference that it was asked for by; empty where it stands in Git.
    reference: &'a str,
    /// The version of the secret in its store; empty where there is none.
    version: &'a str,
}

/// Records an object that was applied, if it has secret values.
pub(super) fn record(job: &Job<'_>, revision: &str, request: &Request, landed: &Landed) {
    if request.provenance().next().is_none() {
        return;
    }
    let who = (format!("{}/{}", job.id.mark.namespace, job.id.mark.name), job.account.to_string());
    let line = line(who, revision, &request.id, landed, request.provenance(), Timestamp::now());
    tracing::info!(target: TARGET, record = line);
}

fn line<'a>(
    (sync, service_account): (String, String),
    revision: &str,
    object: &ObjectId,
    landed: &Landed,
    values: impl Iterator<Item = (&'a str, &'a [Provenance])>,
    now: Timestamp,
) -> String {
    let record = Record {
        timestamp: now.to_string(),
        level: "INFO",
        target: TARGET,
        message: MESSAGE,
        sync,
        service_account,
        object: object.to_string(),
        uid: &landed.mark.uid,
        result: landed.verb.as_str(),
        revision,
        values: values.map(|(key, from)| Value { key, from: from.iter().map(source).collect() }).collect(),
    };
    // Nothing in it can fail to be written: there are strings and numbers only.
    serde_json::to_string(&record).unwrap_or_default()
}

fn source(provenance: &Provenance) -> Source<'_> {
    let Provenance { mark, recipient, stored } = provenance;
    let stored = stored.as_ref();
    Source {
        file: &mark.file,
        document: mark.document,
        key_path: &mark.key_path,
        scheme: &mark.scheme,
        recipient,
        reference: stored.map(|stored| stored.reference.as_str()).unwrap_or_default(),
        version: stored.map(|stored| stored.version.as_str()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waxwing_plan::{GroupKind, LiveMark, SecretMark};

    use super::*;
    use crate::cluster::Verb;

    const LINE: &str = concat!(
        r#"{"timestamp":"2026-01-02T03:04:05Z","level":"INFO","target":"waxwing::audit","#,
        r#""message":"applied an object with secret values","sync":"shop/app","service_account":"shop/deployer","#,
        r#""object":"Secret/shop/database","uid":"7f1c","result":"configured","revision":"main@sha1:a60a8c89","#,
        r#""values":[{"key":"/data/password","from":[{"file":"app/database.yaml","document":0,"#,
        r#""key_path":"/data/password","scheme":"sops","recipient":"age age1j3rx7","reference":"","version":""}]}]}"#
    );

    #[test]
    fn a_line_says_who_what_from_where_and_by_whose_key() {
        let metadata = json!({"metadata": {"uid": "7f1c", "resourceVersion": "1"}});
        let mark = LiveMark::from_metadata(&metadata).unwrap();
        let object = ObjectId::namespaced(GroupKind::new("", "Secret"), "shop", "database");
        let landed = Landed { id: object.clone(), verb: Verb::Configured, mark, adopted: false };
        let text = |text: &str| text.to_owned();
        let mark = SecretMark {
            file: text("app/database.yaml"),
            document: 0,
            key_path: text("/data/password"),
            scheme: text("sops"),
        };
        let from = [Provenance { mark, recipient: text("age age1j3rx7"), stored: None }];
        let values = [("/data/password", from.as_slice())].into_iter();
        let who = (text("shop/app"), text("shop/deployer"));
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(line(who, "main@sha1:a60a8c89", &object, &landed, values, now), LINE);
    }
}
