//! Proves what a Sync says about secrets: further kinds that they may end in, and Secrets that stand in Git in clear text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::act::{failing, message};
use crate::stage::{Stage, cluster};

/// A kind whose fields the API server takes with their types only.
const GAUGES: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: gauges.NAMESPACE.example.com}
spec:
  group: NAMESPACE.example.com
  scope: Namespaced
  names: {kind: Gauge, plural: gauges}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                count: {type: integer}
                full: {type: boolean}
                ratio: {type: number}
                text: {type: string}
                limit: {type: string}
"#;

const GAUGE: &str = "apiVersion: NAMESPACE.example.com/v1\nkind: Gauge\nmetadata: {name: gauge}\nspec: {count: -7, full: true, ratio: 2.5, limit: .inf, text: \"12\"}\n";
const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 0\n  selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: web, env: [{name: TOKEN, value: sealed}]}]}\n";

#[test]
fn sealed_numbers_and_booleans_arrive_with_their_types_in_the_kinds_that_the_sync_names() {
    let stage = Stage::new("typed");
    cluster().apply_yaml(&GAUGES.replace("NAMESPACE", &stage.namespace)).unwrap();
    let definition = format!("crd/gauges.{}.example.com", stage.namespace);
    stage.kubectl(&["wait", "--for=condition=Established", &definition, "--timeout=120s"]).unwrap();
    let gauge = GAUGE.replace("NAMESPACE", &stage.namespace);
    let gauge = stage.sops("gauge.yaml", &gauge, &["--encrypted-regex", "^(count|full|ratio|limit|text)$"]);
    let web = stage.sops("web.yaml", WEB, &["--encrypted-regex", "^(replicas|value)$"]);
    for kind in ["int", "bool", "float", "str"] {
        assert!(gauge.contains(&format!("type:{kind}]")), "{gauge}");
    }
    let commit = stage.commit(&[("app/gauge.yaml", &gauge), ("app/web.yaml", &web)]);
    stage.sync("./app", "wait: false");
    let refused = stage.refused(&commit, "BindingRefused");
    assert!(message(&refused).contains("spec.secrets.bindInto"), "{}", message(&refused));
    assert!(!stage.has("deployment/web"));

    let gauges = format!("{}.example.com/Gauge", stage.namespace);
    stage.patch_spec(&json!({"secrets": {"bindInto": ["apps/Deployment", gauges]}}).to_string());
    stage.applied(&commit);
    let gauge = stage.get(&format!("gauges.{}.example.com/gauge", stage.namespace)).unwrap();
    assert_eq!(gauge["spec"], json!({"count": -7, "full": true, "ratio": 2.5, "limit": "+Inf", "text": "12"}));
    let web = stage.get("deployment/web").unwrap();
    assert_eq!(web["spec"]["replicas"], 0);
    let env = &web["spec"]["template"]["spec"]["containers"][0]["env"];
    assert_eq!(env[0], json!({"name": "TOKEN", "value": "sealed"}));
}

/// The name of a Secret, its type and its values.
type Typed = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Secrets of built-in types, with what each must have, and of one that nobody knows.
const TYPES: [Typed; 6] = [
    ("opaque", "Opaque", &[("password", "hunter2"), ("empty", ""), ("lines", "one\ntwo\n")]),
    ("tls", "kubernetes.io/tls", &[("tls.crt", "a certificate"), ("tls.key", "a key")]),
    ("registry", "kubernetes.io/dockerconfigjson", &[(".dockerconfigjson", "{\"auths\": {}}")]),
    ("basic", "kubernetes.io/basic-auth", &[("username", "admin"), ("password", "12345")]),
    ("ssh", "kubernetes.io/ssh-auth", &[("ssh-privatekey", "a key")]),
    ("own", "example.com/own", &[("any", "thing")]),
];

