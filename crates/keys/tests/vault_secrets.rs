//! Secrets of key/value engines, of a server that answers what none should: nothing is followed, waited for or believed. What the real
//! OpenBao answers, `tests/e2e/backends/references.rs` shows.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop where it stands")]

#[path = "support/canned.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with the tests of other services")]
mod canned;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use canned::{Canned, answer};
use waxwing_formats::SecretBytes;
use waxwing_formats::reference::{Pointer, SecretPath, Version};
use waxwing_keys::{Patience, Proxies, ServiceClient, StoreError, StoredVersion, VaultAccess, VaultSecrets};

const MOUNT: &str = r#"{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}"#;

fn secrets(address: &str) -> VaultSecrets {
    let once = Patience { tries: 1, timeout: Duration::from_millis(500), ..Patience::default() };
    let client = ServiceClient::new(None, Proxies::None, once).unwrap();
    let token = Some(SecretBytes::new(b"hunter2-token".to_vec()));
    VaultSecrets::new(client, address, &VaultAccess { token, namespace: None }).unwrap()
}

fn path() -> SecretPath {
    "secret/data/shop/db".parse().unwrap()
}

/// Answers a question about the engine with one text, and any other with another.
fn server(mount: &str, other: &str) -> Canned {
    let (mount, other) = (mount.to_owned(), other.to_owned());
    Canned::answering(move |path, _| if path.contains("/sys/") { mount.clone() } else { other.clone() })
}

async fn read(mount: &str, other: &str, version: Option<&str>) -> Result<Vec<u8>, StoreError> {
    let server = server(&answer("200 OK", mount), other);
    let version: Option<Version> = version.map(|version| version.parse().unwrap());
    let secret = secrets(&server.address()).read(&path(), version.as_ref()).await?;
    let value = secret.value(&"/password".parse::<Pointer>().unwrap(), None);
    Ok(value.unwrap().expose_secret().to_vec())
}

