//! Google Cloud KMS and Azure Key Vault from outside, against the fakes of both: what is wrapped comes back, and whatever else a
//! service does ends in an error that quotes nothing.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::StatusCode;
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_harness::{CloudMood, FakeGcpKms, FakeKeyVault};
use waxwing_keys::{AzureKey, AzureKeyVault, GcpKey, GcpKms, Patience, Proxies, ServiceClient, ServiceError, Tokens};

const PATIENCE: Patience = Patience {
    timeout: Duration::from_secs(10),
    tries: 2,
    pause: Duration::from_millis(1),
    longest_pause: Duration::from_millis(100),
};

/// 32 bytes that are no text.
const KEY: [u8; 32] = [0xA7; 32];

/// One token, and what it was asked for.
struct One {
    token: String,
    scopes: Mutex<Vec<String>>,
}

#[async_trait]
impl Tokens for One {
    async fn token(&self, scope: &str) -> Result<SecretBytes, ServiceError> {
        self.scopes.lock().unwrap().push(scope.to_owned());
        Ok(SecretBytes::concat(&[self.token.as_bytes()]))
    }
}

fn one(token: String) -> Arc<One> {
    Arc::new(One { token, scopes: Mutex::default() })
}

fn data_key(bytes: &[u8]) -> DataKey {
    DataKey::new(SecretBytes::concat(&[bytes]))
}

fn wait<T>(call: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(call)
}

/// A fake of Google Cloud KMS with a key, and its caller.
struct Google {
    fake: FakeGcpKms,
    kms: GcpKms,
    tokens: Arc<One>,
    key: GcpKey,
}

impl Google {
    fn new() -> Self {
        let fake = FakeGcpKms::start().unwrap();
        let tokens = one(fake.access_token().unwrap());
        let client = ServiceClient::new(Some(fake.ca_pem().as_bytes()), Proxies::None, PATIENCE).unwrap();
        let kms = GcpKms::new(client, &fake.url(), tokens.clone()).unwrap();
        let key = GcpKey::parse(&fake.create_key("sops").unwrap()).unwrap();
        Self { fake, kms, tokens, key }
    }

    fn wrap(&self) -> Result<String, ServiceError> {
        wait(self.kms.wrap(&self.key, &data_key(&KEY)))
    }

    fn unwrap(&self, enc: &str) -> Result<Vec<u8>, ServiceError> {
        wait(self.kms.unwrap(&self.key, enc)).map(|key| key.expose_secret().to_vec())
    }
}

/// A fake of Azure Key Vault with a key, and its caller.
struct Azure {
    fake: FakeKeyVault,
    vaults: AzureKeyVault,
    tokens: Arc<One>,
    key: AzureKey,
}

impl Azure {
    fn new() -> Self {
        let fake = FakeKeyVault::start().unwrap();
        let tokens = one(fake.access_token().unwrap());
        let client =
            ServiceClient::new(Some(fake.ca_pem().as_bytes()), Proxies::Only(&fake.proxy()), PATIENCE).unwrap();
        let vaults = AzureKeyVault::new(client, tokens.clone());
        let key = AzureKey::parse(&fake.create_key("sops").unwrap()).unwrap();
        Self { fake, vaults, tokens, key }
    }

    fn wrap(&self) -> Result<(AzureKey, String), ServiceError> {
        wait(self.vaults.wrap(&self.key, &data_key(&KEY)))
    }

    fn unwrap(&self, enc: &str) -> Result<Vec<u8>, ServiceError> {
        wait(self.vaults.unwrap(&self.key, enc)).map(|key| key.expose_secret().to_vec())
    }
}

/// Writes down an error, in which no secret may be.
fn note(seen: &mut String, what: &str, error: &ServiceError, token: &str) {
    let shown = format!("{error:?} {error}");
    for secret in [token, &STANDARD.encode(KEY), &URL_SAFE_NO_PAD.encode(KEY), &format!("{KEY:?}")] {
        assert!(!shown.contains(secret), "{what}");
    }
    writeln!(seen, "{what}: {error}").unwrap();
}

