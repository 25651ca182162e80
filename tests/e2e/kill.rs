//! Killed at any instant, nothing is lost: SIGKILL at random moments of syncs, what is true at each of them, and that the
//! next start converges, also after the one before it was killed as well.
//!
//! The moments come from a seed that is printed; `WAXWING_SEED` repeats them, as far as the machine's own timing does.

mod fleet;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use waxwing_harness::{ClusterOptions, Controller};

use crate::stage::{Stage, own_cluster, start_controller};
use fleet::{Fleet, Id, Random};

const ROUNDS: u32 = 20;
/// The kinds of all objects that the repository, a bystander or an inventory may have.
const KINDS: [(&str, &str); 5] = [
    ("Namespace", "/api/v1/namespaces"),
    ("ConfigMap", "/api/v1/configmaps"),
    ("Secret", "/api/v1/secrets"),
    ("ServiceAccount", "/api/v1/serviceaccounts"),
    ("Inventory", "/apis/waxwing.dev/v1alpha1/inventories"),
];
/// Every so many rounds the start after the kill is killed too.
const ROUNDS_TO_A_SECOND_KILL: u32 = 5;

#[test]
fn killed_at_twenty_moments_of_a_sync_nothing_is_lost_or_pruned_by_mistake() {
    let seed = std::env::var("WAXWING_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fleet::new_seed);
    println!("WAXWING_SEED={seed}");
    let mut scene = Scene::start(Random::new(seed));
    let mut duration = scene.measure();
    let mut moments = Vec::new();
    for round in 1..=ROUNDS {
        let commit = scene.commit();
        scene.kill_within(duration);
        let moment = scene.assert_nothing_is_lost();
        // The machine is not always as fast as when it was measured.
        duration = duration.mul_f64(if moment == Moment::After { 0.75 } else { 1.2 });
        moments.push(moment);
        if round % ROUNDS_TO_A_SECOND_KILL == 0 {
            scene.start_again();
            scene.kill_within(duration);
            scene.assert_nothing_is_lost();
        }
        scene.start_again();
        scene.stage.applied(&commit);
        scene.assert_equal_to_the_commit();
    }
    assert!(moments.contains(&Moment::Amid), "no kill came between the first apply and the last: {moments:?}");
}

/// What a kill came into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The way to the first apply, or to the last delete.
    Before,
    /// The applying: what is about to be applied is written down, and what was applied is not.
    Amid,
    /// Nothing: the sync had ended.
    After,
}

struct Scene {
    stage: Stage,
    controller: Controller,
    fleet: Fleet,
    /// Objects of somebody else in the same namespaces, with their resourceVersion.
    bystanders: BTreeMap<Id, String>,
    /// Objects that every commit has, with their uid.
    keepers: BTreeMap<Id, String>,
    random: Random,
}

impl Scene {
    /// Applies the first commit, and puts objects of somebody else beside it.
    fn start(mut random: Random) -> Self {
        let cluster = own_cluster(ClusterOptions::default());
        let controller = start_controller(cluster, &[]).unwrap();
        let stage = Stage::on(cluster, "kill");
        stage.make_administrator();
        let mut fleet = Fleet::new(&stage, random.fork());
        let commit = fleet.change_and_commit(&stage);
        stage.sync("./app", "");
        stage.applied(&commit);
        fleet::add_bystanders(cluster, &stage);
        let mut scene =
            Self { stage, controller, fleet, bystanders: BTreeMap::new(), keepers: BTreeMap::new(), random };
        let objects = scene.objects();
        let field = |name| move |object: &Value| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let is_bystander = |id: &Id| id.name.starts_with("bystander");
        scene.bystanders = pick(&objects, is_bystander, field("resourceVersion"));
        scene.keepers = pick(&objects, |id| scene.fleet.keeps(id), field("uid"));
        assert_eq!((scene.bystanders.len(), scene.keepers.len()), (3, scene.fleet.keepers()));
        scene
    }

