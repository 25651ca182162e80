//! What a file's text says, before rules and tokens are looked at: an ordered tree with comments, and the `sops` block
//! of a sealed one apart from it.
//!
//! Source: sops 3.13.3, `stores/{yaml,json,dotenv,ini}/store.go`.

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::error::SopsError;
use super::{Store, flat};
use crate::ini;
use crate::json::{self, JsonNumber};
use crate::yaml::comments::{Attached, Comments, Reading};
use crate::yaml::error::YamlErrorKind;
use crate::yaml::load::{self, Stream};
use crate::yaml::node::{Content, Document, Node, Style};
use crate::yaml::resolve::{Rules, Scalar, resolve};
use crate::yaml::{MAX_WEIGHT, is_empty};
use crate::{KeyPath, Segment};

/// An ordered tree.
#[derive(Clone)]
pub(crate) enum Raw {
    Scalar(Scalar),
    List(Vec<RawItem>),
    Map(Vec<RawEntry>),
}

#[derive(Clone)]
pub(crate) enum RawItem {
    Comment(Comment),
    Value(Raw),
}

#[derive(Clone)]
pub(crate) enum RawEntry {
    Comment(Comment),
    Pair(String, Raw),
}

/// One line of comment, without `#`.
#[derive(Clone, Debug)]
pub(crate) struct Comment {
    pub(crate) text: String,
    /// Whether it stands behind a value on the same line.
    pub(crate) inline: bool,
}

/// A file: its documents without the `sops` block, and that block.
pub(crate) struct File {
    /// None at all if the text is empty.
    pub(crate) documents: Vec<Vec<RawEntry>>,
    /// Nothing in a file that is not sealed.
    pub(crate) block: Option<Block>,
}

/// The `sops` block as it stands in the text.
pub(crate) enum Block {
    /// A value of the first document; a mapping, if the file is good.
    Tree(Value),
    /// Fields with names such as `age__list_0__map_enc`.
    Flat(Vec<(String, String)>),
}

impl Block {
    /// Returns the block as a mapping.
    pub(crate) fn into_map(self) -> Result<Map<String, Value>, SopsError> {
        match self {
            Self::Tree(Value::Object(map)) => Ok(map),
            Self::Tree(_) => Err(SopsError::Metadata { field: BLOCK.to_owned(), fault: "is not a mapping" }),
            Self::Flat(fields) => flat::unflatten(fields),
        }
    }
}

/// The name of the block.
pub(crate) const BLOCK: &str = "sops";
/// What the names of its fields begin with in a dotenv file.
pub(crate) const FLAT_PREFIX: &str = "sops_";

/// Reads a file of at most so many bytes. The envelope of a sealed binary file is JSON.
pub(crate) fn read(bytes: &[u8], store: Store, limit: usize) -> Result<File, SopsError> {
    check_length(bytes, limit)?;
    match store {
        Store::Yaml => yaml(bytes),
        Store::Json | Store::Binary => json(bytes),
        Store::Dotenv => dotenv(bytes),
        Store::Ini => ini(bytes),
    }
}

/// Refuses a file that is too long.
pub(crate) fn check_length(bytes: &[u8], limit: usize) -> Result<(), SopsError> {
    if bytes.len() > limit { Err(SopsError::TooLong { limit }) } else { Ok(()) }
}

/// Reads a YAML stream; the block is the first document's, those of the others are dropped as sops does.
fn yaml(bytes: &[u8]) -> Result<File, SopsError> {
    let stream = load::load(bytes).map_err(SopsError::Text)?;
    let text = load::checked_text(bytes).map_err(SopsError::Text)?;
    yaml_with(&stream, &Attached::new(&stream, text, Reading::Upstream))
}

fn yaml_with(stream: &Stream, attached: &Attached) -> Result<File, SopsError> {
    file(&stream.documents, &mut Reader::new(yaml_scalar, Some(attached)))
}

/// Reads the documents of a YAML stream so that each comment is in the block that its column says; nothing if there are no
/// comments.
pub(crate) fn yaml_by_columns(bytes: &[u8]) -> Result<Option<Vec<Vec<RawEntry>>>, SopsError> {
    let stream = load::load(bytes).map_err(SopsError::Text)?;
    if stream.comments.is_empty() {
        return Ok(None);
    }
    Ok(Some(yaml_with(&stream, &Attached::new(&stream, "", Reading::Columns))?.documents))
}

/// Reads JSON, one object and nothing after it.
fn json(bytes: &[u8]) -> Result<File, SopsError> {
    let documents = json::load(bytes).map_err(SopsError::Text)?;
    if let [_, second, ..] = documents.as_slice() {
        return Err(SopsError::Text(second.root.error(1, YamlErrorKind::Syntax)));
    }
    file(&documents, &mut Reader::new(json_scalar, None))
}

