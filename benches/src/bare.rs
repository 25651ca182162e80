//! The bare loop: the same bodies sent by nothing but a loop, at the best of 1 to 64 tasks.
//!
//! It sends server-side applies as the controller does, as the same user, over the same kind of client, and asks for the
//! same form of answer. What it leaves out is everything else.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream;
use http::Request;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use crate::error::{Error, other};

const TASKS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// One server-side apply.
#[derive(Clone)]
pub(crate) struct Apply {
    /// The path of the object.
    pub(crate) path: String,
    /// The object.
    pub(crate) body: String,
}

impl Apply {
    /// Returns the request of an object with the marks that the controller puts on it; it is of a tenant's namespace.
    pub(crate) fn marked(namespace: &str, plural: &str, mut body: Value) -> Self {
        let mark = waxwing_plan::OwnerMark::new(namespace, "nobody");
        body["metadata"]["namespace"] = json!(namespace);
        body["metadata"]["labels"][waxwing_plan::SYNC_LABEL] = json!(mark.label());
        body["metadata"]["annotations"] = json!({waxwing_plan::SYNC_NAME_ANNOTATION: mark.to_string()});
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        Self { path: format!("/api/v1/namespaces/{namespace}/{plural}/{name}"), body: body.to_string() }
    }
}

/// Finds how many tasks send best, by sending a sample of new objects with each number; `sample` makes the n-th object.
pub(crate) async fn best_tasks(client: &Client, each: usize, sample: impl Fn(usize) -> Apply) -> Result<usize, Error> {
    let mut best = (Duration::MAX, 1);
    for (round, tasks) in TASKS.into_iter().enumerate() {
        let objects: Vec<Apply> = (round * each..(round + 1) * each).map(&sample).collect();
        best = best.min((send_all(client, &objects, tasks, &[false]).await?, tasks));
    }
    Ok(best.1)
}

/// Sends every object once for each of `dry_runs`, all of them before the next, and returns how long that took.
pub(crate) async fn send_all(
    client: &Client,
    objects: &[Apply],
    tasks: usize,
    dry_runs: &[bool],
) -> Result<Duration, Error> {
    let start = Instant::now();
    for &dry_run in dry_runs {
        let mut sent = stream::iter(objects.to_vec())
            .map(|object| {
                let client = client.clone();
                tokio::spawn(async move { send(&client, &object, dry_run).await })
            })
            .buffer_unordered(tasks);
        while let Some(result) = sent.next().await {
            result.map_err(other)??;
        }
    }
    Ok(start.elapsed())
}

async fn send(client: &Client, object: &Apply, dry_run: bool) -> Result<(), Error> {
    let dry_run = if dry_run { "&dryRun=All" } else { "" };
    let path = format!("{}?fieldManager=waxwing&force=true&fieldValidation=Strict{dry_run}", object.path);
    let request = Request::patch(path)
        .header("content-type", "application/apply-patch+yaml")
        .header("accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
        .body(Body::from(object.body.clone().into_bytes()))
        .map_err(kube::Error::HttpError)?;
    let response = client.send(request).await?;
    let status = response.status();
    response.into_body().collect_bytes().await?;
    if status.is_success() { Ok(()) } else { Err(Error::Other(format!("the bare loop was refused: {status}"))) }
}
