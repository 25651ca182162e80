//! Two controllers: how long it takes from when the one that leads is asked to end, or killed, until the other leads, and until that has
//! put back what somebody deleted meanwhile.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use waxwing_harness::Controller;

use crate::error::{Error, other};
use crate::page::{at_most, digits, heading, line};
use crate::scale::Scale;
use crate::stage::{NAMESPACES, PATIENCE, SYSTEM, Stage};
use crate::watched::is_ready;

/// How often the API server is asked.
const PAUSE: Duration = Duration::from_millis(5);
/// How often the leader is asked to end, and how often it is killed.
const TIMES: (usize, usize) = (5, 3);
/// What is deleted and put back.
const OBJECT: &str = "settings";

/// How a leader ends.
type End = fn(&mut Controller) -> Result<(), Error>;

pub(crate) fn run(_: Scale) -> Result<(), Error> {
    heading("Hand-over between two controllers, default times of the lease");
    let stage = Stage::new()?;
    let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {OBJECT}}}\ndata: {{a: b}}\n");
    stage.repo.write("app/object.yaml", object)?;
    stage.repo.commit("all")?;
    let mut controllers = (stage.controller()?, stage.controller()?);
    stage.source(NAMESPACES[0])?;
    stage.sync(NAMESPACES[0], "app", "app")?;
    let name = format!("{}/app", NAMESPACES[0]);
    until("Ready", || Ok(stage.fleet.status(&name).is_some_and(|(status, _)| is_ready(&status))))?;

    let asked: End = |leader| {
        leader.ask_to_end();
        Ok(())
    };
    let killed: End = |leader| {
        leader.kill();
        Ok(())
    };
    for (what, end, times, aim) in [("SIGTERM", asked, TIMES.0, 3.0), ("SIGKILL", killed, TIMES.1, 20.0)] {
        let mut handed = Vec::new();
        for _ in 0..times {
            handed.push(hand_over(&stage, &mut controllers.0, end)?);
            controllers.0.restart()?;
            controllers.0.wait_ready()?;
            std::mem::swap(&mut controllers.0, &mut controllers.1);
        }
        let slowest = |pick: fn(&(Duration, Duration)) -> Duration| handed.iter().map(pick).max().unwrap_or_default();
        let (led, put_back) = (slowest(|times| times.0), slowest(|times| times.1));
        at_most(&format!("{what}: until the other leads, the slowest of {times}"), led.as_secs_f64(), aim, "s");
        line("  until it has put back what was deleted then", format!("{} s", digits(put_back.as_secs_f64())));
    }
    Ok(())
}

/// Ends the leader, and returns how long it took until another led, and until it had done its work.
fn hand_over(stage: &Stage, leader: &mut Controller, end: End) -> Result<(Duration, Duration), Error> {
    let before = holder(stage)?;
    let start = Instant::now();
    end(leader)?;
    let objects: Api<ConfigMap> = Api::namespaced(stage.client.clone(), NAMESPACES[0]);
    stage.runtime.block_on(objects.delete(OBJECT, &DeleteParams::default()))?;
    until("another leader", || holder(stage).map(|now| !now.is_empty() && now != before))?;
    let led = start.elapsed();
    until("the object", || Ok(stage.runtime.block_on(objects.get_opt(OBJECT))?.is_some()))?;
    Ok((led, start.elapsed()))
}

fn holder(stage: &Stage) -> Result<String, Error> {
    let leases: Api<Lease> = Api::namespaced(stage.client.clone(), SYSTEM);
    let lease = stage.runtime.block_on(leases.get("waxwing"))?;
    Ok(lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default())
}

fn until(what: &str, is_so: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > PATIENCE {
            return Err(other(format!("{what} did not come")));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