/// Reads dotenv: a comment, or `KEY=value` with nothing trimmed; `\n` in a value is a line break.
fn dotenv(bytes: &[u8]) -> Result<File, SopsError> {
    let (mut entries, mut block, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
    for (at, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let refused = SopsError::DotenvLine { line: at + 1 };
        let Ok(line) = std::str::from_utf8(line) else {
            return Err(refused);
        };
        if let Some(text) = line.strip_prefix('#') {
            entries.push(RawEntry::Comment(Comment { text: text.to_owned(), inline: false }));
        } else if !line.is_empty() {
            let (key, value) = line.split_once('=').ok_or(refused)?;
            if seen.insert(key, at).is_some() {
                return Err(SopsError::DotenvDuplicate { key: key.to_owned() });
            }
            let value = value.replace(r"\n", "\n");
            match key.strip_prefix(FLAT_PREFIX) {
                Some(field) => block.push((field.to_owned(), value)),
                None => entries.push(RawEntry::Pair(key.to_owned(), Raw::Scalar(Scalar::Text(value)))),
            }
        }
    }
    Ok(File { documents: vec![entries], block: (!block.is_empty()).then_some(Block::Flat(block)) })
}

/// Reads INI: each section is a mapping of texts. A comment stands before the section or key that it belongs to, and in the
/// tree within the section, or behind the key.
fn ini(bytes: &[u8]) -> Result<File, SopsError> {
    let (mut entries, mut block) = (Vec::new(), None);
    for section in ini::read(bytes).map_err(SopsError::Ini)? {
        if section.name == BLOCK {
            let fields = section.keys.into_iter().map(|key| (key.name, key.value.replace(r"\n", "\n")));
            block = Some(Block::Flat(fields.collect()));
            continue;
        }
        let mut children: Vec<RawEntry> = section.comment.iter().map(|comment| ini_comment(comment)).collect();
        for key in section.keys {
            children.push(RawEntry::Pair(key.name, Raw::Scalar(Scalar::Text(key.value))));
            children.extend(key.comment.iter().map(|comment| ini_comment(comment)));
        }
        entries.push(RawEntry::Pair(section.name, Raw::Map(children)));
    }
    Ok(File { documents: vec![entries], block })
}

/// Takes the sign off the first line of a comment; those of its other lines stay.
fn ini_comment(comment: &str) -> RawEntry {
    let sign = if comment.starts_with(';') { [';', ' '] } else { ['#', ' '] };
    RawEntry::Comment(Comment { text: comment.trim_start_matches(sign).to_owned(), inline: false })
}

fn file(documents: &[Document], reader: &mut Reader<'_>) -> Result<File, SopsError> {
    if let [only] = documents
        && is_empty(&only.root)
    {
        return Ok(File { documents: Vec::new(), block: None });
    }
    let mut block: Option<Value> = None;
    let mut trees = Vec::with_capacity(documents.len());
    for (document, source) in documents.iter().enumerate() {
        reader.document = document;
        match (document, take_block(&source.root)?) {
            (0, found) => block = found,
            (_, Some(other)) if block.as_ref().is_none_or(|block| block.get("mac") != other.get("mac")) => {
                return Err(SopsError::SealedByItself { document });
            }
            _ => {}
        }
        trees.push(reader.root(&source.root)?);
    }
    Ok(File { documents: trees, block: block.map(Block::Tree) })
}

/// Finds the top-level `sops` value of a document.
fn take_block(root: &Node) -> Result<Option<Value>, SopsError> {
    let Content::Mapping { pairs, .. } = &root.content else {
        return Ok(None);
    };
    pairs.iter().find(|(key, _)| key.text() == Some(BLOCK)).map(|(_, value)| metadata(value)).transpose()
}

/// Turns metadata into JSON; times and large numbers become text.
fn metadata(node: &Node) -> Result<Value, SopsError> {
    match &node.content {
        Content::Scalar { .. } => Ok(match resolve(node, Rules::V3) {
            None | Some(Scalar::Null) => Value::Null,
            Some(Scalar::Bool(value)) => Value::Bool(value),
            Some(Scalar::Int(value)) => value.into(),
            Some(Scalar::Uint(value)) => value.into(),
            Some(Scalar::Float(value)) => value.into(),
            Some(Scalar::Time(time)) => time.to_nanos().into(),
            Some(Scalar::Text(text)) => text.into(),
            Some(Scalar::Bytes(_)) => Value::Null,
            Some(Scalar::Merge) => "<<".into(),
        }),
        Content::Sequence { items, .. } => items.iter().map(|item| metadata(item)).collect(),
        Content::Mapping { pairs, .. } => {
            let mut map = Map::with_capacity(pairs.len());
            let mut lines = HashMap::new();
            for (key_node, value) in pairs {
                let key = unique_key(key_node, 0, || KeyPath::root().key(BLOCK), &mut lines)?;
                map.insert(key, metadata(value)?);
            }
            Ok(Value::Object(map))
        }
    }
}

type ScalarReader = fn(&Node) -> Option<Scalar>;

fn yaml_scalar(node: &Node) -> Option<Scalar> {
    resolve(node, Rules::V3)
}

fn json_scalar(node: &Node) -> Option<Scalar> {
    let Content::Scalar { text, style } = &node.content else {
        return None;
    };
    match (style, text.as_str()) {
        (Style::Quoted | Style::Block, _) => Some(Scalar::Text(text.clone())),
        (_, "null") => Some(Scalar::Null),
        (_, "true") => Some(Scalar::Bool(true)),
        (_, "false") => Some(Scalar::Bool(false)),
        _ => json::number(text).map(|number| match number {
            JsonNumber::Int(value) => Scalar::Int(value),
            JsonNumber::Float(value) => Scalar::Float(value),
        }),
    }
}

struct Reader<'a> {
    document: usize,
    path: Vec<Segment>,
    scalar: ScalarReader,
    attached: Option<&'a Attached>,
    /// Bytes of comments, each with its sign, that there is still room for: an alias brings those of its anchor once more.
    room: usize,
}

