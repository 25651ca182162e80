//! A thousand SOPS files whose data keys a key service has wrapped: how often it is called, and how long that takes, against
//! nothing but a call for each, and against a loop of `sops -d`.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use waxwing_formats::WrappedKey;
use waxwing_formats::sops::{Document, Store};
use waxwing_harness::{Controller, OpenBao, Tools, Upstream};
use waxwing_keys::VaultTransit;

use crate::error::{Error, other};
use crate::page::{at_least, at_most, heading, line, seconds};
use crate::scale::Scale;
use crate::sops::{self, VALUES};
use crate::stage::{NAMESPACES, Stage, program, sync_spec};

/// How many files `sops -d` is run for.
const SAMPLE: usize = 50;
const THREADS: [usize; 5] = [1, 2, 4, 8, 16];

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(1000);
    heading(format!("{count} SOPS files of {VALUES} values, each with a data key of its own wrapped by OpenBao"));
    let (stage, upstream, bao) = (Stage::new()?, Upstream::new()?, OpenBao::start()?);
    bao.mount_transit(None, "transit")?;
    bao.make_key(None, "transit", "bench")?;
    let key = format!("{}/v1/transit/keys/bench", bao.address());
    let rule = "--encrypted-regex=^(data|stringData)$";
    let arguments =
        ["encrypt", "--hc-vault-transit", &key, rule, "--filename-override", "secret.yaml", "--output-type=yaml"];
    sops::write(&stage, "services", count, &|| Ok(upstream.sops(&arguments)?.env("VAULT_TOKEN", bao.root_token())))?;

    let folder = stage.repo.tree().join("services");
    let (threads, bare) = bare(&bao, &folder, count)?;
    line(&format!("nothing but the calls, one for each file, by {threads} threads"), seconds(bare));
    on_the_command_line(&bao, &folder, count, bare)?;
    in_a_cluster(&stage, &bao, count, bare)
}

/// Unwraps all data keys by nothing but calls, at the best of several numbers of threads.
fn bare(bao: &OpenBao, folder: &Path, count: usize) -> Result<(usize, Duration), Error> {
    let keys = (0..count).map(|number| wrapped(&folder.join(format!("{number}.yaml"))));
    let keys: Vec<String> = keys.collect::<Result<_, _>>()?;
    let mut best = (0, Duration::MAX);
    for threads in THREADS {
        let start = Instant::now();
        unwrap_all(bao, &keys, threads)?;
        if start.elapsed() < best.1 {
            best = (threads, start.elapsed());
        }
    }
    Ok(best)
}

fn unwrap_all(bao: &OpenBao, keys: &[String], threads: usize) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(key) = keys.get(next.fetch_add(1, Ordering::Relaxed)) {
            bao.ask(None, "transit/decrypt/bench", &json!({"ciphertext": key}))?;
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Err(Error::Setting("a worker panicked"))))
    })
}

fn wrapped(path: &Path) -> Result<String, Error> {
    let document = Document::parse(&std::fs::read(path).map_err(other)?, Store::Yaml).map_err(other)?;
    match document.unlock().next().map(|request| request.wrapped) {
        Some(WrappedKey::VaultTransit { enc, .. }) => Ok(enc),
        _ => Err(Error::Setting("sops wrote a file without a key of OpenBao")),
    }
}

/// `seal sops -d` over all files in one process, and a loop of `sops -d`.
fn on_the_command_line(bao: &OpenBao, folder: &Path, count: usize, bare: Duration) -> Result<(), Error> {
    let files: Vec<_> = (0..count).map(|number| folder.join(format!("{number}.yaml"))).collect();
    let run = |program: &Path, arguments: &[&str], files: &[_]| {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", folder).env("VAULT_TOKEN", bao.root_token()).args(arguments).args(files);
        let start = Instant::now();
        let output = command.output().map_err(other)?;
        match output.status.success() {
            true => Ok(start.elapsed()),
            false => Err(Error::Other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    };
    let sops = Tools::locate()?.path("sops")?;
    let sample = SAMPLE.min(count);
    let mut theirs = Duration::ZERO;
    for file in &files[..sample] {
        theirs += run(&sops, &["-d"], std::slice::from_ref(file))?;
    }
    let theirs = theirs.mul_f64(count as f64 / sample as f64);
    let ours = run(&program("seal")?, &["sops", "-d"], &files)?;
    line(&format!("a loop of `sops -d`, from {sample} files"), seconds(theirs));
    line("seal sops -d FILE..., one process", seconds(ours));
    at_least("  against that loop", theirs.as_secs_f64() / ours.as_secs_f64(), 20.0, "times");
    line("  against nothing but the calls", format!("{:.2} times", ours.as_secs_f64() / bare.as_secs_f64()));
    Ok(())
}

/// The controller, from the Sync to the Secrets, and by how many requests it gets the data keys.
fn in_a_cluster(stage: &Stage, bao: &OpenBao, count: usize, bare: Duration) -> Result<(), Error> {
    let namespace = NAMESPACES[0];
    let mut controller = stage.controller_with(&["--backend-origin", &bao.address()])?;
    let token = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "vault-token", "namespace": namespace},
        "stringData": {"token": bao.root_token()},
    });
    stage.cluster.apply_yaml(&token.to_string())?;
    let vault = json!({"address": bao.address(), "auth": {"tokenRef": {"name": "vault-token"}}});
    let keys = ["transit/keys/bench"];
    stage.create(
        "secretbackends",
        namespace,
        "SecretBackend",
        "vault",
        json!({"vault": vault, "allow": {"keys": keys}}),
    )?;
    let commit = stage.repo.commit("all")?;
    stage.source(namespace)?;
    let mut sync = sync_spec("services");
    sync["secrets"] = json!({"backends": [{"name": "vault"}]});

    let mark = stage.mark(&controller)?;
    let start = Instant::now();
    stage.create("syncs", namespace, "Sync", "services", sync)?;
    let time = stage.fleet.ready(1, &commit)?.duration_since(start);
    let cost = stage.cost(&controller, &mark)?;
    line("the whole way: until the Sync is Ready", seconds(time));
    line("  against nothing but the calls", format!("{:.2} times", time.as_secs_f64() / bare.as_secs_f64()));
    line("  the controller's CPU", seconds(cost.cpu));
    let fewest = count.div_ceil(VaultTransit::MOST_AT_ONCE);
    at_most("  requests to OpenBao for data keys", calls(&controller)? as f64, fewest as f64, "");

    stage.rest(&controller);
    controller.restart()?;
    controller.wait_ready()?;
    stage.rest(&controller);
    at_most("a restart with nothing changed: requests to OpenBao for data keys", calls(&controller)? as f64, 0.0, "");
    Ok(())
}

/// Returns how many requests for data keys the controller has made since it was started, each for one or more.
fn calls(controller: &Controller) -> Result<u64, Error> {
    let (_, metrics) = controller.get("/metrics")?;
    let counts = metrics.lines().filter(|line| line.starts_with("waxwing_key_service_requests_total{"));
    Ok(counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum::<f64>() as u64)
}
