//! A plaintext Secret on its way to being sealed: values wiped when dropped, everything else as it will be committed.
//!
//! Only what belongs in a template is kept of the metadata (`name`, `namespace`, `labels`, `annotations`,
//! `finalizers`): what an API server adds, owner references, and annotations that hold a copy of the whole object
//! in clear text (`last-applied-configuration`) are dropped, as `kubeseal` does.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{MOST_NODES, Scope, lenient_base64};
use crate::yaml::{self, ManifestDocument, YamlError};
use crate::{KeyPath, SecretBytes, is_copy_of_the_object};

/// A `v1` Secret with its values out of reach of anything that prints.
#[derive(Debug)]
pub struct PlainSecret {
    name: String,
    namespace: Option<String>,
    metadata: Map<String, Value>,
    type_: Option<String>,
    immutable: Option<bool>,
    values: BTreeMap<String, SecretBytes>,
}

impl PlainSecret {
    /// Parses a stream of Secrets in YAML or JSON, as `kubectl create secret --dry-run=client -o yaml` prints them.
    ///
    /// The buffers of the parser are freed unwiped; the binaries use an allocator that wipes them.
    ///
    /// # Errors
    /// As [`Self::from_manifest`], with the line of the document; and when the text can't be read or is empty.
    pub fn parse(text: &[u8]) -> Result<Vec<Self>, PlainSecretError> {
        Self::of_documents(yaml::manifests(text))
    }

    /// Parses the same of what anybody may have sealed, with a bound on what it takes in memory.
    ///
    /// # Errors
    /// As [`Self::parse`]; refuses what has more nodes than a Secret that fits the API server's storage.
    pub(super) fn parse_foreign(text: &[u8]) -> Result<Vec<Self>, PlainSecretError> {
        Self::of_documents(yaml::manifests_within(text, MOST_NODES))
    }

    fn of_documents(read: Result<Vec<ManifestDocument>, YamlError>) -> Result<Vec<Self>, PlainSecretError> {
        let documents = read.map_err(PlainSecretError::Syntax)?;
        if documents.is_empty() {
            return Err(PlainSecretError::Nothing);
        }
        let in_document = |line| move |error| PlainSecretError::Document { line, source: Box::new(error) };
        documents.into_iter().map(|found| Self::from_manifest(found.value).map_err(in_document(found.line))).collect()
    }

    /// Takes a `v1` Secret as it was parsed. `stringData` wins over `data`, key by key.
    ///
    /// # Errors
    /// Refuses what is not a Secret, has no name, or has a field of the wrong type; says where, never what.
    pub fn from_manifest(manifest: Value) -> Result<Self, PlainSecretError> {
        let Value::Object(mut manifest) = manifest else { return Err(PlainSecretError::NotASecret) };
        if manifest.get("apiVersion") != Some(&Value::from("v1"))
            || manifest.get("kind") != Some(&Value::from("Secret"))
        {
            return Err(PlainSecretError::NotASecret);
        }
        let mut metadata = optional_map(&mut manifest, "metadata", &KeyPath::root())?;
        let name = optional_string(&mut metadata, "name", &metadata_path())?;
        Ok(Self {
            name: name.filter(|name| !name.is_empty()).ok_or(PlainSecretError::NoName)?,
            namespace: optional_string(&mut metadata, "namespace", &metadata_path())?.filter(|name| !name.is_empty()),
            metadata: template_metadata(metadata)?,
            type_: optional_string(&mut manifest, "type", &KeyPath::root())?.filter(|type_| !type_.is_empty()),
            immutable: optional_bool(&mut manifest, "immutable")?,
            values: values(&mut manifest)?,
        })
    }

    /// Makes an `Opaque` Secret from values that were never in a file.
    pub fn new(name: String, namespace: Option<String>, values: BTreeMap<String, SecretBytes>) -> Self {
        Self { name, namespace, metadata: Map::new(), type_: None, immutable: None, values }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the namespace, if it has one.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Sets the namespace that the SealedSecret will belong to.
    pub fn set_namespace(&mut self, namespace: impl Into<String>) {
        self.namespace = Some(namespace.into());
    }

    /// Sets the scope: its annotation, and none of another scope.
    pub fn set_scope(&mut self, scope: Scope) {
        let annotations = self.metadata.remove("annotations").and_then(into_map_if_one).unwrap_or_default();
        let annotations = annotations_of(annotations, scope);
        if !annotations.is_empty() {
            self.metadata.insert("annotations".to_owned(), Value::Object(annotations));
        }
    }

    /// Gives it a field of the metadata that `kubeseal` keeps and that is dropped otherwise, such as `generateName`.
    pub fn set_further_metadata(&mut self, field: &str, value: Value) {
        self.metadata.insert(field.to_owned(), value);
    }

    /// Sets the `type`, such as `kubernetes.io/tls`.
    pub fn set_type(&mut self, type_: impl Into<String>) {
        self.type_ = Some(type_.into());
    }

    /// Sets a label of the Secret that it becomes.
    pub fn set_label(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.set_metadata("labels", key.into(), value.into());
    }

    /// Sets an annotation of the Secret that it becomes; those of [`Scope::ANNOTATIONS`] change [`Self::scope`].
    pub fn set_annotation(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.set_metadata("annotations", key.into(), value.into());
    }

    fn set_metadata(&mut self, field: &str, key: String, value: String) {
        let strings = self.metadata.entry(field).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(strings) = strings {
            strings.insert(key, Value::String(value));
        }
    }

    /// Returns the scope that its annotations ask for.
    pub fn scope(&self) -> Scope {
        self.metadata.get("annotations").and_then(Value::as_object).map(Scope::from_annotations).unwrap_or_default()
    }

    /// Returns the names of its values, in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    pub(super) fn values(&self) -> &BTreeMap<String, SecretBytes> {
        &self.values
    }

