//! A SealedSecret as a manifest: what it binds to, its sealed values, and the Secret that it becomes.
//!
//! It works on the manifest as rendered, so the tokens may be handles by now. As the `unseal` of upstream's
//! `sealedsecret_expansion.go`, without its deprecated `spec.data`, which is
//! [`DeprecatedSealedSecret`](super::DeprecatedSealedSecret).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::template::{ItemTemplateError, TemplateData};
use super::{API_VERSION, KIND, Scope};
use crate::{KeyPath, SecretBytes};

/// A SealedSecret taken apart. All of it is public.
#[derive(Clone, Debug)]
pub struct SealedSecretManifest {
    identity: Identity,
    items: BTreeMap<String, String>,
    template_metadata: Map<String, Value>,
    type_: Option<String>,
    immutable: Option<bool>,
    template_data: TemplateData,
}

impl SealedSecretManifest {
    /// Tells whether a manifest is a SealedSecret, well-formed or not.
    pub fn is_sealed_secret(manifest: &Value) -> bool {
        let group = API_VERSION.split('/').next();
        let api_version = manifest.get("apiVersion").and_then(Value::as_str).unwrap_or_default();
        api_version.split('/').next() == group && manifest.get("kind").and_then(Value::as_str) == Some(KIND)
    }

    /// Takes apart a SealedSecret that has its final name and namespace. The scope is read from its own annotations,
    /// never from the template's.
    ///
    /// # Errors
    /// Refuses another kind or version, a missing name or namespace, fields of the wrong type, templates that don't
    /// parse or use what is refused, and what is not supported; says where.
    pub fn parse(manifest: &Value) -> Result<Self, ManifestError> {
        let (identity, spec) = Identity::of(manifest)?;
        let template = spec.mapping("template")?;
        refuse_unsupported(&spec, &template)?;
        Ok(Self {
            identity,
            items: items(&spec)?,
            template_metadata: template_metadata(&template.mapping("metadata")?)?,
            type_: type_of_secret(template.string("type")?)?.map(str::to_owned),
            immutable: template.boolean("immutable")?,
            template_data: template_data(&template)?,
        })
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &str {
        &self.identity.namespace
    }

    /// Returns the scope that its annotations state.
    pub fn scope(&self) -> Scope {
        self.identity.scope
    }

    /// Returns the OAEP label that all of its values must have been sealed with.
    pub fn label(&self) -> Vec<u8> {
        self.identity.label()
    }

    /// Returns the sealed values by their key in the Secret: base64 text, or what stands for it after a render.
    pub fn items(&self) -> &BTreeMap<String, String> {
        &self.items
    }

    /// Returns the keys that the Secret has: those of the sealed values that are not left out, and those of templates.
    pub fn secret_keys(&self) -> impl Iterator<Item = &str> {
        let sealed = self.items.keys().map(String::as_str).filter(|key| !self.template_data.removes(key));
        let made = self.template_data.texts().map(|(key, _)| key).filter(|key| !self.items.contains_key(*key));
        sealed.chain(made)
    }

    /// Returns what stands under `spec.template.data`.
    pub fn template_data(&self) -> &TemplateData {
        &self.template_data
    }

    /// Returns the `data` of the Secret that it becomes, from the opened values of **all** of [`Self::items`]: what a null in
    /// `spec.template.data` names is left out, and what its templates make is added. A sealed value is never replaced.
    ///
    /// This is the only step that runs templates. Whoever only checks whether a SealedSecret opens must not call it: a
    /// template is not authenticated, so its errors and its output tell about values.
    ///
    /// # Errors
    /// Returns every template that fails, by its key; nothing of it quotes a value.
    pub fn secret_data(
        &self,
        mut opened: BTreeMap<String, SecretBytes>,
    ) -> Result<BTreeMap<String, SecretBytes>, Vec<ItemTemplateError>> {
        let made = self.template_data.render(opened.iter().map(|(key, value)| (key.as_str(), value)))?;
        opened.retain(|key, _| !self.template_data.removes(key));
        opened.extend(made);
        Ok(opened)
    }

    /// Returns the Secret that it becomes, without `data`: labels, annotations and finalizers of the template, and the
    /// SealedSecret's own name and namespace, whatever the template says.
    pub fn secret_skeleton(&self) -> Value {
        self.identity.skeleton(self.template_metadata.clone(), self.type_.as_deref(), self.immutable)
    }
}

/// What the values of a SealedSecret are bound to, in either form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) scope: Scope,
}

