//! Variables with references in them, for the environment of one command: read from where the user says, and resolved all or none.
//!
//! What is resolved stands in the environment of the command and nowhere else. A text that comes out of a store is never looked at again. What
//! begins as a reference and is none is refused, and so are references of other tools, but for those of vals to what the user is logged in to.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use serde_json::Value;
use waxwing::render::EXPAND;
use waxwing_formats::reference::{Content, Reference, ReferenceError, Stored, StoredSecret, ValueError};
use waxwing_formats::sops::{self, Store as Form};
use waxwing_formats::{SecretBytes, yaml};
use zeroize::Zeroizing;

use super::fault::StoreFault;
use super::stores::{ASKED_AT_ONCE, UserStores, shown};
use crate::error::{Error, Wrong, with_causes};
use crate::sealed::block_on;

/// Why a variable can't be given to a command; none of it quotes a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VariableError {
    /// It is not written as NAME=VALUE.
    #[error("a variable is not written as NAME=VALUE")]
    NoValue,
    /// Its name is empty, or has a character that none has.
    #[error("the name of a variable is empty or has a zero byte or = in it")]
    BadName,
    /// It begins as a reference and is none.
    #[error("{0} ({name})", name = .0.name())]
    Malformed(ReferenceError),
    /// The reference leads to nothing.
    #[error("{reference}: {fault} ({word})", word = .fault.word())]
    Store { reference: String, fault: StoreFault },
    /// A reference of another tool is not read.
    #[error("{0} ({word})", word = .0.word())]
    Foreign(StoreFault),
    /// The secret has no such value.
    #[error("{reference}: {error}")]
    Value { reference: String, error: ValueError },
    /// The value has a zero byte, which no variable can have.
    #[error("the value has a zero byte")]
    ZeroByte,
    /// A file can't be read.
    #[error("failed to read it: {0}")]
    File(String),
    /// A file is sealed.
    #[error("the file is sealed")]
    Sealed,
    /// A document says nothing that could be a variable.
    #[error("it is no Secret, ConfigMap or mapping of names to texts")]
    NoVariables,
}

impl VariableError {
    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NoValue => "write NAME=VALUE",
            Self::BadName => "give the variable another name",
            Self::Malformed(error) => error.hint(),
            Self::Store { fault, .. } | Self::Foreign(fault) => fault.hint(),
            Self::Value { error, .. } => error.hint(),
            Self::ZeroByte => "take the value from the store in another way: a variable is a text",
            Self::File(_) => "check the path and its format",
            Self::Sealed => "open it with `seal sops exec-env`",
            Self::NoVariables => "write NAME: VALUE, or name a file with Secrets and ConfigMaps",
        }
    }
}

/// A variable as it was written. Not `Debug`.
struct Variable {
    /// Where it stands.
    place: Place,
    name: String,
    text: Written,
}

enum Written {
    /// A text with references in it, or without.
    Text(Zeroizing<String>),
    /// Bytes that are no text.
    Bytes(SecretBytes),
    /// An entry for each of those that a secret has.
    All(Reference),
}

#[derive(Clone)]
struct Place(String);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Variables, in the order in which the later ones win.
#[derive(Default)]
pub(crate) struct Variables {
    all: Vec<Variable>,
    wrong: Vec<Wrong>,
}

impl Variables {
    /// Takes what the arguments say: manifests, then env files, then single variables.
    pub(crate) fn new(from: &[PathBuf], env_files: &[PathBuf], env: &[String]) -> Self {
        let mut variables = Self::default();
        from.iter().for_each(|path| variables.manifests(path));
        env_files.iter().for_each(|path| variables.lines(path));
        for text in env {
            match text.split_once('=') {
                Some((name, value)) => variables.add(Place(format!("--env {name}")), name, value.to_owned()),
                None => variables.refuse(&Place("--env".to_owned()), &VariableError::NoValue),
            }
        }
        variables
    }

    fn refuse(&mut self, place: &Place, error: &VariableError) {
        self.wrong.push(Wrong::at(place, error, Some(error.hint().to_owned())));
    }

    fn add(&mut self, place: Place, name: &str, text: String) {
        self.write(place, name, Written::Text(Zeroizing::new(text)));
    }

