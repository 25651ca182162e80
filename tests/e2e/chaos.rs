//! Killed at any instant, whatever else goes wrong, nothing is lost: SIGKILL at random moments of syncs, while commits come in,
//! others write over applied objects, and the API server refuses, forgets and breaks off. What is true at each of these
//! moments, and that the next start converges.
//!
//! All of it comes from a seed that is printed; `WAXWING_CHAOS_SEED` repeats it, as far as the machine's own timing does.
//! `WAXWING_CHAOS_KILLS` says how often to kill.

mod fleet;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::RwLockWriteGuard;
use std::thread;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use waxwing_harness::{Fault, Rule, eventually};

use crate::outages::{World, world_alone};
use crate::stage::{PATIENCE, Stage};
use fleet::{Fleet, Id, Random};

/// How often the controller is killed, unless the environment says otherwise.
const KILLS: u64 = 6;
/// How many Syncs there are.
const TENANTS: usize = 3;
/// Every so many rounds the start after the kill is killed too.
const ROUNDS_TO_A_SECOND_KILL: u64 = 3;
/// The longest that a kill is waited with.
const LONGEST: Duration = Duration::from_secs(6);
/// How often a start is tried while the API server refuses things: whoever runs the controller starts it again when it ends.
const STARTS: usize = 20;
/// The kinds of all objects that the repository, a bystander or an inventory may have.
const KINDS: [(&str, &str); 5] = [
    ("Namespace", "/api/v1/namespaces"),
    ("ConfigMap", "/api/v1/configmaps"),
    ("Secret", "/api/v1/secrets"),
    ("ServiceAccount", "/api/v1/serviceaccounts"),
    ("Inventory", "/apis/waxwing.dev/v1alpha1/inventories"),
];

#[test]
fn killed_at_random_moments_amid_faults_and_foreign_writes_nothing_is_lost_or_pruned_by_mistake() {
    let seed = from_environment("WAXWING_CHAOS_SEED").unwrap_or_else(fleet::new_seed);
    let kills = from_environment("WAXWING_CHAOS_KILLS").unwrap_or(KILLS);
    println!("WAXWING_CHAOS_SEED={seed}");
    let started = Instant::now();
    let mut scene = Scene::start(Random::new(seed));
    let mut duration = scene.measure();
    let mut moments = BTreeMap::new();
    for round in 1..=kills {
        scene.commit();
        scene.break_something();
        scene.meddle();
        scene.kill_within(duration);
        let moment = scene.assert_nothing_is_lost();
        // The machine is not always as fast as when it was measured.
        duration = duration.mul_f64(if moment == Moment::After { 0.75 } else { 1.2 }).min(LONGEST);
        *moments.entry(moment).or_insert(0) += 1;
        if round % ROUNDS_TO_A_SECOND_KILL == 0 {
            scene.start_again();
            scene.kill_within(duration);
            scene.assert_nothing_is_lost();
        }
        scene.start_again();
        scene.mend();
        scene.assert_converges();
    }
    println!("{kills} kills in {:?}, which came {moments:?}; {} faults", started.elapsed(), scene.faults());
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What a kill came into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    /// The way to the first apply, or to the last delete.
    Before,
    /// The applying: what is about to be applied is written down, and what was applied is not.
    Amid,
    /// Nothing: the syncs had ended.
    After,
}

/// One Sync with its repository.
struct Tenant {
    stage: Stage,
    fleet: Fleet,
    commit: String,
}

struct Scene {
    world: RwLockWriteGuard<'static, World>,
    tenants: Vec<Tenant>,
    /// Objects of somebody else in the same namespaces, with their resourceVersion.
    bystanders: BTreeMap<Id, String>,
    /// Objects that every commit has, and that nobody else writes, with their uid.
    keepers: BTreeMap<Id, String>,
    /// What somebody else has written to since the last kill. More often is another story: it would be contested.
    meddled: BTreeSet<Id>,
    random: Random,
    since: Instant,
}

