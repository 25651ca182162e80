//! What is sealed here: it opens again, keeps what it need not change, and nothing of the plaintext is left in it.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test reads fixtures and draws random numbers"
)]
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test may fail")]
mod support;

use std::fmt::Write;

use jiff::Timestamp;
use proptest::prelude::*;
use rand_core::OsRng;
use support::masked::masked;
use support::{Keys, cases, file};
use waxwing_formats::sops::{
    Document, Part, Plain, Recipient, Rule, RuleKind, SealError, Sealed, Store, Terms, Vectors, Verified, new_data_key,
    parts,
};
use waxwing_formats::{DataKey, Refusal, SecretBytes, Segment, WrappedKey};

/// A recipient of a test, whose key is known to the test alone.
fn recipient(name: &str) -> Recipient {
    let wrapped = WrappedKey::Age { recipient: name.to_owned(), enc: format!("wrapped for {name}\n") };
    Recipient::new(wrapped, Timestamp::UNIX_EPOCH)
}

fn terms(rule: Option<(RuleKind, &str)>) -> Terms {
    let rule = rule.map(|(kind, text)| Rule::new(kind, text).unwrap());
    Terms {
        groups: vec![vec![recipient("someone")]],
        shamir_threshold: 0,
        rule,
        mac_only_encrypted: false,
        version: None,
    }
}

fn seal(plain: Plain, key: &DataKey, terms: Terms) -> Result<Document<Sealed>, SealError> {
    plain.seal(key, terms, Vectors::default(), Timestamp::UNIX_EPOCH, &mut OsRng)
}

/// Seals a text under the usual terms.
fn sealed(text: &str, store: Store, key: &DataKey) -> String {
    let terms = Terms { rule: Some(Rule::usual()), ..terms(None) };
    seal(Plain::parse(text.as_bytes(), store).unwrap(), key, terms).unwrap().text(None).unwrap()
}

/// Opens a file of one recipient with the key that the test knows.
fn open(text: &str, store: Store, key: &DataKey) -> Document<Verified> {
    let mut unlock = Document::<Sealed>::parse(text.as_bytes(), store).unwrap().unlock();
    while let Some(request) = unlock.next() {
        unlock.answer(request.id, Ok(copy(key)));
    }
    unlock.finish().unwrap()
}

fn copy(key: &DataKey) -> DataKey {
    DataKey::new(SecretBytes::concat(&[key.expose_secret()]))
}

/// Seals an opened file again after a change to its text.
fn sealed_again(document: &Document<Verified>, key: &DataKey, text: &str) -> String {
    let plain = Plain::parse(text.as_bytes(), document.store()).unwrap();
    let sealed = plain.seal(key, document.terms(), document.vectors(), Timestamp::UNIX_EPOCH, &mut OsRng).unwrap();
    sealed.text(None).unwrap()
}

#[test]
fn what_was_opened_and_not_changed_is_sealed_with_the_tokens_that_it_had() {
    for case in cases("good") {
        let (path, bytes) = file(&case, "sealed");
        let document = Document::parse(&bytes, Store::from_path(&path)).unwrap();
        let (document, key) = Keys::named(&["one", "two"]).open_with_key(document).unwrap();
        let plain = document.plain();
        let again = plain.seal(&key, document.terms(), document.vectors(), Timestamp::UNIX_EPOCH, &mut OsRng);
        let again = again.unwrap().text(None).unwrap();
        let before = String::from_utf8(bytes).unwrap();
        let changed = again.split("ENC[").skip(1).filter(|token| !before.contains(token.split(']').next().unwrap()));
        // The code of the file, which stands in each of its documents.
        let codes: std::collections::BTreeSet<_> = changed.map(|token| token.split(']').next()).collect();
        assert_eq!(codes.len(), 1, "{}", case.display());
    }
}

#[test]
fn an_edit_changes_the_lines_that_were_edited_the_time_and_the_code() {
    let key = new_data_key(&mut OsRng).unwrap();
    let text = "# about\na: one\nb:\n    - two\n    - 3\nc: four\n";
    let before = sealed(text, Store::Yaml, &key);
    let document = open(&before, Store::Yaml, &key);
    let after = sealed_again(&document, &key, &text.replace("3", "5"));
    let changed: Vec<&str> =
        after.lines().zip(before.lines()).filter(|(new, old)| new != old).map(|(new, _)| new).collect();
    let kinds: Vec<String> = changed.iter().map(|line| masked(line)).collect();
    assert_eq!(kinds, ["    - ENC[int]", "    mac: ENC[str]"], "{after}");
    assert_eq!(open(&after, Store::Yaml, &key).whole().unwrap().expose_secret(), text.replace("3", "5").as_bytes());
}

