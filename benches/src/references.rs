//! A thousand Secrets with ten references each into OpenBao, every one to a secret of its own: how long it takes until all stand, against
//! nothing but reading those secrets, and what a second sync and a restart ask for when nothing changed.

use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use kube::{Client, Config};
use serde_json::json;
use waxwing_harness::{Controller, OpenBao};

use crate::error::{Error, other};
use crate::page::{at_most, digits, heading, line, seconds};
use crate::scale::Scale;
use crate::stage::{NAMESPACES, Stage, sync_spec};
use crate::usage;

/// How many references each Secret has.
const REFERENCES: usize = 10;
/// How many requests nothing but reading has on the way at once; the fastest counts.
const AT_ONCE: [usize; 4] = [8, 16, 32, 64];
/// Against nothing but reading.
const SLOWER: f64 = 1.3;
/// For all of them.
const SECONDS: f64 = 10.0;

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(1000);
    heading(format!("{} references to as many secrets of OpenBao in {count} Secrets", count * REFERENCES));
    let (stage, bao) = (Stage::new()?, OpenBao::start()?);
    let bare = Bare::of(&stage, &bao)?;
    let names: Vec<String> = (0..count * REFERENCES).map(|number| format!("{number}")).collect();
    stage.runtime.block_on(bare.write(&names))?;
    let (at_once, reading) = bare.best(&stage, &names)?;
    line(&format!("nothing but reading them, {at_once} at a time"), seconds(reading));
    for number in 0..count {
        stage.repo.write(&format!("references/{number}.yaml"), secret(number))?;
    }
    let mut controller = stage.controller_with(&["--backend-origin", &bao.address()])?;
    declare(&stage, &bao)?;
    cold(&stage, &controller, &names, reading)?;
    unchanged(&stage, &mut controller, &names)
}

/// A client that does nothing but ask, over connections that it keeps.
struct Bare {
    client: Client,
    token: String,
}

impl Bare {
    fn of(stage: &Stage, bao: &OpenBao) -> Result<Self, Error> {
        let _inside = stage.runtime.enter();
        let config = Config::new(bao.address().parse().map_err(other)?);
        Ok(Self { client: Client::try_from(config)?, token: bao.root_token().to_owned() })
    }

    async fn ask(&self, name: &str, body: Option<Vec<u8>>) -> Result<(), Error> {
        let method = if body.is_some() { http::Method::POST } else { http::Method::GET };
        let request = http::Request::builder().method(method).uri(format!("/v1/{}", path(name)));
        let request = request.header("x-vault-token", &self.token).body(body.unwrap_or_default());
        self.client.request_text(request.map_err(kube::Error::HttpError)?).await?;
        Ok(())
    }

    /// Writes a secret of each name.
    async fn write(&self, names: &[String]) -> Result<(), Error> {
        let value = |name: &String| json!({"data": {"password": format!("value of {name}")}}).to_string().into_bytes();
        let writes = names.iter().map(|name| self.ask(name, Some(value(name))));
        stream::iter(writes).buffer_unordered(16).try_collect().await
    }

    /// Reads all of them, and returns with how many requests at once that was fastest.
    fn best(&self, stage: &Stage, names: &[String]) -> Result<(usize, Duration), Error> {
        let mut best = (0, Duration::MAX);
        for at_once in AT_ONCE {
            let start = Instant::now();
            let reads = stream::iter(names.iter().map(|name| self.ask(name, None)));
            stage.runtime.block_on(reads.buffer_unordered(at_once).try_collect::<()>())?;
            if start.elapsed() < best.1 {
                best = (at_once, start.elapsed());
            }
        }
        Ok(best)
    }
}

fn path(name: &str) -> String {
    format!("secret/data/{}/{name}", NAMESPACES[0])
}

/// Returns a Secret whose references are to secrets that no other has.
fn secret(number: usize) -> String {
    let entry = |key: usize| {
        let reference = format!("ref+store://vault/{}#/password", path(&format!("{}", number * REFERENCES + key)));
        (format!("key-{key}"), reference.into())
    };
    let entries: serde_json::Map<String, serde_json::Value> = (0..REFERENCES).map(entry).collect();
    let name = format!("references-{number}");
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": entries}).to_string()
}

/// Lets the tenant read them with the token of a Secret.
fn declare(stage: &Stage, bao: &OpenBao) -> Result<(), Error> {
    let namespace = NAMESPACES[0];
    let token = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "vault-token", "namespace": namespace},
        "stringData": {"token": bao.root_token()},
    });
    stage.cluster.apply_yaml(&token.to_string())?;
    let vault = json!({"address": bao.address(), "auth": {"tokenRef": {"name": "vault-token"}}});
    let allow = json!({"paths": ["secret/data/{namespace}/*"]});
    let spec = json!({"vault": vault, "allow": allow, "refreshInterval": "1h"});
    stage.create("secretbackends", namespace, "SecretBackend", "vault", spec)
}

fn cold(stage: &Stage, controller: &Controller, names: &[String], reading: Duration) -> Result<(), Error> {
    let commit = stage.repo.commit("all")?;
    stage.source(NAMESPACES[0])?;
    let mut sync = sync_spec("references");
    sync["secrets"] = json!({"backends": [{"name": "vault"}]});
    let mark = stage.mark(controller)?;
    let start = Instant::now();
    stage.create("syncs", NAMESPACES[0], "Sync", "references", sync)?;
    let time = stage.fleet.ready(1, &commit)?.duration_since(start);
    let cost = stage.cost(controller, &mark)?;
    let aim = SECONDS * names.len() as f64 / 10_000.0;
    at_most("the whole way: until the Sync is Ready", time.as_secs_f64(), aim, "s");
    at_most("  against nothing but reading them", time.as_secs_f64() / reading.as_secs_f64(), SLOWER, "times");
    line("  the controller's CPU", seconds(cost.cpu));
    line("  its memory at the peak", format!("{} MiB", digits(usage::peak_mib(controller.process().id()))));
    let asked = Asked::of(controller)?;
    line("  asked for versions, and for values", format!("{} and {}", asked.versions, asked.values));
    Ok(())
}

/// A commit that changes nothing, and a restart.
fn unchanged(stage: &Stage, controller: &mut Controller, names: &[String]) -> Result<(), Error> {
    stage.rest(controller);
    let before = Asked::of(controller)?.all();
    stage.repo.write("README", "nothing that a Sync reads")?;
    let commit = stage.push(NAMESPACES[0])?;
    stage.fleet.ready(1, &commit)?;
    at_most("a sync with nothing changed: asked for", (Asked::of(controller)?.all() - before) as f64, 0.0, "");
    stage.rest(controller);
    controller.restart()?;
    controller.wait_ready()?;
    stage.rest(controller);
    let asked = Asked::of(controller)?;
    at_most("a restart with nothing changed: asked for versions", asked.versions as f64, names.len() as f64, "");
    at_most("  for values", asked.values as f64, 0.0, "");
    Ok(())
}

/// What the controller has asked the store for since it was started.
struct Asked {
    versions: u64,
    values: u64,
}

impl Asked {
    fn of(controller: &Controller) -> Result<Self, Error> {
        let (_, metrics) = controller.get("/metrics")?;
        let count = |outcome: &str| {
            let start = format!("waxwing_store_requests_total{{store=\"Vault\",outcome=\"{outcome}\"}} ");
            metrics.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or_default()
        };
        Ok(Self { versions: count("version"), values: count("read") })
    }

    fn all(&self) -> u64 {
        self.versions + self.values
    }
}
