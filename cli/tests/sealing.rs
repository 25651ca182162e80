//! What `seal` prints when all is well, opened again by the real `kubeseal` with the throw-away key.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use serde_json::{Value, json};
use support::{Folder, Ran, run};
use waxwing_harness::{Call, Failure, Upstream};

const SECRET: &str = "\
apiVersion: v1
kind: Secret
metadata:
  name: db
  namespace: shop
  labels: {app: shop}
  annotations: {note: 'yes', kubectl.kubernetes.io/last-applied-configuration: '{\"stringData\": \"hunter2\"}'}
type: Opaque
data: {user: c2hvcA==, password: b3ZlcnJpZGRlbg==}
stringData: {password: hunter2}
";

/// Opens SealedSecrets with kubeseal, which prints the Secret that its controller would make.
fn opened(folder: &Folder, sealed: &str) -> Result<Value, Failure> {
    let upstream = Upstream::new()?;
    let call = upstream.kubeseal(&["--recovery-unseal", "--recovery-private-key"])?;
    let secret = call.arg(folder.path().join("cluster.key")).stdin(sealed).text()?;
    Ok(serde_json::from_str(&secret).expect("kubeseal prints JSON"))
}

#[test]
fn kubeseal_opens_what_seal_sealed_in_both_forms() -> Result<(), Failure> {
    let folder = Folder::new();
    for form in ["yaml", "json"] {
        let ran = folder.seal(&["--cert", "cluster.pem", "-o", form], SECRET);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
        let secret = opened(&folder, &ran.stdout)?;
        assert_eq!(secret["data"], json!({"user": "c2hvcA==", "password": "aHVudGVyMg=="}));
        assert_eq!(secret["type"], "Opaque");
        assert_eq!(secret["metadata"]["labels"], json!({"app": "shop"}));
        assert_eq!(secret["metadata"]["annotations"], json!({"note": "yes"}));
    }
    Ok(())
}

#[test]
fn every_scope_opens_and_says_so_in_an_annotation() -> Result<(), Failure> {
    let folder = Folder::new();
    for (scope, annotation) in [
        ("strict", None),
        ("namespace-wide", Some("sealedsecrets.bitnami.com/namespace-wide")),
        ("cluster-wide", Some("sealedsecrets.bitnami.com/cluster-wide")),
    ] {
        let ran = folder.seal(&["--cert", "cluster.pem", "--scope", scope], SECRET);
        let secret = opened(&folder, &ran.stdout)?;
        assert_eq!(secret["data"]["password"], "aHVudGVyMg==", "{scope}");
        for possible in ["namespace-wide", "cluster-wide"].map(|scope| format!("sealedsecrets.bitnami.com/{scope}")) {
            let expected = annotation == Some(possible.as_str());
            assert_eq!(ran.stdout.contains(&possible), expected, "{scope} {possible}");
        }
    }
    Ok(())
}

#[test]
fn several_secrets_and_lists_are_sealed_document_by_document() -> Result<(), Failure> {
    let folder = Folder::new();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "one", "namespace": "a"}, "stringData": {"k": "1"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "two", "namespace": "b"}, "stringData": {"k": "2"}},
    ]});
    let ran = folder.seal(&["--cert", "cluster.pem"], &format!("{SECRET}---\n{list}\n"));
    let documents: Vec<_> = ran.stdout.split("---\n").collect();
    assert_eq!(documents.len(), 3);
    for (document, name) in documents.iter().zip(["db", "one", "two"]) {
        assert_eq!(opened(&folder, document)?["metadata"]["name"], name);
    }
    Ok(())
}

#[test]
fn a_new_secret_takes_values_from_everywhere_byte_for_byte() -> Result<(), Failure> {
    let folder = Folder::new();
    folder.write("tls.crt", b"\x00\xff\r\n");
    folder.write("env", "\u{feff}# comment\r\nUSER=me \r\n\n  QUOTED=\"x\"=y\nEMPTY=\n");
    let arguments = [
        "new",
        "db",
        "-n",
        "shop",
        "--cert",
        "cluster.pem",
        "--type",
        "example.com/mixed",
        "--label",
        "app=shop",
        "--annotation",
        "note=a=b",
        "--from-file",
        "tls.crt",
        "--from-file",
        "renamed=tls.crt",
        "--from-file",
        "stdin=-",
        "--from-env-file",
        "env",
        "--from-literal",
        "literal=a=b",
    ];
    let ran = folder.seal(&arguments, "from a pipe\n");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let secret = opened(&folder, &ran.stdout)?;
    // kubeseal prints an empty value as null.
    let expected = json!({"tls.crt": "AP8NCg==", "renamed": "AP8NCg==", "stdin": "ZnJvbSBhIHBpcGUK", "USER": "bWUg",
        "QUOTED": "IngiPXk=", "EMPTY": null, "literal": "YT1i"});
    assert_eq!(secret["data"], expected);
    assert_eq!(secret["type"], "example.com/mixed");
    assert_eq!(secret["metadata"]["labels"], json!({"app": "shop"}));
    assert_eq!(secret["metadata"]["annotations"], json!({"note": "a=b"}));
    Ok(())
}

