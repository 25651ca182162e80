//! Reads a YAML stream into trees. The grammar is granit-parser's (YAML 1.2); this file adds limits and aliases.
//!
//! Not here: scalar types, duplicate keys and merge keys, which depend on who reads.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StructureStyle, Tag};

use super::MAX_DEPTH;
use super::breaks::Breaks;
use super::error::{YamlError, YamlErrorKind};
use super::node::{Content, Document, Full, Node, Position, Room, Style};

/// A comment as it stands in the source, without `#`.
#[derive(Clone, Debug)]
pub(crate) struct RawComment {
    pub(crate) at: Position,
    pub(crate) text: String,
    /// Whether something else stands before it on its line.
    pub(crate) inline: bool,
}

/// A stream: its documents, and its comments in source order, which belong to nobody yet.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) documents: Vec<Document>,
    pub(crate) comments: Vec<RawComment>,
}

/// Reads all documents of `bytes`, whose length the caller has checked.
///
/// # Errors
///
/// Refuses text that is not UTF-8, not YAML, or beyond the limits of this module.
pub(crate) fn load(bytes: &[u8]) -> Result<Stream, YamlError> {
    read(bytes, Room::OF_A_FILE, true)
}

/// Reads all documents of `bytes` that there is room for, without comments.
///
/// # Errors
///
/// As [`load`]; refuses what there is no room for before it is read.
pub(crate) fn load_within(bytes: &[u8], room: Room) -> Result<Vec<Document>, YamlError> {
    Ok(read(bytes, room, false)?.documents)
}

fn read(bytes: &[u8], room: Room, with_comments: bool) -> Result<Stream, YamlError> {
    let text = checked_text(bytes)?;
    let options = granit_parser::options! {
        emit_comments: with_comments,
        max_buffered_comment_events: usize::MAX,
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH
    };
    let mut loader = Loader::new(text, room);
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| loader.syntax(&error))?;
        loader.take(event, span)?;
    }
    loader.refuse_other_breaks()?;
    Ok(Stream { documents: loader.documents, comments: loader.comments })
}

/// Checks the encoding and drops a byte order mark.
pub(crate) fn checked_text(bytes: &[u8]) -> Result<&str, YamlError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        YamlError { line, column: 1, document: 0, kind: YamlErrorKind::NotUtf8 }
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

struct Loader<'a> {
    text: &'a str,
    room: Room,
    breaks: Breaks,
    documents: Vec<Document>,
    comments: Vec<RawComment>,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    start_line: usize,
    /// Where the last event other than a comment ended, in bytes.
    passed: usize,
}

/// A collection that has begun and not ended.
struct Open {
    at: Position,
    tag: Option<String>,
    anchor: usize,
    flow: bool,
    mapping: bool,
    children: Vec<Rc<Node>>,
    /// Of a sequence: where each item is marked as one.
    marks: Vec<Position>,
}