    fn write(&mut self, place: Place, name: &str, text: Written) {
        let is_whole = matches!(text, Written::All(_));
        match !is_whole && (name.is_empty() || name.contains(['=', '\0'])) {
            true => self.refuse(&place, &VariableError::BadName),
            false => self.all.push(Variable { place, name: name.to_owned(), text }),
        }
    }

    fn bytes(&mut self, path: &Path) -> Option<Zeroizing<Vec<u8>>> {
        let place = Place(path.display().to_string());
        match fs::read(path).map(Zeroizing::new) {
            Ok(bytes) if sops::is_sealed(&bytes, Form::from_path(path)) => {
                self.refuse(&place, &VariableError::Sealed);
                None
            }
            Ok(bytes) => Some(bytes),
            Err(error) => {
                self.refuse(&place, &VariableError::File(error.to_string()));
                None
            }
        }
    }

    /// Reads lines of NAME=VALUE, without quotes, as `docker run --env-file` does.
    fn lines(&mut self, path: &Path) {
        let Some(bytes) = self.bytes(path) else { return };
        let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.strip_prefix("export ").unwrap_or(line);
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let place = Place(format!("{}:{number}", path.display()));
            match line.split_once('=') {
                Some((name, value)) => self.add(place, name, value.to_owned()),
                None => self.refuse(&place, &VariableError::NoValue),
            }
        }
    }

    /// Reads Secrets and ConfigMaps, and mappings of names to texts.
    fn manifests(&mut self, path: &Path) {
        let Some(bytes) = self.bytes(path) else { return };
        match yaml::manifests(&bytes) {
            Ok(documents) => {
                for document in &documents {
                    let place = Place(format!("{}, document {}", path.display(), document.index));
                    if self.document(&place, &document.value).is_none() {
                        self.refuse(&place, &VariableError::NoVariables);
                    }
                }
            }
            Err(error) => {
                let error = VariableError::File(with_causes(&error));
                self.refuse(&Place(path.display().to_string()), &error);
            }
        }
    }

    fn document(&mut self, place: &Place, document: &Value) -> Option<()> {
        let map = document.as_object()?;
        let text = |field: &str| map.get(field).and_then(Value::as_str);
        match (text("apiVersion"), text("kind")) {
            (Some("v1"), Some(kind @ ("Secret" | "ConfigMap"))) => {
                let annotation = document.pointer("/metadata/annotations").and_then(|all| all.get(EXPAND)?.as_str());
                match annotation.map(str::parse::<Reference>) {
                    Some(Ok(reference)) => self.write(place.clone(), "", Written::All(reference)),
                    Some(Err(error)) => self.refuse(place, &VariableError::Malformed(error)),
                    None => {}
                }
                let is_secret = kind == "Secret";
                self.entries(place, document.get("data"), is_secret)?;
                self.entries(place, document.get("stringData").filter(|_| is_secret), false)
            }
            (Some(_), Some(_)) => None,
            _ => self.entries(place, Some(document), false),
        }
    }

    fn entries(&mut self, place: &Place, entries: Option<&Value>, is_base64: bool) -> Option<()> {
        for (name, value) in entries.map_or(Some(Vec::new()), |entries| Some(entries.as_object()?.iter().collect()))? {
            let place = Place(format!("{place}, {name}"));
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Number(_) | Value::Bool(_) if !is_base64 => value.to_string(),
                _ => return None,
            };
            match is_base64 {
                false => self.add(place, name, text),
                true => {
                    let bytes = STANDARD.decode(text.replace(['\n', ' '], "")).ok()?;
                    let written = match String::from_utf8(bytes) {
                        Ok(text) => Written::Text(Zeroizing::new(text)),
                        Err(error) => Written::Bytes(SecretBytes::new(error.into_bytes())),
                    };
                    self.write(place, name, written);
                }
            }
        }
        Some(())
    }

    /// Tells whether a backend may be needed.
    pub(crate) fn have_references(&self) -> bool {
        let is_one = |piece: waxwing_formats::reference::Piece<'_>| matches!(piece.content, Content::Reference(_));
        self.all.iter().any(|variable| match &variable.text {
            Written::Text(text) => Reference::find(text).into_iter().any(is_one),
            Written::Bytes(_) => false,
            Written::All(_) => true,
        })
    }

    /// Resolves all references, or none.
    ///
    /// # Errors
    /// Fails with everything that is wrong with any variable.
    pub(crate) fn resolved(self, stores: &UserStores) -> Result<BTreeMap<String, OsString>, Error> {
        let Self { all, mut wrong } = self;
        let taken: Vec<(Variable, Vec<Part>)> = all
            .into_iter()
            .filter_map(|variable| match parts(&variable.text, stores) {
                Ok(parts) => Some((variable, parts)),
                Err(error) => {
                    wrong.push(Wrong::at(&variable.place, &error, Some(error.hint().to_owned())));
                    None
                }
            })
            .collect();
        let references = taken.iter().flat_map(|(_, parts)| parts).filter_map(Part::reference);
        let wanted: BTreeSet<Stored> = references.map(Reference::stored).collect();
        let answers = block_on(asked(stores, wanted)).map_err(|error| Error::Waiting(error.kind()))?;
        let mut variables = BTreeMap::new();
        for (variable, parts) in &taken {
            match value(variable, parts, &answers) {
                Ok(values) => variables.extend(values),
                Err(error) => wrong.push(Wrong::at(&variable.place, &error, Some(error.hint().to_owned()))),
            }
        }
        if wrong.is_empty() { Ok(variables) } else { Err(Error::Several(wrong)) }
    }
}

