//! A commit with a SealedSecret, a SOPS file and ordinary manifests arrives in the cluster.

use crate::stage::{Stage, certificate, condition};

const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {greeting: hello}\n";

#[test]
fn a_commit_with_sealed_values_arrives() {
    let stage = Stage::new("main-job");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: database}\nstringData: {password: opened-by-sops}\n";
    let sops = stage.sops("database.yaml", secret, &["--encrypted-regex", "^(data|stringData)$"]);
    let plain = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: token, namespace: {}}}\nstringData: {{token: opened-by-seal}}\n",
        stage.namespace
    );
    let certificate = certificate(&stage);
    let sealed = stage.upstream.kubeseal(&["--cert", certificate.to_str().unwrap(), "--format", "yaml"]);
    let sealed = sealed.unwrap().stdin(plain).text().unwrap();
    let commit =
        stage.commit(&[("app/config.yaml", CONFIG), ("app/database.yaml", &sops), ("app/token.yaml", &sealed)]);
    stage.sync("./app", "");
    let sync = stage.applied(&commit);
    assert_eq!(stage.secret_value("database", "password").as_deref(), Some("opened-by-sops"));
    assert_eq!(stage.secret_value("token", "token").as_deref(), Some("opened-by-seal"));
    assert_eq!(stage.get("configmap/settings").unwrap()["data"]["greeting"], "hello");
    assert_eq!(sync["status"]["counts"]["created"], 3);
    for kind in ["Healthy", "Unsealed"] {
        assert_eq!(condition(&sync, kind)["status"], "True", "{kind}");
    }
    stage.kubectl(&["wait", "--for=condition=Ready", "sync/app", "--timeout=10s"]).unwrap();
}