impl<'a> Loader<'a> {
    fn new(text: &'a str, room: Room) -> Self {
        Self {
            text,
            room,
            breaks: Breaks::of(text),
            documents: Vec::new(),
            comments: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            start_line: 0,
            passed: 0,
        }
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let is_comment = matches!(event, Event::Comment(..));
        let begins_node =
            matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(..));
        if begins_node {
            self.mark_item(span);
        }
        match event {
            Event::DocumentStart(..) => self.start_document(span),
            Event::DocumentEnd => self.end_document()?,
            Event::Comment(text, _) => {
                let inline = self.is_inline(span);
                self.comments.push(RawComment { at: start(span), text: text.into_owned(), inline });
            }
            Event::Scalar(text, style, anchor, tag) => {
                let text = self.with_old_breaks(span).unwrap_or_else(|| text.into_owned());
                let content = Content::Scalar { text, style: scalar_style(style) };
                let at = self.indicator(style, span).unwrap_or_else(|| start(span));
                let node = self.node(at, end(span), long_tag(tag.as_deref()), content)?;
                self.place(node, anchor);
            }
            Event::SequenceStart(style, anchor, tag) => self.begin(false, style, anchor, tag.as_deref(), span)?,
            Event::MappingStart(style, anchor, tag) => self.begin(true, style, anchor, tag.as_deref(), span)?,
            Event::SequenceEnd | Event::MappingEnd => self.finish(span)?,
            Event::Alias(id) => self.alias(id, span)?,
            _ => {}
        }
        if !is_comment {
            self.passed = span.end.byte_offset().unwrap_or_default();
        }
        Ok(())
    }

    fn with_old_breaks(&mut self, span: Span) -> Option<String> {
        self.breaks.read(self.text, span.start.byte_offset()?..span.end.byte_offset()?)
    }

    /// Refuses line breaks that go-yaml sees and this grammar does not.
    fn refuse_other_breaks(&self) -> Result<(), YamlError> {
        let Some(before) = self.breaks.first().and_then(|at| self.text.get(..at)) else {
            return Ok(());
        };
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
        let document = self.documents.iter().rposition(|document| document.start <= line).unwrap_or_default();
        Err(YamlError { line, column, document, kind: YamlErrorKind::OldLineBreak })
    }

    /// Finds the `|` or `>` of a block scalar: the parser says only where its text begins, and an empty one has none.
    fn indicator(&self, style: ScalarStyle, span: Span) -> Option<Position> {
        let mark = match style {
            ScalarStyle::Literal => '|',
            ScalarStyle::Folded => '>',
            _ => return None,
        };
        let between = self.text.get(self.passed..span.start.byte_offset()?)?;
        let (lead, rest) = between.split_at_checked(between.find(mark)?)?;
        let line = start(span).line.checked_sub(rest.matches('\n').count())?;
        let before = self.text.get(..self.passed + lead.len())?.rsplit('\n').next()?;
        Some(Position { line, column: before.chars().count() + 1 })
    }

    /// Notes where the `-` of an item stands: the parser says only where its value begins, and comments may stand between.
    fn mark_item(&mut self, span: Span) {
        let dash = self.dash(span).unwrap_or_else(|| start(span));
        if let Some(open) = self.open.last_mut().filter(|open| !open.mapping) {
            open.marks.push(dash);
        }
    }

    fn dash(&self, span: Span) -> Option<Position> {
        self.open.last().filter(|open| !open.mapping && !open.flow)?;
        let between = self.text.get(self.passed..span.start.byte_offset()?)?;
        let mut in_comment = false;
        let at = between.char_indices().find_map(|(at, c)| {
            in_comment = c == '#' || (in_comment && c != '\n');
            (c == '-' && !in_comment).then_some(at)
        })?;
        let (lead, rest) = between.split_at_checked(at)?;
        let line = start(span).line.checked_sub(rest.matches('\n').count())?;
        let before = self.text.get(..self.passed + lead.len())?.rsplit('\n').next()?;
        Some(Position { line, column: before.chars().count() + 1 })
    }

    fn is_inline(&self, span: Span) -> bool {
        let before = span.start.byte_offset().and_then(|at| self.text.get(..at)).unwrap_or_default();
        before.rsplit('\n').next().is_some_and(|line| !line.trim_ascii().is_empty())
    }

    fn start_document(&mut self, span: Span) {
        self.start_line = start(span).line;
        self.anchors.clear();
    }

    fn end_document(&mut self) -> Result<(), YamlError> {
        let root = match self.root.take() {
            Some(root) => root,
            None => {
                let at = Position { line: self.start_line, column: 1 };
                let content = Content::Scalar { text: String::new(), style: Style::Plain };
                Rc::new(self.node(at, at, None, content)?)
            }
        };
        self.documents.push(Document { start: self.start_line, line: root.at.line, root });
        Ok(())
    }

    fn begin(
        &mut self,
        mapping: bool,
        style: StructureStyle,
        anchor: usize,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<(), YamlError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(self.error(span, YamlErrorKind::TooDeep));
        }
        let flow = style == StructureStyle::Flow;
        self.open.push(Open {
            at: start(span),
            tag: long_tag(tag),
            anchor,
            flow,
            mapping,
            children: Vec::new(),
            marks: Vec::new(),
        });
        Ok(())
    }

    fn finish(&mut self, span: Span) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else {
            return Err(self.error(span, YamlErrorKind::Syntax));
        };
        let last = open.children.last().map_or(open.at, |child| child.end);
        let end = if open.flow { end(span) } else { last };
        let content = match open.mapping {
            true => Content::Mapping { pairs: paired(open.children), flow: open.flow },
            false => Content::Sequence { items: open.children, marks: open.marks, flow: open.flow },
        };
        let node = self.node(open.at, end, open.tag, content)?;
        self.place(node, open.anchor);
        Ok(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), YamlError> {
        let Some(node) = self.anchors.get(&id).cloned() else {
            return Err(self.error(span, YamlErrorKind::AliasInsideItself));
        };
        self.room.take(node.nodes(), node.weight()).map_err(|Full| self.error(span, YamlErrorKind::TooLarge))?;
        self.attach(node);
        Ok(())
    }

    fn place(&mut self, node: Node, anchor: usize) {
        let node = Rc::new(node);
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.attach(node);
    }

    fn attach(&mut self, node: Rc<Node>) {
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => self.root = Some(node),
        }
    }

    fn node(&mut self, at: Position, end: Position, tag: Option<String>, content: Content) -> Result<Node, YamlError> {
        let document = self.documents.len();
        let taken = self.room.take(1, tag.as_ref().map_or(0, String::len));
        let node = Node::new(at, end, tag, content, document)?;
        taken.map_err(|Full| node.error(document, YamlErrorKind::TooLarge))?;
        Ok(node)
    }

    fn error(&self, span: Span, kind: YamlErrorKind) -> YamlError {
        let Position { line, column } = start(span);
        YamlError { line, column, document: self.documents.len(), kind }
    }

    fn syntax(&self, error: &ScanError) -> YamlError {
        let marker = error.marker();
        let kind = match error.kind() {
            granit_parser::ErrorKind::RecursionLimitExceeded => YamlErrorKind::TooDeep,
            _ => YamlErrorKind::Syntax,
        };
        YamlError { line: marker.line(), column: marker.col() + 1, document: self.documents.len(), kind }
    }
}

fn paired(children: Vec<Rc<Node>>) -> Vec<(Rc<Node>, Rc<Node>)> {
    let mut pairs = Vec::with_capacity(children.len() / 2);
    let mut children = children.into_iter();
    while let (Some(key), Some(value)) = (children.next(), children.next()) {
        pairs.push((key, value));
    }
    pairs
}

fn long_tag(tag: Option<&Tag>) -> Option<String> {
    tag.map(|tag| format!("{}{}", tag.handle(), tag.suffix()))
}

fn scalar_style(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
        ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
    }
}

fn start(span: Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}

fn end(span: Span) -> Position {
    Position { line: span.end.line(), column: span.end.col() + 1 }
}
