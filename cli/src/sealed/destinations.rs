//! Where `.sops.yaml` has files published to (`destination_rules`).
//!
//! Source: sops 3.13.3, `parseDestinationRuleForFile` in `config/config.go` and `publish/vault.go`. As there, the first rule counts whose
//! `path_regex` matches the file as it was named. Only key/value engines of Vault and OpenBao are published to; what is for other places
//! is refused by name.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use waxwing_formats::sops::Expression;

use super::creation::{Configuration, CreationRule};
use super::recipients::{Context, MasterKeyError};

/// Where secrets are if the rule says nothing else.
const USUAL_MOUNT: &str = "secret";

/// A rule. For Vault the recreation rule is checked, and not used: nothing is sealed there.
#[derive(Deserialize)]
pub(super) struct DestinationRule {
    path_regex: Option<String>,
    s3_bucket: Option<String>,
    gcs_bucket: Option<String>,
    vault_path: Option<String>,
    vault_address: Option<String>,
    vault_kv_mount_name: Option<String>,
    vault_kv_version: Option<i64>,
    recreation_rule: Option<CreationRule>,
    omit_extensions: Option<bool>,
}

/// Where a file is published to: a folder of a key/value engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The server; nothing for the usual one of the user.
    pub(crate) address: Option<String>,
    /// Where the engine is mounted.
    mount: String,
    /// The folder in it.
    folder: String,
    pub(crate) version: KvVersion,
    /// Whether the name there has no ending.
    pub(crate) omits_extensions: bool,
}

/// The version of a key/value engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KvVersion {
    /// Keeps what was written last.
    One,
    /// Keeps older versions too.
    Two,
}

/// Why a file can't be published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DestinationError {
    /// An expression does not compile.
    #[error("{}, destination rule {rule}: path_regex is not a valid expression", path.display())]
    Expression {
        /// The configuration.
        path: PathBuf,
        /// The rule, from 1.
        rule: usize,
    },
    /// No rule matches.
    #[error("{}: no destination rule matches {}", path.display(), file.display())]
    NoRule {
        /// The configuration.
        path: PathBuf,
        /// The file.
        file: PathBuf,
    },
    /// The rule names no place.
    #[error("{}, destination rule {rule}: it names no destination", path.display())]
    Nowhere {
        /// The configuration.
        path: PathBuf,
        /// The rule, from 1.
        rule: usize,
    },
    /// The rule names several places.
    #[error("{}, destination rule {rule}: it names more than one destination", path.display())]
    Several {
        /// The configuration.
        path: PathBuf,
        /// The rule, from 1.
        rule: usize,
    },
    /// The rule names a place that can't be published to.
    #[error("{}, destination rule {rule}: {field} can't be published to", path.display())]
    Unsupported {
        /// The configuration.
        path: PathBuf,
        /// The rule, from 1.
        rule: usize,
        /// The field.
        field: &'static str,
    },
    /// The rule says more than one thing about what is sealed.
    #[error("{}, destination rule {rule}: recreation_rule has more than one rule about what is sealed", path.display())]
    Recreation {
        /// The configuration.
        path: PathBuf,
        /// The rule, from 1.
        rule: usize,
    },
    /// The rule names a key that can't be used.
    #[error("{}, destination rule {rule}", path.display())]
    MasterKey {
        /// The configuration.
        path: PathBuf,
        /// The rule, from 1.
        rule: usize,
        /// Why.
        source: MasterKeyError,
    },
}

impl DestinationError {
    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::Expression { .. } => "write the expression in the syntax of Go (RE2)",
            Self::NoRule { .. } => {
                "add a rule with a path_regex for it, which is compared with the path as it is named"
            }
            Self::Nowhere { .. } => "name a vault_path",
            Self::Several { .. } => "make a rule of each",
            Self::Unsupported { .. } => {
                "use the sops program for it; here files are published to Vault and OpenBao alone"
            }
            Self::Recreation { .. } => "keep one of them",
            Self::MasterKey { source, .. } => source.hint(),
        }
    }
}

impl Configuration {
    /// Returns where a file is published to, given as it was named.
    pub(crate) fn destination(&self, file: &Path) -> Result<Destination, DestinationError> {
        let path = || self.path().to_owned();
        let named = file.to_string_lossy();
        for (number, rule) in (1..).zip(self.destination_rules()) {
            let expression = Expression::new(rule.path_regex.as_deref().unwrap_or_default());
            let expression = expression.ok_or_else(|| DestinationError::Expression { path: path(), rule: number })?;
            if expression.matches(&named) {
                return rule.destination(path, number);
            }
        }
        Err(DestinationError::NoRule { path: path(), file: file.to_owned() })
    }
}

impl DestinationRule {
    fn destination(&self, path: impl Fn() -> PathBuf, rule: usize) -> Result<Destination, DestinationError> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let places = [
            ("s3_bucket", said(&self.s3_bucket)),
            ("gcs_bucket", said(&self.gcs_bucket)),
            ("vault_path", said(&self.vault_path)),
        ];
        let mut places = places.into_iter().filter_map(|(field, place)| Some((field, place?)));
        let folder = match (places.next(), places.next()) {
            (None, _) => return Err(DestinationError::Nowhere { path: path(), rule }),
            (Some(_), Some(_)) => return Err(DestinationError::Several { path: path(), rule }),
            (Some(("vault_path", folder)), None) => folder,
            (Some((field, _)), None) => return Err(DestinationError::Unsupported { path: path(), rule, field }),
        };
        if let Some(recreation) = &self.recreation_rule {
            if recreation.rules().len() > 1 {
                return Err(DestinationError::Recreation { path: path(), rule });
            }
            let keys = recreation.groups(&Context::new());
            keys.map_err(|source| DestinationError::MasterKey { path: path(), rule, source })?;
        }
        Ok(Destination {
            address: said(&self.vault_address),
            mount: said(&self.vault_kv_mount_name).unwrap_or_else(|| USUAL_MOUNT.to_owned()),
            folder,
            version: if self.vault_kv_version == Some(1) { KvVersion::One } else { KvVersion::Two },
            omits_extensions: self.omit_extensions.unwrap_or_default(),
        })
    }
}

impl Destination {
    /// Returns the path below `/v1` for a file of this name.
    pub(crate) fn path(&self, name: &str) -> String {
        let (mount, folder) = (self.mount.trim_matches('/'), self.folder.trim_matches('/'));
        let below = [folder, name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        match self.version {
            KvVersion::One => format!("{mount}/{below}"),
            KvVersion::Two => format!("{mount}/data/{below}"),
        }
    }
}
