//! The tree of a file, sealed or in the clear, with its leaves numbered in the order in which sops hashes them.
//!
//! A leaf's number is its slot: the tree says where a value stands, the slot what it is. Comments have slots
//! too, since they may be sealed.

use super::MAX_LEAVES;
use super::error::SopsError;
use super::raw::{Comment, Raw, RawEntry, RawItem};
use super::rules::Rule;
use super::text::Shown;
use super::token::{Token, TokenFault, is_token};
use crate::yaml::resolve::Scalar;
use crate::{KeyPath, Segment};

/// The shape of a document. Numbers are slots.
#[derive(Clone)]
pub(crate) enum Tree {
    Leaf(usize),
    List(Vec<Item>),
    Map(Vec<Entry>),
}

#[derive(Clone)]
pub(crate) enum Item {
    Comment { slot: usize, inline: bool },
    Value(Tree),
}

#[derive(Clone)]
pub(crate) enum Entry {
    Comment { slot: usize, inline: bool },
    Pair(String, Tree),
}

/// A value or comment in the order of the file.
#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) document: usize,
    /// Of a comment: the collection it stands in.
    pub(crate) path: KeyPath,
    pub(crate) is_comment: bool,
    /// Whether the file's rules say that it is sealed.
    pub(crate) selected: bool,
    pub(crate) content: SlotContent,
}

#[derive(Clone)]
pub(crate) enum SlotContent {
    Sealed(Token),
    Plain(Scalar),
}

impl SlotContent {
    /// Tells whether there is nothing to seal.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Plain(Scalar::Null) => true,
            Self::Plain(Scalar::Text(text)) => text.is_empty(),
            Self::Plain(_) | Self::Sealed(_) => false,
        }
    }
}

/// What the text of a file is taken for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// What the rule selects is sealed, and its tokens are parsed.
    Sealed,
    /// Everything is what it says; what the rule selects is yet to be sealed.
    Clear,
}

/// Numbers the leaves of all documents, and selects those that the rule says are sealed; without a rule all are.
pub(crate) fn grow(
    documents: Vec<Vec<RawEntry>>,
    rule: Option<&Rule>,
    reading: Reading,
) -> Result<(Vec<Tree>, Vec<Slot>), SopsError> {
    let mut grower =
        Grower { rule, reading, slots: Vec::new(), document: 0, path: Vec::new(), path_bytes: 0, marks: Vec::new() };
    let mut trees = Vec::with_capacity(documents.len());
    for (document, entries) in documents.into_iter().enumerate() {
        grower.document = document;
        trees.push(grower.map(entries)?);
    }
    Ok((trees, grower.slots))
}

struct Grower<'a> {
    rule: Option<&'a Rule>,
    reading: Reading,
    slots: Vec<Slot>,
    document: usize,
    path: Vec<Segment>,
    /// What the paths of all slots cost so far.
    path_bytes: usize,
    /// For each open collection, whether a comment since its last value matches the rule.
    marks: Vec<bool>,
}

/// The most bytes that the key paths of a file may take together.
const MAX_PATH_BYTES: usize = 64 * 1024 * 1024;

