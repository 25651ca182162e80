//! The command line of kubeseal: the same calls of the real kubeseal and of ours, in folders that are alike, end with the same exit
//! code, print the same and leave the same files, but for what is random in them; and what either seals, the other opens.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::fs;

use regex::Regex;
use support::kubeseal::{Program, call, copy, difference, first_line, seen};
use support::{Folder, run};
use waxwing_harness::Upstream;

const SECRET: &str = include_str!("fixtures/kubeseal/secret.yaml");
const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: c, user: u, namespace: ours}}
- {name: there, context: {cluster: c, user: u, namespace: theirs}}
- {name: nowhere, context: {cluster: c, user: u}}
clusters:
- {name: c, cluster: {server: 'https://127.0.0.1:1'}}
users:
- {name: u, user: {token: canary}}
";
const SECOND: &str = "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"name\":\"two\",\"namespace\":\"shop\",\"labels\":{\"new\":\"1\"},\"annotations\":{\"note\":\"new\"}},\"stringData\":{\"password\":\"other\",\"more\":\"x\"}}";

/// The files with which every folder begins.
fn folder(upstream: &Upstream) -> Folder {
    let folder = Folder::new();
    for (name, text) in [
        ("secret.yaml", SECRET.to_owned()),
        ("secret.json", SECOND.to_owned()),
        ("both.yaml", format!("{SECRET}---\n{SECOND}\n")),
        ("no-namespace.yaml", SECRET.replace("  namespace: shop\n", "")),
        ("no-name.yaml", SECRET.replace("  name: db\n", "")),
        ("empty.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\n".to_owned()),
        (
            "wide.yaml",
            SECRET.replace("  annotations:\n", "  annotations:\n    sealedsecrets.bitnami.com/cluster-wide: 'true'\n"),
        ),
        ("kubeconfig", KUBECONFIG.to_owned()),
        ("value", "hunter2\n".to_owned()),
    ] {
        folder.write(name, text);
    }
    for (name, words) in [
        ("sealed.yaml", ["-o", "yaml", "-f", "secret.yaml"].as_slice()),
        ("sealed.json", &["-f", "secret.yaml"]),
        ("bare.yaml", &["-o", "yaml", "-f", "secret.json"]),
        ("ns.yaml", &["-o", "yaml", "-f", "secret.yaml", "--scope", "namespace-wide"]),
        ("cluster.yaml", &["-o", "yaml", "-f", "secret.yaml", "--scope", "cluster-wide"]),
    ] {
        let sealed = upstream.kubeseal(words).unwrap().args(["--cert", "cluster.pem"]).dir(folder.path());
        folder.write(name, sealed.text().unwrap());
    }
    let sealed = fs::read_to_string(folder.path().join("bare.yaml")).unwrap();
    let templates =
        "  template:\n    data: {keys: '{{ range $key, $value := . }}{{ $key | upper | quote }}{{ end }}'}\n";
    folder.write("templates.yaml", sealed.replace("  template:\n", templates));
    // The deprecated form, of which kubeseal opens nothing, whatever else is there.
    for (name, data) in [("blob.yaml", "AgBx"), ("empty-blob.yaml", "''"), ("no-blob.yaml", "null")] {
        folder.write(name, sealed.replace("spec:\n", &format!("spec:\n  data: {data}\n")));
    }
    let key = fs::read_to_string(folder.path().join("cluster.key")).unwrap();
    let key = key.replace('\n', "\n    ");
    let backup = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{a: b}}\ndata:\n  tls.key: {}\n",
            base64(&key.replace("\n    ", "\n"))
        )
    };
    folder.write("backup.yaml", backup("one"));
    folder.write("backups.yaml", format!("{}---\n{}", backup("one"), backup("two")));
    let indented = backup("one").replace('\n', "\n  ");
    folder.write("list.yaml", format!("apiVersion: v1\nkind: List\nitems:\n- {indented}\n"));
    folder
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A call: its words, what it reads from standard input, and its variables.
type Row<'a> = (&'a [&'a str], &'a str, &'a [(&'a str, &'a str)]);

/// Calls that work.
const WORKING: &[Row<'_>] = &[
    (&["--cert", "cluster.pem"], SECRET, &[]),
    (&["--cert", "cluster.pem", "-o", "yaml"], SECRET, &[]),
    (&["--cert=cluster.pem", "--format=yaml", "-f", "secret.json"], "", &[]),
    (&["--cert", "cluster.pem", "-oyaml", "-fsecret.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-o", "YAML", "--secret-file", "both.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-o", "", "-f", "both.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "both.yaml"], "", &[]),
    (&["--cert", "other.pem", "--cert", "cluster.pem", "-f", "secret.yaml"], "", &[]),
    (&["-f", "secret.yaml"], "", &[("SEALED_SECRETS_CERT", "cluster.pem")]),
    (&["-f", "secret.yaml", "--cert", "cluster.pem"], "", &[("SEALED_SECRETS_CERT", "nowhere.pem")]),
    (
        &["-f", "secret.yaml", "--cert", "cluster.pem"],
        "",
        &[("SEALED_SECRETS_SCOPE", "cluster-wide"), ("SEALED_SECRETS_FORMAT", "yaml")],
    ),
    (&["words", "--cert", "cluster.pem", "are", "-f", "secret.yaml", "ignored"], "", &[]),
    (
        &[
            "--cert",
            "cluster.pem",
            "-v",
            "4",
            "--v=9",
            "--logtostderr",
            "--stderrthreshold",
            "2",
            "--skip_headers=true",
        ],
        SECRET,
        &[],
    ),
    (&["--cert", "cluster.pem", "--scope", "strict"], SECRET, &[]),
    (&["--cert", "cluster.pem", "--scope", ""], SECRET, &[]),
    (&["--cert", "cluster.pem", "--scope", "namespace-wide"], SECRET, &[]),
    (&["--cert", "cluster.pem", "--scope", "cluster-wide", "-o", "yaml"], SECRET, &[]),
    (&["--cert", "cluster.pem", "--scope", "strict", "-f", "wide.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "--scope", "namespace-wide", "-f", "wide.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "wide.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "wide.yaml", "-n", "other"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "no-namespace.yaml", "--scope", "cluster-wide"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "no-namespace.yaml", "-n", "other"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "--namespace", "shop"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "no-namespace.yaml"], "", &[("SEALED_SECRETS_NAMESPACE", "other")]),
    (&["--cert", "cluster.pem", "-f", "no-namespace.yaml", "--kubeconfig", "kubeconfig"], "", &[]),
    (
        &["--cert", "cluster.pem", "-f", "no-namespace.yaml", "--kubeconfig", "kubeconfig", "--context", "there"],
        "",
        &[],
    ),
    (
        &["--cert", "cluster.pem", "-f", "no-namespace.yaml", "--context", "nowhere"],
        "",
        &[("KUBECONFIG", "kubeconfig")],
    ),
    (&["--cert", "cluster.pem", "-f", "no-namespace.yaml", "--server", "https://127.0.0.1:1"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "--kubeconfig", "nowhere"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "no-name.yaml", "--name", "given"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "--name", "renamed"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "empty.yaml", "--allow-empty-data"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "empty.yaml", "--allow-empty-data=true", "-o", "yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "-w", "new.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "-w", "new.yml", "-o", "json"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "--sealed-secret-file", "new.json"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "-w", "sealed.json"], "", &[]),
    (&["--cert", "cluster.pem", "--raw", "--name", "db", "--namespace", "shop"], "hunter2", &[]),
    (&["--cert", "cluster.pem", "--raw", "--name", "db", "--namespace", "shop", "--from-file", "value"], "", &[]),
    (
        &["--cert", "cluster.pem", "--raw", "--name", "db", "-n", "shop", "--from-file", "key=value", "-w", "new"],
        "",
        &[],
    ),
    (&["--cert", "cluster.pem", "--raw", "--scope", "namespace-wide", "--namespace", "shop"], "hunter2", &[]),
    (&["--cert", "cluster.pem", "--raw", "--scope", "cluster-wide"], "hunter2", &[]),
    (&["--cert", "cluster.pem", "--raw", "--name", "db", "--kubeconfig", "kubeconfig"], "", &[]),
    (&["--cert", "cluster.pem", "--merge-into", "sealed.yaml", "-o", "yaml"], SECOND, &[]),
    (&["--cert", "cluster.pem", "--merge-into", "sealed.json"], SECOND, &[]),
    (&["--cert", "cluster.pem", "--merge-into", "sealed.yaml"], SECOND, &[]),
    (
        &[
            "--cert",
            "cluster.pem",
            "--merge-into",
            "ns.yaml",
            "-o",
            "yaml",
            "--scope",
            "namespace-wide",
            "-f",
            "secret.json",
        ],
        "",
        &[],
    ),
    (&["--cert", "cluster.pem", "--merge-into", "cluster.yaml", "-o", "yaml", "-f", "secret.json"], "", &[]),
    (&["--cert", "cluster.pem", "--fetch-cert"], "", &[]),
    (&["--cert", "cluster.pem", "--fetch-cert", "-w", "new.pem"], "", &[]),
    (&["--cert", "cluster.pem", "--raw", "--scope", "cluster-wide", "--recovery-unseal=false"], "x", &[]),
    (&["--recovery-unseal", "--recovery-private-key", "cluster.key", "-f", "sealed.yaml"], "", &[]),
    (&["--recovery-unseal", "--recovery-private-key", "cluster.key", "-f", "sealed.json", "-o", "yaml"], "", &[]),
    (&["--recovery-unseal", "--recovery-private-key", "cluster.key", "-f", "templates.yaml", "-o", "yaml"], "", &[]),
    (&["--recovery-unseal", "--recovery-private-key", "cluster.key", "-f", "ns.yaml", "-w", "open.yaml"], "", &[]),
    (&["--recovery-unseal", "--recovery-private-key", "cluster.key", "-f", "no-blob.yaml"], "", &[]),
    (&["--recovery-unseal", "--recovery-private-key", "backup.yaml", "-f", "cluster.yaml"], "", &[]),
    (
        &["--recovery-unseal", "--recovery-private-key", "list.yaml", "-f", "sealed.yaml", "--kubeconfig", "nowhere"],
        "",
        &[],
    ),
    (&["--recovery-unseal", "--recovery-private-key", "backups.yaml,cluster.key", "-f", "bare.yaml"], "", &[]),
    (
        &[
            "--recovery-unseal",
            "--recovery-private-key",
            "backup.yaml",
            "--recovery-private-key",
            "cluster.key",
            "-f",
            "sealed.json",
        ],
        "",
        &[],
    ),
    (
        &["--cert", "cluster.pem"],
        "{\"metadata\":{\"name\":\"db\",\"namespace\":\"shop\"},\"stringData\":{\"pin\":1}}",
        &[],
    ),
    (
        &[
            "--recovery-unseal",
            "--recovery-private-key=newer.key",
            "--recovery-private-key=cluster.key",
            "-f=bare.yaml",
        ],
        "",
        &[],
    ),
    (
        &[
            "--recovery-unseal",
            "--recovery-private-key=cluster.key",
            "--recovery-private-key=newer.key",
            "-f=bare.yaml",
        ],
        "",
        &[],
    ),
    (&["--version"], "", &[]),
    (&["--version", "--raw", "--cert", "nowhere"], "", &[]),
    (&[], "", &[("SEALED_SECRETS_VERSION", "true")]),
];

/// Calls that fail, with the same words where scripts look for them: those of the first line.
const FAILING: &[Row<'_>] = &[
    (&[], SECRET, &[]),
    (&["--validate"], "", &[]),
    (&["--re-encrypt", "-f", "sealed.yaml"], "", &[]),
    (&["--fetch-cert"], "", &[]),
    (&["--cert", "nowhere.pem"], SECRET, &[]),
    (&["--cert", "expired.pem"], SECRET, &[]),
    (&["--cert", "value"], SECRET, &[]),
    (&["--cert", "cluster.pem"], "", &[]),
    (&["--cert", "cluster.pem"], "# nothing\n---\n", &[]),
    (&["--cert", "cluster.pem", "-f", "nowhere.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "no-name.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "no-namespace.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "no-namespace.yaml", "--kubeconfig", "nowhere"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "empty.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "empty.yaml", "--allow-empty-data=false"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "empty.yaml", "-w", "sealed.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "-n", "other"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "-o", "xml"], "", &[]),
    (&["--cert", "cluster.pem", "-f", "secret.yaml", "--from-file", "value"], "", &[]),
    (&["--cert", "cluster.pem", "--raw", "--name", "db"], "x", &[]),
    (&["--cert", "cluster.pem", "--raw", "--namespace", "shop"], "x", &[]),
    (&["--cert", "cluster.pem", "--raw", "--name", "db", "-n", "shop", "--from-file", "value,value"], "", &[]),
    (&["--cert", "cluster.pem", "--raw", "--scope", "cluster-wide", "--from-file", "nowhere"], "", &[]),
    (&["--cert", "cluster.pem", "--merge-into", "nowhere.yaml"], SECRET, &[]),
    (&["--cert", "cluster.pem", "--merge-into", "sealed.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "--merge-into", "sealed.yaml", "-f", "empty.yaml"], "", &[]),
    (&["--recovery-unseal", "-f", "sealed.yaml"], "", &[]),
    (&["--recovery-unseal", "-f", "bare.yaml", "--recovery-private-key", "nowhere.key"], "", &[]),
    (&["--recovery-unseal", "-f", "bare.yaml", "--recovery-private-key", "newer.key"], "", &[]),
];

/// Calls that fail with other words.
const FAILING_OTHERWISE: &[Row<'_>] = &[
    (&["--cert", "cluster.pem", "--raw", "--name", "db", "--kubeconfig", "kubeconfig", "--context", "gone"], "x", &[]),
    (&["--no-such-flag"], "", &[]),
    (&["--raw=perhaps"], "", &[]),
    (&["--scope", "everywhere"], "", &[]),
    (&["-o"], "", &[]),
    (&["--cert", "elliptic.pem"], SECRET, &[]),
    (&["--cert", "cluster.pem"], "kind: [\n", &[]),
    (&["--cert", "cluster.pem"], "metadata: {name: db, namespace: shop}\ndata: {a: 'not base64'}\n", &[]),
    (&["--cert", "cluster.pem"], "metadata: {name: db, namespace: shop}\ndata: [a]\n", &[]),
    (
        &["--cert", "cluster.pem"],
        "kind: ConfigMap\nmetadata: {name: db, namespace: shop}\ndata: {a: 'not base64'}\n",
        &[],
    ),
    (&["--cert", "cluster.pem", "-f", "sealed.yaml"], "", &[]),
    (&["--cert", "cluster.pem", "--merge-into", "secret.yaml"], SECOND, &[]),
    (&["--recovery-unseal", "-f", "secret.yaml", "--recovery-private-key", "cluster.key"], "", &[]),
    (&["--recovery-unseal", "-f", "value", "--recovery-private-key", "cluster.key"], "", &[]),
    (&["--recovery-unseal", "-f", "blob.yaml", "--recovery-private-key", "cluster.key"], "", &[]),
    (&["--recovery-unseal", "-f", "empty-blob.yaml", "--recovery-private-key", "cluster.key"], "", &[]),
    (&["--recovery-unseal", "-f", "bare.yaml", "--recovery-private-key", "secret.yaml"], "", &[]),
];

/// Runs every row with both programs and says what differs; `told` takes what is compared out of standard error.
fn differences(rows: &[Row<'_>], told: fn(&str) -> String) -> Vec<String> {
    let upstream = Upstream::new().unwrap();
    let start = folder(&upstream);
    let compare = |(words, stdin, variables): &Row<'_>| {
        let [theirs, ours] = [Program::Theirs, Program::Ours].map(|program| {
            let folder = copy(&start);
            let call = call(&upstream, program, folder.path(), words).stdin(*stdin);
            let call = variables.iter().fold(call, |call, (name, value)| call.env(name, value));
            let seen = seen(call.run().unwrap(), folder.path());
            assert!(!seen.stderr.contains("hunter2"), "{words:?}");
            seen
        });
        difference(words, theirs, ours, told)
    };
    rows.iter().filter_map(compare).collect()
}

#[test]
fn calls_of_kubeseal_print_the_same_and_leave_the_same_files() {
    let different = differences(WORKING, str::to_owned);
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

#[test]
fn what_kubeseal_refuses_is_refused_with_its_code_and_its_words() {
    let different = differences(FAILING, first_line);
    assert!(different.is_empty(), "{}", different.join("\n\n"));
    let different = differences(FAILING_OTHERWISE, |_| String::new());
    assert!(different.is_empty(), "{}", different.join("\n\n"));
}

/// The flags of kubeseal with a value that each takes, from its own help.
fn flags() -> Vec<(String, String)> {
    let help = Upstream::new().unwrap().kubeseal(&["--help"]).unwrap().text().unwrap();
    let flag = Regex::new(r"(?m)^ +(?:-\w, )?--([\w-]+)(?: (\w+))?  ").unwrap();
    let value = |name: &str, type_: Option<regex::Match<'_>>| match (name, type_.map(|type_| type_.as_str())) {
        ("scope", _) => "strict",
        ("request-timeout", _) => "1m30s",
        (_, None) => "true",
        (_, Some("string" | "strings" | "stringArray" | "moduleSpec")) => "a",
        (_, Some(_)) => "1",
    };
    flag.captures_iter(&help).map(|found| (found[1].to_owned(), value(&found[1], found.get(2)).to_owned())).collect()
}

#[test]
fn every_flag_of_kubeseal_is_accepted_and_written_about() {
    let page = include_str!("../../docs/from-sealed-secrets.md");
    let flags = flags();
    assert!(flags.len() > 50, "{flags:?}");
    for (name, _) in &flags {
        assert!(page.contains(&format!("`--{name}`")), "docs/from-sealed-secrets.md does not name --{name}");
    }
    let flags = flags.iter().filter(|(name, _)| name != "help");
    let words: Vec<String> = flags.map(|(name, value)| format!("--{name}={value}")).collect();
    let ran = run(Folder::new().call(&["kubeseal"]).args(words));
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (Some(0), "kubeseal version: 0.40.0\n", ""));
}

/// What the real controller has beside flags (`pkg/controller/server.go`, `metrics.go` and `pkg/apis/sealedsecrets/v1alpha1/types.go`).
const OF_THE_CONTROLLER: [&str; 17] = [
    "/v1/cert.pem",
    "/v1/verify",
    "/v1/rotate",
    "/healthz",
    "/readyz",
    "/metrics",
    "sealed_secrets_controller_build_info",
    "sealed_secrets_controller_unseal_requests_total",
    "sealed_secrets_controller_unseal_errors_total",
    "sealed_secrets_controller_condition_info",
    "sealed_secrets_controller_http_requests_total",
    "sealed_secrets_controller_http_request_duration_seconds",
    "sealedsecrets.bitnami.com/cluster-wide",
    "sealedsecrets.bitnami.com/managed",
    "sealedsecrets.bitnami.com/patch",
    "sealedsecrets.bitnami.com/skip-set-owner-references",
    "/namespace-wide",
];

#[test]
fn every_flag_annotation_endpoint_and_metric_of_the_controller_is_written_about() {
    let page = include_str!("../../docs/from-sealed-secrets.md");
    let program = waxwing_harness::Tools::locate().unwrap().path("sealed-secrets-controller").unwrap();
    let folder = Folder::new();
    let finished = waxwing_harness::Call::new(&program, folder.path()).arg("--help").run().unwrap();
    let help = format!("{}{}", String::from_utf8_lossy(&finished.stdout), finished.stderr);
    let flag = Regex::new(r"(?m)^ +(?:-\w, )?(--[\w-]+)").unwrap();
    let flags: Vec<String> = flag.captures_iter(&help).map(|found| found[1].to_owned()).collect();
    assert!(flags.len() > 25, "{help}");
    for name in flags.iter().map(String::as_str).chain(OF_THE_CONTROLLER) {
        assert!(page.contains(&format!("`{name}`")), "docs/from-sealed-secrets.md does not name {name}");
    }
}
