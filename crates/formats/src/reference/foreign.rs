//! The references of vals and of argocd-vault-plugin: recognized, with what they name and what a reference of ours would need.
//!
//! Sources: vals, `vals.go` and `pkg/providers/*`; argocd-vault-plugin, `pkg/kube/util.go` and `docs/howitworks.md`. Both let the
//! text in Git say where the store is and who logs in; here that is [`Need::Location`], for a `SecretBackend` to say. Nothing here
//! keeps what such a parameter is set to, since it may be a credential.

use std::fmt;

use super::escape::decode_any;
use super::{Decode, MAX_BYTES, Pointer, Reference, ReferenceError, SecretPath, StoreKind, StoreName, Version};

/// What another tool takes for a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Whose it is.
    pub form: Form,
    /// What it names; nothing where that is not a secret in a store.
    pub names: Option<Result<Named, ReferenceError>>,
    /// What has to be mapped or has no counterpart, in the order in which it stands there.
    pub needs: Vec<Need>,
    /// The vault of Azure that it names.
    pub vault: Option<String>,
}

/// Whose form it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// `ref+PROVIDER://` of vals.
    Vals(Provider),
    /// `<path:...>` of argocd-vault-plugin, whose store is the one that its `AVP_TYPE` names.
    ArgocdVaultPlugin,
}

/// The providers of vals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Provider {
    /// HashiCorp Vault.
    Vault,
    /// OpenBao.
    OpenBao,
    /// AWS Secrets Manager.
    AwsSecrets,
    /// AWS Systems Manager Parameter Store.
    AwsSsm,
    /// Google Cloud Secret Manager.
    GcpSecrets,
    /// Azure Key Vault.
    AzureKeyVault,
    /// Any other: by its scheme. None of them is a store that a backend could be.
    Other(&'static str),
}

const STORES: [(&str, Provider); 6] = [
    ("vault", Provider::Vault),
    ("openbao", Provider::OpenBao),
    ("awssecrets", Provider::AwsSecrets),
    ("awsssm", Provider::AwsSsm),
    ("gcpsecrets", Provider::GcpSecrets),
    ("azurekeyvault", Provider::AzureKeyVault),
];

const OTHERS: [&str; 35] = [
    "awskms",
    "bw",
    "bws",
    "conjur",
    "doppler",
    "echo",
    "envsubst",
    "exec",
    "file",
    "gcs",
    "gitlab",
    "gkms",
    "googlesheets",
    "hcpvaultsecrets",
    "httpjson",
    "infisical",
    "k8s",
    "keychain",
    "oci",
    "onepasswordconnect",
    "op",
    "passbolt",
    "pulumistateapi",
    "redis",
    "s3",
    "scaleway",
    "servercore",
    "sops",
    "tfstate",
    "tfstateazurerm",
    "tfstategs",
    "tfstateremote",
    "tfstates3",
    "tss",
    "yclockbox",
];

impl Provider {
    /// Finds the provider that a scheme names.
    pub(super) fn of_scheme(scheme: &str) -> Option<Self> {
        let store = STORES.iter().find(|(name, _)| *name == scheme).map(|(_, provider)| *provider);
        store.or_else(|| OTHERS.iter().find(|name| **name == scheme).map(|name| Self::Other(name)))
    }

    /// Returns its scheme.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Other(scheme) => scheme,
            store => STORES.iter().find(|(_, provider)| *provider == store).map_or("", |(scheme, _)| scheme),
        }
    }
}

/// What a reference of another tool names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The secret.
    pub path: SecretPath,
    /// The value in it.
    pub pointer: Pointer,
    /// Its version.
    pub version: Option<Version>,
    /// What is done with the value.
    pub decode: Option<Decode>,
}

