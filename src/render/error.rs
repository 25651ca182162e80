//! What a render refuses, where that stands in the repository, and what to do about it.
//!
//! Nothing here quotes a value: a fault names the file, the document, the key path and, where that is public by
//! nature (an entry of a kustomization, the name of an object), the text at fault.

use std::fmt;
use std::io;
use std::time::Duration;

use thiserror::Error;
use waxwing_formats::reference::{ForeignError, ReferenceError};
use waxwing_formats::sealed_secret::ManifestError;
use waxwing_formats::sops::SopsError;
use waxwing_formats::yaml::YamlError;
use waxwing_plan::{Location, ObjectId};

use crate::source::TreeError;

/// Where in the repository something stands; what isn't known is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The path from the repository's root.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The position of the document in the file, from 0.
    pub document: Option<usize>,
    /// The JSON pointer of the value in the document.
    pub key_path: Option<String>,
}

impl Place {
    /// Names a file as a whole.
    pub fn file(path: impl Into<String>) -> Self {
        Self { file: path.into(), ..Self::default() }
    }

    /// Returns this place with a JSON pointer.
    pub fn at(&self, key_path: impl Into<String>) -> Self {
        Self { key_path: Some(key_path.into()), ..self.clone() }
    }

    /// Returns this place with a line.
    pub fn line(&self, line: usize) -> Self {
        Self { line: Some(line), ..self.clone() }
    }
}

impl From<&Location> for Place {
    fn from(location: &Location) -> Self {
        Self {
            file: location.file.clone(),
            line: Some(location.line),
            document: Some(location.document),
            key_path: None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(document) = self.document {
            write!(f, ", document {document}")?;
        }
        match &self.key_path {
            Some(path) => write!(f, ", {path}"),
            None => Ok(()),
        }
    }
}

/// One thing that keeps a render from being made.
#[derive(Debug, Error)]
#[error("{place}: {fault}")]
pub struct RenderError {
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub fault: Box<Fault>,
}

impl RenderError {
    /// Puts a fault in its place.
    pub fn new(place: Place, fault: impl Into<Fault>) -> Self {
        Self { place, fault: Box::new(fault.into()) }
    }

