//! The upstream programs as judges: what kubeseal seals and age encrypts opens here, and kubeseal opens what is sealed
//! here. Where the programs are missing these tests say so and end; under `CI` they fail.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use rand_core::OsRng;
use serde_json::{Value, json};
use waxwing_formats::sealed_secret::{Certificate, PlainSecret, Scope, SealedItem, SealedSecretManifest, seal};
use waxwing_formats::{RequestId, WrappedKey};
use waxwing_harness::{Failure, RunDir, Upstream};
use waxwing_keys::{AgeIdentities, GeneratedKey, Keyring, SealingKey};

/// A key made here, in files where kubeseal finds it.
struct Bench {
    upstream: Upstream,
    folder: RunDir,
    key: GeneratedKey,
}

impl Bench {
    fn new() -> Option<Self> {
        let upstream = upstream("kubeseal")?;
        let folder = RunDir::new("sealing-oracle").unwrap();
        let ten_years = Duration::from_hours(24 * 3650);
        let key = SealingKey::generate(Timestamp::now(), ten_years, "", 2048).unwrap();
        folder.write("tls.key", key.tls_key_pem.expose_secret()).unwrap();
        folder.write("tls.crt", &key.tls_crt_pem).unwrap();
        Some(Self { upstream, folder, key })
    }

    fn file(&self, name: &str) -> String {
        PathBuf::from(self.folder.path()).join(name).display().to_string()
    }

    fn kubeseal(&self, arguments: &[&str], input: &Value) -> Value {
        let call = self.upstream.kubeseal(arguments).unwrap().stdin(input.to_string());
        serde_json::from_str(&call.text().unwrap()).unwrap()
    }

    fn keyring(&self) -> Keyring {
        let key = SealingKey::from_pem(&self.key.tls_key_pem, self.key.tls_crt_pem.as_bytes());
        Keyring::new(vec![key.unwrap()])
    }
}

fn upstream(program: &str) -> Option<Upstream> {
    let found = Upstream::new().and_then(|upstream| {
        let call = if program == "age" { upstream.age(&[]) } else { upstream.kubeseal(&[]) };
        call.map(|_| upstream)
    });
    match found {
        Ok(upstream) => Some(upstream),
        Err(failure @ Failure::MissingTool { .. }) => {
            eprintln!("SKIPPED: {failure}: {}", failure.hint().unwrap_or_default());
            None
        }
        Err(failure) => panic!("{failure:?}"),
    }
}

fn secret() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "example.com/own", "immutable": true,
        "metadata": {"name": "db", "namespace": "shop", "labels": {"app": "shop"}, "annotations": {"note": "kept"}},
        "data": {"bytes": STANDARD.encode([0, 255, 1]), "empty": "", "big": STANDARD.encode(vec![b'x'; 100_000])},
        "stringData": {"text": "grüße\n"},
    })
}

fn values() -> BTreeMap<String, Vec<u8>> {
    let values = [
        ("bytes", vec![0, 255, 1]),
        ("empty", Vec::new()),
        ("big", vec![b'x'; 100_000]),
        ("text", "grüße\n".as_bytes().to_vec()),
    ];
    values.map(|(key, value)| (key.to_owned(), value)).into()
}

fn open_all(sealed_secret: &Value, keyring: &Keyring) -> BTreeMap<String, Vec<u8>> {
    let manifest = SealedSecretManifest::parse(sealed_secret).unwrap();
    let open = |token: &String| {
        let item = SealedItem::parse(token).unwrap();
        let (key, _) = keyring.open(&item.request(RequestId(0), manifest.label()).wrapped, None).unwrap();
        item.open(&key).unwrap().expose_secret().to_vec()
    };
    manifest.items().iter().map(|(key, token)| (key.clone(), open(token))).collect()
}

#[test]
fn what_kubeseal_seals_with_our_certificate_opens_here() {
    let Some(bench) = Bench::new() else { return };
    for scope in Scope::ALL {
        let arguments = ["--cert", &bench.file("tls.crt"), "--scope", &scope.to_string(), "-o", "json"];
        let sealed_secret = bench.kubeseal(&arguments, &secret());
        assert_eq!(open_all(&sealed_secret, &bench.keyring()), values(), "{scope}");
    }
}

#[test]
fn what_is_sealed_here_kubeseal_opens_with_our_key() {
    let Some(bench) = Bench::new() else { return };
    let public_key = Certificate::from_pem(bench.key.tls_crt_pem.as_bytes()).unwrap().public_key;
    for scope in Scope::ALL {
        let plain = PlainSecret::from_manifest(secret()).unwrap();
        let sealed_secret = seal(&plain, scope, &public_key, &mut OsRng).unwrap();
        let arguments = ["--recovery-unseal", "--recovery-private-key", &bench.file("tls.key"), "-o", "json"];
        let opened = bench.kubeseal(&arguments, &sealed_secret);
        let decode = |value: &Value| STANDARD.decode(value.as_str().unwrap_or_default()).unwrap();
        let data = opened["data"].as_object().unwrap().iter().map(|(key, value)| (key.clone(), decode(value)));
        assert_eq!(data.collect::<BTreeMap<_, _>>(), values(), "{scope}");

        let skeleton = SealedSecretManifest::parse(&sealed_secret).unwrap().secret_skeleton();
        assert_eq!(skeleton, without_data_and_owner(opened), "{scope}");
    }
}

