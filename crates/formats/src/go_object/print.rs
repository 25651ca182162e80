//! Prints objects as the serializers of apimachinery 0.37 do (`pkg/runtime/serializer/json`): JSON with two spaces through
//! `encoding/json`, which escapes what HTML would take for markup; YAML through sigs.k8s.io/yaml, whose keys are sorted.

use std::cmp::Ordering;
use std::io::{self, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;
use serde_json::ser::{Formatter, PrettyFormatter};
use zeroize::Zeroizing;

use crate::SecretBytes;
use crate::yaml::emit::{self, Out, OutEntry, OutItem};

/// The form of a printed object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// JSON, with a line break at the end.
    Json,
    /// YAML, with `---` before it.
    Yaml,
}

/// Something that is printed, secret or not.
pub enum Printable<'a> {
    /// What is public.
    Value(&'a Value),
    /// Secret bytes as base64; none are null, as a nil slice is in Go.
    Secret(Option<Zeroizing<String>>),
    /// Fields in the order in which Go declares them.
    Map(Vec<(&'a str, Printable<'a>)>),
}

impl Printable<'_> {
    /// Takes secret bytes.
    pub fn secret(bytes: &SecretBytes) -> Self {
        Self::Secret((!bytes.is_empty()).then(|| Zeroizing::new(STANDARD.encode(bytes.expose_secret()))))
    }
}

/// Prints an object.
///
/// # Errors
/// Fails when it is too large for the memory.
pub fn print(object: &Printable<'_>, form: Form) -> io::Result<SecretBytes> {
    match form {
        Form::Json => json(object),
        Form::Yaml => {
            let text = emit::write_manifest(&object.out());
            Ok(SecretBytes::concat(&[b"---\n", text.expose_secret()]))
        }
    }
}

/// The text is measured first, so that its buffer never moves.
fn json(object: &Printable<'_>) -> io::Result<SecretBytes> {
    let mut measure = Length(1);
    write_json(object, &mut measure)?;
    let mut text = Zeroizing::new(Vec::with_capacity(measure.0));
    write_json(object, &mut *text)?;
    text.push(b'\n');
    Ok(SecretBytes::new(std::mem::take(&mut text)))
}

fn write_json(object: &Printable<'_>, to: impl Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(to, Html(PrettyFormatter::new()));
    object.serialize(&mut serializer).map_err(io::Error::from)
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Serialize for Printable<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Secret(None) => serializer.serialize_unit(),
            Self::Secret(Some(text)) => serializer.serialize_str(text),
            Self::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

/// Pretty JSON with the escapes of Go's `json.HTMLEscape`.
struct Html<'a>(PrettyFormatter<'a>);

impl Formatter for Html<'_> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let is_escaped = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_escaped(*c)) {
            let (before, after) = rest.split_at_checked(at).unwrap_or((rest, ""));
            writer.write_all(before.as_bytes())?;
            write!(writer, "\\u{:04x}", u32::from(c))?;
            rest = after.get(c.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

impl Printable<'_> {
    fn out(&self) -> Out<'_> {
        match self {
            Self::Value(value) => out(value),
            Self::Secret(None) => plain("null"),
            Self::Secret(Some(text)) => Out::Text(text.as_bytes()),
            Self::Map(fields) => sorted(fields.iter().map(|(key, value)| (*key, value.out())).collect()),
        }
    }
}

fn out(value: &Value) -> Out<'_> {
    match value {
        Value::Null => plain("null"),
        Value::Bool(value) => plain(&value.to_string()),
        Value::Number(number) => plain(&number.to_string()),
        Value::String(text) => Out::Text(text.as_bytes()),
        Value::Array(items) => Out::List(items.iter().map(|item| OutItem::Value(out(item))).collect()),
        Value::Object(map) => sorted(map.iter().map(|(key, value)| (key.as_str(), out(value))).collect()),
    }
}

fn plain<'a>(text: &str) -> Out<'a> {
    Out::Plain(Zeroizing::new(text.to_owned()))
}

fn sorted<'a>(entries: Vec<(&'a str, Out<'a>)>) -> Out<'a> {
    let entries = merge_sorted(entries, &|(one, _), (two, _)| natural(one, two) == Ordering::Less);
    Out::Map(entries.into_iter().map(|(key, value)| OutEntry::Pair(key, value)).collect())
}

/// Sorts by an order that may go round in circles, as the one of go-yaml does for large numbers: the library's sort may panic then.
fn merge_sorted<T>(mut entries: Vec<T>, is_less: &impl Fn(&T, &T) -> bool) -> Vec<T> {
    if entries.len() < 2 {
        return entries;
    }
    let mut merged = Vec::with_capacity(entries.len());
    let right = merge_sorted(entries.split_off(entries.len() / 2), is_less);
    let (mut left, mut right) = (merge_sorted(entries, is_less).into_iter().peekable(), right.into_iter().peekable());
    while let Some(first) = left.peek() {
        let next = right.next_if(|other| is_less(other, first)).or_else(|| left.next());
        merged.extend(next);
    }
    merged.extend(right);
    merged
}

