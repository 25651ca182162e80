//! A file with SealedSecrets in which single items are exchanged, added or taken out while every other byte stays: comments, the order
//! of keys, quotes and indentation.
//!
//! The places come from the positions that the YAML loader has (JSON is read as YAML's flow style). What was written is read again and
//! compared with what it should be, so that a file in a style that is not understood here is refused and never damaged. Not here:
//! what an item holds, and its key. `spec` exchanges all that is sealed of an object.

mod spec;

use std::ops::Range;
use std::rc::Rc;

use serde_json::Value;

use self::spec::Spec;
use super::SealedSecretManifest;
use crate::KeyPath;
use crate::yaml::load::{checked_text, load};
use crate::yaml::node::{Content, Node, Position, Style};
use crate::yaml::{self, YamlError, check_length};

/// A text with SealedSecrets in it. All of it is public.
#[derive(Clone, Debug)]
pub struct SealedFile {
    /// Nothing, or a byte order mark.
    mark: &'static str,
    text: String,
    objects: Vec<SealedObject>,
}

/// One SealedSecret of a file, well-formed or not.
#[derive(Clone, Debug)]
pub struct SealedObject {
    /// The position of its document in the file, from 0.
    pub document: usize,
    /// Where it stands in its document: at the root, or among the items of a List.
    pub path: KeyPath,
    /// The manifest.
    pub manifest: Value,
    pointer: Vec<Step>,
    items: Option<Items>,
    spec: Option<Spec>,
}

/// A way down in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(&'static str),
    Index(usize),
}

/// Where `spec.encryptedData` stands.
#[derive(Clone, Debug)]
struct Items {
    whole: Range<usize>,
    flow: bool,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    /// Where the key begins.
    key: usize,
    value: Range<usize>,
    style: Style,
}

/// A change of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemChange {
    /// Which of [`SealedFile::objects`].
    pub object: usize,
    /// The name of the item.
    pub item: String,
    /// What shall be sealed there: base64 text; nothing takes the item out.
    pub token: Option<String>,
}

/// Why items were not exchanged; the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum InPlaceError {
    /// The file can't be read.
    #[error("it is not well-formed YAML or JSON")]
    Malformed(#[source] YamlError),
    /// There is no such object or item.
    #[error("there is no item {item} to take out")]
    NoItem {
        /// The name of the item.
        item: String,
    },
    /// It would be the last one.
    #[error("{item} is the only item")]
    LastItem {
        /// The name of the item.
        item: String,
    },
    /// The items stand in a way in which single ones can't be exchanged.
    #[error("the item {item} can't be changed where it stands")]
    NotInPlace {
        /// The name of the item.
        item: String,
    },
    /// All that is sealed stands in a way in which it can't be exchanged.
    #[error("spec can't be changed where it stands")]
    SpecNotInPlace,
}

impl InPlaceError {
    /// Returns what the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Malformed(error) => error.hint(),
            Self::NoItem { .. } => "look at the names under spec.encryptedData",
            Self::LastItem { .. } => "delete the file instead",
            Self::NotInPlace { .. } => {
                "write spec.encryptedData as a plain mapping, without anchors, aliases and merge keys"
            }
            Self::SpecNotInPlace => "write spec as a plain mapping, without anchors, aliases and merge keys",
        }
    }
}

impl SealedFile {
    /// Reads a file, and finds the SealedSecrets in it.
    ///
    /// # Errors
    /// Fails when it is not well-formed, or longer than manifests may be.
    pub fn parse(bytes: &[u8]) -> Result<Self, InPlaceError> {
        let mark = if bytes.starts_with(MARK.as_bytes()) { MARK } else { "" };
        let text = checked_text(bytes).map_err(InPlaceError::Malformed)?;
        check_length(bytes).map_err(InPlaceError::Malformed)?;
        let manifests = yaml::manifests(bytes).map_err(InPlaceError::Malformed)?;
        // Some JSON is no YAML, such as escaped halves of a pair: then nothing is found to exchange.
        let stream = load(bytes);
        let starts = line_starts(text);
        let mut objects = Vec::new();
        for manifest in manifests {
            let root = stream.as_ref().ok().and_then(|stream| stream.documents.get(manifest.index));
            let mut found = Vec::new();
            collect(&manifest.value, &mut Vec::new(), &mut found);
            for (pointer, value) in found {
                let node = root.and_then(|document| down(&document.root, &pointer));
                let mut offsets = Offsets::new(text, &starts);
                let spec = node.and_then(|node| spec::spec(node, &mut offsets, text));
                let items = node.and_then(|node| items(node, text, &starts));
                let path = path(&pointer);
                objects.push(SealedObject { document: manifest.index, path, manifest: value, pointer, items, spec });
            }
        }
        Ok(Self { mark, text: text.to_owned(), objects })
    }

