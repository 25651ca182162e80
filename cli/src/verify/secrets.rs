//! Secrets in manifests and kustomizations: the values of theirs that stand in the clear.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::Value;
use waxwing::source::RepoPath;
use waxwing_formats::reference::{self, Content, Reference};
use waxwing_formats::sealed_secret::{
    Certificate, CertificateError, DeprecatedSealedSecret, ItemError, ManifestError, PublicKey, Scope, SealedItem,
    SealedSecretManifest,
};
use waxwing_formats::sops::{Document, Sealed};
use waxwing_formats::{KeyPath, Segment};

use super::report::{Check, Finding, Place};

/// The fields of a Secret that hold its values.
const FIELDS: [&str; 2] = ["data", "stringData"];

/// A file that a kustomization makes a Secret of.
pub(crate) struct Generated {
    file: RepoPath,
    kustomization: RepoPath,
}

impl Generated {
    /// Returns the file.
    pub(super) fn file(&self) -> &RepoPath {
        &self.file
    }
}

/// The keys that SealedSecrets should be sealed with: those of a cluster, of which there is a new one every month.
pub(crate) struct SealingKeys(Vec<PublicKey>);

impl SealingKeys {
    /// Takes the keys of certificates, of which one at least may still be sealed with.
    ///
    /// # Errors
    /// Fails for what is no certificate of such a key, and when all have expired.
    pub(crate) fn of_certificates(pems: &[Vec<u8>], now: Timestamp) -> Result<Option<Self>, CertificateError> {
        let certificates = pems.iter().map(|pem| Certificate::from_pem(pem)).collect::<Result<Vec<_>, _>>()?;
        let Some(newest) = certificates.iter().map(|certificate| certificate.not_after).max() else {
            return Ok(None);
        };
        if newest < now {
            return Err(CertificateError::Expired { not_after: newest });
        }
        Ok(Some(Self(certificates.into_iter().map(|certificate| certificate.public_key).collect())))
    }

    /// Says that a value was sealed with none of them, if that can be seen.
    fn refuse(&self, item: &SealedItem) -> Option<String> {
        let names = || self.0.iter().map(|key| key.fingerprint().to_string()).collect::<Vec<_>>();
        match self.0.as_slice() {
            keys if keys.iter().any(|key| item.may_be_for(key)) => None,
            [key] => Some(format!("the value was not sealed with the key {}", key.fingerprint())),
            _ => Some(format!("the value was sealed with none of the keys {}", names().join(", "))),
        }
    }
}

/// What was found in a manifest.
#[derive(Default)]
pub(crate) struct Found {
    /// There is a SealedSecret in it.
    pub(crate) is_sealed: bool,
    pub(crate) findings: Vec<Finding>,
}

/// Tells whether Kustomize takes a file of this name for a kustomization.
pub(crate) fn is_kustomization(file: &RepoPath) -> bool {
    matches!(file.file_name(), Some("kustomization.yaml" | "kustomization.yml" | "Kustomization"))
}

/// Looks at an object, and at those of a list. SealedSecrets should be sealed for the key, if one is known.
pub(crate) fn in_manifest(
    object: &Value,
    path: &KeyPath,
    keys: Option<&SealingKeys>,
    place: &dyn Fn(&KeyPath) -> Place,
) -> Found {
    let mut found = Found::default();
    if let Some(items) = object.get("items").and_then(Value::as_array).filter(|_| is_list(object)) {
        for (index, item) in items.iter().enumerate() {
            let inner = in_manifest(item, &path.key("items").index(index), keys, place);
            found.is_sealed |= inner.is_sealed;
            found.findings.extend(inner.findings);
        }
    } else if SealedSecretManifest::is_sealed_secret(object) {
        found.is_sealed = true;
        found.findings = sealed_items(object, path, keys, place);
        found.findings.extend(blob(object, path, keys, place));
        found.findings.extend(other_binding(object, path, place));
        found.findings.extend(ignored_values(object, path, place));
    } else if is_secret(object) {
        for field in FIELDS {
            let values = object.get(field).and_then(Value::as_object).into_iter().flatten();
            let is_sealed = |value: &Value| value.as_str().is_some_and(|text| refers_to_a_store(text, field == "data"));
            let plain = values.filter(|(_, value)| !matches!(value, Value::Null) && *value != "" && !is_sealed(value));
            found.findings.extend(plain.map(|(key, _)| plain_secret(place(&path.key(field).key(key)))));
        }
    }
    found
}

