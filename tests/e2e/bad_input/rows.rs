//! The table: what is wrong, and what a user is told about it.

use super::world::{Content, Files, SECRET, World, config, files_around_the_fault, secret_manifest};

/// The certificate of another cluster.
const OTHER_CLUSTER: &str = include_str!("../../../crates/formats/tests/fixtures/sealed_secret/keys/throw-away.crt");
const KUSTOMIZATION: &str = "resources: [config.yaml, arriving.yaml, database.yaml]\n";

/// One kind of bad input.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// The reason of Ready.
    pub(super) reason: &'static str,
    /// What the message must have, beside a hint.
    pub(super) says: &'static [&'static str],
    /// What the message must not have, beside a secret value.
    pub(super) never: &'static [&'static str],
    pub(super) bad: Bad,
}

/// What is wrong with the bad commit.
pub(super) enum Bad {
    /// These files stand in the folder too.
    Files(Vec<(&'static str, Content)>),
    /// The folder is gone.
    NoFolder,
    /// This object is gone from the cluster while these files stand in the folder too.
    Without(&'static str, Vec<(&'static str, Content)>),
}

impl Bad {
    /// Returns the folder of the bad commit.
    pub(super) fn files(&self, world: &World) -> Option<Files> {
        let (mut files, more) = match self {
            Self::Files(more) => (files_around_the_fault(&world.changed), more),
            // Without a right or a key the first thing that is missed would be the one to open the change with.
            Self::Without(_, more) => (files_around_the_fault(&world.database), more),
            Self::NoFolder => return None,
        };
        files.extend(more.iter().map(|(path, content)| ((*path).to_owned(), content.clone())));
        Some(files)
    }
}

impl Row {
    /// Returns the namespace and name of the object that is taken from the cluster.
    pub(super) fn missing(&self) -> Option<(String, &'static str)> {
        match self.bad {
            Bad::Without(object, _) => Some((self.namespace(), object)),
            Bad::Files(_) | Bad::NoFolder => None,
        }
    }

    /// Tells whether the row's account may do everything in every namespace: only then the API server tells it that
    /// one doesn't exist.
    pub(super) fn rights_everywhere(&self) -> bool {
        self.reason == "NamespaceMissing"
    }

    /// Returns the row's namespace.
    pub(super) fn namespace(&self) -> String {
        namespace(self.name)
    }

    /// Returns the row's folder in the repository.
    pub(super) fn folder(&self) -> String {
        format!("rows/{}", slug(self.name))
    }
}

fn namespace(name: &str) -> String {
    format!("bad-{}", slug(name))
}

fn slug(name: &str) -> String {
    let words = name.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

/// Makes a row of files that are added or replaced.
fn row<const N: usize>(
    name: &'static str,
    reason: &'static str,
    says: &'static [&'static str],
    files: [(&'static str, Content); N],
) -> Row {
    Row { name, reason, says, never: &[], bad: Bad::Files(files.into_iter().collect()) }
}

/// Makes a row of one file that is added.
fn file(name: &'static str, reason: &'static str, says: &'static [&'static str], content: impl Into<Content>) -> Row {
    row(name, reason, says, [("fault.yaml", content.into())])
}

/// Makes a row of what is added to a kustomization.
fn built(name: &'static str, reason: &'static str, says: &'static [&'static str], more: &str) -> Row {
    row(name, reason, says, [("kustomization.yaml", format!("{KUSTOMIZATION}{more}").into())])
}

/// Returns all rows.
pub(super) fn all(world: &World) -> Vec<Row> {
    [
        documents(),
        objects(world),
        accounts(world),
        sops(world),
        sops_metadata(world),
        sealed_secrets(world),
        bindings(world),
        kustomizations(),
        repositories(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn documents() -> Vec<Row> {
    let broken = format!("{}---\nkind: [\n", config("fault", "x"));
    let twice = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fault}\ndata: {a: x, a: y}\n";
    let nameless = "apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: fault-}\n";
    vec![
        file("malformed YAML", "RenderFailed", &["fault.yaml", "line 6"], broken),
        file("a duplicate key", "RenderFailed", &["fault.yaml", "line 4"], twice),
        file("not an object", "RenderFailed", &["fault.yaml:1", "apiVersion"], "- a\n- b\n"),
        file("generateName", "RenderFailed", &["fault.yaml:1", "generateName"], nameless),
        file("an object twice", "RenderFailed", &["fault.yaml:1", "config.yaml:1"], config("settings", "x")),
        file("a file over the limit", "InputTooLarge", &["fault.yaml", "limit"], Content::Long(17 << 20)),
    ]
}

fn objects(world: &World) -> Vec<Row> {
    let elsewhere =
        |namespace: &str| config("fault", "x").replace("fault}", &format!("fault, namespace: {namespace}}}"));
    let widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: fault}\n";
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: fault}\nspec:\n  selector: {matchLabels: {app: a}}\n  template:\n    metadata: {labels: {app: b}}\n    spec: {containers: [{name: a, image: a}]}\n";
    let tls = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: fault}}\ntype: kubernetes.io/tls\nstringData: {{tls.crt: {SECRET}}}\n"
    );
    let docker = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: fault}}\ntype: kubernetes.io/dockerconfigjson\nstringData: {{.dockerconfigjson: '{{{SECRET}'}}\n"
    );
    let sealed = |plain: &str| Content::from(world.sops("fault.yaml", plain, &[]));
    let mut rows = vec![
        file("an unknown kind", "UnknownKind", &["example.com/Widget", "CustomResourceDefinition"], widget),
        file("a missing namespace", "NamespaceMissing", &["nowhere/fault"], elsewhere("nowhere")),
        file("a forbidden namespace", "Forbidden", &["kube-public/fault", "ServiceAccount"], elsewhere("kube-public")),
        file("a refused Deployment", "DryRunFailed", &["apps/Deployment", "selector"], deployment),
        file("a refused TLS Secret", "DryRunFailed", &["Secret", "data[tls.key]"], sealed(&tls)),
        file("a refused Docker Secret", "DryRunFailed", &["Secret", "data[.dockerconfigjson]"], sealed(&docker)),
    ];
    rows[4].never = &["Required value"];
    rows[5].never = &["Invalid value"];
    rows
}

