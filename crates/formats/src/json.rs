//! JSON with positions and without duplicate keys (RFC 8259), into the tree that YAML uses too.
//!
//! A reader of its own, because integers must stay integers as Go keeps them, duplicate keys must be seen,
//! and errors must not quote the input. Scalars in the tree: strings are quoted, everything else is plain
//! and of JSON's grammar.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::go_number;
use crate::yaml::error::{YamlError, YamlErrorKind};
use crate::yaml::load::checked_text;
use crate::yaml::node::{Content, Document, Full, Node, Position, Room, Style};
use crate::yaml::{MAX_DEPTH, ManifestDocument};

/// Reads a stream of JSON manifests, one value after another; null values are left out.
///
/// # Errors
///
/// Refuses what is not JSON, duplicate keys, numbers beyond 64-bit floats, and what is beyond the limits.
pub fn manifests(text: &[u8]) -> Result<Vec<ManifestDocument>, YamlError> {
    crate::yaml::check_length(text)?;
    manifests_within(text, Room::OF_A_FILE)
}

/// Reads a stream of JSON manifests that there is room for; the caller has checked the length.
pub(crate) fn manifests_within(text: &[u8], room: Room) -> Result<Vec<ManifestDocument>, YamlError> {
    let mut found = Vec::new();
    for (index, document) in load_within(text, room)?.iter().enumerate() {
        let value = to_value(&document.root, index)?;
        if !value.is_null() {
            found.push(ManifestDocument { index, line: document.line, value });
        }
    }
    Ok(found)
}

/// Reads all values of a text, whose length the caller has checked.
pub(crate) fn load(bytes: &[u8]) -> Result<Vec<Document>, YamlError> {
    load_within(bytes, Room::OF_A_FILE)
}

fn load_within(bytes: &[u8], room: Room) -> Result<Vec<Document>, YamlError> {
    let text = checked_text(bytes)?;
    let mut reader = Reader { rest: text, room, at: Position { line: 1, column: 1 }, document: 0, depth: 0 };
    let mut documents = Vec::new();
    reader.space();
    while !reader.rest.is_empty() {
        let line = reader.at.line;
        documents.push(Document { start: line, line, root: Rc::new(reader.value()?) });
        reader.document += 1;
        reader.space();
    }
    Ok(documents)
}

/// A JSON number as Go's `json.Number` splits it: an integer where it fits 64 bits, else a float.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum JsonNumber {
    Int(i64),
    Float(f64),
}

/// Reads a number's text; nothing if a float overflows.
pub(crate) fn number(text: &str) -> Option<JsonNumber> {
    if let Ok(int) = text.parse() {
        return Some(JsonNumber::Int(int));
    }
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(JsonNumber::Float)
}

fn to_value(node: &Node, document: usize) -> Result<Value, YamlError> {
    match &node.content {
        Content::Scalar { text, style: Style::Plain } => plain(node, text, document),
        Content::Scalar { text, .. } => Ok(Value::String(text.clone())),
        Content::Sequence { items, .. } => {
            items.iter().map(|item| to_value(item, document)).collect::<Result<_, _>>().map(Value::Array)
        }
        Content::Mapping { pairs, .. } => {
            let mut map = Map::with_capacity(pairs.len());
            for (key, value) in pairs {
                map.insert(key.text().unwrap_or_default().to_owned(), to_value(value, document)?);
            }
            Ok(Value::Object(map))
        }
    }
}

fn plain(node: &Node, text: &str, document: usize) -> Result<Value, YamlError> {
    Ok(match text {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => match (number(text), text.parse::<u64>()) {
            (Some(JsonNumber::Int(int)), _) => Value::Number(int.into()),
            (_, Ok(uint)) => Value::Number(uint.into()),
            (Some(JsonNumber::Float(float)), _) => go_number::to_json(float).map_or(Value::Null, Value::Number),
            (None, _) => return Err(node.error(document, YamlErrorKind::NumberNotInJson)),
        },
    })
}

