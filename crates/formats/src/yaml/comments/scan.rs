//! Where go-yaml's scanner puts a comment: above, behind or below which token.
//!
//! The tokens are granit-parser's, but for the ends of blocks: go-yaml moves those in front of comments that stand in the column of
//! a block around them. Nothing here is a rule of YAML; that it is what go-yaml does is all there is to it, oddities included (a
//! comment that is not the first of its gap counts as one line higher). Source: `scannerc.go` of go.yaml.in/yaml/v3 3.0.4.

use granit_parser::{ScalarStyle, Scanner, StrInput, TokenType};

use super::cursor::{Cursor, Mark, is_blank, is_break};

/// Lines of comments by their numbers in the text, from 1; 0 stands for an empty line between them.
pub(super) type Lines = Vec<usize>;

/// What a token is, as far as comments depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    StreamEnd,
    Directive,
    DocumentStart,
    DocumentEnd,
    SequenceStart,
    MappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowMappingStart,
    FlowEnd,
    FlowEntry,
    Entry,
    Key,
    Value,
    Alias,
    /// An anchor or a tag.
    Property,
    Scalar,
    BlockScalar,
}

#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Where it begins, in bytes.
    pub(super) at: usize,
}

/// On which side of a token comments stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Head,
    Line,
    Foot,
}

/// Comments that wait for their token.
pub(super) struct Waiting {
    pub(super) side: Side,
    pub(super) lines: Lines,
    /// The first token that begins here or later gets them.
    pub(super) token: usize,
    /// Where the gap between tokens begins that they stand in, or the part of it that is theirs.
    gap: usize,
    start: Start,
    end: usize,
}

impl Waiting {
    /// Leaves nothing of it.
    pub(super) fn take(&mut self) {
        let start = Start { at: 0, line: 0, column: 0 };
        *self = Self { side: self.side, lines: Lines::new(), token: 0, gap: 0, start, end: 0 };
    }
}

#[derive(Clone, Copy)]
struct Start {
    at: usize,
    line: usize,
    /// From 1, but from 0 behind a token.
    column: usize,
}

/// The tokens of a text, one after the other, and the comments that were found on the way.
pub(super) struct Scan<'a> {
    cursor: Cursor<'a>,
    pieces: std::vec::IntoIter<(Kind, usize)>,
    pub(super) tokens: Vec<Token>,
    pub(super) waiting: Vec<Waiting>,
    /// The columns of the blocks that are open; nothing outside of all.
    indents: Vec<usize>,
    flow: usize,
    /// For each level of flow: a token that may turn out to be a key, and its line.
    keys: Vec<Option<(usize, Mark)>>,
    may_be_key: bool,
}

/// How far go-yaml looks ahead for the next comment, in bytes.
const LOOK_AHEAD: usize = 512;

impl<'a> Scan<'a> {
    /// Begins at the first token; nothing if the text has none that can be read.
    pub(super) fn new(text: &'a str) -> Option<Self> {
        Some(Self {
            cursor: Cursor { text: text.as_bytes(), mark: Mark { at: 0, line: 0, column: 0 }, breaks: 0 },
            pieces: pieces(text)?.into_iter(),
            tokens: Vec::new(),
            waiting: Vec::new(),
            indents: Vec::new(),
            flow: 0,
            keys: vec![None],
            may_be_key: true,
        })
    }

    /// Tells whether a token may yet turn out to be a key.
    pub(super) fn is_open(&self, token: usize) -> bool {
        self.keys.iter().flatten().any(|(key, mark)| *key == token && mark.line == self.cursor.mark.line)
    }

    /// Reads the next token; behind the last one the end of the stream comes again and again.
    pub(super) fn fetch(&mut self) {
        let gap = self.cursor.mark;
        self.pass_gap(gap);
        self.close_blocks(Some(self.cursor.mark.column), gap.at);
        let Some((kind, end)) = self.pieces.next() else {
            self.close_blocks(None, self.cursor.mark.at);
            self.keys.clear();
            return self.push(Kind::StreamEnd);
        };
        if is_of_document(kind) {
            self.close_blocks(None, self.cursor.mark.at);
            self.forget_key();
            self.may_be_key = false;
            self.push(kind);
            return self.cursor.advance(end);
        }
        let is_behind_last = if self.flow == 0 { kind == Kind::Value } else { kind == Kind::FlowEntry };
        let last = self.tokens.last().filter(|_| is_behind_last).map(|token| token.at);
        let owner = last.unwrap_or(self.cursor.mark.at);
        self.take(kind, end);
        if kind != Kind::Entry {
            self.line_comment(owner);
        }
    }

