//! Secrets of every shape, made up by a generator: kubeseal and ours seal them alike, and either opens what the other sealed.
//!
//! `WAXWING_ORACLE_FACTOR=8 cargo test -p seal --test kubeseal_corpus` tries eight times as many, `WAXWING_ORACLE_SEED=2` others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use support::kubeseal::masked;
use support::{Folder, Ran, run};
use waxwing_harness::Upstream;

/// How many Secrets a call gets.
const BATCH: usize = 16;

/// Texts that need quotes, blocks, folds or escapes in YAML or JSON.
const TEXTS: &[&str] = &[
    "",
    "plain",
    "yes",
    "N",
    "null",
    "~",
    "1234",
    "0x1f",
    "010",
    "1e3",
    "1_000",
    "0o7",
    "1:20",
    "2001-01-01",
    "2001-01-01T00:00:00Z",
    ".5",
    ".inf",
    "-1",
    "+1",
    "=",
    "<<",
    "- a",
    "-a",
    "a: b",
    "a:",
    ":a",
    "a #b",
    "#a",
    "'x'",
    "\"x\"",
    "@x",
    "%x",
    "&x",
    "*x",
    "!x",
    "|",
    ">",
    "{x}",
    "[x]",
    "? x",
    "?x",
    "`x",
    "---",
    "...",
    " lead",
    "trail ",
    "a\tb",
    "a\nb",
    "a\n",
    "\na",
    "a\n\n",
    "  a\nb",
    "a \nb",
    "a\n b",
    "a\tb\nc",
    "a\r\nb",
    "\u{1}",
    "é",
    "😀",
    "\u{feff}x",
    "a\u{feff}",
    "\u{a0}",
    "\u{2028}x",
    "a\u{2029}",
    "<a href=\"x\">&</a>",
    "\\",
    "\u{7}\u{8}\u{b}\u{c}\u{1b}",
    "words that are many enough to be longer than the eighty columns at which lines are folded, and then some more of them",
    "words: that need quotes and are longer than the eighty columns at which lines are folded, isn't it, and  two spaces too",
    "words\twith a tab that are longer than the eighty columns at which lines are folded, and  two spaces  in places, \"too\"",
    "one-very-long-word-without-any-space-that-is-longer-than-the-eighty-columns-at-which-lines-are-folded-somewhere end",
    "a long line in a block of several lines that is longer than the eighty columns at which other lines are folded\nsecond\n",
    "words that fill just about eighty columns, so that the last one of them will be: last",
    "                                                                                      spaces",
];

/// Keys as labels and annotations have them.
const KEYS: &[&str] = &[
    "a",
    "a2",
    "a10",
    "A",
    "b.c",
    "b-c",
    "b_c",
    "0",
    "00",
    "010",
    "y",
    "true",
    "null",
    "example.com/name",
    "example.com/n2",
    "é",
    "x y",
    "=",
    "-",
];

/// Random numbers that are the same in every run (a linear congruential generator, Knuth's MMIX constants).
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn texts(&mut self, most: usize) -> Map<String, Value> {
        (0..self.below(most + 1)).map(|_| (self.one(KEYS).to_owned(), self.one(TEXTS).into())).collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        (0..self.below(40)).map(|_| u8::try_from(self.below(256)).unwrap()).collect()
    }
}

