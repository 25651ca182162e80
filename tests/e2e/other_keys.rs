//! What files of a tenant are sealed for beside age keys: a PGP key, and a transit engine of OpenBao that is logged in to in two ways; and
//! an engine of it that keeps secrets.
//! All of it is known to the test, so that it can be looked for where it must not be.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use waxwing_harness::{Gnupg, OpenBao};

use crate::stage::Stage;
use crate::watched::Needles;

/// What only sops encrypts in a Secret.
const VALUES: [&str; 4] = ["--filename-override", "x.yaml", "--encrypted-regex", "^(data|stringData)$"];

/// The keys, their Secrets and their backends, in a tenant's namespace.
pub(crate) struct OtherKeys<'a> {
    stage: &'a Stage,
    bao: &'a OpenBao,
    gnupg: Gnupg,
    /// The fingerprint of the PGP key.
    pgp: String,
    private_key: String,
    /// The token of the backend `by-token`.
    token: String,
}

impl<'a> OtherKeys<'a> {
    /// The rest of the spec of a Sync that has all of them.
    pub(crate) const SECRETS: &'static str =
        "secrets: {keysFrom: [{secretRef: {name: sops-pgp}}], backends: [{name: by-login}, {name: by-token}]}";
    /// The Secrets that they stand in.
    pub(crate) const NAMES: [&'static str; 2] = ["sops-pgp", "vault-token"];

    /// Makes the keys, and tells the cluster of them. OpenBao has an engine by the name of the namespace, with the keys `login`, `token`
    /// and `bank`, of which the last is for nobody.
    pub(crate) fn new(stage: &'a Stage, bao: &'a OpenBao) -> Self {
        let engine = stage.namespace.as_str();
        let gnupg = Gnupg::new().unwrap();
        let pgp = gnupg.make_key("shop", "ed25519", "rsa2048", "").unwrap();
        let private_key = gnupg.private_key(&pgp).unwrap();
        bao.mount_transit(None, engine).unwrap();
        ["login", "token", "bank"].iter().for_each(|key| bao.make_key(None, engine, key).unwrap());
        let rule = |key: &str| format!("path \"{engine}/decrypt/{key}\" {{ capabilities = [\"update\"] }}");
        bao.ask(None, &format!("sys/mounts/{engine}-kv"), &json!({"type": "kv", "options": {"version": "2"}})).unwrap();
        let reads = format!("path \"{engine}-kv/*\" {{ capabilities = [\"read\"] }}");
        let_bao_review_tokens(stage, bao, engine, &format!("{}\n{reads}", rule("login")));
        let token = bao.make_token(None, &rule("token")).unwrap();
        let keys = Self { stage, bao, gnupg, pgp, private_key, token };
        keys.declare();
        keys
    }

    fn declare(&self) {
        let (namespace, address) = (&self.stage.namespace, self.bao.address());
        let [private_key, token] = [&self.private_key, &self.token].map(|text| serde_json::to_string(text).unwrap());
        let backend = |name: &str, auth: &str, key: &str| {
            format!(
                "---\napiVersion: waxwing.dev/v1alpha1\nkind: SecretBackend\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
                 spec: {{vault: {{address: '{address}', auth: {auth}}}, allow: {{keys: ['{namespace}/keys/{key}'], paths: ['{namespace}-kv/data/*']}}}}\n"
            )
        };
        let secret = |name: &str, entry: &str, value: &str| {
            format!(
                "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData: {{{entry}: {value}}}\n"
            )
        };
        let login = format!("{{kubernetes: {{mount: {namespace}, role: shop, audience: vault}}}}");
        let yaml = [
            secret("sops-pgp", "shop.asc", &private_key),
            secret("vault-token", "token", &token),
            backend("by-login", &login, "login"),
            backend("by-token", "{tokenRef: {name: vault-token}}", "*"),
        ];
        self.stage.cluster.apply_yaml(&yaml.concat()).unwrap();
    }

    /// Writes a secret into the engine that keeps some, and returns a Secret that refers to an entry of it.
    pub(crate) fn stored(&self, name: &str, value: &str, entry: &str) -> String {
        let engine = format!("{}-kv", self.stage.namespace);
        self.bao.ask(None, &format!("{engine}/data/{name}"), &json!({"data": {"password": value}})).unwrap();
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}}}\nstringData: {{password: 'ref+store://by-login/{engine}/data/{name}#/{entry}'}}\n"
        )
    }

    /// Encrypts for the PGP key with the real sops.
    pub(crate) fn sealed_by_pgp(&self, plain: &str) -> String {
        let words = [&["encrypt", "--pgp", &self.pgp], VALUES.as_slice()].concat();
        let call = self.stage.upstream.sops(&words).unwrap().env("GNUPGHOME", self.gnupg.home());
        call.stdin(plain).text().unwrap()
    }

    /// Encrypts for a key of OpenBao with the real sops.
    pub(crate) fn sealed_by_vault(&self, key: &str, plain: &str) -> String {
        let key = format!("{}/v1/{}/keys/{key}", self.bao.address(), self.stage.namespace);
        let words = [&["encrypt", "--hc-vault-transit", &key], VALUES.as_slice()].concat();
        let call = self.stage.upstream.sops(&words).unwrap().env("VAULT_TOKEN", self.bao.root_token());
        call.stdin(plain).text().unwrap()
    }

    /// Has the private key and the tokens looked for, and the data keys of a file that was sealed by PGP and of some that were by OpenBao.
    pub(crate) fn look_for(&self, needles: &mut Needles, by_pgp: &str, by_vault: &[(&str, &str)]) {
        // Behind the secret numbers of the RSA key, which come last, there are a signature and a checksum.
        let lines: Vec<&str> = self.private_key.trim_end().lines().filter(|line| line.len() == 64).collect();
        let line = lines[lines.len() - 10];
        needles.add("the PGP key's armor", line.as_bytes());
        needles.add("the PGP key", &STANDARD.decode(line).unwrap());
        needles.add("the data key of a file for a PGP key", &self.data_key_of_pgp(by_pgp));
        for (key, sealed) in by_vault {
            needles.add(&format!("the data key of a file for {key} of Vault"), &self.data_key_of_vault(key, sealed));
        }
        needles.add("the token of Vault", self.token.as_bytes());
        // All tokens of ServiceAccounts of a cluster begin alike, and nothing else does.
        let token = self.stage.cluster.service_account_token(&self.stage.namespace, "reviewer").unwrap();
        needles.add("a token of a ServiceAccount", token.split('.').next().unwrap().as_bytes());
    }

    fn data_key_of_pgp(&self, sealed: &str) -> Vec<u8> {
        let (begin, end) = ("-----BEGIN PGP MESSAGE-----", "-----END PGP MESSAGE-----");
        let lines = sealed.lines().map(str::trim).skip_while(|line| !line.ends_with(begin));
        let armored: Vec<&str> = lines.skip(1).take_while(|line| *line != end).collect();
        let armored = format!("{begin}\n{}\n{end}\n", armored.join("\n"));
        self.gnupg.gpg(&["--decrypt"]).unwrap().stdin(armored).run().unwrap().stdout
    }

    fn data_key_of_vault(&self, key: &str, sealed: &str) -> Vec<u8> {
        let enc = sealed.lines().find_map(|line| line.trim().strip_prefix("enc: vault:")).unwrap();
        let path = format!("{}/decrypt/{key}", self.stage.namespace);
        let opened = self.bao.ask(None, &path, &json!({"ciphertext": format!("vault:{enc}")})).unwrap();
        STANDARD.decode(opened["data"]["plaintext"].as_str().unwrap()).unwrap()
    }
}