impl Identity {
    /// Reads the identity of a SealedSecret, and returns its `spec` with it.
    fn of(manifest: &Value) -> Result<(Self, Field<'_>), ManifestError> {
        let root = Field { value: manifest, path: KeyPath::root() };
        if root.string("apiVersion")? != Some(API_VERSION) || root.string("kind")? != Some(KIND) {
            return Err(ManifestError::NotASealedSecret);
        }
        let (metadata, spec) = (root.mapping("metadata")?, root.mapping("spec")?);
        let identity = Self {
            name: metadata.required_name("name")?,
            namespace: metadata.required_name("namespace")?,
            scope: metadata.map("annotations")?.map(Scope::from_annotations).unwrap_or_default(),
        };
        Ok((identity, spec))
    }

    /// Reads a SealedSecret of the deprecated form: its identity and its blob.
    pub(super) fn with_blob(manifest: &Value) -> Result<(Self, String), ManifestError> {
        let (identity, spec) = Self::of(manifest)?;
        let token = spec.required_string("data")?;
        match spec.map("encryptedData")?.is_some_and(|items| !items.is_empty()) {
            true => Err(ManifestError::BothForms),
            false => Ok((identity, token)),
        }
    }

    /// Returns a Secret without `data`, with this name and namespace whatever `metadata` says.
    pub(super) fn skeleton(
        &self,
        mut metadata: Map<String, Value>,
        type_: Option<&str>,
        immutable: Option<bool>,
    ) -> Value {
        metadata.insert("name".to_owned(), Value::from(self.name.as_str()));
        metadata.insert("namespace".to_owned(), Value::from(self.namespace.as_str()));
        let mut secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": type_.unwrap_or("Opaque"),
        });
        if let (Some(immutable), Some(secret)) = (immutable, secret.as_object_mut()) {
            secret.insert("immutable".to_owned(), Value::from(immutable));
        }
        secret
    }

    /// Returns the OAEP label.
    pub(super) fn label(&self) -> Vec<u8> {
        self.scope.label(&self.namespace, &self.name)
    }
}

/// Why a SealedSecret was refused as a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is another kind or version.
    #[error("the document is not a SealedSecret of bitnami.com/v1alpha1")]
    NotASealedSecret,
    /// A field that must be there is not.
    #[error("{path} is missing")]
    Missing {
        /// Where it should stand.
        path: KeyPath,
    },
    /// A field has the wrong type.
    #[error("{path} is not {expected}")]
    WrongType {
        /// Where it stands.
        path: KeyPath,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// It has the deprecated form, one sealed blob for the whole Secret.
    #[error(
        "/spec/data is the deprecated form of a SealedSecret, with one sealed blob for all values, and can't be planned: not even its keys are known before it is opened"
    )]
    DeprecatedData,
    /// It has the deprecated form and the other one.
    #[error("/spec/data and /spec/encryptedData can't be used at the same time")]
    BothForms,
    /// It has values in clear text where upstream ignores them.
    #[error("{path} is not a field that Sealed Secrets knows")]
    StringData {
        /// Where it stands.
        path: KeyPath,
    },
    /// Its Secret would be given a token of a ServiceAccount.
    #[error(
        "the Secret has type {SERVICE_ACCOUNT_TOKEN}, so Kubernetes would put the token of a ServiceAccount into it"
    )]
    TokenType,
    /// A template can't be parsed, or uses what is refused.
    #[error(transparent)]
    Template(#[from] ItemTemplateError),
}

impl ManifestError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotASealedSecret => "set apiVersion to bitnami.com/v1alpha1",
            Self::Missing { .. } | Self::WrongType { .. } => {
                "seal the Secret again with `seal` to get a well-formed manifest"
            }
            Self::BothForms | Self::DeprecatedData => {
                "seal the Secret again with `seal`: each value gets its own entry under spec.encryptedData"
            }
            Self::StringData { .. } => "put what is not secret into spec.template.data, and seal the rest",
            Self::TokenType => {
                "seal a token as an Opaque Secret, or let Kubernetes make the Secret from a manifest without sealed values"
            }
            Self::Template(error) => error.source.hint(),
        }
    }
}

