//! What bad input gets: a reason, a message that says what to do, and a cluster that stands as it stood.
//!
//! The table is in `rows`; each row lives in a namespace of its own and all go through the same three commits at once: a
//! good one, the bad one, and the next good one. The snapshot has every text that a user gets.

mod rows;
mod world;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde_json::Value;
use waxwing_harness::eventually;

use crate::stage::{PATIENCE, Stage, cluster, condition};
use rows::Row;
use world::World;

/// The names of the Secrets of a row that may hold a value or a key.
pub(crate) const SECRETS: [&str; 3] = ["database", "fault", "sops-age"];

#[test]
fn bad_input_is_refused_in_words_and_the_next_good_commit_goes_through() {
    let told = told();
    assert!(told.problems.is_empty(), "{}", told.problems.join("\n"));
    insta::assert_snapshot!(told.words);
}

/// What the table came to.
pub(crate) struct Told {
    /// What all rows told a user, without what differs from run to run.
    words: String,
    /// In which ways that is not what was expected.
    problems: Vec<String>,
    /// The namespaces of the rows, each of which had a secret value at hand.
    pub(crate) namespaces: Vec<String>,
    /// What nothing and nobody may tell, each with its name.
    pub(crate) hidden: Vec<(&'static str, String)>,
}

/// Takes the table through its commits, once in this test binary, and returns what it came to. The controller is the
/// watched one, so that the leak canary can read what was left behind.
pub(crate) fn told() -> &'static Told {
    static TOLD: OnceLock<Told> = OnceLock::new();
    TOLD.get_or_init(run)
}

fn run() -> Told {
    let world = World::new();
    let rows = rows::all(&world);
    world.settle(rows.iter());

    let good = world.commit(&rows, |_| Some(world::good_files(&world)));
    assert_applied(&rows, &good);

    rows.iter().filter_map(Row::missing).for_each(|object| world.delete(&object));
    let bad = world.commit(&rows, |row| row.bad.files(&world));
    let refusals = refusals(&rows, &bad);
    assert_nothing_changed(&rows);

    world.settle(rows.iter().filter(|row| row.missing().is_some()));
    let better = world.commit(&rows, |_| Some(world::better_files(&world)));
    assert_applied(&rows, &better);
    assert_better(&rows);

    let told = rows.iter().map(|row| format!("# {}\n{}\n\n", row.name, refusals[&row.namespace()]));
    Told {
        words: world.masked(told.collect()),
        problems: rows.iter().flat_map(|row| row.problems(&refusals[&row.namespace()])).collect(),
        namespaces: rows.iter().map(Row::namespace).collect(),
        hidden: vec![
            ("a value of the table", world::SECRET.to_owned()),
            ("the table's age identity", world.identity()),
        ],
    }
}

/// What a user reads of a refusal.
pub(super) struct Refusal {
    reason: String,
    message: String,
    failures: Vec<String>,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n- {failure}"))
    }
}

impl Row {
    /// Says in which way a refusal is not what the row expects.
    fn problems(&self, refusal: &Refusal) -> Vec<String> {
        let told = refusal.to_string();
        let mut problems = Vec::new();
        if refusal.reason != self.reason {
            problems.push(format!("{}: {} was expected: {told}", self.name, self.reason));
        }
        for wanted in self.says.iter().copied().chain(["hint: "]).filter(|wanted| !told.contains(wanted)) {
            problems.push(format!("{}: {wanted:?} is missing: {told}", self.name));
        }
        for unwanted in self.never.iter().copied().chain([world::SECRET]).filter(|text| told.contains(text)) {
            problems.push(format!("{}: {unwanted:?} has no place here: {told}", self.name));
        }
        problems
    }
}

/// Waits until every row's Sync is Ready at `commit`.
fn assert_applied(rows: &[Row], commit: &str) {
    let wanted = format!("Applied main@sha1:{commit}");
    wait(rows, "applied", |sync| {
        let ready = condition(sync, "Ready");
        ready["status"] == "True" && ready["message"] == wanted.as_str()
    });
}

/// Waits until every row's Sync has refused `commit`, and returns the refusals by namespace.
fn refusals(rows: &[Row], commit: &str) -> BTreeMap<String, Refusal> {
    let tried = format!("main@sha1:{commit}");
    let syncs = wait(rows, "refused", |sync| {
        condition(sync, "Ready")["status"] == "False" && sync["status"]["lastAttemptedRevision"] == tried.as_str()
    });
    syncs.into_iter().map(|(namespace, sync)| (namespace, refusal(&sync))).collect()
}