#[test]
fn the_namespace_comes_from_the_secret_the_flag_or_the_kubeconfig() -> Result<(), Failure> {
    let folder = Folder::new();
    folder.write(
        "kubeconfig",
        "apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts:\n- {name: here, context: {cluster: c, user: u, namespace: ours}}\n\
         - {name: there, context: {cluster: c, user: u, namespace: theirs}}\n",
    );
    let new = |more: &[&'static str]| [&["new", "db", "--cert", "cluster.pem", "--from-literal", "a=b"], more].concat();
    for (arguments, namespace) in [
        (new(&["-n", "shop"]), "shop"),
        (new(&["--kubeconfig", "kubeconfig"]), "ours"),
        (new(&["--kubeconfig", "kubeconfig", "--context", "there"]), "theirs"),
        (new(&[]), "default"),
    ] {
        let ran = folder.seal(&arguments, "");
        assert_eq!(opened(&folder, &ran.stdout)?["metadata"]["namespace"], namespace);
        assert_eq!(
            ran.stderr.contains(&format!("it is sealed for {namespace}, ")),
            namespace != "shop",
            "{}",
            ran.stderr
        );
    }
    let ran = folder.seal(&new(&["--scope", "cluster-wide"]), "");
    assert!(ran.stderr.is_empty() && !ran.stdout.contains("namespace:"), "{}", ran.stdout);
    Ok(())
}

#[test]
fn cert_prints_the_certificate_alone_and_its_fingerprint_on_request() {
    let folder = Folder::new();
    let certificate = std::fs::read_to_string(folder.path().join("cluster.pem")).expect("a fixture can be read");
    folder.write(
        "noisy.pem",
        format!("\u{1b}[31mnoise\n{certificate}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    );
    let ran = run(folder.call(&["cert"]).env("SEALED_SECRETS_CERT", "noisy.pem"));
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), certificate.as_str(), ""));

    let ran = folder.seal(&["cert", "--cert", "cluster.pem", "--fingerprint"], "");
    assert!(ran.stdout.starts_with("SHA256:") && ran.stdout.contains("\nnot after 2"), "{}", ran.stdout);
}

/// Runs `argv[1:-1]` on a terminal of its own, answers each prompt with a word of `argv[-1]`, and prints what the terminal showed.
const ON_A_TERMINAL: &str = r#"
import os, pty, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:-1])
shown, answers = b"", sys.argv[-1].split()
while True:
    try:
        shown += os.read(terminal, 4096)
    except OSError:
        break
    if shown.endswith(b": ") and answers:
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            os.sched_yield()
        os.write(terminal, answers.pop(0).encode() + b"\n")
sys.stdout.buffer.write(shown)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// Makes a Secret with one value that is asked for on a terminal, and answers with `answers`.
fn prompted(folder: &Folder, answers: &str) -> Ran {
    let command = "exec \"$0\" new db -n shop --cert cluster.pem --prompt password > sealed.yaml";
    let call = Call::new("python3".as_ref(), folder.path()).args(["-c", ON_A_TERMINAL, "/bin/sh", "-c", command]);
    run(call.arg(env!("CARGO_BIN_EXE_seal")).arg(answers))
}

#[test]
fn a_prompted_value_is_asked_for_twice_and_never_shown() -> Result<(), Failure> {
    let folder = Folder::new();
    let ran = prompted(&folder, "hunter2 hunter2");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    assert!(ran.stdout.contains("password: ") && !ran.stdout.contains("hunter2"), "{}", ran.stdout);
    let sealed = std::fs::read_to_string(folder.path().join("sealed.yaml")).expect("the sealed Secret was written");
    assert_eq!(opened(&folder, &sealed)?["data"], json!({"password": "aHVudGVyMg=="}));

    let ran = prompted(&folder, "hunter2 hunter3");
    assert_eq!(ran.code, Some(1));
    assert!(
        ran.stdout.contains("the two values for password differ") && !ran.stdout.contains("hunter"),
        "{}",
        ran.stdout
    );
    Ok(())
}

#[test]
fn without_a_terminal_a_prompt_is_refused() {
    let folder = Folder::new();
    let seal = env!("CARGO_BIN_EXE_seal");
    let ran =
        run(Call::new("setsid".as_ref(), folder.path()).args(["--wait", seal, "new", "db", "--prompt", "password"]));
    assert!(
        ran.code == Some(1) && ran.stderr.contains("hint: without a terminal, pass the value with --from-file KEY=-")
    );
}

#[test]
fn every_shell_gets_a_completion_script() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = folder.seal(&["completion", shell], "");
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        assert!(ran.stdout.contains("from-env-file"), "{shell}");
        for (name, flag) in [("sops", "extract"), ("kubeseal", "recovery-private-key")] {
            let ran = folder.seal(&["completion", shell, "--name", name], "");
            assert!(ran.code == Some(0) && ran.stdout.contains(flag), "{shell} {name}");
        }
    }
}