struct Reader<'a> {
    rest: &'a str,
    room: Room,
    at: Position,
    document: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self) -> Result<Node, YamlError> {
        let at = self.at;
        let content = match self.rest.as_bytes().first() {
            Some(b'{') => self.nested(Self::object)?,
            Some(b'[') => self.nested(Self::array)?,
            Some(b'"') => Content::Scalar { text: self.string()?, style: Style::Quoted },
            Some(b'-' | b'0'..=b'9') => Content::Scalar { text: self.number()?, style: Style::Plain },
            _ => Content::Scalar { text: self.word()?, style: Style::Plain },
        };
        self.node(at, content)
    }

    fn node(&mut self, at: Position, content: Content) -> Result<Node, YamlError> {
        self.room.take(1, 0).map_err(|Full| self.error(YamlErrorKind::TooLarge))?;
        Node::new(at, self.at, None, content, self.document)
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Content, YamlError>) -> Result<Content, YamlError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(YamlErrorKind::TooDeep));
        }
        self.advance(1);
        let content = read(self)?;
        self.depth -= 1;
        Ok(content)
    }

    fn object(&mut self) -> Result<Content, YamlError> {
        let mut pairs = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        self.space();
        if self.take('}') {
            return Ok(Content::Mapping { pairs, flow: true });
        }
        loop {
            self.space();
            let key = self.key(&mut seen)?;
            self.space();
            self.expect(':')?;
            self.space();
            let value = self.value()?;
            pairs.push((Rc::new(key), Rc::new(value)));
            self.space();
            if !self.take(',') {
                self.expect('}')?;
                return Ok(Content::Mapping { pairs, flow: true });
            }
        }
    }

    fn key(&mut self, seen: &mut HashMap<String, usize>) -> Result<Node, YamlError> {
        let at = self.at;
        let text = self.string()?;
        if let Some(first_line) = seen.insert(text.clone(), at.line) {
            let kind = YamlErrorKind::DuplicateKey { key: text, first_line };
            return Err(YamlError { line: at.line, column: at.column, document: self.document, kind });
        }
        self.node(at, Content::Scalar { text, style: Style::Quoted })
    }

    fn array(&mut self) -> Result<Content, YamlError> {
        let mut items = Vec::new();
        self.space();
        if self.take(']') {
            return Ok(Content::Sequence { items, marks: Vec::new(), flow: true });
        }
        loop {
            self.space();
            items.push(Rc::new(self.value()?));
            self.space();
            if !self.take(',') {
                self.expect(']')?;
                return Ok(Content::Sequence { items, marks: Vec::new(), flow: true });
            }
        }
    }

    fn word(&mut self) -> Result<String, YamlError> {
        let length = self.rest.bytes().take_while(u8::is_ascii_lowercase).count();
        match self.rest.get(..length) {
            Some(word @ ("null" | "true" | "false")) => {
                self.advance(length);
                Ok(word.to_owned())
            }
            _ => Err(self.error(YamlErrorKind::Syntax)),
        }
    }

    fn number(&mut self) -> Result<String, YamlError> {
        let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
        let length = self.rest.bytes().take_while(|byte| is_part(byte)).count();
        match self.rest.get(..length).filter(|text| is_number(text)) {
            Some(text) => {
                self.advance(length);
                Ok(text.to_owned())
            }
            None => Err(self.error(YamlErrorKind::Syntax)),
        }
    }

    fn string(&mut self) -> Result<String, YamlError> {
        let syntax = self.error(YamlErrorKind::Syntax);
        let length = string_length(self.rest).ok_or_else(|| syntax.clone())?;
        let (quoted, _) = self.rest.split_at_checked(length).ok_or_else(|| syntax.clone())?;
        let text = serde_json::from_str(quoted).map_err(|_| syntax)?;
        self.advance(length);
        Ok(text)
    }

    fn space(&mut self) {
        let length = self.rest.bytes().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.advance(length);
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.rest.starts_with(wanted);
        if found {
            self.advance(1);
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<(), YamlError> {
        if self.take(wanted) { Ok(()) } else { Err(self.error(YamlErrorKind::Syntax)) }
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        match passed.rsplit_once('\n') {
            Some((lines, last)) => {
                self.at.line += 1 + lines.matches('\n').count();
                self.at.column = 1 + last.chars().count();
            }
            None => self.at.column += passed.chars().count(),
        }
        self.rest = rest;
    }

    fn error(&self, kind: YamlErrorKind) -> YamlError {
        YamlError { line: self.at.line, column: self.at.column, document: self.document, kind }
    }
}

/// Returns the length in bytes of the quoted string that `text` begins with, quotes included.
fn string_length(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate();
    bytes.next().filter(|(_, byte)| *byte == b'"')?;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Some(at + 1),
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
    None
}

fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let good_whole = digits(whole) && (whole == "0" || !whole.starts_with('0'));
    good_whole && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}
