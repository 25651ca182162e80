//! Go's `text/template` with the functions of Sprig, as far as templates of Secrets need them.
//!
//! Written after the behaviour of Go 1.26 and of Sprig 3.3 and compared with them (`tests/template_oracle.rs`). It differs
//! from a port in what it must not do: nothing is read from outside (no clock, no randomness, no environment), every text
//! that it makes is wiped, size, depth and work are bounded, and an error holds nothing of a value or of the template.
//!
//! A text is wiped when nothing refers to it any more. A buffer that a text is made in is freed as it is, and so is what a library
//! keeps while it works, also where a function fails half-way: whoever runs templates has an allocator that wipes what is freed, as
//! both binaries have (`every_binary_that_opens_secrets_wipes_what_it_frees`). What is left on the stack, as the last block of a
//! checksum, is for the caller to wipe.
//!
//! Not here: which values a template sees and where its output goes (`sealed_secret/template.rs`).

mod constraint;
mod error;
mod expression;
mod floats;
mod functions;
mod go_regex;
mod lex;
mod literal;
mod parse;
mod print;
mod printf;
mod run;
mod runes;
mod tree;
mod value;
mod version;

use std::collections::BTreeMap;

use crate::SecretBytes;

pub use error::{Fault, TemplateError};
pub use functions::{REFUSED, Signature, signatures};

use parse::Definitions;
use run::Run;
use value::{Heap, MapKind, Text, Value, WORK};

/// The longest template in bytes: as much as a Secret may hold.
const MAX_TEXT: usize = 1 << 20;

/// A parsed template. It is public: what it holds stands in Git.
#[derive(Clone, Debug)]
pub struct GoTemplate {
    name: Vec<u8>,
    definitions: Definitions,
}

impl GoTemplate {
    /// Parses a template. It can call itself by its `name`.
    ///
    /// # Errors
    /// Refuses what Go's parser refuses, functions that are refused by name, more than 1 MiB, and more than 50 actions and
    /// parentheses in each other.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEXT {
            let fault = Fault::Limit("1 MiB of text");
            return Err(TemplateError { line: 1, function: None, fault });
        }
        let name = name.as_bytes().to_vec();
        Ok(Self { definitions: parse::parse(&name, text)?, name })
    }

    /// Runs the template over values, which are the fields of its dot.
    ///
    /// # Errors
    /// Fails where Go's engine fails, and when the run exceeds a limit: 1 MiB of output, 150 nested calls, and what is left
    /// of the allowance.
    pub fn render(&self, values: &Values, allowance: &mut Allowance) -> Result<SecretBytes, TemplateError> {
        let mut heap = Heap::new(allowance.0);
        let dot = heap.map(MapKind::Texts, values.0.clone());
        let dot = dot.map_err(|fault| TemplateError { line: 1, function: None, fault })?;
        let done = Run::new(&self.definitions, &mut heap).execute(&self.name, dot);
        allowance.0 = heap.left();
        done
    }
}

/// What the templates of one Secret may do together, in time and memory: about as much as reading 64 MiB.
#[derive(Debug)]
pub struct Allowance(u64);

impl Default for Allowance {
    fn default() -> Self {
        Self(WORK)
    }
}

/// The values that templates see, kept once for all of them and wiped when dropped.
pub struct Values(BTreeMap<Text, Value>);

impl Values {
    /// Copies values by their names; of two with one name the later stays.
    pub fn new<'v>(values: impl Iterator<Item = (&'v str, &'v [u8])>) -> Self {
        let text = |bytes: &[u8]| Text::new(bytes.to_vec());
        Self(values.map(|(name, value)| (text(name.as_bytes()), Value::Text(text(value)))).collect())
    }
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Values([REDACTED])")
    }
}
