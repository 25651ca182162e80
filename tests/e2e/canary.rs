//! The leak canary: secrets that are known to the test go through everything that a controller does with secrets, at
//! the most talkative log level, with Kustomize in the way, and through every failure: those of `cases`, where something
//! has a value at hand and a reason to talk about it, a Git server that goes away, and the whole table of `bad_input`.
//! Then the test reads everything that was written anywhere, and finds them in the bodies of applies and dry runs only.
//!
//! The secrets are the values, the age identities, a PGP key, SOPS data keys, also those that a key service gave, the tokens for that, the
//! sealing private key, and Git's credentials. Not here: the reading and the searching, which is in `watched`.

mod cases;

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use waxwing_harness::{Access, Cluster, GitServer, eventually};

use crate::bad_input::{self, Told};
use crate::other_keys::OtherKeys;
use crate::stage::{PATIENCE, SYSTEM, Stage, certificate_of, condition};
use crate::watched::{Needles, Target, is_apply, watched};
use cases::{Case, cases, quoted_when_refused, sops};

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

/// The steps of the straight line.
const STEPS: [&str; 15] = [
    "fetch",
    "read",
    "render",
    "probe",
    "load",
    "live",
    "plan",
    "unseal",
    "dry-run",
    "before-apply",
    "apply",
    "after-apply",
    "health",
    "prune",
    "after-prune",
];

/// What has to stand in what is read of each kind of place, so that what was read is what was meant to be read.
const MARKS: [(&str, &str); 23] = [
    ("waxwing.log", "TRACE"),
    ("waxwing.log", "waxwing::audit"),
    ("spans", "before-apply"),
    ("the answer to /metrics", "waxwing_unsealed_values_total{"),
    ("/state/", "refs/"),
    ("/arguments", "LoadRestrictionsNone"),
    ("/environment", "GOMEMLIMIT="),
    ("/files/", "waxwinghandle0"),
    ("/output", "waxwinghandle0"),
    ("/messages", "twice"),
    ("the answer to /v1/cert.pem", "BEGIN CERTIFICATE"),
    ("\"Event\"", "DryRunFailed"),
    ("\"Sync\"", "MacMismatch"),
    ("\"Inventory\"", "undeletable"),
    ("\"Secret\"", "f:password"),
    ("the request \"patch\"", "dryRun=All"),
    ("the request \"patch\"", "/status?"),
    ("the request \"delete\"", "preconditions"),
    ("\"GitSource\"", "stale since"),
    ("\"Event\"", "PathEscapes"),
    ("the answer to /metrics", "outcome=\"unwrapped\"} 2"),
    ("\"SecretBackend\"", "by-login"),
    ("the answer to /metrics", "waxwing_store_requests_total{store=\"Vault\",outcome=\"read\"}"),
];

#[test]
fn secrets_are_found_in_apply_bodies_and_nowhere_else() {
    let mut scene = Scene::start();
    scene.goes_well();
    scene.goes_well_with_other_keys();
    scene.goes_wrong();
    scene.git_goes_away();
    let table = bad_input::told();
    scene.look_for_what_the_table_hides(table);
    scene.assert_that_secrets_were_at_hand();
    scene.assert_that_the_table_had_secrets_at_hand(table);
    let leaks = watched().leaks(&scene.needles, &scene.targets(table), &MARKS);
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    scene.assert_that_every_step_has_its_span();
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
    server: GitServer,
    /// A SOPS file whose data key is looked for.
    database: String,
    needles: Needles,
}

impl Scene {
    fn start() -> Self {
        let cluster = watched().cluster;
        let stage = Stage::on(cluster, "canary");
        certificate_of(&watched().controller(), &stage);
        let server = GitServer::start(Access::basic("fleet", &canary("git-password"))).unwrap();
        let database = sops(&stage, "database");
        let mut scene = Self { cluster, stage, server, database, needles: Needles::default() };
        scene.look_for_values_and_keys();
        scene.add_sources();
        scene
    }

