//! From tokens to a tree, by the rules of Go's `text/template/parse/parse.go`.
//!
//! Names of functions are looked up here, so what is refused is refused before anything is opened.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{Fault, TemplateError};
use super::functions::{self, Function};
use super::lex::{Kind, Token, tokens};
use super::literal;
use super::tree::{Branch, Command, Node, Operand, Pipe, is_empty};

/// The templates that one text defines, by name.
pub(super) type Definitions = BTreeMap<Vec<u8>, Vec<Node>>;

/// How deep actions and parentheses may stand in each other, together.
const MAX_DEPTH: usize = 50;
/// How many variables may be declared at one place: each use of one is looked up among them.
const MAX_VARIABLES: usize = 1000;

/// Parses a template that is called `name` itself.
pub(super) fn parse(name: &[u8], text: &str) -> Result<Definitions, TemplateError> {
    let tokens = tokens(text)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
        range_depth: 0,
        variables: vec!["$".to_owned()],
        definitions: Definitions::new(),
        defined: BTreeSet::new(),
        function: None,
    };
    parser.main(name).map_err(|fault| TemplateError { line: parser.line(), function: parser.function, fault })?;
    Ok(parser.definitions)
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    depth: usize,
    /// How many `range` are open.
    range_depth: usize,
    variables: Vec<String>,
    definitions: Definitions,
    /// Which of them are more than white space, and so can't be defined again.
    defined: BTreeSet<Vec<u8>>,
    /// The function that was refused.
    function: Option<&'static str>,
}

/// What ended a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    End,
    Else,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Control {
    If,
    With,
    Range,
}

const UNEXPECTED: Fault = Fault::Syntax("a word is not expected here");
const UNCLOSED: Fault = Fault::Syntax("an `end` is missing");

impl<'a> Parser<'a> {
    fn line(&self) -> usize {
        self.tokens.get(self.at.saturating_sub(1)).map_or(1, |token| token.line)
    }

