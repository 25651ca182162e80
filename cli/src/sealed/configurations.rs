//! Which `.sops.yaml` holds for each file of a tree: one that is named, else the nearest from the file's folder upwards.
//!
//! So do `seal`'s own commands; those of sops look from the working folder upwards.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::creation::{Configuration, CreationError, cleaned};

/// The configuration that holds for each folder.
pub(crate) struct Configurations {
    named: Option<Configuration>,
    /// By the folder of a file.
    found: HashMap<PathBuf, Option<Configuration>>,
}

impl Configurations {
    /// Reads the configuration that is named, if one is.
    pub(crate) fn new(named: Option<&Path>) -> Result<Self, CreationError> {
        Ok(Self { named: named.map(Configuration::read).transpose()?, found: HashMap::new() })
    }

    /// Returns the configuration for a file, given by its cleaned path, if there is one.
    pub(crate) fn of(&mut self, file: &Path) -> Result<Option<&Configuration>, CreationError> {
        if self.named.is_some() {
            return Ok(self.named.as_ref());
        }
        let folder = file.parent().unwrap_or(file);
        if !self.found.contains_key(folder) {
            self.found.insert(folder.to_owned(), Configuration::find(folder)?);
        }
        Ok(self.found.get(folder).and_then(Option::as_ref))
    }

    /// Hands the configuration for a file over, if there is one.
    pub(crate) fn into_one(mut self, file: &Path) -> Result<Option<Configuration>, CreationError> {
        let file = cleaned(file);
        self.of(&file)?;
        let found = file.parent().and_then(|folder| self.found.remove(folder)).flatten();
        Ok(self.named.or(found))
    }
}