/// What has to be mapped, or can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Need {
    /// A parameter says where the store is or who logs in.
    Location(&'static str),
    /// The first segment named the vault of Azure, which is the address of a backend.
    AzureVault,
    /// vals finds out by itself whether an engine has versions.
    DataSegment,
    /// A parameter that references of ours don't have.
    Parameter(&'static str),
    /// A parameter of which nothing is known.
    UnknownParameter,
    /// The value is encoded for the `data` of a Secret.
    Base64Encode,
    /// A modifier that references of ours don't have.
    Modifier(&'static str),
    /// A modifier of which nothing is known.
    UnknownModifier,
    /// It names no secret in a store.
    NoStore,
}

impl Need {
    /// Tells whether a reference of ours would bring another value without it.
    pub fn has_no_counterpart(self) -> bool {
        match self {
            Self::Location(_) | Self::AzureVault | Self::DataSegment | Self::Base64Encode => false,
            Self::Parameter(_) | Self::UnknownParameter | Self::Modifier(_) | Self::UnknownModifier | Self::NoStore => {
                true
            }
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Location(name) => write!(f, "the SecretBackend says what the parameter {name} says"),
            Self::AzureVault => f.write_str("the vault in front of the secret is the address of the SecretBackend"),
            Self::DataSegment => f.write_str("for an engine of KV version 2, data goes behind the engine in the path"),
            Self::Parameter(name) => write!(f, "the parameter {name} has no counterpart"),
            Self::UnknownParameter => f.write_str("a parameter has no counterpart"),
            Self::Base64Encode => f.write_str("base64encode goes: the value is written under stringData"),
            Self::Modifier(name) => write!(f, "the modifier {name} has no counterpart"),
            Self::UnknownModifier => f.write_str("a modifier has no counterpart"),
            Self::NoStore => f.write_str("it names no secret in a store"),
        }
    }
}

/// Parameters of vals that say where a store is and who logs in.
const LOCATIONS: [&str; 18] = [
    "address",
    "auth_method",
    "host",
    "namespace",
    "password_env",
    "password_file",
    "profile",
    "project",
    "proto",
    "region",
    "role",
    "role_arn",
    "role_id",
    "secret_id",
    "token",
    "token_env",
    "token_file",
    "username",
];

/// Parameters of vals that say what becomes of the value.
const OTHER_PARAMETERS: [&str; 7] = ["fallback", "fallback_value", "mode", "optional", "raw", "recursive", "trim_nl"];

/// Modifiers of argocd-vault-plugin, but for those of base64.
const MODIFIERS: [&str; 5] = ["indent", "jsonParse", "jsonPath", "sha256sum", "yamlParse"];

impl Foreign {
    /// Returns the reference of ours to the same value, in a store of this name. There is none where that would be another value, or
    /// too long.
    pub fn native(&self, store: &StoreName) -> Option<Reference> {
        let Named { path, pointer, version, decode } = self.names.clone()?.ok()?;
        let is_same = !self.needs.iter().any(|need| need.has_no_counterpart());
        let kind = StoreKind::Namespaced;
        let native = Reference { kind, store: store.clone(), path, version, decode, refresh: None, pointer };
        (is_same && native.to_string().len() <= MAX_BYTES).then_some(native)
    }

    /// Reads what stands behind `://` in a reference of vals.
    pub(super) fn of_vals(provider: Provider, body: &str) -> Self {
        let form = Form::Vals(provider);
        if let Provider::Other(_) = provider {
            return Self { form, names: None, needs: vec![Need::NoStore], vault: None };
        }
        let (body, fragment) = body.split_once('#').map_or((body, None), |(body, fragment)| (body, Some(fragment)));
        let (path, query) = body.split_once('?').unwrap_or((body, ""));
        let mut query = Query::read(query, provider);
        let names = query.names(provider, path, fragment);
        Self { form, names: Some(names), needs: query.needs, vault: query.vault }
    }

    /// Reads what stands between `<path:` and `>`.
    pub(super) fn of_placeholder(inner: &str) -> Self {
        let mut parts = inner.split('|');
        let place = parts.next().unwrap_or_default();
        let (mut needs, mut decode) = (Vec::new(), None);
        for modifier in parts {
            match modifier.split_whitespace().next().unwrap_or_default() {
                "base64decode" => decode = Some(Decode::Base64),
                "base64encode" => needs.push(Need::Base64Encode),
                name => needs.push(known(&MODIFIERS, name).map_or(Need::UnknownModifier, Need::Modifier)),
            }
        }
        Self { form: Form::ArgocdVaultPlugin, names: Some(placed(place, decode)), needs, vault: None }
    }
}

fn placed(place: &str, decode: Option<Decode>) -> Result<Named, ReferenceError> {
    let mut parts = place.splitn(3, '#').map(str::trim);
    let path = SecretPath::new(parts.next().unwrap_or_default().split('/').map(str::to_owned))?;
    let pointer = Pointer::new([parts.next().unwrap_or_default().to_owned()])?;
    let version = parts.next().map(str::parse).transpose()?;
    Ok(Named { path, pointer, version, decode })
}

fn known(names: &[&'static str], name: &str) -> Option<&'static str> {
    names.iter().find(|known| **known == name).copied()
}

/// The parameters of a reference of vals.
struct Query {
    version: Option<Result<Version, ReferenceError>>,
    decode: Option<Decode>,
    /// Of Parameter Store: the pointer is one into the value, and not the rest of the path.
    is_single: bool,
    needs: Vec<Need>,
    vault: Option<String>,
}

impl Query {
    fn read(query: &str, provider: Provider) -> Self {
        let mut read = Self { version: None, decode: None, is_single: false, needs: Vec::new(), vault: None };
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (name, provider) {
                ("version", _) | ("version_id" | "version_stage", Provider::AwsSecrets) => {
                    read.version = Some(value.parse());
                }
                ("decode", _) if value == "base64" => read.decode = Some(Decode::Base64),
                ("mode", Provider::AwsSsm) if value == "singleparam" => read.is_single = true,
                (name, _) => read.needs.push(need(name)),
            }
        }
        read
    }

    fn names(&mut self, provider: Provider, path: &str, fragment: Option<&str>) -> Result<Named, ReferenceError> {
        let decoded = |text: &str| text.split('/').map(decode_any).collect::<Result<Vec<_>, _>>();
        let mut segments = decoded(path.strip_prefix('/').unwrap_or(path))?;
        let mut keys = match fragment.map(|keys| keys.strip_prefix('/').unwrap_or(keys)) {
            Some("") | None => Vec::new(),
            Some(keys) => decoded(keys)?,
        };
        match provider {
            Provider::Vault | Provider::OpenBao => {
                if keys.is_empty() {
                    keys.extend(segments.pop());
                }
                let has_data = segments.iter().skip(1).any(|segment| segment == "data");
                self.needs.extend((!has_data).then_some(Need::DataSegment));
            }
            Provider::AwsSsm if !self.is_single => segments.append(&mut keys),
            Provider::AzureKeyVault => {
                self.needs.push(Need::AzureVault);
                self.vault = segments.drain(..segments.len().min(1)).next();
                self.version = if segments.len() > 1 { segments.pop().map(|text| text.parse()) } else { None };
            }
            Provider::AwsSsm | Provider::AwsSecrets | Provider::GcpSecrets | Provider::Other(_) => {}
        }
        if !segments.is_empty() {
            segments = within(provider, segments);
        }
        let (path, pointer) = (SecretPath::new(segments)?, Pointer::new(keys)?);
        Ok(Named { path, pointer, version: self.version.take().transpose()?, decode: self.decode })
    }
}

/// Says in the path what the provider says there, as backends have it.
fn within(provider: Provider, segments: Vec<String>) -> Vec<String> {
    let behind = |service: &str| [service.to_owned()].into_iter().chain(segments.clone()).collect();
    match (provider, segments.as_slice()) {
        (Provider::AwsSecrets, _) => behind("secretsmanager"),
        (Provider::AwsSsm, _) => behind("ssm"),
        (Provider::AzureKeyVault, _) => behind("secrets"),
        (Provider::GcpSecrets, [project, secret]) => {
            ["projects", project.as_str(), "secrets", secret.as_str()].map(str::to_owned).to_vec()
        }
        _ => segments,
    }
}

fn need(name: &str) -> Need {
    let location = known(&LOCATIONS, name).map(Need::Location);
    location.or_else(|| known(&OTHER_PARAMETERS, name).map(Need::Parameter)).unwrap_or(Need::UnknownParameter)
}
