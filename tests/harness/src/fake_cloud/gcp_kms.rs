//! A fake of Google Cloud: symmetric keys of KMS that encrypt and decrypt, with checksums, secrets of Secret Manager, and the tokens for them.
//!
//! Source: the REST reference of Cloud KMS v1 (`projects.locations.keyRings.cryptoKeys.encrypt`, `.decrypt`), `google/rpc/code.proto` and
//! AIP-193 for errors, the JSON mapping of Protocol Buffers (numbers of 64 bits are texts).

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde_json::{Value, json};

use super::gcp_secrets::GcpSecrets;
use super::gcp_tokens::{EMAIL, GcpTokens};
use super::trust::Trust;
use super::{Answer, Asked, Cloud, CloudRecord, damaged, random_bytes, spoiled};
use crate::certificates::Authority;
use crate::failure::Failure;
use crate::tls_server::{TlsServer, lock};

/// Is a running fake of Google Cloud KMS and Secret Manager; it ends when this value is dropped.
pub struct FakeGcpKms {
    desk: Arc<Desk>,
    authority_pem: String,
    server: TlsServer,
}

struct Desk {
    keys: Mutex<BTreeMap<String, Key>>,
    secrets: GcpSecrets,
    tokens: GcpTokens,
    record: CloudRecord,
}

struct Key {
    secret: Vec<u8>,
    /// `ENABLED`, or what else its version is (`CryptoKeyVersionState`).
    state: &'static str,
}

impl FakeGcpKms {
    /// The one provider of identities that it has.
    pub const PROVIDER: &'static str =
        "projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/prod";
    /// The service account that whoever is trusted may act as.
    pub const SERVICE_ACCOUNT: &'static str = EMAIL;

    /// Starts a fake without keys.
    ///
    /// # Errors
    /// [`Failure`] when no certificate can be made or no port is free.
    pub fn start() -> Result<Self, Failure> {
        let authority = Authority::new("fake Google Cloud")?;
        let server = TlsServer::new(&authority.server(&["127.0.0.1", "localhost"])?)?;
        let url = format!("https://127.0.0.1:{}", server.port());
        let desk = Desk {
            keys: Mutex::default(),
            secrets: GcpSecrets::default(),
            tokens: GcpTokens::new(&format!("{url}/token")),
            record: CloudRecord::default(),
        };
        let fake = Self { desk: Arc::new(desk), authority_pem: authority.pem(), server };
        fake.restart()?;
        Ok(fake)
    }