impl Scene {
    /// Applies the first commits, and puts objects of somebody else beside them.
    fn start(mut random: Random) -> Self {
        let world = world_alone();
        let tenants: Vec<_> = (0..TENANTS).map(|_| Tenant::new(&world, &mut random)).collect();
        let mut scene = Self {
            world,
            tenants,
            bystanders: BTreeMap::new(),
            keepers: BTreeMap::new(),
            meddled: BTreeSet::new(),
            random,
            since: Instant::now(),
        };
        scene.assert_converges();
        scene.tenants.iter().for_each(|tenant| fleet::add_bystanders(scene.world.cluster, &tenant.stage));
        let objects = scene.objects();
        let field = |name| move |object: &Value| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        scene.bystanders = pick(&objects, |id| id.name.starts_with("bystander"), field("resourceVersion"));
        scene.keepers = pick(&objects, |id| scene.tenants.iter().any(|tenant| tenant.fleet.keeps(id)), field("uid"));
        let keepers: usize = scene.tenants.iter().map(|tenant| tenant.fleet.keepers()).sum();
        assert_eq!((scene.bystanders.len(), scene.keepers.len()), (3 * TENANTS, keepers));
        scene
    }

    /// Returns how long syncs take.
    fn measure(&mut self) -> Duration {
        let started = Instant::now();
        self.commit();
        self.assert_converges();
        started.elapsed()
    }

    /// Commits a change for every Sync, and asks for it.
    fn commit(&mut self) {
        self.tenants.iter_mut().for_each(Tenant::commit);
    }

    /// Lets some of the controller's requests fail from now on, or cuts it off.
    fn break_something(&mut self) {
        let answers = [409, 429, 500, 503].map(|code| Fault::Answer(StatusCode::from_u16(code).unwrap()));
        let delays = [Fault::Delay(Duration::from_millis(50)), Fault::ComeBackAfter(Duration::from_secs(1))];
        let faults = [&answers[..], &delays, &[Fault::LoseAnswer, Fault::CutAfter(40)]].concat();
        for _ in 0..self.random.below(3) {
            let (fault, every) = (self.random.pick(faults.clone()).unwrap(), 4 + self.random.below(8));
            let every = usize::try_from(every).unwrap();
            self.world.proxy.inject(Rule::new(fault).every(every).unless("watch=true"));
        }
        match self.random.below(6) {
            0 => self.world.proxy.stop(),
            1 => self.world.proxy.break_watches(),
            2 => self.world.proxy.inject(Rule::new(Fault::ExpireWatch).verb("watch").every(2)),
            _ => {}
        }
    }

    /// Writes over some applied objects and deletes some, as somebody else.
    fn meddle(&mut self) {
        for tenant in &mut self.tenants {
            let Some(id) = tenant.fleet.any().filter(|id| self.meddled.insert(id.clone())) else { continue };
            let path = format!("/api/v1/namespaces/{}/configmaps/{}", id.namespace, id.name);
            // It may be new, and not there yet.
            let _ = match self.random.below(2) {
                0 => self.world.cluster.merge(&path, &json!({"data": {"value": "theirs"}})),
                _ => self.world.cluster.delete(&path),
            };
        }
    }

    /// Kills the controller at a random moment of `duration`.
    fn kill_within(&mut self, duration: Duration) {
        thread::sleep(duration.mul_f64(self.random.fraction()));
        self.world.controller.kill();
        self.meddled.clear();
    }

    /// Starts the controller until it stays, in every other case after what was broken is mended.
    fn start_again(&mut self) {
        self.world.proxy.restart().unwrap();
        if self.random.below(2) == 0 {
            self.world.proxy.lift();
        }
        for _ in 1..STARTS {
            self.world.controller.restart().unwrap();
            if self.world.controller.wait_ready().is_ok() {
                return;
            }
        }
        panic!("the controller does not start: {}", self.world.controller.log());
    }

