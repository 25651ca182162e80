//! A thousand references to as many secrets of AWS Secrets Manager (moto) in a hundred Secrets: how many requests that takes, since it gives
//! twenty secrets with their versions by one (`BatchGetSecretValue`), and what is asked for when nothing changed.

use serde_json::json;
use waxwing_harness::Moto;

use crate::error::Error;
use crate::page::{at_most, digits, heading, line, seconds};
use crate::references::Asked;
use crate::scale::Scale;
use crate::stage::{NAMESPACES, Stage, sync_spec};
use crate::usage;

/// Its name in metrics.
const STORE: &str = "AWS Secrets Manager";
const REGION: &str = "eu-west-1";
/// How many references each Secret has.
const REFERENCES: usize = 10;
/// The most secrets that one request of the service is for.
const BATCH: usize = 20;

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(1000);
    heading(format!("{count} references to as many secrets of AWS Secrets Manager, {REFERENCES} in a Secret"));
    let (stage, moto) = (Stage::new()?, Moto::start()?);
    let namespace = NAMESPACES[0];
    let names: Vec<String> = (0..count).map(|number| format!("{namespace}/{number}")).collect();
    for name in &names {
        moto.secrets(REGION, "CreateSecret", &json!({"Name": name, "SecretString": format!("value of {name}")}))?;
    }
    for (number, names) in names.chunks(REFERENCES).enumerate() {
        stage.repo.write(&format!("references/{number}.yaml"), secret(number, names))?;
    }
    let controller = stage.controller_with(&["--aws-endpoint", &moto.address()])?;
    declare(&stage)?;
    let commit = stage.repo.commit("all")?;
    stage.source(namespace)?;
    let mut sync = sync_spec("references");
    sync["secrets"] = json!({"backends": [{"name": "aws"}]});
    let mark = stage.mark(&controller)?;
    stage.create("syncs", namespace, "Sync", "references", sync)?;
    stage.fleet.ready(1, &commit)?;
    let cost = stage.cost(&controller, &mark)?;
    let asked = Asked::of(&controller, STORE)?;
    at_most("requests for values", asked.values as f64, count.div_ceil(BATCH) as f64, "");
    at_most("requests for versions", asked.versions as f64, 0.0, "");
    line("the controller's CPU", seconds(cost.cpu));
    line("its memory at the peak", format!("{} MiB", digits(usage::peak_mib(controller.process().id()))));
    stage.repo.write("README", "nothing that a Sync reads")?;
    let commit = stage.push(namespace)?;
    stage.fleet.ready(1, &commit)?;
    let again = Asked::of(&controller, STORE)?.all() - asked.all();
    at_most("a sync with nothing changed: requests", again as f64, 0.0, "");
    Ok(())
}

fn secret(number: usize, names: &[String]) -> String {
    let entry = |(key, name)| (format!("key-{key}"), format!("ref+store://aws/secretsmanager/{name}").into());
    let entries: serde_json::Map<String, serde_json::Value> = names.iter().enumerate().map(entry).collect();
    let name = format!("references-{number}");
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": entries}).to_string()
}

/// Lets the tenant read them with a key of a Secret.
fn declare(stage: &Stage) -> Result<(), Error> {
    let namespace = NAMESPACES[0];
    let key = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "aws", "namespace": namespace},
        "stringData": {"accessKeyId": "test", "secretAccessKey": "test"},
    });
    stage.cluster.apply_yaml(&key.to_string())?;
    let aws = json!({"region": REGION, "auth": {"secretRef": {"name": "aws"}}});
    let allow = json!({"paths": ["secretsmanager/{namespace}/*"]});
    let spec = json!({"aws": aws, "allow": allow, "refreshInterval": "1h"});
    stage.create("secretbackends", namespace, "SecretBackend", "aws", spec)
}
