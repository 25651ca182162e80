//! References into stores: what becomes a handle, what is no clear text, and what is refused where it stands. Nobody is asked for anything.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waxwing::cluster::ServiceAccount;
use waxwing::render::{PlaintextPolicy, Rendered, judge};
use waxwing::unsealing::{self, Answered, Begun, OpenError, ServiceAnswers, Stores, SyncKeys};
use waxwing_formats::SecretBytes;
use waxwing_formats::reference::{ForeignStores, Form, Provider, StoreName, StoredSecret};
use waxwing_keys::Keyring;
use waxwing_plan::Manifest;

use crate::repository::{kustomize, readable, repository, told};

/// Opens a rendered folder with what a store answered for all of its references.
fn opened(rendered: &Rendered, answer: &str) -> Result<Vec<Vec<u8>>, Vec<OpenError>> {
    let sent: Vec<&Manifest> = rendered.manifests().iter().collect();
    let ids = sent.iter().map(|manifest| &manifest.id);
    let answers = unsealing::secrets_needed(rendered, ids).into_iter().map(|stored| {
        let secret = StoredSecret::new(SecretBytes::new(answer.as_bytes().to_vec()), &[]);
        (stored, Ok(Answered { secret, version: String::new(), backend: "vault".to_owned() }))
    });
    let (ring, verified) = (Keyring::new(Vec::new()), BTreeSet::new());
    let keys = SyncKeys {
        identities: Vec::new(),
        services: ServiceAnswers::new(),
        stores: Stores::new(answers.collect(), Duration::ZERO),
        ring: &ring,
        account: ServiceAccount::new("team", "deployer").expect("a ServiceAccount"),
        may_write_secrets_in: BTreeSet::new(),
    };
    let opened = unsealing::open(rendered, &sent, &[], &keys, &verified, &Begun::default())?;
    Ok(opened.requests.iter().map(|request| request.body().expect("a body").to_vec()).collect())
}

#[test]
fn what_a_store_gives_under_the_name_of_a_sealed_blob_is_a_value_and_no_secret_of_its_own() -> Outcome {
    let text = format!("{SECRET}stringData: {{'/spec/data': '{REFERENCE}', b: 'ref+store://vault/other#/password'}}\n");
    let rendered = repository(&[("s.yaml", &text)])?.render("").map_err(|errors| told(&errors))?;
    let inner = r#"{"password":"{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"data\":{}}"}"#;
    let bodies = opened(&rendered, inner).map_err(|errors| errors[0].to_string())?;
    let body: serde_json::Value = serde_json::from_slice(&bodies[0])?;
    assert!(body.pointer("/metadata/labels").is_none(), "{body}");
    let data = body["data"].as_object().expect("data");
    assert_eq!(data.keys().collect::<Vec<_>>(), ["/spec/data", "b"]);
    assert!(STANDARD.decode(data["/spec/data"].as_str().expect("a text"))?.starts_with(b"{\"metadata\""));
    Ok(())
}

