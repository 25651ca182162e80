//! Runs a tree over values, by the rules of Go's `text/template/exec.go` with `missingkey=default`.

use zeroize::Zeroizing;

use super::error::{Fault, TemplateError};
use super::functions::{self, Function, Param, Special};
use super::literal::Number;
use super::parse::Definitions;
use super::print;
use super::tree::{Branch, Command, Node, Operand, Pipe};
use super::value::{Heap, MapKind, STEP, Text, Value};
use crate::SecretBytes;

/// How deep templates, actions and parentheses may call each other while they run.
const MAX_DEPTH: usize = 150;
/// What one template may write, in bytes: as much as a Secret may hold.
const MAX_OUTPUT: usize = 1 << 20;
/// What an argument of a function costs beside what it holds.
const ARGUMENT: u64 = 16;

/// One run of a template.
pub(super) struct Run<'a> {
    definitions: &'a Definitions,
    heap: &'a mut Heap,
    out: Zeroizing<Vec<u8>>,
    variables: Vec<(&'a str, Value)>,
    depth: usize,
    line: usize,
    function: Option<&'static str>,
}

/// How a list of nodes was left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

type Outcome<T> = Result<T, Fault>;

impl<'a> Run<'a> {
    pub(super) fn new(definitions: &'a Definitions, heap: &'a mut Heap) -> Self {
        let (variables, out) = (Vec::new(), Zeroizing::default());
        Self { definitions, heap, out, variables, depth: 0, line: 1, function: None }
    }

    /// Runs the template `name` and returns what it wrote.
    pub(super) fn execute(mut self, name: &[u8], dot: Value) -> Result<SecretBytes, TemplateError> {
        self.variables.push(("$", dot.clone()));
        let nodes = self.definitions.get(name).map(Vec::as_slice).unwrap_or_default();
        match self.list(&dot, nodes) {
            Ok(_) => Ok(SecretBytes::concat(&[&self.out])),
            Err(fault) => Err(TemplateError { line: self.line, function: self.function, fault }),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        self.heap.pay_bytes(bytes.len())?;
        if self.out.len() + bytes.len() > MAX_OUTPUT {
            return Err(Fault::Limit("1 MiB of output"));
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Fault::Limit("150 templates and actions that run in each other"));
        }
        self.depth += 1;
        let done = work(self)?;
        self.depth -= 1;
        Ok(done)
    }