    /// Returns its address, without a path.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.server.port())
    }

    /// Returns the certificate (PEM) that signed the server's.
    pub fn ca_pem(&self) -> String {
        self.authority_pem.clone()
    }

    /// Makes a key, and returns its resource id.
    ///
    /// # Errors
    /// [`Failure::Tls`] when no random bytes are to be had.
    pub fn create_key(&self, name: &str) -> Result<String, Failure> {
        let id = format!("projects/fake/locations/global/keyRings/fake/cryptoKeys/{name}");
        lock(&self.desk.keys).insert(id.clone(), Key { secret: random_bytes(32)?, state: "ENABLED" });
        Ok(id)
    }

    /// Disables or enables a key.
    pub fn enable_key(&self, id: &str, is_enabled: bool) {
        if let Some(key) = lock(&self.desk.keys).get_mut(id) {
            key.state = if is_enabled { "ENABLED" } else { "DISABLED" };
        }
    }

    /// Destroys the version that a key has.
    pub fn destroy_key(&self, id: &str) {
        if let Some(key) = lock(&self.desk.keys).get_mut(id) {
            key.state = "DESTROYED";
        }
    }

    /// Adds a version to a secret, and returns the secret's resource id, `projects/fake/secrets/NAME`.
    pub fn add_secret(&self, name: &str, data: &[u8]) -> String {
        self.desk.secrets.add(name, data)
    }

    /// Says in which state (`ENABLED`, `DISABLED`, `DESTROYED`) a version of a secret is from now on; the first has the number 1.
    pub fn set_secret_state(&self, name: &str, number: usize, state: &'static str) {
        self.desk.secrets.set_state(name, number, state);
    }

    /// Deletes a secret with all of its versions, and makes it anew with a first one.
    pub fn remake_secret(&self, name: &str, data: &[u8]) {
        self.desk.secrets.remake(name, data);
    }

    /// Trusts a ServiceAccount, `system:serviceaccount:NAMESPACE:NAME`, of the cluster with these public keys (a JSON Web Key Set), by
    /// tokens for this audience, at the provider that [`FakeGcpKms::PROVIDER`] names.
    pub fn trust(&self, keys: Value, subject: &str, audience: &str) {
        let trust = Trust { keys, subject: subject.to_owned(), audience: audience.to_owned() };
        self.desk.tokens.trust(trust);
    }

    /// Returns an access token that is good from now on.
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

    /// Returns the key file of a new service account, whose tokens come from here.
    ///
    /// # Errors
    /// [`Failure::Tls`] when no key can be made.
    pub fn service_account(&self) -> Result<String, Failure> {
        self.desk.tokens.service_account()
    }

    /// Returns the credentials file of a user, whose tokens come from here.
    ///
    /// # Errors
    /// [`Failure::Tls`] when no random bytes are to be had.
    pub fn authorized_user(&self) -> Result<String, Failure> {
        self.desk.tokens.authorized_user()
    }

    /// Returns how many requests so far had a path that ends so, such as `:decrypt` or `/token`.
    pub fn count(&self, end: &str) -> usize {
        self.requests().iter().filter(|request| request.path.ends_with(end)).count()
    }

    /// Ends every connection and takes no new ones.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Comes back after [`FakeGcpKms::stop`], at the same address.
    ///
    /// # Errors
    /// [`Failure::TimedOut`] when somebody else took the port.
    pub fn restart(&self) -> Result<(), Failure> {
        super::start(&self.server, &self.desk)
    }
}

impl Deref for FakeGcpKms {
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
        if let Some(answer) = self.tokens.answer(asked, &self.record) {
            return answer;
        }
        let Some((id, verb)) = asked.path.strip_prefix("/v1/").and_then(|path| path.split_once(':')) else {
            return refusal(404, "NOT_FOUND", "Requested entity was not found.");
        };
        if !asked.token.as_deref().is_some_and(|token| self.tokens.admits(token)) {
            return refusal(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.");
        }
        let throttled =
            || refusal(429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Cryptographic requests'.");
        let denied = || {
            let right =
                if verb == "access" { "secretmanager.versions.access" } else { "cloudkms.cryptoKeyVersions.useTo" };
            refusal(403, "PERMISSION_DENIED", &format!("Permission '{right}' denied on '{id}'."))
        };
        if let Some(answer) = spoiled(&self.record.mood, throttled, denied) {
            return answer;
        }
        let is_damaged = self.record.is_damaging();
        if let Some(answer) = self.secrets.answer(asked, id, verb, is_damaged) {
            return answer;
        }
        let keys = lock(&self.keys);
        let body = asked.json().unwrap_or_default();
        match (keys.get(id), verb) {
            (None, _) => refusal(404, "NOT_FOUND", &format!("CryptoKey {id} not found.")),
            (Some(key), _) if key.state != "ENABLED" => {
                let text = format!("{id}/cryptoKeyVersions/1 is not enabled, current state is: {}.", key.state);
                refusal(400, "FAILED_PRECONDITION", &text)
            }
            (Some(key), "encrypt") => self.encrypt(id, key, &body, is_damaged),
            (Some(key), "decrypt") => self.decrypt(key, &body, is_damaged),
            _ => refusal(404, "NOT_FOUND", "Requested entity was not found."),
        }
    }
}

impl Desk {
    fn encrypt(&self, id: &str, key: &Key, body: &Value, is_damaged: bool) -> Answer {
        let Some((plaintext, has_checksum)) = taken(body, "plaintext") else {
            return refusal(
                400,
                "INVALID_ARGUMENT",
                "The checksum in field plaintext_crc32c did not match the data in field plaintext.",
            );
        };
        self.record.keep(&plaintext);
        let Some(mut ciphertext) = sealed(key, &plaintext) else {
            return refusal(500, "INTERNAL", "Internal error encountered.");
        };
        let checksum = crc32c(&ciphertext).to_string();
        if is_damaged {
            damaged(&mut ciphertext);
        }
        let answer = json!({
            "name": format!("{id}/cryptoKeyVersions/1"),
            "ciphertext": STANDARD.encode(ciphertext),
            "ciphertextCrc32c": checksum,
            "verifiedPlaintextCrc32c": has_checksum,
            "verifiedAdditionalAuthenticatedDataCrc32c": false,
            "protectionLevel": "SOFTWARE",
        });
        super::json(StatusCode::OK, &answer)
    }

