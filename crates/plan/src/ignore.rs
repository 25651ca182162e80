//! Fields that are sent when an object is created and left to others from then on.
//!
//! What is left to others is no drift, and Git changes it no more. Not here: that the field manager gives such a field up,
//! so that an apply without it does not remove it; that takes the live `managedFields`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::marks::EXPAND_ANNOTATION;
use crate::{GroupKind, Manifest, ObjectId, PlanError};

/// Which fields of which objects are left to others. What a rule doesn't name fits every object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IgnoreRule {
    /// The kind of the objects.
    pub kind: Option<GroupKind>,
    /// Their namespace.
    pub namespace: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// The fields.
    pub paths: Vec<FieldPath>,
}

impl IgnoreRule {
    fn fits(&self, id: &ObjectId) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == id.kind)
            && self.namespace.as_ref().is_none_or(|namespace| id.namespace.as_ref() == Some(namespace))
            && self.name.as_ref().is_none_or(|name| *name == id.name)
    }
}

/// A JSON pointer (RFC 6901) to a field of an object that may be left to others: no part of its identity, and none of our
/// marks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldPath(String);

/// The text is not a JSON pointer to a field that may be left to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a JSON pointer, such as /spec/replicas, to a field that is neither apiVersion, kind nor of metadata, where it may be a label or annotation that isn't ours"
)]
pub struct ParseFieldPathError;

