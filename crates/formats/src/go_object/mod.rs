//! Kubernetes objects as Kubernetes' own programs, written in Go, read and print them: fields that a type does not have are
//! dropped, those it has stand in its order, and empty ones are left out or not, field by field.
//!
//! Only the types that kubeseal handles ([`GoType`]). Not here: what any field means.

mod fields;
mod print;
mod shape;

pub use fields::GoType;
pub use print::{Form, Printable, print};
pub use shape::{Reading, ShapeError};

use serde_json::Value;

use crate::KeyPath;

impl GoType {
    /// Brings an object into the form of its type.
    ///
    /// # Errors
    /// Says which field has another type than Go would accept.
    pub fn read(self, object: Value, reading: Reading) -> Result<Value, ShapeError> {
        shape::object(object, self.fields(), &KeyPath::root(), reading)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(type_: GoType, object: Value, reading: Reading) -> String {
        match type_.read(object, reading) {
            Ok(object) => object.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn fields_stand_in_the_order_of_the_type_and_empty_ones_are_left_out() {
        let object = json!({"type": "", "metadata": {"labels": {"b": "2", "a": "1"}, "name": "x", "annotations": {},
            "creationTimestamp": null, "other": 1}, "kind": "Secret", "immutable": false, "unknown": []});
        let expected = r#"{"kind":"Secret","metadata":{"name":"x","labels":{"a":"1","b":"2"}},"immutable":false}"#;
        assert_eq!(read(GoType::Secret, object, Reading::Json), expected);
    }

    #[test]
    fn keys_of_fields_are_matched_without_case_as_go_folds_it() {
        let object = json!({"\u{17f}tringData": {"a": "1"}, "\u{212a}IND": "Secret", "metadatä": {"name": "x"}});
        let expected = r#"{"kind":"Secret","metadata":{},"stringData":{"a":"1"}}"#;
        assert_eq!(read(GoType::Secret, object, Reading::Json), expected);
    }

    #[test]
    fn a_sealed_secret_has_its_spec_even_if_it_is_empty() {
        let expected = r#"{"metadata":{},"spec":{"template":{"metadata":{}},"encryptedData":null}}"#;
        assert_eq!(read(GoType::SealedSecret, json!({}), Reading::Json), expected);
    }

    #[test]
    fn numbers_become_text_in_yaml_and_are_refused_in_json() {
        let object = json!({"stringData": {"a": 1, "b": true, "c": 1.5e9, "d": null}});
        let expected = r#"{"metadata":{},"stringData":{"a":"1","b":"true","c":"1.5e+09","d":""}}"#;
        assert_eq!(read(GoType::Secret, object.clone(), Reading::Yaml), expected);
        assert_eq!(read(GoType::Secret, object, Reading::Json), "/stringData/a is not a string");
    }

    #[test]
    fn times_are_told_in_utc_to_the_second() {
        let object = json!({"metadata": {"creationTimestamp": "2024-01-01T02:00:00.5+02:00"}});
        let expected = r#"{"metadata":{"creationTimestamp":"2024-01-01T00:00:00Z"}}"#;
        assert_eq!(read(GoType::Secret, object, Reading::Json), expected);
        let object = json!({"metadata": {"creationTimestamp": "yesterday"}});
        let expected = "/metadata/creationTimestamp is not a time, such as 2006-01-02T15:04:05Z";
        assert_eq!(read(GoType::Secret, object, Reading::Json), expected);
    }
}
