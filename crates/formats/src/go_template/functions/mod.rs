//! The functions of templates: what Go and Sprig have, with their parameters' types, and what is refused by name.

mod builtin;
mod decimals;
mod defaults;
mod dicts;
mod encoding;
mod json;
mod lists;
mod merge;
mod numbers;
mod paths;
mod refused;
mod regex;
mod strings;
mod versions;

use super::error::Fault;
use super::value::{Heap, Map, Text, Value};

pub use refused::REFUSED;
pub(super) use versions::method;

/// A function with the types that it takes.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: &'static str,
    /// The parameters that it must get.
    pub(super) fixed: &'static [Param],
    /// The type of any number of further ones.
    pub(super) rest: Option<Param>,
    pub(super) special: Special,
    pub(super) body: Body,
}

/// What a function does with arguments of the types that it takes.
pub(super) type Body = fn(&mut Heap, &[Value]) -> Result<Value, Fault>;

/// Functions that the engine treats in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    No,
    And,
    Or,
}

/// The Go type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Param {
    /// `interface {}` or `reflect.Value`.
    Any,
    /// `string`.
    Text,
    /// `int`.
    Int,
    /// `float64`.
    Float,
    /// `bool`.
    Bool,
    /// `map[string]interface {}`.
    Map,
}

impl Param {
    fn go_type(self) -> &'static str {
        match self {
            Self::Any => "interface {}",
            Self::Text => "string",
            Self::Int => "int",
            Self::Float => "float64",
            Self::Bool => "bool",
            Self::Map => "map[string]interface {}",
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Text => "a string",
            Self::Int => "an int (not an int64, which the arithmetic functions give)",
            Self::Float => "a float64",
            Self::Bool => "a bool",
            Self::Map => "a dict",
        }
    }
}

impl Function {
    /// Makes a function with a fixed number of parameters.
    const fn new(name: &'static str, fixed: &'static [Param], body: Body) -> Self {
        Self { name, fixed, rest: None, special: Special::No, body }
    }

    /// Makes a function that takes any number of further arguments.
    const fn variadic(name: &'static str, fixed: &'static [Param], rest: Param, body: Body) -> Self {
        Self { name, fixed, rest: Some(rest), special: Special::No, body }
    }

    /// Returns the type of the parameter at a position.
    pub(super) fn param(&self, position: usize) -> Param {
        self.fixed.get(position).copied().or(self.rest).unwrap_or(Param::Any)
    }
}

const TABLES: [&[Function]; 13] = [
    builtin::ALL,
    decimals::ALL,
    defaults::ALL,
    dicts::ALL,
    encoding::ALL,
    json::ALL,
    lists::ALL,
    merge::ALL,
    numbers::ALL,
    paths::ALL,
    regex::ALL,
    strings::ALL,
    versions::ALL,
];

/// Finds a function; what is refused comes back with its name and the reason.
pub(super) fn find(name: &str) -> Result<&'static Function, Option<(&'static str, &'static str)>> {
    let known = TABLES.iter().copied().flatten().find(|function| function.name == name);
    known.ok_or_else(|| REFUSED.iter().find(|(refused, _)| *refused == name).copied())
}

/// A function that works, with the types of its parameters as Go names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The name.
    pub name: &'static str,
    /// The types of the parameters that it must get.
    pub fixed: Vec<&'static str>,
    /// The type of any number of further ones.
    pub rest: Option<&'static str>,
}

/// Returns all functions that work.
pub fn signatures() -> impl Iterator<Item = Signature> {
    TABLES.iter().copied().flatten().map(|function| Signature {
        name: function.name,
        fixed: function.fixed.iter().map(|param| param.go_type()).collect(),
        rest: function.rest.map(Param::go_type),
    })
}

/// Arguments by their position. The engine has checked their types, so a wrong one never gets here.
trait Arguments {
    fn any(&self, at: usize) -> Value;
    fn text(&self, at: usize) -> Result<&Text, Fault>;
    fn bytes(&self, at: usize) -> Result<&[u8], Fault>;
    fn int(&self, at: usize) -> Result<i64, Fault>;
    fn bool(&self, at: usize) -> Result<bool, Fault>;
    /// Returns a map, or nothing for Go's nil map.
    fn map(&self, at: usize) -> Result<Option<Map>, Fault>;
    fn from(&self, at: usize) -> &[Value];
}

impl Arguments for [Value] {
    fn any(&self, at: usize) -> Value {
        self.get(at).cloned().unwrap_or(Value::Nil).or_nil()
    }

    fn text(&self, at: usize) -> Result<&Text, Fault> {
        match self.get(at) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(Fault::Type { expected: Param::Text.name() }),
        }
    }

    fn bytes(&self, at: usize) -> Result<&[u8], Fault> {
        self.text(at).map(Text::bytes)
    }

    fn int(&self, at: usize) -> Result<i64, Fault> {
        match self.get(at) {
            Some(Value::Int(value)) => Ok(*value),
            _ => Err(Fault::Type { expected: Param::Int.name() }),
        }
    }

    fn bool(&self, at: usize) -> Result<bool, Fault> {
        match self.get(at) {
            Some(Value::Bool(value)) => Ok(*value),
            _ => Err(Fault::Type { expected: Param::Bool.name() }),
        }
    }

    fn map(&self, at: usize) -> Result<Option<Map>, Fault> {
        match self.get(at) {
            Some(Value::Map(map)) => Ok(Some(*map)),
            Some(value) if value.is_nil() => Ok(None),
            _ => Err(Fault::Type { expected: Param::Map.name() }),
        }
    }

    fn from(&self, at: usize) -> &[Value] {
        self.get(at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_function_has_one_name_and_either_works_or_is_refused() {
        let mut seen = BTreeSet::new();
        for name in signatures().map(|function| function.name).chain(REFUSED.iter().map(|(name, _)| *name)) {
            assert!(seen.insert(name), "{name} is there twice");
        }
    }
}
