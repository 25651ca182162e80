//! What comes in, document by document, in the form that Go's decoders give it.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use serde_json::Value;
use waxwing_formats::go_object::{GoType, Reading};
use waxwing_formats::sealed_secret::DeprecatedSealedSecret;
use waxwing_formats::yaml;
use zeroize::Zeroizing;

use super::args::Files;
use super::fault::Fault;

/// A text to be read, and its name.
pub(super) struct Input {
    pub(super) name: String,
    pub(super) text: Zeroizing<Vec<u8>>,
}

/// A document of the form that was asked for.
pub(super) struct Object {
    /// The file and the line, as `secret.yaml:12`.
    pub(super) place: String,
    /// What stands there; it may hold plaintext.
    pub(super) value: Value,
    /// Whether it is a SealedSecret of the deprecated form, also one whose blob is empty, which Go leaves out when it writes.
    pub(super) is_deprecated: bool,
}

impl Input {
    /// Reads the file of --secret-file, or standard input.
    pub(super) fn of(files: &Files) -> Result<Self, Fault> {
        match files.secret_file.as_deref().filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => {
                let text = File::open(path).and_then(read_all).map_err(Fault::SecretFile)?;
                Ok(Self { name: path.display().to_string(), text })
            }
            None => {
                let text = standard_input("expecting json/yaml k8s resource in stdin")?;
                Ok(Self { name: "standard input".to_owned(), text })
            }
        }
    }

    /// Reads another file.
    pub(super) fn file(path: &Path) -> Result<Self, Fault> {
        let text = File::open(path).and_then(read_all).map_err(|error| Fault::read(path, error))?;
        Ok(Self { name: path.display().to_string(), text })
    }

    /// Reads the Secrets of the text; documents without anything of a Secret in them are passed over, as kubeseal does.
    pub(super) fn secrets(&self) -> Result<Vec<Object>, Fault> {
        let mut objects = self.objects(GoType::Secret, "Secret", Reading::Yaml)?;
        let nothing = serde_json::json!({ "metadata": {} });
        objects.retain(|object| object.value != nothing);
        Ok(objects)
    }

    /// Reads the SealedSecrets of the text.
    pub(super) fn sealed_secrets(&self, reading: Reading) -> Result<Vec<Object>, Fault> {
        let objects = self.objects(GoType::SealedSecret, "SealedSecret", reading)?;
        if objects.is_empty() { Err(Fault::NoSealedSecret(self.name.clone())) } else { Ok(objects) }
    }

    /// Reads the documents of the text; one that says that it is something else is refused.
    fn objects(&self, type_: GoType, kind: &'static str, reading: Reading) -> Result<Vec<Object>, Fault> {
        let read = |(place, value): (String, Value)| {
            let found = value.get("kind").filter(|kind| !kind.is_null());
            let is_other = found.is_some_and(|found| found != kind);
            if is_other || (kind == "SealedSecret" && found.is_none()) {
                let found = found.and_then(Value::as_str).unwrap_or_default().to_owned();
                return Err(Fault::OtherKind { place, wanted: kind, found });
            }
            let is_deprecated = DeprecatedSealedSecret::is_deprecated(&value);
            match type_.read(value, reading) {
                Ok(value) => Ok(Object { place, value, is_deprecated }),
                Err(source_) => Err(Fault::Shape { place, source_ }),
            }
        };
        self.documents()?.into_iter().map(read).collect()
    }

    /// Reads the documents of the text, each with its place.
    pub(super) fn documents(&self) -> Result<Vec<(String, Value)>, Fault> {
        let malformed = |source| Fault::Malformed { name: self.name.clone(), source };
        let found = yaml::manifests(&self.text).map_err(malformed)?;
        Ok(found.into_iter().map(|document| (format!("{}:{}", self.name, document.line), document.value)).collect())
    }
}

/// Says in an object what it is.
pub(super) fn set_type(object: &mut Value, kind: &str, api_version: &str) {
    if let Value::Object(fields) = object {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("apiVersion".to_owned(), api_version.into());
    }
}

/// Reads all of standard input; whoever sits at a terminal is told what to type.
pub(super) fn standard_input(expected: &str) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let input = io::stdin().lock();
    if input.is_terminal() {
        crate::output::tell(&format!("(tty detected: {expected})\n"));
    }
    read_all(input).map_err(Fault::Stdin)
}

fn read_all(mut from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    from.read_to_end(&mut bytes)?;
    Ok(bytes)
}
