//! A repository of fifty thousand files with five hundred Syncs on folders of it: a commit that touches one folder.
//!
//! The peer of fetching is `git fetch --depth 1` from the same server, which is the real `git http-backend` over TLS.

use std::time::{Duration, Instant};

use serde_json::json;
use waxwing_harness::{Access, Call, Controller, GitServer, RunDir};

use crate::error::{Error, other};
use crate::page::{at_most, digits, heading, line, seconds};
use crate::scale::Scale;
use crate::stage::{NAMESPACES, PATIENCE, Stage};
use crate::usage;

const FILES_IN_A_FOLDER: usize = 100;

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let folders = scale.of(500);
    heading(format!("A repository of {} files with {folders} Syncs on its folders", folders * FILES_IN_A_FOLDER));
    let stage = Stage::new()?;
    let server = GitServer::start(Access::Open)?;
    write(&stage, folders)?;
    let commit = stage.repo.commit("all")?;
    let url = server.publish("fleet", &stage.repo);
    stage.cluster.apply_yaml(&authority(&server))?;
    let controller = stage.controller()?;

    let peer = Peer::new(&server, &url)?;
    let git = peer.fetch()?;
    let start = Instant::now();
    let spec = json!({"url": url, "interval": "1h", "secretRef": {"name": "git"}});
    stage.create("gitsources", NAMESPACES[0], "GitSource", "fleet", spec)?;
    let ours = fetched(&stage, &commit)?.duration_since(start);
    line("git fetch --depth 1", seconds(git));
    line("ours, from the GitSource until its status says so", seconds(ours));
    at_most("fetch against git", ours.as_secs_f64() / git.as_secs_f64(), 1.2, "times");

    let start = Instant::now();
    stage.syncs(folders)?;
    let time = stage.fleet.ready(folders, &commit)?.duration_since(start);
    line("all Syncs, until the last is Ready", seconds(time));
    stage.rest(&controller);

    stage.repo.write("apps/0/object.yaml", object(0, "changed"))?;
    let before = rendered(&controller)?;
    let mark = stage.mark(&controller)?;
    let start = Instant::now();
    let commit = stage.push(NAMESPACES[0])?;
    let first = stage.fleet.ready(1, &commit)?.duration_since(start);
    let all = stage.fleet.ready(folders, &commit)?.duration_since(start);
    let cost = stage.cost(&controller, &mark)?;
    line("a commit to one folder: until all Syncs say so", format!("{} (the first: {})", seconds(all), seconds(first)));
    line("  renders", rendered(&controller)?.saturating_sub(before));
    line(
        "  the controller's CPU for each Sync",
        format!("{} ms", digits(cost.cpu.as_secs_f64() * 1000.0 / folders as f64)),
    );
    line("  requests of ours for each Sync", digits(cost.requests as f64 / folders as f64));
    line("  memory at its peak", format!("{:.0} MiB", usage::peak_mib(controller.process().id())));
    line("git fetch --depth 1 of that commit", seconds(peer.fetch()?));
    Ok(())
}

/// The real git with a repository of its own, which fetches as little as it can.
struct Peer {
    home: RunDir,
    authority: std::path::PathBuf,
    url: String,
}

impl Peer {
    fn new(server: &GitServer, url: &str) -> Result<Self, Error> {
        let home = RunDir::new("peer")?;
        let authority = home.write("ca.crt", server.ca_pem())?;
        let peer = Self { home, authority, url: url.to_owned() };
        peer.git(&["init", "--quiet", "--bare", "."])?;
        Ok(peer)
    }

    fn fetch(&self) -> Result<Duration, Error> {
        let start = Instant::now();
        self.git(&["fetch", "--quiet", "--depth", "1", &self.url, "main"])?;
        Ok(start.elapsed())
    }

    fn git(&self, arguments: &[&str]) -> Result<String, Error> {
        let call = Call::new("git".as_ref(), self.home.path()).env("GIT_CONFIG_NOSYSTEM", "1");
        Ok(call.env("GIT_SSL_CAINFO", &self.authority).args(arguments).text()?)
    }
}

/// Returns how many renders the controller has made, by its own count; those that it remembered are not among them.
fn rendered(controller: &Controller) -> Result<u64, Error> {
    let (_, metrics) = controller.get("/metrics")?;
    let made = metrics.lines().filter(|line| line.starts_with("waxwing_renders_total{") && !line.contains("cached"));
    Ok(made.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum())
}

/// Waits until the source's status has a commit, and returns when that was seen.
fn fetched(stage: &Stage, commit: &str) -> Result<Instant, Error> {
    let path = format!("/apis/waxwing.dev/v1alpha1/namespaces/{}/gitsources/fleet", NAMESPACES[0]);
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if stage.cluster.get(&path)?["status"]["commit"] == commit {
            return Ok(Instant::now());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(other("the source did not fetch"))
}

/// Writes folders with one object and ninety-nine files that are none; no two files are equal.
fn write(stage: &Stage, folders: usize) -> Result<(), Error> {
    for folder in 0..folders {
        stage.repo.write(&format!("apps/{folder}/object.yaml"), object(folder, "first"))?;
        for file in 1..FILES_IN_A_FOLDER {
            let text = format!("This is page {file} of {folder}, and {} of it.\n", folder * file).repeat(20);
            stage.repo.write(&format!("apps/{folder}/pages/{file}.md"), text)?;
        }
    }
    Ok(())
}

fn object(folder: usize, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: app-{folder}}}\ndata: {{value: {value}}}\n")
}

fn authority(server: &GitServer) -> String {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "git", "namespace": NAMESPACES[0]},
        "stringData": {"ca.crt": server.ca_pem()},
    })
    .to_string()
}
