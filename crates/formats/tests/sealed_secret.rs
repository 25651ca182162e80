//! SealedSecrets from outside: what kubeseal made opens, ours has its shape, and each defect is refused by name.
//!
//! Private-key operations stand in for `waxwing-keys` here; its own tests cover the keyring.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::disallowed_types, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::sync::LazyLock;

use rand_core::OsRng;
use rsa::pkcs1::DecodeRsaPrivateKey;
use serde_json::{Value, json};
use waxwing_formats::sealed_secret::{
    Certificate, DeprecatedSealedSecret, PlainSecret, PublicKey, Scope, SealedItem, SealedSecretManifest, seal,
    seal_item,
};
use waxwing_formats::{DataKey, RequestId, SecretBytes, WrappedKey};

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from("tests/fixtures/sealed_secret").join(name)).unwrap()
}

fn json_fixture(name: &str) -> Value {
    serde_json::from_slice(&fixture(name)).unwrap()
}

fn private_key(name: &str) -> rsa::RsaPrivateKey {
    let pem = String::from_utf8(fixture(&format!("keys/{name}.key"))).unwrap();
    rsa::RsaPrivateKey::from_pkcs1_pem(&pem).unwrap()
}

static THROW_AWAY: LazyLock<rsa::RsaPrivateKey> = LazyLock::new(|| private_key("throw-away"));

fn public_key() -> PublicKey {
    Certificate::from_pem(&fixture("keys/throw-away.crt")).unwrap().public_key
}

fn unwrap(key: &rsa::RsaPrivateKey, item: &SealedItem, label: Vec<u8>) -> Option<DataKey> {
    let WrappedKey::SealedItem { rsa, label } = item.request(RequestId(0), label).wrapped else { return None };
    let padding = rsa::Oaep::new_with_label::<sha2::Sha256, _>(String::from_utf8(label).unwrap());
    let session_key = key.decrypt(padding, &rsa).ok()?;
    Some(DataKey::new(SecretBytes::new(session_key)))
}

fn open_all(sealed_secret: &Value, key: &rsa::RsaPrivateKey) -> BTreeMap<String, Vec<u8>> {
    let manifest = SealedSecretManifest::parse(sealed_secret).unwrap();
    let open = |token: &String| {
        let item = SealedItem::parse(token).unwrap();
        item.open(&unwrap(key, &item, manifest.label()).unwrap()).unwrap().expose_secret().to_vec()
    };
    manifest.items().iter().map(|(key, token)| (key.clone(), open(token))).collect()
}

fn expected_values() -> BTreeMap<String, Vec<u8>> {
    let values: [(&str, &[u8]); 4] = [
        ("bytes", &[0, 255, 1, 254, 0, 10]),
        ("empty", b""),
        ("password", b"correct horse battery staple\n"),
        ("username", b"admin"),
    ];
    values.map(|(key, value)| (key.to_owned(), value.to_vec())).into()
}

fn mask_tokens(mut sealed_secret: Value) -> Value {
    for token in sealed_secret["spec"]["encryptedData"].as_object_mut().unwrap().values_mut() {
        *token = Value::from("...");
    }
    sealed_secret
}

#[test]
fn what_kubeseal_sealed_opens_in_every_scope() {
    for scope in Scope::ALL {
        let sealed_secret = json_fixture(&format!("{scope}.json"));
        assert_eq!(SealedSecretManifest::parse(&sealed_secret).unwrap().scope(), scope);
        assert_eq!(open_all(&sealed_secret, &THROW_AWAY), expected_values(), "{scope}");
    }
    assert_eq!(open_all(&json_fixture("rsa-3072.json"), &private_key("big")), expected_values());
}

