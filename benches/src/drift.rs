//! One in a hundred of ten thousand objects written over at once: how long until each is as it should be again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::error::{Error, other};
use crate::objects;
use crate::page::{at_most, digits, heading, line};
use crate::scale::Scale;
use crate::stage::{NAMESPACES, PATIENCE, Stage};

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(10_000);
    let changed = (count / 100).max(1);
    heading(format!("Drift: {changed} of {count} objects in one Sync written over at once"));
    let stage = Stage::new()?;
    objects::write(&stage, count)?;
    let commit = stage.repo.commit("all")?;
    let controller = stage.controller()?;
    stage.source(NAMESPACES[0])?;
    stage.sync(NAMESPACES[0], "app", "apps")?;
    stage.fleet.ready(1, &commit)?;
    stage.rest(&controller);

    let mark = stage.mark(&controller)?;
    let mut times = stage.runtime.block_on(write_over(&stage, changed))?;
    times.sort();
    stage.rest(&controller);
    let cost = stage.cost(&controller, &mark)?;
    let at = |share: f64| times.get(((times.len() - 1) as f64 * share) as usize).copied().unwrap_or_default();
    line("until it is reverted, p50", format!("{} s", digits(at(0.5).as_secs_f64())));
    at_most("until it is reverted, p95", at(0.95).as_secs_f64(), 1.0, "s");
    line("  the last", format!("{} s", digits(at(1.0).as_secs_f64())));
    line("  requests of ours for each changed object", digits(cost.requests as f64 / changed as f64));
    line(
        "  the controller's CPU for each changed object",
        format!("{} ms", digits(cost.cpu.as_secs_f64() * 1000.0 / changed as f64)),
    );
    Ok(())
}

/// Writes over one in a hundred, and returns for each how long it took from the answer to that until it was as before.
async fn write_over(stage: &Stage, changed: usize) -> Result<Vec<Duration>, Error> {
    let api: Api<ConfigMap> = Api::namespaced(stage.client.clone(), NAMESPACES[0]);
    let (reverted, mut seen) = mpsc::unbounded_channel();
    let (begun, ready) = oneshot::channel();
    let watching = tokio::spawn(watch(api.clone(), begun, reverted));
    ready.await.map_err(other)?;
    let writes = (0..changed).map(|number| {
        let (api, name) = (api.clone(), format!("app-{}", number * 100 + 1));
        async move {
            let patch = Patch::Merge(json!({"data": {"value": "written over"}}));
            api.patch(&name, &PatchParams::default(), &patch).await?;
            Ok::<_, kube::Error>((name, Instant::now()))
        }
    });
    let written: HashMap<String, Instant> = join_all(writes).await.into_iter().collect::<Result<_, _>>()?;
    let mut times = Vec::new();
    while times.len() < changed {
        let next = tokio::time::timeout(PATIENCE, seen.recv()).await.map_err(other)?;
        let (name, at): (String, Instant) = next.ok_or(Error::Setting("the watch ended"))?;
        times.extend(written.get(&name).map(|then| at.saturating_duration_since(*then)));
    }
    watching.abort();
    Ok(times)
}

/// Tells the moment at which an object that was written over has its value again.
async fn watch(api: Api<ConfigMap>, begun: oneshot::Sender<()>, reverted: mpsc::UnboundedSender<(String, Instant)>) {
    let (mut begun, mut over) = (Some(begun), std::collections::HashSet::new());
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::InitDone) => drop(begun.take().map(|begun| begun.send(()))),
            Ok(watcher::Event::Apply(object)) => {
                let name = object.name_any();
                let value = object.data.as_ref().and_then(|data| data.get("value")).map(String::as_str);
                match value {
                    Some("written over") => drop(over.insert(name)),
                    _ if over.remove(&name) => drop(reverted.send((name, Instant::now()))),
                    _ => {}
                }
            }
            _ => {}
        }
    }
}