/// Tells whether a value has a reference into a secret store in it: what stands beside one is no clear text for a Sync either.
pub(super) fn refers_to_a_store(text: &str, may_be_base64: bool) -> bool {
    let decoded = if may_be_base64 { reference::decoded(text) } else { None };
    let text = decoded.as_ref().map_or(text, |decoded| decoded.as_str());
    Reference::find(text).iter().any(|piece| matches!(piece.content, Content::Reference(_)))
}

fn is_list(object: &Value) -> bool {
    text(object, "kind").is_some_and(|kind| kind.ends_with("List"))
}

fn is_secret(object: &Value) -> bool {
    text(object, "apiVersion") == Some("v1") && text(object, "kind") == Some("Secret")
}

fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

fn plain_secret(place: Place) -> Finding {
    Finding::error(Check::PlainSecret, place, "a value of a Secret is in the clear")
}

/// Looks at the sealed values of a SealedSecret, as far as can be seen without a key.
fn sealed_items(
    object: &Value,
    path: &KeyPath,
    keys: Option<&SealingKeys>,
    place: &dyn Fn(&KeyPath) -> Place,
) -> Vec<Finding> {
    let items = object.pointer("/spec/encryptedData").and_then(Value::as_object).into_iter().flatten();
    let found = items.filter_map(|(name, item)| {
        let place = || place(&path.key("spec").key("encryptedData").key(name));
        match item.as_str() {
            Some(item) => sealed_item(SealedItem::parse(item), keys, place),
            None => Some(Finding::error(Check::Damaged, place(), "the sealed value is not text")),
        }
    });
    found.collect()
}

fn sealed_item(
    item: Result<SealedItem, ItemError>,
    keys: Option<&SealingKeys>,
    place: impl Fn() -> Place,
) -> Option<Finding> {
    match item {
        Ok(item) => keys?.refuse(&item).map(|message| Finding::error(Check::OtherKey, place(), message)),
        Err(error) => Some(Finding::error(Check::Damaged, place(), error.to_string())),
    }
}

/// Looks at the one blob of the deprecated form.
fn blob(
    object: &Value,
    path: &KeyPath,
    keys: Option<&SealingKeys>,
    place: &dyn Fn(&KeyPath) -> Place,
) -> Option<Finding> {
    if !DeprecatedSealedSecret::is_deprecated(object) {
        return None;
    }
    let place = || place(&path.key("spec").key("data"));
    match (DeprecatedSealedSecret::parse(object), object.pointer(DeprecatedSealedSecret::ITEM).and_then(Value::as_str))
    {
        // Without its namespace it is what Kustomize may complete.
        (Ok(_) | Err(ManifestError::Missing { .. }), Some(blob)) => sealed_item(SealedItem::parse(blob), keys, place),
        (Err(error), _) => Some(Finding::error(Check::Damaged, place(), error.to_string())),
        (Ok(_), None) => None,
    }
}

/// Finds values in the clear where Sealed Secrets passes over them, and whoever wrote them thinks that they are sealed.
fn ignored_values(object: &Value, path: &KeyPath, place: &dyn Fn(&KeyPath) -> Place) -> Vec<Finding> {
    let path = path.key("spec").key("template").key("stringData");
    let values = object.pointer("/spec/template/stringData").and_then(Value::as_object).into_iter().flatten();
    values.map(|(key, _)| plain_secret(place(&path.key(key)))).collect()
}