#[test]
fn what_is_sealed_here_has_the_shape_that_kubeseal_gives_it_and_opens() {
    let secret = PlainSecret::from_manifest(json_fixture("secret.json")).unwrap();
    for scope in Scope::ALL {
        let sealed = seal(&secret, scope, &public_key(), &mut OsRng).unwrap();
        assert_eq!(open_all(&sealed, &THROW_AWAY), expected_values(), "{scope}");
        assert_eq!(mask_tokens(sealed), mask_tokens(json_fixture(&format!("{scope}.json"))), "{scope}");
    }
}

#[test]
fn a_value_does_not_open_under_another_name_namespace_or_scope() {
    let token = seal_item(&public_key(), b"shop/db", &SecretBytes::new(b"x".to_vec()), &mut OsRng).unwrap();
    let item = SealedItem::parse(&token).unwrap();
    assert!(unwrap(&THROW_AWAY, &item, Scope::Strict.label("shop", "db")).is_some());
    for label in ["shop/other", "other/db", "shop", "", "SHOP/db", "shop/db "] {
        assert!(unwrap(&THROW_AWAY, &item, label.as_bytes().to_vec()).is_none(), "{label:?}");
    }
}

#[test]
fn sealing_twice_gives_different_text() {
    let seal = || seal_item(&public_key(), b"", &SecretBytes::new(b"x".to_vec()), &mut OsRng).unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn a_value_with_one_flipped_bit_never_opens() {
    let token = seal_item(&public_key(), b"", &SecretBytes::new(b"secret".to_vec()), &mut OsRng).unwrap();
    let item = SealedItem::parse(&token).unwrap();
    let key = unwrap(&THROW_AWAY, &item, Vec::new()).unwrap();
    let blob = decode(&token);
    for bit in (2 + 256) * 8..blob.len() * 8 {
        let mut flipped = blob.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let refused = SealedItem::parse(&encode(&flipped)).unwrap().open(&key).unwrap_err();
        assert_eq!(refused, waxwing_formats::sealed_secret::ItemError::NotAuthentic, "bit {bit}");
    }
}

#[test]
fn each_damaged_value_is_refused_by_name() {
    let good = decode(json_fixture("strict.json")["spec"]["encryptedData"]["username"].as_str().unwrap());
    let cases: [(&str, String); 11] = [
        ("nothing", String::new()),
        ("other text than base64", "not base64!".to_owned()),
        ("a handle", format!("waxwinghandle0{}", "0".repeat(64))),
        ("base64 without padding", "QUE".to_owned()),
        ("one byte", encode(&good[..1])),
        ("the length only", encode(&good[..2])),
        ("half of the RSA block", encode(&good[..130])),
        ("no ciphertext", encode(&good[..2 + 256])),
        ("half of the tag", encode(&good[..2 + 256 + 8])),
        ("an empty RSA block", encode(&[&[0, 0], &good[2..]].concat())),
        ("an RSA block that no key makes", encode(&[[0xff, 0xff].as_slice(), &[7; 70_000]].concat())),
    ];
    let mut report = String::new();
    for (case, token) in cases {
        let error = SealedItem::parse(&token).unwrap_err();
        writeln!(report, "{case}: {error}\n    hint: {}", error.hint()).unwrap();
    }
    let oversized = SealedItem::parse(&"A".repeat(4 << 20)).unwrap_err();
    writeln!(report, "4 MiB: {oversized}\n    hint: {}", oversized.hint()).unwrap();
    insta::assert_snapshot!("damaged values", report);
}

#[test]
fn a_session_key_of_another_length_is_refused() {
    let item = SealedItem::parse(json_fixture("strict.json")["spec"]["encryptedData"]["username"].as_str().unwrap());
    for len in [0, 16, 31, 33] {
        let error = item.as_ref().unwrap().open(&DataKey::new(SecretBytes::new(vec![0; len]))).unwrap_err();
        assert_eq!(error.to_string(), format!("the session key has {len} bytes instead of 32"));
    }
}

#[test]
fn base64_with_line_breaks_and_stray_bits_is_read_as_go_reads_it() {
    let token = json_fixture("strict.json")["spec"]["encryptedData"]["username"].as_str().unwrap().to_owned();
    let (first, second) = token.split_at(64);
    assert_eq!(SealedItem::parse(&format!("{first}\r\n{second}\n")), SealedItem::parse(&token));
}

#[test]
fn a_certificate_says_who_it_is_and_when_it_may_be_used() {
    let fingerprints = json_fixture("keys/fingerprints.json");
    for (name, fingerprint) in fingerprints.as_object().unwrap() {
        let certificate = Certificate::from_pem(&fixture(&format!("keys/{name}.crt"))).unwrap();
        assert_eq!(certificate.public_key.fingerprint().as_str(), fingerprint);
    }
    let certificate = Certificate::from_pem(&fixture("keys/throw-away.crt")).unwrap();
    assert_eq!(certificate.not_before.to_string(), "2024-01-01T00:00:00Z");
    assert_eq!(certificate.not_after.to_string(), "2123-12-08T00:00:00Z");
}

#[test]
fn each_unusable_certificate_is_refused_by_name() {
    let expired_after = "2020-01-02T00:00:00Z".parse().unwrap();
    assert!(PublicKey::from_certificate_pem(&fixture("keys/expired.crt"), expired_after).is_ok());

    let damaged = b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n".to_vec();
    let cases: [(&str, Vec<u8>); 7] = [
        ("an expired one", fixture("keys/expired.crt")),
        ("one of an elliptic curve key", fixture("keys/elliptic.crt")),
        ("one of an RSA-1024 key", fixture("keys/small.crt")),
        ("a private key", fixture("keys/throw-away.key")),
        ("an empty sequence", damaged),
        ("nothing", Vec::new()),
        ("UTF-16", fixture("keys/throw-away.crt").into_iter().flat_map(|byte| [byte, 0]).collect()),
    ];
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let mut report = String::new();
    for (case, pem) in cases {
        let error = PublicKey::from_certificate_pem(&pem, now).unwrap_err();
        writeln!(report, "{case}: {error}\n    hint: {}", error.hint()).unwrap();
    }
    insta::assert_snapshot!("unusable certificates", report);
}

#[test]
fn the_secret_of_a_sealed_secret_takes_the_template_and_its_own_name() {
    let sealed_secret = json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": {"name": "db", "namespace": "shop", "labels": {"own": "stays here"}},
        "spec": {
            "encryptedData": {},
            "template": {
                "immutable": false, "type": "example.com/own",
                "metadata": {
                    "name": "lies", "namespace": "lies", "labels": {"app": "shop"}, "annotations": {"note": "kept"},
                    "finalizers": ["example.com/keep"], "ownerReferences": [], "creationTimestamp": null, "uid": "1",
                },
            },
        },
    });
    let skeleton = SealedSecretManifest::parse(&sealed_secret).unwrap().secret_skeleton();
    let expected = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "example.com/own", "immutable": false,
        "metadata": {
            "name": "db", "namespace": "shop", "labels": {"app": "shop"}, "annotations": {"note": "kept"},
            "finalizers": ["example.com/keep"],
        },
    });
    assert_eq!(skeleton, expected);
}

