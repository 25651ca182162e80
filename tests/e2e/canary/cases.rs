//! The failures that a secret goes through: what is committed, and which reason ends it.
//!
//! In each of them something has the value at hand and a reason to talk about it.

use crate::stage::Stage;

use super::{KUSTOMIZATION, canary, kubeseal, secret};

/// One failure: a folder of its own with a Sync of its own.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) files: Vec<(&'static str, String)>,
    pub(super) account: &'static str,
    pub(super) key: &'static str,
    pub(super) reason: &'static str,
}

/// What only sops encrypts in a Secret.
const VALUES: [&str; 2] = ["--encrypted-regex", "^(data|stringData)$"];

/// Makes all failures.
pub(super) fn cases(stage: &Stage) -> Vec<Case> {
    let mut cases = refused_while_opening(stage);
    cases.extend(refused_by_the_api_server(stage));
    cases.extend(refused_by_policy(stage));
    cases
}

fn refused_while_opening(stage: &Stage) -> Vec<Case> {
    let tampered = sops(stage, "tampered").replacen("data:", "data:AAAA", 1);
    let moved = sops(stage, "moved").replace("name: moved", "name: elsewhere");
    let stranger = stage.upstream.age_keygen().unwrap().recipient;
    let encrypt = ["encrypt", "--age", &stranger, "--filename-override", "x.yaml", VALUES[0], VALUES[1]];
    let for_stranger = stage.upstream.sops(&encrypt);
    let for_stranger = for_stranger.unwrap().stdin(secret("stranger", "Opaque")).text().unwrap();
    let other_name = kubeseal(stage, "other-name").replace("name: other-name", "name: renamed");
    let readable = stage.sops("x.yaml", &config("readable"), &["--encrypted-regex", "^data$"]);
    vec![
        case("tampered", "UnsealFailed", tampered),
        case("moved", "MacMismatch", moved),
        case("stranger", "KeyNotFound", for_stranger),
        case("other-name", "SealedForAnother", other_name),
        case("readable", "BindingRefused", readable),
        Case { key: "sops-age-typo", ..case("typo", "KeysUnavailable", sops(stage, "typo")) },
        Case { account: "limited", ..case("no-access", "AccessDenied", kubeseal(stage, "no-access")) },
        twice(stage),
    ]
}

fn refused_by_the_api_server(stage: &Stage) -> Vec<Case> {
    let registry = stage.sops("x.yaml", &secret("registry", "kubernetes.io/dockerconfigjson"), &VALUES);
    let frozen = secret("frozen", "Opaque") + "immutable: true\n";
    vec![
        case("registry", "DryRunFailed", registry),
        case("frozen", "DryRunFailed", stage.sops("x.yaml", &frozen, &VALUES)),
        case("external", "DryRunFailed", stage.sops("x.yaml", &external(), &["--encrypted-regex", "^externalName$"])),
        case("replicas", "DryRunFailed", stage.sops("x.yaml", &replicas(), &["--encrypted-regex", "^replicas$"])),
        Case { account: "limited", ..case("forbidden", "Forbidden", sops(stage, "forbidden")) },
    ]
}

fn refused_by_policy(stage: &Stage) -> Vec<Case> {
    let touched = "apiVersion: v1\nkind: Secret\nmetadata: {name: touched, labels: {tier: front}}\n";
    let bare = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bare}\ndata: {greeting: hello}\n";
    vec![
        case("policed", "DryRunFailed", sops(stage, "policed")),
        case("policed-late", "ApplyFailed", sops(stage, "policed-late")),
        case("adopted", "ApplyFailed", sops(stage, "adopted")),
        case("touched", "DryRunFailed", touched.to_owned()),
        case("bare", "DryRunFailed", bare.to_owned()),
    ]
}

/// Returns objects, in clear text, that the API server refuses with a message that quotes their values.
pub(super) fn quoted_when_refused() -> Vec<String> {
    let touched = ["adopted", "touched"].map(|name| secret(name, "Opaque"));
    let new = ["policed", "policed-late"].map(|name| secret(name, "Opaque"));
    [external(), config("bare")].into_iter().chain(touched).chain(new).collect()
}

/// A kustomization that Kustomize refuses, for there are two Secrets of one name.
fn twice(stage: &Stage) -> Case {
    let generator = "resources: [object.yaml]\nsecretGenerator: [{name: twice, envs: [mail.sops.env]}]\n";
    let env = stage.sops("mail.sops.env", &format!("PASSWORD={}\n", canary("twice")), &[]);
    let mut case = case("twice", "KustomizeFailed", sops(stage, "twice"));
    case.files.push(("kustomization.yaml", format!("{KUSTOMIZATION}{generator}")));
    case.files.push(("mail.sops.env", env));
    case
}

fn case(name: &'static str, reason: &'static str, object: String) -> Case {
    Case { name, files: vec![("object.yaml", object)], account: "deployer", key: "sops-age", reason }
}

/// Returns an encrypted Secret that is named like its canary.
pub(super) fn sops(stage: &Stage, name: &str) -> String {
    stage.sops("x.yaml", &secret(name, "Opaque"), &VALUES)
}

fn config(name: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{value: {}}}\n", canary(name))
}

fn external() -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: external}}\nspec: {{type: ExternalName, externalName: {}}}\n",
        canary("external")
    )
}

fn replicas() -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: replicas}}\nspec:\n  replicas: {}\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {{containers: [{{name: web, image: web}}]}}\n",
        canary("replicas")
    )
}