/// Makes up a Secret that is to be sealed with this scope.
fn secret(dice: &mut Dice, number: usize, scope: &str) -> Value {
    let mut metadata = json!({ "name": format!("{}{number}", dice.one(&["db", "a.b-", "0", "true-"])) });
    let mut annotations = dice.texts(4);
    for (scope, one_of) in [("namespace-wide", 5), ("cluster-wide", 5)] {
        if dice.below(one_of) == 0 {
            annotations.insert(
                format!("sealedsecrets.bitnami.com/{scope}"),
                dice.one(&["true", "true", "false", "True"]).into(),
            );
        }
    }
    if dice.below(4) == 0 {
        annotations.insert("kubectl.kubernetes.io/last-applied-configuration".to_owned(), "hunter2".into());
    }
    let wide = annotations.get("sealedsecrets.bitnami.com/cluster-wide") == Some(&"true".into());
    let optional = [
        (!wide || scope != "strict" || dice.below(2) == 0, "namespace", dice.one(&["shop", "1", "null"]).into()),
        (dice.below(3) > 0, "annotations", annotations.clone().into()),
        (dice.below(2) == 0, "labels", dice.texts(4).into()),
        (dice.below(6) == 0, "finalizers", json!([dice.one(TEXTS), "example.com/a"])),
        (dice.below(6) == 0, "generateName", dice.one(TEXTS).into()),
        (dice.below(6) == 0, "creationTimestamp", json!("2024-02-03T04:05:06Z")),
        (dice.below(6) == 0, "resourceVersion", json!("1")),
        (dice.below(6) == 0, "unknown", json!({"a": []})),
        (dice.below(6) == 0, "ownerReferences", json!([{"apiVersion": "v1", "kind": "A", "name": "a", "uid": "1"}])),
        (
            dice.below(6) == 0,
            "managedFields",
            json!([{"manager": dice.one(TEXTS), "operation": "Update", "time": "2024-02-03T04:05:06Z",
            "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {".": {}, "f:a": {}}}}]),
        ),
    ];
    for (is_there, field, value) in optional {
        if is_there {
            metadata[field] = value;
        }
    }
    // Without its annotation it is not cluster-wide any more.
    if metadata.get("namespace").is_none() && metadata.get("annotations").is_none() {
        metadata["namespace"] = "shop".into();
    }
    let mut secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata });
    let keys = ["a", "b", "tls.crt", "tls.key", "_x", "-", "A1"];
    let data: Map<String, Value> =
        (0..dice.below(4)).map(|_| (dice.one(&keys).to_owned(), STANDARD.encode(dice.bytes()).into())).collect();
    let string_data: Map<String, Value> =
        (0..dice.below(4)).map(|_| (dice.one(&keys).to_owned(), dice.one(TEXTS).into())).collect();
    let optional = [
        (dice.below(5) > 0, "data", data.into()),
        (dice.below(3) == 0, "stringData", string_data.into()),
        (dice.below(3) > 0, "type", dice.one(&["Opaque", "kubernetes.io/tls", "", "1", "a: b"]).into()),
        (dice.below(4) == 0, "immutable", json!(dice.below(2) == 0)),
    ];
    for (is_there, field, value) in optional {
        if is_there {
            secret[field] = value;
        }
    }
    secret
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Seals a stream with both, and returns what they print.
fn sealed(upstream: &Upstream, folder: &Folder, words: &[&str], stream: &str) -> [String; 2] {
    let theirs = upstream.kubeseal(words).unwrap().dir(folder.path()).stdin(stream).text().unwrap();
    let ours = run(folder.call(&[&["kubeseal"], words].concat()).stdin(stream));
    assert_eq!((ours.code, ours.stderr.as_str()), (Some(0), ""), "{stream}");
    [theirs, ours.stdout]
}

#[test]
fn secrets_of_every_shape_are_sealed_and_opened_as_by_kubeseal() {
    let (upstream, folder) = (Upstream::new().unwrap(), Folder::new());
    let mut dice = Dice(u64::try_from(number("WAXWING_ORACLE_SEED").unwrap_or(1)).unwrap());
    // With nothing to compare the test would show nothing.
    let batches = 16 * number("WAXWING_ORACLE_FACTOR").unwrap_or(1).max(1);
    for batch in 0..batches {
        let scope = dice.one(&["strict", "strict", "namespace-wide"]);
        let secrets: Vec<Value> = (0..BATCH).map(|number| secret(&mut dice, batch * BATCH + number, scope)).collect();
        let (form, separator) = if batch % 2 == 0 { ("json", "\n") } else { ("yaml", "\n---\n") };
        let stream: Vec<_> = secrets.iter().map(|secret| serde_json::to_string_pretty(secret).unwrap()).collect();
        // What begins with a comment is YAML for both.
        let stream = format!(
            "{}{}\n",
            if batch % 4 < 2 { "" } else { "# YAML\n" },
            stream.join(if batch % 4 < 2 { "\n" } else { "\n---\n" })
        );
        let words = ["--cert", "cluster.pem", "--allow-empty-data", "-o", form, "--scope", scope];
        let [theirs, ours] = sealed(&upstream, &folder, &words, &stream);
        pretty_equal(&masked(theirs.as_bytes()), &masked(ours.as_bytes()));
        opens(&upstream, &folder, &theirs, &ours, form, separator);
    }
}

/// Opens what kubeseal sealed with ours, and what we sealed with kubeseal, and compares what is printed.
fn opens(upstream: &Upstream, folder: &Folder, theirs: &str, ours: &str, form: &str, separator: &str) {
    let words = ["--recovery-unseal", "--recovery-private-key", "cluster.key", "-o", form];
    let Ran { code, stdout, stderr } = run(folder.call(&[&["kubeseal"], words.as_slice()].concat()).stdin(theirs));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let documents = ours.split_inclusive(if form == "json" { "\n}\n" } else { separator });
    let mut opened = String::new();
    for document in documents.filter(|document| document.trim() != "---") {
        opened += &upstream.kubeseal(&words).unwrap().dir(folder.path()).stdin(document).text().unwrap();
    }
    pretty_equal(&opened, &stdout);
}

/// Compares texts, and shows the first lines that differ.
fn pretty_equal(theirs: &str, ours: &str) {
    for (number, (one, two)) in theirs.lines().zip(ours.lines()).enumerate() {
        assert_eq!(one, two, "line {number}");
    }
    assert_eq!(theirs, ours);
}