#[test]
fn a_sealed_secret_without_a_template_becomes_an_opaque_secret() {
    let skeleton = SealedSecretManifest::parse(&minimal()).unwrap().secret_skeleton();
    let metadata = json!({"name": "db", "namespace": "shop"});
    assert_eq!(skeleton, json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque"}));
}

#[test]
fn the_scope_is_read_from_the_sealed_secret_and_not_from_its_template() {
    let wide = json!({"annotations": {"sealedsecrets.bitnami.com/cluster-wide": "true"}});
    let sealed_secret = with("/spec/template", json!({ "metadata": wide }));
    let manifest = SealedSecretManifest::parse(&sealed_secret).unwrap();
    assert_eq!((manifest.scope(), manifest.label()), (Scope::Strict, b"shop/db".to_vec()));
}

fn minimal() -> Value {
    json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": {"name": "db", "namespace": "shop", "annotations": null},
        "spec": {"encryptedData": {"password": "AgAA"}, "template": null, "data": null},
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut sealed_secret = minimal();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = sealed_secret.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    parent.insert(key.to_owned(), value);
    sealed_secret
}

#[test]
fn each_malformed_sealed_secret_is_refused_by_name() {
    let canary = "Y2FuYXJ5";
    let cases = [
        with("/apiVersion", json!("bitnami.com/v2")),
        with("/kind", json!("Secret")),
        with("/metadata", json!(null)),
        with("/metadata", json!([])),
        with("/metadata/name", json!(7)),
        with("/metadata/name", json!("")),
        with("/metadata/namespace", json!(null)),
        with("/metadata/annotations", json!("x")),
        with("/spec", json!(null)),
        with("/spec/encryptedData", json!(null)),
        with("/spec/encryptedData", json!([canary])),
        with("/spec/encryptedData/password", json!(12)),
        with("/spec/encryptedData/password", json!(null)),
        with("/spec/encryptedData/a~1b", json!({ "x": canary })),
        with("/spec/data", json!(canary)),
        with("/spec/template", json!([])),
        with("/spec/template", json!({"data": canary})),
        with("/spec/template", json!({"data": {"config": 5}})),
        with("/spec/template", json!({"data": {"config": format!("{{{{ {canary} }}}}")}})),
        with("/spec/template", json!({"data": {"config": "a\nb {{ now }}"}})),
        with("/spec/template", json!({"stringData": {"config": canary}})),
        with("/spec/template", json!({"type": 1})),
        with("/spec/template", json!({"type": "kubernetes.io/service-account-token"})),
        with("/spec/template", json!({"immutable": "true"})),
        with("/spec/template", json!({"metadata": "x"})),
        with("/spec/template", json!({"metadata": {"labels": {"app": 1}}})),
        with("/spec/template", json!({"metadata": {"annotations": ["x"]}})),
        with("/spec/template", json!({"metadata": {"finalizers": {"a": "b"}}})),
        json!("text"),
        json!(null),
    ];
    let mut report = String::new();
    for case in cases {
        let error = SealedSecretManifest::parse(&case).unwrap_err();
        writeln!(report, "{error}\n    hint: {}", error.hint()).unwrap();
    }
    assert!(!report.contains(canary));
    insta::assert_snapshot!("malformed sealed secrets", report);
}

#[test]
fn the_deprecated_form_opens_to_the_secret_that_was_sealed_whole() {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "immutable": true,
        "metadata": {"name": "old", "namespace": "elsewhere", "labels": {"app": "x"}, "creationTimestamp": null},
        "data": {"password": "c2VjcmV0"},
    });
    let blob = SecretBytes::new(secret.to_string().into_bytes());
    let token = seal_item(&public_key(), &Scope::Strict.label("shop", "db"), &blob, &mut OsRng).unwrap();
    let manifest = json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "metadata": {"name": "db", "namespace": "shop"},
        "spec": {"data": token, "template": {"type": "ignored"}},
    });
    assert!(
        DeprecatedSealedSecret::is_deprecated(&manifest)
            && !DeprecatedSealedSecret::is_deprecated(&with("/x", json!(1)))
    );
    let sealed = DeprecatedSealedSecret::parse(&manifest).unwrap();
    let item = sealed.item().unwrap();
    let opened = item.open(&unwrap(&THROW_AWAY, &item, sealed.label()).unwrap()).unwrap();
    let (skeleton, data) = sealed.secret(&opened).unwrap();
    assert_eq!(
        skeleton,
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/basic-auth", "immutable": true,
            "metadata": {"name": "db", "namespace": "shop", "labels": {"app": "x"}},
        })
    );
    assert_eq!(
        data.iter().map(|(key, value)| (key.as_str(), value.expose_secret())).collect::<Vec<_>>(),
        [("password", &b"secret"[..])]
    );

    let mut both = manifest;
    both["spec"]["encryptedData"] = json!({"a": "AgBb"});
    let error = DeprecatedSealedSecret::parse(&both).unwrap_err();
    assert_eq!(error.to_string(), "/spec/data and /spec/encryptedData can't be used at the same time");
    let not_a_secret = SecretBytes::new(b"c2VjcmV0".to_vec());
    let error = format!("{:?}", sealed.secret(&not_a_secret).unwrap_err());
    assert!(!error.contains("c2VjcmV0"), "{error}");
}

