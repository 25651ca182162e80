//! What `configMapGenerator` and `secretGenerator` read: whole files, env files and literals.
//!
//! Use decides the handle: a sealed file taken whole is one handle for the bytes that `sops -d` prints, a sealed env
//! file has one per key. What a Secret would get in clear text becomes a keyed handle. Parsing follows Kustomize
//! (`api/kv/kv.go`, `api/internal/generators/utils.go`).

use serde_json::Value;
use waxwing_formats::sops::Store;
use waxwing_formats::{Handle, HandleInput, KeyPath, SecretBytes};

use super::documents::location;
use super::error::{Fault, Place};
use super::handles::{HandleTable, Origin};
use super::kustomization::Kustomization;
use super::reader::{Reader, store_of};
use crate::source::RepoPath;

impl Kustomization<'_, '_> {
    /// Reads one entry of a generator; `secret` tells which.
    pub(super) fn generator(&mut self, item: &mut Value, at: &KeyPath, secret: bool) {
        for (field, value) in item.as_object_mut().into_iter().flatten() {
            let at = at.key(field);
            match field.as_str() {
                "files" => self.texts(value, &at, |this, entry, at| this.generator_file(entry, at, secret)),
                "envs" => self.texts(value, &at, |this, entry, at| this.generator_env(entry, at, secret)),
                "env" => {
                    if let Value::String(entry) = value {
                        self.generator_env(entry, &at, secret);
                    }
                }
                "literals" if secret => self.texts(value, &at, Self::secret_literal),
                // Without paths, and known.
                _ => {}
            }
        }
    }

    fn generator_file(&mut self, entry: &mut String, at: &KeyPath, secret: bool) {
        let (key, path) = match entry.split_once('=') {
            None => (entry.trim_end_matches('/').rsplit('/').next().unwrap_or_default(), entry.as_str()),
            Some((key, path)) if !key.is_empty() && !path.is_empty() && !path.contains('=') => (key, path),
            Some(_) => return self.refuse(at, Fault::GeneratorEntry { form: "`path` or `key=path`" }),
        };
        let Some(path) = self.resolve_file(path, at) else { return };
        if let Some(staged) = self.reader.stage_whole(&path, secret) {
            *entry = format!("{key}={}", self.relative(&staged));
        }
    }

    fn generator_env(&mut self, entry: &mut String, at: &KeyPath, secret: bool) {
        let Some(path) = self.resolve_file(entry, at) else { return };
        if let Some(staged) = self.reader.stage_env(&path, secret) {
            *entry = self.relative(&staged);
        }
    }

    fn secret_literal(&mut self, entry: &mut String, at: &KeyPath) {
        match entry.split_once('=').map(|(key, value)| (key, without_quotes(value))) {
            Some((key, value)) if !key.is_empty() && !value.is_empty() => {
                let secret = SecretBytes::new(value.as_bytes().to_vec());
                *entry = format!("{key}={}", self.reader.add_plaintext(&self.location, at.clone(), secret));
            }
            Some((key, _)) if !key.is_empty() => {}
            _ => {
                entry.clear();
                self.refuse(at, Fault::GeneratorEntry { form: "`key=value`" });
            }
        }
    }
}