/// kubeseal names the SealedSecret as owner; where nothing is created from a SealedSecret in a cluster there is none.
fn without_data_and_owner(mut secret: Value) -> Value {
    secret.as_object_mut().unwrap().remove("data");
    secret["metadata"].as_object_mut().unwrap().remove("ownerReferences");
    secret
}

#[test]
fn both_give_the_same_manifest_but_for_the_ciphertext() {
    let Some(bench) = Bench::new() else { return };
    let public_key = Certificate::from_pem(bench.key.tls_crt_pem.as_bytes()).unwrap().public_key;
    let mask = |mut sealed_secret: Value| {
        let items = sealed_secret["spec"]["encryptedData"].as_object_mut().unwrap();
        items.values_mut().for_each(|token| *token = json!(token.as_str().unwrap().len()));
        sealed_secret
    };
    for scope in Scope::ALL {
        let arguments = ["--cert", &bench.file("tls.crt"), "--scope", &scope.to_string(), "-o", "json"];
        let theirs = bench.kubeseal(&arguments, &secret());
        let plain = PlainSecret::from_manifest(secret()).unwrap();
        assert_eq!(mask(seal(&plain, scope, &public_key, &mut OsRng).unwrap()), mask(theirs), "{scope}");
    }
}

#[test]
fn what_is_refused_here_kubeseal_refuses_too() {
    let Some(bench) = Bench::new() else { return };
    let public_key = Certificate::from_pem(bench.key.tls_crt_pem.as_bytes()).unwrap().public_key;
    let plain = PlainSecret::from_manifest(secret()).unwrap();
    let mut moved = seal(&plain, Scope::Strict, &public_key, &mut OsRng).unwrap();
    moved["metadata"]["name"] = json!("other");

    let arguments = ["--recovery-unseal", "--recovery-private-key", &bench.file("tls.key")];
    let call = bench.upstream.kubeseal(&arguments).unwrap().stdin(moved.to_string());
    assert!(!call.run().unwrap().status.success());

    let manifest = SealedSecretManifest::parse(&moved).unwrap();
    let item = SealedItem::parse(&manifest.items()["text"]).unwrap();
    assert!(bench.keyring().open(&item.request(RequestId(0), manifest.label()).wrapped, None).is_err());
}

#[test]
fn what_kubeseal_forgives_in_base64_is_forgiven_here() {
    let Some(bench) = Bench::new() else { return };
    let public_key = Certificate::from_pem(bench.key.tls_crt_pem.as_bytes()).unwrap().public_key;
    // 2 + 256 + 4 + 16 bytes leave one padding character and two unused bits.
    let plain = PlainSecret::parse(
        b"{apiVersion: v1, kind: Secret, metadata: {name: db, namespace: shop}, stringData: {text: abcd}}",
    );
    let mut sealed_secret = seal(&plain.unwrap()[0], Scope::Strict, &public_key, &mut OsRng).unwrap();
    let token = sealed_secret["spec"]["encryptedData"]["text"].as_str().unwrap().to_owned();
    let (head, tail) = token.split_at(token.len() - 4);
    let with_stray_bit = char::from(tail.as_bytes()[2] + 1);
    let untidy = format!("\r\n{head}\n{}{}=\n", &tail[..2], with_stray_bit);
    assert!(tail.ends_with('=') && !tail.ends_with("=="));
    sealed_secret["spec"]["encryptedData"]["text"] = json!(untidy);

    let arguments = ["--recovery-unseal", "--recovery-private-key", &bench.file("tls.key"), "-o", "json"];
    assert_eq!(bench.kubeseal(&arguments, &sealed_secret)["data"]["text"], json!("YWJjZA=="));
    assert_eq!(open_all(&sealed_secret, &bench.keyring())["text"], b"abcd");
}

#[test]
fn what_age_encrypts_opens_here() {
    let Some(upstream) = upstream("age") else { return };
    let (key, other) = (upstream.age_keygen().unwrap(), upstream.age_keygen().unwrap());
    let data_key = [7; 32];
    let call = upstream.age(&["-a", "-r", &other.recipient, "-r", &key.recipient]).unwrap();
    let enc = call.stdin(data_key).text().unwrap();

    let identities = AgeIdentities::parse(key.identity.as_bytes()).unwrap();
    assert_eq!(identities.recipients(), std::slice::from_ref(&key.recipient));
    let wrapped = WrappedKey::Age { recipient: key.recipient, enc };
    assert_eq!(identities.answer(&wrapped).unwrap().expose_secret(), data_key);
    let stranger = AgeIdentities::parse(upstream.age_keygen().unwrap().identity.as_bytes()).unwrap();
    assert!(stranger.answer(&wrapped).is_err());
}
