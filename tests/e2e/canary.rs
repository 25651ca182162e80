//! The leak canary: secrets that are known to the test go through everything that a controller does with secrets, at
//! the most talkative log level, with Kustomize in the way, and through every failure that has a value at hand. Then
//! the test reads everything that was written anywhere, and finds them in the bodies of applies and dry runs only.
//!
//! The secrets are the values, the age identity, a SOPS data key, and the sealing private key. Not here: memory, which
//! no test from outside can read.

mod cases;
mod needles;
mod spy;
mod traces;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use waxwing_harness::{Cluster, ClusterOptions, Controller, ControllerOptions, eventually};

use crate::stage::{PATIENCE, SYSTEM, Stage, condition, own_cluster};
use cases::{Case, cases, quoted_when_refused, sops};
use needles::Needles;
use spy::{Spy, working_folder};
use traces::{Target, Trace};

/// What every value has in the middle.
const CORE: &str = "Vb4Gd6Hp1Js0YcW2Qf3Zr9Lm2Xk5Tn8V";

const KUSTOMIZATION: &str = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\ngeneratorOptions: {disableNameSuffixHash: true}\n";

/// What goes well: every way in which a sealed value arrives.
const APP: &str = "
resources: [sealed.yaml, database.yaml, bound.yaml]
secretGenerator:
- {name: env, envs: [mail.sops.env]}
- {name: whole, files: [whole.sops.yaml]}
patches:
- target: {kind: Secret, name: database}
  patch: '[{op: add, path: /metadata/labels, value: {tier: back}}]'
";

#[test]
fn secrets_are_found_in_apply_bodies_and_nowhere_else() {
    let scene = Scene::start();
    scene.goes_well();
    scene.goes_wrong();
    scene.assert_that_secrets_were_at_hand();
    let end = scene.end();
    assert!(end.leaks.is_empty(), "{} leaks:\n{}", end.leaks.len(), end.leaks.join("\n"));
}

/// Returns a value that can be told from the others where it is found.
fn canary(name: &str) -> String {
    format!("{name}.{CORE}.{name}")
}

/// Returns a Secret that is named like its canary.
fn secret(name: &str, kind: &str) -> String {
    let key = if kind.ends_with("dockerconfigjson") { ".dockerconfigjson" } else { "password" };
    let value = canary(name);
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\ntype: {kind}\nstringData: {{{key}: {value}}}\n")
}

fn kubeseal(stage: &Stage, name: &str) -> String {
    let certificate = stage.upstream.home().join("cert.pem");
    let arguments = ["--cert", certificate.to_str().unwrap(), "--format", "yaml", "--namespace", &stage.namespace];
    stage.upstream.kubeseal(&arguments).unwrap().stdin(secret(name, "Opaque")).text().unwrap()
}

struct Scene {
    cluster: &'static Cluster,
    stage: Stage,
    spy: Spy,
    controller: Controller,
    needles: Needles,
}

struct End {
    leaks: Vec<String>,
}

impl Scene {
    fn start() -> Self {
        let cluster = own_cluster(ClusterOptions { audit: true, ..ClusterOptions::default() });
        let spy = Spy::new();
        let arguments = ["--allow-file-sources", "--log-level", "trace"];
        let mut options = ControllerOptions::new(env!("CARGO_BIN_EXE_waxwing"), &arguments);
        options.kustomize = Some(spy.program());
        let controller = Controller::start(cluster, options).unwrap();
        let stage = Stage::on(cluster, "canary");
        let certificate = controller.get("/v1/cert.pem").unwrap().1;
        std::fs::write(stage.upstream.home().join("cert.pem"), certificate).unwrap();
        let mut scene = Self { cluster, stage, spy, controller, needles: Needles::default() };
        scene.look_for_values_and_keys();
        scene
    }

    fn look_for_values_and_keys(&mut self) {
        self.needles.add("a value", CORE.as_bytes());
        let identity = self.stage.age.identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-1")).unwrap();
        self.needles.add("the age identity", &identity.as_bytes()[16..56]);
        self.needles.add("the age identity in lower case", identity[16..56].to_lowercase().as_bytes());
        let pem = String::from_utf8(STANDARD.decode(self.sealing_key("{.data.tls\\.key}")).unwrap()).unwrap();
        let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
        // The first half has the modulus, which is in the certificate too.
        let line = lines[lines.len() * 3 / 4];
        self.needles.add("the sealing key's PEM", line.as_bytes());
        self.needles.add("the sealing key", &STANDARD.decode(line).unwrap());
    }

