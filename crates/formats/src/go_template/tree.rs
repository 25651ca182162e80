//! A parsed template. All of it is public: it stands in Git.

use super::functions::Function;
use super::literal::Number;

/// One node of a list.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template { line: usize, name: Vec<u8>, pipe: Option<Pipe> },
    Break,
    Continue,
}

/// What `if`, `with` and `range` have in common.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) pipe: Pipe,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Option<Vec<Node>>,
}

/// Commands, each of which gets the value of the one before.
#[derive(Clone, Debug, Default)]
pub(super) struct Pipe {
    /// Whether the variables are set rather than declared.
    pub(super) is_assignment: bool,
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

/// A function, field or value with its arguments; there is at least one word.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) first: Operand,
    pub(super) rest: Vec<Operand>,
}

/// One word of a command.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Dot,
    Nil,
    Bool(bool),
    Number(Number),
    Text(Vec<u8>),
    Field(Vec<String>),
    /// A variable with its `$`, and the fields after it.
    Variable(String, Vec<String>),
    Function(&'static Function),
    Pipe(Box<Pipe>),
    /// Fields of what stands in parentheses, or of a function's value.
    Chain(Box<Operand>, Vec<String>),
}

/// Tells whether a template consists of white space, as far as `define` is concerned (`IsEmptyTree` of Go's parser).
pub(super) fn is_empty(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
}
