//! Single items of SealedSecret files are exchanged, added and taken out, in every style in which such files are written, and no other
//! byte changes; what is written in another style is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

use proptest::prelude::*;
use waxwing_formats::sealed_secret::{ItemChange, SealedFile};
use waxwing_formats::yaml;

const HEAD: &str =
    "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db, namespace: shop}\nspec:\n";

/// What stands under `spec`, or a whole file, by what is special about it.
fn rows() -> Vec<(&'static str, String)> {
    let spec = |text: &str| format!("{HEAD}{text}");
    vec![
        ("plain", spec("  encryptedData:\n    password: AgOld # mine\n    # of the user\n    user: AgUser\n  template: {}\n")),
        ("no break at the end", spec("  encryptedData:\n    user: AgUser\n    password: AgOld")),
        ("quotes", spec("  encryptedData:\n    \"password\": \"AgOld\"\n    'user': 'AgUser'   \n")),
        ("a literal block", spec("  encryptedData:\n    password: |-\n      AgOl\n      d\n    user: >-\n      AgUser\n\n  template: {}\n")),
        ("folded over lines", spec("  encryptedData:\n    password: AgOl\n      d\n    user: \"AgUs\\\n      er\"\n")),
        ("flow", spec("  encryptedData: {password: AgOld, user: AgUser}\n")),
        ("flow over lines", spec("  encryptedData: {\n    password: AgOld,\n    user: AgUser,\n  }\n")),
        ("one item", spec("  encryptedData:\n    password: AgOld\n")),
        ("one item in flow", spec("  encryptedData: { password: AgOld }\n")),
        ("empty", spec("  encryptedData: {}\n  template: {}\n")),
        ("null", spec("  encryptedData:\n  template: {}\n")),
        ("missing", spec("  template: {}\n")),
        ("no indentation of its own", spec("  encryptedData:\n   password: AgOld\n   user: AgUser\n")),
        ("Windows", spec("  encryptedData:\n    password: AgOld\n    user: AgUser\n").replace('\n', "\r\n")),
        ("a byte order mark", format!("\u{feff}{}", spec("  encryptedData:\n    password: AgOld\n    user: AgUser\n"))),
        ("letters of several bytes", spec("  template: {metadata: {annotations: {größe: \"ß\"}}}\n  encryptedData: {\"größe\": AgX, password: AgOld, user: AgUser}\n")),
        ("JSON", "{\n  \"kind\": \"SealedSecret\",\n  \"apiVersion\": \"bitnami.com/v1alpha1\",\n  \"metadata\": {\"name\": \"db\"},\n  \"spec\": {\n    \"encryptedData\": {\n      \"password\": \"AgOld\",\n      \"user\": \"AgUser\"\n    }\n  }\n}\n".to_owned()),
        ("JSON on one line", r#"{"kind":"SealedSecret","apiVersion":"bitnami.com/v1alpha1","spec":{"encryptedData":{"password":"AgOld","user":"AgUser"}}}"#.to_owned()),
        ("the second document", format!("# first\nkind: ConfigMap\n---\n{}---\nkind: Other\n", spec("  encryptedData:\n    password: AgOld\n    user: AgUser\n"))),
        ("in a list", "apiVersion: v1\nkind: List\nitems:\n- kind: ConfigMap\n- apiVersion: bitnami.com/v1alpha1\n  kind: SealedSecret\n  spec:\n    encryptedData:\n      password: AgOld\n      user: AgUser\n".to_owned()),
        ("an alias", spec("  encryptedData:\n    password: &a AgOld\n    user: *a\n")),
        ("items by alias", spec("  other: &all\n    password: AgOld\n    user: AgUser\n  encryptedData: *all\n")),
        ("a merge key", spec("  other: &all {password: AgOld}\n  encryptedData:\n    <<: *all\n    user: AgUser\n")),
        ("no text", spec("  encryptedData:\n    password: [AgOld]\n    user: AgUser\n")),
    ]
}

fn change(item: &str, token: Option<&str>) -> ItemChange {
    ItemChange { object: 0, item: item.to_owned(), token: token.map(str::to_owned) }
}

/// Writes which lines differ.
fn told(before: &str, after: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (before.split('\n').collect(), after.split('\n').collect());
    let first = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let last = old[first..].iter().rev().zip(new[first..].iter().rev()).take_while(|(old, new)| old == new).count();
    let lines =
        |mark: char, lines: &[&str]| lines.iter().map(|line| format!("  {mark} {line:?}\n")).collect::<String>();
    lines('-', &old[first..old.len() - last]) + &lines('+', &new[first..new.len() - last])
}

#[test]
fn items_are_exchanged_added_and_taken_out_and_no_other_byte_changes() {
    let changes: [(&str, Vec<ItemChange>); 4] = [
        ("exchange", vec![change("password", Some("AgNew+/="))]),
        ("add", vec![change("true", Some("AgNew")), change("new.key", Some("AgNewer"))]),
        ("take out", vec![change("password", None)]),
        ("all", vec![change("password", None), change("new", Some("AgNew")), change("user", Some("AgNewUser"))]),
    ];
    let mut text = String::new();
    for (row, file) in rows() {
        let parsed = SealedFile::parse(file.as_bytes()).unwrap();
        for (what, changes) in &changes {
            text.push_str(&format!("{row}: {what}\n"));
            match parsed.with(changes) {
                Ok(after) => {
                    text.push_str(&told(&file, &after));
                    let items = SealedFile::parse(after.as_bytes()).unwrap();
                    let items: Vec<_> =
                        items.objects()[0].items().map(|(name, token)| (name.to_owned(), token.to_owned())).collect();
                    for change in changes {
                        let found = items.iter().find(|(name, _)| *name == change.item).map(|(_, token)| token);
                        assert_eq!(found, change.token.as_ref(), "{row}: {what}");
                    }
                }
                Err(error) => text.push_str(&format!("  {error}\n  hint: {}\n", error.hint())),
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_file_that_is_not_changed_is_the_same_to_the_byte() {
    for (row, file) in rows() {
        assert_eq!(SealedFile::parse(file.as_bytes()).unwrap().with(&[]).unwrap(), file, "{row}");
    }
}

#[test]
fn several_objects_of_a_file_are_told_apart() {
    let one = format!("{HEAD}  encryptedData:\n    password: AgOld\n");
    let file = SealedFile::parse(format!("{one}---\n{}", one.replace("db", "other")).as_bytes()).unwrap();
    let names: Vec<_> = file.objects().iter().map(|object| object.manifest["metadata"]["name"].clone()).collect();
    assert_eq!(names, ["db", "other"]);
    let second = ItemChange { object: 1, ..change("password", Some("AgNew")) };
    assert_eq!(
        file.with(&[second]).unwrap(),
        format!("{one}---\n{}", one.replace("db", "other").replace("AgOld", "AgNew"))
    );
    let third = ItemChange { object: 2, ..change("password", Some("AgNew")) };
    assert!(file.with(&[third]).is_err());
}

#[test]
fn a_line_with_as_many_items_as_an_object_can_have_is_no_long_work() {
    let item = |number: usize| format!("\"item-{number}\":\"{}\"", "A".repeat(700));
    let items: Vec<_> = (0..1900).map(item).collect();
    let file = format!(
        r#"{{"kind":"SealedSecret","apiVersion":"bitnami.com/v1alpha1","spec":{{"encryptedData":{{{}}}}}}}"#,
        items.join(",")
    );
    let changes: Vec<_> = (0..1900).map(|number| change(&format!("item-{number}"), Some("AgNew"))).collect();
    let after = SealedFile::parse(file.as_bytes()).unwrap().with(&changes).unwrap();
    assert_eq!(after, file.replace(&"A".repeat(700), "AgNew"));
}

#[test]
fn nothing_but_base64_is_ever_written() {
    let file = SealedFile::parse(rows()[0].1.as_bytes()).unwrap();
    for token in ["", "a b", "a\nb: c", "\"", "{}"] {
        assert!(file.with(&[change("password", Some(token))]).is_err(), "{token:?}");
        assert!(file.with(&[change("new", Some(token))]).is_err(), "{token:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the file is: either it is refused, or exactly the item has changed.
    #[test]
    fn any_text_is_changed_as_wanted_or_refused(
        row in 0..rows().len(),
        at in any::<prop::sample::Index>(),
        bytes in proptest::collection::vec(prop::sample::select(b"\n\r \t#:{}[]\"'|>&*!-,a\xc3\x9f".to_vec()), 0..4),
        item in "(password|user|new|true|größe)",
        token in prop::option::of("[A-Za-z0-9+/]{1,90}"),
    ) {
        let mut file = rows()[row].1.clone().into_bytes();
        let at = at.index(file.len() + 1);
        file.splice(at..at, bytes);
        let Ok(parsed) = SealedFile::parse(&file) else { return Ok(()) };
        let Ok(after) = parsed.with(&[change(&item, token.as_deref())]) else { return Ok(()) };
        prop_assume!(!parsed.objects().is_empty());
        let mut expected = yaml::manifests(&file).unwrap();
        let values = yaml::manifests(after.as_bytes()).unwrap();
        let count = expected.len();
        prop_assert_eq!(values.len(), count);
        let index = parsed.objects()[0].document;
        for (old, new) in expected.iter_mut().zip(values) {
            if old.index == index {
                let list = if parsed.objects()[0].path.segments().is_empty() { "" } else { "/items/1" };
                let data = old.value.pointer_mut(&format!("{list}/spec/encryptedData")).unwrap().as_object_mut().unwrap();
                match &token {
                    Some(token) => drop(data.insert(item.clone(), token.as_str().into())),
                    None => drop(data.remove(&item)),
                }
            }
            prop_assert_eq!(&old.value, &new.value);
        }
    }
}
