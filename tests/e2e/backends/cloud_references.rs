//! References into AWS (moto), Google Cloud and Azure (the fakes), and into Secrets of the cluster: where values arrive, how soon another version
//! does, what is asked for together, and what is refused before anyone is asked.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use waxwing_harness::{FakeKeyVault, Moto};

use super::World;
use super::clouds::{AZURE_AUDIENCE, Clouds, GOOGLE_AUDIENCE, pool};
use super::pages::{Page, Walk};
use super::references::secret;
use crate::stage::Stage;

const REGION: &str = "eu-west-1";
/// Where other things stand under the same names.
const OTHER_REGION: &str = "us-east-1";

/// A tenant whose secrets are in every store but Vault.
struct Stores {
    clouds: Clouds,
    moto: Moto,
}

impl Drop for Stores {
    fn drop(&mut self) {
        drop(self.stage().cluster.kubectl(&["delete", "clustersecretbackend", "aws", "--ignore-not-found"]));
    }
}

impl Stores {
    fn new(name: &str) -> Self {
        let moto = Moto::start().unwrap();
        let clouds = Clouds::with(name, FakeKeyVault::URL, &["--aws-endpoint", &moto.address()]);
        let stores = Self { clouds, moto };
        let keys = ["--from-literal=accessKeyId=test", "--from-literal=secretAccessKey=hunter-key-7c20aa96"];
        stores.stage().kubectl(&[&["create", "secret", "generic", "aws"], keys.as_slice()].concat()).unwrap();
        stores
    }

    fn world(&self) -> &World {
        &self.clouds.world
    }

    fn stage(&self) -> &Stage {
        &self.world().stage
    }

    /// Writes `NS` as the namespace of the tenant.
    fn at(&self, text: &str) -> String {
        text.replace("NS", &self.stage().namespace)
    }

    /// Writes the four backends; `more` stands behind what is allowed.
    fn backends(&self, more: &str) {
        let [tenant, client, _] = self.clouds.azure.application();
        let (google, vault) = (pool(GOOGLE_AUDIENCE, ""), FakeKeyVault::URL);
        let federated = format!("workloadIdentity: {{audience: '{AZURE_AUDIENCE}'}}");
        for (name, service, paths) in [
            (
                "aws",
                format!("aws: {{region: {REGION}, auth: {{secretRef: {{name: aws}}}}}}"),
                "'secretsmanager/{namespace}/*', 'ssm/{namespace}/*'",
            ),
            ("google", format!("gcp: {{auth: {google}}}"), "'projects/fake/secrets/{namespace}'"),
            (
                "azure",
                format!(
                    "azure: {{vaultUrl: '{vault}', auth: {{tenantId: '{tenant}', clientId: '{client}', {federated}}}}}"
                ),
                "'secrets/{namespace}'",
            ),
            ("cluster", "kubernetes: {}".to_owned(), "NS-shared/db, NS-shared/other"),
        ] {
            self.world().backend(name, &self.at(&format!("{{{service}, allow: {{paths: [{paths}]}}{more}}}")));
        }
    }

    /// Writes a backend of the cluster, which is called like one of the namespace.
    fn backend_of_cluster(&self, region: &str) {
        let spec = format!(
            "{{aws: {{region: {region}, auth: {{secretRef: {{name: aws}}}}}}, \
             allow: {{namespaces: {{names: [NS]}}, paths: ['ssm/{{namespace}}/*']}}, refreshInterval: 1h}}"
        );
        let head = "apiVersion: waxwing.dev/v1alpha1\nkind: ClusterSecretBackend\nmetadata: {name: aws}\n";
        self.stage().cluster.apply_yaml(&self.at(&format!("{head}spec: {spec}\n"))).unwrap();
    }

    fn aws(&self, operation: &str, body: &Value) -> Value {
        let body = self.at(&body.to_string());
        self.moto.secrets(REGION, operation, &serde_json::from_str(&body).unwrap()).unwrap()
    }

    fn parameter(&self, region: &str, name: &str, value: &str) {
        let body = json!({"Name": self.at(name), "Type": "SecureString", "Value": value, "Overwrite": true});
        self.moto.parameters(region, "PutParameter", &body).unwrap();
    }