/// Returns the type of a Secret where one is stated, in either form.
///
/// # Errors
/// Refuses the one for which Kubernetes writes a ServiceAccount's token into the Secret: who may have SealedSecrets opened need not
/// be somebody who may have that.
pub(super) fn type_of_secret(stated: Option<&str>) -> Result<Option<&str>, ManifestError> {
    match stated.filter(|type_| !type_.is_empty()) {
        Some(SERVICE_ACCOUNT_TOKEN) => Err(ManifestError::TokenType),
        stated => Ok(stated),
    }
}

/// `SecretTypeServiceAccountToken` of Kubernetes' core/v1.
const SERVICE_ACCOUNT_TOKEN: &str = "kubernetes.io/service-account-token";

fn refuse_unsupported(spec: &Field<'_>, template: &Field<'_>) -> Result<(), ManifestError> {
    if !spec.child("data").value.is_null() {
        return Err(ManifestError::DeprecatedData);
    }
    match template.map("stringData")?.is_some_and(|data| !data.is_empty()) {
        true => Err(ManifestError::StringData { path: template.path.key("stringData") }),
        false => Ok(()),
    }
}

fn template_data(template: &Field<'_>) -> Result<TemplateData, ManifestError> {
    let field = template.child("data");
    let keys = template.map("data")?.into_iter().flat_map(Map::keys);
    let texts = keys.map(|key| Ok((key.as_str(), field.string(key)?)));
    Ok(TemplateData::parse(texts.collect::<Result<Vec<_>, ManifestError>>()?)?)
}

fn items(spec: &Field<'_>) -> Result<BTreeMap<String, String>, ManifestError> {
    let field = spec.child("encryptedData");
    let items = spec.map("encryptedData")?.ok_or_else(|| ManifestError::Missing { path: field.path.clone() })?;
    items.keys().map(|key| Ok((key.clone(), field.required_string(key)?))).collect()
}

fn template_metadata(metadata: &Field<'_>) -> Result<Map<String, Value>, ManifestError> {
    let mut kept = Map::new();
    for field in ["labels", "annotations"] {
        let Some(strings) = metadata.map(field)?.filter(|strings| !strings.is_empty()) else { continue };
        let child = metadata.child(field);
        strings.keys().try_for_each(|key| child.required_string(key).map(drop))?;
        kept.insert(field.to_owned(), Value::Object(strings.clone()));
    }
    match metadata.child("finalizers").value {
        Value::Null => {}
        Value::Array(finalizers) if finalizers.iter().all(Value::is_string) => {
            kept.insert("finalizers".to_owned(), Value::from(finalizers.clone()));
        }
        _ => {
            return Err(ManifestError::WrongType {
                path: metadata.path.key("finalizers"),
                expected: "a list of strings",
            });
        }
    }
    Ok(kept)
}

/// A value together with where it stands; what is absent is null.
struct Field<'a> {
    value: &'a Value,
    path: KeyPath,
}

impl<'a> Field<'a> {
    fn child(&self, key: &str) -> Field<'a> {
        Field { value: self.value.get(key).unwrap_or(&Value::Null), path: self.path.key(key) }
    }

    fn mapping(&self, key: &str) -> Result<Field<'a>, ManifestError> {
        self.map(key)?;
        Ok(self.child(key))
    }

    fn string(&self, key: &str) -> Result<Option<&'a str>, ManifestError> {
        self.typed(key, "a string", Value::as_str)
    }

    fn boolean(&self, key: &str) -> Result<Option<bool>, ManifestError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    fn map(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, ManifestError> {
        self.typed(key, "a mapping", Value::as_object)
    }

    fn required_string(&self, key: &str) -> Result<String, ManifestError> {
        let text = self.string(key)?.ok_or_else(|| ManifestError::Missing { path: self.path.key(key) })?;
        Ok(text.to_owned())
    }

    fn required_name(&self, key: &str) -> Result<String, ManifestError> {
        let name = self.required_string(key)?;
        if name.is_empty() { Err(ManifestError::Missing { path: self.path.key(key) }) } else { Ok(name) }
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ManifestError> {
        let child = self.child(key);
        if child.value.is_null() {
            return Ok(None);
        }
        read(child.value).map(Some).ok_or(ManifestError::WrongType { path: child.path, expected })
    }
}