    fn decrypt(&self, key: &Key, body: &Value, is_damaged: bool) -> Answer {
        let Some((ciphertext, _)) = taken(body, "ciphertext") else {
            return refusal(
                400,
                "INVALID_ARGUMENT",
                "The checksum in field ciphertext_crc32c did not match the data in field ciphertext.",
            );
        };
        let Some(mut plaintext) = opened(key, &ciphertext) else {
            let text = "Decryption failed: verify that 'name' refers to the correct CryptoKey.";
            return refusal(400, "INVALID_ARGUMENT", text);
        };
        self.record.keep(&plaintext);
        let checksum = crc32c(&plaintext).to_string();
        if is_damaged {
            damaged(&mut plaintext);
        }
        let answer = json!({
            "plaintext": STANDARD.encode(plaintext),
            "plaintextCrc32c": checksum,
            "usedPrimary": true,
            "protectionLevel": "SOFTWARE",
        });
        super::json(StatusCode::OK, &answer)
    }
}

/// Returns bytes of a body and whether they came with a checksum; nothing if that is wrong.
fn taken(body: &Value, field: &str) -> Option<(Vec<u8>, bool)> {
    let bytes = STANDARD.decode(body.get(field)?.as_str()?).ok()?;
    let checksum = body.get(format!("{field}Crc32c"));
    let said = checksum.map(|said| said.as_str().map_or_else(|| said.as_u64(), |text| text.parse().ok()));
    match said {
        None => Some((bytes, false)),
        Some(said) => (said == Some(u64::from(crc32c(&bytes)))).then_some((bytes, true)),
    }
}

/// Seals with AES-256-GCM: nonce, ciphertext, tag.
fn sealed(key: &Key, plaintext: &[u8]) -> Option<Vec<u8>> {
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, &key.secret).ok()?;
    let mut text = plaintext.to_vec();
    let nonce = cipher.seal_in_place_append_tag(Aad::empty(), &mut text).ok()?;
    Some([nonce.as_ref(), text.as_slice()].concat())
}

fn opened(key: &Key, ciphertext: &[u8]) -> Option<Vec<u8>> {
    let cipher = RandomizedNonceKey::new(&AES_256_GCM, &key.secret).ok()?;
    let (nonce, text) = ciphertext.split_at_checked(12)?;
    let mut text = text.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    cipher.open_in_place(nonce, Aad::empty(), &mut text).ok().map(|plaintext| plaintext.to_vec())
}

/// CRC-32C bit by bit (RFC 3720, section 12.1 and appendix B.4).
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82F6_3B78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Writes an error as Google's services do (AIP-193).
pub(super) fn refusal(code: u16, status: &str, message: &str) -> Answer {
    let http = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    super::json(http, &json!({"error": {"code": code, "message": message, "status": status}}))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_the_one_of_the_rfc() {
        assert_eq!(super::crc32c(&[0; 32]), 0x8A91_36AA);
        assert_eq!(super::crc32c(b"123456789"), 0xE306_9283);
    }
}