    fn mend(&self) {
        self.world.proxy.lift();
    }

    /// Returns how many requests were broken.
    fn faults(&self) -> usize {
        self.world.proxy.requests_since(self.since).iter().filter(|request| request.fault.is_some()).count()
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
            false if values(&objects) == self.wanted() => Moment::After,
            false => Moment::Before,
        }
    }

    /// Waits until every Sync is Ready at its newest commit, and the cluster is equal to it.
    fn assert_converges(&self) {
        self.tenants.iter().for_each(|tenant| drop(tenant.stage.applied(&tenant.commit)));
        let attempt = || {
            let objects = self.objects();
            let owned = objects.iter().filter(|object| is_owned(object));
            let uids =
                owned.map(|object| (Id::of(object), (object["metadata"]["uid"].clone(), Value::from("Applied"))));
            let (now, wanted) = ((values(&objects), inventory(&objects)), (self.wanted(), uids.collect()));
            if now == wanted { Ok(()) } else { Err(differences(&now.0, &wanted.0)) }
        };
        eventually(PATIENCE, "the cluster as Git has it", attempt)
            .unwrap_or_else(|failure| panic!("{failure}\n{}", self.world.controller.log()));
        self.tenants.iter().for_each(|tenant| drop(tenant.stage.applied(&tenant.commit)));
    }

    fn wanted(&self) -> BTreeMap<Id, String> {
        self.tenants.iter().flat_map(|tenant| tenant.fleet.wanted().clone()).collect()
    }

    /// Returns the objects of our tenants.
    fn objects(&self) -> Vec<Value> {
        let near = self.tenants.iter().map(|tenant| tenant.stage.namespace.clone());
        let ours: BTreeSet<String> = near.flat_map(|near| [fleet::far(&near), near]).collect();
        let is_ours = |id: &Id| ours.contains(if id.kind == "Namespace" { &id.name } else { &id.namespace });
        let all = KINDS.iter().flat_map(|(kind, path)| self.listed(kind, path));
        all.filter(|object| is_ours(&Id::of(object))).collect()
    }

    fn listed(&self, kind: &str, path: &str) -> Vec<Value> {
        let mut objects = self.world.cluster.get(path).unwrap()["items"].as_array().unwrap().clone();
        // The items of a list don't always say what they are.
        objects.iter_mut().for_each(|object| object["kind"] = kind.into());
        objects
    }
}

impl Tenant {
    fn new(world: &World, random: &mut Random) -> Self {
        let stage = Stage::on(world.cluster, "chaos").polled();
        stage.make_administrator();
        let mut fleet = Fleet::new(&stage, random.fork());
        let commit = fleet.change_and_commit(&stage);
        stage.sync("./app", "");
        Self { stage, fleet, commit }
    }

    fn commit(&mut self) {
        self.commit = self.fleet.change_and_commit(&self.stage);
        let request = json!({"metadata": {"annotations": {"waxwing.dev/requestedAt": self.commit}}});
        self.stage.cluster.merge(&self.stage.path("gitsource/fleet").unwrap(), &request).unwrap();
    }
}

fn values(objects: &[Value]) -> BTreeMap<Id, String> {
    let owned = objects.iter().filter(|object| is_owned(object));
    owned.map(|object| (Id::of(object), fleet::value(object))).collect()
}

fn differences(now: &BTreeMap<Id, String>, wanted: &BTreeMap<Id, String>) -> String {
    let ids: BTreeSet<_> = now.keys().chain(wanted.keys()).filter(|id| now.get(*id) != wanted.get(*id)).collect();
    let told = ids.iter().map(|id| format!("{id:?} is {:?}, not {:?}", now.get(*id), wanted.get(*id)));
    if ids.is_empty() { "the inventory".to_owned() } else { told.collect::<Vec<_>>().join("\n") }
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
