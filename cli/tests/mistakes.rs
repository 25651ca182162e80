//! Every mistake a user can make: what the program says, that it prints nothing to standard output, and how it ends.

mod support;

use std::fmt::Write;

use support::Folder;

const CANARY: &str = "hunter2";

/// Runs all cases and returns them as one text, as a terminal would show them.
fn transcript(folder: &Folder, cases: &[(&[&str], &str)]) -> String {
    let mut text = String::new();
    for (arguments, stdin) in cases {
        let ran = folder.seal(arguments, stdin);
        assert_eq!(ran.stdout, "", "{arguments:?} prints nothing");
        assert!(!ran.stderr.contains(CANARY), "{arguments:?} does not show a secret");
        let shown = arguments.join(" ").replace(CANARY, "*****");
        writeln!(text, "$ seal {shown}\n{}[{}]\n", ran.stderr, ran.code.unwrap_or(-1)).unwrap_or_default();
    }
    text
}

#[test]
fn mistakes_in_the_input_are_named_with_file_line_and_remedy() {
    let folder = Folder::new();
    folder.write("broken.yaml", "kind: Secret\nmetadata: {name: db\n");
    folder.write("twice.yaml", "kind: Secret\ndata: {a: eA==}\ndata: {b: eA==}\n");
    folder.write(
        "mixed.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: good, namespace: shop}\nstringData: {a: hunter2}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bad}\n---\napiVersion: v1\nkind: Secret\nmetadata: {namespace: shop}\n",
    );
    folder.write("sealed.yaml", "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: db}\n");
    folder.write("base64.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata: {password: 'hunter2!'}\n");
    folder.write("number.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {pin: 1234}\n");
    folder.write("empty.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\n");
    folder.write(
        "shop.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\nstringData: {a: b}\n",
    );
    folder.write("utf16.yaml", b"\xff\xfek\0i\0n\0d\0");
    let with_cert = |file| ["-f", file, "--cert", "cluster.pem"];
    let files = [
        "missing.yaml",
        "broken.yaml",
        "twice.yaml",
        "mixed.yaml",
        "sealed.yaml",
        "base64.yaml",
        "number.yaml",
        "empty.yaml",
        "utf16.yaml",
    ]
    .map(with_cert);
    let mut cases: Vec<(&[&str], &str)> = files.iter().map(|arguments| (arguments.as_slice(), "")).collect();
    cases.push((&["--cert", "cluster.pem"], ""));
    cases.push((&["--cert", "cluster.pem"], "# only a comment\n"));
    cases.push((&["-f", "shop.yaml", "--cert", "cluster.pem", "-n", "other"], ""));
    insta::assert_snapshot!(transcript(&folder, &cases));
}

#[test]
fn certificates_that_cannot_be_trusted_or_used_are_refused() {
    let folder = Folder::new();
    folder.write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\nstringData: {a: hunter2}\n",
    );
    folder.write("none.pem", "this is no certificate\n");
    folder.write("kubeconfig", "apiVersion: v1\nkind: Config\ncurrent-context: gone\n");
    folder.write("damaged", "apiVersion: [\n");
    let with_cert = |cert| ["-f", "secret.yaml", "--cert", cert];
    let certificates = [
        "missing.pem",
        "none.pem",
        "expired.pem",
        "small.pem",
        "elliptic.pem",
        "http://seal.example.com/v1/cert.pem",
        "ftp://seal.example.com/cert.pem",
        "https://",
        "https://127.0.0.1:1/v1/cert.pem",
        "http://me:hunter2@127.0.0.1:1/?a=hunter2",
    ]
    .map(with_cert);
    let mut cases: Vec<(&[&str], &str)> = certificates.iter().map(|arguments| (arguments.as_slice(), "")).collect();
    cases.push((&["-f", "secret.yaml"], ""));
    cases.push((&["-f", "secret.yaml", "--kubeconfig", "missing"], ""));
    cases.push((&["-f", "secret.yaml", "--kubeconfig", "kubeconfig"], ""));
    cases.push((&["-f", "secret.yaml", "--kubeconfig", "damaged"], ""));
    cases.push((&["cert", "--cert", "expired.pem"], ""));
    insta::assert_snapshot!(transcript(&folder, &cases));
}

#[test]
fn mistakes_in_the_values_of_a_new_secret_are_named_without_the_value() {
    let folder = Folder::new();
    folder.write("password", CANARY);
    folder.write("good.env", "A=1\n");
    folder.write("no-key.env", "# a comment\n\nhunter2\n");
    folder.write("bad-key.env", "A=1\nhunter2 !=x\n");
    folder.write("big", vec![b'x'; 1024 * 1024 + 1]);
    let with_cert = |more: &[&'static str]| [&["new", "db", "-n", "shop", "--cert", "cluster.pem"], more].concat();
    let cases = [
        with_cert(&[]),
        with_cert(&["--from-literal", "hunter2"]),
        with_cert(&["--from-literal", "hunter2!=x"]),
        with_cert(&["--from-literal", "a=hunter2", "--from-literal", "a=hunter2"]),
        with_cert(&["--from-file", "password", "--from-file", "password=good.env"]),
        with_cert(&["--from-file", "missing"]),
        with_cert(&["--from-file", "."]),
        with_cert(&["--from-file", "folder=."]),
        with_cert(&["--from-file", "-"]),
        with_cert(&["--from-file", "a b=password"]),
        with_cert(&["--from-file", "big"]),
        with_cert(&["--from-env-file", "no-key.env"]),
        with_cert(&["--from-env-file", "bad-key.env"]),
        with_cert(&["--from-env-file", "good.env", "--prompt", "A"]),
        with_cert(&["--prompt", "a/b"]),
        with_cert(&["--from-file", "password", "--label", "app"]),
        with_cert(&["--from-file", "password", "--type", ""]),
    ];
    let cases: Vec<(&[&str], &str)> = cases.iter().map(|arguments| (arguments.as_slice(), "")).collect();
    insta::assert_snapshot!(transcript(&folder, &cases));
}

#[test]
fn mistakes_in_the_arguments_end_with_1_so_that_2_stays_free_for_changes() {
    let folder = Folder::new();
    let cases: [(&[&str], &str); 7] = [
        (&["--no-such-flag"], ""),
        (&["no-such-command"], ""),
        (&["--scope", "everywhere"], ""),
        (&["-n", "Shop"], ""),
        (&["new"], ""),
        (&["new", "Data_Base", "--from-literal", "a=hunter2"], ""),
        (&["completion", "tcsh"], ""),
    ];
    insta::assert_snapshot!(transcript(&folder, &cases));
}