    fn list(&mut self, dot: &Value, nodes: &'a [Node]) -> Outcome<Flow> {
        for node in nodes {
            self.heap.pay(STEP)?;
            let flow = self.deeper(|run| run.node(dot, node))?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, dot: &Value, node: &'a Node) -> Outcome<Flow> {
        match node {
            Node::Text(text) => self.write(text.as_bytes())?,
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.print(&value)?;
                }
            }
            Node::If(branch) => return self.branch(dot, branch, false),
            Node::With(branch) => return self.branch(dot, branch, true),
            Node::Range(branch) => return self.range(dot, branch),
            Node::Template { line, name, pipe } => self.template(dot, *line, name, pipe.as_ref())?,
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn print(&mut self, value: &Value) -> Outcome<()> {
        let mut text = Vec::new();
        match value {
            Value::Nil | Value::NilItem => text.extend_from_slice(b"<no value>"),
            value => print::plain(self.heap, &mut text, value)?,
        }
        let text = Zeroizing::new(text);
        self.write(&text)
    }

    fn branch(&mut self, dot: &Value, branch: &'a Branch, sets_dot: bool) -> Outcome<Flow> {
        let mark = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = match (value.is_true(self.heap), &branch.otherwise) {
            (true, _) => self.list(if sets_dot { &value } else { dot }, &branch.then)?,
            (false, Some(nodes)) => self.list(dot, nodes)?,
            (false, None) => Flow::On,
        };
        self.variables.truncate(mark);
        Ok(flow)
    }

    fn range(&mut self, dot: &Value, branch: &'a Branch) -> Outcome<Flow> {
        let outer = self.variables.len();
        let over = self.pipe(dot, &branch.pipe)?;
        let mark = self.variables.len();
        let mut ran = false;
        let mut each = Each { over, at: 0, entries: None, counts: branch.pipe.variables.len() <= 1 };
        while let Some((index, item)) = each.next(self.heap)? {
            ran = true;
            self.heap.pay(STEP)?;
            self.bind(&branch.pipe, mark, index, &item)?;
            let flow = self.list(&item, &branch.then)?;
            self.variables.truncate(mark);
            if flow == Flow::Break {
                break;
            }
        }
        // What is left of the list of `else` belongs to the range around this one, but Go lets a `break` end here.
        let flow = match (ran, &branch.otherwise) {
            (false, Some(nodes)) => self.list(dot, nodes)?,
            _ => Flow::On,
        };
        self.variables.truncate(outer);
        Ok(if flow == Flow::Break { Flow::On } else { flow })
    }

    /// Gives the variables of a `range` their values for one round.
    fn bind(&mut self, pipe: &'a Pipe, mark: usize, index: Value, item: &Value) -> Outcome<()> {
        let values = match pipe.variables.as_slice() {
            [_, _] => vec![index, item.clone()],
            _ => vec![item.clone()],
        };
        if pipe.is_assignment {
            for (name, value) in pipe.variables.iter().zip(values) {
                self.assign(name, value)?;
            }
            return Ok(());
        }
        let first = mark - pipe.variables.len().min(mark);
        for ((_, variable), value) in self.variables.iter_mut().skip(first).zip(values) {
            *variable = value;
        }
        Ok(())
    }

    fn assign(&mut self, name: &str, value: Value) -> Outcome<()> {
        let known = self.variable(name)?.and_then(|at| self.variables.get_mut(at));
        let (_, variable) = known.ok_or(Fault::Failed("a variable is set that is not declared"))?;
        *variable = value;
        Ok(())
    }

    /// Finds the variable of a name that was declared last, and pays for every name that it is compared with.
    fn variable(&mut self, name: &str) -> Outcome<Option<usize>> {
        let found = self.variables.iter().rposition(|(known, _)| *known == name);
        let compared = self.variables.len() - found.unwrap_or_default();
        self.heap.pay_bytes(compared.saturating_mul(1 + name.len() / 8))?;
        Ok(found)
    }

    fn template(&mut self, dot: &Value, line: usize, name: &[u8], pipe: Option<&'a Pipe>) -> Outcome<()> {
        self.at(line, None);
        self.heap.pay_bytes(name.len())?;
        let nodes = self.definitions.get(name).ok_or(Fault::Failed("a template is called that is not defined"))?;
        let inner = match pipe {
            Some(pipe) => self.pipe(dot, pipe)?,
            None => Value::Nil,
        };
        let outer = std::mem::replace(&mut self.variables, vec![("$", inner.clone())]);
        self.list(&inner, nodes)?;
        self.variables = outer;
        Ok(())
    }

    fn at(&mut self, line: usize, function: Option<&'static str>) {
        self.line = line;
        self.function = function;
    }

    fn pipe(&mut self, dot: &Value, pipe: &'a Pipe) -> Outcome<Value> {
        let mut value = None;
        for command in &pipe.commands {
            self.heap.pay(STEP)?;
            value = Some(self.deeper(|run| run.command(dot, command, value))?.or_nil());
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            match pipe.is_assignment {
                true => self.assign(name, value.clone())?,
                false => self.variables.push((name, value.clone())),
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, command: &'a Command, piped: Option<Value>) -> Outcome<Value> {
        self.at(command.line, None);
        if let Operand::Function(function) = &command.first {
            return self.call(dot, function, command.line, &command.rest, piped);
        }
        if !command.rest.is_empty() || piped.is_some() {
            return Err(Fault::Failed("a value that is not a function has arguments"));
        }
        match &command.first {
            Operand::Nil => Err(Fault::Failed("`nil` is not a command")),
            first => self.operand(dot, first),
        }
    }

    /// Evaluates a word where any type will do.
    fn operand(&mut self, dot: &Value, operand: &'a Operand) -> Outcome<Value> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Nil => Ok(Value::Nil),
            Operand::Bool(value) => Ok(Value::Bool(*value)),
            Operand::Number(number) => constant(number),
            Operand::Text(text) => self.heap.text(text.clone()),
            Operand::Field(fields) => self.fields(dot.clone(), fields),
            Operand::Variable(name, fields) => {
                let known = self.variable(name)?.and_then(|at| self.variables.get(at));
                let value = known.map(|(_, value)| value.clone());
                let value = value.ok_or(Fault::Failed("a variable is not declared where it is used"))?;
                self.fields(value, fields)
            }
            Operand::Function(function) => self.call(dot, function, self.line, &[], None),
            Operand::Pipe(pipe) => self.deeper(|run| run.pipe(dot, pipe)),
            Operand::Chain(operand, fields) => {
                let value = self.deeper(|run| run.operand(dot, operand))?;
                self.fields(value, fields)
            }
        }
    }

    fn fields(&mut self, mut value: Value, fields: &[String]) -> Outcome<Value> {
        for field in fields {
            self.heap.pay(STEP)?;
            self.heap.pay_bytes(field.len())?;
            value = match value {
                Value::Nil => Value::Nil,
                Value::Map(map) => match (self.heap.get(map, field.as_bytes()), map.kind) {
                    (Some(value), MapKind::Any) => value.into_item(),
                    (found, _) => found.unwrap_or(Value::Nil),
                },
                Value::Version(version) => functions::method(self.heap, &version, field)?,
                _ => return Err(Fault::Failed("a field is asked of a value that has none")),
            };
        }
        Ok(value)
    }

    fn call(
        &mut self,
        dot: &Value,
        function: &'static Function,
        line: usize,
        words: &'a [Operand],
        piped: Option<Value>,
    ) -> Outcome<Value> {
        self.at(line, Some(function.name));
        let count = words.len() + usize::from(piped.is_some());
        if count < function.fixed.len() || (count > function.fixed.len() && function.rest.is_none()) {
            return Err(Fault::Arguments);
        }
        if let Special::And | Special::Or = function.special {
            return self.and_or(dot, function, words, piped);
        }
        let mut arguments = Vec::with_capacity(count);
        for (position, word) in words.iter().enumerate() {
            let value = self.argument(dot, word, function.param(position))?;
            self.at(line, Some(function.name));
            arguments.push(typed(value, function.param(position))?);
        }
        if let Some(value) = piped {
            arguments.push(typed(value, function.param(words.len()))?);
        }
        self.heap.pay(STEP)?;
        // What a function does with the bytes of its texts is paid for here, once: most read each of them a few times.
        let texts = arguments.iter().map(|value| if let Value::Text(text) = value { text.bytes().len() } else { 0 });
        self.heap.pay_bytes(texts.fold(0, usize::saturating_add))?;
        let value = (function.body)(self.heap, &arguments)?;
        self.at(line, None);
        Ok(value)
    }

    /// Evaluates arguments only as long as they don't decide.
    fn and_or(
        &mut self,
        dot: &Value,
        function: &'static Function,
        words: &'a [Operand],
        piped: Option<Value>,
    ) -> Outcome<Value> {
        let stops_at = function.special == Special::Or;
        let mut value = Value::Nil;
        for word in words {
            value = self.argument(dot, word, Param::Any)?;
            if value.is_true(self.heap) == stops_at {
                return Ok(value);
            }
        }
        Ok(piped.unwrap_or(value))
    }

    /// Evaluates an argument. A number becomes what the parameter wants; whether anything else fits is for the caller.
    fn argument(&mut self, dot: &Value, word: &'a Operand, param: Param) -> Outcome<Value> {
        self.heap.pay(ARGUMENT)?;
        match (word, param) {
            (Operand::Number(number), Param::Int) => {
                number.int.map(Value::Int).ok_or(Fault::Type { expected: "an integer" })
            }
            (Operand::Number(number), Param::Float) => Ok(Value::Float(number.float)),
            _ => self.deeper(|run| run.operand(dot, word)),
        }
    }
}

/// What a number is where no type is asked for.
fn constant(number: &Number) -> Outcome<Value> {
    match (number.is_float, number.int) {
        (false, Some(int)) => Ok(Value::Int(int)),
        _ => Ok(Value::Float(number.float)),
    }
}

/// Checks that a value has exactly the type of a parameter, as Go does: an `int64` is no `int`.
fn typed(value: Value, param: Param) -> Outcome<Value> {
    let fits = match (&value, param) {
        (_, Param::Any) => true,
        (Value::Text(_), Param::Text) | (Value::Int(_), Param::Int) => true,
        (Value::Bool(_), Param::Bool) | (Value::Float(_), Param::Float) => true,
        (Value::Map(map), Param::Map) => map.kind == MapKind::Any,
        (Value::Nil | Value::NilItem, Param::Map) => true,
        _ => false,
    };
    if fits { Ok(value) } else { Err(Fault::Type { expected: param.name() }) }
}

/// The rounds of a `range`.
struct Each {
    over: Value,
    at: usize,
    entries: Option<Vec<(Text, Value)>>,
    /// Whether an integer may be counted to: only with one variable at most.
    counts: bool,
}

impl Each {
    /// Returns the next index and item.
    fn next(&mut self, heap: &mut Heap) -> Outcome<Option<(Value, Value)>> {
        let at = self.at;
        self.at += 1;
        let index = Value::Int(i64::try_from(at).unwrap_or(i64::MAX));
        let end = |end: i64| self.counts.then_some(end).ok_or(Fault::Failed("a number is counted with two variables"));
        match &self.over {
            Value::Nil | Value::NilItem => Ok(None),
            Value::List(list) => Ok(heap.items(*list).get(at).map(|item| (index, item.clone().into_item()))),
            Value::Map(map) => {
                let entries = match &mut self.entries {
                    Some(entries) => entries,
                    none => none.insert(heap.snapshot(*map)?),
                };
                let entry = entries.get(at).cloned();
                Ok(entry.map(|(key, value)| (Value::Text(key), value.into_item())))
            }
            Value::Int(value) => Ok((as_i64(at) < end(*value)?).then(|| (Value::Nil, index))),
            Value::Int64(value) => Ok((as_i64(at) < end(*value)?).then(|| (Value::Nil, Value::Int64(as_i64(at))))),
            Value::Uint64(value) => {
                let last = end(i64::try_from(*value).unwrap_or(i64::MAX))?;
                Ok((as_i64(at) < last).then(|| (Value::Nil, Value::Uint64(at as u64))))
            }
            Value::Byte(value) => {
                let byte = u8::try_from(at).unwrap_or(u8::MAX);
                Ok((as_i64(at) < end(i64::from(*value))?).then(|| (Value::Nil, Value::Byte(byte))))
            }
            _ => Err(Fault::Failed("`range` can't go over a string, a float or a boolean")),
        }
    }
}

fn as_i64(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}