    fn take(&mut self, kind: Kind, end: usize) {
        match kind {
            Kind::FlowSequenceStart | Kind::FlowMappingStart => {
                self.save_key();
                self.keys.push(None);
                self.flow += 1;
                self.may_be_key = true;
            }
            Kind::FlowEnd => {
                self.keys.pop();
                self.flow = self.flow.saturating_sub(1);
                self.may_be_key = false;
            }
            Kind::FlowEntry => {
                self.forget_key();
                self.may_be_key = true;
            }
            Kind::Entry | Kind::Key => {
                let block = if kind == Kind::Entry { Kind::SequenceStart } else { Kind::MappingStart };
                self.open_block(self.cursor.mark, self.tokens.len(), block);
                self.forget_key();
                self.may_be_key = kind == Kind::Entry || self.flow == 0;
            }
            Kind::Value => self.take_value(),
            Kind::BlockScalar => {
                self.forget_key();
                self.may_be_key = true;
                self.comment_of_block_scalar();
            }
            _ => {
                self.save_key();
                self.may_be_key = false;
            }
        }
        self.push(kind);
        self.cursor.advance(end.max(self.cursor.mark.at + 1));
        if matches!(kind, Kind::Scalar | Kind::BlockScalar) && self.cursor.pass_blank() {
            self.may_be_key = true;
        }
    }