#[test]
fn references_to_more_than_a_sync_may_hold_are_refused_with_what_to_do() -> Outcome {
    let all: Vec<String> = (0..70).map(|key| format!("k{key}: 'ref+store://vault/big'")).collect();
    let text = format!("{SECRET}stringData: {{{}}}\n", all.join(", "));
    let rendered = repository(&[("s.yaml", &text)])?.render("").map_err(|errors| told(&errors))?;
    let errors = opened(&rendered, &format!(r#"{{"a":"{}"}}"#, "x".repeat(1 << 20))).expect_err("it is too much");
    let error = errors.first().expect("an error");
    let fact = error.to_string();
    assert!(fact.contains("more than 64 MiB"), "{fact}");
    assert!(error.hint().contains("refer to single values"), "{}", error.hint());
    Ok(())
}

type Outcome = Result<(), Box<dyn Error>>;

const REFERENCE: &str = "ref+store://vault/secret/data/shop/db#/password";
const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n";
const CONFIG: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

#[test]
fn references_become_handles_and_what_stands_beside_them_is_no_clear_text_to_report() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let encoded = STANDARD.encode(format!("user=x:{REFERENCE}"));
    let secret = format!(
        "{SECRET}data: {{encoded: {encoded}}}\nstringData: {{whole: {REFERENCE}, url: 'postgres://shop:{REFERENCE}+@db', of-vals: 'ref+vault://kv/db#/key'}}\n"
    );
    let config = format!(
        "{CONFIG}data: {{value: {REFERENCE}, of-vals: 'ref+vault://kv/db#/key', text: 'a ref+ and <path:x>'}}\n"
    );
    let patched = "{op: add, path: /data/patched, value: ENCODED}".replace("ENCODED", &encoded);
    let built = format!(
        "resources: [s.yaml]\ngeneratorOptions: {{disableNameSuffixHash: true}}\nsecretGenerator:\n- {{name: made, envs: [a.env], literals: ['key={REFERENCE}'], files: [f.conf]}}\n- {{name: other, literals: ['key={REFERENCE}']}}\npatches:\n- {{target: {{name: other}}, patch: '[{patched}]'}}\n"
    );
    let lines = format!("# a comment\nuser = shop\npass = {REFERENCE}\nend\n");
    let env = format!("A={REFERENCE}\nB={REFERENCE}+-suffix\n");
    let other = format!("{}stringData: {{key: {REFERENCE}}}\n", SECRET.replace("name: s", "name: of-built"));
    let files = [
        ("plain/s.yaml", secret.as_str()),
        ("plain/c.yaml", &config),
        ("plain/built/kustomization.yaml", &built),
        ("plain/built/s.yaml", &other),
        ("plain/built/a.env", &env),
        ("plain/built/f.conf", &lines),
    ];
    let rendered = repository(&files)?.render_with("plain", kustomize).map_err(|errors| told(&errors))?;
    let all = format!("{:?}", rendered.manifests());
    assert!(!all.contains("ref+store") && !all.contains("cmVmK3N0b3Jl"), "a reference is left: {all}");
    insta::assert_snapshot!(readable(&rendered));
    let denied = judge(rendered.plaintext(), PlaintextPolicy::Deny).expect_err("what vals reads is clear text here");
    assert_eq!(denied.len(), 1, "{}", told(&denied));
    Ok(())
}

#[test]
fn kustomize_sees_nothing_that_stands_beside_a_reference_in_a_secret() -> Outcome {
    let built = format!(
        "resources: [s.yaml]\nsecretGenerator:\n- {{name: made, files: [f.conf], literals: ['a=hunter2 {REFERENCE}']}}\n"
    );
    let secret = format!("{SECRET}stringData: {{url: 'hunter2:{REFERENCE}+@hunter2'}}\n");
    let conf = format!("pass = hunter2\nkey = {REFERENCE}\n");
    let repository = repository(&[("kustomization.yaml", &built), ("s.yaml", &secret), ("f.conf", &conf)])?;
    let (program, seen) = (repository.git.tree().join("program"), repository.git.tree().join("seen"));
    fs::write(&program, format!("#!/bin/sh\n/bin/cat $(/usr/bin/find . -type f) > {}\n", seen.display()))?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o700))?;
    drop(repository.render_with("", program));
    let seen = fs::read_to_string(seen)?;
    assert!(seen.contains("waxwinghandle0") && !seen.contains("hunter2") && !seen.contains("ref+"), "{seen}");
    Ok(())
}

#[test]
fn what_is_no_reference_or_stands_where_none_can_is_refused_with_its_place_and_a_remedy() -> Outcome {
    let expand = |text: &str| format!("annotations: {{waxwing.dev/expand: '{text}'}}}}");
    let mut all = String::new();
    for (name, text) in [
        ("a typing error in a Secret", format!("{SECRET}stringData: {{a: 'ref+stores://vault/a'}}\n")),
        ("not ended in a ConfigMap", format!("{CONFIG}data: {{a: '{REFERENCE} and hunter2'}}\n")),
        ("in an annotation", CONFIG.replace('}', ", annotations: {a: 'ref+store://vault/a/..'}}")),
        (
            "base64 of a mistake",
            format!("{SECRET}data: {{a: {}}}\n", STANDARD.encode("hunter2 ref+store://vault/a//b")),
        ),
        ("under data as it is", format!("{SECRET}data: {{a: {REFERENCE}}}\n")),
        ("base64 under stringData", format!("{SECRET}stringData: {{a: {}}}\n", STANDARD.encode(REFERENCE))),
        ("expanded into a ConfigMap", CONFIG.replace('}', &format!(", {}", expand(REFERENCE)))),
        ("expanded from no reference", SECRET.replace('}', &format!(", {}", expand("hunter2")))),
        ("expanded from what vals reads", SECRET.replace('}', &format!(", {}", expand("ref+vault://kv/db")))),
        ("expanded from two", SECRET.replace('}', &format!(", {}", expand(&format!("{REFERENCE}+{REFERENCE}"))))),
        (
            "of a version that the server takes for v1",
            SECRET.replace("apiVersion: v1", "apiVersion: /v1") + "stringData: {a: hunter2}\n",
        ),
        ("expanded from a SealedSecret", sealed(&format!("annotations: {{waxwing.dev/expand: '{REFERENCE}'}}"))),
        ("beside what is sealed", sealed(&format!("labels: {{a: '{REFERENCE}'}}"))),
        ("malformed beside what is sealed", sealed("annotations: {a: 'hunter2 ref+store://v/..'}")),
        ("expanded and decoded", SECRET.replace('}', &format!(", {}", expand("ref+store://v/a?decode=base64")))),
    ] {
        // A text under stringData that is base64 of anything is a value like any other.
        match repository(&[("a.yaml", &text)])?.render("") {
            Err(errors) => all.push_str(&format!("# {name}\n{}\n", told(&errors))),
            Ok(rendered) => {
                all.push_str(&format!("# {name}\nrendered, {} in clear text\n", rendered.plaintext().len()))
            }
        }
    }
    assert!(!all.contains("hunter2"), "{all}");
    insta::assert_snapshot!(all);
    Ok(())
}