#[test]
fn an_empty_template_data_is_accepted() {
    for template in [json!({"data": null}), json!({"data": {}}), json!({})] {
        assert!(SealedSecretManifest::parse(&with("/spec/template", template)).is_ok());
    }
}

#[test]
fn each_unsealable_input_is_refused_without_quoting_it() {
    let canary = "c2VjcmV0-canary";
    let secret = |change: Value| {
        let mut secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}});
        secret.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        secret
    };
    let cases = [
        json!("text"),
        secret(json!({"kind": "ConfigMap", "data": {"password": canary}})),
        secret(json!({"apiVersion": "v2"})),
        secret(json!({"metadata": {}})),
        secret(json!({"metadata": {"name": ""}})),
        secret(json!({"metadata": {"name": "db", "namespace": 3}})),
        secret(json!({"metadata": {"name": "db", "labels": {"app": 3}}})),
        secret(json!({"data": {"password": canary}})),
        secret(json!({"data": {"password": 123_456}})),
        secret(json!({"data": [canary]})),
        secret(json!({"stringData": {"password": true}})),
        secret(json!({"immutable": "yes"})),
    ];
    let mut report = String::new();
    for case in cases {
        let error = PlainSecret::from_manifest(case).unwrap_err();
        writeln!(report, "{error}\n    hint: {}", error.hint()).unwrap();
        assert!(!format!("{error:?}").contains(canary));
    }
    assert!(!report.contains(canary));
    insta::assert_snapshot!("unsealable inputs", report);
}

