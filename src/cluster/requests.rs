//! Requests: manifests whose secrets have been opened, ready to be sent.
//!
//! A request is a skeleton without secrets plus a map from JSON pointer to secret bytes. The two meet only in
//! [`Request::body`], in one buffer that is allocated at its full size and wiped when dropped. Nothing here is
//! `Debug`, `Display`, `Clone` or `Serialize`:
//!
//! ```compile_fail
//! fn printable<T: std::fmt::Debug>() {}
//! printable::<waxwing::cluster::Request>();
//! ```
//!
//! ```compile_fail
//! fn printable<T: std::fmt::Debug>() {}
//! printable::<waxwing::cluster::Binding>();
//! ```

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use waxwing_formats::SecretBytes;
use waxwing_plan::{FieldPath, GroupKind, ObjectId, SecretMark};
use zeroize::Zeroizing;

use super::call::Privacy;

/// How a secret value is written into the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As a JSON string of the bytes in standard base64: the `data` of a Secret.
    Base64,
    /// As a JSON string; the bytes are UTF-8.
    Text,
    /// As it is: a JSON number or boolean.
    Literal,
}

/// Where a value came from, all of it public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provenance {
    /// The file, document and key path.
    pub mark: SecretMark,
    /// Whose key opened it, such as `age age1...`; or who gave it, such as `SecretBackend shop/vault`.
    pub recipient: String,
    /// What of a secret store it is.
    pub stored: Option<StoredSource>,
}

/// What of a secret store a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSource {
    /// The reference, in its canonical form.
    pub reference: String,
    /// The version of the secret; empty where the store has none.
    pub version: String,
}

/// One secret value and the place in its object where it goes.
pub struct Binding {
    /// The JSON pointer (RFC 6901) of the value in the object.
    pub pointer: String,
    /// The value.
    pub value: SecretBytes,
    /// How it is written.
    pub encoding: Encoding,
    /// Where it came from; several sources where a string was put together from several.
    pub provenance: Vec<Provenance>,
}

/// One object that is about to be applied.
pub struct Request {
    /// The object's identity.
    pub id: ObjectId,
    /// The API version without the group.
    pub version: String,
    /// The resourceVersion of the live object; none when there is no such object.
    pub live_version: Option<String>,
    /// Whether nobody asked if there is such an object, so that its dry run has to show that there is none.
    pub presumed_absent: bool,
    /// Whether the live object belongs to nobody, so that other tools' fields are taken over first.
    pub adopts: bool,
    /// The fields that are left to others once the object exists: none of them is in a request for a live object.
    pub left_to_others: Vec<FieldPath>,
    /// Whether the live object may hold secret values although this request brings none: true for a Secret.
    pub may_hold_secrets: bool,
    skeleton: Value,
    bindings: Vec<Binding>,
}

/// The requests of one sync, in the stages in which they are applied.
#[derive(Default)]
pub struct Requests {
    stages: Vec<Vec<Request>>,
}

impl Requests {
    /// Takes the stages in order.
    pub fn new(stages: Vec<Vec<Request>>) -> Self {
        Self { stages }
    }

    /// Returns the stages in order.
    pub fn stages(&self) -> &[Vec<Request>] {
        &self.stages
    }

    /// Returns all requests in order.
    pub fn iter(&self) -> impl Iterator<Item = &Request> {
        self.stages.iter().flatten()
    }

    /// Tells whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl Request {
    /// Puts a skeleton and the values for it together; where a binding points, the skeleton's own value is not sent.
    /// The object is taken as new; set `live_version` and `adopts` when it isn't, `left_to_others`, and `may_hold_secrets` where another kind
    /// than Secret takes secret values.
    pub fn new(id: ObjectId, version: String, skeleton: Value, bindings: Vec<Binding>) -> Self {
        let may_hold_secrets = id.kind == GroupKind::new("", "Secret");
        Self {
            id,
            version,
            live_version: None,
            presumed_absent: false,
            adopts: false,
            left_to_others: Vec::new(),
            may_hold_secrets,
            skeleton,
            bindings,
        }
    }

    /// Returns whether answers about this object may quote secret values. They are about the object as it would be, so
    /// also about fields that somebody else has set.
    pub fn privacy(&self) -> Privacy {
        match self.bindings.is_empty() && !self.may_hold_secrets {
            true => Privacy::Public,
            false => Privacy::Secret,
        }
    }

