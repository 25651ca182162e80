//! A fake of Azure Key Vault and of the authority that issues tokens for it.
//!
//! Clients take a vault for one only under a name in a domain of vaults, so they reach it through a proxy ([`FakeKeyVault::proxy`]) that
//! leads such names here: `NAME.vault.azure.net` and `login.microsoftonline.com` as everywhere, and `vault.foreign.example`, which
//! wants a token for what is not its own.
//!
//! Source: the REST reference of Key Vault 7.4 and 2025-07-01 (`get key`, `encrypt`, `decrypt`, `get secret`), its pages on authentication, on error
//! codes and on throttling.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::trust::Trust;
use super::vault_key::VaultKey;
use super::vault_secrets::VaultSecrets;
use super::vault_tokens::{AUTHORITY, CLIENT, TENANT, VaultTokens};
use super::{Answer, Asked, Cloud, CloudRecord, damaged, random_bytes, spoiled, with_header};
use crate::certificates::Authority;
use crate::connect_proxy::ConnectProxy;
use crate::failure::Failure;
use crate::tls_server::{TlsServer, lock};

/// The domain that all vaults are in.
const DOMAIN: &str = ".vault.azure.net";
const VERSIONS: [&str; 2] = ["7.4", "2025-07-01"];

/// Is a running fake of Azure Key Vault; it ends when this value is dropped.
pub struct FakeKeyVault {
    desk: Arc<Desk>,
    authority_pem: String,
    server: TlsServer,
    proxy: ConnectProxy,
}

struct Desk {
    keys: Mutex<BTreeMap<String, Key>>,
    secrets: VaultSecrets,
    tokens: VaultTokens,
    record: CloudRecord,
}

struct Key {
    /// The oldest first.
    versions: Vec<VaultKey>,
    is_enabled: bool,
}

impl FakeKeyVault {
    /// The vault whose keys it has.
    pub const URL: &'static str = "https://fake.vault.azure.net";
    /// A host that is no vault, and wants a token for vaults.
    pub const FOREIGN_URL: &'static str = "https://vault.foreign.example";

    /// Starts a fake without keys.
    ///
    /// # Errors
    /// [`Failure`] when no certificate can be made or no port is free.
    pub fn start() -> Result<Self, Failure> {
        let authority = Authority::new("fake Azure")?;
        let names = ["fake.vault.azure.net", AUTHORITY, "vault.foreign.example", "127.0.0.1"];
        let server = TlsServer::new(&authority.server(&names)?)?;
        let hosts = names.map(|name| (name.to_owned(), server.port()));
        let desk = Desk {
            keys: Mutex::default(),
            secrets: VaultSecrets::default(),
            tokens: VaultTokens::new()?,
            record: CloudRecord::default(),
        };
        let proxy = ConnectProxy::start(hosts)?;
        let fake = Self { desk: Arc::new(desk), authority_pem: authority.pem(), server, proxy };
        fake.restart()?;
        Ok(fake)
    }

    /// Returns the address of the proxy that leads to it.
    pub fn proxy(&self) -> String {
        self.proxy.url()
    }

    /// Returns the certificate (PEM) that signed the server's.
    pub fn ca_pem(&self) -> String {
        self.authority_pem.clone()
    }

    /// Makes a key, or a new version of it, and returns the key's URL with the version.
    ///
    /// # Errors
    /// [`Failure::Tls`] when no key can be made.
    pub fn create_key(&self, name: &str) -> Result<String, Failure> {
        let version = VaultKey::new()?;
        let url = format!("{}/keys/{name}/{}", Self::URL, version.version);
        let mut keys = lock(&self.desk.keys);
        let key = keys.entry(name.to_owned()).or_insert_with(|| Key { versions: Vec::new(), is_enabled: true });
        key.versions.push(version);
        Ok(url)
    }

    /// Disables or enables a key.
    pub fn enable_key(&self, name: &str, is_enabled: bool) {
        if let Some(key) = lock(&self.desk.keys).get_mut(name) {
            key.is_enabled = is_enabled;
        }
    }