/// Compares what a SealedSecret is bound to with what its template says, which is what it was sealed for: `seal` and kubeseal write
/// both alike, and whoever changes one by hand forgets the other.
fn other_binding(object: &Value, path: &KeyPath, place: &dyn Fn(&KeyPath) -> Place) -> Vec<Finding> {
    let (own, template) = (object.get("metadata"), object.pointer("/spec/template/metadata"));
    let (Some(own), Some(template)) = (own, template) else { return Vec::new() };
    let (scope, sealed_scope) = (scope(own), scope(template));
    let path = path.key("metadata");
    let changed = |path: KeyPath, message: String| Finding::warning(Check::Binding, place(&path), message);
    if let Some(annotation) = no_scope(own) {
        let message = format!("{annotation} is not the text true, so it counts for nothing");
        return vec![changed(path.key("annotations"), message)];
    }
    if scope != sealed_scope {
        let message = format!("the scope is {scope}, and {sealed_scope} in the template");
        return vec![changed(path.key("annotations"), message)];
    }
    let fields: &[&str] = match scope {
        Scope::Strict => &["name", "namespace"],
        Scope::NamespaceWide => &["namespace"],
        Scope::ClusterWide => &[],
    };
    let differs = |field: &&&str| text(template, field).is_some_and(|sealed| text(own, field) != Some(sealed));
    let finding = |field: &&str| {
        changed(path.key(*field), format!("the {field} is another one in the template, and the values are bound to it"))
    };
    fields.iter().filter(differs).map(finding).collect()
}

/// Returns an annotation that looks as if it chose a scope, and does not: upstream takes one exact word.
fn no_scope(metadata: &Value) -> Option<&'static str> {
    let annotations = metadata.get("annotations")?;
    let is_true = |value: &Value| value.as_str().is_none_or(|text| !["true", "false", ""].contains(&text));
    Scope::ANNOTATIONS.into_iter().find(|name| annotations.get(*name).is_some_and(is_true))
}

fn scope(metadata: &Value) -> Scope {
    metadata.get("annotations").and_then(Value::as_object).map(Scope::from_annotations).unwrap_or_default()
}

/// Looks for values of Secrets in the clear in a file that is sealed otherwise.
pub(crate) fn in_the_clear(file: &RepoPath, document: &Document<Sealed>) -> Vec<Finding> {
    let Ok(objects) = document.skeletons(&mut |_, _, _| String::new()) else {
        return Vec::new();
    };
    let is_value = |path: &KeyPath| match path.segments() {
        [Segment::Key(field), _, ..] => FIELDS.contains(&field.as_str()),
        _ => false,
    };
    let of_secret = |index: usize| objects.get(index).is_some_and(is_secret);
    let plain = document.in_the_clear().filter(|leaf| of_secret(leaf.document) && is_value(leaf.path));
    plain.map(|leaf| plain_secret(Place::value(file, (leaf.document, document.documents()), leaf.path))).collect()
}

/// Returns the files that the `secretGenerator` of a kustomization reads, and what it says in the clear itself.
pub(crate) fn of_generators(
    file: &RepoPath,
    kustomization: &Value,
    place: &dyn Fn(&KeyPath) -> Place,
) -> (Vec<Generated>, Vec<Finding>) {
    let folder = file.parent().unwrap_or_default();
    let (mut generated, mut findings) = (Vec::new(), Vec::new());
    let generators = kustomization.get("secretGenerator").and_then(Value::as_array).into_iter().flatten();
    for (index, generator) in generators.enumerate() {
        let texts = |field: &str| match generator.get(field) {
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(text)) => vec![text.as_str()],
            _ => Vec::new(),
        };
        let files = texts("files").into_iter().map(|text| text.split_once('=').map_or(text, |(_, file)| file));
        let read = files.chain(texts("envs")).chain(texts("env")).filter_map(|path| folder.join(path).ok());
        generated.extend(read.map(|read| Generated { file: read, kustomization: file.clone() }));
        let path = KeyPath::root().key("secretGenerator").index(index).key("literals");
        let literals = texts("literals").into_iter().enumerate();
        let plain = literals.filter(|(_, literal)| !refers_to_a_store(literal, false));
        findings.extend(plain.map(|(literal, _)| plain_secret(place(&path.index(literal)))));
    }
    (generated, findings)
}

/// Judges a file that a kustomization makes a Secret of, if it is one of those that were looked at.
pub(crate) fn in_a_file(generated: &Generated, sealed: &HashMap<RepoPath, bool>) -> Option<Finding> {
    sealed.get(&generated.file).filter(|is_sealed| !**is_sealed)?;
    let message = format!("the secretGenerator of {} reads this file, and it is in the clear", generated.kustomization);
    Some(Finding::error(Check::PlainSecret, Place::file(&generated.file), message))
}