    /// Returns the bindings' places and sources, without the values.
    pub fn provenance(&self) -> impl Iterator<Item = (&str, &[Provenance])> {
        self.bindings.iter().map(|binding| (binding.pointer.as_str(), binding.provenance.as_slice()))
    }

    /// Takes fields out, with all that was to stand in them.
    pub fn leave(&mut self, fields: &[FieldPath]) {
        for field in fields {
            let Some((parent, _)) = field.as_str().rsplit_once('/') else { continue };
            if let Some(Value::Object(parent)) = self.skeleton.pointer_mut(parent) {
                field.segments().last().map(|name| parent.shift_remove(name));
            }
        }
        let skeleton = &self.skeleton;
        self.bindings.retain(|binding| skeleton.pointer(&binding.pointer).is_some());
    }

    /// Returns the object without its secret values.
    pub fn skeleton(&self) -> &Value {
        &self.skeleton
    }

    fn by_place(&self) -> Bindings<'_> {
        self.bindings.iter().rev().map(|binding| (binding.pointer.as_str(), binding)).collect()
    }

    /// Writes the body of the apply request: the only place where skeleton and secrets meet.
    ///
    /// # Errors
    ///
    /// Fails when a binding points nowhere in the skeleton, with its pointer.
    pub fn body(&self) -> Result<Bytes, UnboundPointer> {
        let bindings = self.by_place();
        let mut size = Counter(0);
        write(&self.skeleton, &bindings, &mut String::new(), &mut size);
        let mut buffer = Buffer { bytes: Zeroizing::new(Vec::with_capacity(size.0)) };
        write(&self.skeleton, &bindings, &mut String::new(), &mut buffer);
        match self.bindings.iter().find(|binding| self.skeleton.pointer(&binding.pointer).is_none()) {
            Some(unbound) => Err(UnboundPointer(unbound.pointer.clone())),
            None => Ok(Bytes::from_owner(buffer.bytes)),
        }
    }
}

/// The bindings of one request by their pointers; of two at one place, the first.
type Bindings<'a> = BTreeMap<&'a str, &'a Binding>;

fn write(value: &Value, bindings: &Bindings<'_>, at: &mut String, out: &mut impl Sink) {
    if let Some(binding) = bindings.get(at.as_str()) {
        return out.secret(binding);
    }
    match value {
        Value::Object(fields) => write_object(fields, bindings, at, out),
        Value::Array(items) => write_array(items, bindings, at, out),
        scalar => out.public(&scalar.to_string()),
    }
}

fn write_object(
    fields: &serde_json::Map<String, Value>,
    bindings: &Bindings<'_>,
    at: &mut String,
    out: &mut impl Sink,
) {
    out.public("{");
    for (position, (key, value)) in fields.iter().enumerate() {
        if position > 0 {
            out.public(",");
        }
        out.public(&Value::from(key.as_str()).to_string());
        out.public(":");
        let parent = at.len();
        at.push('/');
        at.push_str(&key.replace('~', "~0").replace('/', "~1"));
        write(value, bindings, at, out);
        at.truncate(parent);
    }
    out.public("}");
}

fn write_array(items: &[Value], bindings: &Bindings<'_>, at: &mut String, out: &mut impl Sink) {
    out.public("[");
    for (position, value) in items.iter().enumerate() {
        if position > 0 {
            out.public(",");
        }
        let parent = at.len();
        at.push('/');
        at.push_str(&position.to_string());
        write(value, bindings, at, out);
        at.truncate(parent);
    }
    out.public("]");
}

/// A binding whose pointer leads nowhere in the object it was made for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no value stands at {0}")]
pub struct UnboundPointer(pub String);

/// Takes the pieces of a body in order; one pass counts them, the next one writes them.
trait Sink {
    fn public(&mut self, text: &str);
    fn secret(&mut self, binding: &Binding);
}

struct Counter(usize);

impl Sink for Counter {
    fn public(&mut self, text: &str) {
        self.0 += text.len();
    }

    fn secret(&mut self, binding: &Binding) {
        let value = binding.value.expose_secret();
        self.0 += match binding.encoding {
            Encoding::Base64 => 2 + value.len().div_ceil(3) * 4,
            Encoding::Text => 2 + value.iter().map(|byte| escaped(*byte).len()).sum::<usize>(),
            Encoding::Literal => value.len(),
        };
    }
}

