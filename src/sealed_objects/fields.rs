//! Which fields of a Secret its SealedSecret decides about, and whether somebody wrote over them, by `managedFields` alone.
//!
//! All of it is public: which keys, labels and annotations there are to be is known without opening anything. Who writes other
//! fields beside them changes nothing here.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde_json::{Value, json};
use waxwing_plan::Digest;

/// The fields of a Secret that its SealedSecret decides about, as paths of "FieldsV1" elements (structured-merge-diff).
pub(super) struct Fields(Vec<Vec<String>>);

/// Who has these fields, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Another one when any of the fields was written over.
    pub(super) digest: Digest,
    /// Who wrote any of them last, and when by the API server's clock, in whole seconds.
    writes: Vec<(String, Timestamp)>,
}

impl Mark {
    /// Says who has any field of a Secret, where it is not known which of them count: whoever writes anything into it changes it.
    pub(super) fn of_whole(secret: &ObjectMeta) -> Self {
        let entries = || secret.managed_fields.iter().flatten();
        let time = |entry: &ManagedFieldsEntry| entry.time.as_ref().map(|time| time.0);
        let writes = entries().filter_map(|entry| Some((entry.manager.clone().unwrap_or_default(), time(entry)?)));
        let told = entries().map(|entry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            json!([entry.manager, entry.operation, time(entry).map(|time| time.to_string()), fields])
        });
        let digest = Digest::of(&json!([secret.uid, told.collect::<Vec<_>>()]));
        Self { digest, writes: writes.collect() }
    }

    /// Tells whether all of them were written before the status of the SealedSecret was, at `told`. Within that second only `writers` did it:
    /// whoever writes Secrets of SealedSecrets writes their status afterwards.
    pub(super) fn is_older(&self, told: Timestamp, writers: &[&str]) -> bool {
        self.writes.iter().all(|(who, when)| *when < told || (*when == told && writers.contains(&who.as_str())))
    }
}

impl Fields {
    /// Returns the fields that this Secret has, without its type, which can't be changed.
    pub(super) fn of(skeleton: &Value) -> Self {
        let keys = |pointer: &str| skeleton.pointer(pointer).and_then(Value::as_object).into_iter().flatten();
        let named = |above: &[&str], key: &str| {
            above.iter().map(|element| (*element).to_owned()).chain([format!("f:{key}")]).collect::<Vec<_>>()
        };
        let mut all: Vec<Vec<String>> = keys("/data").map(|(key, _)| named(&["f:data"], key)).collect();
        for (pointer, element) in [("/metadata/labels", "f:labels"), ("/metadata/annotations", "f:annotations")] {
            all.extend(keys(pointer).map(|(key, _)| named(&["f:metadata", element], key)));
        }
        let owners = skeleton.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
        all.extend(owners.filter_map(|owner| owner.get("uid")).map(|uid| {
            vec!["f:metadata".to_owned(), "f:ownerReferences".to_owned(), format!("k:{}", json!({"uid": uid}))]
        }));
        Self(all)
    }

    /// Says who has the fields of a Secret; none when nobody has one of them, so that it is not there any more.
    pub(super) fn mark(&self, secret: &ObjectMeta) -> Option<Mark> {
        let entries: Vec<&ManagedFieldsEntry> = secret.managed_fields.iter().flatten().collect();
        let of_entry = |entry: &&ManagedFieldsEntry| -> Vec<&Vec<String>> {
            self.0.iter().filter(|path| has(entry, path)).collect()
        };
        let owned: Vec<_> = entries.iter().map(|entry| (entry, of_entry(entry))).collect();
        let is_owned = |path: &Vec<String>| owned.iter().any(|(_, paths)| paths.contains(&path));
        if !self.0.iter().all(is_owned) {
            return None;
        }
        let owners: Vec<_> = owned.iter().filter(|(_, paths)| !paths.is_empty()).collect();
        let write =
            |entry: &ManagedFieldsEntry| Some((entry.manager.clone().unwrap_or_default(), entry.time.as_ref()?.0));
        let writes = owners.iter().filter_map(|(entry, _)| write(entry)).collect();
        let told = owners.iter().map(|(entry, paths)| {
            json!([entry.manager, entry.operation, entry.time.as_ref().map(|time| time.0.to_string()), paths])
        });
        let told = json!([secret.uid, told.collect::<Vec<_>>()]);
        Some(Mark { digest: Digest::of(&told), writes })
    }
}

fn has(entry: &ManagedFieldsEntry, path: &[String]) -> bool {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    path.iter().fold(fields, |at, element| at.and_then(|at| at.get(element))).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields::of(&json!({
            "metadata": {"labels": {"app": "x"}, "ownerReferences": [{"uid": "u"}]},
            "data": {"a": "", "b": ""},
        }))
    }

    fn secret(entries: Value) -> ObjectMeta {
        serde_json::from_value(json!({"uid": "s", "managedFields": entries})).unwrap()
    }

    fn all() -> Value {
        json!({"f:data": {".": {}, "f:a": {}, "f:b": {}},
            "f:metadata": {"f:labels": {"f:app": {}}, "f:ownerReferences": {".": {}, "k:{\"uid\":\"u\"}": {}}}})
    }

    fn entry(manager: &str, time: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": "Update", "apiVersion": "v1", "time": format!("2026-01-01T00:00:{time}Z"),
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn who_writes_beside_changes_nothing_and_who_writes_over_does() {
        let mark = |entries| fields().mark(&secret(entries));
        let ours = || entry("controller", "01", all());
        let first = mark(json!([ours()])).unwrap();
        let beside = entry("kubectl", "05", json!({"f:data": {"f:c": {}}, "f:metadata": {"f:labels": {"f:y": {}}}}));
        assert_eq!(mark(json!([ours(), beside])), Some(first.clone()));
        let mut less = all();
        less["f:data"].as_object_mut().unwrap().remove("f:a");
        let over = entry("kubectl", "05", json!({"f:data": {"f:a": {}}}));
        let written_over = mark(json!([entry("controller", "01", less.clone()), over])).unwrap();
        assert_ne!(written_over.digest, first.digest);
        let whole = |entries| Mark::of_whole(&secret(entries)).digest;
        let other = entry("kubectl", "05", json!({"f:data": {"f:c": {}}}));
        assert_ne!(whole(json!([ours(), other])), whole(json!([ours()])), "whoever writes anything");
        let at = |second: u8| format!("2026-01-01T00:00:{second:02}Z").parse().unwrap();
        assert_eq!([0, 1, 2].map(|second| first.is_older(at(second), &["controller"])), [false, true, true]);
        assert_eq!([1, 2].map(|second| first.is_older(at(second), &[])), [false, true]);
        assert_eq!([5, 6].map(|second| written_over.is_older(at(second), &["controller"])), [false, true]);
        assert_eq!(mark(json!([entry("controller", "01", less)])), None, "a key was taken away");
        assert_ne!(mark(json!([entry("controller", "09", all())])).unwrap().digest, first.digest);
    }
}