fn accounts(world: &World) -> Vec<Row> {
    let fresh =
        || vec![("database.yaml", Content::from(world.sops("database.yaml", &secret_manifest("database", ""), &[])))];
    let sealed =
        || vec![("fault.yaml", Content::Text(world.seal("fault", &namespace("an account that may write no Secrets"))))];
    let without =
        |name, reason, says, object, files| Row { name, reason, says, never: &[], bad: Bad::Without(object, files) };
    vec![
        without(
            "an account without rights",
            "Forbidden",
            &["ServiceAccount", "Role"],
            "rolebinding/deployer",
            Vec::new(),
        ),
        without(
            "an account that may write no Secrets",
            "AccessDenied",
            &["create and patch Secrets", "fault.yaml"],
            "rolebinding/deployer",
            sealed(),
        ),
        without(
            "a missing account",
            "ServiceAccountNotFound",
            &["deployer does not exist", "spec.serviceAccountName"],
            "serviceaccount/deployer",
            Vec::new(),
        ),
        without("missing keys", "KeysUnavailable", &["sops-age", "spec.secrets.keysFrom"], "secret/sops-age", fresh()),
    ]
}

fn sops(world: &World) -> Vec<Row> {
    let sealed = world.database.as_str();
    let changed = |from: &str, to: &str| {
        assert!(sealed.contains(from), "{from} is not in the sealed file");
        sealed.replacen(from, to, 1)
    };
    let password = token(sealed, "password");
    let damaged = flipped(password, "data:");
    let strange = world.sops_for_a_stranger("database.yaml", &secret_manifest("database", ""));
    let joined = format!("{}---\n{sealed}", config("fault", "x"));
    let database = |name, reason, says, content: String| row(name, reason, says, [("database.yaml", content.into())]);
    vec![
        database("a wrong age key", "KeyNotFound", &["database.yaml", "sops-age", "hint"], strange),
        database("a tampered value", "UnsealFailed", &["/stringData/password"], changed(password, &damaged)),
        database(
            "a malformed value",
            "UnsealFailed",
            &["/stringData/password"],
            changed(password, "ENC[AES256_GCM,data:x]"),
        ),
        database("a tampered plain value", "MacMismatch", &["database.yaml"], changed("team: shop", "team: bank")),
        database("swapped values", "UnsealFailed", &["/stringData/"], swapped(sealed)),
        database("a renamed key", "UnsealFailed", &["/stringData/pass"], changed("password:", "pass:")),
        database(
            "another kind",
            "BindingRefused",
            &["database.yaml", "spec.secrets.bindInto"],
            changed("kind: Secret", "kind: ConfigMap"),
        ),
        file("a joined SOPS file", "UnsealFailed", &["fault.yaml", "document 1"], joined),
        file(
            "a stray token",
            "UnsealFailed",
            &["fault.yaml:1", "/data/greeting"],
            config("fault", &format!("'{password}'")),
        ),
    ]
}

