//! A file of all sealing keys: a List of Secrets as `kubectl get secrets -o yaml` has it, without what belongs to one cluster alone, so
//! that kubectl and either controller take it; as a SOPS file, unless the user wants it in the clear.

use std::io;
use std::path::{Path, PathBuf};

use waxwing_formats::SecretBytes;
use waxwing_formats::sops::{Document, Plain, Rule, RuleKind, Sealed, SopsError, Store};
use zeroize::Zeroizing;

use super::key_secrets::{KeySecret, KeySecretError, LABEL, LEGACY};
use crate::error::Error;
use crate::input::{self, InputError};
use crate::sealed::{
    self, Configuration, Context, Creation, Groups, Identities, Keys, MasterKey, MasterKeyError, Names, NewTerms,
    SealedError, cleaned, is_sealed, open, seal_anew,
};

/// What is sealed in a backup, unless a rule says otherwise: the keys, and not what they are called.
const VALUES: &str = "^(data|stringData)$";

/// The keys of a file.
pub(crate) struct Backup {
    pub(crate) keys: Vec<KeySecret>,
}

/// Why a backup was not written or read. None of it quotes the file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// Nobody is named who could open it.
    #[error("nobody is named who shall be able to open the backup")]
    NoRecipients,
    /// One of the recipients is none.
    #[error(transparent)]
    Recipient(#[from] MasterKeyError),
    /// It could not be sealed.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// It does not open.
    #[error("failed to open {}", file.display())]
    Closed {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: SealedError,
    },
    /// It can't be written in its format.
    #[error("failed to write the backup")]
    Format(#[source] SopsError),
    /// The rule would leave keys in the clear.
    #[error("the rule of .sops.yaml for {} leaves keys in the clear", file.display())]
    InTheClear {
        /// The file.
        file: PathBuf,
    },
    /// It has another ending than a list of objects can have.
    #[error("{} ends neither in .yaml nor in .json", file.display())]
    Ending {
        /// The file.
        file: PathBuf,
    },
    /// Private keys would be shown.
    #[error("private keys are not written to a terminal")]
    Terminal,
    /// There is something already where it should be.
    #[error("{} exists already", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// It can't be read or written.
    #[error("failed to {verb} {}", file.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no text of manifests.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A document in it is no key.
    #[error("{place} holds no sealing key")]
    NoKey {
        /// The file and the line.
        place: String,
        /// Why not.
        source: KeySecretError,
    },
    /// A Secret in it is not marked as a sealing key.
    #[error("{place}: the Secret {name} has no label {LABEL}")]
    NoLabel {
        /// The file and the line.
        place: String,
        /// The name of the Secret.
        name: String,
    },
    /// There are no keys.
    #[error("there are no sealing keys in namespace {namespace}")]
    NoKeys {
        /// The controller's namespace.
        namespace: String,
    },
}

impl BackupError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::NoRecipients => {
                "pass --age or another recipient, write a rule for the file into .sops.yaml, or pass --plaintext if you have another way to protect it"
            }
            Self::Recipient(error) => return Some(error.hint().to_owned()),
            Self::Sealed(error) | Self::Closed { source: error, .. } => return error.hint().map(str::to_owned),
            Self::Format(error) => error.hint(),
            Self::InTheClear { .. } => "take its expression out, or use ^(data|stringData)$",
            Self::Ending { .. } => "call it sealing-keys.sops.yaml, for instance",
            Self::Terminal => "name a file, or leave --plaintext out",
            Self::Exists { .. } => "choose another name: an older backup may have keys that the cluster no longer has",
            Self::File { .. } => return None,
            Self::Input(error) => return error.hint().map(str::to_owned),
            Self::NoKey { .. } => {
                "pass what `seal keys backup` wrote, or `kubectl get secret -l sealedsecrets.bitnami.com/sealed-secrets-key -o yaml`"
            }
            Self::NoLabel { .. } => "give it the label with the value active if it is a sealing key",
            Self::NoKeys { .. } => "name the controller's namespace with --controller-namespace",
        };
        Some(text.to_owned())
    }
}

