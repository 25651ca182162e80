//! Which sealed items need which key.

use serde::Serialize;
use serde_json::Value;
use waxwing_formats::sealed_secret::{DeprecatedSealedSecret, PublicKey, SealedItem};
use waxwing_plan::diff::printable;

use super::finding::{Found, Origin};
use super::opener::{BLOB, Seen};
use super::{Closed, Opener, SealedSource, SealingError};

/// One item, and the key that it needs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Need {
    /// The file, from the root of its repository; nothing for one of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// Namespace and name of the SealedSecret.
    object: String,
    item: String,
    /// The fingerprint of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The name of its Secret, where the controller said it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key_name: Option<String>,
    /// Why no key opens it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) closed: Option<Closed>,
    /// What is sealed, if it is well-formed.
    #[serde(skip)]
    sealed: Option<SealedItem>,
}

/// What is needed, and what could not be looked into.
#[derive(Default)]
pub(crate) struct Needs {
    pub(crate) items: Vec<Need>,
    /// Each with its place and why.
    pub(crate) unread: Vec<String>,
}

impl Needs {
    /// Asks of every item which key opens it. Objects that name no namespace are taken to be in `namespace`.
    ///
    /// # Errors
    /// Fails when nobody answers; what is wrong with a single object is no failure.
    pub(crate) fn of(source: SealedSource, namespace: Option<&str>, opener: &Opener) -> Result<Self, SealingError> {
        let mut needs = Self { items: Vec::new(), unread: source.unread };
        for Found { origin, mut object } in source.found {
            super::fill_in_namespace(&mut object, namespace);
            let file = match origin {
                Origin::File(file) => Some(file),
                Origin::Cluster => None,
            };
            let name = name_of(&object);
            match opener.look(&object) {
                Ok(seen) => {
                    let sealed = |item: &str| sealed(&object, item);
                    needs.items.extend(seen.into_iter().map(|seen| {
                        let sealed = sealed(&seen.item);
                        Need::new(file.clone(), &name, seen, sealed)
                    }));
                }
                Err(error) if error.is_of_the_object() => {
                    let place = file.unwrap_or_else(|| "in the cluster".to_owned());
                    let (place, name) = (printable(&place), printable(&name));
                    needs.unread.push(format!("{place}, {name}: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(needs)
    }

    /// Returns the items that need a key, by its fingerprint.
    pub(crate) fn of_key<'n>(&'n self, key: &'n str) -> impl Iterator<Item = &'n Need> {
        self.items.iter().filter(move |need| need.key.as_deref() == Some(key))
    }

    /// Returns the items that some key fits, or may fit, of which it is not told which. What was sealed for another name or namespace is not
    /// among them.
    pub(crate) fn unclear(&self) -> impl Iterator<Item = &Need> {
        self.items.iter().filter(|need| {
            use Closed::{Damaged, NotTried, OtherScope};
            matches!(need.closed, Some(Damaged | OtherScope | NotTried))
        })
    }

    /// Returns the items that a key may have sealed for another name or namespace than stands there now: they don't open, other keys don't
    /// open them either, as `others` has it of the same items, and by its size the key may fit. What was sealed for another cluster can't be
    /// told from that.
    pub(crate) fn astray<'n>(&'n self, others: &'n Self, key: Option<&'n PublicKey>) -> impl Iterator<Item = &'n Need> {
        let is_elsewhere = |need: &Need| matches!(need.closed, Some(Closed::SealedElsewhere | Closed::NoKey));
        let may_fit =
            move |need: &Need| need.sealed.as_ref().is_none_or(|sealed| key.is_none_or(|key| sealed.may_be_for(key)));
        let both = self.items.iter().zip(&others.items);
        both.filter(move |(need, other)| is_elsewhere(need) && is_elsewhere(other) && may_fit(need))
            .map(|(need, _)| need)
    }
}

/// Returns what is sealed as an item, if it is well-formed.
fn sealed(object: &Value, item: &str) -> Option<SealedItem> {
    match item {
        BLOB => DeprecatedSealedSecret::parse(object).ok()?.item().ok(),
        item => SealedItem::parse(object.pointer("/spec/encryptedData")?.get(item)?.as_str()?).ok(),
    }
}

impl Need {
    fn new(file: Option<String>, object: &str, Seen { item, key, key_name }: Seen, sealed: Option<SealedItem>) -> Self {
        let (key, closed) = match key {
            Ok(key) => (Some(key), None),
            Err(closed) => (None, Some(closed)),
        };
        Self { file, object: object.to_owned(), item, key, key_name, closed, sealed }
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, object, item, closed, .. } = self;
        match file {
            Some(file) => write!(f, "{}: ", printable(file))?,
            None => f.write_str("in the cluster: ")?,
        }
        write!(f, "{}, {}", printable(object), printable(item))?;
        closed.map_or(Ok(()), |closed| write!(f, ": {closed}"))
    }
}

fn name_of(object: &Value) -> String {
    let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or_default();
    match text("/metadata/namespace") {
        "" => text("/metadata/name").to_owned(),
        namespace => format!("{namespace}/{}", text("/metadata/name")),
    }
}
