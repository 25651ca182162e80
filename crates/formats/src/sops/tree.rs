//! The tree of a sealed file with its leaves numbered in the order in which sops hashes them.
//!
//! A leaf's number is its slot: the tree says where a value stands, the slot what it is. Comments have slots
//! too, since they may be sealed.

use super::MAX_LEAVES;
use super::error::SopsError;
use super::raw::{Comment, Raw, RawEntry, RawItem};
use super::rules::{Comments, Rules};
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

/// Numbers the leaves of all documents and parses their tokens.
pub(crate) fn grow(documents: Vec<Vec<RawEntry>>, rules: &Rules) -> Result<(Vec<Tree>, Vec<Slot>), SopsError> {
    let mut grower = Grower { rules, slots: Vec::new(), document: 0, keys: Vec::new(), comments: Vec::new() };
    let mut trees = Vec::with_capacity(documents.len());
    for (document, entries) in documents.into_iter().enumerate() {
        grower.document = document;
        trees.push(grower.map(entries, &KeyPath::root())?);
    }
    Ok((trees, grower.slots))
}

struct Grower<'a> {
    rules: &'a Rules,
    slots: Vec<Slot>,
    document: usize,
    keys: Vec<String>,
    comments: Comments,
}

impl Grower<'_> {
    fn map(&mut self, entries: Vec<RawEntry>, path: &KeyPath) -> Result<Tree, SopsError> {
        self.comments.push(Vec::new());
        let mut grown = Vec::with_capacity(entries.len());
        for entry in entries {
            grown.push(match entry {
                RawEntry::Comment(comment) => {
                    let inline = comment.inline;
                    Entry::Comment { slot: self.comment(comment, path)?, inline }
                }
                RawEntry::Pair(key, value) => {
                    self.keys.push(key.clone());
                    let tree = self.value(value, &path.key(key.as_str()))?;
                    self.keys.pop();
                    self.forget_comments();
                    Entry::Pair(key, tree)
                }
            });
        }
        self.comments.pop();
        Ok(Tree::Map(grown))
    }

    /// Indices count values only: a comment has none, sealed or not.
    fn list(&mut self, items: Vec<RawItem>, path: &KeyPath) -> Result<Tree, SopsError> {
        self.comments.push(Vec::new());
        let mut grown = Vec::with_capacity(items.len());
        let mut index = 0;
        for item in items {
            grown.push(match self.as_comment(item) {
                RawItem::Comment(comment) => {
                    let inline = comment.inline;
                    Item::Comment { slot: self.comment(comment, path)?, inline }
                }
                RawItem::Value(value) => {
                    let tree = self.value(value, &path.child(Segment::Index(index)))?;
                    self.forget_comments();
                    index += 1;
                    Item::Value(tree)
                }
            });
        }
        self.comments.pop();
        Ok(Tree::List(grown))
    }

    /// In lists sops writes a sealed comment as an ordinary text item whose token has the type `comment`.
    fn as_comment(&self, item: RawItem) -> RawItem {
        match item {
            RawItem::Value(Raw::Scalar(Scalar::Text(text))) if is_sealed_comment(&text) => {
                RawItem::Comment(Comment { text, inline: false })
            }
            item => item,
        }
    }

    fn value(&mut self, raw: Raw, path: &KeyPath) -> Result<Tree, SopsError> {
        match raw {
            Raw::Map(entries) => self.map(entries, path),
            Raw::List(items) => self.list(items, path),
            Raw::Scalar(scalar) => {
                let selected = self.rules.selects(&self.keys, &self.comments, false);
                let content = self.leaf(scalar, selected, path)?;
                self.push(path, false, selected, content).map(Tree::Leaf)
            }
        }
    }

    fn leaf(&self, scalar: Scalar, selected: bool, path: &KeyPath) -> Result<SlotContent, SopsError> {
        let refused = |fault| SopsError::Token { document: self.document, path: path.clone(), fault };
        match scalar {
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
            _ => Err(SopsError::PlainValue { document: self.document, path: path.clone() }),
        }
    }

    fn comment(&mut self, comment: Comment, path: &KeyPath) -> Result<usize, SopsError> {
        if let Some(active) = self.comments.last_mut() {
            active.push(comment.text.clone());
        }
        let selected = self.rules.selects(&self.keys, &self.comments, true);
        let content = match selected && comment.text.starts_with("ENC[") {
            true => SlotContent::Sealed(self.comment_token(&comment.text, path)?),
            false => SlotContent::Plain(Scalar::Text(comment.text)),
        };
        self.push(path, true, selected, content)
    }

    fn comment_token(&self, text: &str, path: &KeyPath) -> Result<Token, SopsError> {
        let refused = |fault| SopsError::Comment { document: self.document, path: path.clone(), fault };
        let token = Token::parse(text).map_err(refused)?;
        if token.kind.is_some() { Err(refused(TokenFault::Kind)) } else { Ok(token) }
    }

    fn forget_comments(&mut self) {
        if let Some(active) = self.comments.last_mut() {
            active.clear();
        }
    }

    fn push(
        &mut self,
        path: &KeyPath,
        is_comment: bool,
        selected: bool,
        content: SlotContent,
    ) -> Result<usize, SopsError> {
        if self.slots.len() >= MAX_LEAVES {
            return Err(SopsError::TooManyLeaves);
        }
        let slot = Slot { document: self.document, path: path.clone(), is_comment, selected, content };
        self.slots.push(slot);
        Ok(self.slots.len() - 1)
    }
}

fn is_sealed_comment(text: &str) -> bool {
    is_token(text) && text.ends_with(",type:comment]")
}