    /// Deletes a key.
    pub fn delete_key(&self, name: &str) {
        lock(&self.desk.keys).remove(name);
    }

    /// Adds a version to a secret, and returns the version.
    ///
    /// # Errors
    /// [`Failure::Tls`] when no random bytes are to be had.
    pub fn add_secret(&self, name: &str, value: &str) -> Result<String, Failure> {
        let version: String = random_bytes(16)?.iter().map(|byte| format!("{byte:02x}")).collect();
        self.desk.secrets.add(name, version.clone(), value);
        Ok(version)
    }

    /// Disables or enables a version of a secret.
    pub fn enable_secret(&self, name: &str, version: &str, is_enabled: bool) {
        self.desk.secrets.enable(name, version, is_enabled);
    }

    /// Lets a ServiceAccount, `system:serviceaccount:NAMESPACE:NAME`, of the cluster with these public keys (a JSON Web Key Set) be the
    /// application, by tokens for this audience.
    pub fn trust(&self, keys: Value, subject: &str, audience: &str) {
        let trust = Trust { keys, subject: subject.to_owned(), audience: audience.to_owned() };
        self.desk.tokens.trust(trust);
    }

    /// Returns a token for vaults that is good from now on.
    ///
    /// # Errors
    /// [`Failure::Tls`] when no random bytes are to be had.
    pub fn access_token(&self) -> Result<String, Failure> {
        self.desk.tokens.issue()
    }

    /// Makes a token good that somebody else made up.
    pub fn admit(&self, token: &str) {
        self.desk.tokens.admit(token);
    }

    /// Returns the tenant, the id of an application and its secret.
    pub fn application(&self) -> [String; 3] {
        [TENANT.to_owned(), CLIENT.to_owned(), self.desk.tokens.secret.clone()]
    }

    /// Returns what stands in place of the application's secret where somebody else vouches for it.
    pub fn federated_token(&self) -> String {
        self.desk.tokens.assertion.clone()
    }

    /// Returns the address of the authority where no proxy leads to it.
    pub fn authority_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.server.port())
    }

    /// Returns how many requests with a token so far had a path that ends so, such as `/decrypt`.
    pub fn count(&self, end: &str) -> usize {
        self.requests().iter().filter(|request| request.has_token && request.path.ends_with(end)).count()
    }

    /// Returns how many tokens were asked for so far.
    pub fn count_of_tokens(&self) -> usize {
        self.requests().iter().filter(|request| request.path.ends_with("/token")).count()
    }

    /// Ends every connection and takes no new ones.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Comes back after [`FakeKeyVault::stop`], at the same address.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when somebody else took the port.
    pub fn restart(&self) -> Result<(), Failure> {
        super::start(&self.server, &self.desk)
    }
}

impl Deref for FakeKeyVault {
    type Target = CloudRecord;

    fn deref(&self) -> &CloudRecord {
        &self.desk.record
    }
}

impl Cloud for Desk {
    fn record(&self) -> &CloudRecord {
        &self.record
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let host = asked.host.trim_end_matches(":443");
        if host == AUTHORITY || host.starts_with("127.0.0.1:") {
            return self.tokens.answer(host, asked, &self.record);
        }
        if !host.ends_with(DOMAIN) || !asked.token.as_deref().is_some_and(|token| self.tokens.admits(token)) {
            return challenge();
        }
        let has_version = asked.query.strip_prefix("api-version=").is_some_and(|version| VERSIONS.contains(&version));
        if !has_version {
            return refusal(400, "BadParameter", "api-version must be specified", None);
        }
        let throttled =
            || refusal(429, "Throttled", "Request was not processed because too many requests were received.", None);
        let denied = || {
            refusal(
                403,
                "Forbidden",
                "Caller is not authorized to perform action on resource.",
                Some("ForbiddenByRbac"),
            )
        };
        if let Some(answer) = spoiled(&self.record.mood, throttled, denied) {
            return answer;
        }
        let is_damaged = self.record.is_damaging();
        self.served(host, asked, is_damaged)
    }
}

