//! A thousand Secrets with ten references each into OpenBao, every one to a secret of its own: how long the controller reads, against nothing but
//! reading those secrets; how long it takes until all stand, against reading them and then sending those Secrets in a bare loop; and what a
//! second sync and a restart ask for when nothing changed.
//!
//! Each round has a control plane and a store of its own, in which the bare client and the controller take turns. Of each figure the best
//! round counts, for all alike, so that what else runs on the machine for a moment falls on nobody.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{StreamExt, TryStreamExt, stream};
use kube::{Client, Config};
use serde_json::json;
use waxwing_harness::{Controller, OpenBao};

use crate::bare::{Apply, best_tasks, send_all};
use crate::error::{Error, other};
use crate::page::{at_most, digits, heading, line, seconds};
use crate::scale::Scale;
use crate::stage::{Cost, NAMESPACES, Stage, sync_spec};
use crate::usage;

/// The name of the store in metrics.
const STORE: &str = "Vault";
/// How many references each Secret has.
const REFERENCES: usize = 10;
/// How many requests nothing but reading has on the way at once; the fastest counts.
const AT_ONCE: [usize; 4] = [8, 16, 32, 64];
/// How many objects each number of tasks of the bare loop is tried with.
const SAMPLE: usize = 200;
/// How often all of it is done.
const ROUNDS: usize = 3;
/// Against a bare client.
const SLOWER: f64 = 1.3;
/// For all of them.
const SECONDS: f64 = 10.0;
/// Shorter steps are not listed.
const SHORTEST: Duration = Duration::from_millis(20);

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(1000);
    heading(format!(
        "{} references to as many secrets of OpenBao in {count} Secrets, the best of {ROUNDS} rounds",
        count * REFERENCES
    ));
    let (mut best, mut tasks) = (Times::LONGEST, None);
    for round in 1..=ROUNDS {
        let mut world = World::new(count)?;
        let read_first = world.read()?;
        let sync = world.sync()?;
        let read_again = world.read()?;
        let tasks = *match &mut tasks {
            Some(tasks) => tasks,
            none => none.insert(world.best_tasks(scale)?),
        };
        let sent = world.send(tasks)?;
        let times = Times { read: read_first.min(read_again), sent, probed: sync.probed, whole: sync.whole };
        line(&format!("round {round}: read bare, by the controller; sent bare; the whole way"), times.shown());
        best = best.or(&times);
        if round == ROUNDS {
            best.print(count, tasks);
            sync.print();
            world.unchanged()?;
        }
    }
    Ok(())
}

/// How long each part took.
struct Times {
    /// The bare client, with how many requests at once.
    read: (Duration, usize),
    /// The bare loop.
    sent: Duration,
    /// The controller's step that reads.
    probed: Duration,
    /// From the Sync's creation until it is Ready.
    whole: Duration,
}

impl Times {
    const LONGEST: Self =
        Self { read: (Duration::MAX, 0), sent: Duration::MAX, probed: Duration::MAX, whole: Duration::MAX };

    /// Returns the best of each.
    fn or(&self, other: &Self) -> Self {
        Self {
            read: self.read.min(other.read),
            sent: self.sent.min(other.sent),
            probed: self.probed.min(other.probed),
            whole: self.whole.min(other.whole),
        }
    }

    fn shown(&self) -> String {
        [self.read.0, self.probed, self.sent, self.whole].map(seconds).join(", ")
    }

    fn print(&self, count: usize, tasks: usize) {
        let against = |ours: Duration, bare: Duration| ours.as_secs_f64() / bare.as_secs_f64();
        let (read, at_once) = self.read;
        line(&format!("nothing but reading them, {at_once} at a time"), seconds(read));
        line("the controller reads them", seconds(self.probed));
        at_most("  against nothing but reading them", against(self.probed, read), SLOWER, "times");
        line(&format!("a bare loop, dry run and apply of the Secrets, {tasks} at a time"), seconds(self.sent));
        let aim = SECONDS * count as f64 / 1000.0;
        at_most("the whole way: until the Sync is Ready", self.whole.as_secs_f64(), aim, "s");
        at_most(
            "  against nothing but reading, and then the bare loop",
            against(self.whole, read + self.sent),
            SLOWER,
            "times",
        );
    }
}

/// What one sync of all references came to.
struct Synced {
    probed: Duration,
    whole: Duration,
    steps: String,
    cost: Cost,
    peak_mib: f64,
    asked: Asked,
}

impl Synced {
    fn print(&self) {
        line("  of its steps, in the last round", &self.steps);
        line("  the controller's CPU", seconds(self.cost.cpu));
        line("  its memory at the peak", format!("{} MiB", digits(self.peak_mib)));
        line("  asked for versions, and for values", format!("{} and {}", self.asked.versions, self.asked.values));
    }
}

/// A control plane, a store with the secrets, and the controller.
struct World {
    stage: Stage,
    bare: Bare,
    controller: Controller,
    names: Vec<String>,
    _bao: OpenBao,
}

impl World {
    fn new(count: usize) -> Result<Self, Error> {
        let (stage, bao) = (Stage::new()?, OpenBao::start()?);
        let bare = Bare::of(&stage, &bao)?;
        let names: Vec<String> = (0..count * REFERENCES).map(|number| format!("{number}")).collect();
        stage.runtime.block_on(bare.write(&names))?;
        for number in 0..count {
            stage.repo.write(&format!("references/{number}.yaml"), secret(number))?;
        }
        let controller = stage.controller_with(&["--backend-origin", &bao.address()])?;
        declare(&stage, &bao)?;
        Ok(Self { stage, bare, controller, names, _bao: bao })
    }

