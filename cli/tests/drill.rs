//! The drill of docs/operating.md: the sealing keys are backed up in one cluster and restored in another one, where old SealedSecrets open.
//! Both are real, and so are sops, kubectl and the Sealed Secrets controller; the commands are those of the page.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Folder, waxwing};
use waxwing_harness::{
    AgeKey, Call, Cluster, ClusterOptions, Controller, Failure, SealedSecretsController, Tools, Upstream, eventually,
};

const PATIENCE: Duration = Duration::from_secs(60);
const OURS: &str = "waxwing-system";
const THEIRS: &str = "kube-system";
/// The blocks of the page: a backup, a restore with `seal`, and one without.
const BACKUP: usize = 0;
const RESTORE: usize = 1;
const WITHOUT_SEAL: usize = 2;

/// Returns the commands of each block of a section, in which a command may go on over lines.
fn commands(section: &str) -> Vec<Vec<String>> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md")).unwrap();
    let (_, rest) = page.split_once(&format!("\n{section}\n")).unwrap();
    let text = rest.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    let blocks = text.split("```console\n").skip(1).map(|block| block.split("```").next().unwrap());
    let of_block = |block: &str| block.split("$ ").skip(1).map(|command| command.trim().replace('\n', " ")).collect();
    blocks.map(of_block).collect()
}

/// A folder in which someone works on clusters, with the programs that the page names.
struct Desk {
    folder: Folder,
    upstream: Upstream,
    own: AgeKey,
}

impl Desk {
    fn new() -> Result<Self, Failure> {
        let (folder, upstream, tools) = (Folder::new(), Upstream::new()?, Tools::locate()?);
        let own = upstream.age_keygen()?;
        fs::create_dir(folder.path().join("bin")).unwrap();
        for (name, program) in [
            ("seal", PathBuf::from(env!("CARGO_BIN_EXE_seal"))),
            ("sops", tools.path("sops")?),
            ("kubectl", tools.path("kubectl")?),
        ] {
            symlink(program, folder.path().join("bin").join(name)).unwrap();
        }
        Ok(Self { folder, upstream, own })
    }

    /// Runs commands of the page, with the controller in this namespace. One that only shows what would be done says so with 2.
    fn run(&self, cluster: &Cluster, namespace: &str, commands: &[String]) {
        let (bin, path) = (self.folder.path().join("bin"), std::env::var("PATH").unwrap());
        for command in commands {
            if command.starts_with("kubectl create namespace") && namespace == THEIRS {
                continue;
            }
            let flag = format!("--controller-namespace {namespace}");
            let words = command.replace(OURS, namespace);
            let words = words.replace("sealing-keys", &format!("sealing-keys-{namespace}"));
            let words = if words.starts_with("seal ") { format!("{words} {flag}") } else { words };
            let call = Call::new(Path::new("bash"), self.folder.path()).args(["-o", "pipefail", "-c", &words]);
            let call = call.env("PATH", format!("{}:{path}", bin.display())).env("KUBECONFIG", cluster.kubeconfig());
            let call = call.env("SOPS_AGE_RECIPIENTS", &self.own.recipient).env("SOPS_AGE_KEY", &self.own.identity);
            let finished = call.env("KUBECTL_KUBERC", "false").run().unwrap();
            let wanted = if words.contains("seal") && words.contains("--dry-run ") { 2 } else { 0 };
            assert_eq!(finished.status.code(), Some(wanted), "{words}: {}", finished.stderr);
        }
    }

    /// Seals for a Secret of this name with the real kubeseal.
    fn sealed(&self, name: &str, certificate: &str) -> Value {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "stringData": {"password": "hunter2"}});
        let seal = || {
            let call = self.upstream.kubeseal(&["--cert", certificate]).map_err(|failure| failure.to_string())?;
            call.stdin(secret.to_string()).text().map_err(|failure| failure.to_string())
        };
        let mut sealed: Value = serde_json::from_str(&eventually(PATIENCE, "a certificate", seal).unwrap()).unwrap();
        sealed["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
        sealed["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
        sealed
    }
}

fn new_cluster() -> Result<Cluster, Failure> {
    let cluster = Cluster::start(ClusterOptions { controller_manager: true, ..ClusterOptions::default() })?;
    waxwing::prepare(&cluster)?;
    Ok(cluster)
}