    /// Makes a namespace of somebody else, with Secrets of which the tenant may read one.
    fn share(&self, value: &str) {
        let manifests = "apiVersion: v1
kind: Namespace
metadata: {name: NS-shared}
---
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: NS-shared}
stringData: {password: VALUE, config.json: '{\"port\": 5432}'}
data: {bytes: AP8=}
---
apiVersion: v1
kind: Secret
metadata: {name: other, namespace: NS-shared}
stringData: {password: hunter-other}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: shared, namespace: NS-shared}
rules: [{apiGroups: [''], resources: [secrets], resourceNames: [db], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: shared, namespace: NS-shared}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: shared}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NS}]
";
        self.stage().cluster.apply_yaml(&self.at(manifests).replace("VALUE", value)).unwrap();
    }

    /// Writes what a page has at the service, for the tenant of this name, whom that lets in.
    fn keep_what_is_on(&self, page: &str, name: &str) {
        let Clouds { google, azure, .. } = &self.clouds;
        let keys = || self.stage().cluster.get("/openid/v1/jwks").unwrap();
        let subject = format!("system:serviceaccount:{name}:deployer");
        let json = r#"{"user":"shop","password":"swordfish"}"#;
        match page {
            "aws.md" => {
                self.aws("CreateSecret", &json!({"Name": format!("{name}/db"), "SecretString": json}));
                self.parameter(REGION, &format!("/{name}/token"), "marlin");
            }
            "gcp.md" => {
                google.trust(keys(), &subject, GOOGLE_AUDIENCE);
                google.add_secret(name, json.as_bytes());
            }
            "azure.md" => {
                azure.trust(keys(), &subject, AZURE_AUDIENCE);
                azure.add_secret(name, "swordfish").unwrap();
            }
            _ => {}
        }
    }

    fn asked(&self, store: &str) -> (u64, u64) {
        (self.world().asked_store(store, "version"), self.world().asked_store(store, "read"))
    }
}

const BACKENDS: &str = "  backends: [{name: aws}, {name: google}, {name: azure}, {name: cluster}]";

/// With one of the cluster, and with backends for references of vals.
const ALL_BACKENDS: &str =
    "  backends: [{name: aws}, {kind: ClusterSecretBackend, name: aws}, {name: google}, {name: azure}, {name: cluster}]
  foreignReferences: {vals: {awssecrets: aws, awsssm: aws, gcpsecrets: google, azurekeyvault: {shop: azure}}}";

