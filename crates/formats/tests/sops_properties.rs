//! What holds for every input: nothing panics, and what was sealed opens to what it was.

#![allow(clippy::disallowed_methods, clippy::panic, clippy::unwrap_used, reason = "a test reads fixtures and may fail")]
#![allow(clippy::disallowed_types, reason = "a test draws random numbers")]
mod support;

use aes_gcm::aead::consts::U32;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{AesGcm, Nonce, aes::Aes256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use proptest::prelude::*;
use rand_core::OsRng;
use sha2::{Digest, Sha512};
use support::{Keys, cases, file, usual_terms};
use waxwing_formats::sops::{Document, Plain, Sealed, Store, Vectors, is_sealed};
use waxwing_formats::{DataKey, KeyPath, SecretBytes, WrappedKey, json, yaml};

const KEY: [u8; 32] = [7; 32];
const TIME: &str = "2026-01-01T00:00:00Z";

/// Seals one text as sops does, with a vector that a test may choose.
fn token(text: &str, place: &str, vector: [u8; 32]) -> String {
    let cipher = AesGcm::<Aes256, U32>::new_from_slice(&KEY).unwrap();
    let mut data = text.as_bytes().to_vec();
    let nonce = Nonce::<U32>::from(vector);
    let tag = cipher.encrypt_inout_detached(&nonce, place.as_bytes(), data.as_mut_slice().into()).unwrap();
    let [data, iv, tag] = [data.as_slice(), &vector, tag.as_slice()].map(|part| STANDARD.encode(part));
    format!("ENC[AES256_GCM,data:{data},iv:{iv},tag:{tag},type:str]")
}

/// Seals a flat mapping of texts that aren't empty.
fn seal(values: &[(String, String)], vector: [u8; 32]) -> Vec<u8> {
    let mut map = serde_json::Map::new();
    let mut hash = Sha512::new();
    for (key, value) in values {
        hash.update(value);
        map.insert(key.clone(), token(value, &format!("{key}:"), vector).into());
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02X}")).collect();
    let sops = serde_json::json!({
        "age": [{"recipient": "age1test", "enc": "x"}], "lastmodified": TIME, "mac": token(&hex, TIME, vector),
        "encrypted_regex": "", "version": "3.13.3",
    });
    map.insert("sops".to_owned(), sops);
    serde_json::to_vec(&map).unwrap()
}

fn distinct() -> impl Strategy<Value = Vec<(String, String)>> {
    let pairs = prop::collection::btree_map("[a-zé:. ]{0,6}", "(?s).{1,20}", 1..6);
    pairs.prop_map(|map| map.into_iter().filter(|(key, _)| key != "sops").collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_sealed_opens_to_what_it_was(values in distinct(), vector: [u8; 32]) {
        let document = Document::<Sealed>::parse(&seal(&values, vector), Store::Yaml).unwrap();
        let mut unlock = document.unlock();
        let request = unlock.next().unwrap();
        unlock.answer(request.id, Ok(DataKey::new(SecretBytes::new(KEY.to_vec()))));
        let opened = unlock.finish().unwrap();
        for (key, value) in &values {
            let found = opened.value(0, &KeyPath::root().key(key.as_str())).unwrap();
            prop_assert_eq!(found.text.expose_secret(), value.as_bytes());
        }
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_every_way(&bytes);
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "[-:#\\[\\]{},&*!|>'\"%@`~<\n\t ?a0.\u{e9}\u{2028}]{0,80}") {
        read_every_way(text.as_bytes());
    }

    #[test]
    fn no_mutation_of_a_sealed_file_makes_opening_panic(
        case in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), length in 0_usize..20, by in "[ -~\n]{0,6}",
    ) {
        let cases = cases("good");
        let (path, mut bytes) = file(&cases[case.index(cases.len())], "sealed");
        let from = at.index(bytes.len());
        let to = (from + length).min(bytes.len());
        bytes.splice(from..to, by.into_bytes());
        if let Ok(document) = Document::<Sealed>::parse(&bytes, Store::from_path(&path)) {
            let keys = Keys::named(&["one", "two"]);
            if let Ok(opened) = keys.open(document) {
                let _ = opened.whole();
            }
        }
    }
}

fn read_every_way(bytes: &[u8]) {
    let _ = (yaml::manifests(bytes), json::manifests(bytes));
    for store in [Store::Yaml, Store::Json, Store::Dotenv, Store::Ini, Store::Binary] {
        let _ = is_sealed(bytes, store);
        if let Ok(document) = Document::<Sealed>::parse(bytes, store) {
            let _ = document.skeletons(&mut |_, _, _| String::new());
        }
        if let Ok(plain) = Plain::parse(bytes, store) {
            seal_every_way(plain);
        }
    }
}

/// Seals a file in its own format, and writes it in the others. What is sealed was opened before it is returned.
fn seal_every_way(plain: Plain) {
    let wrapped = WrappedKey::Age { recipient: "age1test".to_owned(), enc: "x".to_owned() };
    let (key, store) = (DataKey::new(SecretBytes::new(KEY.to_vec())), plain.store());
    let Ok(sealed) = plain.seal(&key, usual_terms(wrapped), Vectors::default(), Timestamp::UNIX_EPOCH, &mut OsRng)
    else {
        return;
    };
    let text = sealed.text(None).unwrap();
    let mut unlock = Document::<Sealed>::parse(text.as_bytes(), store).unwrap().unlock();
    let request = unlock.next().unwrap();
    unlock.answer(request.id, Ok(key));
    let opened = unlock.finish().unwrap();
    for store in [Store::Yaml, Store::Json, Store::Dotenv, Store::Ini, Store::Binary] {
        let _ = opened.whole_as(store, Some(3));
    }
}
