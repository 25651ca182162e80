//! References of other tools, read as ours: for each of their forms the store that stands for theirs, as whoever runs the cluster says.
//!
//! A form without a store is text. One with a store is read or refused, never passed over: whatever in it says where the store is or who
//! logs in, and whatever would bring another value than the other tool takes, is named in the refusal. Nothing of what a parameter is set
//! to is kept. Not here: how the forms are written (`foreign.rs`).

use std::collections::BTreeMap;

use thiserror::Error;

use super::{Foreign, Form, Need, Reference, ReferenceError, SecretPath, StoreName};

/// Which store stands for that of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignStores {
    /// By form, and with Azure by the vault that stands in the reference.
    stores: BTreeMap<(Form, Option<String>), StoreName>,
    /// The engines behind which `data` goes.
    versioned_engines: Vec<SecretPath>,
}

/// What a reference of another tool is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The reference.
    pub reference: Reference,
    /// Whether base64 of the value is to stand there.
    pub is_encoded: bool,
}

/// Why a reference of another tool is not read, although there is a store for its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
pub enum ForeignError {
    /// What it names can't be in a store.
    #[error("the reference of another tool is not read: {0}")]
    Malformed(ReferenceError),
    /// A parameter says where a store is or who logs in.
    #[error("the parameter {0} says where a store is or who logs in, which no reference does here")]
    Location(&'static str),
    /// It names a vault of Azure that no store stands for.
    #[error("no backend stands for the vault of Azure that the reference names")]
    OtherVault,
    /// Something in it has no counterpart.
    #[error("the reference of another tool is not read: {0}")]
    NoCounterpart(Need),
    /// As a reference of ours it is longer than [`super::MAX_BYTES`].
    #[error("as ref+store:// the reference is longer than 2048 bytes")]
    TooLong,
    /// The value would be encoded where it does not stand for all of a value under `data`.
    #[error("base64encode is read only where it makes all of a value under data of a Secret")]
    Encoded,
}

impl ForeignError {
    /// Returns the word for it that scripts may rely on.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed(error) => error.name(),
            Self::Location(_) => "foreign-location",
            Self::OtherVault => "foreign-vault",
            Self::NoCounterpart(_) => "foreign-no-counterpart",
            Self::TooLong => "too-long",
            Self::Encoded => "foreign-encoded",
        }
    }

    /// Returns what the author of the file can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Malformed(error) => error.hint(),
            Self::Location(_) => "take the parameter out: the SecretBackend says it",
            Self::OtherVault => "add the vault to spec.secrets.foreignReferences.vals.azurekeyvault of the Sync",
            Self::NoCounterpart(_) => {
                "write ref+store://STORE/PATH#/KEY, and keep the value in the store as it is needed"
            }
            Self::TooLong => "name the secret by a shorter path",
            Self::Encoded => "take base64encode out, and write the value under stringData",
        }
    }
}

impl ForeignStores {
    /// Tells whether no form is read.
    pub fn is_empty(&self) -> bool {
        self.stores.is_empty()
    }

    /// Has references of a form read as those into a store; with Azure, those that name this vault.
    pub fn with(mut self, form: Form, vault: Option<String>, store: StoreName) -> Self {
        self.stores.insert((form, vault), store);
        self
    }

    /// Has `data` inserted behind these engines in references of vals to Vault and OpenBao, as vals does for those of KV version 2.
    pub fn with_versioned_engines(mut self, engines: impl IntoIterator<Item = SecretPath>) -> Self {
        self.versioned_engines.extend(engines);
        self
    }

    /// Adds what another has.
    pub fn extend(&mut self, other: Self) {
        self.stores.extend(other.stores);
        self.versioned_engines.extend(other.versioned_engines);
    }

    /// Tells whether references of a form are read.
    pub fn reads(&self, form: Form) -> bool {
        self.stores.keys().any(|(known, _)| *known == form)
    }

    /// Returns the reference that one of another tool is; nothing where its form is not read.
    ///
    /// # Errors
    /// Fails if it is not to be read as it stands.
    pub fn read(&self, foreign: &Foreign) -> Option<Result<Mapped, ForeignError>> {
        self.reads(foreign.form).then(|| self.mapped(foreign))
    }

    fn mapped(&self, foreign: &Foreign) -> Result<Mapped, ForeignError> {
        if let Some(Err(error)) = &foreign.names {
            return Err(ForeignError::Malformed(*error));
        }
        for need in &foreign.needs {
            match need {
                Need::Location(name) => return Err(ForeignError::Location(name)),
                need if need.has_no_counterpart() => return Err(ForeignError::NoCounterpart(*need)),
                _ => {}
            }
        }
        let store = self.stores.get(&(foreign.form, foreign.vault.clone())).ok_or(ForeignError::OtherVault)?;
        let mut reference = foreign.native(store).ok_or(ForeignError::TooLong)?;
        if foreign.needs.contains(&Need::DataSegment) {
            reference.path = self.with_data(reference.path);
        }
        match reference.to_string().len() <= super::MAX_BYTES {
            true => Ok(Mapped { reference, is_encoded: foreign.needs.contains(&Need::Base64Encode) }),
            false => Err(ForeignError::TooLong),
        }
    }

    /// Inserts `data` behind the engine, where that is one of those that keep versions.
    fn with_data(&self, path: SecretPath) -> SecretPath {
        let segments = path.segments();
        let engine =
            self.versioned_engines.iter().map(SecretPath::segments).find(|engine| segments.starts_with(engine));
        let Some((engine, name)) = engine.and_then(|engine| segments.split_at_checked(engine.len())) else {
            return path;
        };
        let with_data = engine.iter().cloned().chain(["data".to_owned()]).chain(name.iter().cloned());
        SecretPath::new(with_data).unwrap_or(path)
    }
}