#[tokio::test]
async fn what_a_server_answers_is_told_apart_and_none_of_its_words_are_told() {
    let version =
        r#"{"data":{"data":null,"metadata":{"created_time":"t","deletion_time":"hunter2","destroyed":false}}}"#;
    let large = format!(r#"{{"data":{{"data":{{"password":"{}"}}}}}}"#, "x".repeat(1024 * 1024));
    let text = |status: &str| answer(status, r#"{"errors":["hunter2"]}"#);
    let after = "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let mut report = String::new();
    for (what, mount, other, version) in [
        ("denied", MOUNT, text("403 Forbidden"), None),
        ("missing", MOUNT, text("404 Not Found"), None),
        ("no such version", MOUNT, text("404 Not Found"), Some("3")),
        ("a version that is no number", MOUNT, text("200 OK"), Some("latest")),
        ("version zero", MOUNT, text("200 OK"), Some("0")),
        ("deleted", MOUNT, answer("404 Not Found", version), Some("3")),
        ("throttled", MOUNT, after.to_owned(), None),
        ("sealed", MOUNT, text("503 Service Unavailable"), None),
        ("broken", MOUNT, text("500 Internal Server Error"), None),
        ("a bad request", MOUNT, text("400 Bad Request"), None),
        (
            "elsewhere",
            MOUNT,
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_owned(),
            None,
        ),
        ("too large", MOUNT, answer("200 OK", &large), None),
        ("too large, and not announced", MOUNT, format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{large}"), None),
        ("cut off", MOUNT, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{".to_owned(), None),
        (
            "an engine of another type",
            r#"{"data":{"path":"secret/","type":"database","options":null}}"#,
            text("200 OK"),
            None,
        ),
        ("an engine elsewhere", r#"{"data":{"path":"other/","type":"kv","options":null}}"#, text("200 OK"), None),
        (
            "an engine with the whole path",
            r#"{"data":{"path":"secret/data/shop/db/","type":"kv"}}"#,
            text("200 OK"),
            None,
        ),
        (
            "an engine of a later version",
            r#"{"data":{"path":"secret/","type":"kv","options":{"version":"3"}}}"#,
            text("200 OK"),
            None,
        ),
        (
            "a path without data",
            r#"{"data":{"path":"secret/data/","type":"kv","options":{"version":"2"}}}"#,
            text("200 OK"),
            None,
        ),
        (
            "a version of an engine without any",
            r#"{"data":{"path":"secret/","type":"kv","options":null}}"#,
            text("200 OK"),
            Some("3"),
        ),
        ("an engine that nobody describes", "hunter2", text("200 OK"), None),
    ] {
        let error = read(mount, &other, version).await.unwrap_err();
        report.push_str(&format!("{what}: {error} ({})\n", error.word()));
    }
    assert!(!report.contains("hunter2"), "{report}");
    insta::assert_snapshot!(report);
}

#[tokio::test]
async fn the_newest_version_is_told_from_one_of_the_same_number_and_a_deleted_one_from_itself() {
    let newest = async |metadata: &str| {
        let server = server(&answer("200 OK", MOUNT), &answer("200 OK", metadata));
        let found = secrets(&server.address()).newest(&path()).await;
        assert!(server.asked()[1].starts_with("GET /v1/secret/metadata/shop/db HTTP/1.1"), "{:?}", server.asked());
        found
    };
    let one =
        r#"{"data":{"current_version":1,"versions":{"1":{"created_time":"T1","deletion_time":"","destroyed":false}}}}"#;
    let numbered = |times: &str| Ok(StoredVersion::Numbered { number: 1, times: times.to_owned() });
    assert_eq!(newest(one).await, numbered("T1"));
    assert_eq!(newest(&one.replace("T1", "T2")).await, numbered("T2"));
    assert_eq!(newest(&one.replace(r#""deletion_time":"""#, r#""deletion_time":"T3""#)).await, numbered("T1 until T3"));
    assert_eq!(newest(&one.replace("false", "true")).await, numbered("T1 destroyed"));
    assert_eq!(
        newest(&one.replace(r#"version":1"#, r#"version":2"#)).await,
        Err(StoreError::Answer { service: "Vault" })
    );
    assert_eq!(newest(r#"{"data":{"current_version":0}}"#).await, Err(StoreError::Missing { service: "Vault" }));
    assert_eq!(newest("[]").await, Err(StoreError::Answer { service: "Vault" }));
}

#[tokio::test]
async fn one_engine_is_asked_about_once_and_one_that_says_nothing_is_not_waited_for() {
    let secret = r#"{"data":{"data":{"password":"hunter2"},"metadata":{"version":1}}}"#;
    let server = server(&answer("200 OK", MOUNT), &answer("200 OK", secret));
    let store = secrets(&server.address());
    for _ in 0..3 {
        store.read(&path(), None).await.unwrap();
    }
    let about: Vec<_> = server.asked().iter().filter_map(|request| Some(request.lines().next()?.to_owned())).collect();
    assert_eq!(about.len(), 4, "{about:?}");
    assert_eq!(about[0], "GET /v1/sys/internal/ui/mounts/secret/data/shop/db HTTP/1.1");

    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = secrets(&format!("http://{}", silent.local_addr().unwrap()));
    let error = store.read(&path(), None).await.unwrap_err().to_string();
    assert_eq!(error, "Vault can't be reached: it took too long");
}

#[tokio::test]
async fn a_server_that_answers_byte_by_byte_is_waited_for_no_longer_than_one_that_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let store = secrets(&format!("http://{}", listener.local_addr().unwrap()));
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").unwrap();
        // It ends with the connection, which its client ends.
        while stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(20));
        }
    });
    let error = store.read(&path(), None).await.unwrap_err().to_string();
    assert_eq!(error, "Vault can't be reached: it took too long");
}