/// A part of a variable.
enum Part {
    Beside(SecretBytes),
    One(Reference),
    All(Reference),
}

impl Part {
    fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Beside(_) => None,
            Self::One(reference) | Self::All(reference) => Some(reference),
        }
    }
}

fn parts(text: &Written, stores: &UserStores) -> Result<Vec<Part>, VariableError> {
    let text = match text {
        Written::Text(text) => text,
        Written::Bytes(bytes) => return Ok(vec![Part::Beside(SecretBytes::concat(&[bytes.expose_secret()]))]),
        Written::All(reference) => return Ok(vec![Part::All(reference.clone())]),
    };
    let part = |content: Content, raw: &str| match content {
        Content::Text => Ok(Part::Beside(SecretBytes::new(raw.as_bytes().to_vec()))),
        Content::Reference(reference) => Ok(Part::One(reference)),
        Content::Malformed(error) => Err(VariableError::Malformed(error)),
        Content::Foreign(foreign) => stores.read_foreign(&foreign).map(Part::One).map_err(VariableError::Foreign),
    };
    Reference::find(text).into_iter().map(|piece| part(piece.content, piece.raw)).collect()
}

type Answers = BTreeMap<Stored, Result<StoredSecret, StoreFault>>;

async fn asked(stores: &UserStores, wanted: BTreeSet<Stored>) -> Answers {
    let ask = |stored: Stored| async move {
        let answer = stores.read(&stored).await;
        (stored, answer)
    };
    futures::stream::iter(wanted).map(ask).buffer_unordered(ASKED_AT_ONCE).collect().await
}

fn value(variable: &Variable, parts: &[Part], answers: &Answers) -> Result<Vec<(String, OsString)>, VariableError> {
    let answered = |reference: &Reference| match answers.get(&reference.stored()) {
        Some(Ok(secret)) => Ok(secret),
        Some(Err(fault)) => Err(VariableError::Store { reference: shown(reference), fault: fault.clone() }),
        None => Err(VariableError::NoValue),
    };
    let failed = |reference: &Reference, error| VariableError::Value { reference: shown(reference), error };
    if let [Part::All(reference)] = parts {
        let entries = answered(reference)?.entries(&reference.pointer).map_err(|error| failed(reference, error))?;
        return entries.into_iter().map(|(name, value)| Ok((name, text_of(&[value])?))).collect();
    }
    let values = parts.iter().map(|part| match part {
        Part::Beside(bytes) => Ok(SecretBytes::concat(&[bytes.expose_secret()])),
        Part::One(reference) | Part::All(reference) => {
            let value = answered(reference)?.value(&reference.pointer, reference.decode);
            value.map_err(|error| failed(reference, error))
        }
    });
    let values = values.collect::<Result<Vec<_>, _>>()?;
    Ok(vec![(variable.name.clone(), text_of(&values)?)])
}

/// Puts values together as a variable has them. What becomes of it is wiped with all memory that is freed.
fn text_of(values: &[SecretBytes]) -> Result<OsString, VariableError> {
    let parts: Vec<&[u8]> = values.iter().map(SecretBytes::expose_secret).collect();
    let whole = parts.concat();
    match whole.contains(&0) {
        true => Err(VariableError::ZeroByte),
        false => Ok(OsString::from_vec(whole)),
    }
}
