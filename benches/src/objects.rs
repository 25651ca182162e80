//! A thousand and ten thousand objects in one Sync, against a bare loop that sends the same bodies.
//!
//! The controller sends every body twice: a dry run of all of them, then all of them. So does the loop that it is held
//! against; a loop that only applies stands beside it.

use std::time::Instant;

use serde_json::json;
use waxwing_harness::Controller;

use crate::bare::{Apply, best_tasks, send_all};
use crate::error::Error;
use crate::page::{at_least, digits, heading, line, seconds};
use crate::scale::Scale;
use crate::stage::{NAMESPACES, Stage};
use crate::usage;

/// How many objects one file has.
const IN_A_FILE: usize = 100;
/// How many objects each number of tasks is tried with.
const SAMPLE: usize = 400;

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    for full in [1000, 10_000] {
        let count = scale.of(full);
        heading(format!("{count} objects (ConfigMaps) in one Sync"));
        one_size(&Stage::new()?, scale, count)?;
    }
    Ok(())
}

fn one_size(stage: &Stage, scale: Scale, count: usize) -> Result<(), Error> {
    write(stage, count)?;
    let commit = stage.repo.commit("all")?;
    let controller = stage.controller()?;
    let idle = usage::resident_mib(controller.process().id());
    stage.source(NAMESPACES[0])?;

    let mark = stage.mark(&controller)?;
    let start = Instant::now();
    stage.sync(NAMESPACES[0], "app", "apps")?;
    let time = stage.fleet.ready(1, &commit)?.duration_since(start);
    let cost = stage.cost(&controller, &mark)?;
    line("new: until it is Ready", seconds(time));
    line("  objects a second", digits(count as f64 / time.as_secs_f64()));
    line("  the controller's CPU for each object", format!("{:.2} ms", cost.cpu.as_secs_f64() * 1000.0 / count as f64));
    line("  requests of ours for each object", digits(cost.requests as f64 / count as f64));
    line(
        "  memory at its peak, before it",
        format!("{:.0} MiB, {idle:.0} MiB", usage::peak_mib(controller.process().id())),
    );
    change_one(stage, &controller, count)?;
    drop(controller);

    let client = &stage.client;
    let (both, once) = stage.runtime.block_on(async {
        let tasks = best_tasks(client, scale.of(SAMPLE), |number| apply("sample", number)).await?;
        line("bare loop: best number of tasks", tasks);
        let objects: Vec<Apply> = (0..count).map(|number| apply("bare", number)).collect();
        let both = send_all(client, &objects, tasks, &[true, false]).await?;
        let objects: Vec<Apply> = (0..count).map(|number| apply("once", number)).collect();
        Ok::<_, Error>((both, send_all(client, &objects, tasks, &[false]).await?))
    })?;
    line("bare loop, dry run and apply", seconds(both));
    line("bare loop, apply alone", seconds(once));
    at_least("rate against the bare loop, dry run and apply", both.as_secs_f64() / time.as_secs_f64(), 0.8, "");
    line("rate against the bare loop, apply alone", digits(once.as_secs_f64() / time.as_secs_f64()));
    Ok(())
}

fn change_one(stage: &Stage, controller: &Controller, count: usize) -> Result<(), Error> {
    stage.rest(controller);
    stage.repo.write("apps/000.yaml", file(0, IN_A_FILE.min(count), "changed"))?;
    let mark = stage.mark(controller)?;
    let start = Instant::now();
    let commit = stage.push(NAMESPACES[0])?;
    let time = stage.fleet.ready(1, &commit)?.duration_since(start);
    let cost = stage.cost(controller, &mark)?;
    line("one object changed: from the push until it is Ready", seconds(time));
    line("  the controller's CPU", seconds(cost.cpu));
    line("  requests of ours", cost.requests);
    Ok(())
}

/// Writes the files of `count` objects.
pub(crate) fn write(stage: &Stage, count: usize) -> Result<(), Error> {
    for (position, start) in (0..count).step_by(IN_A_FILE).enumerate() {
        let end = (start + IN_A_FILE).min(count);
        stage.repo.write(&format!("apps/{position:03}.yaml"), file(start, end, "first"))?;
    }
    Ok(())
}

/// Returns a file of which the first object has another value.
fn file(start: usize, end: usize, value: &str) -> String {
    let value_of = |number| if number == start { value } else { "first" };
    (start..end).map(|number| format!("---\n{}\n", object("app", number, value_of(number)))).collect()
}

fn object(prefix: &str, number: usize, value: &str) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": format!("{prefix}-{number}"), "labels": {"app.kubernetes.io/part-of": "bench"}},
        "data": {"number": number.to_string(), "value": value, "text": "a line of text that takes some room\n".repeat(5)},
    })
    .to_string()
}

/// Returns the request of an object as the bare loop sends it: with the marks that the controller puts on it.
fn apply(prefix: &str, number: usize) -> Apply {
    let body = serde_json::from_str(&object(prefix, number, "first")).unwrap_or_default();
    Apply::marked(NAMESPACES[0], "configmaps", body)
}