    /// Returns a field of the Secret with the sealing key.
    fn sealing_key(&self, field: &str) -> String {
        let active = "--selector=sealedsecrets.bitnami.com/sealed-secrets-key=active";
        let output = format!("--output=jsonpath={}", field.replacen('.', ".items[0].", 1));
        self.cluster.kubectl(&["get", "secrets", "--namespace", SYSTEM, active, &output]).unwrap()
    }

    fn goes_well(&self) {
        let stage = &self.stage;
        let database = sops(stage, "database");
        let bound = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bound}\ndata: {value: VALUE}\n";
        let bound = bound.replace("VALUE", &canary("bound"));
        let commit = stage.commit(&[
            ("app/kustomization.yaml", &format!("{KUSTOMIZATION}{APP}")),
            ("app/sealed.yaml", &kubeseal(stage, "sealed")),
            ("app/database.yaml", &database),
            ("app/bound.yaml", &stage.sops("x.yaml", &bound, &["--encrypted-regex", "^data$"])),
            ("app/mail.sops.env", &stage.sops("mail.sops.env", &format!("PASSWORD={}\n", canary("env")), &[])),
            ("app/whole.sops.yaml", &stage.sops("x.yaml", &format!("token: {}\n", canary("whole")), &[])),
        ]);
        stage.sync("./app", "  bindInto: [ConfigMap]");
        stage.applied(&commit);
        assert_eq!(stage.secret_value("database", "password"), Some(canary("database")));
        let changed = stage.sops(
            "x.yaml",
            &secret("database", "Opaque").replace("password", "pass"),
            &["--encrypted-regex", "^(data|stringData)$"],
        );
        let smaller = APP.replace("- {name: env, envs: [mail.sops.env]}\n", "");
        let commit = stage.commit(&[
            ("app/kustomization.yaml", &format!("{KUSTOMIZATION}{smaller}")),
            ("app/database.yaml", &changed),
        ]);
        stage.applied(&commit);
        assert!(stage.get("secret/env").is_err(), "a generated Secret that left Git is pruned");
    }

    fn goes_wrong(&self) {
        self.prepare_refusals();
        let cases = cases(&self.stage);
        let undeletable = [("undeletable/kept.yaml", sops(&self.stage, "kept"))];
        let files = cases.iter().flat_map(|case| {
            case.files.iter().map(|(file, text)| (format!("cases/{}/{file}", case.name), text.clone()))
        });
        let mut files: Vec<(String, String)> = files.collect();
        files.extend(undeletable.map(|(path, text)| (path.to_owned(), text)));
        files.push(("undeletable/undeletable.yaml".to_owned(), sops(&self.stage, "undeletable")));
        let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        self.stage.commit(&files);
        self.add_sync("undeletable", "./undeletable", "deployer", "sops-age");
        for Case { name, account, key, .. } in &cases {
            self.add_sync(name, &format!("./cases/{name}"), account, key);
        }
        self.ended(&[("undeletable", "Applied")]);
        self.stage.repo.remove("undeletable/undeletable.yaml").unwrap();
        self.stage.commit(&[]);
        let mut ends: Vec<(&str, &str)> = cases.iter().map(|case| (case.name, case.reason)).collect();
        ends.push(("undeletable", "PruneFailed"));
        self.ended(&ends);
    }

    /// Puts into the cluster what refuses: accounts without rights, damaged keys, Secrets that stand in the way, and a
    /// policy whose messages quote values.
    fn prepare_refusals(&self) {
        let namespace = &self.stage.namespace;
        let typo = self.stage.age.identity.trim_end().lines().last().unwrap();
        let typo = format!("{}{}", &typo[..typo.len() - 1], if typo.ends_with('Q') { 'P' } else { 'Q' });
        let live = ["adopted", "touched", "frozen", "bare"].map(canary);
        let [adopted, touched, frozen, bare] = live;
        let yaml = include_str!("canary/refusals.yaml").replace("NAMESPACE", namespace).replace("TYPO", &typo);
        let yaml = yaml.replace("ADOPTED", &adopted).replace("TOUCHED", &touched).replace("FROZEN", &frozen);
        self.cluster.apply_yaml(&yaml.replace("BARE", &bare)).unwrap();
        let policy = include_str!("canary/policy.yaml").replace("NAMESPACE", namespace);
        self.cluster.apply_yaml(&policy).unwrap();
        let trial = ["--namespace", namespace, "create", "configmap", "policed", "--dry-run=server"];
        let refused = || match self.cluster.kubectl(&trial) {
            Ok(_) => Err("nothing is refused"),
            Err(_) => Ok(()),
        };
        eventually(PATIENCE, "the policy is in force", refused).unwrap();
    }

    fn add_sync(&self, name: &str, path: &str, account: &str, key: &str) {
        let namespace = &self.stage.namespace;
        let bind = match name {
            "readable" => "",
            _ => "    bindInto: [ConfigMap, Service, apps/Deployment]\n",
        };
        let sync = format!(
            r#"
apiVersion: waxwing.dev/v1alpha1
kind: Sync
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  sourceRef: {{name: fleet}}
  path: {path}
  retryInterval: 5s
  wait: false
  serviceAccountName: {account}
  secrets:
    keysFrom: [{{secretRef: {{name: {key}}}}}]
{bind}"#
        );
        self.cluster.apply_yaml(&sync).unwrap();
    }

    /// Waits until every Sync has ended with the reason that stands beside its name.
    fn ended(&self, ends: &[(&str, &str)]) {
        let ended = eventually(PATIENCE, "the Syncs end as they should", || {
            let syncs = self.stage.get("syncs").map_err(|failure| failure.to_string())?;
            let syncs = syncs["items"].as_array().unwrap();
            let ready =
                |name| syncs.iter().find(|sync| sync["metadata"]["name"] == name).map(|sync| condition(sync, "Ready"));
            let others = ends.iter().map(|(name, reason)| (name, reason, ready(*name).unwrap_or_default()));
            let others = others.filter(|(_, reason, ready)| ready["reason"] != **reason);
            let others: Vec<String> =
                others.map(|(name, reason, ready)| format!("{name}, not {reason}: {ready}")).collect();
            if others.is_empty() { Ok(()) } else { Err(others.join("\n")) }
        });
        ended.unwrap();
    }

    /// A test that finds nothing proves something only if there was something to find.
    fn assert_that_secrets_were_at_hand(&self) {
        let log = self.cluster.audit_log().unwrap();
        for name in ["sealed", "database", "bound", "env", "whole", "registry", "frozen", "external", "policed"] {
            for dry_run in [true, false] {
                let sent = log.iter().filter(|event| traces::is_apply(event) && event["objectRef"]["name"] == name);
                let is_dry_run = |event: &Value| event["requestURI"].as_str().unwrap().contains("dryRun=All");
                let mut sent = sent.filter(|event| is_dry_run(event) == dry_run);
                let is_refused = ["registry", "frozen", "external", "policed"].contains(&name);
                let carries =
                    sent.any(|event| !self.needles.find(event["requestObject"].to_string().as_bytes()).is_empty());
                assert_eq!(carries, dry_run || !is_refused, "{name}, dry run: {dry_run}");
            }
        }
        for document in quoted_when_refused() {
            let refusal = self
                .cluster
                .kubectl_call(&[
                    "--namespace",
                    &self.stage.namespace,
                    "apply",
                    "--server-side",
                    "--force-conflicts",
                    "--filename=-",
                ])
                .stdin(document)
                .run()
                .unwrap();
            assert_ne!(self.needles.find(refusal.stderr.as_bytes()), [], "{}", refusal.stderr);
        }
    }

    fn end(mut self) -> End {
        let mut traces = traces::answers(&self.controller);
        self.controller.terminate(PATIENCE).unwrap();
        let mut targets = targets(&self.stage.namespace);
        targets.push(Target::new("Secret", SYSTEM, &self.sealing_key("{.metadata.name}")));
        traces.extend(traces::files(self.controller.dir()));
        traces.extend(traces::objects(self.cluster, &targets));
        traces.extend(traces::requests(self.cluster, &targets));
        for call in self.spy.calls() {
            assert!(!working_folder(&call).exists(), "the folder of a render is gone after it");
            traces.extend(traces::files(&call));
        }
        let leaks = traces.iter().flat_map(|Trace { place, bytes }| {
            self.needles.find(bytes).into_iter().map(move |found| format!("{place} has {found}"))
        });
        End { leaks: leaks.collect() }
    }
}

/// Returns the objects that may hold values or keys.
fn targets(namespace: &str) -> Vec<Target> {
    let secrets = "sealed database env whole registry frozen forbidden policed policed-late adopted touched kept \
        undeletable sops-age sops-age-typo";
    let others = [("ConfigMap", "bound"), ("ConfigMap", "bare"), ("Service", "external"), ("Deployment", "replicas")];
    let secrets = secrets.split_whitespace().map(|name| ("Secret", name));
    secrets.chain(others).map(|(kind, name)| Target::new(kind, namespace, name)).collect()
}