/// No comments.
static NONE: Comments = Comments { head: Vec::new(), line: Vec::new(), foot: Vec::new() };

impl<'a> Reader<'a> {
    fn new(scalar: ScalarReader, attached: Option<&'a Attached>) -> Self {
        Self { document: 0, path: Vec::new(), scalar, attached, room: MAX_WEIGHT }
    }

    fn root(&mut self, root: &Node) -> Result<Vec<RawEntry>, SopsError> {
        let mut entries = Vec::new();
        match &root.content {
            Content::Mapping { .. } => self.mapping(root, true, &mut entries)?,
            _ if is_empty(root) => {
                let Comments { head, line, foot } = self.comments(root);
                for lines in [head, line, foot] {
                    self.push(&mut entries, lines, false, root)?;
                }
            }
            _ => return Err(SopsError::RootNotMapping { document: self.document }),
        }
        Ok(entries)
    }

    fn value(&mut self, node: &Node, own_comments: bool) -> Result<Raw, SopsError> {
        match &node.content {
            Content::Scalar { .. } => self.scalar(node).map(Raw::Scalar),
            Content::Sequence { .. } => self.sequence(node, own_comments).map(Raw::List),
            Content::Mapping { .. } => {
                let mut entries = Vec::new();
                self.mapping(node, own_comments, &mut entries)?;
                Ok(Raw::Map(entries))
            }
        }
    }

    fn scalar(&self, node: &Node) -> Result<Scalar, SopsError> {
        let refused = || SopsError::PlainType { document: self.document, path: self.key_path() };
        match (self.scalar)(node).ok_or_else(refused)? {
            Scalar::Uint(_) => Err(refused()),
            Scalar::Merge => Ok(Scalar::Text("<<".to_owned())),
            scalar => Ok(scalar),
        }
    }

    fn sequence(&mut self, node: &Node, own_comments: bool) -> Result<Vec<RawItem>, SopsError> {
        let Content::Sequence { items, .. } = &node.content else {
            return Ok(Vec::new());
        };
        let mut list = Vec::with_capacity(items.len());
        let own = self.comments(node);
        if own_comments {
            self.push(&mut list, &own.head, false, node)?;
            self.push(&mut list, &own.line, false, node)?;
        }
        for (index, item) in items.iter().enumerate() {
            let of_alias = self.comments_of_alias(item);
            let is_alias = of_alias.is_some();
            let comments = of_alias.unwrap_or_else(|| self.comments(item));
            self.push(&mut list, &comments.head, false, item)?;
            self.push(&mut list, &comments.line, true, item)?;
            list.push(RawItem::Value(self.child(Segment::Index(index), item, is_alias)?));
            self.push(&mut list, &comments.foot, false, item)?;
        }
        if own_comments {
            self.push(&mut list, &own.foot, false, node)?;
        }
        Ok(list)
    }

