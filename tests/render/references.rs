//! References into stores: what becomes a handle, what is no clear text, and what is refused where it stands. Nobody is asked for anything.

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use waxwing::render::{PlaintextPolicy, judge};

use crate::repository::{kustomize, readable, repository, told};

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
