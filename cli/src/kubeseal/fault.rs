//! What went wrong, in the words of kubeseal 0.40 where scripts look for them, with a hint on a line of its own.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use waxwing_formats::go_object::ShapeError;
use waxwing_formats::sealed_secret::{CertificateError, ItemTemplateError, PlainSecretError, SealError};
use waxwing_formats::yaml::YamlError;

use crate::certificate::FetchError;
use crate::cluster::ClusterError;

/// Why a call failed; none of it quotes a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// A value that is not asked for.
    #[error("--from-file requires --raw")]
    FromFileWithoutRaw,
    /// Which of two values to seal is not said.
    #[error("must provide only one --from-file when encrypting a single item with --raw")]
    SeveralValues,
    /// With --raw, something is needed that the value is bound to.
    #[error("must provide the --{flag} flag with --raw and --scope {scope}")]
    Unbound {
        /// The flag that is missing.
        flag: &'static str,
        /// The scope.
        scope: String,
    },
    /// Two flags say what to write.
    #[error("--sealed-secret-file can't be used with --merge-into, which writes its own file")]
    TwoTargets,
    /// The form is unknown.
    #[error("unsupported output format: {0}")]
    Format(String),
    /// The input can't be opened.
    #[error("Could not read file specified with --secret-file")]
    SecretFile(#[source] io::Error),
    /// A file can't be read.
    #[error("open {}: {}", path.display(), GoError(source_))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source_: io::Error,
    },
    /// The value can't be read.
    #[error("failed to read standard input")]
    Stdin(#[source] io::Error),
    /// A file can't be written.
    #[error("failed to write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Standard output can't be written.
    #[error("{0}")]
    Print(String),
    /// The result does not fit the memory.
    #[error("failed to write the object")]
    Encode(#[source] io::Error),

    /// The input is neither YAML nor JSON.
    #[error("{name} is not well-formed YAML or JSON")]
    Malformed {
        /// The file.
        name: String,
        /// Where, and what is wrong there.
        source: YamlError,
    },
    /// There is no Secret.
    #[error("no secrets found. Ensure the input is valid and UTF-8 encoded")]
    NoSecrets,
    /// There is no SealedSecret.
    #[error("there is no SealedSecret in {0}")]
    NoSealedSecret(String),
    /// A document is something else than it should be.
    #[error("{place}: the document is of the kind {found:?}, not a {wanted}")]
    OtherKind {
        /// The file and the line.
        place: String,
        /// What it should be.
        wanted: &'static str,
        /// What it says that it is.
        found: String,
    },
    /// A field has the wrong type.
    #[error("{place}: {source_}")]
    Shape {
        /// The file and the line.
        place: String,
        /// Which field.
        source_: ShapeError,
    },
    /// A Secret has a field that can't be sealed.
    #[error("{place}: {source_}")]
    Secret {
        /// The file and the line.
        place: String,
        /// What is wrong with it.
        source_: PlainSecretError,
    },
    /// A Secret has no values.
    #[error(
        "secret.data is empty in input Secret, assuming this is an error and aborting. To work with empty data, --allow-empty-data can be used"
    )]
    EmptyData,
    /// A Secret has no name.
    #[error("missing metadata.name in input Secret")]
    NoName,
    /// A Secret has no namespace, and there is none in the kubeconfig.
    #[error("secret must declare a namespace")]
    NoNamespace,
    /// The flag and the Secret disagree.
    #[error("namespace mismatch: input secret is in namespace {own:?} but {flag:?} was specified")]
    NamespaceMismatch {
        /// What the Secret says.
        own: String,
        /// What the flag says.
        flag: String,
    },
    /// A value could not be sealed.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The new values would be bound otherwise than those of the file, and never open.
    #[error("{} is of scope {file_scope}, and the new values would be of scope {scope}", path.display())]
    OtherScope {
        /// The file to merge into.
        path: PathBuf,
        /// The scope of the file.
        file_scope: String,
        /// The scope of the new values.
        scope: String,
    },
    /// A file to merge into has several documents.
    #[error("{} has more than one document", path.display())]
    SeveralDocuments {
        /// The file.
        path: PathBuf,
    },

    /// There is no certificate in the file.
    #[error("data does not contain any valid RSA or ECDSA certificates")]
    NoCertificate,
    /// The certificate is of another kind of key.
    #[error("expected RSA public key but found another kind")]
    NotRsa,
    /// The certificate may no longer be sealed with.
    #[error("failed to encrypt using an expired certificate on {0}")]
    Expired(String),
    /// The certificate is no good.
    #[error("the certificate can't be sealed with")]
    Certificate(#[source] CertificateError),
    /// The certificate could not be fetched from an address.
    #[error(transparent)]
    Fetch(FetchError),

    /// A private key can't be used.
    #[error("{}: {what}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A SealedSecret is of the older form.
    #[error("using deprecated 'data' field, use 'encryptedData' or flip the feature flag")]
    OlderForm,
    /// Templates can't be parsed, or fail.
    #[error("/spec/template/data: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    Templates(Vec<ItemTemplateError>),
    /// Items don't open.
    #[error("{text}")]
    Closed {
        /// What kubeseal says: causes, each with its items.
        text: String,
        /// What would help, if that was found out.
        hint: Option<String>,
    },

    /// There is no kubeconfig.
    #[error(
        "invalid configuration: no configuration has been provided, try setting KUBERNETES_MASTER environment variable"
    )]
    NoConfiguration,
    /// The proxy is of a kind that is not supported. Its address may have a password in it, so it is not shown.
    #[error("the proxy before the API server can only be reached by http://")]
    Proxy,
    /// A name leads nowhere in the kubeconfig.
    #[error("invalid configuration: {kind} was not found for specified {kind}: {name}")]
    NoEntry {
        /// What should have the name.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The cluster can't be asked.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The controller's Service can't be read.
    #[error(
        "cannot get sealed secret service: {why}.\nPlease, use the flag --controller-name and --controller-namespace to set up the name and namespace of the sealed secrets controller"
    )]
    Service {
        /// What the API server answered.
        why: String,
    },
    /// The controller did not give its certificate.
    #[error("cannot fetch certificate: {0}")]
    NoAnswer(String),
    /// The controller can't open a SealedSecret.
    #[error("unable to decrypt sealed secret: {0}")]
    NotValid(String),
    /// The controller did not say whether it can.
    #[error("cannot validate sealed secret: {0}")]
    NotValidated(String),
    /// The controller can't open a SealedSecret that it should seal again.
    #[error("unable to rotate secret")]
    NotRotated,
    /// The controller did not seal again.
    #[error("cannot re-encrypt secret: {0}")]
    NotReEncrypted(String),
}