/// What a service may do, with a name for it.
fn moods() -> [(&'static str, CloudMood); 6] {
    [
        ("denied", CloudMood::Deny),
        ("throttled", CloudMood::Throttle { times: 9, retry_after: 0 }),
        ("told to come back in an hour", CloudMood::Throttle { times: 9, retry_after: 3600 }),
        ("down", CloudMood::Fail(StatusCode::SERVICE_UNAVAILABLE)),
        ("no JSON", CloudMood::Garble),
        ("redirected", CloudMood::Redirect),
    ]
}

#[test]
fn a_data_key_and_a_share_come_back_from_google_cloud_kms() {
    let google = Google::new();
    for bytes in [&KEY[..], &[7; 33]] {
        let enc = wait(google.kms.wrap(&google.key, &data_key(bytes))).unwrap();
        assert!(STANDARD.decode(&enc).unwrap().len() > bytes.len());
        assert_eq!(google.unwrap(&enc).unwrap(), bytes);
        assert_eq!(google.unwrap(&format!("{enc}\n")).unwrap(), bytes);
    }
    assert_eq!((google.fake.count(":encrypt"), google.fake.count(":decrypt")), (2, 4));
    assert_eq!(google.tokens.scopes.lock().unwrap().first().unwrap(), "https://www.googleapis.com/auth/cloudkms");
}

#[test]
fn whatever_else_google_cloud_kms_does_is_an_error_without_its_words() {
    let google = Google::new();
    let enc = google.wrap().unwrap();
    let mut seen = String::new();
    let mut take = |what: &str, error: &ServiceError| note(&mut seen, what, error, &google.tokens.token);
    for (what, mood) in moods() {
        google.fake.behave(mood.clone());
        take(&format!("wrap, {what}"), &google.wrap().unwrap_err());
        google.fake.behave(mood);
        take(&format!("unwrap, {what}"), &google.unwrap(&enc).unwrap_err());
    }
    assert_eq!(google.fake.count("/elsewhere"), 0);
    google.fake.behave(CloudMood::Damage);
    take("wrap, damaged on its way", &google.wrap().unwrap_err());
    take("unwrap, damaged on its way", &google.unwrap(&enc).unwrap_err());
    google.fake.behave(CloudMood::Serve);
    google.fake.enable_key(&google.key.resource_id, false);
    take("wrap, disabled", &google.wrap().unwrap_err());
    take("unwrap, disabled", &google.unwrap(&enc).unwrap_err());
    let other = GcpKey::parse(&google.fake.create_key("other").unwrap()).unwrap();
    take("unwrap, of another key", &wait(google.kms.unwrap(&other, &enc)).unwrap_err());
    let missing = GcpKey { resource_id: google.key.resource_id.replace("cryptoKeys/sops", "cryptoKeys/none") };
    take("unwrap, of no key", &wait(google.kms.unwrap(&missing, &enc)).unwrap_err());
    let client = ServiceClient::new(Some(google.fake.ca_pem().as_bytes()), Proxies::None, PATIENCE).unwrap();
    let stranger = GcpKms::new(client, &google.fake.url(), one("not-a-token".to_owned())).unwrap();
    take("unwrap, with a bad token", &wait(stranger.unwrap(&google.key, &enc)).unwrap_err());
    let other_ca = FakeGcpKms::start().unwrap().ca_pem();
    let client = ServiceClient::new(Some(other_ca.as_bytes()), Proxies::None, PATIENCE).unwrap();
    let wary = GcpKms::new(client, &google.fake.url(), google.tokens.clone()).unwrap();
    take("unwrap, from somebody with another authority", &wait(wary.unwrap(&google.key, &enc)).unwrap_err());
    google.fake.stop();
    take("unwrap, away", &google.unwrap(&enc).unwrap_err());
    insta::assert_snapshot!(seen);
}

#[test]
fn what_no_key_of_google_cloud_kms_can_be_is_not_sent_anywhere() {
    let google = Google::new();
    let up = "projects/../locations/l/keyRings/r/cryptoKeys/k";
    for resource_id in ["", up, "projects/p/locations/l/keyRings/r/cryptoKeys/k?x", "http://elsewhere"] {
        let key = GcpKey { resource_id: resource_id.to_owned() };
        assert_eq!(
            wait(google.kms.unwrap(&key, "AAAA")).unwrap_err(),
            ServiceError::Malformed { what: "the resource id" }
        );
    }
    assert_eq!(google.unwrap("not base64!").unwrap_err(), ServiceError::Malformed { what: "the ciphertext" });
    assert!(google.fake.requests().is_empty() && google.tokens.scopes.lock().unwrap().is_empty());
}

#[test]
fn an_overloaded_service_is_asked_again_after_the_time_that_it_says() {
    let (google, azure) = (Google::new(), Azure::new());
    let once = CloudMood::Throttle { times: 1, retry_after: 0 };
    google.fake.behave(once.clone());
    assert_eq!(google.unwrap(&google.wrap().unwrap()).unwrap(), KEY);
    assert_eq!((google.fake.count(":encrypt"), google.fake.count(":decrypt")), (2, 1));
    azure.fake.behave(once);
    assert_eq!(azure.unwrap(&azure.wrap().unwrap().1).unwrap(), KEY);
    assert_eq!((azure.fake.count("/encrypt"), azure.fake.count("/decrypt")), (2, 1));
    google.fake.behave(CloudMood::Throttle { times: 1, retry_after: 3600 });
    let hour = Some(Duration::from_secs(3600));
    assert!(matches!(google.wrap().unwrap_err(), ServiceError::Throttled { retry_after, .. } if retry_after == hour));
}

#[test]
fn a_data_key_and_a_share_come_back_from_azure_key_vault() {
    let azure = Azure::new();
    for bytes in [&KEY[..], &[7; 33]] {
        let (key, enc) = wait(azure.vaults.wrap(&azure.key, &data_key(bytes))).unwrap();
        assert_eq!((&key, URL_SAFE_NO_PAD.decode(&enc).unwrap().len()), (&azure.key, 256));
        assert_eq!(azure.unwrap(&enc).unwrap(), bytes);
    }
    // One request without a token, to hear which is wanted.
    assert_eq!(azure.fake.requests().iter().filter(|request| !request.has_token).count(), 1);
    assert_eq!(*azure.tokens.scopes.lock().unwrap().first().unwrap(), "https://vault.azure.net/.default");
}

#[test]
fn a_key_of_azure_without_a_version_is_wrapped_for_with_the_newest_one() {
    let azure = Azure::new();
    let newest = AzureKey::parse(&azure.fake.create_key("sops").unwrap()).unwrap();
    let any = AzureKey { version: String::new(), ..azure.key.clone() };
    let (key, enc) = wait(azure.vaults.wrap(&any, &data_key(&KEY))).unwrap();
    assert_eq!(key, newest);
    for key in [&newest, &any] {
        assert_eq!(wait(azure.vaults.unwrap(key, &enc)).unwrap().expose_secret(), KEY);
    }
    assert!(azure.unwrap(&enc).is_err());
}

#[test]
fn whatever_else_azure_key_vault_does_is_an_error_without_its_words() {
    let azure = Azure::new();
    let enc = azure.wrap().unwrap().1;
    let mut seen = String::new();
    let mut take = |what: &str, error: &ServiceError| note(&mut seen, what, error, &azure.tokens.token);
    for (what, mood) in moods() {
        azure.fake.behave(mood.clone());
        take(&format!("wrap, {what}"), &azure.wrap().unwrap_err());
        azure.fake.behave(mood);
        take(&format!("unwrap, {what}"), &azure.unwrap(&enc).unwrap_err());
    }
    assert_eq!(azure.fake.count("/elsewhere"), 0);
    azure.fake.behave(CloudMood::Serve);
    azure.fake.enable_key("sops", false);
    take("wrap, disabled", &azure.wrap().unwrap_err());
    take("unwrap, disabled", &azure.unwrap(&enc).unwrap_err());
    let other = AzureKey::parse(&azure.fake.create_key("other").unwrap()).unwrap();
    take("unwrap, of another key", &wait(azure.vaults.unwrap(&other, &enc)).unwrap_err());
    let missing = AzureKey { name: "none".to_owned(), ..azure.key.clone() };
    take("unwrap, of no key", &wait(azure.vaults.unwrap(&missing, &enc)).unwrap_err());
    azure.fake.stop();
    take("unwrap, away", &azure.unwrap(&enc).unwrap_err());
    insta::assert_snapshot!(seen);
}

#[test]
fn a_vault_of_another_domain_gets_no_token_and_no_data_key() {
    let azure = Azure::new();
    let foreign = AzureKey { vault_url: FakeKeyVault::FOREIGN_URL.to_owned(), ..azure.key.clone() };
    let refused = wait(azure.vaults.wrap(&foreign, &data_key(&KEY))).unwrap_err();
    assert!(matches!(refused, ServiceError::NotAllowed { .. }), "{refused}");
    assert!(matches!(wait(azure.vaults.unwrap(&foreign, "AAAA")), Err(ServiceError::NotAllowed { .. })));
    assert!(azure.tokens.scopes.lock().unwrap().is_empty());
    let requests = azure.fake.requests();
    assert!(requests.len() == 2 && requests.iter().all(|request| !request.has_token));
    for vault_url in ["http://fake.vault.azure.net", "https://127.0.0.1", "https://fake.vault.azure.net/x", "fake"] {
        let key = AzureKey { vault_url: vault_url.to_owned(), ..azure.key.clone() };
        assert!(matches!(wait(azure.vaults.unwrap(&key, "AAAA")), Err(ServiceError::Malformed { .. })), "{vault_url}");
    }
    assert_eq!(azure.fake.requests().len(), 2);
}
