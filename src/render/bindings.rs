//! Where a sealed value may end. A pure function of one manifest.
//!
//! The MAC of a SOPS file binds values to key paths, not to a kind, a name or a namespace; so whoever may commit could
//! move a sealed value somewhere readable. Therefore a value ends under `data` of a Secret and nowhere else, unless
//! the Sync names further kinds (`spec.secrets.bindInto`). Never, whatever the Sync says: in `apiVersion`, `kind` or
//! `metadata`, and in what the API server quotes in `managedFields`: items of sets and keys of keyed lists. Which lists
//! these are, a schema says. Of Kubernetes' own kinds it is known; of any other kind every list may be one.

use serde_json::Value;
use thiserror::Error;
use waxwing_plan::{GroupKind, Manifest, ObjectId, SecretMark};

/// The version of these rules; part of the desired digest, so that stricter rules are applied to what stands.
pub const VERSION: u32 = 2;

/// A sealed value that would end where it may not.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("a sealed value from {file}, document {document}, {key_path} may not end in {object} at {pointer}: {rule}")]
pub struct BindingError {
    /// The object that would hold it.
    pub object: ObjectId,
    /// The JSON pointer in that object.
    pub pointer: String,
    /// The file of the sealed value.
    pub file: String,
    /// The position of the document in that file, from 0.
    pub document: usize,
    /// Where the sealed value stands in that document.
    pub key_path: String,
    /// The rule that refuses it.
    pub rule: Rule,
}

/// The binding rules.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Rule {
    /// In a Secret only `data` takes sealed values.
    #[error("only `data` of a Secret takes sealed values")]
    OutsideData,
    /// Other kinds must be named by the Sync.
    #[error("the kind is not in spec.secrets.bindInto")]
    KindNotNamed,
    /// Identity and metadata are never secret.
    #[error("apiVersion, kind and metadata never take sealed values")]
    Identity,
    /// A list item, or a key of one, would be quoted in managedFields.
    #[error(
        "list items and the fields that tell them apart never take sealed values, as managedFields would quote them"
    )]
    ListItem,
    /// The same may be so anywhere below a list, where its schema isn't known: an item of a set is quoted whole.
    #[error(
        "nothing below a list takes sealed values in a kind that is not Kubernetes' own, as managedFields may quote it"
    )]
    BelowList,
}

impl BindingError {
    /// Returns what the user can do.
    pub fn hint(&self) -> String {
        match self.rule {
            Rule::OutsideData | Rule::Identity => {
                "encrypt values only, with --encrypted-regex '^(data|stringData)$'".to_owned()
            }
            Rule::KindNotNamed => format!(
                "move the value into a Secret and refer to that, or add {} to spec.secrets.bindInto",
                self.object.kind
            ),
            Rule::ListItem | Rule::BelowList => "move the value into a Secret and refer to that".to_owned(),
        }
    }
}

/// Judges every sealed value of a manifest, whose marks are complete.
///
/// # Errors
///
/// Returns one error for each value that may not end where it does.
pub fn check(manifest: &Manifest, bind_into: &[GroupKind]) -> Result<(), Vec<BindingError>> {
    let errors: Vec<BindingError> = manifest
        .secrets
        .iter()
        .filter_map(|(pointer, marks)| judge(manifest, pointer, bind_into).map(|rule| (pointer, marks, rule)))
        .flat_map(|(pointer, marks, rule)| marks.iter().map(move |mark| error(manifest, pointer, mark, rule)))
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

fn error(manifest: &Manifest, pointer: &str, mark: &SecretMark, rule: Rule) -> BindingError {
    BindingError {
        object: manifest.id.clone(),
        pointer: pointer.to_owned(),
        file: mark.file.clone(),
        document: mark.document,
        key_path: mark.key_path.clone(),
        rule,
    }
}

fn judge(manifest: &Manifest, pointer: &str, bind_into: &[GroupKind]) -> Option<Rule> {
    let segments: Vec<&str> = pointer.split('/').skip(1).collect();
    if matches!(segments.first(), None | Some(&("apiVersion" | "kind" | "metadata"))) {
        return Some(Rule::Identity);
    }
    if manifest.id.kind == GroupKind::new("", "Secret") {
        return (segments.len() != 2 || segments.first() != Some(&"data")).then_some(Rule::OutsideData);
    }
    if !bind_into.contains(&manifest.id.kind) {
        return Some(Rule::KindNotNamed);
    }
    quoted_in_managed_fields(manifest, pointer)
}

/// Tells by which rule a string may become part of a field path of `managedFields`: as an item of a set, or as a key of
/// a keyed list. All sets of Kubernetes' own kinds have strings or numbers as items, and all keys stand in the items
/// themselves. A custom kind may have a set of mappings, whose items are quoted with all that is in them.
fn quoted_in_managed_fields(manifest: &Manifest, pointer: &str) -> Option<Rule> {
    let is_list = |pointer: &str| manifest.body.pointer(pointer).is_none_or(Value::is_array);
    if !is_built_in(&manifest.id.kind) {
        return parents(pointer).any(is_list).then_some(Rule::BelowList);
    }
    let (parent, field) = pointer.rsplit_once('/')?;
    let is_key = LIST_KEYS.contains(&field) && parent.rsplit_once('/').is_some_and(|(list, _)| is_list(list));
    (is_list(parent) || is_key).then_some(Rule::ListItem)
}

/// Returns the pointers to everything that a value stands in, the document last.
fn parents(pointer: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(pointer), |pointer| Some(pointer.rsplit_once('/')?.0)).skip(1)
}

fn is_built_in(kind: &GroupKind) -> bool {
    BUILT_IN_GROUPS.contains(&kind.group.as_str())
}

/// The API groups of Kubernetes' own kinds, whose keyed lists are known. No definition of a custom kind has one of them
/// without a dot in it, nor one under `k8s.io` without saying that it was approved.
const BUILT_IN_GROUPS: &[&str] = &[
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// The fields by which Kubernetes tells the items of its keyed lists apart: every `+listMapKey` of k8s.io/api,
/// apiextensions-apiserver, kube-aggregator and apimachinery 0.36.3, and so a superset of what the API server's OpenAPI
/// document has as `x-kubernetes-list-map-keys`, at any depth.
const LIST_KEYS: &[&str] = &[
    "apiServerID",
    "containerPort",
    "device",
    "devicePath",
    "driver",
    "group",
    "ip",
    "kind",
    "mountPath",
    "name",
    "pool",
    "port",
    "protocol",
    "resource",
    "resourceID",
    "rule",
    "shareID",
    "subresource",
    "topologyKey",
    "type",
    "uid",
    "version",
    "whenUnsatisfiable",
];