impl FromStr for FieldPath {
    type Err = ParseFieldPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let segments = text.strip_prefix('/').ok_or(ParseFieldPathError)?.split('/').map(unescape);
        let segments = segments.collect::<Option<Vec<_>>>().ok_or(ParseFieldPathError)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let may_be_left = match segments.as_slice() {
            ["metadata", "labels" | "annotations", name] => !name.starts_with("waxwing.dev/"),
            ["apiVersion" | "kind" | "metadata", ..] => false,
            segments => segments.iter().all(|segment| !segment.is_empty()),
        };
        if may_be_left { Ok(Self(text.to_owned())) } else { Err(ParseFieldPathError) }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FieldPath {
    /// Returns the pointer.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the names and positions that it leads through.
    pub fn segments(&self) -> Vec<String> {
        self.0.split('/').skip(1).filter_map(unescape).collect()
    }

    /// Returns where the field stands in an object that is sent: `stringData` of a Secret is folded into `data`.
    fn of(&self, kind: &GroupKind) -> Self {
        match self.0.strip_prefix("/stringData") {
            Some(rest) if *kind == GroupKind::new("", "Secret") => Self(format!("/data{rest}")),
            _ => self.clone(),
        }
    }
}

/// Resolves `~1` and `~0`; none for another use of `~`.
fn unescape(segment: &str) -> Option<String> {
    let well_formed = segment.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']));
    well_formed.then(|| segment.replace("~1", "/").replace("~0", "~"))
}

/// Returns the fields of `manifest` that `rules` leave to others, those of them that it has or may get.
///
/// # Errors
///
/// When one of them is an item of a list: others move, so a position does not name it.
pub(crate) fn left_to_others(manifest: &Manifest, rules: &[IgnoreRule]) -> Result<Vec<FieldPath>, PlanError> {
    let fitting = rules.iter().filter(|rule| rule.fits(&manifest.id)).flat_map(|rule| &rule.paths);
    let mut paths: Vec<FieldPath> = fitting.map(|path| path.of(&manifest.id.kind)).collect();
    paths.retain(|path| manifest.body.pointer(&path.0).is_some() || is_filled(manifest, path));
    paths.sort();
    paths.dedup();
    match paths.iter().find(|path| is_item(&manifest.body, path)) {
        Some(path) => Err(PlanError::IgnoredItem {
            id: manifest.id.clone(),
            location: manifest.location.clone(),
            path: path.clone(),
        }),
        None => Ok(paths),
    }
}

/// Tells whether a field may come into a Secret when it is sent: one with this annotation has entries that no manifest names.
fn is_filled(manifest: &Manifest, path: &FieldPath) -> bool {
    let annotations = manifest.body.pointer("/metadata/annotations");
    let is_expanded = annotations.is_some_and(|annotations| annotations.get(EXPAND_ANNOTATION).is_some());
    is_expanded
        && manifest.id.kind == GroupKind::new("", "Secret")
        && (path.0 == "/data" || path.0.starts_with("/data/"))
}

fn is_item(body: &Value, path: &FieldPath) -> bool {
    let parent = path.0.rsplit_once('/').and_then(|(parent, _)| body.pointer(parent));
    parent.is_some_and(Value::is_array)
}

/// Returns a manifest without some fields, and without the secrets that stand in them; the same one where there are none.
pub(crate) fn without<'a>(manifest: &'a Manifest, paths: &[FieldPath]) -> Cow<'a, Manifest> {
    if paths.is_empty() {
        return Cow::Borrowed(manifest);
    }
    let mut manifest = manifest.clone();
    for path in paths {
        let Some((parent, _)) = path.0.rsplit_once('/') else { continue };
        if let Some(Value::Object(parent)) = manifest.body.pointer_mut(parent) {
            path.segments().last().map(|name| parent.shift_remove(name));
        }
    }
    manifest.secrets.retain(|pointer, _| manifest.body.pointer(pointer).is_some());
    Cow::Owned(manifest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{manifest, sealed};

    fn path(text: &str) -> FieldPath {
        text.parse().unwrap()
    }

    #[test]
    fn a_field_path_leads_to_no_part_of_the_identity_and_to_none_of_our_marks() {
        for good in [
            "/spec/replicas",
            "/data",
            "/webhooks/0/clientConfig/caBundle",
            "/metadata/annotations/example.com~1seen",
            "/metadata/labels/a~0b",
            "/spec/metadata/name",
        ] {
            assert_eq!(good.parse::<FieldPath>().map(|path| path.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "/",
            "spec/replicas",
            "/spec//x",
            "/spec/",
            "/spec/a~2b",
            "/spec/a~",
            "/kind",
            "/apiVersion",
            "/metadata",
            "/metadata/name",
            "/metadata/labels",
            "/metadata/annotations",
            "/metadata/ownerReferences/0",
            "/metadata/labels/waxwing.dev~1sync",
            "/metadata/annotations/waxwing.dev~1prune",
            "/metadata/annotations/a/b",
        ] {
            assert_eq!(bad.parse::<FieldPath>(), Err(ParseFieldPathError), "{bad:?}");
        }
        assert_eq!(path("/metadata/annotations/example.com~1s~0een").segments().last().unwrap(), "example.com/s~een");
    }

    #[test]
    fn a_rule_fits_the_objects_that_it_names_and_only_fields_that_they_have() {
        let web = manifest("Deployment", "web", json!({"spec": {"replicas": 2, "paused": true}}));
        let rule = |kind: Option<&str>, namespace: Option<&str>, name: Option<&str>| IgnoreRule {
            kind: kind.map(|kind| GroupKind::new("apps", kind)),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
            paths: vec![path("/spec/replicas"), path("/spec/absent")],
        };
        let table = [
            (rule(None, None, None), true),
            (rule(Some("Deployment"), Some("shop"), Some("web")), true),
            (rule(Some("StatefulSet"), None, None), false),
            (rule(None, Some("other"), None), false),
            (rule(None, None, Some("other")), false),
        ];
        for (rule, fits) in table {
            let expected = if fits { vec![path("/spec/replicas")] } else { Vec::new() };
            assert_eq!(left_to_others(&web, std::slice::from_ref(&rule)).unwrap(), expected, "{rule:?}");
        }
    }

    #[test]
    fn an_item_of_a_list_is_refused_and_a_field_of_one_is_not() {
        let hook = manifest("ValidatingWebhookConfiguration", "web", json!({"webhooks": [{"clientConfig": {"x": 1}}]}));
        let ignore =
            |text: &str| left_to_others(&hook, &[IgnoreRule { paths: vec![path(text)], ..Default::default() }]);
        assert_eq!(ignore("/webhooks/0/clientConfig/x").unwrap().len(), 1);
        insta::assert_snapshot!(ignore("/webhooks/0").unwrap_err(), @"/webhooks/0 of admissionregistration.k8s.io/ValidatingWebhookConfiguration/web is an item of a list, and can't be left to others by its position (web.yaml:1)");
    }

    #[test]
    fn what_is_left_to_others_is_taken_out_with_the_secrets_in_it() {
        let secret =
            sealed(sealed(manifest("Secret", "web", json!({"data": {"a": "h", "b": "h"}})), "/data/a"), "/data/b");
        let rules = [IgnoreRule { paths: vec![path("/stringData/a")], ..Default::default() }];
        let kept = without(&secret, &left_to_others(&secret, &rules).unwrap());
        assert_eq!(kept.body["data"], json!({"b": "h"}));
        assert_eq!(kept.secrets.keys().collect::<Vec<_>>(), ["/data/b"]);
    }
}
