//! `spec.template.data` of a SealedSecret: further keys of its Secret, made from the sealed ones by Go templates.
//!
//! As the `unseal` of upstream's `sealedsecret_expansion.go` since 0.37: a template sees the sealed values and, unrendered,
//! the texts beside it; of two with one name it sees the sealed one, which is also the one that ends in the Secret. Null
//! leaves a sealed value out of the Secret. Every template is run, and one that fails fails the whole Secret.

use std::collections::BTreeMap;
use std::fmt;

use crate::SecretBytes;
use crate::go_template::{Allowance, Fault, GoTemplate, TemplateError, Values};

/// What a Secret may hold, in bytes.
const MAX_SECRET: usize = 1 << 20;

/// The templates of one SealedSecret, parsed. All of it is public: it stands in Git.
#[derive(Clone, Debug, Default)]
pub struct TemplateData(BTreeMap<String, Option<Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    text: String,
    template: GoTemplate,
}

impl TemplateData {
    /// Parses templates by their keys; null stands for leaving the sealed value out.
    ///
    /// # Errors
    /// Returns the first template that can't be parsed or uses what is refused.
    pub fn parse<'t>(texts: impl IntoIterator<Item = (&'t str, Option<&'t str>)>) -> Result<Self, ItemTemplateError> {
        let entry = |(key, text): (&'t str, Option<&'t str>)| {
            let Some(text) = text else { return Ok((key.to_owned(), None)) };
            let template = GoTemplate::parse(key, text);
            let template = template.map_err(|source| ItemTemplateError { item: key.to_owned(), source })?;
            Ok((key.to_owned(), Some(Entry { text: text.to_owned(), template })))
        };
        texts.into_iter().map(entry).collect::<Result<_, _>>().map(Self)
    }

    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the keys that have a template, with its text.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(key, entry)| Some((key.as_str(), entry.as_ref()?.text.as_str())))
    }

    /// Tells whether a sealed value is left out of the Secret: null stands under its key.
    pub fn removes(&self, key: &str) -> bool {
        matches!(self.0.get(key), Some(None))
    }

    /// Runs all templates over the opened values of all sealed items, and returns what they make, apart from what would
    /// take the place of a sealed value.
    ///
    /// # Errors
    /// Returns every template that fails, by its key.
    pub fn render<'v>(
        &self,
        opened: impl Iterator<Item = (&'v str, &'v SecretBytes)>,
    ) -> Result<BTreeMap<String, SecretBytes>, Vec<ItemTemplateError>> {
        if self.texts().next().is_none() {
            return Ok(BTreeMap::new());
        }
        let opened: BTreeMap<&str, &SecretBytes> = opened.collect();
        let siblings = self.texts().map(|(key, text)| (key, text.as_bytes()));
        // Of two with one name the later counts: the sealed one.
        let values = Values::new(siblings.chain(opened.iter().map(|(key, value)| (*key, value.expose_secret()))));
        let (mut allowance, mut made, mut errors, mut size) = (Allowance::default(), BTreeMap::new(), Vec::new(), 0);
        let entries = self.0.iter().filter_map(|(key, entry)| Some((key, entry.as_ref()?)));
        for (key, entry) in entries {
            let rendered = entry.template.render(&values, &mut allowance).and_then(|text| within(text, &mut size));
            match rendered {
                Ok(text) if !opened.contains_key(key.as_str()) => drop(made.insert(key.clone(), text)),
                Ok(_) => {}
                Err(source) => errors.push(ItemTemplateError { item: key.clone(), source }),
            }
        }
        if errors.is_empty() { Ok(made) } else { Err(errors) }
    }
}

/// Adds a text to the size of all, if that is still within a Secret.
fn within(text: SecretBytes, size: &mut usize) -> Result<SecretBytes, TemplateError> {
    *size += text.len();
    match *size <= MAX_SECRET {
        true => Ok(text),
        false => {
            Err(TemplateError { line: 1, function: None, fault: Fault::Limit("1 MiB of output of all templates") })
        }
    }
}

/// Why a template was refused or failed, and which. None of it comes from a value or from the template's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemTemplateError {
    /// The key under `spec.template.data`.
    pub item: String,
    /// What is wrong.
    pub source: TemplateError,
}

impl fmt::Display for ItemTemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the template of `{}`, {}", self.item, self.source)
    }
}

impl std::error::Error for ItemTemplateError {}