    /// Returns what the user can do, if there is something.
    pub fn hint(&self) -> Option<String> {
        self.fault.hint()
    }
}

/// What is wrong with a source file or with what was rendered from it.
#[derive(Debug, Error)]
pub enum Fault {
    /// What is to be rendered is not a folder that can be read.
    #[error("failed to find the folder to render")]
    Folder(#[source] TreeError),
    /// The tree has no such file, or refuses to hand it out.
    #[error("failed to read from the repository")]
    Tree(#[from] TreeError),
    /// Not YAML or JSON that Kubernetes tools would read, or with duplicate keys.
    #[error("failed to parse the file")]
    Yaml(#[from] YamlError),
    /// Sealed by SOPS, but not in a form that can be opened.
    #[error("failed to parse the SOPS file")]
    Sops(#[from] SopsError),
    /// The files that go in are more or larger than one render takes.
    #[error("the files that go in exceed {limit}")]
    TooMuch {
        /// The limit in words.
        limit: &'static str,
    },
    /// Committed text uses the prefix of handles.
    #[error("the text holds `waxwinghandle0`, which is reserved for handles")]
    HandleInGit,
    /// Sealed, but under a name that tells another format.
    #[error("the file is sealed, but its name does not tell in which format")]
    FormatHidden,
    /// An object whose identity is sealed.
    #[error("the object's `{field}` is sealed")]
    SealedIdentity {
        /// The field.
        field: &'static str,
    },
    /// A SOPS token outside a SOPS file.
    #[error("a SOPS ciphertext stands in a file without SOPS metadata")]
    CiphertextOutside,
    /// A `sops` block in something that is not recognized as sealed.
    #[error("a `sops` block stands in a document that is not the first of a SOPS file")]
    StraySopsBlock,
    /// Sealed where only plain text makes sense.
    #[error("{what} is sealed, but must be readable")]
    SealedNotAllowed {
        /// What kind of file it is.
        what: &'static str,
    },
    /// Not a Kubernetes object.
    #[error("the document is not a Kubernetes object: it has no {field}")]
    NotAnObject {
        /// The missing field.
        field: &'static str,
    },
    /// `generateName` instead of a name.
    #[error("the object has `generateName` instead of a name")]
    GenerateName,
    /// A value of a Secret that isn't text.
    #[error("the value is not a string")]
    SecretValueNotText,
    /// `data` or `stringData` that isn't a mapping.
    #[error("the field is not a mapping")]
    NotAMapping,
    /// An object that stands twice in one render.
    #[error("{id} stands here and in {other}")]
    Duplicate {
        /// The object.
        id: Box<ObjectId>,
        /// The other place.
        other: Box<Place>,
    },
    /// Text in a Secret that isn't sealed, where the policy denies it.
    #[error("the Secret value is not sealed")]
    PlaintextSecret,
    /// Text that came into a Secret while it was rendered, where the policy denies it.
    #[error("{object} gets a value at {pointer} that is not sealed")]
    PlaintextRendered {
        /// The object.
        object: ObjectId,
        /// The JSON pointer of the string.
        pointer: String,
    },

    /// An `apiVersion` that is neither a version nor a group and a version.
    #[error("apiVersion is neither VERSION nor GROUP/VERSION")]
    BadApiVersion,
    /// What begins as a reference to a store and is none.
    #[error("{0} ({name})", name = .0.name())]
    Reference(ReferenceError),
    /// A reference of another tool that the Sync has read, and that can't be.
    #[error("{0} ({name})", name = .0.name())]
    Foreign(ForeignError),
    /// A reference that a sealed value is part of.
    #[error("a part of a reference is sealed")]
    SealedReference,
    /// A reference under `data` of a Secret that is not base64.
    #[error("a reference stands under data of a Secret as it is")]
    ReferenceNotEncoded,
    /// The annotation for Secrets on something else.
    #[error("only a Secret is filled with the entries of a secret in a store")]
    ExpandsOther,
    /// The annotation with a reference to something that has no entries.
    #[error("what is decoded has no entries to fill a Secret with")]
    ExpandsValue,

    /// The annotation on a SealedSecret.
    #[error("a SealedSecret is not filled with the entries of a secret in a store")]
    ExpandsSealed,
    /// A reference in what a SealedSecret says of itself.
    #[error("a reference stands in the metadata of a SealedSecret, where none is resolved")]
    ReferenceBesideSealed,

    /// Two files claim to be the folder's kustomization.
    #[error("the folder has both {0} and {1}")]
    TwoKustomizations(String, String),
    /// A kustomization that isn't exactly one document with a mapping.
    #[error("the kustomization is not one document with a mapping")]
    NotAKustomization,
    /// A field that runs programs or reads the network.
    #[error("`{field}` is not allowed")]
    FieldNotAllowed {
        /// The field of the kustomization.
        field: String,
    },
    /// A field that Kustomize doesn't have there, or has in another spelling.
    #[error("`{field}` is not a field of a kustomization")]
    UnknownField {
        /// The field as it is written.
        field: String,
    },
    /// A field with something else than Kustomize expects.
    #[error("the entry is not {expected}")]
    WrongType {
        /// What should stand there.
        expected: &'static str,
    },
    /// A base, component or file from elsewhere.
    #[error("`{entry}` is remote; nothing was fetched")]
    RemoteEntry {
        /// The entry as it is written.
        entry: String,
    },
    /// An absolute path.
    #[error("`{entry}` is an absolute path")]
    AbsoluteEntry {
        /// The entry as it is written.
        entry: String,
    },
    /// A path above the repository's root.
    #[error("`{entry}` leaves the repository")]
    LeavesRepository {
        /// The entry as it is written.
        entry: String,
    },
    /// A path at which nothing stands.
    #[error("`{entry}` does not exist in this revision")]
    MissingEntry {
        /// The entry as it is written.
        entry: String,
    },
    /// A folder where a file is needed.
    #[error("`{entry}` is a folder, but a file is needed")]
    FolderEntry {
        /// The entry as it is written.
        entry: String,
    },
    /// A base that is an ordinary folder.
    #[error("the folder `{entry}` has no kustomization")]
    NoKustomization {
        /// The entry as it is written.
        entry: String,
    },
    /// A base that includes itself.
    #[error("`{entry}` includes itself")]
    Cycle {
        /// The entry as it is written.
        entry: String,
    },
    /// The file of a kustomization where an ordinary file is meant.
    #[error("`{entry}` is the file of a kustomization")]
    KustomizationAsFile {
        /// The entry as it is written.
        entry: String,
    },
    /// One file came to be staged in two ways at the same place, which can't happen.
    #[error("the file was prepared for kustomize in two ways")]
    StagedTwice,
    /// An object of Kustomize's own group, which no cluster takes, in what Kustomize printed.
    #[error("kustomize printed an object that is its own input, of the group kustomize.config.k8s.io")]
    KustomizeObject,
    /// A generator entry that isn't `path` or `key=path`, or a literal that isn't `key=value`.
    #[error("the entry is not in the form {form}")]
    GeneratorEntry {
        /// The expected form.
        form: &'static str,
    },
    /// A line of an env file that is sealed or secret and not `KEY=VALUE`.
    #[error("the line is not in the form KEY=VALUE")]
    EnvLine,
    /// An env file that was encrypted in another format, so that its keys are not readable.
    #[error("the env file is sealed in another format than dotenv")]
    EnvNotDotenv,

    /// A private folder could not be made or written.
    #[error("failed to write the closure to a private temporary folder")]
    Staging(#[source] io::Error),
    /// The program could not be started.
    #[error("failed to run kustomize")]
    Start(#[source] io::Error),
    /// The program took too long.
    #[error("kustomize did not finish within {0:?} and was stopped")]
    TimedOut(Duration),
    /// The program printed too much.
    #[error("kustomize printed more than {0} bytes and was stopped")]
    TooMuchOutput(usize),
    /// The program refused its input; its message has handles at most.
    #[error("kustomize refused its input: {message}")]
    Kustomize {
        /// What it printed, with paths of the repository.
        message: String,
    },
    /// The same, where that may come from the handles of values whose target doesn't tell the kind.
    #[error("kustomize refused its input, in which the value of this patch was a handle: {message}")]
    KustomizeUnsure {
        /// What it printed, with paths of the repository.
        message: String,
    },
    /// The program's output can't be read.
    #[error("failed to parse what kustomize printed")]
    Output(#[source] YamlError),

    /// A cut or changed handle.
    #[error("{object} holds a damaged handle at {pointer}")]
    DamagedHandle {
        /// The object.
        object: ObjectId,
        /// The JSON pointer of the string.
        pointer: String,
    },
    /// A replacement with a delimiter of letters and digits.
    #[error("the delimiter has nothing but letters and digits, and so could cut a sealed value")]
    CutsSealedValues,
    /// A `test` in a JSON patch of a value that Kustomize has a handle for.
    #[error("the operation tests a value that is, or may be, a Secret's, which kustomize never sees")]
    TestsSecret,
    /// A well-formed handle that is not of this render.
    #[error("{object} holds a handle of another render at {pointer}")]
    UnknownHandle {
        /// The object.
        object: ObjectId,
        /// The JSON pointer of the string.
        pointer: String,
    },
    /// A handle that was encoded in a way that can't be followed.
    #[error("{object} holds a sealed value at {pointer} in an encoding that can't be followed")]
    EncodedHandle {
        /// The object.
        object: ObjectId,
        /// The JSON pointer of the string.
        pointer: String,
    },
    /// A SealedSecret that isn't well-formed.
    #[error("failed to read the SealedSecret")]
    SealedSecret(#[from] ManifestError),
    /// Something else than one sealed item under `spec.encryptedData`.
    #[error("the value is not one item that was sealed for a SealedSecret")]
    NotASealedItem,
    /// A template of a SealedSecret that is sealed itself.
    #[error("the template of a SealedSecret holds a sealed value")]
    SealedTemplate,
    /// An item of a SealedSecret that was copied to another object.
    #[error("{object} holds an item of a SealedSecret at {pointer}, where it can't be opened")]
    SealedItemMoved {
        /// The object.
        object: ObjectId,
        /// The JSON pointer of the string.
        pointer: String,
    },
    /// A handle in a map key.
    #[error("{object} holds a sealed value in a map key below {pointer}")]
    HandleInKey {
        /// The object.
        object: ObjectId,
        /// The JSON pointer of the mapping.
        pointer: String,
    },
}

impl Fault {
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Folder(error) | Self::Tree(error) => error.hint(),
            Self::Yaml(error) => error.hint(),
            Self::Sops(error) => error.hint(),
            Self::SealedSecret(error) => error.hint(),
            Self::SealedItemMoved { .. } => "refer to the Secret by name, or seal the value for that object too",
            Self::NotASealedItem => "put the item there as `seal` printed it",
            Self::SealedTemplate => {
                "seal the value as an item of the SealedSecret, and use it as a field in the template"
            }
            Self::HandleInGit => "seal the value itself instead of copying from rendered output",
            Self::FormatHidden => {
                "end its name in .yaml, .json or .env, or encrypt it again under the name that it has"
            }
            Self::SealedIdentity { .. } => "encrypt values only, with --encrypted-regex '^(data|stringData)$'",
            Self::CiphertextOutside => {
                "commit the file as sops wrote it, with its metadata and a name that tells its format"
            }
            Self::StraySopsBlock => "encrypt the file as a whole with sops instead of joining sealed documents",
            Self::SealedNotAllowed { .. } => {
                "decrypt this file, and seal the Secret manifests or generator files instead"
            }
            Self::NotAnObject { .. } => {
                "move files that are not manifests elsewhere, or add a kustomization that lists what to apply"
            }
            Self::GenerateName => "give the object a name: objects without one can't be kept equal to Git",
            Self::SecretValueNotText => "quote the value",
            Self::Duplicate { .. } => "keep one of them",
            Self::PlaintextSecret | Self::PlaintextRendered { .. } => {
                "seal it with `seal` or `sops`, or set spec.secrets.plaintext to Warn or Allow"
            }
            Self::BadApiVersion => "write v1 for what Kubernetes has itself, and GROUP/VERSION for all else",
            Self::Reference(error) => error.hint(),
            Self::Foreign(error) => error.hint(),
            Self::SealedReference => "write the reference in clear text: it is public, and gives no right to anything",
            Self::ReferenceNotEncoded => "write it under stringData, or as base64",
            Self::ExpandsOther => "take the annotation waxwing.dev/expand off, or refer to single values",
            Self::ExpandsSealed => "put the annotation waxwing.dev/expand on a Secret of its own",
            Self::ReferenceBesideSealed => "take it out, or put it into a Secret of its own",
            Self::ExpandsValue => "leave decode=base64 out of the annotation, or refer to the value under stringData",
            Self::TwoKustomizations(..) => "keep one of them",
            Self::FieldNotAllowed { .. } => {
                "render it beforehand and commit the result, or use resources, components and patches"
            }
            Self::UnknownField { .. } => {
                "check its spelling against the reference of Kustomize, capital and small letters too"
            }
            Self::KustomizationAsFile { .. } => "name its folder in `resources`, or give the file another name",
            Self::StagedTwice => "report this: it is a fault of Waxwing",
            Self::KustomizeObject => "take it out of `resources`, and name the folder of a kustomization there",
            Self::RemoteEntry { .. } => "commit a copy into this repository and name that",
            Self::AbsoluteEntry { .. } | Self::LeavesRepository { .. } => {
                "name a file of this repository, relative to the kustomization"
            }
            Self::MissingEntry { .. } => "commit it, or take the entry out",
            Self::FolderEntry { .. } => "name the files one by one",
            Self::NoKustomization { .. } => "add a kustomization.yaml to it, or name its files one by one",
            Self::EnvNotDotenv => "encrypt it again with `sops encrypt --input-type dotenv --output-type dotenv`",
            Self::EnvLine => "write one KEY=VALUE on each line; keys have letters, digits, `-`, `_` and `.`",
            Self::Start(_) => "set the path of the kustomize program",
            Self::CutsSealedValues => "cut at another character, such as `:`, or copy the value whole",
            Self::TestsSecret => "take the operation out, or name the kind in the patch's target if it is not Secret",
            Self::DamagedHandle { .. } => "don't cut, change the case of, or compute with sealed values",
            Self::UnknownHandle { .. } => "take the sealed value from a file of this render",
            Self::EncodedHandle { .. } => "copy sealed values as they are, or as the whole of a base64 string",
            Self::HandleInKey { .. } => "seal values only: sops leaves keys readable",
            Self::TooMuch { .. } => "name a smaller folder in spec.path, or split it over several Syncs",
            Self::NotAMapping => "write `key: value` pairs under it",
            Self::NotAKustomization => "write one document with the fields of a kustomization",
            Self::WrongType { .. } => "see the reference of Kustomize for this field",
            Self::Cycle { .. } => "take the entry out",
            Self::GeneratorEntry { .. } => "see the reference of Kustomize for generators",
            Self::Staging(_) => "check the space in the controller's temporary folder",
            Self::TimedOut(_) => "raise spec.timeout, or split the kustomization over several Syncs",
            Self::TooMuchOutput(_) => "split the kustomization over several Syncs",
            Self::Kustomize { .. } => "correct the kustomization; `kustomize build` of the folder says the same",
            Self::KustomizeUnsure { .. } => {
                "name the kind in the patch's target; if that doesn't help, correct the kustomization as it is told"
            }
            Self::Output(_) => "please report this",
        };
        Some(hint.to_owned())
    }
}
