//! Where the result goes, and in which form.

use std::path::{Path, PathBuf};

use serde_json::Value;
use waxwing_formats::SecretBytes;
use waxwing_formats::go_object::{Form, Printable, print};
use zeroize::Zeroizing;

use super::args::Files;
use super::fault::Fault;
use crate::error::with_causes;
use crate::output;
use crate::sealed::{self, Secrecy};

/// A file or standard output, and a form.
pub(super) struct Target {
    file: Option<PathBuf>,
    format: String,
}

impl Target {
    /// Takes the file and the form that the flags name; the ending of a file can say the form.
    pub(super) fn of(files: &Files) -> Self {
        Self::new(files.sealed_secret_file.clone(), &files.format)
    }

    /// Takes a file and the form that a flag names.
    pub(super) fn new(file: Option<PathBuf>, format: &str) -> Self {
        let file = file.filter(|path| !path.as_os_str().is_empty());
        let is_yaml = file.as_deref().and_then(Path::extension).is_some_and(|end| end == "yaml" || end == "yml");
        Self { file, format: if is_yaml { "yaml" } else { format }.to_owned() }
    }

    /// Returns the form, which is looked at only where objects are printed.
    fn form(&self) -> Result<Form, Fault> {
        match self.format.to_lowercase().as_str() {
            "json" | "" => Ok(Form::Json),
            "yaml" => Ok(Form::Yaml),
            _ => Err(Fault::Format(self.format.clone())),
        }
    }

    /// Writes public objects.
    pub(super) fn objects(&self, objects: &[Value]) -> Result<(), Fault> {
        let objects: Vec<_> = objects.iter().map(Printable::Value).collect();
        self.bytes(&self.text(&objects)?, Secrecy::Sealed)
    }

    /// Writes objects with secrets in them.
    pub(super) fn secrets(&self, objects: &[Printable<'_>]) -> Result<(), Fault> {
        self.bytes(&self.text(objects)?, Secrecy::Plain)
    }

    /// Writes objects into a file that there is, in the place of what stands there.
    pub(super) fn over(&self, path: &Path, objects: &[Value]) -> Result<(), Fault> {
        let objects: Vec<_> = objects.iter().map(Printable::Value).collect();
        sealed::write(path, &self.text(&objects)?, Secrecy::Sealed)
            .map_err(|source| Fault::Write { path: path.to_owned(), source })
    }

    fn text(&self, objects: &[Printable<'_>]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let form = self.form()?;
        let texts: Result<Vec<SecretBytes>, _> = objects.iter().map(|object| print(object, form)).collect();
        let texts = texts.map_err(Fault::Encode)?;
        let mut all = Zeroizing::new(Vec::with_capacity(texts.iter().map(SecretBytes::len).sum()));
        for text in &texts {
            // What the user asked for, sealed or, with --recovery-unseal, open.
            all.extend_from_slice(text.expose_secret());
        }
        Ok(all)
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&self, bytes: &[u8], secrecy: Secrecy) -> Result<(), Fault> {
        match &self.file {
            Some(path) => {
                sealed::write(path, bytes, secrecy).map_err(|source| Fault::Write { path: path.clone(), source })
            }
            None => output::print_bytes(bytes).map_err(|error| Fault::Print(with_causes(&error))),
        }
    }
}
