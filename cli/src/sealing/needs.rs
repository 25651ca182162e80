//! Which sealed items need which key.

use serde::Serialize;
use serde_json::Value;

use super::finding::{Found, Origin};
use super::opener::Seen;
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
                Ok(seen) => needs.items.extend(seen.into_iter().map(|seen| Need::new(file.clone(), &name, seen))),
                Err(error) if error.is_of_the_object() => {
                    let place = file.unwrap_or_else(|| "in the cluster".to_owned());
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
    /// among them: it can't be told from what was sealed for another cluster.
    pub(crate) fn unclear(&self) -> impl Iterator<Item = &Need> {
        self.items.iter().filter(|need| {
            use Closed::{Damaged, NotTried, OtherScope};
            matches!(need.closed, Some(Damaged | OtherScope | NotTried))
        })
    }
}

impl Need {
    fn new(file: Option<String>, object: &str, Seen { item, key, key_name }: Seen) -> Self {
        let (key, closed) = match key {
            Ok(key) => (Some(key), None),
            Err(closed) => (None, Some(closed)),
        };
        Self { file, object: object.to_owned(), item, key, key_name, closed }
    }
}

impl std::fmt::Display for Need {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { file, object, item, closed, .. } = self;
        match file {
            Some(file) => write!(f, "{file}: ")?,
            None => f.write_str("in the cluster: ")?,
        }
        write!(f, "{object}, {item}")?;
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