#[test]
fn references_lead_into_every_cloud_and_into_secrets_of_the_cluster_as_the_tenant_and_another_version_arrives() {
    let stores = Stores::new("refs-clouds");
    let (world, stage) = (stores.world(), stores.stage());
    let name = stage.namespace.clone();
    stores.aws("CreateSecret", &json!({"Name": "NS/db", "SecretString": r#"{"user":"shop","password":"hunter-old"}"#}));
    stores.aws(
        "PutSecretValue",
        &json!({"SecretId": "NS/db", "SecretString": r#"{"user":"shop","password":"hunter-one"}"#}),
    );
    for number in 0..21 {
        stores.aws(
            "CreateSecret",
            &json!({"Name": format!("NS/many-{number}"), "SecretString": format!("hunter-{number}")}),
        );
    }
    ["/NS/a", "/NS/b", "/NS/c"].iter().for_each(|name| stores.parameter(REGION, name, "hunter-parameter"));
    stores.parameter(OTHER_REGION, "/NS/c", "hunter-elsewhere");
    stores.clouds.google.add_secret(&name, br#"{"password":"hunter-google"}"#);
    stores.clouds.azure.add_secret(&name, "hunter-azure").unwrap();
    stores.share("hunter-cluster");
    stores.backends(", refreshInterval: 1h");
    stores.backend_of_cluster(OTHER_REGION);

    let values = "stringData:
  aws: ref+store://aws/secretsmanager/NS/db#/password
  previous: ref+store://aws/secretsmanager/NS/db?version=AWSPREVIOUS#/password
  whole: ref+store://aws/secretsmanager/NS/db
  a: ref+store://aws/ssm/NS/a
  url: postgres://shop:ref+store://aws/ssm/NS/b+@db
  elsewhere: ref+clusterstore://aws/ssm/NS/c
  vals: ref+awsssm://NS/a
  vals-aws: ref+awssecrets://NS/db#/password
  vals-google: ref+gcpsecrets://fake/NS#/password
  vals-azure: ref+azurekeyvault://shop/NS
  google: ref+store://google/projects/fake/secrets/NS#/password
  pinned: ref+store://google/projects/fake/secrets/NS?version=1#/password
  azure: ref+store://azure/secrets/NS
  cluster: ref+store://cluster/NS-shared/db#/password
  port: ref+store://cluster/NS-shared/db#/config.json/port
  bytes: ref+store://cluster/NS-shared/db#/bytes";
    let many: String =
        (0..21).map(|number| format!("\n  m{number}: ref+store://aws/secretsmanager/NS/many-{number}")).collect();
    let all = "apiVersion: v1\nkind: Secret\nmetadata: {name: all, annotations: {waxwing.dev/expand: 'ref+store://cluster/NS-shared/db'}}\n";
    let pinned = "stringData: {elsewhere: 'ref+clusterstore://aws/ssm/NS/c?version=1'}";
    let commit = stage.commit(&[
        ("app/values.yaml", &secret("values", &stores.at(values))),
        ("app/pinned.yaml", &secret("pinned", &stores.at(pinned))),
        ("app/many.yaml", &secret("many", &stores.at(&format!("stringData:{many}")))),
        ("app/all.yaml", &stores.at(all)),
    ]);
    stage.sync("./app", ALL_BACKENDS);
    stage.applied(&commit);
    for (key, wanted) in [
        ("aws", "hunter-one"),
        ("previous", "hunter-old"),
        ("whole", r#"{"user":"shop","password":"hunter-one"}"#),
        ("a", "hunter-parameter"),
        ("url", "postgres://shop:hunter-parameter@db"),
        ("elsewhere", "hunter-elsewhere"),
        ("vals", "hunter-parameter"),
        ("vals-aws", "hunter-one"),
        ("vals-google", "hunter-google"),
        ("vals-azure", "hunter-azure"),
        ("google", "hunter-google"),
        ("pinned", "hunter-google"),
        ("azure", "hunter-azure"),
        ("cluster", "hunter-cluster"),
        ("port", "5432"),
    ] {
        assert_eq!(stage.secret_value("values", key).as_deref(), Some(wanted), "{key}");
    }
    assert_eq!(stage.get("secret/values").unwrap()["data"]["bytes"], "AP8=", "what is no text arrives as it is");
    assert_eq!(stage.secret_value("pinned", "elsewhere").as_deref(), Some("hunter-elsewhere"));
    assert_eq!(stage.secret_value("many", "m20").as_deref(), Some("hunter-20"));
    assert_eq!(stage.secret_value("all", "password").as_deref(), Some("hunter-cluster"));
    // Twenty secrets are read by one request, ten parameters are asked for by one, and what has a version of its own stands alone;
    // what leads through another backend too, whatever that is called.
    for (store, versions, reads) in [
        ("AWS Secrets Manager", 1, 3),
        ("AWS Parameter Store", 0, 3),
        ("Google Secret Manager", 0, 2),
        ("Azure Key Vault", 0, 1),
        ("Kubernetes", 0, 1),
    ] {
        assert_eq!(stores.asked(store), (versions, reads), "{store}");
    }
    let log = world.controller.log();
    let record = log.lines().find(|line| line.contains("waxwing::audit") && line.contains("/values")).unwrap();
    for part in ["/aws", "/google", "/azure", "/cluster", "ref+store://azure/secrets/", "version"] {
        assert!(record.contains(part), "{part} is not in {record}");
    }

    stores.aws("PutSecretValue", &json!({"SecretId": "NS/db", "SecretString": r#"{"password":"hunter-two"}"#}));
    stores.parameter(REGION, "/NS/a", "hunter-newer");
    stores.clouds.azure.add_secret(&name, "hunter-azure-two").unwrap();
    stores.share("hunter-cluster-two");
    // Numbers begin anew where a secret is made anew, and it is another one all the same.
    stores.clouds.google.remake_secret(&name, br#"{"password":"hunter-google-two"}"#);
    // What was told counts for as long as was said then, unless somebody asks.
    stores.backends(", refreshInterval: 1s");
    stage.request();
    for (key, wanted) in [
        ("aws", "hunter-two"),
        ("previous", "hunter-one"),
        ("a", "hunter-newer"),
        ("azure", "hunter-azure-two"),
        ("cluster", "hunter-cluster-two"),
        ("google", "hunter-google-two"),
    ] {
        world.value_is("values", key, wanted);
    }
    stores.parameter(REGION, "/NS/a", "hunter-newest");
    world.value_is("values", "a", "hunter-newest");
    // A version of the same number is another one where the backend leads to another place.
    stores.backend_of_cluster(REGION);
    stage.request();
    world.value_is("values", "elsewhere", "hunter-parameter");
    world.value_is("pinned", "elsewhere", "hunter-parameter");
    world.told_nothing(&[
        "hunter-one",
        "hunter-old",
        "hunter-parameter",
        "hunter-elsewhere",
        "hunter-google",
        "hunter-azure",
        "hunter-cluster",
        "hunter-key",
        "ya29.",
        "eyJ0.fake",
        "eyJhbGci",
    ]);
}

/// Sees that the manifests of each page lead to a Secret.
fn walk_pages(stores: &Stores) {
    let [tenant, client, _] = stores.clouds.azure.application();
    let audience = format!("audience: '{GOOGLE_AUDIENCE}'");
    let of_azure = [
        ("https://shop.vault.azure.net", FakeKeyVault::URL),
        ("11111111-2222-3333-4444-555555555555", tenant.as_str()),
        ("66666666-7777-8888-9999-000000000000", client.as_str()),
    ];
    walk_page(stores, "aws.md", &[("111122223333", "123456789012")]);
    walk_page(stores, "gcp.md", &[("audience: waxwing", audience.as_str()), ("projects/acme/", "projects/fake/")]);
    walk_page(stores, "azure.md", &of_azure);
    walk_page(stores, "kubernetes.md", &[]);
}

/// Sees that one does, with these names in place of its own.
fn walk_page(stores: &Stores, file: &str, names: &[(&str, &str)]) {
    let cluster = stores.stage().cluster;
    let name = format!("{}-{}", stores.stage().namespace, file.trim_end_matches(".md"));
    stores.keep_what_is_on(file, &name);
    let walk = Walk::new(cluster, &name, &["kubectl"], Vec::new());
    let page = Page::read(file, &walk, names);
    let all = |language: &str, place: &str| {
        let sections = page.sections().into_iter().filter(|section| section.contains(place));
        sections.flat_map(|section| page.blocks(section, language)).collect::<Vec<_>>()
    };
    let (commands, manifests) = (all("console", "In the namespace"), all("yaml", "In the namespace"));
    assert!(!commands.is_empty() && !manifests.is_empty(), "{file} has other sections");
    commands.iter().for_each(|block| walk.run(block));
    let [manifest] = all("yaml", ". In Git")[..] else { panic!("{file} has other files") };
    walk.push(manifest);
    cluster.apply_yaml(&manifests.join("---\n")).unwrap();
    all("console", ". In Git").iter().for_each(|block| walk.run(block));
    let (entry, wanted) = match file {
        "kubernetes.md" => ("url", format!("postgres://{name}:swordfish@db.databases/{name}")),
        _ => ("password", "swordfish".to_owned()),
    };
    assert_eq!(walk.data()[entry], STANDARD.encode(wanted), "{file}");
}

#[test]
fn what_a_store_of_a_cloud_or_the_cluster_does_not_give_is_told_with_what_to_do_and_what_is_not_listed_is_never_asked_for()
 {
    let stores = Stores::new("refs-clouds-fail");
    let (world, stage) = (stores.world(), stores.stage());
    let name = stage.namespace.clone();
    stores.share("hunter-cluster");
    stores.backends("");
    let outside = "stringData:
  secret: ref+store://aws/secretsmanager/bank/db
  arn: ref+store://aws/secretsmanager/arn:aws:secretsmanager:eu-west-1:123456789012:secret:NS
  parameter: ref+store://aws/ssm/bank/db
  deeper: ref+store://aws/ssm/NS/a/b
  project: ref+store://google/projects/other/secrets/NS
  google: ref+store://google/projects/fake/secrets/bank
  azure: ref+store://azure/secrets/bank
  keys: ref+store://azure/keys/NS
  cluster: ref+store://cluster/kube-system/db#/password
  own: ref+store://cluster/NS/aws#/secretAccessKey";
    stage.commit(&[("app/values.yaml", &secret("values", &stores.at(outside)))]);
    stage.sync("./app", BACKENDS);
    let refused = world.fails("ReferenceRefused");
    assert_eq!(refused.lines().count(), 10, "{refused}");
    world.never_asked();
    assert!(stores.clouds.google.requests().is_empty() && stores.clouds.azure.requests().is_empty());

    stores.aws("CreateSecret", &json!({"Name": "NS/gone", "SecretString": "hunter2"}));
    stores.aws("DeleteSecret", &json!({"SecretId": "NS/gone"}));
    stores.clouds.google.add_secret(&name, b"hunter-google");
    stores.clouds.google.set_secret_state(&name, 1, "DISABLED");
    let version = stores.clouds.azure.add_secret(&name, "hunter-azure").unwrap();
    stores.clouds.azure.enable_secret(&name, &version, false);
    let failing = "stringData:
  missing: ref+store://aws/secretsmanager/NS/none
  deleted: ref+store://aws/secretsmanager/NS/gone
  stage: ref+store://aws/secretsmanager/NS/gone?version=blue
  parameter: ref+store://aws/ssm/NS/none
  google: ref+store://google/projects/fake/secrets/NS
  azure: ref+store://azure/secrets/NS
  denied: ref+store://cluster/NS-shared/other#/password
  pinned: ref+store://cluster/NS-shared/db?version=1#/password";
    stage.commit(&[("app/values.yaml", &secret("values", &stores.at(failing)))]);
    let told = world.fails("ReferenceNotFound");
    insta::assert_snapshot!(format!("{refused}\n\n{told}"));
    assert!(!stage.has("secret/values"));
    walk_pages(&stores);
    world.told_nothing(&["hunter-cluster", "hunter-other", "hunter-google", "hunter-azure", "hunter-key", "eyJhbGci"]);
}
