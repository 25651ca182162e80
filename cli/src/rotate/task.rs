//! What a rotation does to one file: a new data key, or only other recipients, as its rule in `.sops.yaml` says.

use std::io;
use std::path::{Path, PathBuf};

use waxwing_formats::sealed_secret::InPlaceError;
use waxwing_formats::sops::{Document, SealError, Sealed, SopsError, Store, Terms};

use super::Wanted;
use super::report::{Action, Entry, State};
use crate::sealed::{
    self, Change, Configuration, Context, CreationError, Groups, Identities, Keys, MasterKeyError, NewTerms,
    SealedError, is_sealed, open, seal_anew, wrap,
};
use crate::sealing::SealingError;

/// A file that may be rotated.
pub(super) struct Task {
    file: String,
    path: PathBuf,
    store: Store,
}

/// Why a file was not rotated; it is as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum TaskError {
    /// It can't be read as what it says that it is, opened or sealed.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// Its rule in `.sops.yaml` can't be used.
    #[error(transparent)]
    Rule(#[from] CreationError),
    /// One of its own recipients can't be wrapped for.
    #[error(transparent)]
    Recipient(#[from] MasterKeyError),
    /// It can't be read.
    #[error("failed to read it")]
    Read(#[source] io::Error),
    /// It can't be replaced.
    #[error("failed to replace it")]
    Write(#[source] io::Error),
    /// It is no longer sealed.
    #[error("it is not sealed any more")]
    Gone,
    /// Nobody can say which keys its items need, or seal them again.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// Some of its items do not open; each is named.
    #[error("not all of its items open: {0}")]
    Closed(String),
    /// Its items can't be exchanged.
    #[error(transparent)]
    InPlace(InPlaceError),
}

impl TaskError {
    /// Returns what the user can do about it, where there is something.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Sealed(error) => error.hint().map(str::to_owned),
            Self::Rule(error) => error.hint().map(str::to_owned),
            Self::Recipient(error) => Some(error.hint().to_owned()),
            Self::Read(_) | Self::Write(_) | Self::Gone => None,
            Self::Sealing(error) => error.hint(),
            Self::Closed(_) => {
                Some("seal these values again under the name, namespace and scope that the file has".to_owned())
            }
            Self::InPlace(error) => Some(error.hint().to_owned()),
        }
    }
}

/// What a file has, and what it shall have.
struct Outlook {
    document: Document<Sealed>,
    groups: Groups,
    threshold: usize,
    entry: Entry,
}

impl Task {
    /// Takes a file that is called so, and lies there.
    pub(super) fn new(file: String, path: PathBuf) -> Self {
        let store = Store::from_path(&path);
        Self { file, path, store }
    }

    /// Returns what the file is called.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Returns the cleaned path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says what there is to do with a file of this content; nothing for one that is not sealed.
    pub(super) fn look(
        &self,
        bytes: &[u8],
        configuration: Option<&Configuration>,
        wanted: Wanted,
    ) -> Result<Option<Entry>, TaskError> {
        Ok(self.outlook(bytes, configuration, wanted)?.map(|outlook| outlook.entry))
    }

    fn outlook(
        &self,
        bytes: &[u8],
        configuration: Option<&Configuration>,
        wanted: Wanted,
    ) -> Result<Option<Outlook>, TaskError> {
        if !is_sealed(bytes, self.store) {
            return Ok(None);
        }
        let document = Document::<Sealed>::parse_local(bytes, self.store).map_err(SealedError::File)?;
        let terms = document.terms();
        let wants = self.recipients(configuration)?;
        let (groups, said) = match wants {
            Some(wants) => wants,
            None if wanted.only_recipients => {
                let reason = "no rule names recipients for it".to_owned();
                let entry = Entry::new(&self.file, None, Vec::new(), State::Left).because(reason);
                return Ok(Some(Outlook { document, groups: Groups::default(), threshold: 0, entry }));
            }
            None => (Groups::of(&terms.groups)?, terms.shamir_threshold),
        };
        let threshold = groups.threshold(said);
        let changes = Change::all(&terms.groups, &groups);
        let is_new = |limit| document.last_modified().is_none_or(|sealed| sealed >= limit);
        let as_wanted = changes.is_empty() && threshold == terms.shamir_threshold;
        let left = match wanted {
            Wanted { older_than: Some(limit), .. } if is_new(limit) => {
                Some(format!("sealed at {}", document.last_modified().unwrap_or_default()))
            }
            Wanted { only_recipients: true, .. } if as_wanted => Some("it has these recipients already".to_owned()),
            _ => None,
        };
        let action = if wanted.only_recipients { Action::Recipients } else { Action::NewDataKey };
        let entry = match left {
            Some(reason) => Entry::new(&self.file, None, Vec::new(), State::Left).because(reason),
            None => Entry::new(&self.file, Some(action), changes, State::Planned),
        };
        Ok(Some(Outlook { document, groups, threshold, entry }))
    }

    /// Returns who shall be able to open the file, and how many of the groups are needed, as its rule says; nothing where none names
    /// anybody.
    fn recipients(&self, configuration: Option<&Configuration>) -> Result<Option<(Groups, usize)>, TaskError> {
        if let Some(configuration) = configuration
            && let Some(expected) = configuration.expected(&self.path)?
            && expected.groups.iter().any(|group| !group.is_empty())
            && let Some(creation) = configuration.creation(&self.path, Keys::OfTheRule(&Context::new()))?
        {
            return Ok(Some((creation.groups, creation.shamir_threshold)));
        }
        Ok(None)
    }

    /// Opens the file as it is now, seals it and puts the result in its place. Says what was done, or why it was left.
    pub(super) fn carry_out(
        &self,
        configuration: Option<&Configuration>,
        wanted: Wanted,
        identities: &Identities,
    ) -> Result<Entry, TaskError> {
        let old = sealed::read(Some(&self.path)).map_err(TaskError::Read)?;
        let outlook = self.outlook(&old, configuration, wanted)?.ok_or(TaskError::Gone)?;
        let Outlook { document, groups, threshold, entry } = outlook;
        let Some(action) = entry.action else {
            return Ok(entry);
        };
        let opened = open(document.clone(), identities)?;
        let sealed = match action {
            Action::Recipients => {
                let recipients = wrap(&opened.key, &groups, threshold, identities.services())?;
                document.with_recipients(&opened.key, recipients, threshold).map_err(SealedError::Seal)?
            }
            Action::NewDataKey | Action::NewestKey { .. } => {
                let Terms { rule, mac_only_encrypted, .. } = document.terms();
                let terms = NewTerms { groups, shamir_threshold: threshold, rule, mac_only_encrypted };
                seal_anew(opened.document.plain(), terms, identities.services())?
            }
        };
        let indent = configuration.and_then(|configuration| configuration.layouts().of(self.store));
        let text = sealed.text(indent).map_err(|error: SopsError| SealedError::Seal(SealError::File(error)))?;
        sealed::replace_whole(&self.path, &old, text.as_bytes()).map_err(TaskError::Write)?;
        Ok(entry.done())
    }
}
