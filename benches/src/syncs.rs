//! A thousand Syncs of four objects each: from nothing, with one value changed in all, with nothing changed, after a restart.
//!
//! The peer is kustomize-controller 1.9.5 on the same kind of machine with the same objects, whose figures are stated in
//! `benches/README.md`: they were not measured in this run.

use std::time::{Duration, Instant};

use serde_json::json;
use waxwing_harness::Controller;

use crate::error::Error;
use crate::page::{at_most, heading, line, seconds};
use crate::scale::Scale;
use crate::stage::{Cost, NAMESPACES, Stage};
use crate::usage;

/// kustomize-controller 1.9.5: seconds for all of a thousand.
const PEER_SECONDS: f64 = 180.0;
/// Its CPU for one, in milliseconds.
const PEER_CPU: f64 = 124.0;
/// API requests for one, all clients counted.
const PEER_REQUESTS: f64 = 45.0;
/// Its memory at its peak, in MiB.
const PEER_MEMORY: f64 = 201.0;

/// Requests of the GitSource for one commit: its status and an event.
const OF_THE_SOURCE: u64 = 2;

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(1000);
    heading(format!("{count} Syncs of 4 objects (Deployment, ServiceAccount, Service, Ingress), wait: true"));
    let stage = Stage::new()?;
    write(&stage, count, 1)?;
    let commit = stage.repo.commit("all")?;
    let mut controller = stage.controller()?;
    stage.source(NAMESPACES[0])?;

    let (time, cost) = measure(&stage, &controller, || {
        stage.syncs(count)?;
        stage.fleet.ready(count, &commit)
    })?;
    let aim = 60.0 * count as f64 / 1000.0;
    at_most("new: until the last is Ready", time.as_secs_f64(), aim, "s");
    line("  kustomize-controller 1.9.5, as stated", format!("{PEER_SECONDS} s for 1000"));
    per_sync(&cost, count);
    memory(&controller);

    write(&stage, count, 2)?;
    stage.rest(&controller);
    let (time, cost) = measure(&stage, &controller, || commit_and_wait(&stage, count))?;
    line("one value changed in each: until the last is Ready", seconds(time));
    per_sync(&cost, count);

    stage.rest(&controller);
    stage.repo.write("README", "nothing that a Sync reads")?;
    let (time, cost) = measure(&stage, &controller, || commit_and_wait(&stage, count))?;
    line("a commit that changes nothing: until all say so", seconds(time));
    at_most("  CPU for each", milliseconds(cost.cpu, count), 1.0, "ms");
    let of_syncs = cost.requests.saturating_sub(OF_THE_SOURCE) as f64 / count as f64;
    at_most("  requests for each, the 2 of the GitSource aside", of_syncs, 1.0, "");

    stage.rest(&controller);
    restart(&stage, &mut controller, count)?;
    memory(&controller);
    Ok(())
}

/// Measures from before `act` until the moment that it returns, and the cost until then.
fn measure(
    stage: &Stage,
    controller: &Controller,
    act: impl FnOnce() -> Result<Instant, Error>,
) -> Result<(Duration, Cost), Error> {
    let mark = stage.mark(controller)?;
    let start = Instant::now();
    let end = act()?;
    Ok((end.duration_since(start), stage.cost(controller, &mark)?))
}

fn per_sync(cost: &Cost, count: usize) {
    at_most("  the controller's CPU for each", milliseconds(cost.cpu, count), 8.0, "ms");
    at_most("  requests of ours for each", cost.requests as f64 / count as f64, 15.0, "");
    line(
        "  kustomize-controller 1.9.5, as stated",
        format!("{PEER_CPU} ms and {PEER_REQUESTS} requests (all clients)"),
    );
}

fn memory(controller: &Controller) {
    at_most("  memory at its peak", usage::peak_mib(controller.process().id()), 100.0, "MiB");
    line("  kustomize-controller 1.9.5, as stated", format!("{PEER_MEMORY} MB"));
}

fn milliseconds(cpu: Duration, count: usize) -> f64 {
    cpu.as_secs_f64() * 1000.0 / count as f64
}

fn commit_and_wait(stage: &Stage, count: usize) -> Result<Instant, Error> {
    let commit = stage.push(NAMESPACES[0])?;
    stage.fleet.ready(count, &commit)
}

/// Kills the controller and starts it anew: it looks at every Sync once, and writes nothing.
fn restart(stage: &Stage, controller: &mut Controller, count: usize) -> Result<(), Error> {
    let mark = stage.mark(controller)?;
    let start = Instant::now();
    controller.restart()?;
    controller.wait_ready()?;
    let ready = start.elapsed();
    stage.rest(controller);
    let now = stage.mark(controller)?;
    let cost = Cost { cpu: usage::cpu(controller.process().id()), requests: now.served_since(&mark) };
    line("a restart with nothing changed: until it is ready", seconds(ready));
    line("  CPU for each, the start itself included", format!("{:.2} ms", milliseconds(cost.cpu, count)));
    line("  requests for each, the start itself included", format!("{:.2}", cost.requests as f64 / count as f64));
    Ok(())
}

fn write(stage: &Stage, count: usize, value: usize) -> Result<(), Error> {
    for number in 0..count {
        stage.repo.write(&format!("apps/{number}/app.yaml"), app(number, value))?;
    }
    Ok(())
}

/// Returns the objects of one Sync, about as large as those of podinfo.
fn app(number: usize, value: usize) -> String {
    let name = format!("app-{number}");
    let labels = json!({"app.kubernetes.io/name": name});
    let probe =
        |path: &str| json!({"httpGet": {"path": path, "port": "http"}, "initialDelaySeconds": 5, "timeoutSeconds": 5});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 0,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
            "template": {
                "metadata": {"labels": labels, "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9797"}},
                "spec": {
                    "serviceAccountName": name,
                    "terminationGracePeriodSeconds": 30,
                    "containers": [{
                        "name": "app",
                        "image": "ghcr.io/stefanprodan/podinfo:6.9.2",
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["./podinfo", "--port=9898", "--port-metrics=9797", "--level=info"],
                        "ports": [{"name": "http", "containerPort": 9898}, {"name": "http-metrics", "containerPort": 9797}],
                        "env": [{"name": "PODINFO_UI_MESSAGE", "value": format!("revision {value}")}],
                        "livenessProbe": probe("/healthz"),
                        "readinessProbe": probe("/readyz"),
                        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "32Mi"}},
                        "securityContext": {"readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false},
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }],
                    "volumes": [{"name": "data", "emptyDir": {}}],
                },
            },
        },
    });
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "labels": labels}});
    let port = json!([{"name": "http", "port": 9898, "targetPort": "http", "protocol": "TCP"}]);
    let service = json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels},
        "spec": {"type": "ClusterIP", "selector": labels, "ports": port},
    });
    let backend = json!({"service": {"name": name, "port": {"name": "http"}}});
    let ingress = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "labels": labels},
        "spec": {"rules": [{
            "host": format!("{name}.example.com"),
            "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
        }]},
    });
    [deployment, account, service, ingress].map(|object| format!("---\n{object:#}\n")).concat()
}
