//! Keys of transit engines, against the real OpenBao, and against a server that answers what none should.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

#[path = "support/canned.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of other services")]
mod canned;

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use canned::{Canned, answer};
use waxwing_formats::{DataKey, SecretBytes};
use waxwing_harness::{Authority, OpenBao};
use waxwing_keys::{
    NoConnections, Patience, Proxies, ServiceClient, ServiceError, VaultAccess, VaultKey, VaultTransit,
};

const DATA_KEY: &[u8; 32] = b"hunter2-hunter2-hunter2-hunter2-";

/// One server for all tests that neither seal nor stop it, with an engine at `transit` that has the keys `mine` and `other`.
static BAO: LazyLock<OpenBao> = LazyLock::new(|| started(OpenBao::start().unwrap()));

fn started(bao: OpenBao) -> OpenBao {
    bao.mount_transit(None, "transit").unwrap();
    for key in ["mine", "other"] {
        bao.make_key(None, "transit", key).unwrap();
    }
    bao
}

fn data_key() -> DataKey {
    DataKey::new(SecretBytes::new(DATA_KEY.to_vec()))
}

fn key(address: &str, engine: &str, name: &str) -> VaultKey {
    VaultKey { address: address.to_owned(), engine_path: engine.to_owned(), key_name: name.to_owned() }
}

fn access(token: &str) -> VaultAccess {
    let token = Some(SecretBytes::new(token.as_bytes().to_vec()));
    VaultAccess { token, namespace: None }
}

/// Calls a server that these authorities certify, once.
fn client(authorities: Option<&str>) -> ServiceClient {
    let once = Patience { tries: 1, ..Patience::default() };
    ServiceClient::new(authorities.map(str::as_bytes), Proxies::None, once).unwrap()
}

fn transit(access: &VaultAccess, key: &VaultKey) -> Result<VaultTransit, ServiceError> {
    VaultTransit::new(client(None), &key.address, access)
}

async fn wrap(access: &VaultAccess, key: &VaultKey) -> Result<String, ServiceError> {
    transit(access, key)?.wrap(key, &data_key()).await
}

async fn unwrap(access: &VaultAccess, key: &VaultKey, enc: &str) -> Result<Vec<u8>, ServiceError> {
    let opened = transit(access, key)?.unwrap(key, enc).await;
    opened.map(|key| key.expose_secret().to_vec())
}

#[tokio::test]
async fn a_data_key_comes_back_from_the_engine_that_wrapped_it() {
    BAO.mount_transit(None, "a/deep/engine").unwrap();
    BAO.make_key(None, "a/deep/engine", "k").unwrap();
    let policy = r#"path "transit/encrypt/mine" { capabilities = ["update"] }
        path "transit/decrypt/mine" { capabilities = ["update"] }
        path "a/deep/engine/*" { capabilities = ["update"] }"#;
    let token = BAO.make_token(None, policy).unwrap();
    for (engine, name) in [("transit", "mine"), ("/transit/", "mine"), ("a/deep/engine", "k")] {
        let key = key(&BAO.address(), engine, name);
        let enc = wrap(&access(&token), &key).await.unwrap();
        assert!(enc.starts_with("vault:v1:"), "{enc}");
        assert_eq!(unwrap(&access(&token), &key, &enc).await.unwrap(), DATA_KEY, "{engine}");
    }
    let share = DataKey::new(SecretBytes::new(vec![7; 33]));
    let key = key(&BAO.address(), "transit", "mine");
    let client = transit(&access(&token), &key).unwrap();
    let enc = client.wrap(&key, &share).await.unwrap();
    assert_eq!(client.unwrap(&key, &enc).await.unwrap().expose_secret(), [7; 33]);
}