impl Backup {
    /// Reads the keys of a file, which is opened with the user's own keys if it is sealed, or of standard input for `-`.
    ///
    /// # Errors
    /// Fails when something in it is no sealing key with its certificate.
    pub(crate) fn read(file: &Path) -> Result<Self, BackupError> {
        let (is_input, name) = (file == Path::new("-"), file.display().to_string());
        let text = sealed::read(Some(file).filter(|_| !is_input));
        let text = text.map_err(|source| BackupError::File { verb: "read", file: file.to_owned(), source })?;
        let store = if is_input { store_of_input(&text) } else { Store::from_path(file) };
        let documents = if is_sealed(&text, store) {
            let closed = |source| BackupError::Closed { file: file.to_owned(), source };
            let document = Document::<Sealed>::parse_local(&text, store);
            let document = document.map_err(|error| closed(SealedError::File(error)))?;
            let opened = open(document, &Identities::at_hand()).map_err(closed)?;
            let plain = opened.document.whole().map_err(BackupError::Format)?;
            input::documents_of(name, plain.expose_secret())?
        } else {
            input::documents_of(name, &text)?
        };
        let key = |document: &input::Document| {
            let place = || document.place.clone();
            let failed = |source| BackupError::NoKey { place: place(), source };
            let secret = KeySecret::from_manifest(&document.value).map_err(failed)?;
            if secret.label().is_none() && secret.name != LEGACY {
                return Err(BackupError::NoLabel { place: place(), name: secret.name });
            }
            secret.checked().map_err(failed)?;
            Ok(secret)
        };
        Ok(Self { keys: documents.iter().map(key).collect::<Result<_, _>>()? })
    }

    /// Writes the keys in the clear.
    fn plain(&self, namespace: &str, store: Store) -> Result<Plain, BackupError> {
        let items: Vec<_> = self.keys.iter().map(|key| Zeroizing::new(key.manifest(namespace))).collect();
        let length = items.iter().map(|item| item.len() + 1).sum::<usize>();
        let mut text = Zeroizing::new(Vec::with_capacity(length + HEAD.len() + TAIL.len()));
        text.extend_from_slice(HEAD);
        for (at, item) in items.iter().enumerate() {
            text.extend_from_slice(if at > 0 { b"," } else { b"" });
            text.extend_from_slice(item);
        }
        text.extend_from_slice(TAIL);
        Ok(Plain::parse(&text, Store::Json).map_err(BackupError::Format)?.into_store(store))
    }

    /// Writes the keys for a namespace in the clear, in the format of this file.
    pub(crate) fn in_the_clear(&self, namespace: &str, file: &Path) -> Result<SecretBytes, BackupError> {
        let store = store(file)?;
        self.plain(namespace, store)?.write(store, None).map_err(BackupError::Format)
    }

    /// Writes the keys for a namespace as a SOPS file, for whom is named, else for whom the rule for this file names.
    pub(crate) fn sealed(
        &self,
        namespace: &str,
        file: &Path,
        names: &Names<'_>,
        configuration: Option<&Configuration>,
    ) -> Result<String, Error> {
        let store = store(file)?;
        let terms = terms(file, names, configuration)?;
        let plain = self.plain(namespace, store)?;
        let sealed = seal_anew(plain, terms, Identities::at_hand().services()).map_err(BackupError::Sealed)?;
        let is_value = |path: &waxwing_formats::KeyPath| path.to_string().contains("/data/");
        if sealed.in_the_clear().any(|leaf| is_value(leaf.path)) {
            return Err(BackupError::InTheClear { file: file.to_owned() }.into());
        }
        let indent = configuration.and_then(|configuration| configuration.layouts().of(store));
        Ok(sealed.text(indent).map_err(BackupError::Format)?)
    }
}

/// Puts together who shall be able to open a backup.
fn terms(file: &Path, names: &Names<'_>, configuration: Option<&Configuration>) -> Result<NewTerms, Error> {
    let context = Context::new();
    let creation = match (names.are_none(), configuration) {
        (true, Some(configuration)) => configuration.creation(&cleaned(file), Keys::OfTheRule(&context))?,
        _ => None,
    };
    let Creation { groups, shamir_threshold, rules, mac_only_encrypted } = creation.unwrap_or_default();
    let groups = match names.are_none() {
        true => groups,
        false => Groups::one(MasterKey::named(names, &context).map_err(BackupError::Recipient)?),
    };
    if groups.0.iter().all(Vec::is_empty) {
        return Err(BackupError::NoRecipients.into());
    }
    let rule = match rules.first() {
        Some((kind, text)) => Rule::new(*kind, text),
        None => Rule::new(RuleKind::EncryptedRegex, VALUES),
    };
    Ok(NewTerms { groups, shamir_threshold, rule, mac_only_encrypted })
}

/// Returns the format of a backup.
fn store(file: &Path) -> Result<Store, BackupError> {
    match Store::from_path(file) {
        store @ (Store::Yaml | Store::Json) => Ok(store),
        _ if file == Path::new("-") => Ok(Store::Yaml),
        _ => Err(BackupError::Ending { file: file.to_owned() }),
    }
}

fn store_of_input(text: &[u8]) -> Store {
    if text.trim_ascii_start().starts_with(b"{") { Store::Json } else { Store::Yaml }
}

const HEAD: &[u8] = b"{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[";
const TAIL: &[u8] = b"]}";