    fn peek(&self) -> Kind<'a> {
        self.tokens.get(self.at).map_or(Kind::End, |token| token.kind)
    }

    fn next(&mut self) -> Kind<'a> {
        let kind = self.peek();
        self.at += 1;
        kind
    }

    fn skip_space(&mut self) {
        while self.peek() == Kind::Space {
            self.at += 1;
        }
    }

    fn peek_word(&mut self) -> Kind<'a> {
        self.skip_space();
        self.peek()
    }

    fn next_word(&mut self) -> Kind<'a> {
        self.skip_space();
        self.next()
    }

    fn right(&mut self) -> Result<(), Fault> {
        if self.next_word() == Kind::Right { Ok(()) } else { Err(UNEXPECTED) }
    }

    /// Does `work` one level deeper.
    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        if self.depth >= MAX_DEPTH {
            return Err(Fault::Limit("50 actions and parentheses in each other"));
        }
        self.depth += 1;
        let done = work(self);
        self.depth -= 1;
        done
    }

    fn main(&mut self, name: &[u8]) -> Result<(), Fault> {
        let mut nodes = Vec::new();
        loop {
            match self.peek() {
                Kind::End => break,
                Kind::Left if self.is_definition() => self.definition()?,
                _ => match self.node()? {
                    Ok(node) => nodes.push(node),
                    Err(_) => return Err(UNEXPECTED),
                },
            }
        }
        self.define(name.to_vec(), nodes)
    }

    fn is_definition(&self) -> bool {
        let rest = self.tokens.get(self.at + 1..).unwrap_or_default();
        rest.iter().find(|token| token.kind != Kind::Space).is_some_and(|token| token.kind == Kind::Word("define"))
    }

    fn definition(&mut self) -> Result<(), Fault> {
        self.next();
        self.next_word();
        let name = self.name()?;
        self.right()?;
        self.body(name)
    }

    /// Parses the body of a definition, which sees no variables from outside.
    fn body(&mut self, name: Vec<u8>) -> Result<(), Fault> {
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let range_depth = std::mem::take(&mut self.range_depth);
        let (nodes, stop) = self.deeper(Self::list)?;
        self.variables = outer;
        self.range_depth = range_depth;
        if stop != Stop::End {
            return Err(UNEXPECTED);
        }
        self.define(name, nodes)
    }

    fn define(&mut self, name: Vec<u8>, nodes: Vec<Node>) -> Result<(), Fault> {
        match (self.defined.contains(&name), is_empty(&nodes)) {
            (true, true) => return Ok(()),
            (true, false) => return Err(Fault::Syntax("a template is defined twice")),
            (false, true) => {}
            (false, false) => drop(self.defined.insert(name.clone())),
        }
        self.definitions.insert(name, nodes);
        Ok(())
    }

    fn name(&mut self) -> Result<Vec<u8>, Fault> {
        match self.next_word() {
            Kind::Quoted(quoted) => literal::text(quoted),
            _ => Err(Fault::Syntax("the name of a template is missing")),
        }
    }

    fn list(&mut self) -> Result<(Vec<Node>, Stop), Fault> {
        let mut nodes = Vec::new();
        while self.peek() != Kind::End {
            match self.node()? {
                Ok(node) => nodes.push(node),
                Err(stop) => return Ok((nodes, stop)),
            }
        }
        Err(UNCLOSED)
    }

    fn node(&mut self) -> Result<Result<Node, Stop>, Fault> {
        match self.next() {
            Kind::Text(text) => Ok(Ok(Node::Text(text.to_owned()))),
            Kind::Left => self.action(),
            _ => Err(UNEXPECTED),
        }
    }

    fn action(&mut self) -> Result<Result<Node, Stop>, Fault> {
        let Kind::Word(word) = self.peek_word() else { return self.plain_action() };
        let node = match word {
            "block" => self.after_word(Self::block)?,
            "template" => self.after_word(Self::template)?,
            "break" | "continue" => self.after_word(|parser| parser.jump(word))?,
            "if" => self.after_word(|parser| parser.control(Control::If).map(Node::If))?,
            "with" => self.after_word(|parser| parser.control(Control::With).map(Node::With))?,
            "range" => self.after_word(|parser| parser.control(Control::Range).map(Node::Range))?,
            "end" => return self.after_word(Self::right).map(|()| Err(Stop::End)),
            "else" => return self.after_word(Self::otherwise).map(|()| Err(Stop::Else)),
            "define" => return Err(Fault::Syntax("`define` may not stand inside another action")),
            _ => return self.plain_action(),
        };
        Ok(Ok(node))
    }

    fn after_word<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        self.next();
        parse(self)
    }

    fn plain_action(&mut self) -> Result<Result<Node, Stop>, Fault> {
        Ok(Ok(Node::Action(self.pipe(Kind::Right, false)?)))
    }

    /// Leaves an `if` or `with` after `else` for the caller.
    fn otherwise(&mut self) -> Result<(), Fault> {
        match self.peek_word() {
            Kind::Word("if" | "with") => Ok(()),
            _ => self.right(),
        }
    }

    fn jump(&mut self, word: &str) -> Result<Node, Fault> {
        self.right()?;
        if self.range_depth == 0 {
            return Err(Fault::Syntax("`break` and `continue` belong into `range`"));
        }
        Ok(if word == "break" { Node::Break } else { Node::Continue })
    }

    fn block(&mut self) -> Result<Node, Fault> {
        let line = self.line();
        let name = self.name()?;
        let pipe = Some(self.pipe(Kind::Right, false)?);
        self.body(name.clone())?;
        Ok(Node::Template { line, name, pipe })
    }

    fn template(&mut self) -> Result<Node, Fault> {
        let line = self.line();
        let name = self.name()?;
        let pipe = match self.peek_word() {
            Kind::Right => self.right().map(|()| None)?,
            _ => Some(self.pipe(Kind::Right, false)?),
        };
        Ok(Node::Template { line, name, pipe })
    }

    fn control(&mut self, control: Control) -> Result<Branch, Fault> {
        let known = self.variables.len();
        let branch = self.deeper(|parser| parser.branch(control));
        self.variables.truncate(known);
        branch
    }

    fn branch(&mut self, control: Control) -> Result<Branch, Fault> {
        let pipe = self.pipe(Kind::Right, control == Control::Range)?;
        self.range_depth += usize::from(control == Control::Range);
        let (then, stop) = self.list()?;
        self.range_depth -= usize::from(control == Control::Range);
        let otherwise = match stop {
            Stop::End => None,
            Stop::Else => Some(self.else_list(control)?),
        };
        Ok(Branch { pipe, then, otherwise })
    }

    fn else_list(&mut self, control: Control) -> Result<Vec<Node>, Fault> {
        match (control, self.peek()) {
            (Control::If, Kind::Word("if")) => {
                Ok(vec![self.after_word(|parser| parser.control(Control::If).map(Node::If))?])
            }
            (Control::With, Kind::Word("with")) => {
                Ok(vec![self.after_word(|parser| parser.control(Control::With).map(Node::With))?])
            }
            (_, Kind::Word("if" | "with")) => Err(UNEXPECTED),
            _ => match self.list()? {
                (nodes, Stop::End) => Ok(nodes),
                (_, Stop::Else) => Err(UNEXPECTED),
            },
        }
    }

    fn pipe(&mut self, end: Kind<'a>, is_range: bool) -> Result<Pipe, Fault> {
        self.skip_space();
        let mut pipe = Pipe::default();
        self.declarations(&mut pipe, is_range)?;
        loop {
            match self.peek_word() {
                kind if kind == end => {
                    self.next();
                    break;
                }
                kind if starts_an_operand(kind) => {
                    let command = self.command()?;
                    pipe.commands.push(command);
                }
                _ => {
                    self.next();
                    return Err(UNEXPECTED);
                }
            }
        }
        let later = pipe.commands.get(1..).unwrap_or_default();
        if later.iter().any(|command| !is_executable(&command.first)) {
            return Err(Fault::Syntax("a value can't take what is piped into it"));
        }
        if pipe.commands.is_empty() { Err(Fault::Syntax("a value is missing")) } else { Ok(pipe) }
    }

    /// Parses `$x :=`, `$x =` and in `range` also `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, is_range: bool) -> Result<(), Fault> {
        while let Kind::Variable(name) = self.peek_word() {
            let start = self.at;
            self.next();
            match self.peek_word() {
                kind @ (Kind::Declare | Kind::Assign) => {
                    self.next();
                    pipe.is_assignment = kind == Kind::Assign;
                    self.declare(pipe, name)?;
                    return Ok(());
                }
                Kind::Comma => {
                    self.next();
                    self.declare(pipe, name)?;
                    let more = matches!(self.peek_word(), Kind::Variable(_) | Kind::Right | Kind::Close);
                    if !is_range || pipe.variables.len() >= 2 || !more {
                        return Err(Fault::Syntax("too many variables are declared at once"));
                    }
                }
                _ => {
                    self.at = start;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn declare(&mut self, pipe: &mut Pipe, name: &str) -> Result<(), Fault> {
        if self.variables.len() > MAX_VARIABLES {
            return Err(Fault::Limit("1,000 variables at one place"));
        }
        pipe.variables.push(name.to_owned());
        self.variables.push(name.to_owned());
        Ok(())
    }

    fn command(&mut self) -> Result<Command, Fault> {
        let mut words = Vec::new();
        loop {
            self.skip_space();
            let line = self.tokens.get(self.at).map_or(1, |token| token.line);
            if starts_an_operand(self.peek()) {
                words.push((line, self.operand()?));
            }
            match self.next() {
                Kind::Space => {}
                Kind::Right | Kind::Close => {
                    self.at -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return Err(UNEXPECTED),
            }
        }
        let mut words = words.into_iter();
        let (line, first) = words.next().ok_or(Fault::Syntax("a command is missing"))?;
        Ok(Command { line, first, rest: words.map(|(_, word)| word).collect() })
    }

    fn operand(&mut self) -> Result<Operand, Fault> {
        let term = self.term()?;
        let mut fields = Vec::new();
        while let Kind::Field(field) = self.peek() {
            self.next();
            fields.push(field.to_owned());
        }
        if fields.is_empty() {
            return Ok(term);
        }
        match term {
            Operand::Field(mut own) => {
                own.append(&mut fields);
                Ok(Operand::Field(own))
            }
            Operand::Variable(name, _) => Ok(Operand::Variable(name, fields)),
            Operand::Function(_) | Operand::Pipe(_) => Ok(Operand::Chain(Box::new(term), fields)),
            _ => Err(Fault::Syntax("a literal has no fields")),
        }
    }

    fn term(&mut self) -> Result<Operand, Fault> {
        match self.next() {
            Kind::Dot => Ok(Operand::Dot),
            Kind::Field(field) => Ok(Operand::Field(vec![field.to_owned()])),
            Kind::Variable(name) if self.variables.iter().any(|known| known == name) => {
                Ok(Operand::Variable(name.to_owned(), Vec::new()))
            }
            Kind::Variable(_) => Err(Fault::Syntax("a variable is not declared")),
            Kind::Number(text) => literal::number(text).map(Operand::Number),
            Kind::Character(quoted) => literal::character(quoted).map(Operand::Number),
            Kind::Quoted(quoted) => literal::text(quoted).map(Operand::Text),
            Kind::Open => self.deeper(|parser| Ok(Operand::Pipe(Box::new(parser.pipe(Kind::Close, false)?)))),
            Kind::Word("true") => Ok(Operand::Bool(true)),
            Kind::Word("false") => Ok(Operand::Bool(false)),
            Kind::Word("nil") => Ok(Operand::Nil),
            Kind::Word(name) => self.function(name).map(Operand::Function),
            _ => Err(UNEXPECTED),
        }
    }

    fn function(&mut self, name: &str) -> Result<&'static Function, Fault> {
        functions::find(name).map_err(|refused| match refused {
            Some((name, reason)) => {
                self.function = Some(name);
                Fault::Refused(reason)
            }
            None => Fault::UnknownFunction,
        })
    }
}

/// Tells whether an operand starts here. Keywords other than `nil` don't, as in Go.
fn starts_an_operand(kind: Kind<'_>) -> bool {
    match kind {
        Kind::Word(word) => !KEYWORDS.contains(&word),
        Kind::Dot | Kind::Field(_) | Kind::Variable(_) | Kind::Number(_) | Kind::Character(_) => true,
        Kind::Quoted(_) | Kind::Open => true,
        _ => false,
    }
}

const KEYWORDS: [&str; 10] = ["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"];

fn is_executable(first: &Operand) -> bool {
    !matches!(first, Operand::Bool(_) | Operand::Dot | Operand::Nil | Operand::Number(_) | Operand::Text(_))
}
