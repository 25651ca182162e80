//! Generated ConfigMaps and Secrets, whose names end in a hash of their content.
//!
//! Kustomize (`api/hasher`) puts `-` and ten characters behind the name, taken from the hexadecimal digits of a
//! SHA-256 with `0 1 3 a e` written as `g h k m t`. A change of the content so looks like another object; here the
//! two are brought together.

use std::collections::{BTreeMap, BTreeSet};

use super::{FieldChange, FieldDiff, ObjectChange, ObjectDiff, Shown, diff, redact};
use crate::{Manifest, ObjectId};

type Manifests<'a> = BTreeMap<&'a ObjectId, &'a Manifest>;

/// Finds which new object replaces which old one: the new ids with the old ones.
pub(super) fn pairs<'a>(old: &Manifests<'a>, new: &Manifests<'a>) -> BTreeMap<&'a ObjectId, &'a ObjectId> {
    let gone = by_base(old.keys().copied().filter(|id| !new.contains_key(id)));
    let fresh = by_base(new.keys().copied().filter(|id| !old.contains_key(id)));
    let pair = |(base, new): (&ObjectId, &Vec<&'a ObjectId>)| match (gone.get(base)?.as_slice(), new.as_slice()) {
        ([old], [new]) => Some((*new, *old)),
        _ => None,
    };
    fresh.iter().filter_map(pair).collect()
}

fn by_base<'a>(ids: impl Iterator<Item = &'a ObjectId>) -> BTreeMap<ObjectId, Vec<&'a ObjectId>> {
    let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for id in ids.filter(|id| id.kind.group.is_empty() && ["ConfigMap", "Secret"].contains(&id.kind.kind.as_str())) {
        if let Some((base, suffix)) = id.name.rsplit_once('-')
            && is_suffix(suffix)
        {
            found.entry(ObjectId { name: base.to_owned(), ..id.clone() }).or_default().push(id);
        }
    }
    found
}

fn is_suffix(text: &str) -> bool {
    text.len() == 10 && text.bytes().all(|b| b"2456789bcdfghkmt".contains(&b))
}

/// Shows an object by what differs from the one that it replaces.
pub(super) fn replacement(old: Option<&Manifest>, new: Option<&Manifest>) -> Option<ObjectDiff> {
    let mut shown = diff(old, new)?;
    shown.fields.retain(|field| field.pointer != "/metadata/name");
    shown.change = ObjectChange::Created;
    shown.renamed_from = old.map(|old| redact::text(&old.id.name));
    shown.notes.push("its content changed, so its generator gave it another name".to_owned());
    Some(shown)
}

/// Says which objects use what was replaced, and by what the old ones are replaced.
pub(super) fn note(objects: &mut [ObjectDiff], replaced: &BTreeMap<&ObjectId, &ObjectId>) {
    let by_old: BTreeMap<_, _> = replaced.iter().map(|(new, old)| (*old, *new)).collect();
    for object in objects {
        if let Some(new) = by_old.get(&object.id) {
            object.notes.push(format!("{} replaces it", redact::text(&new.name)));
        }
        let uses: BTreeSet<_> = replaced
            .iter()
            .filter(|(new, _)| new.namespace == object.id.namespace)
            .filter_map(|(new, old)| used(object, old, new))
            .collect();
        object.notes.extend(uses);
    }
}

fn used(object: &ObjectDiff, old: &ObjectId, new: &ObjectId) -> Option<String> {
    let field = object.fields.iter().find(|field| refers(field, &old.name, &new.name))?;
    let effect = match field.pointer.starts_with("/spec/template/") && object.id.kind.group == "apps" {
        true => ": its pods are replaced",
        false => "",
    };
    Some(format!("it uses {} {}, which is new{effect}", new.kind.kind, redact::text(&new.name)))
}

fn refers(field: &FieldDiff, old: &str, new: &str) -> bool {
    let is =
        |shown: &Option<Shown>, name: &str| matches!(shown, Some(Shown::Value(value)) if value.as_str() == Some(name));
    field.change == FieldChange::Changed && is(&field.old, old) && is(&field.new, new)
}
