//! Reads the examples of `docs/formats.md`, computes each from the formula that stands beside it, and asks the crates for
//! the same.
//!
//! An example is a fenced block whose info string has a name after the language. Each name is read by one test, and
//! `every_example_is_read_by_a_test` holds the page to that.

#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "a test stops where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aes_gcm::aead::consts::{U12, U32};
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use waxwing::api::{Inventory, InventorySpec};
use waxwing_formats::go_template::{Allowance, GoTemplate, REFUSED, Values, signatures};
use waxwing_formats::reference::{Content, PathPattern, Reference, SecretPath};
use waxwing_formats::sealed_secret::{Certificate, Scope, SealedItem, SealedSecretManifest};
use waxwing_formats::sops::{Document, Store};
use waxwing_formats::{DataKey, Handle, HandleInput, KeyPath, RequestId, Salt, SecretBytes};
use waxwing_keys::{Keyring, SealingKey};
use waxwing_plan::inventory::Shard;
use waxwing_plan::{
    Digest, DigestContext, GroupKind, LiveMark, Manifest, ObjectId, OwnerMark, SecretMark, desired_digest,
};

const NAMES: [&str; 17] = [
    "desired-digest",
    "digest",
    "field-mark",
    "fingerprint",
    "handle-of-ciphertext",
    "handle-of-plaintext",
    "inventory",
    "labels",
    "owner-label",
    "reference-parts",
    "reference-patterns",
    "reference-pieces",
    "sealed-item",
    "sops-code",
    "sops-file",
    "sops-tokens",
    "templates",
];

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The examples of the page by name.
fn examples() -> BTreeMap<String, String> {
    let page = file("docs/formats.md");
    let blocks = page.split("\n```").skip(1).step_by(2);
    let named = blocks.filter_map(|block| {
        let (info, text) = block.split_once('\n')?;
        Some((info.split_once(' ')?.1.to_owned(), format!("{text}\n")))
    });
    named.collect()
}

fn example(name: &str) -> String {
    examples().remove(name).unwrap_or_else(|| panic!("docs/formats.md has no example {name}"))
}

/// The lines of an example: a word, and what follows it.
fn fields(name: &str) -> BTreeMap<String, String> {
    let example = example(name);
    let line = |line: &str| line.split_once(' ').map(|(key, value)| (key.to_owned(), value.trim().to_owned()));
    example.lines().filter_map(line).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

#[test]
fn every_example_is_read_by_a_test() {
    assert_eq!(examples().keys().map(String::as_str).collect::<Vec<_>>(), NAMES);
}

/// `part(domain) || part(document) || part(path) || part(token)`.
fn hashed(fields: &BTreeMap<String, String>) -> Vec<u8> {
    let document = fields["document"].parse::<u64>().unwrap().to_be_bytes();
    let parts = [fields["domain"].as_bytes(), &document, fields["path"].as_bytes(), fields["token"].as_bytes()];
    let part = |part: &[u8]| [&(part.len() as u64).to_be_bytes(), part].concat();
    parts.into_iter().flat_map(part).collect()
}

fn key_path(pointer: &str) -> KeyPath {
    pointer.split('/').skip(1).fold(KeyPath::root(), |path, key| path.key(key))
}

#[test]
fn handles_are_made_as_the_page_says() {
    let fields = fields("handle-of-ciphertext");
    assert_eq!(fields["handle"], format!("waxwinghandle0{}", hex::encode(Sha256::digest(hashed(&fields)))));
    let path = key_path(&fields["path"]);
    let token = fields["token"].as_bytes();
    let made = Handle::of_ciphertext(HandleInput { domain: &fields["domain"], document: 0, path: &path, token });
    assert_eq!(fields["handle"], made.as_str());
}

#[test]
fn handles_of_plaintext_are_made_as_the_page_says() {
    let fields = fields("handle-of-plaintext");
    let salt: [u8; 32] = unhex(&fields["salt"]).try_into().unwrap();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salt), &hashed(&fields));
    assert_eq!(fields["handle"], format!("waxwinghandle0{}", hex::encode(tag.as_ref())));
    let (path, token) = (key_path(&fields["path"]), fields["token"].as_bytes());
    let input = HandleInput { domain: &fields["domain"], document: 0, path: &path, token };
    assert_eq!(fields["handle"], Handle::of_plaintext(input, &Salt::new(salt)).as_str());
}

/// One token of the example, with what the page says of it.
struct Token {
    parts: BTreeMap<String, String>,
    place: String,
    kind: String,
    value: String,
}

/// The key and the tokens of the example file.
fn tokens() -> (Vec<u8>, Vec<Token>) {
    let (sealed, table) = (example("sops-file"), example("sops-tokens"));
    let mut lines = table.lines();
    let key = unhex(lines.next().unwrap().trim_start_matches("key").trim());
    let texts = sealed.split("ENC[AES256_GCM,").skip(1).map(|rest| rest.split(']').next().unwrap());
    let token = |(text, line): (&str, &str)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let parts = text.split(',').map(|part| part.split_once(':').unwrap());
        Token {
            parts: parts.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            place: words[0].to_owned(),
            kind: words[1].to_owned(),
            value: words[2].to_owned(),
        }
    };
    let tokens: Vec<Token> = texts.zip(lines).map(token).collect();
    (key, tokens)
}