    /// Returns the SealedSecrets in the order in which they stand.
    pub fn objects(&self) -> &[SealedObject] {
        &self.objects
    }

    /// Returns the text with these changes, and with all else as it is.
    ///
    /// # Errors
    /// Fails for an item that can't be changed where it stands, or is not there to be taken out.
    pub fn with(&self, changes: &[ItemChange]) -> Result<String, InPlaceError> {
        let (in_place, others): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| change.token.is_some() && self.entry(change).is_some());
        let mut file = self.exchanged(&in_place)?;
        // What comes is put in first, so that nothing is ever left empty on the way.
        let (added, removed): (Vec<_>, Vec<_>) = others.into_iter().partition(|change| change.token.is_some());
        for change in added.into_iter().chain(removed) {
            let (range, text) = match &change.token {
                Some(token) => file.addition(change, token)?,
                None => file.removal(change)?,
            };
            file = file.edited(&[(range, text)], &[change])?;
        }
        Ok(format!("{}{}", file.mark, file.text))
    }

    fn exchanged(&self, changes: &[&ItemChange]) -> Result<Self, InPlaceError> {
        let mut edits = Vec::with_capacity(changes.len());
        for change in changes {
            let not_in_place = || InPlaceError::NotInPlace { item: change.item.clone() };
            let entry = self.entry(change).ok_or_else(not_in_place)?;
            let token = change.token.as_deref().filter(|token| is_token(token)).ok_or_else(not_in_place)?;
            edits.push((self.value_range(entry).ok_or_else(not_in_place)?, token.to_owned()));
        }
        if edits.is_empty() { Ok(self.clone()) } else { self.edited(&edits, changes) }
    }

    /// Returns what is exchanged for the token: all of a plain or block scalar, what is between the quotes of others.
    fn value_range(&self, entry: &Entry) -> Option<Range<usize>> {
        match entry.style {
            Style::Plain | Style::Block => Some(entry.value.clone()),
            Style::Quoted => {
                let inner = entry.value.start.checked_add(1)?..entry.value.end.checked_sub(1)?;
                (inner.start <= inner.end).then_some(inner)
            }
        }
    }

    fn addition(&self, change: &ItemChange, token: &str) -> Result<(Range<usize>, String), InPlaceError> {
        let not_in_place = || InPlaceError::NotInPlace { item: change.item.clone() };
        let items = self.items(change).filter(|_| is_token(token)).ok_or_else(not_in_place)?;
        let found = match (items.flow, items.entries.last()) {
            (true, last) => self.addition_to_flow(items, last, &change.item, token),
            (false, Some(last)) => self.addition_below(items, last, &change.item, token),
            (false, None) => None,
        };
        found.ok_or_else(not_in_place)
    }

    fn addition_to_flow(
        &self,
        items: &Items,
        last: Option<&Entry>,
        item: &str,
        token: &str,
    ) -> Option<(Range<usize>, String)> {
        let inside = items.whole.start.checked_add(1)?;
        let (Some(first), Some(last)) = (items.entries.first(), last) else {
            return Some((inside..inside, format!("\"{item}\": \"{token}\"")));
        };
        let before = self.text.get(inside..first.key)?;
        let between = if before.trim().is_empty() && !before.is_empty() { before } else { " " };
        Some((last.value.end..last.value.end, format!(",{between}\"{item}\": \"{token}\"")))
    }

    fn addition_below(&self, items: &Items, last: &Entry, item: &str, token: &str) -> Option<(Range<usize>, String)> {
        let first = items.entries.first()?;
        let indent = self.text.get(self.line_start(first.key)..first.key).filter(|indent| indent.trim().is_empty())?;
        let line_break = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        let end = self.line_end(last.value.end);
        let lead = if self.text.get(..end)?.ends_with('\n') { "" } else { line_break };
        Some((end..end, format!("{lead}{indent}{}: {token}{line_break}", key(item))))
    }

    fn removal(&self, change: &ItemChange) -> Result<(Range<usize>, String), InPlaceError> {
        let item = || change.item.clone();
        let items = self.items(change).ok_or_else(|| InPlaceError::NotInPlace { item: item() })?;
        let at = items.entries.iter().position(|entry| entry.name == change.item);
        let at = at.ok_or_else(|| InPlaceError::NoItem { item: item() })?;
        if items.entries.len() == 1 {
            return Err(InPlaceError::LastItem { item: item() });
        }
        let before = at.checked_sub(1).and_then(|at| items.entries.get(at));
        let (entry, next) = (items.entries.get(at), items.entries.get(at + 1));
        let range = entry.and_then(|entry| match (items.flow, next, before) {
            (true, Some(next), _) => Some(entry.key..next.key),
            (true, None, Some(before)) => Some(before.value.end..entry.value.end),
            (true, None, None) => None,
            (false, _, _) => Some(self.line_start(entry.key)..self.line_end(entry.value.end)),
        });
        Ok((range.ok_or_else(|| InPlaceError::NotInPlace { item: item() })?, String::new()))
    }

    /// Writes texts into the places of ranges, and sees that nothing else has changed by it.
    fn edited(&self, edits: &[(Range<usize>, String)], changes: &[&ItemChange]) -> Result<Self, InPlaceError> {
        let item = || changes.first().map(|change| change.item.clone()).unwrap_or_default();
        let file = self.edited_to(edits, |file| self.expected(changes, file));
        file.ok_or_else(|| InPlaceError::NotInPlace { item: item() })
    }

    /// Writes texts into the places of ranges; nothing comes of it unless the documents are as expected then.
    fn edited_to(
        &self,
        edits: &[(Range<usize>, String)],
        expected: impl FnOnce(&Self) -> Option<Vec<yaml::ManifestDocument>>,
    ) -> Option<Self> {
        let mut edits: Vec<_> = edits.iter().collect();
        edits.sort_by_key(|(range, _)| range.start);
        let (mut text, mut passed) = (String::with_capacity(self.text.len()), 0);
        for (range, new) in edits {
            text.push_str(self.text.get(passed..range.start)?);
            text.push_str(new);
            passed = range.end;
        }
        text.push_str(self.text.get(passed..)?);
        let file = Self { mark: self.mark, ..Self::parse(text.as_bytes()).ok()? };
        let is_as_wanted = yaml::manifests(text.as_bytes()).ok() == Some(expected(&file)?);
        is_as_wanted.then_some(file)
    }

    /// Returns the documents as they should be after the changes, on the lines on which they are now.
    fn expected(&self, changes: &[&ItemChange], now: &Self) -> Option<Vec<yaml::ManifestDocument>> {
        self.expected_with(now, |documents| {
            changes.iter().try_for_each(|change| {
                let object = self.objects.get(change.object)?;
                let document = documents.iter_mut().find(|document| document.index == object.document)?;
                let data = at(&mut document.value, &object.pointer)?.get_mut("spec")?.get_mut("encryptedData")?;
                let data = data.as_object_mut()?;
                match &change.token {
                    Some(token) => drop(data.insert(change.item.clone(), token.as_str().into())),
                    None => drop(data.remove(&change.item)),
                }
                Some(())
            })
        })
    }

    fn expected_with(
        &self,
        now: &Self,
        change: impl FnOnce(&mut Vec<yaml::ManifestDocument>) -> Option<()>,
    ) -> Option<Vec<yaml::ManifestDocument>> {
        let mut documents = yaml::manifests(self.text.as_bytes()).ok()?;
        change(&mut documents)?;
        for (document, now) in documents.iter_mut().zip(yaml::manifests(now.text.as_bytes()).ok()?) {
            document.line = now.line;
        }
        Some(documents)
    }

    fn items(&self, change: &ItemChange) -> Option<&Items> {
        self.objects.get(change.object)?.items.as_ref()
    }

    fn entry(&self, change: &ItemChange) -> Option<&Entry> {
        self.items(change)?.entries.iter().find(|entry| entry.name == change.item)
    }

    fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1)
    }

    /// Returns where the next line begins.
    fn line_end(&self, at: usize) -> usize {
        self.text.get(at..).and_then(|rest| rest.find('\n')).map_or(self.text.len(), |length| at + length + 1)
    }
}