/// Waits until the Sync of every row, one after the other, is as it should be, and returns the Syncs by namespace.
fn wait(rows: &[Row], what: &str, is_so: impl Fn(&Value) -> bool) -> BTreeMap<String, Value> {
    let wait_for = |row: &Row| {
        let attempt = || {
            let sync = world::sync(row).map_err(|failure| failure.to_string())?;
            if is_so(&sync) { Ok(sync) } else { Err(condition(&sync, "Ready").to_string()) }
        };
        (row.namespace(), eventually(PATIENCE, &format!("{} is {what}", row.name), attempt).unwrap())
    };
    rows.iter().map(wait_for).collect()
}

fn refusal(sync: &Value) -> Refusal {
    let ready = condition(sync, "Ready");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let failures = sync["status"]["failures"].as_array().cloned().unwrap_or_default();
    let failure = |failure: &Value| {
        format!("{} {}: {}", text(&failure["reason"]), text(&failure["object"]), text(&failure["message"]))
    };
    // The first one is the message of Ready.
    let others = failures.iter().skip(1).map(failure).collect();
    Refusal { reason: text(&ready["reason"]), message: text(&ready["message"]), failures: others }
}

/// Nothing was applied, nothing was pruned, and the old values stand.
fn assert_nothing_changed(rows: &[Row]) {
    let objects = world::objects();
    for row in rows {
        let object = |name: &str| objects.get(&(row.namespace(), name.to_owned()));
        let (name, settings) = (row.name, object("ConfigMap/settings"));
        assert_eq!(settings.map(|found| &found["data"]["greeting"]), Some(&"good".into()), "{name}: settings");
        assert_eq!(world::secret(object("Secret/database")), world::SECRET, "{name}: the old secret value");
        assert!(object("ConfigMap/leaving").is_some(), "{name}: something was pruned");
        assert!(object("ConfigMap/arriving").is_none(), "{name}: something was applied");
    }
}

/// The good commit after the bad one arrived as a whole.
fn assert_better(rows: &[Row]) {
    let objects = world::objects();
    for row in rows {
        let object = |name: &str| objects.get(&(row.namespace(), name.to_owned()));
        let (name, settings) = (row.name, object("ConfigMap/settings"));
        assert_eq!(settings.map(|found| &found["data"]["greeting"]), Some(&"better".into()), "{name}: settings");
        assert_eq!(world::secret(object("Secret/database")), world::SECRET, "{name}: the secret value");
        assert!(object("ConfigMap/leaving").is_none(), "{name}: what left Git was not pruned");
        assert!(object("ConfigMap/arriving").is_some(), "{name}: what is new was not applied");
    }
}

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {greeting: good}\n";

#[test]
fn a_file_of_100_megabytes_is_refused_where_it_is_used() {
    let stage = Stage::new("bad-large-file");
    let good = stage.commit(&[("app/config.yaml", CONFIG)]);
    stage.sync("./app", "");
    stage.applied(&good);
    stage.repo.write("app/large.yaml", vec![b'#'; 100 << 20]).unwrap();
    stage.commit(&[("app/config.yaml", &CONFIG.replace("good", "bad"))]);
    let refused = stage.ready("False", |_| true);
    assert_eq!(condition(&refused, "Ready")["reason"], "InputTooLarge");
    let message = condition(&refused, "Ready")["message"].as_str().unwrap().to_owned();
    insta::assert_snapshot!(message, @"failed to read from the repository: app/large.yaml has 104857600 bytes, the limit is 16777216; hint: make the file smaller, or remove it from the repository");
    assert_eq!(stage.get("configmap/settings").unwrap()["data"]["greeting"], "good");
    stage.repo.remove("app/large.yaml").unwrap();
    stage.applied(&stage.commit(&[("app/config.yaml", &CONFIG.replace("good", "better"))]));
    assert_eq!(stage.get("configmap/settings").unwrap()["data"]["greeting"], "better");
}

#[test]
fn a_path_that_leaves_the_repository_is_not_even_stored() {
    let stage = Stage::new("bad-path");
    stage.commit(&[("app/config.yaml", CONFIG)]);
    for path in ["../../", "/etc", "./app/../../x"] {
        let sync = format!(
            "apiVersion: waxwing.dev/v1alpha1\nkind: Sync\nmetadata: {{name: app, namespace: {}}}\nspec: {{sourceRef: {{name: fleet}}, path: '{path}'}}\n",
            stage.namespace
        );
        let refusal = format!("{:?}", cluster().apply_yaml(&sync).unwrap_err());
        assert!(refusal.contains("the path is relative to the repository and may not leave it"), "{path}: {refusal}");
    }
}
