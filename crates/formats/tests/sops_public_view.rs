//! What can be seen of a sealed file without any key.

#![allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used, reason = "a test reads fixtures and may fail")]
use waxwing_formats::sops::{self, Document, LeafState, Sealed, Store};

const MANIFEST: &str = r#"apiVersion: v1
kind: Secret
metadata:
    name: shop
    created: 2020-01-01
    weight: 1.0
data:
    password: ENC[AES256_GCM,data:AAAA,iv:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,tag:AAAAAAAAAAAAAAAAAAAAAA==,type:str]
    empty: ""
sops:
    age:
        - recipient: age1example
          enc: x
    lastmodified: "2026-01-01T00:00:00Z"
    encrypted_regex: ^data$
    version: 3.13.3
"#;

#[test]
fn a_sealed_manifest_shows_its_structure_and_recipients() {
    let document = Document::<Sealed>::parse(MANIFEST.as_bytes(), Store::Yaml).unwrap();
    assert_eq!(document.documents(), 1);
    assert_eq!(document.recipients(), ["age age1example"]);
    let sealed: Vec<String> = document
        .leaves()
        .filter(|leaf| matches!(leaf.state, LeafState::Sealed { .. }))
        .map(|leaf| leaf.path.to_string())
        .collect();
    assert_eq!(sealed, ["/data/password"]);
}

#[test]
fn a_skeleton_is_what_kubectl_would_see_with_stand_ins_for_sealed_values() {
    let document = Document::<Sealed>::parse(MANIFEST.as_bytes(), Store::Yaml).unwrap();
    let skeletons = document.skeletons(&mut |document, path, _| format!("{document}{path}")).unwrap();
    assert_eq!(
        serde_json::to_string(&skeletons).unwrap(),
        concat!(
            r#"[{"apiVersion":"v1","kind":"Secret","metadata":{"name":"shop","created":"2020-01-01T00:00:00Z","#,
            r#""weight":1},"data":{"password":"0/data/password","empty":""}}]"#
        )
    );
}

#[test]
fn only_files_with_sops_metadata_are_sealed() {
    assert!(sops::is_sealed(MANIFEST.as_bytes(), Store::Yaml));
    assert!(!sops::is_sealed(b"kind: ConfigMap\ndata: {sops: yes}\n", Store::Yaml));
    assert!(!sops::is_sealed(b"sops: {image: x}\n", Store::Yaml));
    assert!(!sops::is_sealed(b"A=1\n", Store::Dotenv));
    assert!(sops::is_sealed(b"A=1\nsops_mac=x\n", Store::Dotenv));
}