#[test]
fn secrets_are_read_from_a_stream_of_yaml_or_json() {
    let stream = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: one}\nstringData: {a: '1'}\n---\n---\n\
        apiVersion: v1\nkind: Secret\nmetadata: {name: two, namespace: shop}\ndata: {b: Mg==}\n";
    let secrets = PlainSecret::parse(stream.as_bytes()).unwrap();
    let shown: Vec<_> = secrets.iter().map(|secret| (secret.name(), secret.keys().collect::<Vec<_>>())).collect();
    assert_eq!(shown, [("one", vec!["a"]), ("two", vec!["b"])]);
    assert_eq!(PlainSecret::parse(&fixture("secret.json")).unwrap()[0].namespace(), Some("shop"));
}

#[test]
fn each_unreadable_stream_is_refused_without_quoting_it() {
    let cases = [
        "",
        "---\n---\n",
        "apiVersion: v1\nkind: Secret\nstringData: {password: canary\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: canary, password: canary}\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\n---\n\n# note\nkind: Secret\npassword: canary\n",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: 0123}\n",
    ];
    let mut report = String::new();
    for case in cases {
        let error = PlainSecret::parse(case.as_bytes()).unwrap_err();
        let source = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
        writeln!(report, "{error}{source}\n    hint: {}", error.hint()).unwrap();
        assert!(!format!("{error:?}").contains("canary"));
    }
    assert!(!report.contains("canary"));
    insta::assert_snapshot!("unreadable streams", report);
}

