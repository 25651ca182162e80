//! Mistakes with the command line of kubeseal: what the program says, that it prints nothing, changes no file, and how it ends.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

use support::{Folder, run};

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\nstringData: {password: hunter2}\n";

/// A folder with sealed files, whole and broken.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("secret.yaml", SECRET);
    folder.write(
        "wide.yaml",
        SECRET.replace(
            "namespace: shop",
            "namespace: shop, annotations: {sealedsecrets.bitnami.com/cluster-wide: 'true'}",
        ),
    );
    let seal = |words: &[&str]| {
        let words = [&["kubeseal", "--cert", "cluster.pem", "-o", "yaml", "-f", "secret.yaml"], words].concat();
        folder.seal(&words, "").stdout
    };
    let (strict, cluster) = (seal(&[]), seal(&["--scope", "cluster-wide"]));
    let annotation = "sealedsecrets.bitnami.com/cluster-wide: \"true\"";
    let token = strict.lines().find_map(|line| line.trim().strip_prefix("password: ")).unwrap().to_owned();
    for (name, text) in [
        ("sealed.yaml", strict.clone()),
        ("cluster.yaml", cluster.clone()),
        ("renamed.yaml", strict.replace("name: db", "name: renamed")),
        (
            "widened.yaml",
            strict.replace("metadata:\n  name", &format!("metadata:\n  annotations: {{{annotation}}}\n  name")),
        ),
        ("narrowed.yaml", cluster.replacen(annotation, "a: b", 1)),
        ("cut.yaml", strict.replace(&token, &token[..40])),
        ("odd.yaml", strict.replace(&token, "not base64!")),
        ("long.yaml", strict.replace(&token, &"A".repeat(3_000_000))),
        ("foreign.yaml", strict.replace(&token, "//8AAAAA")),
        ("item.yaml", strict.replace("    password:", "    other: AQAA\n    password:")),
        ("older.yaml", strict.replace("  encryptedData:\n", "  data: AAAA\n  encryptedData:\n")),
        ("template.yaml", strict.replace("  template:\n", "  template:\n    data: {a: '{{ .password.x }}'}\n")),
        ("two.yaml", format!("{strict}{strict}")),
        ("configmap.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: db}\ndata: {a: hunter2}\n".to_owned()),
        ("list.yaml", format!("apiVersion: v1\nkind: List\nitems:\n- {}\n", SECRET.replace('\n', "\n  "))),
        ("labels.yaml", SECRET.replace("name: db", "name: db, labels: [hunter2]")),
        ("number.yaml", strict.replace("    metadata:\n", "    immutable: hunter2\n    metadata:\n")),
        ("base64.yaml", SECRET.replace("stringData", "data")),
        ("twice.yaml", format!("{SECRET}metadata: {{}}\n")),
        ("broken.json", "{\"kind\": \"Secret\", \"data\": {\"a\": \"hunter2\"".to_owned()),
        ("big.yaml", SECRET.replace("hunter2", &"x".repeat(1 << 21))),
        ("no-key.yaml", "kind: Secret\ndata: {other: aHVudGVyMg==}\n".to_owned()),
        ("odd-key.yaml", "kind: Secret\ndata: {tls.key: aHVudGVyMg==}\n".to_owned()),
        ("empty", String::new()),
        (
            "truncated.key",
            fs::read_to_string(folder.path().join("cluster.key")).unwrap().chars().take(900).collect::<String>(),
        ),
    ] {
        folder.write(name, text);
    }
    folder.write("utf16.yaml", b"\xff\xfek\0i\0n\0d\0");
    folder.write("binary", [0_u8, 159, 146, 150]);
    folder
}

