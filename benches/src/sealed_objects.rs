//! A thousand SealedSecrets of five values as objects of the cluster, made at once: until all Secrets stand, and a start with all of them
//! unchanged. Opening them can't be faster than the bare RSA operations on all cores, which is told too. The peer is the real Sealed Secrets controller with `--kubeclient-qps -1`, on the same API server and in the same run.

use std::collections::HashSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use waxwing_formats::SecretBytes;
use waxwing_formats::sealed_secret::{PlainSecret, PublicKey, Scope, seal};
use waxwing_harness::{Process, SealedSecretsController, Upstream};

use crate::error::{Error, other};
use crate::page::{at_least, at_most, digits, heading, line, seconds};
use crate::scale::Scale;
use crate::sealed::{bare_rsa, key_files, wrapped_keys};
use crate::stage::{PATIENCE, Stage, rest};
use crate::usage;

const VALUES: usize = 5;
/// How many SealedSecrets are being made at the same time.
const MAKERS: usize = 32;
/// How much faster than the peer.
const FASTER: f64 = 5.0;

/// What a controller cost.
struct Figures {
    time: Duration,
    cpu: Duration,
    /// Right after the work, its peak.
    working: f64,
    /// After a start with everything done, its peak until it came to rest.
    started: f64,
    starting: Duration,
}

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(1000);
    heading(format!("{count} SealedSecrets of {VALUES} values in the cluster (RSA 4096)"));
    let stage = Stage::new()?;
    let theirs = theirs(&stage, count)?;
    told("the Sealed Secrets controller", count, &theirs);
    let (ours, operations, bare) = ours(&stage, count)?;
    told("waxwing --sealed-secrets", count, &ours);
    line("  against bare RSA (aws-lc-rs) on all cores", format!("{} times", digits(ours.time.as_secs_f64() / bare)));
    at_least("faster by", theirs.time.as_secs_f64() / ours.time.as_secs_f64(), FASTER, "times");
    at_most("CPU against it", ours.cpu.as_secs_f64() / theirs.cpu.as_secs_f64(), 1.0, "times");
    at_most("peak memory against it", ours.working / theirs.working, 0.5, "times");
    at_most("peak memory after a start against it", ours.started / theirs.started, 0.5, "times");
    at_most("private-key operations of a start", operations, 0.0, "");
    Ok(())
}

fn told(who: &str, count: usize, figures: &Figures) {
    line(&format!("{who}: until all Secrets stand"), seconds(figures.time));
    line("  a second", digits(count as f64 / figures.time.as_secs_f64()));
    let each = figures.cpu.as_secs_f64() * 1000.0 / count as f64;
    line("  its CPU", format!("{} ({} ms each)", seconds(figures.cpu), digits(each)));
    line("  its memory at the peak", format!("{} MiB", digits(figures.working)));
    line("  a start with all unchanged: CPU", seconds(figures.starting));
    line("  a start with all unchanged: memory at the peak", format!("{} MiB", digits(figures.started)));
}

fn theirs(stage: &Stage, count: usize) -> Result<Figures, Error> {
    let namespace = "theirs";
    stage.cluster.kubectl(&["create", "namespace", namespace])?;
    let controller = SealedSecretsController::start(&stage.cluster)?;
    let upstream = Upstream::new()?;
    let fetch = upstream.kubeseal(&["--fetch-cert", "--cert", &controller.certificate_url()])?;
    let sealed = sealed(fetch.text()?.as_bytes(), namespace, count)?;
    let (time, cpu) = made(stage, controller.process(), namespace, &sealed)?;
    let working = usage::peak_mib(controller.process().id());
    drop(controller);
    let controller = SealedSecretsController::start(&stage.cluster)?;
    let (starting, started) = rested(controller.process());
    drop(controller);
    // Ours has no more to look at than theirs had.
    stage.cluster.kubectl(&["delete", "namespace", namespace, "--wait=true", "--timeout=600s"])?;
    Ok(Figures { time, cpu, working, started, starting })
}