#[test]
fn a_secret_without_values_is_sealed_as_nothing_but_its_template() {
    let secret = PlainSecret::new("db".to_owned(), Some("shop".to_owned()), BTreeMap::new());
    let sealed = seal(&secret, Scope::Strict, &public_key(), &mut OsRng).unwrap();
    assert_eq!(
        sealed["spec"],
        json!({"encryptedData": {}, "template": {"metadata": {"name": "db", "namespace": "shop"}}})
    );
}

#[test]
fn the_longest_value_is_sealed_and_opened_and_a_longer_one_is_refused_by_key() {
    let with_len = |len| {
        let values = BTreeMap::from([("big".to_owned(), SecretBytes::new(vec![b'x'; len]))]);
        seal(&PlainSecret::new("db".to_owned(), None, values), Scope::ClusterWide, &public_key(), &mut OsRng)
    };
    let mut longest = with_len(1 << 20).unwrap();
    longest["metadata"]["namespace"] = json!("shop");
    assert_eq!(open_all(&longest, &THROW_AWAY)["big"].len(), 1 << 20);

    let error = with_len((1 << 20) + 1).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        format!("{error}: {source}"),
        "failed to seal /data/big: the value has 1048577 bytes; a Secret holds at most 1 MiB"
    );
}

#[test]
fn a_secret_made_of_values_is_sealed_like_one_from_a_file() {
    let values = BTreeMap::from([("token".to_owned(), SecretBytes::new(b"t0ken".to_vec()))]);
    let mut secret = PlainSecret::new("api".to_owned(), None, values);
    secret.set_namespace("shop");
    secret.set_type("example.com/token");
    let sealed = seal(&secret, secret.scope(), &public_key(), &mut OsRng).unwrap();
    assert_eq!(open_all(&sealed, &THROW_AWAY), BTreeMap::from([("token".to_owned(), b"t0ken".to_vec())]));
    let template = json!({"metadata": {"name": "api", "namespace": "shop"}, "type": "example.com/token"});
    assert_eq!(sealed["spec"]["template"], template);
}

#[test]
fn a_plaintext_secret_does_not_show_its_values() {
    let secret = PlainSecret::from_manifest(json_fixture("secret.json")).unwrap();
    let shown = format!("{secret:?}");
    for value in ["admin", "YWRtaW4", "correct horse", "b2xk", "leaked", "bGVha2Vk"] {
        assert!(!shown.contains(value), "{value}");
    }
    assert!(shown.contains("SecretBytes([REDACTED; 5 bytes])"));
}

#[test]
fn the_annotations_of_the_input_state_its_scope() {
    let mut input = json_fixture("secret.json");
    input["metadata"]["annotations"]["sealedsecrets.bitnami.com/namespace-wide"] = json!("true");
    let secret = PlainSecret::from_manifest(input).unwrap();
    assert_eq!(secret.scope(), Scope::NamespaceWide);

    let narrowed = seal(&secret, Scope::Strict, &public_key(), &mut OsRng).unwrap();
    assert!(!narrowed.to_string().contains("namespace-wide"));
}

#[test]
fn a_namespace_is_needed_unless_the_scope_is_cluster_wide() {
    let mut input = json_fixture("secret.json");
    input["metadata"]["namespace"] = json!("");
    let secret = PlainSecret::from_manifest(input).unwrap();
    for scope in [Scope::Strict, Scope::NamespaceWide] {
        let error = seal(&secret, scope, &public_key(), &mut OsRng).unwrap_err();
        let expected =
            format!("the Secret db has no namespace, and with scope {scope} the namespace is part of what is sealed");
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().unwrap().contains("--namespace"));
    }
    let sealed = seal(&secret, Scope::ClusterWide, &public_key(), &mut OsRng).unwrap();
    assert_eq!(sealed["metadata"].get("namespace"), None);
}

fn decode(text: &str) -> Vec<u8> {
    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap()
}

fn encode(bytes: &[u8]) -> String {
    base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes)
}
