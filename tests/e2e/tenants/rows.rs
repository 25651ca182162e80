//! The table: what a tenant tries, and the reason that its Sync ends with.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::world::{LOOT, World, config, secret};

/// One try. Each has a Sync of its own in the namespace of the thief, named after it.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The reason of Ready.
    pub(super) reason: &'static str,
    /// What stands in the Sync's folder of the thief's repository.
    pub(super) files: Vec<(&'static str, String)>,
    /// What stands in the Sync's spec beside its folder: YAML, one field a line.
    pub(super) spec: String,
    /// An Inventory that the thief writes by hand.
    pub(super) forged: Option<Forged>,
}

/// What an Inventory says that was written by hand: the items of its lists, as JSON.
pub(super) struct Forged {
    pub(super) entries: String,
    pub(super) verified: String,
    /// Of which Sync it says to be, by uid; none for the row's own.
    pub(super) uid: Option<&'static str>,
}

/// The row whose object has a status that quotes the value, once somebody has written it.
pub(super) const QUOTING_STATUS: &str = "a status that quotes the value";

/// What a Sync of the thief has where the row is not about that.
const OWN_KEYS: &str = "serviceAccountName: deployer\nsecrets: {keysFrom: [{secretRef: {name: sops-age}}]}";

impl Row {
    /// Returns the name of the row's Sync, and of its folder.
    pub(super) fn sync(&self) -> String {
        let words = self.name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join("-").to_lowercase()
    }

    fn with_spec(self, spec: impl Into<String>) -> Self {
        Self { spec: spec.into(), ..self }
    }

    fn forging(self, entries: &str, verified: &str) -> Self {
        Self { forged: Some(Forged { entries: entries.to_owned(), verified: verified.to_owned(), uid: None }), ..self }
    }
}

fn row<const N: usize>(name: &'static str, reason: &'static str, files: [(&'static str, String); N]) -> Row {
    Row { name, reason, files: files.into(), spec: OWN_KEYS.to_owned(), forged: None }
}

fn file(name: &'static str, reason: &'static str, content: impl Into<String>) -> Row {
    row(name, reason, [("loot.yaml", content.into())])
}

/// Returns all rows.
pub(super) fn all(world: &World) -> Vec<Row> {
    let parts = [sealed_secrets(world), sops_files(world), names(world), marks(world), objects(world)];
    let more = [places(world), handles(world), echoes(world)];
    parts.into_iter().chain(more).flatten().collect()
}

/// What was sealed for the neighbour.
fn sealed_secrets(world: &World) -> Vec<Row> {
    let (sealed, thief, victim) = (&world.sealed, &world.thief.namespace, &world.victim.namespace);
    let here = sealed.replace(victim, thief);
    let wide = |scope: &str, sealed: &str| {
        sealed.replacen(
            "metadata:\n",
            &format!("metadata:\n  annotations: {{sealedsecrets.bitnami.com/{scope}: 'true'}}\n"),
            1,
        )
    };
    let own = world.seal_for_thief(&secret("loot", "mine"));
    let with = |sealed: &str, text: &str| {
        sealed.replacen("  template:\n", &format!("  template:\n    data: {{copy: '{text}'}}\n"), 1)
    };
    vec![
        file("a SealedSecret of the neighbour, copied", "PlanConflict", sealed.as_str()),
        file("one that is not applied there yet", "AccessDenied", world.spare.as_str()),
        file("the first in one's own namespace", "SealedForAnother", here.as_str()),
        file("the same, called good for the cluster", "SealedForAnother", wide("cluster-wide", &here)),
        file(
            "the same, called good for the namespace",
            "AccessDenied",
            wide("namespace-wide", &sealed.replace("login", "loot")),
        ),
        file("a template over a value of the neighbour", "SealedForAnother", with(&here, "{{ .password }}")),
        file(
            "a template that asks for the controller's environment",
            "UnsealFailed",
            with(&own, r#"{{ env "HOME" }}"#),
        ),
    ]
}

/// What was encrypted for the neighbour, whose Sync has opened it just before.
fn sops_files(world: &World) -> Vec<Row> {
    let copy = || world.database.clone();
    let verified = format!("\"{}\"", world.blob(&world.database));
    vec![
        file("a SOPS file of the neighbour, copied", "KeyNotFound", copy()),
        file("the same, without a key at hand", "KeyNotFound", copy()).with_spec("serviceAccountName: deployer"),
        file("the same, said to be verified", "KeyNotFound", copy()).forging("", &verified),
        file("the same, with the name of the neighbour's key", "KeysUnavailable", copy())
            .with_spec("serviceAccountName: deployer\nsecrets: {keysFrom: [{secretRef: {name: neighbours-age}}]}"),
    ]
}

/// What a Sync may name lies in its own namespace.
fn names(world: &World) -> Vec<Row> {
    let own = || config("loot", "x");
    let sync = format!(
        "apiVersion: waxwing.dev/v1alpha1\nkind: Sync\nmetadata: {{name: planted, namespace: {}}}\nspec: {{sourceRef: {{name: fleet}}, serviceAccountName: deployer}}\n",
        world.victim.namespace
    );
    let rights = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {}-planted}}\nroleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}}\nsubjects: [{{kind: ServiceAccount, name: deployer, namespace: {0}}}]\n",
        world.thief.namespace
    );
    vec![
        file("the neighbour's ServiceAccount, by name", "ServiceAccountNotFound", own())
            .with_spec("serviceAccountName: neighbours-deployer"),
        file("the neighbour's source, by name", "SourceNotFound", own())
            .with_spec("sourceRef: {name: neighbours-fleet}\nserviceAccountName: deployer"),
        file("a Sync of the neighbour's in one's own repository", "Forbidden", sync),
        file("rights in the whole cluster in one's own repository", "Forbidden", rights),
    ]
}

