//! What kubeseal asks the controller, asked by the real kubeseal and by ours: the real Sealed Secrets controller answers, behind the
//! API server's service proxy.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::time::Duration;

use support::Folder;
use support::kubeseal::{Program, call, copy, difference, first_line, seen};
use waxwing_harness::{Cluster, ConnectProxy, Failure, SealedSecretsController, Upstream, eventually, in_own_network};

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = include_str!("fixtures/kubeseal/secret.yaml");

/// Calls with the kubeconfig of an administrator.
const CALLS: &[&[&str]] = &[
    &["--fetch-cert"],
    &["--fetch-cert", "-w", "new.pem"],
    &["--fetch-cert", "--controller-namespace", "kube-system", "--controller-name=sealed-secrets-controller"],
    &["--fetch-cert", "--request-timeout", "30s", "--as", "admin", "--as-group", "system:masters", "--as-uid", "1"],
    &["-f", "secret.yaml", "-o", "yaml"],
    &["-f", "no-namespace.yaml"],
    &["--raw", "--scope", "cluster-wide", "--from-file", "secret.yaml"],
    &["--merge-into", "sealed.yaml", "-o", "yaml", "-f", "secret.yaml"],
    &["--re-encrypt", "-f", "sealed.yaml", "-o", "yaml"],
    &["--re-encrypt", "-f", "both.yaml"],
    &["--re-encrypt", "-f", "sealed.yaml", "-w", "new.yaml"],
    &["--re-encrypt", "-f", "wide.json"],
    &["--validate", "-f", "sealed.yaml"],
    &["--validate", "-f", "wide.json"],
];

/// Calls that fail, with the same first line.
const FAILING: &[&[&str]] = &[
    &["--validate", "-f", "renamed.yaml"],
    &["--validate", "-f", "both.yaml", "--controller-name", "nobody"],
    &["--fetch-cert", "--controller-name", "nobody"],
    &["--fetch-cert", "--controller-namespace", "nowhere"],
    &["-f", "secret.yaml", "--controller-name", "nobody", "-w", "sealed.yaml"],
    &["--re-encrypt", "-f", "sealed.yaml", "--controller-name", "nobody"],
];

/// Calls that fail with other words: the API server's are not told.
const FAILING_OTHERWISE: &[&[&str]] = &[
    &["--re-encrypt", "-f", "renamed.yaml"],
    &["--fetch-cert", "--as", "stranger"],
    &["--fetch-cert", "--context", "nowhere"],
    &["--fetch-cert", "--cluster", "nowhere"],
    &["--fetch-cert", "--user", "nowhere"],
    &["--fetch-cert", "--token", "canary"],
    &["--fetch-cert", "--server", "https://127.0.0.1:1"],
    &["--fetch-cert", "--tls-server-name", "elsewhere.example.com"],
    &["--validate", "-f", "damaged.yaml"],
];

/// Takes what is compared out of standard error.
type Told = fn(&str) -> String;

fn folder(upstream: &Upstream, cluster: &Cluster) -> Folder {
    let folder = Folder::new();
    folder.write("kubeconfig", std::fs::read(cluster.kubeconfig()).unwrap());
    folder.write("secret.yaml", SECRET);
    folder.write("no-namespace.yaml", SECRET.replace("  namespace: shop\n", ""));
    let sealed = |words: &[&str]| {
        let call = call(upstream, Program::Theirs, folder.path(), words);
        call.args(["--kubeconfig", "kubeconfig", "-f", "secret.yaml"]).text().unwrap()
    };
    let (strict, wide) = (sealed(&["-o", "yaml"]), sealed(&["--scope", "cluster-wide"]));
    folder.write("sealed.yaml", &strict);
    folder.write("wide.json", &wide);
    folder.write("both.yaml", format!("{strict}---\n{wide}"));
    folder.write("renamed.yaml", strict.replace("name: db", "name: renamed"));
    folder.write("damaged.yaml", strict.replace("kind: SealedSecret", "kind: Sealed"));
    folder
}

/// Runs a call with both, and says what differs.
fn compare(upstream: &Upstream, start: &Folder, words: &[&str], told: Told) -> Option<String> {
    let [theirs, ours] = [Program::Theirs, Program::Ours].map(|program| {
        let folder = copy(start);
        let call = call(upstream, program, folder.path(), words).args(["--kubeconfig", "kubeconfig"]);
        let seen = seen(call.run().unwrap(), folder.path());
        assert!(!seen.stderr.contains("hunter2") && !seen.stderr.contains("canary"), "{words:?}");
        seen
    });
    difference(words, theirs, ours, told)
}

#[test]
fn the_real_controller_answers_ours_as_it_answers_kubeseal() -> Result<(), Failure> {
    in_own_network("the_real_controller_answers_ours_as_it_answers_kubeseal", || {
        let (upstream, cluster) = (Upstream::new()?, Cluster::shared()?);
        let controller = SealedSecretsController::start(cluster)?;
        cluster.expose("kube-system", "sealed-secrets-controller", controller.port())?;
        let home = Folder::new();
        home.write("kubeconfig", std::fs::read(cluster.kubeconfig()).unwrap());
        eventually(PATIENCE, "the service proxy", || {
            call(&upstream, Program::Theirs, home.path(), &["--fetch-cert", "--kubeconfig", "kubeconfig"]).text()
        })?;
        let start = folder(&upstream, cluster);
        let rows: [(&[&[&str]], Told); 3] =
            [(CALLS, str::to_owned), (FAILING, first_line), (FAILING_OTHERWISE, |_| String::new())];
        let mut different: Vec<_> = rows
            .into_iter()
            .flat_map(|(rows, told)| rows.iter().map(move |words| (words, told)))
            .filter_map(|(words, told)| compare(&upstream, &start, words, told))
            .collect();
        // Nobody else knows the name of this server.
        let proxy = ConnectProxy::start([("cluster.example.com".to_owned(), cluster.port())])?;
        let server = ["--server", "https://cluster.example.com", "--insecure-skip-tls-verify", "--proxy-url"];
        let url = proxy.url();
        let words = [&["--fetch-cert"], server.as_slice(), &[url.as_str()]].concat();
        different.extend(compare(&upstream, &start, &words, str::to_owned));
        assert!(different.is_empty(), "{}", different.join("\n"));
        // kubeseal says it on standard output, in front of the result.
        let rotated = call(&upstream, Program::Ours, start.path(), &["--rotate", "--kubeconfig", "kubeconfig"]);
        let rotated = rotated.stdin(std::fs::read(start.path().join("wide.json")).unwrap()).run()?;
        assert!(rotated.stdout.starts_with(b"{") && rotated.stderr.starts_with("Flag --rotate has been deprecated"));
        Ok(())
    })
}
