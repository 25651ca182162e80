//! The story, in the order in which it happens.

use crate::claims::{State, claim, nothing_left};
use crate::error::Error;
use crate::options::Options;
use crate::programs::Programs;
use crate::provenance::Arrived;
use crate::scene::Scene;
use crate::screen::Screen;
use crate::visit;

/// The values of the token. The second takes the place of the first.
const TOKENS: [&str; 2] = ["throw-away-api-token-1", "throw-away-api-token-2"];

const TAMPERING: &str = "\
They remove the line `username` from database.sops.yaml. The password in it still opens: that something is missing
only the file's authentication code can tell. The same commit wants 5 replicas instead of 2.";

/// Tells it from the first program to the last one that ends.
pub(crate) fn tell(options: &Options, screen: &mut Screen) -> Result<(), Error> {
    screen.line("Waxwing: a commit with sealed values arrives in a real cluster")?;
    screen.chapter("Start")?;
    let scene = Scene::set(Programs::find()?, screen)?;
    acts(&scene, options, screen).map_err(|error| Error::Running { error: Box::new(error), log: scene.log_tail() })?;
    screen.chapter("End")?;
    let folders = screen.step("ending waxwing and the cluster, removing their folders", || scene.strike())?;
    nothing_left(&folders)?;
    let took = if options.keep { String::new() } else { format!(" All of it took {}.", screen.so_far()) };
    screen.indented(&format!("Nothing is left behind.{took}"))
}

fn acts(scene: &Scene, options: &Options, screen: &mut Screen) -> Result<(), Error> {
    screen.chapter("A tenant: a namespace, and a ServiceAccount that may do little, and that only there")?;
    scene.admit_tenant(screen)?;
    screen.chapter("Seal a secret for this cluster, and commit it next to what sops encrypted")?;
    let first = commit_first(scene, screen)?;
    screen.chapter("Sync: fetch, build, open in memory, apply as the tenant, wait for health")?;
    arrive(scene, &first, screen)?;
    screen.chapter("Someone tampers with a sops file")?;
    refuse_tampered(scene, screen)?;
    screen.chapter("A good commit goes through")?;
    go_on(scene, screen)?;
    if options.keep { visit::receive(scene, screen) } else { Ok(()) }
}

fn commit_first(scene: &Scene, screen: &mut Screen) -> Result<String, Error> {
    scene.seal_manifest(TOKENS[0], screen)?;
    scene.add_to_kustomization(screen)?;
    screen.command("ls shop")?;
    screen.indented(&scene.files("shop")?)?;
    scene.commit("shop: add the API token", screen)
}

fn arrive(scene: &Scene, commit: &str, screen: &mut Screen) -> Result<(), Error> {
    scene.apply_sync(screen)?;
    scene.wait_for("True", commit, screen)?;
    let arrived = Arrived::read(&scene.log());
    arrived.show(screen)?;
    claim(arrived.values() == 5, || format!("five values of Secrets should have arrived, not {}", arrived.values()))
}

/// Removes a line of a sops file. What is left of it still opens; only its authentication code tells.
fn refuse_tampered(scene: &Scene, screen: &mut Screen) -> Result<(), Error> {
    screen.indented(TAMPERING)?;
    let before = State::read(scene)?;
    scene.remove_line("shop/database.sops.yaml", "username:")?;
    scene.edit("shop/web.yaml", "replicas: 2", "replicas: 5")?;
    let commit = scene.commit("shop: scale up", screen)?;
    scene.ask_for_fetch(&commit, screen)?;
    scene.wait_for("False", &commit, screen)?;
    let changed = before.differences(&State::read(scene)?);
    claim(changed.is_empty(), || format!("{} should be as before", changed.join(", ")))?;
    let note = "have the version and the content that they had before, and there are 2 replicas.";
    screen.indented(&format!("The old state stands: all {} objects {note}", before.len()))
}

fn go_on(scene: &Scene, screen: &mut Screen) -> Result<(), Error> {
    let (before, read) = (State::read(scene)?, scene.log().len());
    screen.command("git revert --no-commit HEAD")?;
    scene.repo.git(&["revert", "--no-commit", "HEAD"])?;
    scene.edit("shop/web.yaml", "replicas: 2", "replicas: 3")?;
    scene.seal_value(TOKENS[1], screen)?;
    let commit = scene.commit("shop: three replicas, and a new API token", screen)?;
    scene.ask_for_fetch(&commit, screen)?;
    scene.wait_for("True", &commit, screen)?;
    Arrived::read(scene.log().get(read..).unwrap_or_default()).show(screen)?;
    let changed = before.differences(&State::read(scene)?);
    claim(changed == ["Deployment/web", "Secret/api-token"], || format!("changed: {}", changed.join(", ")))?;
    screen.indented(&format!("\nThe other {} objects were left alone.", before.len() - changed.len()))
}
