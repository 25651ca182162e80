//! Which `.sops.yaml` holds for each file of a tree: one that is named, else the nearest from the file's folder upwards.
//!
//! So do `seal`'s own commands; those of sops look from the working folder upwards.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::creation::{CONFIGURATION, Configuration, CreationError, cleaned};

/// The configuration that holds for each folder.
pub(crate) struct Configurations {
    named: Option<Configuration>,
    /// By the folder of a file.
    found: HashMap<PathBuf, Option<Configuration>>,
    /// Of trees that are not read from the disk, by their root: the configurations in them, by their path.
    elsewhere: HashMap<PathBuf, HashMap<PathBuf, StagedRules>>,
}

/// A configuration of a tree that is not read from the disk.
pub(crate) enum StagedRules {
    /// A file with this text.
    File(Vec<u8>),
    /// A link; what it leads to counts as it lies on the disk.
    Link,
}

impl Configurations {
    /// Reads the configuration that is named, if one is.
    pub(crate) fn new(named: Option<&Path>) -> Result<Self, CreationError> {
        let named = named.map(Configuration::read).transpose()?;
        Ok(Self { named, found: HashMap::new(), elsewhere: HashMap::new() })
    }

    /// Takes the configurations of a tree that is not read from the disk, by their cleaned paths. Above its root the disk counts.
    pub(crate) fn of_tree(&mut self, root: PathBuf, configurations: HashMap<PathBuf, StagedRules>) {
        self.elsewhere.insert(root, configurations);
    }

    /// Returns the configuration for a file, given by its cleaned path, if there is one.
    pub(crate) fn of(&mut self, file: &Path) -> Result<Option<&Configuration>, CreationError> {
        if self.named.is_some() {
            return Ok(self.named.as_ref());
        }
        let folder = file.parent().unwrap_or(file);
        if !self.found.contains_key(folder) {
            self.found.insert(folder.to_owned(), self.find(folder)?);
        }
        Ok(self.found.get(folder).and_then(Option::as_ref))
    }

    fn find(&self, folder: &Path) -> Result<Option<Configuration>, CreationError> {
        let tree = folder.ancestors().find_map(|above| Some((above, self.elsewhere.get(above)?)));
        let Some((root, configurations)) = tree else { return Configuration::find(folder) };
        let within = folder.ancestors().take_while(|above| above.starts_with(root));
        for path in within.map(|above| above.join(CONFIGURATION)) {
            match configurations.get(&path) {
                Some(StagedRules::File(text)) => return Configuration::parse(&path, text).map(Some),
                Some(StagedRules::Link) if path.exists() => return Configuration::read(&path).map(Some),
                Some(StagedRules::Link) | None => {}
            }
        }
        root.parent().map_or(Ok(None), Configuration::find)
    }

    /// Hands the configuration for a file over, if there is one.
    pub(crate) fn into_one(mut self, file: &Path) -> Result<Option<Configuration>, CreationError> {
        let file = cleaned(file);
        self.of(&file)?;
        let found = file.parent().and_then(|folder| self.found.remove(folder)).flatten();
        Ok(self.named.or(found))
    }
}