impl Reader<'_> {
    fn stage_whole(&mut self, path: &RepoPath, secret: bool) -> Option<String> {
        let sealed = self.sealed(path, store_of(path))?.is_some();
        let bytes = self.file(path)?.bytes;
        if sealed {
            let handle = whole_handle(&bytes);
            let text = self.add_handle(handle, Origin::SopsWhole { file: path.as_str().to_owned() });
            return Some(self.stage_in("sealed", path, text.into_bytes()));
        }
        self.refuse_stray_tokens(path, &bytes);
        if !secret || bytes.is_empty() {
            return Some(self.stage_in("files", path, bytes.to_vec()));
        }
        let value = SecretBytes::new(bytes.to_vec());
        let text = self.add_plaintext(&location(path, 0, 1), KeyPath::root(), value);
        Some(self.stage_in("secret-files", path, text.into_bytes()))
    }

    fn stage_env(&mut self, path: &RepoPath, secret: bool) -> Option<String> {
        if self.sealed(path, Store::Dotenv)?.is_some() {
            return self.stage_sealed_env(path, secret);
        }
        let bytes = self.file(path)?.bytes;
        if self.sealed(path, store_of(path))?.is_some() {
            self.refuse(Place::file(path.as_str()), Fault::EnvNotDotenv);
            return None;
        }
        self.refuse_stray_tokens(path, &bytes);
        if !secret {
            return Some(self.stage_in("envs", path, bytes.to_vec()));
        }
        let lines = self.secret_env_lines(path, &bytes)?;
        Some(self.stage_in("secret-envs", path, lines.into_bytes()))
    }

    /// One line for each key; values in clear text beside sealed ones become keyed handles in a Secret.
    fn stage_sealed_env(&mut self, path: &RepoPath, secret: bool) -> Option<String> {
        let file = self.sops.get(path)?;
        if !matches!(file.store, Store::Dotenv) {
            self.refuse(Place::file(path.as_str()), Fault::EnvNotDotenv);
            return None;
        }
        let handles = &mut self.handles;
        let documents = match file.document.skeletons(&mut |_, key, token| add_env_leaf(handles, path, key, token)) {
            Ok(documents) => documents,
            Err(error) => {
                self.refuse(Place::file(path.as_str()), error);
                return None;
            }
        };
        let mut lines = String::new();
        for (key, value) in documents.iter().filter_map(Value::as_object).flatten() {
            let text = value.as_str().unwrap_or_default().replace('\n', "\\n");
            let is_plain = Handle::find_all(&text).is_empty() && !text.is_empty();
            let text = match secret && is_plain {
                true => {
                    let value = SecretBytes::new(text.into_bytes());
                    self.add_plaintext(&location(path, 0, 1), KeyPath::root().key(key), value)
                }
                false => text,
            };
            lines.push_str(&format!("{key}={text}\n"));
        }
        let place = match secret {
            true => "sealed-secret-envs",
            false => "sealed-envs",
        };
        Some(self.stage_in(place, path, lines.into_bytes()))
    }

    fn secret_env_lines(&mut self, path: &RepoPath, bytes: &[u8]) -> Option<String> {
        let place = Place::file(path.as_str());
        let Ok(text) = std::str::from_utf8(bytes) else {
            self.refuse(place, Fault::EnvLine);
            return None;
        };
        let mut lines = String::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            if !is_env_name(key) {
                self.refuse(place.line(index + 1), Fault::EnvLine);
                continue;
            }
            lines.push_str(&format!("{key}={}\n", self.secret_env_value(path, index + 1, key, value)));
        }
        Some(lines)
    }

    fn secret_env_value(&mut self, path: &RepoPath, line: usize, key: &str, value: &str) -> String {
        if value.is_empty() {
            return String::new();
        }
        let secret = SecretBytes::new(value.as_bytes().to_vec());
        self.add_plaintext(&location(path, 0, line), KeyPath::root().key(key), secret)
    }
}

fn whole_handle(bytes: &[u8]) -> Handle {
    let path = KeyPath::root();
    Handle::of_ciphertext(HandleInput { domain: "sops-whole", document: 0, path: &path, token: bytes })
}

fn add_env_leaf(handles: &mut HandleTable, file: &RepoPath, key: &KeyPath, token: &str) -> String {
    let input = HandleInput { domain: "sops-env", document: 0, path: key, token: token.as_bytes() };
    let origin = Origin::SopsEnv { file: file.as_str().to_owned(), path: key.clone() };
    handles.add(Handle::of_ciphertext(input), origin)
}

/// As `removeQuotes` of Kustomize: one pair of equal quotes around the whole.
fn without_quotes(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

/// As `IsEnvVarName` of Kubernetes: letters, digits, `-`, `_` and `.`, and no digit first.
fn is_env_name(key: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    key.chars().all(allowed) && key.chars().next().is_some_and(|first| !first.is_ascii_digit())
}