impl Desk {
    fn served(&self, host: &str, asked: &Asked, is_damaged: bool) -> Answer {
        let segments: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
        match (asked.method.clone(), segments.as_slice()) {
            (Method::GET, ["secrets", name]) => return self.secrets.answer(host, name, ""),
            (Method::GET, ["secrets", name, version]) => return self.secrets.answer(host, name, version),
            _ => {}
        }
        let (name, version, verb) = match (asked.method.clone(), segments.as_slice()) {
            (Method::GET, ["keys", name]) => (name, "", None),
            (Method::GET, ["keys", name, version]) => (name, *version, None),
            (Method::POST, ["keys", name, version, verb @ ("encrypt" | "decrypt")]) => (name, *version, Some(*verb)),
            _ => return refusal(404, "NotFound", "There is nothing here.", None),
        };
        let keys = lock(&self.keys);
        let Some(key) = keys.get(*name) else {
            let message = format!("A key with (name/id) {name} was not found in this key vault.");
            return refusal(404, "KeyNotFound", &message, None);
        };
        let wanted = |one: &&VaultKey| version.is_empty() || one.version == version;
        let Some(one) = key.versions.iter().rev().find(wanted) else {
            return refusal(404, "KeyNotFound", "A key with this version was not found in this key vault.", None);
        };
        let kid = format!("https://{host}/keys/{name}/{}", one.version);
        match verb {
            None => described(&kid, one, key.is_enabled),
            Some(verb) if !key.is_enabled => {
                let message = format!("Operation {verb} is not allowed on a disabled key.");
                refusal(403, "Forbidden", &message, Some("KeyDisabled"))
            }
            Some(verb) => self.operated(&kid, one, verb, &asked.json().unwrap_or_default(), is_damaged),
        }
    }
}

fn described(kid: &str, key: &VaultKey, is_enabled: bool) -> Answer {
    let operations = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];
    let body = json!({
        "key": {"kid": kid, "kty": "RSA", "key_ops": operations, "n": key.modulus, "e": "AQAB"},
        "attributes": {"enabled": is_enabled, "created": 1_700_000_000, "updated": 1_700_000_000, "recoveryLevel": "Recoverable"},
    });
    super::json(StatusCode::OK, &body)
}

impl Desk {
    fn operated(&self, kid: &str, key: &VaultKey, verb: &str, body: &Value, is_damaged: bool) -> Answer {
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("alg") != "RSA-OAEP-256" {
            return refusal(400, "BadParameter", "Property alg is not one of this fake", None);
        }
        let value = URL_SAFE_NO_PAD.decode(text("value")).ok().filter(|value| !value.is_empty());
        let result = value.and_then(|value| match verb {
            "encrypt" => key.encrypt(&value).map(|ciphertext| (value, ciphertext)),
            _ => key.decrypt(&value).map(|plaintext| (plaintext.clone(), plaintext)),
        });
        let Some((plaintext, mut result)) = result else {
            return refusal(400, "BadParameter", "The parameter is incorrect.\r\n", None);
        };
        self.record.keep(&plaintext);
        if is_damaged {
            damaged(&mut result);
        }
        super::json(StatusCode::OK, &json!({"kid": kid, "value": URL_SAFE_NO_PAD.encode(result)}))
    }
}

/// Says which token is wanted. Whoever the caller meant, it is one for vaults.
fn challenge() -> Answer {
    let answer = refusal(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.", None);
    let challenge =
        format!("Bearer authorization=\"https://{AUTHORITY}/{TENANT}\", resource=\"https://vault.azure.net\"");
    with_header(answer, http::header::WWW_AUTHENTICATE, &challenge)
}

pub(super) fn refusal(status: u16, code: &str, message: &str, inner: Option<&str>) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut error = json!({"code": code, "message": message});
    if let (Some(inner), Some(error)) = (inner, error.as_object_mut()) {
        error.insert("innererror".to_owned(), json!({"code": inner}));
    }
    super::json(status, &json!({"error": error}))
}
