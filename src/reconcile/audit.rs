//! The audit log: one line for each object that was opened to be applied with secret values, or for which stores gave some, with where each
//! of them came from and what came of it.
//!
//! A contract with whoever reads it, described in docs/metrics.md: fields are added, but none changes its meaning. There is no
//! value in it, and none at hand: a record is made of places and names. `runtime` writes it as one JSON object a line, whatever
//! the form and level of the log.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use waxwing_plan::ObjectId;

use waxwing_formats::reference::Reference;

use super::job::Job;
use crate::cluster::{Landed, Provenance, Request, Requests};
use crate::render::PlacedReference;
use crate::unsealing::{Answered, provenance};

/// The tracing target of the audit log. Its events have one field, `record`: the line.
pub const TARGET: &str = "waxwing::audit";

/// Requests with opened values, each of which is recorded once: when it has been applied, or when all of them go and it was not. Not `Debug`.
pub(in crate::reconcile) struct Recorded {
    requests: Requests,
    who: Who,
    recorded: Mutex<HashSet<ObjectId>>,
}

/// Who applies, and what.
pub(in crate::reconcile) struct Who {
    sync: String,
    service_account: String,
    revision: String,
}

impl Who {
    /// Names a sync of this revision.
    pub(in crate::reconcile) fn new(job: &Job<'_>, revision: &str) -> Self {
        let sync = format!("{}/{}", job.id.mark.namespace, job.id.mark.name);
        Self { sync, service_account: job.account.to_string(), revision: revision.to_owned() }
    }

    /// Records what stores gave for an object that was not opened then, if they gave anything.
    pub(in crate::reconcile) fn did_not_open<'a>(
        &self,
        object: &ObjectId,
        references: &[PlacedReference],
        answered: impl Fn(&ObjectId, &Reference) -> Option<&'a Answered>,
    ) {
        let given = |PlacedReference { reference, mark, .. }: &PlacedReference| {
            Some([provenance(mark.clone(), reference, answered(object, reference)?)])
        };
        let values: Vec<[Provenance; 1]> = references.iter().filter_map(given).collect();
        if !values.is_empty() {
            let values = values.iter().map(|from| (from[0].mark.key_path.as_str(), from.as_slice()));
            self.write(object, &Outcome::Unopened, values);
        }
    }

    fn write<'a>(
        &self,
        object: &ObjectId,
        outcome: &Outcome<'_>,
        values: impl Iterator<Item = (&'a str, &'a [Provenance])>,
    ) {
        let line = line(self, object, outcome, values, Timestamp::now());
        tracing::info!(target: TARGET, record = line);
    }
}

/// What came of an object.
enum Outcome<'a> {
    /// It was applied.
    Landed(&'a Landed),
    /// Nothing says that it was applied.
    Unconfirmed,
    /// Its values were read, and it was not even opened.
    Unopened,
}

impl Recorded {
    /// Takes what was opened for a sync.
    pub(in crate::reconcile) fn new(job: &Job<'_>, revision: &str, requests: Requests) -> Self {
        Self { requests, who: Who::new(job, revision), recorded: Mutex::default() }
    }

    /// Returns what was opened.
    pub(in crate::reconcile) fn requests(&self) -> &Requests {
        &self.requests
    }

    /// Records an object that was applied, if it has secret values.
    pub(in crate::reconcile) fn landed(&self, request: &Request, landed: &Landed) {
        if has_values(request) {
            self.who.write(&request.id, &Outcome::Landed(landed), request.provenance());
            self.recorded.lock().unwrap_or_else(PoisonError::into_inner).insert(request.id.clone());
        }
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let recorded = std::mem::take(&mut *self.recorded.lock().unwrap_or_else(PoisonError::into_inner));
        let others = self.requests.iter().filter(|request| has_values(request) && !recorded.contains(&request.id));
        others.for_each(|request| self.who.write(&request.id, &Outcome::Unconfirmed, request.provenance()));
    }
}

fn has_values(request: &Request) -> bool {
    request.provenance().next().is_some()
}

/// One line.
#[derive(Serialize)]
struct Record<'a> {
    timestamp: String,
    level: &'static str,
    target: &'static str,
    message: &'static str,
    sync: &'a str,
    service_account: &'a str,
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

fn line<'a>(
    Who { sync, service_account, revision }: &Who,
    object: &ObjectId,
    outcome: &Outcome<'_>,
    values: impl Iterator<Item = (&'a str, &'a [Provenance])>,
    now: Timestamp,
) -> String {
    let (message, result, uid) = match outcome {
        Outcome::Landed(Landed { verb, mark, .. }) => {
            ("applied an object with secret values", verb.as_str(), mark.uid.as_str())
        }
        Outcome::Unconfirmed => ("opened an object with secret values", "unconfirmed", ""),
        Outcome::Unopened => ("read secret values for an object", "unopened", ""),
    };
    let record = Record {
        timestamp: now.to_string(),
        level: "INFO",
        target: TARGET,
        message,
        sync,
        service_account,
        object: object.to_string(),
        uid,
        result,
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
        let (sync, service_account) = (text("shop/app"), text("shop/deployer"));
        let who = Who { sync, service_account, revision: text("main@sha1:a60a8c89") };
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        assert_eq!(line(&who, &object, &Outcome::Landed(&landed), values.clone(), now), LINE);
        let unconfirmed =
            LINE.replace("applied an", "opened an").replace("7f1c", "").replace("configured", "unconfirmed");
        assert_eq!(line(&who, &object, &Outcome::Unconfirmed, values.clone(), now), unconfirmed);
        let unopened = unconfirmed
            .replace("opened an object with secret values", "read secret values for an object")
            .replace("unconfirmed", "unopened");
        assert_eq!(line(&who, &object, &Outcome::Unopened, values, now), unopened);
    }
}
