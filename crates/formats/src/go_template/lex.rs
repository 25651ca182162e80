//! Tokens of a template, as Go's `text/template/parse/lex.go` cuts them.

use super::error::{Fault, TemplateError};

/// One token with the line that it starts in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) line: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    Text(&'a str),
    Left,
    Right,
    Space,
    Pipe,
    Comma,
    Declare,
    Assign,
    Open,
    Close,
    Dot,
    /// A field without its dot.
    Field(&'a str),
    /// A variable with its `$`.
    Variable(&'a str),
    Number(&'a str),
    Character(&'a str),
    Quoted(&'a str),
    /// A keyword, `true`, `false`, `nil` or the name of a function.
    Word(&'a str),
    End,
}

/// Cuts a template into tokens; the last is [`Kind::End`]. Comments are left out.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, TemplateError> {
    let mut lexer = Lexer { rest: text, line: 1, tokens: Vec::new() };
    lexer.run().map_err(|fault| TemplateError { line: lexer.line, function: None, fault })?;
    lexer.push(Kind::End);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token<'a>>,
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
const BAD_CHARACTER: Fault = Fault::Syntax("a character is not expected here");

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(at) = self.rest.find("{{") {
            let after = self.rest.get(at + 2..).unwrap_or_default();
            let trims = after.starts_with('-') && after.get(1..).is_some_and(|rest| rest.starts_with(SPACE));
            let text = self.take(at);
            let shown = if trims { text.trim_end_matches(SPACE) } else { text };
            self.push_at(Kind::Text(shown), self.line - lines(text));
            self.take(2 + if trims { 2 } else { 0 });
            match self.rest.starts_with("/*") {
                true => self.comment()?,
                false => self.action()?,
            }
        }
        let text = self.take(self.rest.len());
        self.push_at(Kind::Text(text), self.line - lines(text));
        Ok(())
    }

    /// Takes bytes off the text; `count` is at the border of a character.
    fn take(&mut self, count: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, ""));
        self.rest = rest;
        self.line += lines(taken);
        taken
    }

    fn push(&mut self, kind: Kind<'a>) {
        self.push_at(kind, self.line);
    }

    fn push_at(&mut self, kind: Kind<'a>, line: usize) {
        if kind != Kind::Text("") {
            self.tokens.push(Token { kind, line });
        }
    }

    fn comment(&mut self) -> Result<(), Fault> {
        let end = self.rest.get(2..).and_then(|text| text.find("*/"));
        let end = end.ok_or(Fault::Syntax("a comment is not closed"))?;
        self.take(end + 4);
        let trims = self.at_right().ok_or(Fault::Syntax("a comment must stand alone in its action"))?;
        self.right(trims);
        Ok(())
    }

    /// Tells whether an action ends here, and whether it trims what follows.
    fn at_right(&self) -> Option<bool> {
        let trimming = self.rest.strip_prefix(SPACE).is_some_and(|rest| rest.starts_with("-}}"));
        if trimming { Some(true) } else { self.rest.starts_with("}}").then_some(false) }
    }

    fn right(&mut self, trims: bool) {
        self.take(2 + if trims { 2 } else { 0 });
        if trims {
            self.take(self.rest.len() - self.rest.trim_start_matches(SPACE).len());
        }
    }

    fn action(&mut self) -> Result<(), Fault> {
        self.push(Kind::Left);
        loop {
            if let Some(trims) = self.at_right() {
                self.push(Kind::Right);
                self.right(trims);
                return Ok(());
            }
            let (line, kind) = (self.line, self.word()?);
            self.push_at(kind, line);
        }
    }

    fn word(&mut self) -> Result<Kind<'a>, Fault> {
        let mut chars = self.rest.chars();
        let first = chars.next().ok_or(Fault::Syntax("an action is not closed"))?;
        let second = chars.next();
        let single = |lexer: &mut Self, kind| {
            lexer.take(1);
            Ok(kind)
        };
        match first {
            char if SPACE.contains(&char) => Ok(self.space()),
            '=' => single(self, Kind::Assign),
            '|' => single(self, Kind::Pipe),
            ',' => single(self, Kind::Comma),
            '(' => single(self, Kind::Open),
            ')' => single(self, Kind::Close),
            ':' if second == Some('=') => {
                self.take(2);
                Ok(Kind::Declare)
            }
            '"' => self.quoted('"').map(Kind::Quoted),
            '\'' => self.quoted('\'').map(Kind::Character),
            '`' => self.raw(),
            '$' => self.name(1).map(Kind::Variable),
            '.' if !second.is_some_and(|char| char.is_ascii_digit()) => {
                let name = self.name(1)?;
                Ok(name.get(1..).filter(|name| !name.is_empty()).map_or(Kind::Dot, Kind::Field))
            }
            '.' | '+' | '-' | '0'..='9' => self.number(),
            char if is_alphanumeric(char) => self.name(0).map(Kind::Word),
            _ => Err(BAD_CHARACTER),
        }
    }

    /// Takes white space, but not the one that belongs to a trimming end.
    fn space(&mut self) -> Kind<'a> {
        let mut count = 0;
        for char in self.rest.chars() {
            let is_marker = self.rest.get(count + 1..).is_some_and(|rest| rest.starts_with("-}}"));
            if !SPACE.contains(&char) || is_marker {
                break;
            }
            count += 1;
        }
        self.take(count);
        Kind::Space
    }

    /// Takes a name after `skip` bytes that belong to it.
    fn name(&mut self, skip: usize) -> Result<&'a str, Fault> {
        let name = self.rest.get(skip..).unwrap_or_default();
        let len = name.find(|char| !is_alphanumeric(char)).unwrap_or(name.len());
        let name = self.take(skip + len);
        let ends = self.rest.is_empty() || self.rest.starts_with([' ', '\t', '\r', '\n', '.', ',', '|', ':', ')', '(']);
        if ends || self.rest.starts_with("}}") { Ok(name) } else { Err(BAD_CHARACTER) }
    }

    fn quoted(&mut self, quote: char) -> Result<&'a str, Fault> {
        let unterminated = Fault::Syntax("a string or character is not closed");
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, char)) = chars.next() {
            match char {
                '\n' => break,
                '\\' if chars.next().is_none_or(|(_, char)| char == '\n') => break,
                char if char == quote => return Ok(self.take(at + 1)),
                _ => {}
            }
        }
        Err(unterminated)
    }

    fn raw(&mut self) -> Result<Kind<'a>, Fault> {
        let end = self.rest.get(1..).and_then(|text| text.find('`'));
        let end = end.ok_or(Fault::Syntax("a raw string is not closed"))?;
        Ok(Kind::Quoted(self.take(end + 2)))
    }

    fn number(&mut self) -> Result<Kind<'a>, Fault> {
        let text = self.rest;
        let mut at = usize::from(text.starts_with(['+', '-']));
        let prefix = text.get(at..at + 2).unwrap_or_default().to_ascii_lowercase();
        let digits: fn(char) -> bool = match prefix.as_str() {
            "0x" => |char| char.is_ascii_hexdigit() || char == '_',
            "0o" => |char| matches!(char, '0'..='7' | '_'),
            "0b" => |char| matches!(char, '0' | '1' | '_'),
            _ => |char| char.is_ascii_digit() || char == '_',
        };
        at += if matches!(prefix.as_str(), "0x" | "0o" | "0b") { 2 } else { 0 };
        let run = |at: usize, digits: fn(char) -> bool| {
            let rest = text.get(at..).unwrap_or_default();
            at + rest.find(|char| !digits(char)).unwrap_or(rest.len())
        };
        at = run(at, digits);
        if text.get(at..).is_some_and(|rest| rest.starts_with('.')) {
            at = run(at + 1, digits);
        }
        let exponent = if prefix == "0x" { ['p', 'P'] } else { ['e', 'E'] };
        if !matches!(prefix.as_str(), "0o" | "0b") && text.get(at..).is_some_and(|rest| rest.starts_with(exponent)) {
            at += 1;
            at += usize::from(text.get(at..).is_some_and(|rest| rest.starts_with(['+', '-'])));
            at = run(at, |char| char.is_ascii_digit() || char == '_');
        }
        at += usize::from(text.get(at..).is_some_and(|rest| rest.starts_with('i')));
        let number = self.take(at);
        if self.rest.starts_with(|char| is_alphanumeric(char) || matches!(char, '+' | '-')) {
            return Err(Fault::Syntax("a number is malformed"));
        }
        Ok(Kind::Number(number))
    }
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn is_alphanumeric(char: char) -> bool {
    char == '_' || char.is_alphanumeric()
}
