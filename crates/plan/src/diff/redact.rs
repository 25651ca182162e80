//! What of a manifest may be shown. In doubt, a value is sealed.

use serde_json::Value;

use super::Shown;
use crate::{GroupKind, Location, Manifest, ObjectId};

/// What stands in place of a sealed text.
pub(super) const SEALED: &str = "(sealed)";

/// What sealed texts hold: the beginning of a handle (`waxwing-formats`, `Handle::PREFIX`), the same within base64 at
/// each of the three alignments, and the beginning of a SOPS value.
const SIGNS: [&str; 5] = [HANDLE, "d2F4d2luZ2hhbmRs", "YXh3aW5naGFuZGxl", "eHdpbmdoYW5kbGUw", "ENC[AES256_GCM"];
const HANDLE: &str = "waxwinghandle0";

/// Returns a leaf as it may be shown.
pub(super) fn leaf(manifest: &Manifest, pointer: &str, value: &Value) -> Shown {
    let marks = manifest.secrets.get(pointer);
    let sealed = marks.is_some() || is_secret_field(&manifest.id.kind, pointer) || is_sealed(value);
    match sealed {
        true => Shown::Sealed(marks.cloned().unwrap_or_default()),
        false => Shown::Value(value.clone()),
    }
}

/// Fields that hold secrets whatever they look like.
fn is_secret_field(kind: &GroupKind, pointer: &str) -> bool {
    let sections: &[&str] = match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Secret") => &["/data", "/stringData"],
        ("bitnami.com", "SealedSecret") => &["/spec/encryptedData", "/spec/data", "/spec/template/data"],
        _ => &[],
    };
    sections
        .iter()
        .filter_map(|section| pointer.strip_prefix(section))
        .any(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Tells whether a value is or holds a sealed text.
pub(super) fn is_sealed(value: &Value) -> bool {
    match value {
        Value::String(text) => SIGNS.iter().any(|sign| text.contains(sign)),
        Value::Array(items) => items.iter().any(is_sealed),
        _ => false,
    }
}

/// Returns a text that is shown as it is, such as a map key, without sealed texts in it.
pub(super) fn text(text: &str) -> String {
    if SIGNS.iter().skip(1).any(|sign| text.contains(sign)) {
        return SEALED.to_owned();
    }
    let mut parts = text.split(HANDLE);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str(SEALED);
        shown.push_str(part.trim_start_matches(|c: char| c.is_ascii_alphanumeric()));
    }
    shown
}

/// Returns an id without sealed texts in it.
pub(super) fn id(id: &ObjectId) -> ObjectId {
    ObjectId { kind: id.kind.clone(), namespace: id.namespace.as_deref().map(text), name: text(&id.name) }
}

/// Returns a place without sealed texts in it.
pub(super) fn location(location: &Location) -> Location {
    Location { file: text(&location.file), ..*location }
}