#[test]
fn a_plain_number_that_would_be_read_as_another_one_is_written_so_that_it_is_not() {
    let key = new_data_key(&mut OsRng).unwrap();
    for (text, store) in [("a_unencrypted: -0.0\n", Store::Yaml), (r#"{"a_unencrypted": -0.0}"#, Store::Json)] {
        let sealed = sealed(text, store, &key);
        assert!(sealed.contains("-0.0"), "{sealed}");
        open(&sealed, store, &key);
    }
}

#[test]
fn equal_values_in_one_list_keep_their_own_tokens_and_do_not_become_equal() {
    let key = new_data_key(&mut OsRng).unwrap();
    let text = "l:\n    - same\n    - same\n    - other\nx: 1\n---\nl:\n    - same\n";
    let before = sealed(text, Store::Yaml, &key);
    let document = open(&before, Store::Yaml, &key);
    let after = sealed_again(&document, &key, &text.replace("x: 1", "x: 2"));
    let tokens = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with("    - ENC")).map(str::to_owned).collect()
    };
    assert_eq!(tokens(&after), tokens(&before));
    let distinct: std::collections::BTreeSet<_> = tokens(&after).into_iter().collect();
    assert_eq!(distinct.len(), 4, "{after}");
}

#[test]
fn a_last_document_of_comments_alone_is_kept() {
    let key = new_data_key(&mut OsRng).unwrap();
    let text = "a: 1\n---\n# only\n{}\n";
    for text in ["a: 1\n---\n# only\n", text] {
        let opened = open(&sealed(text, Store::Yaml, &key), Store::Yaml, &key).whole().unwrap();
        let opened = String::from_utf8_lossy(opened.expose_secret()).into_owned();
        assert!(opened.contains("# only"), "{opened}");
    }
}

#[test]
fn a_comment_below_the_last_item_of_a_list_is_kept_whatever_the_item_is() {
    let key = new_data_key(&mut OsRng).unwrap();
    for list in [
        "- one\n  # foot\n",
        "- a: 1\n    b: 2\n  # foot\n",
        "- a: 1\n\n  # foot\n",
        "- - one\n    - two\n  # foot\n",
        "- - a: [1]\n  # foot\n",
        "- a:\n      - b:\n          c: 1\n  # foot\n",
        "- {a: 1}\n  # foot\n",
        "- []\n  # foot\n",
    ] {
        for rest in ["", "z: 1\n", "---\nz: 1\n"] {
            let text = format!("list:\n  - zero\n  {list}{rest}");
            let whole = open(&sealed(&text, Store::Yaml, &key), Store::Yaml, &key).whole().unwrap();
            let opened = String::from_utf8_lossy(whole.expose_secret()).into_owned();
            assert!(opened.contains("# foot\n"), "{text}\n{opened}");
        }
    }
}

#[test]
fn a_comment_that_sops_would_leave_in_the_clear_or_lose_is_sealed_in_the_block_where_it_stands() {
    let key = new_data_key(&mut OsRng).unwrap();
    let rule = Some((RuleKind::EncryptedRegex, "^a$"));
    // The first two sops finds in the file, the others nowhere.
    for text in [
        "a:\n    - b: 1\n    # secret\n",
        "a:\n    -\n        - 1\n    # secret\n",
        "a: [ # secret\n  1]\nc: 2\n",
        "a: { # secret\n  b: 1}\nc: 2\n",
        "a:\n    - [ # secret\n      1]\n",
    ] {
        let plain = Plain::parse(text.as_bytes(), Store::Yaml).unwrap();
        let sealed = seal(plain, &key, terms(rule)).unwrap().text(None).unwrap();
        assert!(!sealed.contains("secret"), "{sealed}");
        let whole = open(&sealed, Store::Yaml, &key).whole().unwrap();
        assert!(String::from_utf8_lossy(whole.expose_secret()).contains("# secret"), "{text}\n{sealed}");
    }
}