#[tokio::test]
async fn a_namespace_has_engines_of_its_own() {
    BAO.make_namespace("team").unwrap();
    BAO.mount_transit(Some("team"), "of-team").unwrap();
    BAO.make_key(Some("team"), "of-team", "k").unwrap();
    let key = key(&BAO.address(), "of-team", "k");
    let mut access = access(BAO.root_token());
    let outside = wrap(&access, &key).await.unwrap_err();
    assert!(matches!(outside, ServiceError::NotFound { .. }), "{outside}");
    access.namespace = Some("team".to_owned());
    let enc = wrap(&access, &key).await.unwrap();
    assert_eq!(unwrap(&access, &key, &enc).await.unwrap(), DATA_KEY);
    access.namespace = Some("te\nam".to_owned());
    assert_eq!(wrap(&access, &key).await, Err(ServiceError::Malformed { what: "the namespace" }));
}

#[tokio::test]
async fn what_a_server_refuses_is_told_by_its_status() {
    let root = access(BAO.root_token());
    let mine = key(&BAO.address(), "transit", "mine");
    let enc = wrap(&root, &mine).await.unwrap();
    let nobody = VaultAccess { token: None, ..access("") };
    let other = BAO.make_token(None, r#"path "transit/encrypt/other" { capabilities = ["update"] }"#).unwrap();
    let denied = access(&other);
    let mut report = String::new();
    for (what, access, key, enc) in [
        ("another key", &root, key(&BAO.address(), "transit", "other"), enc.as_str()),
        ("a key that is missing", &root, key(&BAO.address(), "transit", "missing"), &enc),
        ("an engine that is missing", &root, key(&BAO.address(), "missing", "mine"), &enc),
        ("a token that may not", &denied, mine.clone(), &enc),
        ("a token that is none", &access("hunter2-token"), mine.clone(), &enc),
        ("no token", &nobody, mine.clone(), &enc),
        ("a changed ciphertext", &root, mine.clone(), &format!("{}AAAA", &enc[..enc.len() - 4])),
        ("no ciphertext", &root, mine.clone(), "hunter2"),
        ("an empty ciphertext", &root, mine.clone(), ""),
        ("a version that is missing", &root, mine.clone(), &enc.replace("v1", "v9")),
    ] {
        let error = unwrap(access, &key, enc).await.unwrap_err();
        report.push_str(&format!("{what}: {error}\n"));
    }
    insta::assert_snapshot!(report);
}

#[tokio::test]
async fn a_server_that_is_sealed_or_away_can_not_be_reached() {
    let mut bao = started(OpenBao::start().unwrap());
    let (access, key) = (access(bao.root_token()), key(&bao.address(), "transit", "mine"));
    let enc = wrap(&access, &key).await.unwrap();
    bao.seal().unwrap();
    let sealed = unwrap(&access, &key, &enc).await.unwrap_err().to_string();
    assert_eq!(sealed, "Vault can't be reached: it is sealed or on standby (503)");
    bao.stop();
    let away = wrap(&access, &key).await.unwrap_err().to_string();
    assert_eq!(away, "Vault can't be reached: nobody listens there");
}

#[tokio::test]
async fn a_server_is_believed_if_the_authority_that_is_named_certifies_it() {
    let authority = Authority::new("of the harness").unwrap();
    let bao = started(OpenBao::start_certified_by(&authority).unwrap());
    let key = key(&bao.tls_address(), "transit", "mine");
    let access = access(bao.root_token());
    let at = |pem: Option<&str>| VaultTransit::new(client(pem), &key.address, &access).unwrap();
    let enc = at(Some(&authority.pem())).wrap(&key, &data_key()).await.unwrap();
    let other = Authority::new("of the harness").unwrap();
    for pem in [None, Some(other.pem())] {
        let error = at(pem.as_deref()).wrap(&key, &data_key()).await.unwrap_err().to_string();
        assert_eq!(error, "Vault can't be reached: no encrypted connection to it that can be trusted");
    }
    let both = format!("{}{}", other.pem(), authority.pem());
    for pem in [authority.pem(), both] {
        assert_eq!(at(Some(&pem)).unwrap(&key, &enc).await.unwrap().expose_secret(), DATA_KEY);
    }
    let nobody = ServiceClient::new(Some(b"nobody"), Proxies::None, Patience::default());
    assert_eq!(nobody.err(), Some(NoConnections));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_goes_nowhere_else() {
    let elsewhere = Canned::serve(&[&answer("200 OK", r#"{"data":{"plaintext":"aHVudGVyMg=="}}"#)]);
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let to = format!("HTTP/1.1 {status}\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n", elsewhere.address());
        let server = Canned::serve(&[&to]);
        let error = unwrap(&access("hunter2-token"), &key(&server.address(), "transit", "k"), "vault:v1:x").await;
        let error = error.unwrap_err().to_string();
        assert!(error.ends_with(&format!("it sends elsewhere ({}), and tokens don't follow", &status[..3])), "{error}");
        assert_eq!(server.asked().len(), 1);
        assert!(server.asked()[0].contains("x-vault-token: hunter2-token"), "{:?}", server.asked());
    }
    assert_eq!(elsewhere.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_sent_is_what_vault_documents_and_nothing_of_an_answer_is_told() {
    let server = Canned::serve(&[&answer("200 OK", r#"{"data":{"ciphertext":"vault:v1:abc"}}"#)]);
    let named = VaultAccess { namespace: Some("team/a".to_owned()), ..access("hunter2-token") };
    assert_eq!(wrap(&named, &key(&server.address(), "transit", "k")).await.unwrap(), "vault:v1:abc");
    let asked = server.asked().remove(0).to_lowercase();
    assert!(asked.starts_with("post /v1/transit/encrypt/k http/1.1\r\n"), "{asked}");
    for header in ["x-vault-request: true", "x-vault-namespace: team/a", "content-type: application/json"] {
        assert!(asked.contains(&format!("{header}\r\n")), "{asked}");
    }
    let body = format!(r#"{{"plaintext":"{}"}}"#, STANDARD.encode(DATA_KEY)).to_lowercase();
    assert!(asked.ends_with(&body), "{asked}");

    let secret = STANDARD.encode(DATA_KEY);
    let long = format!(r#"{{"data":{{"plaintext":"{}"}}}}"#, "A".repeat(70_000));
    let mut report = String::new();
    for (status, body) in [
        ("200 OK", ""),
        ("200 OK", "hunter2"),
        ("200 OK", r#"{"data":null}"#),
        ("200 OK", r#"{"data":{"plaintext":7}}"#),
        ("200 OK", r#"{"data":{"plaintext":"hunter2!"}}"#),
        ("200 OK", long.as_str()),
        ("204 No Content", ""),
        ("400 Bad Request", &format!(r#"{{"errors":["{secret} hunter2"]}}"#)),
        ("418 hunter2", "hunter2"),
        ("429 Too Many Requests", "hunter2"),
        ("500 Internal Server Error", &secret),
        ("502 Bad Gateway", "<html>hunter2</html>"),
    ] {
        let server = Canned::serve(&[&answer(status, body)]);
        let error = unwrap(&access("hunter2-token"), &key(&server.address(), "transit", "k"), "vault:v1:x").await;
        let error = error.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains("hunter2") && !told.contains(&secret), "{told}");
        let body = if body.len() > 100 { "a long text" } else { &body.replace(&secret, "THE DATA KEY") };
        report.push_str(&format!("{status} {body}: {error}\n"));
    }
    insta::assert_snapshot!(report);
    let busy = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let server = Canned::serve(&[busy]);
    let error = unwrap(&access("t"), &key(&server.address(), "transit", "k"), "vault:v1:x").await.unwrap_err();
    let seven = Some(std::time::Duration::from_secs(7));
    assert!(matches!(error, ServiceError::Throttled { retry_after, .. } if retry_after == seven), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_no_ciphertext_is_not_written_into_a_file() {
    for body in
        [r#"{"data":{"ciphertext":""}}"#, r#"{"data":{"ciphertext":"vault:v1:a\nb"}}"#, r#"{"data":{"plaintext":"x"}}"#]
    {
        let server = Canned::serve(&[&answer("200 OK", body)]);
        let error = wrap(&access("t"), &key(&server.address(), "transit", "k")).await.unwrap_err();
        assert_eq!(error, ServiceError::Answer { service: "Vault" }, "{body}");
    }
}