fn ours(stage: &Stage, count: usize) -> Result<(Figures, f64, f64), Error> {
    let namespace = "ours";
    stage.cluster.kubectl(&["create", "namespace", namespace])?;
    let mut controller = stage.controller_with(&["--namespace", "kube-system", "--sealed-secrets"])?;
    let sealed = sealed(controller.get("/v1/cert.pem")?.1.as_bytes(), namespace, count)?;
    let (time, cpu) = made(stage, controller.process(), namespace, &sealed)?;
    let working = usage::peak_mib(controller.process().id());
    controller.kill();
    let wrapped: Result<Vec<_>, Error> = sealed.iter().map(wrapped_keys).collect();
    let bare = bare_rsa(&key_files(stage, "kube-system")?, &wrapped?.concat())?;
    controller.restart()?;
    controller.wait_ready()?;
    let (starting, started) = rested(controller.process());
    let metrics = controller.get("/metrics")?.1;
    let figure = |name: &str| {
        let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        found.ok_or(Error::Setting("the controller doesn't serve what was looked for"))
    };
    if figure("sealed_secrets_controller_unseal_requests_total ")? < count as f64 {
        return Err(Error::Setting("the controller came to rest before it had looked at all SealedSecrets"));
    }
    let operations = figure("waxwing_sealing_key_operations_total ")?;
    Ok((Figures { time, cpu, working, started, starting }, operations, bare.as_secs_f64()))
}

/// Waits until a process that was just started has nothing to do; returns its CPU, and its memory at the peak.
fn rested(process: &Process) -> (Duration, f64) {
    rest(process);
    (usage::cpu(process.id()), usage::peak_mib(process.id()))
}

/// Seals all of them.
fn sealed(certificate: &[u8], namespace: &str, count: usize) -> Result<Vec<Value>, Error> {
    let key = PublicKey::from_certificate_pem(certificate, jiff::Timestamp::now()).map_err(other)?;
    let one = |number: usize| {
        let name = format!("sealed-{number}");
        let value = |item: usize| SecretBytes::new(format!("value {item} of {name}").into_bytes());
        let values = (0..VALUES).map(|item| (format!("key-{item}"), value(item))).collect();
        let secret = PlainSecret::new(name.clone(), Some(namespace.to_owned()), values);
        seal(&secret, Scope::Strict, &key, &mut rand_core::OsRng).map_err(other)
    };
    (0..count).map(one).collect()
}

/// Makes all of them, and returns how long it took from the first until all Secrets stood, and the CPU of the controller.
fn made(stage: &Stage, process: &Process, namespace: &str, sealed: &[Value]) -> Result<(Duration, Duration), Error> {
    rest(process);
    let before = usage::cpu(process.id());
    let all_stand = async {
        let (start, making) = (Instant::now(), make(&stage.client, namespace, sealed));
        let standing = stand(&stage.client, namespace, sealed.len());
        futures::try_join!(making, standing)?;
        Ok::<_, Error>(start.elapsed())
    };
    let time = stage.runtime.block_on(all_stand)?;
    rest(process);
    Ok((time, usage::cpu(process.id()).saturating_sub(before)))
}

async fn make(client: &Client, namespace: &str, sealed: &[Value]) -> Result<(), Error> {
    let path = format!("/apis/bitnami.com/v1alpha1/namespaces/{namespace}/sealedsecrets");
    let one = |sealed: &Value| {
        let request = http::Request::post(&path).header("content-type", "application/json");
        let request = request.body(sealed.to_string().into_bytes()).map_err(kube::Error::HttpError);
        async { client.request_text(request?).await.map(drop).map_err(Error::from) }
    };
    stream::iter(sealed).map(one).buffer_unordered(MAKERS).try_collect().await
}

/// Waits until there are so many Secrets.
async fn stand(client: &Client, namespace: &str, count: usize) -> Result<(), Error> {
    let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
    let mut events = pin!(watcher(secrets, watcher::Config::default()).default_backoff().touched_objects());
    let mut names = HashSet::new();
    let watching = async {
        while names.len() < count {
            match events.next().await {
                Some(Ok(secret)) => drop(names.insert(secret.name_any())),
                Some(Err(_)) => {}
                None => break,
            }
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, watching).await;
    in_time.map_err(|_| Error::Setting("not all Secrets came to stand"))
}
