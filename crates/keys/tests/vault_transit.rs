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

/// Data keys that are told apart by their first byte, and their ciphertexts.
async fn wrapped(access: &VaultAccess, key: &VaultKey, count: u8) -> Vec<String> {
    let client = transit(access, key).unwrap();
    let mut encs = Vec::new();
    for number in 0..count {
        let data_key = DataKey::new(SecretBytes::new([&[number][..], &DATA_KEY[1..]].concat()));
        encs.push(client.wrap(key, &data_key).await.unwrap());
    }
    encs
}

async fn unwrap_several<T: AsRef<str>>(
    access: &VaultAccess,
    key: &VaultKey,
    encs: &[T],
) -> Result<Vec<Result<Vec<u8>, ServiceError>>, ServiceError> {
    let encs: Vec<&str> = encs.iter().map(AsRef::as_ref).collect();
    let results = transit(access, key)?.unwrap_several(key, &encs).await?;
    Ok(results.into_iter().map(|one| one.map(|key| key.expose_secret().to_vec())).collect())
}

#[tokio::test]
async fn one_request_unwraps_several_in_their_order_and_those_that_fail_spoil_no_other() {
    let policy = r#"path "transit/encrypt/*" { capabilities = ["update"] }
        path "transit/decrypt/mine" { capabilities = ["update"] }"#;
    let access = access(&BAO.make_token(None, policy).unwrap());
    let mine = key(&BAO.address(), "transit", "mine");
    let most = u8::try_from(VaultTransit::MOST_AT_ONCE).unwrap();
    let encs = wrapped(&access, &mine, most).await;
    let opened = unwrap_several(&access, &mine, &encs).await.unwrap();
    let numbers: Vec<u8> = opened.into_iter().map(|one| one.unwrap()[0]).collect();
    assert_eq!(numbers, (0..most).collect::<Vec<_>>());

    let foreign = wrapped(&access, &key(&BAO.address(), "transit", "other"), 1).await.remove(0);
    let damaged = format!("{}AAAA", &encs[4][..encs[4].len() - 4]);
    let several = [&encs[3], &foreign, &encs[1], &damaged, "hunter2", "", &encs[2].replace("v1", "v9"), &encs[0]];
    let told = unwrap_several(&access, &mine, &several).await.unwrap();
    let told: Vec<String> =
        told.into_iter().map(|one| one.map_or_else(|error| error.to_string(), |key| key[0].to_string())).collect();
    let no = "Vault does not unwrap it (400)";
    assert_eq!(told, ["3", no, "1", no, no, no, no, "0"]);
    let all_bad = unwrap_several(&access, &mine, &[foreign.as_str(), &damaged]).await.unwrap();
    assert!(all_bad.iter().all(|one| matches!(one, Err(ServiceError::Refused { .. }))), "{all_bad:?}");
}

#[tokio::test]
async fn several_that_are_refused_as_a_whole_have_one_reason_and_too_many_are_not_asked_for() {
    let root = access(BAO.root_token());
    let mine = key(&BAO.address(), "transit", "mine");
    let encs = wrapped(&root, &mine, 2).await;
    let by_policy = |policy: &str| access(&BAO.make_token(None, policy).unwrap());
    let denied = by_policy(r#"path "transit/encrypt/mine" { capabilities = ["update"] }"#);
    let one_alone = by_policy(
        r#"path "transit/decrypt/mine" { capabilities = ["update"] allowed_parameters = { "ciphertext" = [] } }"#,
    );
    let nobody = VaultAccess { token: None, ..access("") };
    for (access, key, wanted) in [
        (&denied, mine.clone(), "Vault does not allow it (403)"),
        (&one_alone, mine.clone(), "Vault does not allow it (403)"),
        (&nobody, mine.clone(), "there are no credentials for Vault: it wants a token (403)"),
        (&root, key(&BAO.address(), "transit", "missing"), "Vault does not unwrap it (400)"),
        (&root, key(&BAO.address(), "missing", "mine"), "Vault has no such key (404)"),
    ] {
        assert_eq!(unwrap_several(access, &key, &encs).await.unwrap_err().to_string(), wanted);
    }
    assert_eq!(unwrap(&one_alone, &mine, &encs[1]).await.unwrap()[0], 1);

    let server = Canned::serve(&[&answer("200 OK", r#"{"data":{"batch_results":[]}}"#)]);
    let elsewhere = key(&server.address(), "transit", "k");
    assert_eq!(unwrap_several::<&str>(&root, &elsewhere, &[]).await, Ok(Vec::new()));
    let long = "x".repeat(VaultTransit::LONGEST_AT_ONCE);
    for too_much in [vec!["x"; VaultTransit::MOST_AT_ONCE + 1], vec![&long, "x"]] {
        let error = unwrap_several(&root, &elsewhere, &too_much).await.unwrap_err();
        assert!(matches!(error, ServiceError::Malformed { .. }), "{error}");
    }
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn of_what_several_are_answered_by_nothing_but_the_keys_is_kept() {
    let secret = STANDARD.encode(DATA_KEY);
    let one = format!(r#"{{"plaintext":"{secret}","reference":""}}"#);
    let mut report = String::new();
    for (status, results) in [
        ("200 OK", format!("[{one},{one}]")),
        ("200 OK", format!(r#"[{one},{{"error":"hunter2 {secret}"}}]"#)),
        ("200 OK", format!(r#"[{{"plaintext":"{secret}","error":"hunter2"}},{{"plaintext":"{secret}","error":""}}]"#)),
        ("200 OK", r#"[{"plaintext":"hunter2!"},{}]"#.to_owned()),
        ("200 OK", format!("[{one}]")),
        ("200 OK", format!("[{one},{one},{one}]")),
        ("200 OK", "null".to_owned()),
        ("400 Bad Request", format!(r#"[{one},{{"plaintext":"","error":"hunter2 {secret}"}}]"#)),
        ("400 Bad Request", format!("[{one}]")),
        ("400 Bad Request", "null".to_owned()),
        ("403 Forbidden", format!("[{one},{one}]")),
        ("500 Internal Server Error", format!("[{one},{one}]")),
    ] {
        let server = Canned::serve(&[&answer(status, &format!(r#"{{"data":{{"batch_results":{results}}}}}"#))]);
        let key = key(&server.address(), "transit", "k");
        let outcome = unwrap_several(&access("hunter2-token"), &key, &["vault:v1:a", "vault:v1:b"]).await;
        let told = |error: ServiceError| {
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            error.to_string()
        };
        let one = |one: Result<Vec<u8>, _>| one.map_or_else(told, |key| format!("{} bytes", key.len()));
        let all = |all: Vec<_>| all.into_iter().map(one).collect::<Vec<_>>().join(", ");
        let outcome = outcome.map_or_else(|error| format!("as a whole: {}", told(error)), all);
        report.push_str(&format!("{status} {}: {outcome}\n", results.replace(&secret, "KEY")));
        let asked = server.asked().remove(0);
        let body = r#"{"batch_input":[{"ciphertext":"vault:v1:a"},{"ciphertext":"vault:v1:b"}]}"#;
        assert!(asked.starts_with("POST /v1/transit/decrypt/k ") && asked.ends_with(body), "{asked}");
    }
    insta::assert_snapshot!(report);
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