/// How many digits of a number count. A longer one is no key that Kubernetes takes, and reading it for each comparison takes long.
const MAX_DIGITS: usize = 1024;

/// Compares keys as go-yaml does (`sorter.go`): letters stand behind all else, and numbers in them count as numbers.
fn natural(one: &str, two: &str) -> Ordering {
    let (mut one, mut two) = (one, two);
    let before = one;
    let (a, b) = loop {
        let (mut ones, mut twos) = (one.chars(), two.chars());
        match (ones.next(), twos.next()) {
            (Some(a), Some(b)) if a == b => (one, two) = (ones.as_str(), twos.as_str()),
            (Some(a), Some(b)) => break (a, b),
            (a, b) => return a.is_some().cmp(&b.is_some()),
        }
    };
    match (a.is_alphabetic(), b.is_alphabetic()) {
        (true, true) => return a.cmp(&b),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let before = before.strip_suffix(one).unwrap_or_default();
    let start = i64::from((a == '0' || b == '0') && ends_in_a_number(before));
    let ((first, first_length), (second, second_length)) = (number(one, start), number(two, start));
    first.cmp(&second).then(first_length.cmp(&second_length)).then(a.cmp(&b))
}

/// Tells whether the digits that a text ends with have another one than zero among them.
fn ends_in_a_number(text: &str) -> bool {
    text.chars().rev().take(MAX_DIGITS).take_while(|c| c.is_numeric()).any(|c| c != '0')
}

/// Reads the digits that a text begins with, behind `start`, and counts them; a number that is too large wraps as in Go.
fn number(text: &str, start: i64) -> (i64, usize) {
    let digits = text.chars().take(MAX_DIGITS).take_while(|c| c.is_numeric());
    let append = |(value, length): (i64, usize), c: char| {
        let digit = i64::from(u32::from(c)) - i64::from(u32::from('0'));
        (value.wrapping_mul(10).wrapping_add(digit), length + 1)
    };
    digits.fold((start, 0), append)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn printed(object: &Printable<'_>, form: Form) -> String {
        String::from_utf8(print(object, form).unwrap().expose_secret().to_vec()).unwrap()
    }

    #[test]
    fn json_is_escaped_as_go_escapes_it() {
        let value = json!({"a<b": ["&\u{2028}\u{1}\"\u{7f}\n"], "empty": {}});
        let expected = "{\n  \"a\\u003cb\": [\n    \"\\u0026\\u2028\\u0001\\\"\u{7f}\\n\"\n  ],\n  \"empty\": {}\n}\n";
        assert_eq!(printed(&Printable::Value(&value), Form::Json), expected);
    }

    #[test]
    fn secrets_are_printed_as_base64_and_no_bytes_as_null() {
        let (secret, empty) = (SecretBytes::new(b"\xd7\x6d\xf8".to_vec()), SecretBytes::new(Vec::new()));
        let object = Printable::Map(vec![("b", Printable::secret(&secret)), ("a", Printable::secret(&empty))]);
        assert_eq!(printed(&object, Form::Json), "{\n  \"b\": \"1234\",\n  \"a\": null\n}\n");
        assert_eq!(printed(&object, Form::Yaml), "---\na: null\nb: \"1234\"\n");
    }

    #[test]
    fn keys_whose_order_goes_round_in_circles_are_sorted_somehow() {
        // The first is below the second, which is below the third, which is below the first: a number that is too large is negative.
        let circle = ["9223372036854775808", "3", "9223372036854775807"];
        let follows = |at: usize, next: usize| natural(circle[at], circle[next]) == Ordering::Less;
        assert!(follows(0, 1) && follows(1, 2) && follows(2, 0));
        let mut step = 1_u64;
        let keys: Vec<String> = std::iter::repeat_with(|| {
            step = step.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (step >> (step % 60)).to_string() + &"7".repeat((step % 7) as usize)
        })
        .take(2000)
        .collect();
        let object = serde_json::Value::Object(keys.iter().map(|key| (key.clone(), json!(1))).collect());
        let printed = printed(&Printable::Value(&object), Form::Yaml);
        assert!(keys.iter().all(|key| printed.contains(&format!("\"{key}\": 1\n"))));
    }

    #[test]
    fn keys_are_sorted_as_go_yaml_sorts_them() {
        let mut keys = ["a10", "a2", "b", "A", "_x", "0", "b-c", "b.c", "a02", "é", "a", "a1b"];
        keys.sort_by(|one, two| natural(one, two));
        assert_eq!(keys, ["_x", "0", "A", "a", "a2", "a02", "a10", "a1b", "b", "b-c", "b.c", "é"]);
    }
}