/// Marks of ownership are set by the controller alone, by whatever way they come.
fn marks(world: &World) -> Vec<Row> {
    let mark = world.neighbours_label();
    let kustomization = format!("resources: [loot.yaml]\nlabels: [{{pairs: {{waxwing.dev/sync: {mark}}}}}]\n");
    let template = format!("  template:\n    metadata:\n      labels: {{waxwing.dev/sync: {mark}}}\n");
    let sealed = world.seal_for_thief(&secret("loot", "mine"));
    let (head, _) = sealed.split_once("  template:\n").unwrap();
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {{name: loot, annotations: {{waxwing.dev/sync-name: {}/app}}}}\n",
        world.victim.namespace
    );
    vec![
        row(
            "the neighbour's mark, put on by Kustomize",
            "PlanConflict",
            [("loot.yaml", config("loot", "x")), ("kustomization.yaml", kustomization)],
        ),
        file("the neighbour's mark in the template of a SealedSecret", "PlanConflict", format!("{head}{template}")),
        file("the neighbour's name in an item of a List", "PlanConflict", list),
    ]
}

/// Objects of the neighbour: taken over, left alone on purpose, said to be one's own.
fn objects(world: &World) -> Vec<Row> {
    let theirs = |name: &str, more: &str| {
        config(name, "stolen").replace(
            &format!("{{name: {name}"),
            &format!("{{name: {name}, namespace: {}{more}", world.victim.namespace),
        )
    };
    let entry = |name: &str| world.inventory_entry(name);
    let elsewhere = entry("settings").replace("{", "{\"group\": \"x/../../api\", ").replace("v1", "v1/secrets?x=");
    let own = |row: &'static str, number: usize| file(row, "Applied", config(&format!("own-{number}"), "x"));
    let untouched = theirs("settings", ", annotations: {waxwing.dev/reconcile: Disabled}");
    let claim = own("an inventory that claims what the neighbour will drop", 4).forging(&entry("leaving"), "");
    vec![
        row(
            "an object of the neighbour in one's own repository",
            "PlanConflict",
            [("own.yaml", config("own-0", "x")), ("loot.yaml", theirs("settings", ""))],
        ),
        file("an object of the neighbour that nobody manages", "Forbidden", theirs("unmanaged", "")),
        file("an object of the neighbour that is to be left alone", "Applied", untouched),
        own("an inventory that names an object of the neighbour", 1).forging(&entry("settings"), ""),
        own("an inventory that names what nobody manages", 2).forging(&entry("unmanaged"), ""),
        own("an inventory that leads to another path", 3).forging(&elsewhere, ""),
        Row { forged: claim.forged.map(|forged| Forged { uid: Some("made-up"), ..forged }), ..claim },
    ]
}