    fn look_for_values_and_keys(&mut self) {
        self.needles.add("a value", CORE.as_bytes());
        self.needles.add("a SOPS data key", &self.stage.data_key(&self.database));
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

    fn look_for_what_the_table_hides(&mut self, table: &Told) {
        for (name, secret) in &table.hidden {
            self.needles.add(name, secret.as_bytes());
        }
    }

    /// Makes the repository's GitSource, which has a password, and one with a token that the server refuses.
    fn add_sources(&self) {
        let authority = serde_json::to_string(&self.server.ca_pem()).unwrap();
        let yaml = include_str!("canary/sources.yaml").replace("NAMESPACE", &self.stage.namespace);
        let yaml = yaml.replace("ADDRESS", &self.server.publish("fleet", &self.stage.repo));
        let yaml = yaml.replace("AUTHORITY", &authority).replace("PASSWORD", &canary("git-password"));
        self.cluster.apply_yaml(&yaml.replace("TOKEN", &canary("git-token"))).unwrap();
    }

    /// Returns a field of the Secret with the sealing key.
    fn sealing_key(&self, field: &str) -> String {
        let active = "--selector=sealedsecrets.bitnami.com/sealed-secrets-key=active";
        let output = format!("--output=jsonpath={}", field.replacen('.', ".items[0].", 1));
        self.cluster.kubectl(&["get", "secrets", "--namespace", SYSTEM, active, &output]).unwrap()
    }

    fn goes_well(&self) {
        let stage = &self.stage;
        let bound = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: bound}\ndata: {value: VALUE}\n";
        let bound = bound.replace("VALUE", &canary("bound"));
        let commit = stage.commit(&[
            ("app/kustomization.yaml", &format!("{KUSTOMIZATION}{APP}")),
            ("app/sealed.yaml", &kubeseal(stage, "sealed")),
            ("app/database.yaml", &self.database),
            ("app/bound.yaml", &stage.sops("x.yaml", &bound, &["--encrypted-regex", "^data$"])),
            ("app/mail.sops.env", &stage.sops("mail.sops.env", &format!("PASSWORD={}\n", canary("env")), &[])),
            ("app/whole.sops.yaml", &stage.sops("x.yaml", &format!("token: {}\n", canary("whole")), &[])),
        ]);
        self.add_sync("app", "./app", "deployer", "sops-age");
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

    /// A PGP key, and a key service with both logins; one key of it is refused. Secrets of a store; one lacks what is asked for.
    fn goes_well_with_other_keys(&mut self) {
        let stage = &self.stage;
        let keys = OtherKeys::new(stage, &watched().bao);
        let by_pgp = keys.sealed_by_pgp(&secret("by-pgp", "Opaque"));
        let sealed = |key: &str, name: &str| keys.sealed_by_vault(key, &secret(name, "Opaque"));
        let (by_login, by_token, denied) =
            (sealed("login", "by-login"), sealed("token", "by-token"), sealed("bank", "denied"));
        let by_vault = [("login", by_login.as_str()), ("token", &by_token), ("bank", &denied)];
        keys.look_for(&mut self.needles, &by_pgp, &by_vault);
        stage.commit(&[
            ("others/pgp.yaml", &by_pgp),
            ("others/login.yaml", &by_login),
            ("others/token.yaml", &by_token),
            ("others/stored.yaml", &keys.stored("stored", &canary("stored"), "password")),
            ("lacking/lacking.yaml", &keys.stored("lacking", &canary("lacking"), "other")),
            ("denied/denied.yaml", &denied),
        ]);
        for name in ["others", "denied", "lacking"] {
            let spec = format!("path: ./{name}\nwait: false\nserviceAccountName: deployer\n{}", OtherKeys::SECRETS);
            stage.declare(name, &spec);
        }
        self.ended(&[("others", "Applied"), ("denied", "KeyNotFound"), ("lacking", "ReferenceNotFound")]);
        for name in ["by-pgp", "by-login", "by-token", "stored"] {
            assert_eq!(self.stage.secret_value(name, "password"), Some(canary(name)));
        }
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
        let refused = self.stage.get("gitsource/refused").unwrap();
        assert_eq!(condition(&refused, "Ready")["reason"], "AuthenticationFailed");
    }

    /// First the server only says that it is unwell, then nobody is there.
    fn git_goes_away(&self) {
        self.server.fail_with(503_u16.try_into().unwrap());
        self.source_says("HTTP status 503");
        self.server.stop();
        self.source_says("cannot be reached");
    }

    fn source_says(&self, text: &str) {
        let said = eventually(PATIENCE, text, || {
            let source = self.stage.get("gitsource/fleet").map_err(|failure| failure.to_string())?;
            let ready = condition(&source, "Ready").to_string();
            if ready.contains(text) && ready.contains("stale since") { Ok(()) } else { Err(ready) }
        });
        said.unwrap();
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
        let kinds = if name == "readable" { "" } else { "ConfigMap, Service, apps/Deployment" };
        let keys = format!("[{{secretRef: {{name: {key}}}}}]");
        let secrets = format!("{{bindInto: [{kinds}], keysFrom: {keys}}}");
        let spec = format!("path: {path}\nwait: false\nserviceAccountName: {account}\nsecrets: {secrets}\n");
        self.stage.declare(name, &spec);
    }

    /// Waits until every Sync has ended with the reason that stands beside its name.
    fn ended(&self, ends: &[(&str, &str)]) {
        for (name, reason) in ends {
            let ended = eventually(PATIENCE, &format!("{name} ends as {reason}"), || {
                let sync = self.stage.get(&format!("sync/{name}")).map_err(|failure| failure.to_string())?;
                let ready = condition(&sync, "Ready");
                if ready["reason"] == **reason { Ok(()) } else { Err(ready.to_string()) }
            });
            ended.unwrap();
        }
    }

    /// Looks at what the collector got: a Sync that took every step, one that could not open something, and the last commit.
    fn assert_that_every_step_has_its_span(&self) {
        let (spans, namespace) = (watched().spans(), ("namespace", self.stage.namespace.as_str()));
        let steps = spans.within("sync", &[namespace, ("name", "app")]);
        let names: BTreeSet<&str> =
            steps.iter().map(|span| span.name.as_str()).filter(|name| *name != "hold").collect();
        assert_eq!(names, STEPS.into());
        let steps = spans.within("sync", &[namespace, ("name", "moved"), ("reason", "MacMismatch")]);
        let failed = steps.iter().find(|span| span.failed).unwrap();
        assert_eq!((failed.name.as_str(), failed.fields["reason"].as_str()), ("unseal", "MacMismatch"));
        let revision = format!("main@sha1:{}", self.stage.repo.head().unwrap());
        let steps = spans.within("sync", &[namespace, ("name", "undeletable"), ("revision", &revision)]);
        assert!(steps.iter().any(|span| span.name == "prune"), "{steps:?}");
        assert_eq!(spans.fields(), ["name", "namespace", "reason", "revision"].into());
    }

    /// A test that finds nothing proves something only if there was something to find.
    fn assert_that_secrets_were_at_hand(&self) {
        let log = self.cluster.audit_log().unwrap();
        let names = "sealed database bound env whole registry frozen external policed by-pgp by-login by-token stored";
        for name in names.split(' ') {
            for dry_run in [true, false] {
                let sent = log.iter().filter(|event| is_apply(event) && event["objectRef"]["name"] == name);
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

    fn assert_that_the_table_had_secrets_at_hand(&self, table: &Told) {
        let log = self.cluster.audit_log().unwrap();
        for namespace in &table.namespaces {
            let mut sent = log.iter().filter(|event| is_apply(event) && event["objectRef"]["namespace"] == **namespace);
            assert!(
                sent.any(|event| !self.needles.find(event["requestObject"].to_string().as_bytes()).is_empty()),
                "no secret was sent to {namespace}"
            );
        }
    }

    /// Returns the objects that may hold values or keys.
    fn targets(&self, table: &Told) -> Vec<Target> {
        let mut targets = targets(&self.stage.namespace);
        targets.push(Target::new("Secret", SYSTEM, &self.sealing_key("{.metadata.name}")));
        for namespace in &table.namespaces {
            targets.extend(bad_input::SECRETS.map(|name| Target::new("Secret", namespace, name)));
        }
        targets
    }
}

/// Returns the objects that may hold values or keys.
fn targets(namespace: &str) -> Vec<Target> {
    let secrets = "sealed database env whole registry frozen forbidden policed policed-late adopted touched kept \
        undeletable sops-age sops-age-typo git-password git-token by-pgp by-login by-token stored";
    let others = [("ConfigMap", "bound"), ("ConfigMap", "bare"), ("Service", "external"), ("Deployment", "replicas")];
    let secrets = secrets.split_whitespace().chain(OtherKeys::NAMES).map(|name| ("Secret", name));
    secrets.chain(others).map(|(kind, name)| Target::new(kind, namespace, name)).collect()
}