    pub(super) fn into_values(self) -> BTreeMap<String, SecretBytes> {
        self.values
    }

    pub(super) fn metadata(&self) -> &Map<String, Value> {
        &self.metadata
    }

    pub(super) fn type_(&self) -> Option<&str> {
        self.type_.as_deref()
    }

    pub(super) fn immutable(&self) -> Option<bool> {
        self.immutable
    }
}

/// Why an input is not a Secret that can be sealed; none of it quotes a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlainSecretError {
    /// The text can't be read.
    #[error("failed to read the input")]
    Syntax(#[source] YamlError),
    /// There is no document in it.
    #[error("there is no Secret in the input")]
    Nothing,
    /// One document of several can't be sealed.
    #[error("failed to read the Secret that begins on line {line}")]
    Document {
        /// The line on which the document begins, from 1.
        line: usize,
        /// What is wrong with it.
        source: Box<PlainSecretError>,
    },
    /// The document is something else.
    #[error("the document is not a Secret of apiVersion v1")]
    NotASecret,
    /// It has no name.
    #[error("the Secret has no metadata.name")]
    NoName,
    /// A field has the wrong type.
    #[error("{path} is not {expected}")]
    WrongType {
        /// Where it stands.
        path: KeyPath,
        /// What it should be, with its article.
        expected: &'static str,
    },
    /// A value under `data` is not base64.
    #[error("{path} is not base64")]
    NotBase64 {
        /// Where it stands.
        path: KeyPath,
    },
}

impl PlainSecretError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Syntax(error) => error.hint(),
            Self::Document { source, .. } => source.hint(),
            Self::Nothing | Self::NotASecret => "pass what `kubectl create secret ... --dry-run=client -o yaml` prints",
            Self::NoName => "name it: the name is part of what is sealed",
            Self::WrongType { expected: STRING, .. } => "quote the value in YAML, so that it is read as text",
            Self::WrongType { .. } => "correct the field; `kubectl explain secret` says what belongs there",
            Self::NotBase64 { .. } => "put plain text under stringData instead of data",
        }
    }
}

fn values(manifest: &mut Map<String, Value>) -> Result<BTreeMap<String, SecretBytes>, PlainSecretError> {
    let mut values = BTreeMap::new();
    for (field, decode) in [("data", decode_data as fn(String) -> Option<Vec<u8>>), ("stringData", decode_string_data)]
    {
        let field_path = KeyPath::root().key(field);
        for (key, value) in optional_map(manifest, field, &KeyPath::root())? {
            let path = field_path.key(&key);
            let text = into_string(value, &path)?;
            let bytes = decode(text).ok_or(PlainSecretError::NotBase64 { path })?;
            values.insert(key, SecretBytes::new(bytes));
        }
    }
    Ok(values)
}

fn decode_data(text: String) -> Option<Vec<u8>> {
    lenient_base64::decode(&zeroize::Zeroizing::new(text))
}

fn decode_string_data(text: String) -> Option<Vec<u8>> {
    Some(text.into_bytes())
}

fn template_metadata(mut metadata: Map<String, Value>) -> Result<Map<String, Value>, PlainSecretError> {
    let mut kept = Map::new();
    for field in ["annotations", "labels"] {
        let mut strings = optional_map(&mut metadata, field, &metadata_path())?;
        strings.retain(|key, _| !is_copy_of_the_object(key));
        let path = metadata_path().key(field);
        if let Some((key, _)) = strings.iter().find(|(_, value)| !value.is_string()) {
            return Err(PlainSecretError::WrongType { path: path.key(key), expected: STRING });
        }
        if !strings.is_empty() {
            kept.insert(field.to_owned(), Value::Object(strings));
        }
    }
    if let Some(finalizers) = metadata.remove("finalizers").filter(|finalizers| !finalizers.is_null()) {
        kept.insert("finalizers".to_owned(), finalizers);
    }
    Ok(kept)
}

/// Returns the annotations that a Secret of this scope has; what others say about the scope goes.
pub(super) fn annotations_of(mut annotations: Map<String, Value>, scope: Scope) -> Map<String, Value> {
    annotations.retain(|name, _| !Scope::ANNOTATIONS.contains(&name.as_str()));
    annotations.extend(scope.annotation().map(|name| (name.to_owned(), Value::from("true"))));
    annotations
}

fn into_map_if_one(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

fn metadata_path() -> KeyPath {
    KeyPath::root().key("metadata")
}

fn into_map(value: Value, path: &KeyPath) -> Result<Map<String, Value>, PlainSecretError> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(PlainSecretError::WrongType { path: path.clone(), expected: "a mapping" }),
    }
}

fn into_string(value: Value, path: &KeyPath) -> Result<String, PlainSecretError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Null => Ok(String::new()),
        _ => Err(PlainSecretError::WrongType { path: path.clone(), expected: STRING }),
    }
}

fn optional_map(
    from: &mut Map<String, Value>,
    field: &str,
    path: &KeyPath,
) -> Result<Map<String, Value>, PlainSecretError> {
    match from.remove(field) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(value) => into_map(value, &path.key(field)),
    }
}

fn optional_string(
    from: &mut Map<String, Value>,
    field: &str,
    path: &KeyPath,
) -> Result<Option<String>, PlainSecretError> {
    from.remove(field).map(|value| into_string(value, &path.key(field))).transpose()
}

fn optional_bool(from: &mut Map<String, Value>, field: &str) -> Result<Option<bool>, PlainSecretError> {
    match from.remove(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(value)),
        Some(_) => Err(PlainSecretError::WrongType { path: KeyPath::root().key(field), expected: "true or false" }),
    }
}

const STRING: &str = "a string";