impl Grower<'_> {
    fn map(&mut self, entries: Vec<RawEntry>) -> Result<Tree, SopsError> {
        self.marks.push(false);
        let mut grown = Vec::with_capacity(entries.len());
        for entry in entries {
            grown.push(match entry {
                RawEntry::Comment(comment) => {
                    let inline = comment.inline;
                    Entry::Comment { slot: self.comment(comment)?, inline }
                }
                RawEntry::Pair(key, value) => {
                    let tree = self.child(Segment::Key(key.clone()), value)?;
                    Entry::Pair(key, tree)
                }
            });
        }
        self.marks.pop();
        Ok(Tree::Map(grown))
    }

    /// Indices count values only: a comment has none, sealed or not.
    fn list(&mut self, items: Vec<RawItem>) -> Result<Tree, SopsError> {
        self.marks.push(false);
        let mut grown = Vec::with_capacity(items.len());
        let mut index = 0;
        for item in items {
            grown.push(match self.as_comment(item) {
                RawItem::Comment(comment) => {
                    let inline = comment.inline;
                    Item::Comment { slot: self.comment(comment)?, inline }
                }
                RawItem::Value(value) => {
                    let tree = self.child(Segment::Index(index), value)?;
                    index += 1;
                    Item::Value(tree)
                }
            });
        }
        self.marks.pop();
        Ok(Tree::List(grown))
    }

    /// In lists sops writes a sealed comment as an ordinary text item whose token has the type `comment`.
    fn as_comment(&self, item: RawItem) -> RawItem {
        match item {
            RawItem::Value(Raw::Scalar(Scalar::Text(text)))
                if self.reading == Reading::Sealed && is_sealed_comment(&text) =>
            {
                RawItem::Comment(Comment { text, inline: false })
            }
            item => item,
        }
    }

    fn child(&mut self, segment: Segment, value: Raw) -> Result<Tree, SopsError> {
        self.path.push(segment);
        let tree = self.value(value)?;
        self.path.pop();
        if let Some(mark) = self.marks.last_mut() {
            *mark = false;
        }
        Ok(tree)
    }

    fn value(&mut self, raw: Raw) -> Result<Tree, SopsError> {
        match raw {
            Raw::Map(entries) => self.map(entries),
            Raw::List(items) => self.list(items),
            Raw::Scalar(scalar) => {
                let selected = self.selected(self.is_marked());
                let content = self.leaf(scalar, selected)?;
                self.push(false, selected, content).map(Tree::Leaf)
            }
        }
    }

    fn is_marked(&self) -> bool {
        self.marks.iter().any(|mark| *mark)
    }

    fn selected(&self, marked: bool) -> bool {
        let keys = self.path.iter().filter_map(Segment::as_key);
        self.rule.is_none_or(|rule| rule.selects(keys, marked))
    }

    fn path(&self) -> KeyPath {
        self.path.iter().cloned().collect()
    }

    fn leaf(&self, scalar: Scalar, selected: bool) -> Result<SlotContent, SopsError> {
        let refused = |fault| SopsError::Token { document: self.document, path: self.path(), fault };
        match scalar {
            scalar if self.reading == Reading::Clear => Ok(SlotContent::Plain(scalar)),
            Scalar::Text(text) if selected && is_token(&text) => {
                let token = Token::parse(&text).map_err(refused)?;
                match token.kind {
                    Some(_) => Ok(SlotContent::Sealed(token)),
                    None => Err(refused(TokenFault::Kind)),
                }
            }
            Scalar::Null => Ok(SlotContent::Plain(scalar)),
            Scalar::Text(text) if text.is_empty() => Ok(SlotContent::Plain(Scalar::Text(text))),
            scalar if !selected => Ok(SlotContent::Plain(scalar)),
            _ => Err(SopsError::PlainValue { document: self.document, path: self.path() }),
        }
    }

    fn comment(&mut self, comment: Comment) -> Result<usize, SopsError> {
        let own = self.rule.is_some_and(|rule| rule.marks(&comment.text));
        let counts_own = self.rule.is_some_and(Rule::counts_own);
        let selected = self.selected(self.is_marked() || (own && counts_own));
        if let Some(mark) = self.marks.last_mut() {
            *mark |= own;
        }
        let sealed = self.reading == Reading::Sealed && selected && comment.text.starts_with("ENC[");
        let content = match sealed {
            true => SlotContent::Sealed(self.comment_token(&comment.text)?),
            false => SlotContent::Plain(Scalar::Text(comment.text)),
        };
        self.push(true, selected, content)
    }

    fn comment_token(&self, text: &str) -> Result<Token, SopsError> {
        let refused = |fault| SopsError::Comment { document: self.document, path: self.path(), fault };
        let token = Token::parse(text).map_err(refused)?;
        if token.kind.is_some() { Err(refused(TokenFault::Kind)) } else { Ok(token) }
    }

    fn push(&mut self, is_comment: bool, selected: bool, content: SlotContent) -> Result<usize, SopsError> {
        self.path_bytes += self.path.iter().map(cost).sum::<usize>();
        if self.slots.len() >= MAX_LEAVES || self.path_bytes > MAX_PATH_BYTES {
            return Err(SopsError::TooManyLeaves);
        }
        self.slots.push(Slot { document: self.document, path: self.path(), is_comment, selected, content });
        Ok(self.slots.len() - 1)
    }
}

/// Returns what is written for the slots of a file that nobody has opened.
pub(crate) fn shown(slots: &[Slot]) -> Vec<Shown<'_>> {
    slots.iter().map(|slot| Shown::of(&slot.content, None)).collect()
}

fn cost(segment: &Segment) -> usize {
    let text = match segment {
        Segment::Key(key) => key.len(),
        Segment::Index(_) => 0,
    };
    size_of::<Segment>() + text
}

fn is_sealed_comment(text: &str) -> bool {
    is_token(text) && text.ends_with(",type:comment]")
}