/// Places for a value that more people may read than Secrets. Others stand in the table of `bad_input`.
fn places(world: &World) -> Vec<Row> {
    let pod = |container: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: loot}}\nspec:\n  replicas: 0\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {{containers: [{{name: web, image: web, {container}}}]}}\n"
        )
    };
    let sealed = |plain: &str, fields: &str| world.sops(plain, &["--encrypted-regex", fields]);
    let environment = pod(&format!("env: [{{name: TOKEN, value: {LOOT}}}]"));
    let bound = OWN_KEYS.replace("{keysFrom", "{bindInto: [apps/Deployment], keysFrom");
    let labelled = secret("loot", LOOT).replace("{name: loot}", &format!("{{name: loot, labels: {{note: {LOOT}}}}}"));
    let copied = "resources: [own.yaml, loot.yaml]\nreplacements:\n- source: {kind: Secret, name: loot, fieldPath: stringData.password}\n  targets:\n  - select: {kind: ConfigMap, name: own}\n    fieldPaths: [metadata.annotations.note]\n    options: {create: true}\n";
    vec![
        file("a value in a container's environment", "BindingRefused", sealed(&environment, "^value$")),
        file(
            "a value as the name of a variable",
            "BindingRefused",
            sealed(&environment.replace("TOKEN", LOOT), "^env$"),
        )
        .with_spec(bound.as_str()),
        file("a value as an argument", "BindingRefused", sealed(&pod(&format!("args: [{LOOT}]")), "^args$"))
            .with_spec(bound),
        file("a value as a label", "BindingRefused", sealed(&labelled, "^(labels|stringData)$")),
        row(
            "a value that Kustomize copies into an annotation",
            "BindingRefused",
            [
                ("own.yaml", config("own", "x")),
                ("loot.yaml", sealed(&secret("loot", LOOT), "^stringData$")),
                ("kustomization.yaml", copied.to_owned()),
            ],
        ),
    ]
}

/// Handles that a file of one's own did not make.
fn handles(world: &World) -> Vec<Row> {
    let handle = world.neighbours_handle();
    let (head, tail) = handle.split_at(8);
    let pieces =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: loot}}\ndata: {{head: {head}, tail: {}}}\n", &tail);
    let joined = "resources: [loot.yaml]\nreplacements:\n- source: {kind: ConfigMap, name: loot, fieldPath: data.tail}\n  targets:\n  - select: {kind: ConfigMap, name: loot}\n    fieldPaths: [data.head]\n    options: {delimiter: h, index: 1}\n";
    let encoded = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: loot}}\ndata: {{password: {}}}\n",
        STANDARD.encode(&handle)
    );
    let allow = "serviceAccountName: deployer\nsecrets: {plaintext: Allow}";
    vec![
        file("the handle of a file of the neighbour", "HandleRefused", config("loot", &handle)),
        file("the same as base64", "HandleRefused", encoded).with_spec(allow),
        row(
            "the same, joined from pieces by Kustomize",
            "HandleRefused",
            [("loot.yaml", pieces), ("kustomization.yaml", joined.to_owned())],
        ),
    ]
}

/// Those who get a value and talk about it. An admission policy that does stands in the table of `canary`.
fn echoes(world: &World) -> Vec<Row> {
    let gauge = |field: &str| {
        format!(
            "apiVersion: {}.example.com/v1\nkind: Gauge\nmetadata: {{name: {field}}}\nspec: {{{field}: {LOOT}}}\n",
            world.thief.namespace
        )
    };
    let sealed = |field: &str| world.sops(&gauge(field), &["--encrypted-regex", "^spec$"]);
    let kind = format!("{}.example.com/Gauge", world.thief.namespace);
    let bound = OWN_KEYS.replace("{keysFrom", &format!("{{bindInto: [{kind}], keysFrom"));
    let echo = |name, reason, field: &str| file(name, reason, sealed(field)).with_spec(bound.as_str());
    vec![
        echo("a rule of a definition that quotes the value", "DryRunFailed", "token"),
        echo("a list of a definition that the value is not in", "DryRunFailed", "level"),
        echo(QUOTING_STATUS, "Applied", "note"),
    ]
}