impl SealedObject {
    /// Returns the sealed texts by their names, as far as they are texts.
    pub fn items(&self) -> impl Iterator<Item = (&str, &str)> {
        let items = self.manifest.pointer("/spec/encryptedData").and_then(Value::as_object).into_iter().flatten();
        items.filter_map(|(name, token)| Some((name.as_str(), token.as_str()?)))
    }
}

/// Finds the SealedSecrets of a document, also those in Lists.
fn collect(value: &Value, pointer: &mut Vec<Step>, found: &mut Vec<(Vec<Step>, Value)>) {
    let is_list = value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    if SealedSecretManifest::is_sealed_secret(value) {
        found.push((pointer.clone(), value.clone()));
    } else if is_list {
        let items = value.get("items").and_then(Value::as_array).into_iter().flatten();
        for (index, item) in items.enumerate() {
            pointer.extend([Step::Key("items"), Step::Index(index)]);
            collect(item, pointer, found);
            pointer.truncate(pointer.len().saturating_sub(2));
        }
    }
}

fn path(pointer: &[Step]) -> KeyPath {
    pointer.iter().fold(KeyPath::root(), |path, step| match step {
        Step::Key(key) => path.key(*key),
        Step::Index(index) => path.index(*index),
    })
}

fn down<'n>(root: &'n Rc<Node>, pointer: &[Step]) -> Option<&'n Rc<Node>> {
    pointer.iter().try_fold(root, |node, step| match (&node.content, step) {
        (Content::Mapping { .. }, Step::Key(key)) => child(node, key),
        (Content::Sequence { items, .. }, Step::Index(index)) => items.get(*index),
        _ => None,
    })
}