/// Has OpenBao ask the API server whose token it was shown, at an authentication method that is mounted here, and give the tenant's
/// `deployer` a token with this policy for the role `shop`.
pub(crate) fn let_bao_review_tokens(stage: &Stage, bao: &OpenBao, mount: &str, policy: &str) {
    let (cluster, namespace) = (stage.cluster, stage.namespace.as_str());
    stage.kubectl(&["create", "serviceaccount", "reviewer"]).unwrap();
    let (subject, binding) = (format!("--serviceaccount={namespace}:reviewer"), format!("reviewer-{namespace}"));
    let bind = ["create", "clusterrolebinding", &binding, "--clusterrole=system:auth-delegator", &subject];
    cluster.kubectl(&bind).unwrap();
    let server = json!({
        "kubernetes_host": cluster.url(),
        "kubernetes_ca_cert": cluster.ca_pem(),
        "token_reviewer_jwt": cluster.service_account_token(namespace, "reviewer").unwrap(),
        "disable_local_ca_jwt": true,
    });
    let role = json!({
        "bound_service_account_names": ["deployer"],
        "bound_service_account_namespaces": [namespace],
        "audience": "vault",
        "token_policies": ["shop"],
    });
    bao.ask(None, &format!("sys/auth/{mount}"), &json!({"type": "kubernetes"})).unwrap();
    bao.ask(None, &format!("auth/{mount}/config"), &server).unwrap();
    bao.ask(None, "sys/policies/acl/shop", &json!({"policy": policy})).unwrap();
    bao.ask(None, &format!("auth/{mount}/role/shop"), &role).unwrap();
}