#[test]
fn sops_tokens_open_as_the_page_says() {
    let (key, tokens) = tokens();
    assert_eq!(tokens.len(), 5);
    let cipher = AesGcm::<Aes256, U32>::new_from_slice(&key).unwrap();
    for token in tokens {
        let part = |name: &str| STANDARD.decode(&token.parts[name]).unwrap();
        let nonce = Nonce::<U32>::try_from(part("iv").as_slice()).unwrap();
        let tag: [u8; 16] = part("tag").try_into().unwrap();
        let mut text = part("data");
        let place = token.place.as_bytes();
        cipher.decrypt_inout_detached(&nonce, place, text.as_mut_slice().into(), &tag.into()).unwrap();
        assert_eq!((token.parts["type"].as_str(), text.as_slice()), (token.kind.as_str(), token.value.as_bytes()));
    }
}

#[test]
fn the_code_is_the_hash_that_the_page_says_and_the_file_opens_with_it() {
    let fields = fields("sops-code");
    assert_eq!(fields["code"], hex::encode_upper(Sha512::digest(&fields["hashed"])));
    let (key, tokens) = tokens();
    assert_eq!(fields["code"], tokens.last().unwrap().value);

    let document = Document::parse(example("sops-file").as_bytes(), Store::Yaml).unwrap();
    let mut unlock = document.unlock();
    let request = unlock.next().unwrap();
    unlock.answer(request.id, Ok(DataKey::new(SecretBytes::new(key))));
    let opened = unlock.finish().unwrap();
    let texts = opened.values().map(|(_, value)| String::from_utf8_lossy(value.text.expose_secret()).into_owned());
    assert_eq!(texts.collect::<Vec<_>>(), ["shop", "5432", "5433", "true"]);
}

#[test]
fn sealed_items_open_as_the_page_says() {
    let fields = fields("sealed-item");
    let manifest: Value = serde_json::from_str(&file(&fields["file"])).unwrap();
    let sealed = SealedSecretManifest::parse(&manifest).unwrap();
    let text = &sealed.items()[&fields["item"]];
    let blob = STANDARD.decode(text).unwrap();
    assert_eq!(
        (hex::encode(&blob[..2]), hex::encode(&blob[2 + 256..])),
        (fields["length"].clone(), fields["sealed"].clone())
    );
    assert_eq!(sealed.label(), fields["label"].as_bytes());

    let cipher = AesGcm::<Aes256, U12>::new_from_slice(&unhex(&fields["session"])).unwrap();
    let (value, tag) = blob[2 + 256..].split_last_chunk::<16>().unwrap();
    let mut value = value.to_vec();
    cipher.decrypt_inout_detached(&Nonce::default(), b"", value.as_mut_slice().into(), tag.into()).unwrap();
    assert_eq!(value, fields["value"].as_bytes());

    let item = SealedItem::parse(text).unwrap();
    let session = keyring(&fields["key"]).open(&item.request(RequestId(0), sealed.label()).wrapped, None).unwrap().0;
    assert_eq!(hex::encode(session.expose_secret()), fields["session"]);
    assert_eq!(item.open(&session).unwrap().expose_secret(), fields["value"].as_bytes());
}

fn keyring(key: &str) -> Keyring {
    let pem = SecretBytes::new(file(key).into_bytes());
    Keyring::new(vec![SealingKey::from_pem(&pem, file(&key.replace(".key", ".crt")).as_bytes()).unwrap()])
}

#[test]
fn labels_are_what_the_page_says() {
    for line in example("labels").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let scope: Scope = words[0].parse().unwrap();
        let expected = words.get(3).copied().unwrap_or_default();
        assert_eq!(scope.label(words[1], words[2]), expected.as_bytes(), "{line}");
    }
}

#[test]
fn fingerprints_are_what_the_page_says() {
    let fields = fields("fingerprint");
    let certificate = Certificate::from_pem(file(&fields["certificate"]).as_bytes()).unwrap();
    assert_eq!(certificate.public_key.fingerprint().as_str(), fields["fingerprint"]);
}

#[test]
fn references_are_taken_apart_as_the_page_says() {
    for line in example("reference-parts").lines() {
        let (text, expected) = line.split_once(" => ").unwrap();
        let parts = match text.parse::<Reference>() {
            Ok(Reference { kind, store, path, pointer, .. }) => {
                let (path, keys) = (json!(path.segments()), json!(pointer.keys()));
                format!("{} {} {path} {keys}", kind.scheme(), store.as_str())
            }
            Err(error) => error.name().to_owned(),
        };
        assert_eq!(parts, expected, "{text}");
    }
    let example = example("reference-pieces");
    let mut lines = example.lines().map(|line| line.split_at(7)).map(|(kind, text)| (kind.trim(), text.to_owned()));
    let (_, text) = lines.next().unwrap();
    let pieces = Reference::find(&text).into_iter().map(|piece| match piece.content {
        Content::Text => ("text", piece.raw.to_owned()),
        Content::Reference(reference) => ("ref", reference.to_string()),
        other => panic!("{other:?}"),
    });
    assert_eq!(pieces.collect::<Vec<_>>(), lines.collect::<Vec<_>>());
}