    fn mapping(&mut self, node: &Node, own_comments: bool, entries: &mut Vec<RawEntry>) -> Result<(), SopsError> {
        let Content::Mapping { pairs, .. } = &node.content else {
            return Ok(());
        };
        let own = self.comments(node);
        if own_comments {
            self.push(entries, &own.head, false, node)?;
            self.push(entries, &own.line, false, node)?;
        }
        let mut lines = HashMap::with_capacity(pairs.len());
        for (key_node, value) in pairs {
            let key = unique_key(key_node, self.document, || self.key_path(), &mut lines)?;
            check_merge(key_node, value, self.document)?;
            self.pair(key, key_node, value, entries)?;
        }
        if own_comments {
            self.push(entries, &own.foot, false, node)?;
        }
        Ok(())
    }

    fn pair(
        &mut self,
        key: String,
        key_node: &Node,
        value: &Rc<Node>,
        entries: &mut Vec<RawEntry>,
    ) -> Result<(), SopsError> {
        if key == BLOCK && self.path.is_empty() {
            let comments = self.comments(key_node);
            self.push(entries, &comments.head, false, key_node)?;
            self.push(entries, &comments.foot, false, key_node)?;
            return Ok(());
        }
        let (of_key, of_alias) = (self.comments(key_node), self.comments_of_alias(value));
        let is_alias = of_alias.is_some();
        let of_value = of_alias.unwrap_or_else(|| self.comments(value));
        let is_scalar = is_alias || matches!(value.content, Content::Scalar { .. });
        self.push(entries, &of_key.head, false, key_node)?;
        self.push(entries, &of_key.line, false, key_node)?;
        if is_scalar {
            self.push(entries, &of_value.head, false, key_node)?;
            self.push(entries, &of_value.line, true, key_node)?;
        }
        let raw = self.child(Segment::Key(key.clone()), value, is_alias || !is_scalar)?;
        entries.push(RawEntry::Pair(key, raw));
        if is_scalar {
            self.push(entries, &of_value.foot, false, key_node)?;
        }
        self.push(entries, &of_key.foot, false, key_node)?;
        Ok(())
    }

    fn child(&mut self, segment: Segment, node: &Node, own_comments: bool) -> Result<Raw, SopsError> {
        self.path.push(segment);
        let raw = self.value(node, own_comments)?;
        self.path.pop();
        Ok(raw)
    }

    fn key_path(&self) -> KeyPath {
        self.path.iter().cloned().collect()
    }

    fn comments(&self, node: &Node) -> &'a Comments {
        self.attached.and_then(|attached| attached.of(node)).unwrap_or(&NONE)
    }

    fn comments_of_alias(&self, link: &Rc<Node>) -> Option<&'a Comments> {
        self.attached.and_then(|attached| attached.of_alias(link))
    }

    /// Adds comments, if there is room for them.
    fn push<T: From<Comment>>(
        &mut self,
        to: &mut Vec<T>,
        lines: &[String],
        inline: bool,
        owner: &Node,
    ) -> Result<(), SopsError> {
        for text in lines {
            let full = || SopsError::Text(owner.error(self.document, YamlErrorKind::TooLarge));
            self.room = self.room.checked_sub(text.len() + 1).ok_or_else(full)?;
            to.push(Comment { text: text.clone(), inline }.into());
        }
        Ok(())
    }
}

/// Returns the text of a key and refuses keys of other types and keys that stand twice.
fn unique_key(
    node: &Node,
    document: usize,
    path: impl FnOnce() -> KeyPath,
    lines: &mut HashMap<String, usize>,
) -> Result<String, SopsError> {
    let key = match resolve(node, Rules::V3) {
        Some(Scalar::Text(text)) => text,
        Some(Scalar::Merge) => "<<".to_owned(),
        _ => return Err(SopsError::KeyNotText { document, path: path() }),
    };
    match lines.insert(key.clone(), node.at.line) {
        None => Ok(key),
        Some(first_line) => Err(SopsError::Text(node.error(document, YamlErrorKind::DuplicateKey { key, first_line }))),
    }
}

/// Refuses a `<<` over something other than mappings, which go-yaml does not read.
fn check_merge(key: &Node, value: &Node, document: usize) -> Result<(), SopsError> {
    let is_mapping = |node: &Node| matches!(node.content, Content::Mapping { .. });
    let is_good = match &value.content {
        Content::Mapping { .. } => true,
        Content::Sequence { items, .. } => items.iter().all(|item| is_mapping(item)),
        Content::Scalar { .. } => false,
    };
    if is_good || resolve(key, Rules::V3) != Some(Scalar::Merge) {
        return Ok(());
    }
    Err(SopsError::Text(value.error(document, YamlErrorKind::MergeNotMapping)))
}

impl From<Comment> for RawEntry {
    fn from(comment: Comment) -> Self {
        Self::Comment(comment)
    }
}

impl From<Comment> for RawItem {
    fn from(comment: Comment) -> Self {
        Self::Comment(comment)
    }
}