fn sealed(metadata: &str) -> String {
    format!(
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{name: s, {metadata}}}\nspec: {{encryptedData: {{a: AgBy}}}}\n"
    )
}

/// The stores that stand for those of other tools.
fn foreign() -> ForeignStores {
    let name = |name: &str| name.parse::<StoreName>().expect("a name");
    ForeignStores::default()
        .with(Form::ArgocdVaultPlugin, None, name("avp"))
        .with(Form::Vals(Provider::Vault), None, name("vault"))
        .with_versioned_engines(["secret".parse().expect("a path")])
}

#[test]
fn references_of_other_tools_become_handles_where_the_sync_says_so_and_are_text_elsewhere() -> Outcome {
    let Some(kustomize) = kustomize() else { return Ok(()) };
    let encoded = STANDARD.encode("<path:secret/data/db#key>");
    let secret = format!(
        "{SECRET}data:\n  encoded: {encoded}\n  piped: '<path:secret/data/db#key#2 | base64encode>'\nstringData:\n  avp: <path:secret/data/db#key>\n  url: 'postgres://<path:secret/data/db#user>:<path:secret/data/db#key | base64decode>@db'\n  vals: 'secretref+vault://secret/db#/key'\n  later: 'a ref+vault://kv/db/key'\n"
    );
    let built = "resources: [s.yaml]\ngeneratorOptions: {disableNameSuffixHash: true}\nsecretGenerator:\n- {name: made, literals: ['key=<path:secret/data/db#key>', 'vals=ref+vault://secret/db#/key']}\n";
    let config = format!("{CONFIG}data: {{avp: '<path:secret/data/db#key>', other: 'ref+awssecrets://db#/key'}}\n");
    let files = [("p/kustomization.yaml", built), ("p/s.yaml", &secret), ("q/c.yaml", &config), ("q/s.yaml", &secret)];
    let mut repository = repository(&files)?;
    let text = repository.render_with("p", kustomize.clone()).map_err(|errors| told(&errors))?;
    assert_eq!((text.references().len(), text.plaintext().len()), (0, 8), "{:?}", text.plaintext());
    let before = text.closure_key().clone();
    repository.foreign = foreign();
    let rendered = repository.render_with("p", kustomize.clone()).map_err(|errors| told(&errors))?;
    assert_ne!(before, *rendered.closure_key());
    assert!(rendered.plaintext().is_empty(), "{:?}", rendered.plaintext());
    let plain = repository.render("q").map_err(|errors| told(&errors))?;
    insta::assert_snapshot!(format!("{}{}", readable(&rendered), readable(&plain)));
    let bodies = opened(&plain, r#"{"user": "shop", "key": "c2VjcmV0"}"#).map_err(|errors| errors[0].to_string());
    assert!(bodies.expect_err("a ConfigMap").contains("ConfigMap"));
    let bodies = opened(&rendered, r#"{"user": "shop", "key": "c2VjcmV0"}"#).map_err(|errors| errors[0].to_string())?;
    let body: serde_json::Value = serde_json::from_slice(bodies.last().expect("a body"))?;
    for (key, wanted) in [("piped", "c2VjcmV0"), ("encoded", "c2VjcmV0"), ("url", "postgres://shop:secret@db")] {
        assert_eq!(body["data"][key], STANDARD.encode(wanted), "{key}");
    }
    Ok(())
}

#[test]
fn what_a_reference_of_another_tool_says_beyond_a_secret_and_its_value_is_refused_by_name() -> Outcome {
    let mut all = String::new();
    for text in [
        "stringData: {a: 'ref+vault://secret/db?address=https://hunter2.example:8200#/key'}",
        "stringData: {a: 'ref+vault://secret/db?token_env=HUNTER2#/key'}",
        "stringData: {a: 'hunter2 <path:secret/data/db#key | jsonPath {.hunter2}>'}",
        "stringData: {a: '<path:secret/data/db#key | base64encode>'}",
        "stringData: {a: '<path:secret/data/../db#key>'}",
        "data: {a: '<path:secret/data/db#key>'}",
        "data: {a: 'hunter2<path:secret/data/db#key | base64encode>'}",
    ] {
        let mut repository = repository(&[("a.yaml", &format!("{SECRET}{text}\n"))])?;
        repository.foreign = foreign();
        let errors = repository.render("").err().ok_or(text)?;
        all.push_str(&told(&errors));
        all.push('\n');
    }
    assert!(!all.to_lowercase().contains("hunter2"), "{all}");
    insta::assert_snapshot!(all);
    Ok(())
}