fn controller(cluster: &Cluster, more: &[&str]) -> Result<Controller, Failure> {
    waxwing::start(cluster, &[&["--namespace", OURS], more].concat())
}

fn opens(cluster: &Cluster, sealed: &Value) {
    cluster.apply_yaml(&sealed.to_string()).unwrap();
    let name = sealed["metadata"]["name"].as_str().unwrap();
    let path = format!("/api/v1/namespaces/default/secrets/{name}");
    let secret = eventually(PATIENCE, name, || cluster.get(&path)).unwrap();
    assert_eq!(secret["data"]["password"], "aHVudGVyMg==");
}

#[test]
fn old_sealed_secrets_open_in_a_new_cluster_after_the_drill_of_the_documentation() -> Result<(), Failure> {
    let (desk, page) = (Desk::new()?, commands("## Back up and restore the sealing keys"));
    let old = new_cluster()?;
    old.kubectl(&["create", "namespace", OURS])?;
    let theirs = SealedSecretsController::start(&old)?;
    let of_theirs = desk.sealed("of-theirs", &theirs.certificate_url());
    drop(theirs);
    let ours = controller(&old, &[])?;
    let of_ours = desk.sealed("of-ours", &ours.url("/v1/cert.pem"));
    drop(ours);
    for namespace in [OURS, THEIRS] {
        desk.run(&old, namespace, &page[BACKUP]);
    }
    drop(old);

    let new = new_cluster()?;
    desk.run(&new, OURS, &page[RESTORE]);
    // The keys of the other controller come back without `seal`.
    desk.run(&new, THEIRS, &page[WITHOUT_SEAL]);
    let theirs = SealedSecretsController::start(&new)?;
    opens(&new, &of_theirs);
    drop(theirs);
    let ours = controller(&new, &["--sealed-secrets"])?;
    opens(&new, &of_ours);

    // And one of the other controller's, restored with `seal` beside a controller that runs.
    let renamed = fs::read_to_string(desk.folder.path().join("sealing-keys-kube-system.sops.yaml")).unwrap();
    desk.folder.write("sealing-keys-waxwing-system.sops.yaml", renamed);
    new.delete("/api/v1/namespaces/default/secrets/of-theirs")?;
    desk.run(&new, OURS, &page[RESTORE][1..]);
    opens(&new, &of_theirs);
    assert!(!ours.log().contains("hunter2"));
    assert_eq!(page.len(), 3, "a block of the page that nothing runs");
    Ok(())
}

#[test]
fn a_key_is_renewed_and_the_old_one_retired_as_the_documentation_says() -> Result<(), Failure> {
    let desk = Desk::new()?;
    let cluster = Cluster::shared()?;
    SealedSecretsController::install(cluster)?;
    cluster.kubectl(&["create", "namespace", OURS])?;
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/formats/tests/fixtures/sealed_secret/keys");
    for (name, key) in [("newer", "sealed-secrets-key-1"), ("throw-away", "tls")] {
        for ending in ["key", "crt"] {
            let file = desk.folder.path().join(format!("{key}.{ending}"));
            fs::copy(keys.join(format!("{name}.{ending}")), file).unwrap();
        }
    }
    let file = |name: &str| desk.folder.path().join(name).display().to_string();
    let (key, certificate) =
        (format!("--key={}", file("sealed-secrets-key-1.key")), format!("--cert={}", file("sealed-secrets-key-1.crt")));
    cluster.kubectl(&["-n", OURS, "create", "secret", "tls", "sealed-secrets-key-1", &key, &certificate])?;
    cluster.kubectl(&[
        "-n",
        OURS,
        "label",
        "secret",
        "sealed-secrets-key-1",
        "sealedsecrets.bitnami.com/sealed-secrets-key=active",
    ])?;
    let page = commands("### Renew a key");
    // The first makes a key of 4096 bits, which takes long; there is one.
    assert!(page[0][0].starts_with("openssl req -x509"));
    desk.run(cluster, OURS, &page[0][1..]);
    desk.run(cluster, OURS, &page[1]);
    let label = cluster.get(&format!("/api/v1/namespaces/{OURS}/secrets/sealed-secrets-key-2"))?;
    assert_eq!(label["metadata"]["labels"]["sealedsecrets.bitnami.com/sealed-secrets-key"], "compromised");
    Ok(())
}