    fn read(&self) -> Result<(Duration, usize), Error> {
        self.bare.best(&self.stage, &self.names)
    }

    fn count(&self) -> usize {
        self.names.len() / REFERENCES
    }

    fn sync(&self) -> Result<Synced, Error> {
        let Self { stage, controller, .. } = self;
        let commit = stage.repo.commit("all")?;
        stage.source(NAMESPACES[0])?;
        let mut sync = sync_spec("references");
        sync["secrets"] = json!({"backends": [{"name": "vault"}]});
        let mark = stage.mark(controller)?;
        let start = Instant::now();
        stage.create("syncs", NAMESPACES[0], "Sync", "references", sync)?;
        let whole = stage.fleet.ready(1, &commit)?.duration_since(start);
        let cost = stage.cost(controller, &mark)?;
        let peak_mib = usage::peak_mib(controller.process().id());
        let steps = steps(controller)?;
        let probed = steps.iter().find(|(step, _)| step == "probe").map(|(_, took)| *took);
        let probed = probed.ok_or_else(|| other("the controller does not say how long it read"))?;
        let long = steps.iter().filter(|(_, took)| *took > SHORTEST);
        let steps: Vec<String> = long.map(|(step, took)| format!("{step} {}", seconds(*took))).collect();
        Ok(Synced { probed, whole, steps: steps.join(", "), cost, peak_mib, asked: Asked::of(controller, STORE)? })
    }

    fn best_tasks(&self, scale: Scale) -> Result<usize, Error> {
        let sample = best_tasks(&self.stage.client, scale.of(SAMPLE), |number| sent("sample", number));
        self.stage.runtime.block_on(sample)
    }

    fn send(&self, tasks: usize) -> Result<Duration, Error> {
        let objects: Vec<Apply> = (0..self.count()).map(|number| sent("bare", number)).collect();
        self.stage.runtime.block_on(send_all(&self.stage.client, &objects, tasks, &[true, false]))
    }
}

/// Returns how long each step took in all, the longest first.
fn steps(controller: &Controller) -> Result<Vec<(String, Duration)>, Error> {
    let (_, metrics) = controller.get("/metrics")?;
    let sums = metrics.lines().filter_map(|line| line.strip_prefix("waxwing_step_duration_seconds_sum{step=\""));
    let steps = sums.filter_map(|rest| {
        let (step, sum) = rest.split_once("\"} ")?;
        Some((step.to_owned(), Duration::from_secs_f64(sum.parse().ok()?)))
    });
    let mut steps: Vec<_> = steps.collect();
    steps.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
    Ok(steps)
}

/// Returns the request for a Secret with values such as the references lead to.
fn sent(prefix: &str, number: usize) -> Apply {
    let value = |key: usize| STANDARD.encode(value_of(&format!("{}", number * REFERENCES + key)));
    let entries: serde_json::Map<String, serde_json::Value> =
        (0..REFERENCES).map(|key| (format!("key-{key}"), value(key).into())).collect();
    let name = format!("{prefix}-{number}");
    let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": entries});
    Apply::marked(NAMESPACES[0], "secrets", body)
}

fn value_of(name: &str) -> String {
    format!("value of {name}")
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
        let value = |name: &String| json!({"data": {"password": value_of(name)}}).to_string().into_bytes();
        let writes = names.iter().map(|name| self.ask(name, Some(value(name))));
        stream::iter(writes).buffer_unordered(16).try_collect().await
    }

    /// Reads all of them with each number of requests at once, and returns which was fastest.
    fn best(&self, stage: &Stage, names: &[String]) -> Result<(Duration, usize), Error> {
        let mut best = (Duration::MAX, 0);
        for at_once in AT_ONCE {
            let start = Instant::now();
            let reads = stream::iter(names.iter().map(|name| self.ask(name, None)));
            stage.runtime.block_on(reads.buffer_unordered(at_once).try_collect::<()>())?;
            best = best.min((start.elapsed(), at_once));
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

impl World {
    /// A commit that changes nothing, and a restart.
    fn unchanged(&mut self) -> Result<(), Error> {
        let Self { stage, controller, names, .. } = self;
        stage.rest(controller);
        let before = Asked::of(controller, STORE)?.all();
        stage.repo.write("README", "nothing that a Sync reads")?;
        let commit = stage.push(NAMESPACES[0])?;
        stage.fleet.ready(1, &commit)?;
        at_most(
            "a sync with nothing changed: asked for",
            (Asked::of(controller, STORE)?.all() - before) as f64,
            0.0,
            "",
        );
        stage.rest(controller);
        controller.restart()?;
        controller.wait_ready()?;
        stage.rest(controller);
        let asked = Asked::of(controller, STORE)?;
        at_most("a restart with nothing changed: asked for versions", asked.versions as f64, names.len() as f64, "");
        at_most("  for values", asked.values as f64, 0.0, "");
        Ok(())
    }
}

/// How many requests the controller has sent to a store since it was started.
pub(crate) struct Asked {
    pub(crate) versions: u64,
    pub(crate) values: u64,
}

impl Asked {
    /// Reads it from the metrics, in which the store has that name.
    pub(crate) fn of(controller: &Controller, store: &str) -> Result<Self, Error> {
        let (_, metrics) = controller.get("/metrics")?;
        let count = |outcome: &str| {
            let start = format!("waxwing_store_requests_total{{store=\"{store}\",outcome=\"{outcome}\"}} ");
            metrics.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok()).unwrap_or_default()
        };
        Ok(Self { versions: count("version"), values: count("read") })
    }

    pub(crate) fn all(&self) -> u64 {
        self.versions + self.values
    }
}
