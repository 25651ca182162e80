//! The private keys of --recovery-private-key: PEM files, and backups of the Secrets in which the controller has them.

use std::path::{Path, PathBuf};

use serde_json::Value;
use waxwing_formats::SecretBytes;
use waxwing_formats::go_object::{GoType, Reading};
use waxwing_formats::sealed_secret::decode_base64;
use waxwing_keys::{KeyError, UnsealingKey};

use super::fault::Fault;
use super::objects::Input;

/// Reads all keys of the files; a key that comes twice is taken once.
pub(crate) fn of(paths: &[PathBuf]) -> Result<Vec<UnsealingKey>, Fault> {
    let mut keys: Vec<UnsealingKey> = Vec::new();
    for path in paths.iter().filter(|path| !path.as_os_str().is_empty()) {
        for key in in_file(path)? {
            if keys.iter().all(|known| known.fingerprint() != key.fingerprint()) {
                keys.push(key);
            }
        }
    }
    Ok(keys)
}

/// Names keys for people.
pub(super) fn names(keys: &[UnsealingKey]) -> String {
    keys.iter().map(|key| key.fingerprint().as_str()).collect::<Vec<_>>().join(", ")
}

/// Reads a file: a key in PEM form, or Secrets with one each.
fn in_file(path: &Path) -> Result<Vec<UnsealingKey>, Fault> {
    let input = Input::file(path)?;
    match UnsealingKey::from_pem(&SecretBytes::new(input.text.to_vec())) {
        Ok(key) => return Ok(vec![key]),
        Err(KeyError::Missing) => {}
        Err(error) => return Err(wrong(path, &error)),
    }
    let documents = input.documents()?;
    let secrets: Vec<(String, Value)> =
        documents.into_iter().flat_map(|(place, value)| items(value).map(move |item| (place.clone(), item))).collect();
    if secrets.is_empty() || secrets.iter().any(|(_, secret)| !secret.is_object()) {
        return Err(wrong(path, &KeyError::Missing));
    }
    secrets.into_iter().map(|(place, secret)| in_secret(path, place, secret)).collect()
}

/// Unfolds a List.
fn items(mut value: Value) -> impl Iterator<Item = Value> {
    let is_list = value.get("kind").and_then(Value::as_str) == Some("List");
    let items = match value.get_mut("items") {
        Some(Value::Array(items)) if is_list => std::mem::take(items),
        _ if is_list => Vec::new(),
        _ => vec![value],
    };
    items.into_iter()
}

fn in_secret(path: &Path, place: String, secret: Value) -> Result<UnsealingKey, Fault> {
    let secret = GoType::Secret.read(secret, Reading::Yaml).map_err(|source_| Fault::Shape { place, source_ })?;
    let text = secret.pointer("/data").and_then(|data| data.get("tls.key")).and_then(Value::as_str);
    let key = text.and_then(decode_base64).map(SecretBytes::new);
    let missing = || Fault::Key { path: path.to_owned(), what: "secret must contain a 'tls.data' key".to_owned() };
    UnsealingKey::from_pem(&key.ok_or_else(missing)?).map_err(|error| wrong(path, &error))
}

fn wrong(path: &Path, error: &KeyError) -> Fault {
    let what = match error {
        KeyError::Missing => "data does not contain a valid RSA or ECDSA private key".to_owned(),
        KeyError::NotRsa => "unexpected private key type: it is not an RSA key".to_owned(),
        error => error.to_string(),
    };
    Fault::Key { path: path.to_owned(), what }
}