impl Fault {
    /// A file can't be read.
    pub(super) fn read(path: &Path, error: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source_: error }
    }

    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Malformed { source, .. } => source.hint(),
            Self::Secret { source_, .. } => source_.hint(),
            Self::Seal(error) => return error.hint().map(str::to_owned),
            Self::Fetch(error) => return error.hint(),
            Self::Cluster(error) => return error.hint(),
            Self::Certificate(error) => error.hint(),
            Self::Closed { hint, .. } => return hint.clone(),
            Self::Templates(errors) => errors.first()?.source.hint(),
            Self::NoSecrets => "check that the command before the pipe worked, and that its output is UTF-8",
            Self::OtherKind { wanted: "Secret", .. } => {
                "pass what `kubectl create secret ... --dry-run=client -o yaml` prints; `seal` takes lists too"
            }
            Self::Shape { source_, .. } if source_.expected == "a string" => "write the value in quotes",
            Self::Shape { source_, .. } if source_.expected == "base64" => "put the value under stringData as it is",
            Self::NoName => "name it: the name is part of what is sealed; or pass --name",
            Self::NoNamespace => "set metadata.namespace, or pass --namespace",
            Self::OtherScope { .. } => {
                "leave --scope out, and the scope of the file is taken; or seal into another file"
            }
            Self::SeveralDocuments { .. } => "put each SealedSecret into a file of its own",
            Self::NoCertificate | Self::NotRsa | Self::Expired(_) => {
                "pass the file that `kubeseal --fetch-cert` prints; the cluster renews its sealing key"
            }
            Self::NoConfiguration => "pass --kubeconfig, or seal without access to the cluster by passing --cert",
            Self::OlderForm => "seal the Secret again: each value gets its own entry under spec.encryptedData",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl From<CertificateError> for Fault {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Missing => Self::NoCertificate,
            CertificateError::NotRsa => Self::NotRsa,
            CertificateError::Expired { not_after } => Self::Expired(not_after.strftime("%B %-d, %Y").to_string()),
            error => Self::Certificate(error),
        }
    }
}

impl From<FetchError> for Fault {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::File { path, source } => Self::Read { path, source_: source },
            error => Self::Fetch(error),
        }
    }
}

/// Says what the system said as Go does.
struct GoError<'a>(&'a io::Error);

impl fmt::Display for GoError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string().to_lowercase();
        f.write_str(text.split_once(" (os error").map_or(text.as_str(), |(text, _)| text))
    }
}