    /// What stood in front of a `:` was a key, if it may be one.
    fn take_value(&mut self) {
        let key = self.keys.last_mut().and_then(Option::take);
        match key.filter(|(_, mark)| mark.line == self.cursor.mark.line) {
            Some((index, mark)) => {
                self.tokens.insert(index, Token { kind: Kind::Key, at: mark.at });
                self.open_block(mark, index, Kind::MappingStart);
                self.may_be_key = false;
            }
            None => {
                self.open_block(self.cursor.mark, self.tokens.len(), Kind::MappingStart);
                self.may_be_key = self.flow == 0;
            }
        }
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, at: self.cursor.mark.at });
    }

    fn save_key(&mut self) {
        if let Some(key) = self.keys.last_mut().filter(|_| self.may_be_key) {
            *key = Some((self.tokens.len(), self.cursor.mark));
        }
    }

    fn forget_key(&mut self) {
        if let Some(key) = self.keys.last_mut() {
            *key = None;
        }
    }

    fn open_block(&mut self, mark: Mark, index: usize, kind: Kind) {
        if self.flow == 0 && self.indents.last().is_none_or(|indent| *indent < mark.column) {
            self.indents.push(mark.column);
            self.tokens.insert(index, Token { kind, at: mark.at });
        }
    }

    /// Ends the blocks that stand further right than a column, or all. The end stands where the gap begins, or in front of the first
    /// of the comments just found that stand in the column of the block.
    fn close_blocks(&mut self, column: Option<usize>, gap: usize) {
        if self.flow > 0 {
            return;
        }
        let mut at = gap.saturating_sub(1);
        while let Some(indent) = self.indents.pop_if(|indent| column.is_none_or(|column| *indent > column)) {
            let mut stop = at;
            for comment in self.waiting.iter().rev() {
                if comment.end < stop {
                    break;
                }
                if comment.start.column == indent + 1 {
                    at = comment.start.at;
                }
                stop = comment.gap;
            }
            self.tokens.push(Token { kind: Kind::BlockEnd, at });
        }
    }

    fn pass_gap(&mut self, gap: Mark) {
        loop {
            while is_blank(self.cursor.byte(0)) {
                self.cursor.step();
            }
            self.lift_comment_of_list();
            if self.cursor.byte(0) == b'#' {
                self.own_comments(gap);
            }
            if !is_break(self.cursor.byte(0)) {
                return;
            }
            self.cursor.step();
            self.may_be_key |= self.flow == 0;
        }
    }

    /// A comment behind a key above the first item of its list goes to the item.
    fn lift_comment_of_list(&mut self) {
        let first_item = [Kind::SequenceStart, Kind::Entry];
        let last = self.tokens.iter().rev().take(2).rev().map(|token| token.kind);
        let here = self.cursor.mark;
        if let Some(comment) =
            self.waiting.last_mut().filter(|comment| comment.side == Side::Line && !comment.lines.is_empty())
            && last.eq(first_item)
            && !is_break(self.cursor.byte(0))
        {
            comment.side = Side::Head;
            if comment.start.line + 1 == here.line {
                comment.token = here.at;
            }
        }
    }

    /// A comment behind a token, on its line.
    fn line_comment(&mut self, token: usize) {
        if self.cursor.breaks > 0 {
            return;
        }
        let blanks = (0..LOOK_AHEAD).take_while(|at| is_blank(self.cursor.byte(*at))).count();
        if self.cursor.byte(blanks) == b'#' {
            self.cursor.advance(self.cursor.mark.at + blanks);
            self.wait_behind(token);
            self.cursor.pass_line();
        }
    }

    /// The comment behind the `|` or `>` of a block scalar stands in front of its text.
    fn comment_of_block_scalar(&mut self) {
        let line = self.cursor.rest().split(|byte| is_break(*byte)).next().unwrap_or_default();
        if line.contains(&b'#') {
            self.wait_behind(self.cursor.mark.at);
        }
    }

    fn wait_behind(&mut self, token: usize) {
        let Mark { at, line, column } = self.cursor.mark;
        let start = Start { at, line, column };
        self.waiting.push(Waiting { side: Side::Line, lines: vec![line + 1], token, gap: 0, start, end: 0 });
    }

    /// The comments with a line of their own between two tokens, in groups: those in front of the first empty line are of the token
    /// above, if they begin right below it, and so are those that stand left of the block, up to a change of the column; what is
    /// left is of the token below.
    fn own_comments(&mut self, gap: Mark) {
        let mut groups = Groups::new(self, gap);
        let indent = self.indents.last().copied().unwrap_or_default();
        let mut at = 0;
        while at < LOOK_AHEAD {
            let byte = self.cursor.byte(at);
            groups.column += 1;
            at += 1;
            if is_blank(byte) {
                continue;
            }
            let here = self.cursor.mark.at + at - 1;
            let closes = self.flow > 0 && matches!(byte, b']' | b'}');
            if closes || is_break(byte) || byte == 0 {
                groups.end_line(byte, closes, indent, here);
                if is_break(byte) {
                    continue;
                }
                break;
            }
            groups.end_at_other_column(indent, here);
            if byte != b'#' {
                break;
            }
            self.cursor.advance(here);
            groups.add(self.cursor.mark);
            self.cursor.pass_line();
            groups.line = self.cursor.mark.line;
            groups.column = 0;
            // The line break is passed over, and its line not counted.
            at = 1;
        }
        let end = (self.cursor.mark.at + at).saturating_sub(2);
        self.waiting.append(&mut groups.done(end));
    }
}

/// The comments of a gap as they are cut into groups.
struct Groups {
    done: Vec<Waiting>,
    lines: Lines,
    start: Start,
    /// The token that a foot goes to, by where it begins.
    token: usize,
    is_below_colon: bool,
    gap: usize,
    /// The line on which a foot of the token above begins.
    foot_line: Option<usize>,
    before_empty: bool,
    after_empty: bool,
    line: usize,
    column: usize,
}

impl Groups {
    fn new(scan: &Scan<'_>, gap: Mark) -> Self {
        let last = scan.tokens.iter().rev().find(|token| token.kind != Kind::FlowEntry);
        let Cursor { mark, breaks, .. } = scan.cursor;
        let beside = usize::from(breaks == 0 && mark.column > 1);
        Self {
            done: Vec::new(),
            lines: Vec::new(),
            start: Start { at: 0, line: 0, column: 0 },
            token: last.map_or(0, |token| token.at),
            is_below_colon: last.is_some_and(|token| token.kind == Kind::Value),
            gap: gap.at,
            foot_line: (gap.line > 0).then(|| (mark.line + 1 + beside).saturating_sub(breaks)),
            before_empty: breaks <= 1,
            after_empty: false,
            line: mark.line,
            column: mark.column,
        }
    }