#[test]
fn a_rule_about_comments_seals_what_a_reader_sees_below_one_where_sops_would_leave_it_in_the_clear() {
    let key = new_data_key(&mut OsRng).unwrap();
    // sops loses the first comment, and gives the second to the block around the list.
    for text in ["a: [ # mark\n  hunter2]\nc: 2\n", "a:\n    - {\n      # mark\n      b: hunter2}\nc: 2\n"] {
        let plain = Plain::parse(text.as_bytes(), Store::Yaml).unwrap();
        let rule = Some((RuleKind::EncryptedCommentRegex, "^ mark"));
        let sealed = seal(plain, &key, terms(rule)).unwrap().text(None).unwrap();
        assert!(!sealed.contains("hunter2") && sealed.contains("c: 2\n"), "{text}\n{sealed}");
    }
}

/// Tens of thousands of comments, in the shapes in which each has something to do with those before it. A reading or writing that took time by
/// the square of that would not end.
#[test]
fn tens_of_thousands_of_comments_are_read_and_written_whatever_their_shape() {
    let key = new_data_key(&mut OsRng).unwrap();
    let columns: String = (0..15_000).map(|number| format!("{}# c\n", " ".repeat(number % 40))).collect();
    let nest: String = (0..100).map(|depth| format!("{}a{depth}:\n", " ".repeat(depth))).collect();
    let inner = " ".repeat(100);
    let steps: String =
        (0..3_000).map(|number| format!("{}# c\n{inner}k{number}: 1\n", " ".repeat(number % 100))).collect();
    let brackets = format!("a: {}1{}", "[".repeat(100), "]".repeat(100));
    for text in [
        format!("a: 1\n{columns}b: 2\n"),
        format!("{nest}{steps}"),
        format!("a: [\n{}]\n", "  1, # c\n".repeat(15_000)),
        format!("a: {{\n{}}}\n", (0..15_000).map(|number| format!("  k{number}: 1, # c\n")).collect::<String>()),
        format!("{brackets}\n{}", "# c\n".repeat(30_000)),
        format!("a:\n{}", "- 1 # c\n\n# d\n".repeat(30_000)),
        format!("a: |\n{}", "  # text\n".repeat(50_000)),
        format!("{}b: 1\n", "# c\n\n".repeat(30_000)),
    ] {
        let plain = Plain::parse(text.as_bytes(), Store::Yaml).unwrap();
        let sealed =
            seal(plain, &key, terms(Some((RuleKind::EncryptedRegex, "^nothing$")))).unwrap().text(None).unwrap();
        let comments = |text: &str| text.matches("# c").count();
        assert_eq!(comments(&sealed), comments(&text), "{}", &text[..100]);
    }
}

/// An alias brings the comments of its anchor once more: a file of one MiB would become one of thirty.
#[test]
fn comments_that_aliases_bring_again_are_sealed_as_long_as_they_are_not_too_many() {
    let key = new_data_key(&mut OsRng).unwrap();
    let comments = format!("        # {}\n", "c".repeat(1020)).repeat(1024);
    for (aliases, is_sealed) in [(4, true), (30, false)] {
        let text =
            format!("a:\n    &anchor\n    b:\n{comments}        c: 1\nd:\n{}", "    - *anchor\n".repeat(aliases));
        let rule = Some((RuleKind::EncryptedRegex, "^nothing$"));
        let sealed = Plain::parse(text.as_bytes(), Store::Yaml)
            .map(|plain| seal(plain, &key, terms(rule)).unwrap().text(None).unwrap());
        match sealed {
            Ok(sealed) => assert!(is_sealed && sealed.matches("# ccc").count() == 1024 * (aliases + 1), "{aliases}"),
            Err(error) => assert!(!is_sealed && format!("{error:?}").contains("TooLarge"), "{aliases}: {error:?}"),
        }
    }
}

#[test]
fn two_files_with_the_same_text_have_no_token_in_common() {
    let key = new_data_key(&mut OsRng).unwrap();
    let [one, other] = [(); 2].map(|()| sealed("a: same\n", Store::Yaml, &key));
    assert_ne!(one.lines().next(), other.lines().next());
}

