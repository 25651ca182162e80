//! A small Sync beside one of five thousand objects: how much longer it takes because of that one.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::objects;
use crate::page::{at_most, digits, heading, line};
use crate::scale::Scale;
use crate::stage::{NAMESPACES, Stage};
use crate::watched::is_ready;

/// How many small Syncs are made, one after the other.
const SMALL: usize = 8;

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(5000);
    heading(format!("Fairness: small Syncs while one of {count} objects is applied"));
    let stage = Stage::new()?;
    objects::write(&stage, count)?;
    for number in 0..SMALL * 2 {
        let object = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: small-{number}}}\ndata: {{a: b}}\n");
        stage.repo.write(&format!("small/{number}/object.yaml"), object)?;
    }
    stage.repo.commit("all")?;
    let _controller = stage.controller()?;
    NAMESPACES.iter().try_for_each(|namespace| stage.source(namespace))?;

    let alone = small_ones(&stage, 0)?;
    let start = Instant::now();
    stage.sync(NAMESPACES[0], "large", "apps")?;
    std::thread::sleep(Duration::from_millis(500));
    let beside = small_ones(&stage, SMALL)?;
    let end = ready(&stage, &format!("{}/large", NAMESPACES[0]))?;
    let lasted = end.duration_since(start);
    let slowest = |times: &[Duration]| times.iter().max().copied().unwrap_or_default().as_secs_f64();
    line("the large one: until it is Ready", format!("{} s", digits(lasted.as_secs_f64())));
    line("a small one alone, the slowest of 8", format!("{} s", digits(slowest(&alone))));
    line("a small one beside the large one, the slowest of 8", format!("{} s", digits(slowest(&beside))));
    at_most("  longer because of it", slowest(&beside) - slowest(&alone), 2.0, "s");
    let during = beside.iter().sum::<Duration>() < lasted;
    if !during {
        line("  NOTE: the large one had ended before the last small one", "");
    }
    Ok(())
}

/// Makes small Syncs one after the other, each when the one before is Ready, and returns how long each took.
fn small_ones(stage: &Stage, first: usize) -> Result<Vec<Duration>, Error> {
    let one = |number: usize| {
        let (name, start) = (format!("small-{number}"), Instant::now());
        stage.sync(NAMESPACES[1], &name, &format!("small/{number}"))?;
        Ok(ready(stage, &format!("{}/{name}", NAMESPACES[1]))?.duration_since(start))
    };
    (first..first + SMALL).map(one).collect()
}

fn ready(stage: &Stage, name: &str) -> Result<Instant, Error> {
    let deadline = Instant::now() + crate::stage::PATIENCE;
    while Instant::now() < deadline {
        match stage.fleet.status(name) {
            Some((status, heard)) if is_ready(&status) => return Ok(heard),
            _ => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    Err(Error::Other(format!("{name} did not become Ready")))
}