#[test]
fn patterns_of_paths_allow_what_the_page_says() {
    for line in example("reference-patterns").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let (pattern, path) = (words[0].parse::<PathPattern>().unwrap(), words[2].parse::<SecretPath>().unwrap());
        assert_eq!(pattern.allows(&path, "shop"), words[1] == "allows", "{line}");
    }
}

fn sha256(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

#[test]
fn digests_are_taken_over_the_text_that_the_page_shows() {
    let digest = fields("digest");
    assert_eq!(digest["digest"], sha256(&digest["text"]));
    assert_eq!(digest["digest"], Digest::of(&serde_json::from_str(&digest["text"]).unwrap()).to_string());

    let desired = fields("desired-digest");
    assert_eq!(desired["digest"], sha256(&desired["text"]));
    let covered: Value = serde_json::from_str(&desired["text"]).unwrap();
    let manifest = Manifest {
        id: ObjectId::namespaced(GroupKind::new("", "ConfigMap"), "shop", "web"),
        version: "v1".to_owned(),
        body: covered["manifest"].clone(),
        secrets: BTreeMap::<String, Vec<SecretMark>>::new(),
        location: None,
    };
    let context = DigestContext {
        secrets_spec: covered["secrets"].clone(),
        cluster: "",
        binding_rules_version: waxwing::render::bindings::VERSION,
    };
    assert_eq!(desired["digest"], desired_digest(&manifest, None, &context).to_string());
}

#[test]
fn marks_are_what_the_page_says() {
    let owner = fields("owner-label");
    assert_eq!(owner["label"], sha256(&owner["sync"])[..63]);
    assert_eq!(owner["label"], OwnerMark::parse(&owner["sync"]).unwrap().label());

    let mark = fields("field-mark");
    assert_eq!(mark["digest"], sha256(&mark["fields"]));
    let fields: Value = serde_json::from_str(&mark["fields"]).unwrap();
    let entry =
        json!({"manager": "waxwing", "operation": "Apply", "time": "2026-01-02T03:04:05Z", "fieldsV1": fields[0]});
    let live = json!({"metadata": {"uid": "u", "resourceVersion": "1", "managedFields": [entry]}});
    assert_eq!(LiveMark::from_metadata(&live).unwrap().field_mark.unwrap().digest.to_string(), mark["digest"]);
}

#[test]
fn the_inventory_reads_and_writes_back_as_the_page_shows_it() {
    let shown: Value = serde_saphyr::from_str(&example("inventory")).unwrap();
    let inventory: Inventory = serde_json::from_value(shown.clone()).unwrap();
    let sync = inventory.spec.sync.clone();
    let again = InventorySpec::new(sync, Shard::from(inventory.spec));
    assert_eq!(serde_json::to_value(again).unwrap(), shown["spec"]);
}

#[test]
fn templates_make_what_the_page_says() {
    let example = example("templates");
    let (values, templates) = example.split_once("\n\n").unwrap();
    let values = || values.split_whitespace().map(|value| value.split_once('=').unwrap());
    for line in templates.lines() {
        let (text, made) = line.split_once("  =>  ").unwrap();
        let template = GoTemplate::parse("t", text.trim_end());
        let values = Values::new(values().map(|(name, value)| (name, value.as_bytes())));
        let rendered = template.and_then(|template| template.render(&values, &mut Allowance::default()));
        let rendered = rendered.map(|text| String::from_utf8(text.expose_secret().to_vec()).unwrap());
        assert_eq!(rendered.as_deref().unwrap_or("refused"), made, "{text}");
    }
}

#[test]
fn every_function_of_templates_is_in_the_page_and_so_is_why_one_is_refused() {
    let page = file("docs/from-sealed-secrets.md");
    let (_, templates) = page.split_once("\n## Templates\n").unwrap();
    let (works, refused) = templates.split_once("Refused by name").unwrap();
    let named = |text: &str| -> Vec<String> {
        let cells =
            text.lines().filter(|line| line.starts_with("| ")).flat_map(|line| line.split('`').skip(1).step_by(2));
        let mut names: Vec<String> = cells.map(str::to_owned).collect();
        names.sort();
        names
    };
    let mut known: Vec<String> = signatures().map(|function| function.name.to_owned()).collect();
    known.sort();
    assert_eq!(named(works), known);
    for (name, reason) in REFUSED {
        let row = refused.lines().find(|line| line.contains(&format!("`{name}`")));
        assert!(row.is_some_and(|row| row.ends_with(&format!("| {reason} |"))), "{name}");
    }
}
