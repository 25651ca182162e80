//! Which paths of a store may be read: the list that whoever runs the cluster writes, compared with what a reference names.
//!
//! Compared segment by segment, decoded, never as a prefix: `*` stands for one whole segment and `{namespace}` for the tenant's
//! namespace. There is nothing that stands for several segments, so that what a pattern allows can be seen from it. The same manner
//! as for keys, in `crates/keys/src/services/allowed.rs`.

use std::fmt;
use std::str::FromStr;

use super::{PathPatternError, SecretPath};

/// The stand-in for the tenant's namespace.
const NAMESPACE: &str = "{namespace}";

/// A pattern for paths of secrets in one store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// Any one segment.
    Any,
    /// The namespace of the tenant.
    Namespace,
    /// This segment.
    Literal(String),
}

impl PathPattern {
    /// Tells whether a tenant in `namespace` may read this path. What the namespace is called never counts as a pattern.
    pub fn allows(&self, path: &SecretPath, namespace: &str) -> bool {
        let is_one = |(part, segment): (&Part, &String)| match part {
            Part::Any => true,
            Part::Namespace => segment == namespace,
            Part::Literal(literal) => segment == literal,
        };
        self.0.len() == path.segments().len() && self.0.iter().zip(path.segments()).all(is_one)
    }
}

impl FromStr for PathPattern {
    type Err = PathPatternError;

    /// Reads segments with slashes between them; nothing in them is decoded.
    ///
    /// # Errors
    /// Fails if a segment is none that a path has, or has a `*` or a brace that does not stand for the whole of it.
    fn from_str(pattern: &str) -> Result<Self, PathPatternError> {
        let refused = |why| PathPatternError { pattern: pattern.to_owned(), why };
        let part = |segment: &str| match segment {
            "*" => Ok(Part::Any),
            NAMESPACE => Ok(Part::Namespace),
            "" => Err(refused("a segment of it is empty")),
            "**" => Err(refused("nothing stands for several segments; write a pattern for each depth")),
            segment if segment.contains(['*', '{', '}']) => {
                Err(refused("* and {namespace} stand for whole segments only"))
            }
            segment if SecretPath::new([segment.to_owned()]).is_err() => {
                Err(refused("a segment of it is none that a path can have"))
            }
            literal => Ok(Part::Literal(literal.to_owned())),
        };
        pattern.split('/').map(part).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            f.write_str(if index > 0 { "/" } else { "" })?;
            f.write_str(match part {
                Part::Any => "*",
                Part::Namespace => NAMESPACE,
                Part::Literal(literal) => literal,
            })?;
        }
        Ok(())
    }
}