#[test]
fn secrets_of_every_type_arrive_from_one_file_of_many_documents_and_text_in_config_maps() {
    let stage = Stage::new("types");
    let manifests = TYPES.iter().flat_map(|(name, kind, values)| {
        [("data", "1"), ("stringData", "2")].map(|(field, number)| {
            let values: serde_json::Map<String, Value> = values
                .iter()
                .map(|(key, value)| match field {
                    "data" => ((*key).to_owned(), json!(STANDARD.encode(value))),
                    _ => ((*key).to_owned(), json!(value)),
                })
                .collect();
            let metadata = json!({"name": format!("{name}-{number}")});
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": kind, field: values}).to_string()
        })
    });
    let only_data = ["--encrypted-regex", "^(data|stringData)$"];
    let secrets = stage.sops("secrets.yaml", &manifests.collect::<Vec<_>>().join("\n---\n"), &only_data);
    assert_eq!(secrets.matches("\nsops:\n").count(), 12, "each document has a block of its own");
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {token: hunter2, colour: blue}\n";
    let config = stage.sops("config.yaml", config, &["--encrypted-regex", "^token$"]);
    let (env, file) =
        (stage.sops("app.env", "COLOUR=red\nTOKEN=hunter2\n", &[]), stage.sops("note.txt", "a note\n", &[]));
    let kustomization = "resources: [secrets.yaml, config.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nconfigMapGenerator:\n- name: made\n  envs: [app.env]\n  files: [note.txt]\n";
    let commit = stage.commit(&[
        ("app/secrets.yaml", &secrets),
        ("app/config.yaml", &config),
        ("app/app.env", &env),
        ("app/note.txt", &file),
        ("app/kustomization.yaml", kustomization),
    ]);
    stage.sync("./app", "  bindInto: [ConfigMap]");
    stage.applied(&commit);
    for (name, kind, values) in TYPES {
        for number in ["1", "2"] {
            let secret = stage.get(&format!("secret/{name}-{number}")).unwrap();
            assert_eq!(secret["type"], kind);
            let wanted: Value =
                values.iter().map(|(key, value)| ((*key).to_owned(), json!(STANDARD.encode(value)))).collect();
            assert_eq!(secret["data"], wanted, "{name}-{number}");
        }
    }
    assert_eq!(stage.get("configmap/settings").unwrap()["data"], json!({"token": "hunter2", "colour": "blue"}));
    let made = json!({"COLOUR": "red", "TOKEN": "hunter2", "note.txt": "a note\n"});
    assert_eq!(stage.get("configmap/made").unwrap()["data"], made);
}

#[test]
fn a_sealed_binary_value_is_refused_where_only_text_may_stand_and_named() {
    let stage = Stage::new("not-text");
    let arguments = ["encrypt", "--age", stage.age.recipient.as_str(), "--filename-override", "logo.bin"];
    let sealed = stage.upstream.sops(&arguments).unwrap().stdin(b"\x00\xff\xfelogo").run().unwrap();
    assert!(sealed.status.success(), "{}", sealed.stderr);
    stage.repo.write("app/logo.bin", sealed.stdout).unwrap();
    let generator = "generatorOptions: {disableNameSuffixHash: true}\nGENERATOR: [{name: files, files: [logo.bin]}]\n";
    let commit = stage.commit(&[("app/kustomization.yaml", &generator.replace("GENERATOR", "configMapGenerator"))]);
    stage.sync("./app", "  bindInto: [ConfigMap]");
    let refused = stage.refused(&commit, "BindingRefused");
    let object = format!("ConfigMap/{}/files", stage.namespace);
    assert_eq!(failing(&refused), [object.as_str()]);
    assert_eq!(
        message(&refused),
        format!(
            "the value from app/logo.bin, document 0, / is not UTF-8 text, so it can't end in /data/logo.bin of {object}; hint: put binary values into the data of a Secret"
        )
    );
    assert!(!stage.has("configmap/files"));
    // There it may stand.
    let generator = generator.replace("GENERATOR", "secretGenerator");
    stage.applied(&stage.commit(&[("app/kustomization.yaml", &generator)]));
    let secret = stage.get("secret/files").unwrap();
    assert_eq!(secret["data"]["logo.bin"], "AP/+bG9nbw==");
}

fn secret_in_clear_text(value: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: token}}\nstringData: {{key: {value}}}\n")
}

/// Returns the events about Secrets in clear text.
fn warnings(stage: &Stage) -> Vec<String> {
    stage.events().into_iter().filter(|event| event.contains("clear text")).collect()
}

#[test]
fn secrets_in_clear_text_are_applied_with_a_warning_or_without_one_where_the_sync_says_so() {
    let stage = Stage::new("clear-text");
    let first = stage.commit(&[("app/token.yaml", &secret_in_clear_text("first-value"))]);
    stage.sync("./app", "");
    let refused = stage.refused(&first, "PlaintextRefused");
    assert!(message(&refused).contains("Warn"), "{}", message(&refused));
    assert!(!stage.has("secret/token"));

    stage.patch_spec(r#"{"secrets": {"plaintext": "Warn"}}"#);
    stage.applied(&first);
    assert_eq!(stage.secret_value("token", "key").as_deref(), Some("first-value"));
    let warning = stage.event("Warning PlaintextApplied");
    assert!(warning.contains("app/token.yaml:1") && warning.contains("/stringData/key"), "{warning}");
    assert_eq!(warnings(&stage), std::slice::from_ref(&warning));

    // The policy is part of what was applied, so another one is applied anew.
    stage.patch_spec(r#"{"secrets": {"plaintext": "Allow"}}"#);
    stage.request();
    let second = stage.commit(&[("app/token.yaml", &secret_in_clear_text("second-value"))]);
    let sync = stage.applied(&second);
    assert_eq!(stage.secret_value("token", "key").as_deref(), Some("second-value"));
    let told: Vec<Value> = vec![sync["status"].clone(), json!(stage.events())];
    assert_eq!(warnings(&stage), [warning], "Allow says nothing");
    let told = Value::Array(told).to_string();
    assert!(!told.contains("first-value") && !told.contains("second-value"), "{told}");
}