fn sops_metadata(world: &World) -> Vec<Row> {
    let sealed = world.database.as_str();
    let without = |field: &str| {
        let lines = sealed.lines().filter(|line| !line.trim_start().starts_with(field));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let changed = |from: &str, to: &str| {
        assert!(sealed.contains(from), "{from} is not in the sealed file");
        sealed.replacen(from, to, 1)
    };
    let mac = token(sealed, "mac");
    let rule = "encrypted_regex: ^(data|stringData)$";
    let database = |name, reason, says, content: String| row(name, reason, says, [("database.yaml", content.into())]);
    vec![
        database("a removed MAC", "MacMismatch", &["database.yaml", "mac"], without("mac:")),
        database("a tampered MAC", "MacMismatch", &["database.yaml", "mac"], changed(mac, &flipped(mac, "data:"))),
        database(
            "a MAC that is a value",
            "MacMismatch",
            &["database.yaml", "mac"],
            changed(mac, token(sealed, "user")),
        ),
        database(
            "another lastmodified",
            "MacMismatch",
            &["lastmodified"],
            changed("lastmodified: \"2", "lastmodified: \"1"),
        ),
        database(
            "another rule",
            "UnsealFailed",
            &["/metadata/labels/team"],
            changed(rule, "encrypted_regex: ^(labels|stringData)$"),
        ),
        database("no recipients", "UnsealFailed", &["database.yaml"], changed("    age:\n", "    gpg:\n")),
    ]
}

fn sealed_secrets(world: &World) -> Vec<Row> {
    let seal = |name: &str| world.seal("fault", &namespace(name));
    let item = |sealed: &str| {
        let line = sealed.lines().find(|line| line.trim_start().starts_with("password:")).unwrap();
        line.trim().trim_start_matches("password:").trim().to_owned()
    };
    let tampered = |name: &str, from_end: usize| {
        let sealed = seal(name);
        let item = item(&sealed);
        let cut = item.len() - from_end;
        let letter = if &item[cut..=cut] == "A" { "B" } else { "A" };
        sealed.replace(&item, &format!("{}{letter}{}", &item[..cut], &item[cut + 1..]))
    };
    let broken = |name: &str| {
        let sealed = seal(name);
        sealed.replace(&item(&sealed), "'%%%'")
    };
    let renamed = world.seal("other", &namespace("an item for another name")).replace("name: other", "name: fault");
    let moved = world.seal("fault", "elsewhere").replace("elsewhere", &namespace("an item for another namespace"));
    let foreign = world.seal_with(OTHER_CLUSTER, "fault", &namespace("an item for another cluster"));
    let templated = |name: &str, text: &str| {
        let sealed = seal(name);
        assert!(sealed.contains("\n  template:\n"), "{sealed}");
        sealed.replace("\n  template:\n", &format!("\n  template:\n    data:\n      url: '{text}'\n"))
    };
    let failing = templated("a template that fails", "{{ index (splitList \".\" .password) 9 }}");
    let refused = templated("a template that uses what is refused", "{{ .password | bcrypt }}");
    let says = &["fault.yaml", "/spec/encryptedData/password"];
    vec![
        file("an item for another name", "SealedForAnother", says, renamed),
        file("an item for another namespace", "SealedForAnother", says, moved),
        file("an item for another cluster", "SealedForAnother", says, foreign),
        file("a tampered item", "UnsealFailed", says, tampered("a tampered item", 9)),
        file("an item with a tampered key", "SealedForAnother", says, tampered("an item with a tampered key", 400)),
        file("an item that is not base64", "UnsealFailed", says, broken("an item that is not base64")),
        file(
            "a template that fails",
            "UnsealFailed",
            &["fault.yaml, document 0, /spec/template/data/url", "line 1: `index`"],
            failing,
        ),
        file("a template that uses what is refused", "UnsealFailed", &["fault.yaml", "`url`", "`bcrypt`"], refused),
    ]
}

fn bindings(world: &World) -> Vec<Row> {
    let sealed = |plain: &str, rule: &str| Content::from(world.sops("fault.yaml", plain, &["--encrypted-regex", rule]));
    let handle = format!("waxwinghandle0{}", "a".repeat(64));
    let annotated = secret_manifest("fault", &format!("  annotations: {{note: {SECRET}}}\n"));
    let policy = |name, says, plain: String| file(name, "PlaintextRefused", says, plain);
    vec![
        policy(
            "a Secret in clear text",
            &["fault.yaml:1", "/stringData/password", "seal"],
            secret_manifest("fault", ""),
        ),
        file("a handle in Git", "HandleRefused", &["fault.yaml:4"], config("fault", &handle)),
        file(
            "a value in a ConfigMap",
            "BindingRefused",
            &["fault.yaml, document 0, /data/greeting", "spec.secrets.bindInto"],
            sealed(&config("fault", SECRET), "^data$"),
        ),
        file(
            "a value in an annotation",
            "BindingRefused",
            &["fault.yaml, document 0, /metadata/annotations/note", "--encrypted-regex"],
            sealed(&annotated, "^(annotations|stringData)$"),
        ),
        file(
            "a value in a name",
            "BindingRefused",
            &["fault.yaml:1", "metadata.name", "--encrypted-regex"],
            sealed(&secret_manifest("fault", ""), "^(name|stringData)$"),
        ),
    ]
}

fn kustomizations() -> Vec<Row> {
    let cut = "replacements:\n- source: {kind: Secret, name: database, fieldPath: stringData.password, options: {delimiter: a, index: 1}}\n  targets:\n  - {select: {kind: ConfigMap, name: settings}, fieldPaths: [data.greeting]}\n";
    let copied = cut.replace(", options: {delimiter: a, index: 1}", "");
    let into_name = copied.replace("data.greeting", "metadata.name");
    let patch = format!("patches:\n- patch: |-\n{}", indented(&config("nothing", "x")));
    vec![
        built("a missing base", "RenderFailed", &["kustomization.yaml", "../base"], "components: [../base]\n"),
        built(
            "a remote base",
            "RenderFailed",
            &["https://example.com/base", "remote"],
            "components: ['https://example.com/base']\n",
        ),
        built(
            "a base outside",
            "PathEscapes",
            &["kustomization.yaml", "../../../base"],
            "components: [../../../base]\n",
        ),
        built("a plugin", "RenderFailed", &["kustomization.yaml", "generators"], "generators: [plugin.yaml]\n"),
        built("a patch that fits nothing", "KustomizeFailed", &["kustomization.yaml"], &patch),
        built("a cut value", "HandleRefused", &["kustomization.yaml", "delimiter"], cut),
        built("a value copied into a ConfigMap", "BindingRefused", &["database.yaml", "/data/greeting"], &copied),
        built("a value copied into a name", "BindingRefused", &["kustomization.yaml", "metadata.name"], &into_name),
    ]
}

fn repositories() -> Vec<Row> {
    let link = |target| Content::Link(target);
    vec![
        file("a link that leaves", "PathEscapes", &["fault.yaml", "link"], link("../../../etc/passwd")),
        file("a link to an absolute path", "PathEscapes", &["fault.yaml", "link"], link("/etc/passwd")),
        file("a link in circles", "PathEscapes", &["fault.yaml", "link"], link("fault.yaml")),
        file("a link to nothing", "RenderFailed", &["fault.yaml", "nothing.yaml"], link("nothing.yaml")),
        Row {
            name: "a missing folder",
            reason: "PathNotFound",
            says: &["rows/", "check the path"],
            never: &[],
            bad: Bad::NoFolder,
        },
    ]
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

/// Returns the token that stands at a key of a SOPS file.
fn token<'a>(sealed: &'a str, key: &str) -> &'a str {
    let start = format!("{key}: ");
    let line = sealed.lines().find_map(|line| line.trim_start().strip_prefix(&start));
    line.unwrap_or_else(|| panic!("{key} is not in the sealed file"))
}

/// Changes the character after `mark`.
fn flipped(token: &str, mark: &str) -> String {
    let at = token.find(mark).unwrap() + mark.len();
    let letter = if &token[at..=at] == "A" { "B" } else { "A" };
    format!("{}{letter}{}", &token[..at], &token[at + 1..])
}

fn swapped(sealed: &str) -> String {
    let (user, password) = (token(sealed, "user"), token(sealed, "password"));
    sealed.replace(user, "<user>").replace(password, user).replace("<user>", password)
}