struct Buffer {
    bytes: Zeroizing<Vec<u8>>,
}

impl Sink for Buffer {
    fn public(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn secret(&mut self, binding: &Binding) {
        #![expect(clippy::expect_used, reason = "the size is computed right here")]
        let value = binding.value.expose_secret();
        match binding.encoding {
            Encoding::Literal => self.bytes.extend_from_slice(value),
            Encoding::Base64 => {
                self.bytes.push(b'"');
                let start = self.bytes.len();
                self.bytes.resize(start + value.len().div_ceil(3) * 4, 0);
                let target = self.bytes.get_mut(start..).unwrap_or_default();
                STANDARD.encode_slice(value, target).expect("the target has exactly the encoded size");
                self.bytes.push(b'"');
            }
            Encoding::Text => {
                self.bytes.push(b'"');
                for byte in value {
                    self.bytes.extend_from_slice(escaped(*byte).as_slice());
                }
                self.bytes.push(b'"');
            }
        }
    }
}

/// One byte of a JSON string as it is written (RFC 8259, section 7), without an allocation.
struct Escaped {
    bytes: [u8; 6],
    len: usize,
}

impl Escaped {
    fn len(&self) -> usize {
        self.len
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

fn escaped(byte: u8) -> Escaped {
    let hex = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    match byte {
        b'"' | b'\\' => Escaped { bytes: [b'\\', byte, 0, 0, 0, 0], len: 2 },
        0..=0x1f => Escaped { bytes: [b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte & 15)], len: 6 },
        _ => Escaped { bytes: [byte, 0, 0, 0, 0, 0], len: 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn request(skeleton: Value, bindings: Vec<Binding>) -> Request {
        let id = ObjectId { kind: GroupKind::new("", "Secret"), namespace: Some("shop".into()), name: "db".into() };
        Request::new(id, "v1".into(), skeleton, bindings)
    }

    fn binding(pointer: &str, value: &[u8], encoding: Encoding) -> Binding {
        let value = SecretBytes::new(value.to_vec());
        Binding { pointer: pointer.into(), value, encoding, provenance: Vec::new() }
    }

    fn sent(request: &Request) -> Value {
        serde_json::from_slice(&request.body().unwrap()).unwrap()
    }

    #[test]
    fn secret_values_stand_in_the_body_where_they_were_bound_and_nowhere_else() {
        let skeleton = json!({"kind": "Secret", "data": {"a/b": "handle", "c~": "handle", "plain": "eA=="}, "l": [1, "h", {"x": null}]});
        let bindings = vec![
            binding("/data/a~1b", b"\x00\xffbinary", Encoding::Base64),
            binding("/data/c~0", b"", Encoding::Base64),
            binding("/l/1", "quote \" back \\ newline \n ünïcode \u{1}".as_bytes(), Encoding::Text),
            binding("/l/2/x", b"42", Encoding::Literal),
        ];
        let expected = json!({"kind": "Secret",
            "data": {"a/b": STANDARD.encode(b"\x00\xffbinary"), "c~": "", "plain": "eA=="},
            "l": [1, "quote \" back \\ newline \n ünïcode \u{1}", {"x": 42}]});
        assert_eq!(sent(&request(skeleton, bindings)), expected);
    }

    #[test]
    fn answers_about_a_secret_are_private_even_where_the_request_brings_no_value() {
        assert_eq!(request(json!({"metadata": {"labels": {"a": "b"}}}), Vec::new()).privacy(), Privacy::Secret);
    }

    #[test]
    fn the_buffer_never_grows_while_it_is_filled() {
        let value = b"\"\\\n0123456789".repeat(100);
        let request = request(
            json!({"a": "x", "b": "y"}),
            vec![binding("/a", &value, Encoding::Text), binding("/b", &value, Encoding::Base64)],
        );
        let mut size = Counter(0);
        write(&request.skeleton, &request.by_place(), &mut String::new(), &mut size);
        assert_eq!(request.body().unwrap().len(), size.0);
    }

    #[test]
    fn a_binding_that_points_nowhere_is_an_error() {
        let request = request(json!({"data": {}}), vec![binding("/data/x", b"v", Encoding::Base64)]);
        assert_eq!(request.body().unwrap_err(), UnboundPointer("/data/x".into()));
    }
}