    fn add(&mut self, mark: Mark) {
        if self.lines.is_empty() {
            self.start = Start { at: mark.at, line: self.line, column: self.column };
        }
        self.lines.push(mark.line + 1);
        self.after_empty = false;
    }

    /// An empty line, the end of the text, or the end of a flow collection.
    fn end_line(&mut self, byte: u8, closes: bool, indent: usize, here: usize) {
        if (closes || !self.after_empty) && !self.lines.is_empty() {
            let is_left = self.start.column <= indent;
            let is_foot = self.foot_line == Some(self.start.line) && !self.is_below_colon;
            if closes || (self.before_empty && (is_foot || is_left)) {
                self.token = if is_left { self.start.at } else { self.token };
                self.end_foot(here);
            } else if byte != 0 {
                self.lines.push(0);
            }
        }
        self.before_empty = false;
        self.after_empty = true;
        self.column = 0;
        self.line += 1;
    }

    fn end_at_other_column(&mut self, indent: usize, here: usize) {
        if !self.lines.is_empty() && self.column <= indent && self.column != self.start.column {
            self.end_foot(here);
        }
    }

    fn end_foot(&mut self, here: usize) {
        let (lines, token) = (std::mem::take(&mut self.lines), self.token);
        self.done.push(Waiting { side: Side::Foot, lines, token, gap: self.gap, start: self.start, end: here });
        self.gap = here;
        self.token = here;
    }

    fn done(mut self, end: usize) -> Vec<Waiting> {
        if !self.lines.is_empty() {
            let Self { lines, start, gap, .. } = self;
            self.done.push(Waiting { side: Side::Head, lines, token: start.at, gap, start, end });
        }
        self.done
    }
}

/// The tokens that stand in the text, and where each ends; indicators are one byte long, whatever the scanner says.
fn pieces(text: &str) -> Option<Vec<(Kind, usize)>> {
    let mut pieces = Vec::new();
    for token in Scanner::new(StrInput::new(text)) {
        let (span, token) = token.ok()?.into_parts();
        if let Some(kind) = kind(&token, span.is_empty()) {
            let has_text =
                matches!(kind, Kind::Scalar | Kind::BlockScalar | Kind::Alias | Kind::Property) || is_of_document(kind);
            pieces.push((kind, if has_text { span.end.byte_offset()? } else { 0 }));
        }
    }
    Some(pieces)
}

fn is_of_document(kind: Kind) -> bool {
    matches!(kind, Kind::DocumentStart | Kind::DocumentEnd | Kind::Directive)
}

/// Nothing for comments and for tokens that stand for something between others.
fn kind(token: &TokenType<'_>, is_empty: bool) -> Option<Kind> {
    Some(match token {
        TokenType::VersionDirective(..) | TokenType::TagDirective(..) | TokenType::ReservedDirective(..) => {
            Kind::Directive
        }
        TokenType::DocumentStart => Kind::DocumentStart,
        TokenType::DocumentEnd => Kind::DocumentEnd,
        TokenType::FlowSequenceStart => Kind::FlowSequenceStart,
        TokenType::FlowMappingStart if !is_empty => Kind::FlowMappingStart,
        TokenType::FlowSequenceEnd => Kind::FlowEnd,
        TokenType::FlowMappingEnd if !is_empty => Kind::FlowEnd,
        TokenType::FlowEntry => Kind::FlowEntry,
        TokenType::BlockEntry => Kind::Entry,
        TokenType::Key if !is_empty => Kind::Key,
        TokenType::Value => Kind::Value,
        TokenType::Alias(..) => Kind::Alias,
        TokenType::Anchor(..) | TokenType::Tag(..) => Kind::Property,
        TokenType::Scalar(ScalarStyle::Literal | ScalarStyle::Folded, _) => Kind::BlockScalar,
        TokenType::Scalar(..) => Kind::Scalar,
        _ => return None,
    })
}