fn files(folder: &Folder) -> BTreeMap<String, Vec<u8>> {
    let paths = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

/// Runs all calls and returns them as one text, as a terminal would show them.
fn transcript(calls: &[&[&str]]) -> String {
    let folder = folder();
    let before = files(&folder);
    let mut text = String::new();
    for words in calls {
        let ran = run(folder.call(&[&["kubeseal"], *words].concat()));
        assert_eq!(ran.stdout, "", "{words:?} prints nothing");
        assert!(!ran.stderr.contains("hunter2"), "{words:?} does not show a secret");
        let shown = words.join(" ").replace("hunter2", "*****");
        writeln!(text, "$ kubeseal {shown}\n{}[{}]\n", ran.stderr, ran.code.unwrap_or(-1)).unwrap();
    }
    assert!(files(&folder) == before, "no file is changed");
    text
}

#[test]
fn input_that_is_no_secret_is_refused_with_its_place() {
    let calls = [
        "configmap.yaml",
        "list.yaml",
        "sealed.yaml",
        "labels.yaml",
        "base64.yaml",
        "twice.yaml",
        "broken.json",
        "big.yaml",
        "utf16.yaml",
        "binary",
        "empty",
        ".",
    ]
    .map(|file| ["--cert", "cluster.pem", "-f", file]);
    insta::assert_snapshot!(transcript(&calls.each_ref().map(|words| words.as_slice())));
}

#[test]
fn certificates_that_can_not_be_sealed_with_are_refused() {
    let calls = [
        "small.pem",
        "elliptic.pem",
        "expired.pem",
        "cluster.key",
        "binary",
        "empty",
        "missing.pem",
        "file:///missing.pem",
        ".",
        "http://seal.example.com/cert.pem",
        "ftp://seal.example.com/cert.pem",
        "http://127.0.0.1:1/?hunter2",
    ]
    .map(|cert| ["-f", "secret.yaml", "--cert", cert]);
    let fetch: &[&str] = &["--fetch-cert", "--cert", "binary"];
    insta::assert_snapshot!(transcript(
        &[calls.each_ref().map(|words| words.as_slice()).as_slice(), &[fetch]].concat()
    ));
}

#[test]
fn what_does_not_open_is_named_with_what_may_be_wrong() {
    let calls = [
        "renamed.yaml",
        "widened.yaml",
        "narrowed.yaml",
        "cut.yaml",
        "odd.yaml",
        "long.yaml",
        "foreign.yaml",
        "item.yaml",
        "older.yaml",
        "template.yaml",
        "number.yaml",
        "secret.yaml",
        "configmap.yaml",
        "empty",
        "binary",
    ]
    .map(|file| ["--recovery-unseal", "--recovery-private-key", "cluster.key", "-f", file]);
    let keys = [
        "newer.key",
        "cluster.pem",
        "truncated.key",
        "no-key.yaml",
        "odd-key.yaml",
        "configmap.yaml",
        "broken.json",
        "empty",
        "missing.key",
        ".",
    ]
    .map(|key| ["--recovery-unseal", "-f", "sealed.yaml", "--recovery-private-key", key]);
    let none: &[&str] = &["--recovery-unseal", "-f", "sealed.yaml"];
    let written: &[&str] =
        &["--recovery-unseal", "-f", "renamed.yaml", "--recovery-private-key", "cluster.key", "-w", "sealed.yaml"];
    let calls: Vec<&[&str]> = calls
        .iter()
        .map(|words| words.as_slice())
        .chain(keys.iter().map(|words| words.as_slice()))
        .chain([none, written])
        .collect();
    insta::assert_snapshot!(transcript(&calls));
}

#[test]
fn what_can_not_be_merged_leaves_the_file_as_it_is() {
    let merge = |file, from| ["--cert", "cluster.pem", "--merge-into", file, "-f", from];
    let calls = [
        merge("sealed.yaml", "configmap.yaml"),
        merge("sealed.yaml", "wide.yaml"),
        merge("configmap.yaml", "secret.yaml"),
        merge("secret.yaml", "secret.yaml"),
        merge("two.yaml", "secret.yaml"),
        merge("number.yaml", "secret.yaml"),
        merge("binary", "secret.yaml"),
        merge("empty", "secret.yaml"),
        merge("missing.yaml", "secret.yaml"),
        merge(".", "secret.yaml"),
    ];
    let scope: &[&str] =
        &["--cert", "cluster.pem", "--merge-into", "cluster.yaml", "-f", "secret.yaml", "--scope", "strict"];
    let target: &[&str] =
        &["--cert", "cluster.pem", "--merge-into", "sealed.yaml", "-f", "secret.yaml", "-w", "new.yaml"];
    let form: &[&str] = &["--cert", "cluster.pem", "--merge-into", "sealed.yaml", "-f", "secret.yaml", "-o", "toml"];
    let calls: Vec<&[&str]> = calls.iter().map(|words| words.as_slice()).chain([scope, target, form]).collect();
    insta::assert_snapshot!(transcript(&calls));
}

#[test]
fn arguments_that_do_not_fit_end_with_2_and_show_no_secret() {
    insta::assert_snapshot!(transcript(&[
        &["--no-such-flag"],
        &["--raw=perhaps"],
        &["--scope", "everywhere"],
        &["--controller-name", "Not_A_Name"],
        &["--request-timeout", "soon"],
        &["-v", "loud"],
        &["-o"],
        &["-f", "secret.yaml", "--cert", "cluster.pem", "-w", "nowhere/new.yaml"],
        &["-f", "secret.yaml", "--cert", "cluster.pem", "-w", "."],
        &["--fetch-cert", "--server", "https://127.0.0.1:1", "--proxy-url", "socks5://me:hunter2@127.0.0.1:1"],
        &["--fetch-cert", "--server", "https://127.0.0.1:1", "--proxy-url", "http://me:hunter2@127.0.0.1:1"],
        &["--fetch-cert", "--server", "https://me:hunter2@127.0.0.1:1", "--token", "hunter2"],
        &["--fetch-cert", "--server", "hunter2 x", "--password", "hunter2", "--username", "me"],
    ]));
}

#[test]
fn several_documents_are_sealed_all_or_none() {
    let folder = folder();
    let stream = format!("{SECRET}---\n{}", SECRET.replace("name: db, ", ""));
    let ran = run(folder.call(&["kubeseal", "--cert", "cluster.pem"]).stdin(stream));
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
}

#[test]
fn new_values_in_a_file_get_its_scope_and_open_with_it() {
    let folder = folder();
    let merged = folder.seal(
        &["kubeseal", "--cert", "cluster.pem", "-o", "yaml", "--merge-into", "cluster.yaml", "-f", "secret.yaml"],
        "",
    );
    assert_eq!((merged.code, merged.stderr.as_str()), (Some(0), ""));
    let opened = folder
        .seal(&["kubeseal", "--recovery-unseal", "--recovery-private-key", "cluster.key", "-f", "cluster.yaml"], "");
    assert!(opened.stdout.contains("aHVudGVyMg=="), "{}", opened.stderr);
}

#[test]
fn what_was_opened_is_written_for_its_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let words = [
        "kubeseal",
        "--recovery-unseal",
        "--recovery-private-key",
        "cluster.key",
        "-f",
        "sealed.yaml",
        "-w",
        "open.yaml",
    ];
    assert_eq!(folder.seal(&words, "").code, Some(0));
    let mode = fs::metadata(folder.path().join("open.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