fn at<'v>(root: &'v mut Value, pointer: &[Step]) -> Option<&'v mut Value> {
    pointer.iter().try_fold(root, |value, step| match step {
        Step::Key(key) => value.get_mut(*key),
        Step::Index(index) => value.get_mut(*index),
    })
}

fn child<'n>(node: &'n Node, key: &str) -> Option<&'n Rc<Node>> {
    let Content::Mapping { pairs, .. } = &node.content else { return None };
    pairs.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
}

/// Finds the items of a SealedSecret in the text.
fn items(node: &Rc<Node>, text: &str, starts: &[usize]) -> Option<Items> {
    let data = child(child(node, "spec")?, "encryptedData")?;
    let Content::Mapping { pairs, flow } = &data.content else { return None };
    let mut offsets = Offsets::new(text, starts);
    let start = offsets.of(data.at)?;
    let entries = pairs.iter().map(|(key, value)| {
        let Content::Scalar { style, .. } = &value.content else { return None };
        let key_start = offsets.of(key.at)?;
        let (start, end) = (offsets.of(value.at)?, offsets.of(value.end)?);
        // Some scalars end behind the white space after them.
        let length = text.get(start..end)?.trim_end().len();
        Some(Entry { name: key.text()?.to_owned(), key: key_start, value: start..start + length, style: *style })
    });
    let entries = entries.collect::<Option<Vec<_>>>()?;
    // An alias stands elsewhere.
    let is_in_order = entries.windows(2).all(|pair| matches!(pair, [one, next] if one.value.end <= next.key));
    let whole = start..offsets.of(data.end)?;
    is_in_order.then_some(Items { whole, flow: *flow, entries })
}

fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let is_break = |(at, byte): (usize, &u8)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    };
    let breaks = bytes.iter().enumerate().filter(|entry| is_break(*entry)).map(|(at, _)| at + 1);
    std::iter::once(0).chain(breaks).collect()
}

/// Finds the places in bytes of positions, whose columns count characters. Whoever asks in order walks over each line once.
struct Offsets<'t> {
    text: &'t str,
    starts: &'t [usize],
    last: Position,
    at: usize,
}

impl<'t> Offsets<'t> {
    fn new(text: &'t str, starts: &'t [usize]) -> Self {
        Self { text, starts, last: Position { line: 1, column: 1 }, at: 0 }
    }

    fn of(&mut self, position: Position) -> Option<usize> {
        let Position { line, column } = position;
        if line != self.last.line || column < self.last.column {
            self.last = Position { line, column: 1 };
            self.at = *self.starts.get(line.checked_sub(1)?)?;
        }
        let rest = self.text.get(self.at..)?;
        let mut characters = rest.char_indices().map(|(at, _)| at).chain(std::iter::once(rest.len()));
        self.at += characters.nth(column.checked_sub(self.last.column)?)?;
        self.last = position;
        Some(self.at)
    }
}

/// Writes the name of an item as a key: as it is where YAML reads it as text whoever reads it, else in quotes.
fn key(item: &str) -> String {
    let is_word = item.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_other = WORDS.iter().any(|word| item.eq_ignore_ascii_case(word));
    if is_word && !is_other { item.to_owned() } else { format!("\"{item}\"") }
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
}

const MARK: &str = "\u{feff}";
/// Words that some version of YAML does not read as text.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