    /// Returns how long a sync takes.
    fn measure(&mut self) -> Duration {
        let commit = self.commit();
        let started = Instant::now();
        self.stage.applied(&commit);
        let duration = started.elapsed();
        self.assert_equal_to_the_commit();
        duration
    }

    /// Commits a change, and asks for it.
    fn commit(&mut self) -> String {
        let commit = self.fleet.change_and_commit(&self.stage);
        let request = format!("waxwing.dev/requestedAt={commit}");
        self.stage.kubectl(&["annotate", "--overwrite", "gitsource/fleet", &request]).unwrap();
        commit
    }

    /// Kills the controller at a random moment of `duration`.
    fn kill_within(&mut self, duration: Duration) {
        thread::sleep(duration.mul_f64(self.random.fraction()));
        self.controller.kill();
    }

    fn start_again(&mut self) {
        self.controller.restart().unwrap();
        self.controller.wait_ready().unwrap();
    }

    /// Checks what holds at every moment: what we applied is in the inventory, what every commit has is there and was
    /// never made again, and what is not ours is as it was. Returns what the kill came into.
    fn assert_nothing_is_lost(&self) -> Moment {
        let objects = self.objects();
        let inventory = inventory(&objects);
        let recorded: BTreeSet<Id> = inventory.keys().cloned().collect();
        let owned: BTreeSet<Id> = objects.iter().filter(|object| is_owned(object)).map(Id::of).collect();
        assert_eq!(owned.difference(&recorded).collect::<Vec<_>>(), Vec::<&Id>::new(), "applied, but not recorded");
        let field = |name| move |object: &Value| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        assert_eq!(pick(&objects, |id| self.keepers.contains_key(id), field("uid")), self.keepers);
        assert_eq!(pick(&objects, |id| self.bystanders.contains_key(id), field("resourceVersion")), self.bystanders);
        match inventory.values().any(|(_, state)| state == "Planned") {
            true => Moment::Amid,
            false if Self::values(&objects) == *self.fleet.wanted() => Moment::After,
            false => Moment::Before,
        }
    }

    fn assert_equal_to_the_commit(&self) {
        let objects = self.objects();
        assert_eq!(Self::values(&objects), *self.fleet.wanted());
        let owned = objects.iter().filter(|object| is_owned(object));
        let uids = owned.map(|object| (Id::of(object), (object["metadata"]["uid"].clone(), Value::from("Applied"))));
        assert_eq!(inventory(&objects), uids.collect());
    }

    fn values(objects: &[Value]) -> BTreeMap<Id, String> {
        let owned = objects.iter().filter(|object| is_owned(object));
        owned.map(|object| (Id::of(object), fleet::value(object))).collect()
    }

    fn objects(&self) -> Vec<Value> {
        KINDS.iter().flat_map(|(kind, path)| self.listed(kind, path)).collect()
    }

    fn listed(&self, kind: &str, path: &str) -> Vec<Value> {
        let mut objects = self.stage.cluster.get(path).unwrap()["items"].as_array().unwrap().clone();
        // The items of a list don't always say what they are.
        objects.iter_mut().for_each(|object| object["kind"] = kind.into());
        objects
    }
}

fn is_owned(object: &Value) -> bool {
    object["metadata"]["labels"].get("waxwing.dev/sync").is_some() && object["kind"] != "Inventory"
}

fn pick<T>(objects: &[Value], which: impl Fn(&Id) -> bool, what: impl Fn(&Value) -> T) -> BTreeMap<Id, T> {
    objects.iter().map(|object| (Id::of(object), what(object))).filter(|(id, _)| which(id)).collect()
}

/// Returns the uid and the state of each recorded object.
fn inventory(objects: &[Value]) -> BTreeMap<Id, (Value, Value)> {
    let shards = objects.iter().filter(|object| object["kind"] == "Inventory");
    let entries = shards.flat_map(|shard| shard["spec"]["entries"].as_array().cloned().unwrap_or_default());
    entries.map(|entry| (Id::of_entry(&entry), (entry["uid"].clone(), entry["state"].clone()))).collect()
}