#[test]
fn each_rule_seals_what_it_says() {
    let text = "# top\na: 1\na_plain:\n    b: 2\n    # mark\n    c: 3\nlist:\n    # mark\n    - 4\n    - 5\n";
    let key = new_data_key(&mut OsRng).unwrap();
    let mut report = String::new();
    let rules = [
        None,
        Some((RuleKind::UnencryptedSuffix, "_plain")),
        Some((RuleKind::EncryptedSuffix, "_plain")),
        Some((RuleKind::UnencryptedRegex, "^[bc]$")),
        Some((RuleKind::EncryptedRegex, "^[bc]$")),
        Some((RuleKind::UnencryptedCommentRegex, "^ mark")),
        Some((RuleKind::EncryptedCommentRegex, "^ mark")),
    ];
    for rule in rules {
        for mac_only_encrypted in [false, true] {
            let plain = Plain::parse(text.as_bytes(), Store::Yaml).unwrap();
            let sealed = seal(plain, &key, Terms { mac_only_encrypted, ..terms(rule) }).unwrap().text(None).unwrap();
            let opened = open(&sealed, Store::Yaml, &key);
            assert_eq!(opened.whole().unwrap().expose_secret(), text.as_bytes(), "{rule:?}");
            if !mac_only_encrypted {
                let values = masked(&sealed);
                writeln!(report, "== {rule:?}\n{}", values.split("sops:").next().unwrap()).unwrap();
            }
        }
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_share_of_each_of_enough_groups_opens_the_file_and_fewer_do_not() {
    let key = new_data_key(&mut OsRng).unwrap();
    let shares = parts(&key, 3, 2, &mut OsRng).unwrap();
    let groups = ["a", "b", "c"].map(|name| vec![recipient(name)]).to_vec();
    let plain = Plain::parse(b"k: v\n", Store::Yaml).unwrap();
    let sealed = seal(plain, &key, Terms { groups, shamir_threshold: 2, ..terms(None) }).unwrap();
    let text = sealed.text(None).unwrap();
    assert!(text.contains("    shamir_threshold: 2\n"), "{text}");
    for held in [&[0, 1][..], &[0, 2], &[1, 2], &[0, 1, 2], &[0], &[1], &[2], &[]] {
        let mut unlock = Document::<Sealed>::parse(text.as_bytes(), Store::Yaml).unwrap().unlock();
        while let Some(request) = unlock.next() {
            let share = held.contains(&request.id.0).then(|| copy(&shares[request.id.0]));
            unlock.answer(request.id, share.ok_or_else(|| Refusal("not held".to_owned())));
        }
        assert_eq!(unlock.finish().is_ok(), held.len() >= 2, "{held:?}");
    }
}

#[test]
fn recipients_change_without_a_change_to_anything_else() {
    let key = new_data_key(&mut OsRng).unwrap();
    for (text, store) in [
        ("a: one\n", Store::Yaml),
        (r#"{"a": "one"}"#, Store::Json),
        ("A=one\n", Store::Dotenv),
        ("[a]\nb = one\n", Store::Ini),
    ] {
        let before = sealed(text, store, &key);
        let document = Document::<Sealed>::parse(before.as_bytes(), store).unwrap();
        let others = || vec![vec![recipient("another")]];
        let with_a_wrong_key = document.clone().with_recipients(&new_data_key(&mut OsRng).unwrap(), others(), 0);
        assert!(matches!(with_a_wrong_key, Err(SealError::Unopened(_))));
        let after = document.with_recipients(&key, others(), 0).unwrap().text(None).unwrap();
        assert_eq!(after, before.replace("someone", "another"));
        let whole = open(&after, store, &key).whole().unwrap();
        assert_eq!(whole.expose_secret(), open(&before, store, &key).whole().unwrap().expose_secret());
    }
}

#[test]
fn what_can_not_be_sealed_is_refused_without_quoting_it() {
    let key = new_data_key(&mut OsRng).unwrap();
    let short = DataKey::new(SecretBytes::new(vec![7; 31]));
    let usual = || terms(None);
    let secret = "hunter2";
    let rows: Vec<(&str, &str, Store, &DataKey, Terms)> = vec![
        ("sealed YAML", "a: hunter2\nsops: {mac: x}\n", Store::Yaml, &key, usual()),
        ("a key sops in YAML", "a: hunter2\nsops: hunter2\n", Store::Yaml, &key, usual()),
        ("sealed JSON", r#"{"a": "hunter2", "sops": {}}"#, Store::Json, &key, usual()),
        ("sealed dotenv", "A=hunter2\nsops_mac=x\n", Store::Dotenv, &key, usual()),
        ("sealed INI", "[a]\nb = hunter2\n[sops]\nmac = x\n", Store::Ini, &key, usual()),
        ("a later document that is sealed", "a: hunter2\n---\nsops: {mac: x}\n", Store::Yaml, &key, usual()),
        ("nothing", "", Store::Yaml, &key, usual()),
        ("comments alone", "# hunter2\n", Store::Yaml, &key, usual()),
        ("a list", "- hunter2\n", Store::Yaml, &key, usual()),
        ("a text", "hunter2\n", Store::Yaml, &key, usual()),
        ("a key twice", "a: hunter2\na: hunter2\n", Store::Yaml, &key, usual()),
        ("a key that is no text", "1: hunter2\n", Store::Yaml, &key, usual()),
        ("a merge key over no mapping", "<<: hunter2\n", Store::Yaml, &key, usual()),
        ("a merge key over a list of texts", "<<: [hunter2]\n", Store::Yaml, &key, usual()),
        ("a number beyond 64 bits", "a: 18446744073709551615\n", Store::Yaml, &key, usual()),
        ("a dotenv line without a key", "hunter2\n", Store::Dotenv, &key, usual()),
        ("no recipients", "a: hunter2\n", Store::Yaml, &key, Terms { groups: vec![Vec::new()], ..usual() }),
        (
            "a threshold of one",
            "a: hunter2\n",
            Store::Yaml,
            &key,
            Terms { groups: vec![vec![recipient("a")], vec![recipient("b")]], shamir_threshold: 1, ..usual() },
        ),
        ("a short key", "a: hunter2\n", Store::Yaml, &short, usual()),
        (
            "a rule that finds sealed comments",
            "# hunter2\na: hunter2\n",
            Store::Yaml,
            &key,
            terms(Some((RuleKind::UnencryptedCommentRegex, "ENC"))),
        ),
    ];
    let mut report = String::new();
    for (name, text, store, key, terms) in rows {
        let (error, hint) = match Plain::parse(text.as_bytes(), store) {
            Err(error) => (with_causes(&error), error.hint()),
            Ok(plain) => {
                let error = seal(plain, key, terms).unwrap_err();
                (with_causes(&error), error.hint())
            }
        };
        assert!(!error.contains(secret), "{error}");
        writeln!(report, "{name}: {error}; hint: {hint}").unwrap();
    }
    insta::assert_snapshot!(report);
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[test]
fn another_format_is_refused_where_it_can_not_say_what_there_is() {
    let key = new_data_key(&mut OsRng).unwrap();
    let mut report = String::new();
    for (text, store) in [
        ("a: {b: 1}\n", Store::Dotenv),
        ("a: [1]\n", Store::Dotenv),
        ("a: 1\n", Store::Ini),
        ("a: {b: {c: 1}}\n", Store::Ini),
        ("a: .inf\n", Store::Json),
        ("a: 1\n", Store::Binary),
    ] {
        let opened = open(&sealed(text, Store::Yaml, &key), Store::Yaml, &key);
        let error = opened.whole_as(store, None).unwrap_err();
        writeln!(report, "{} as {store}: {error}; hint: {}", text.trim(), error.hint()).unwrap();
    }
    insta::assert_snapshot!(report);
}

const TREE: &str =
    "a: text\nb:\n    c: 1\n    d:\n        - x\n        # note\n        - y: 2.5\n    e: null\n---\nother: true\n";

fn path(text: &str) -> Vec<Segment> {
    let steps = text.split('.').filter(|step| !step.is_empty());
    steps.map(|step| step.parse().map_or_else(|_| Segment::Key(step.to_owned()), Segment::Index)).collect()
}

#[test]
fn a_part_is_printed_by_itself() {
    let mut report = String::new();
    for (at, store) in [
        ("a", Store::Yaml),
        ("b", Store::Yaml),
        ("b.c", Store::Yaml),
        ("b.d", Store::Yaml),
        ("b.d", Store::Json),
        ("b.d.0", Store::Yaml),
        ("b.d.2.y", Store::Json),
        ("b.d.1", Store::Yaml),
        ("b.d.9", Store::Yaml),
        ("b.d.y", Store::Yaml),
        ("b.0", Store::Yaml),
        ("b.e", Store::Yaml),
        ("a.z", Store::Yaml),
        ("z", Store::Yaml),
        ("b.c", Store::Dotenv),
        ("b.c", Store::Binary),
        ("b.d", Store::Dotenv),
        ("b.d", Store::Ini),
        ("other", Store::Yaml),
    ] {
        let plain = Plain::parse(TREE.as_bytes(), Store::Yaml).unwrap();
        let printed = match plain.into_part(&path(at)) {
            Err(error) => format!("error: {error}"),
            Ok(part) => match part.write(store, None) {
                Ok(text) => String::from_utf8_lossy(text.expose_secret()).into_owned(),
                Err(error) => format!("error: {error}"),
            },
        };
        writeln!(report, "== {at} as {store}\n{printed}").unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_value_is_set_where_the_path_leads_and_what_is_missing_is_made() {
    let mut report = String::new();
    for (at, json) in [
        ("a", "\"other\""),
        ("a", "\"text\""),
        ("b.c", "7"),
        ("b.d.0", "null"),
        ("b.d.2.y", "{\"z\": [true, 0.5]}"),
        ("b.d.9", "\"behind\""),
        ("b.d.9.k", "1"),
        ("b.new.deep.0", "1"),
        ("a.below", "1"),
        ("b.d.y", "1"),
        ("b.0", "1"),
        ("b.d.1", "1"),
        ("", "1"),
        ("a", "{\"a\": 1, \"a\": 2}"),
        ("a", "text"),
        ("a", "1}, {"),
    ] {
        let mut plain = Plain::parse(TREE.as_bytes(), Store::Yaml).unwrap();
        let done = Part::from_json(json.as_bytes()).and_then(|part| plain.set(&path(at), part));
        let shown = done.map_err(|error| format!("{error}; hint: {}", error.hint()));
        writeln!(report, "== {at} to {json}: {shown:?}\n{}", if shown.is_ok() { text(plain) } else { String::new() })
            .unwrap();
    }
    insta::assert_snapshot!(report);
}

#[test]
fn a_value_is_taken_out_where_the_path_leads() {
    let mut report = String::new();
    for at in ["a", "b", "b.c", "b.d", "b.d.0", "b.d.1", "b.d.2.y", "b.d.9", "b.d.1.y", "z", "a.z", "b.d.y", ""] {
        let mut plain = Plain::parse(TREE.as_bytes(), Store::Yaml).unwrap();
        let done = plain.unset(&path(at)).map_err(|error| error.to_string());
        writeln!(report, "== {at}: {done:?}\n{}", if done.is_ok() { text(plain) } else { String::new() }).unwrap();
    }
    insta::assert_snapshot!(report);
}

fn text(plain: Plain) -> String {
    String::from_utf8_lossy(plain.write(Store::Yaml, None).unwrap().expose_secret()).into_owned()
}

/// A JSON value of any shape.
fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e12_f64..1e12).prop_map(Into::into),
        "(?s).{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::hash_map("[a-z. :#]{0,6}", inner, 0..5)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_sealed_opens_to_what_it_was(
        root in prop::collection::hash_map("[a-z. :#]{0,6}", value(), 1..5), store in prop::sample::select(vec![Store::Yaml, Store::Json]),
    ) {
        let root: serde_json::Map<_, _> = root.into_iter().filter(|(key, _)| key != "sops").collect();
        let key = new_data_key(&mut OsRng).unwrap();
        let text = serde_json::to_string(&root).unwrap();
        let plain = Plain::parse(text.as_bytes(), Store::Json).unwrap();
        let expected = Plain::parse(text.as_bytes(), Store::Json).unwrap().write(store, None).unwrap();
        let sealed = seal(plain.into_store(store), &key, terms(None)).unwrap().text(None).unwrap();
        let opened = open(&sealed, store, &key).whole().unwrap();
        prop_assert_eq!(String::from_utf8_lossy(opened.expose_secret()), String::from_utf8_lossy(expected.expose_secret()));
    }

    #[test]
    fn any_bytes_are_sealed_as_a_binary_file_and_are_not_in_it(bytes in prop::collection::vec(any::<u8>(), 16..200)) {
        let key = new_data_key(&mut OsRng).unwrap();
        let sealed = seal(Plain::parse(&bytes, Store::Binary).unwrap(), &key, terms(None)).unwrap().text(None).unwrap();
        prop_assert!(!sealed.as_bytes().windows(bytes.len()).any(|window| window == bytes));
        let opened = open(&sealed, Store::Binary, &key);
        let whole = opened.whole().unwrap();
        prop_assert_eq!(whole.expose_secret(), bytes.as_slice());
    }
}
