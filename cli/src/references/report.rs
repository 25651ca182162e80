//! Which references were found, as text and as JSON.

use std::fmt::Write;

use serde::Serialize;
use waxwing_formats::reference::{
    Content, Decode, Foreign, ForeignStores, Form, Need, Reference, ReferenceError, StoreName,
};

use super::check::{Backend, Refused};
use super::online::InStore;
use super::stores::Store;
use crate::verify::{Place, counted};

/// What was looked at and what was found.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// How many files were looked at.
    pub(super) files: usize,
    /// In the order of the files, and of the places in them.
    #[serde(rename = "references")]
    pub(super) found: Vec<Entry>,
    /// The files in which something may be that is not in the list.
    not_read: Vec<NotRead>,
    /// The backends that can't be used.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_usable: Vec<NotUsable>,
    /// The backends in the files.
    #[serde(skip)]
    pub(super) backends: Vec<Backend>,
    /// Where they lead.
    #[serde(skip)]
    pub(super) stores: Vec<Store>,
    /// Which references of other tools the Syncs in the files have read, by namespace.
    #[serde(skip)]
    pub(super) foreign: Vec<(Option<String>, ForeignStores)>,
}

/// A file that could not be looked into.
#[derive(Serialize)]
struct NotRead {
    #[serde(flatten)]
    place: Place,
    message: String,
}

/// A backend that can't be used.
#[derive(Serialize)]
struct NotUsable {
    #[serde(flatten)]
    place: Place,
    refused: Refused,
}

/// One reference.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) place: Place,
    /// The value is base64, and the reference stands in what that encodes.
    #[serde(rename = "base64")]
    pub(super) is_base64: bool,
    /// Where in the value it begins, in bytes from 0.
    pub(super) offset: usize,
    #[serde(flatten)]
    pub(super) what: What,
    /// Why it would not be resolved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Refused>,
    /// What the store has, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_store: Option<InStore>,
    /// What another tool takes for a reference.
    #[serde(skip)]
    pub(super) foreign: Option<Foreign>,
}

/// What it is.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub(super) enum What {
    /// A reference.
    Reference {
        reference: String,
        scheme: &'static str,
        store: String,
        path: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        decode: Option<&'static str>,
        pointer: Vec<String>,
    },
    /// What another tool takes for one.
    Foreign {
        tool: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        provider: Option<&'static str>,
        /// The reference that would take its place.
        #[serde(skip_serializing_if = "Option::is_none")]
        native: Option<String>,
        needs: Vec<String>,
    },
    /// A mistake.
    Malformed { error: &'static str, message: String, hint: &'static str },
}

impl What {
    /// Says what a piece of a text is, unless it is nothing but text.
    pub(super) fn of(content: Content) -> Option<Self> {
        Some(match content {
            Content::Text => return None,
            Content::Reference(reference) => Self::reference(&reference),
            Content::Malformed(error) => Self::malformed(error),
            Content::Foreign(foreign) => match &foreign.names {
                Some(Err(error)) => Self::malformed(*error),
                _ => Self::foreign(&foreign),
            },
        })
    }

    fn reference(reference: &Reference) -> Self {
        Self::Reference {
            reference: reference.to_string(),
            scheme: reference.kind.scheme(),
            store: reference.store.as_str().to_owned(),
            path: reference.path.segments().to_vec(),
            version: reference.version.as_ref().map(|version| version.as_str().to_owned()),
            decode: reference.decode.map(|Decode::Base64| "base64"),
            pointer: reference.pointer.keys().to_vec(),
        }
    }

    fn foreign(foreign: &Foreign) -> Self {
        let (tool, provider) = match foreign.form {
            Form::Vals(provider) => ("vals", Some(provider.scheme())),
            Form::ArgocdVaultPlugin => ("argocd-vault-plugin", None),
        };
        let store = provider.unwrap_or("vault");
        let native = store.parse::<StoreName>().ok().and_then(|store| foreign.native(&store));
        let backend = format!("a SecretBackend, here called {store}, says where the store is");
        let backend = foreign.names.is_some().then_some(backend);
        let needs = backend.into_iter().chain(foreign.needs.iter().map(Need::to_string)).collect();
        Self::Foreign { tool, provider, native: native.map(|native| native.to_string()), needs }
    }

    fn malformed(error: ReferenceError) -> Self {
        Self::Malformed { error: error.name(), message: error.to_string(), hint: error.hint() }
    }
}

impl Report {
    /// Notes that a file could not be looked into.
    pub(super) fn not_read(&mut self, place: Place, message: String) {
        self.not_read.push(NotRead { place, message });
    }

    /// Notes that a backend can't be used.
    pub(super) fn not_usable(&mut self, place: Place, refused: Refused) {
        self.not_usable.push(NotUsable { place, refused });
    }

    /// Takes references of other tools for what they are to Syncs of a namespace, or of any.
    pub(crate) fn with_foreign(mut self, namespace: Option<&str>) -> Self {
        let mut stores = ForeignStores::default();
        for (own, foreign) in std::mem::take(&mut self.foreign) {
            if own.as_deref().zip(namespace).is_none_or(|(own, wanted)| own == wanted) {
                stores.extend(foreign);
            }
        }
        for entry in &mut self.found {
            match entry.foreign.as_ref().and_then(|foreign| stores.read(foreign)) {
                Some(Ok(mapped)) => entry.what = What::reference(&mapped.reference),
                Some(Err(error)) => {
                    let message = error.to_string();
                    entry.what = What::Malformed { error: error.name(), message, hint: error.hint() };
                }
                None => {}
            }
        }
        self
    }

    /// Tells whether a reference is malformed, or would not be resolved.
    pub(crate) fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    fn errors(&self) -> usize {
        let refused = self.found.iter().filter(|entry| entry.refused.is_some()).count();
        self.count(|what| matches!(what, What::Malformed { .. })) + refused + self.not_usable.len()
    }

    fn count(&self, is_one: impl Fn(&What) -> bool) -> usize {
        self.found.iter().filter(|entry| is_one(&entry.what)).count()
    }

    /// Writes it for people: a line for each, and below it what is to be done.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.found.iter().for_each(|entry| entry.write(&mut text));
        for NotUsable { place, refused: Refused { error, message, hint } } in &self.not_usable {
            let _ = writeln!(text, "error: {place}: {message} ({error})\nhint: {hint}");
        }
        for NotRead { place, message } in &self.not_read {
            let _ = writeln!(text, "warning: {place}: the file was not looked into: {message}");
        }
        let counts = [
            counted(self.files, "file"),
            counted(self.count(|what| matches!(what, What::Reference { .. })), "reference"),
            format!("{} of other tools", self.count(|what| matches!(what, What::Foreign { .. }))),
            counted(self.errors(), "error"),
        ];
        text + &counts.join(", ") + "\n"
    }
}

impl Entry {
    fn write(&self, text: &mut String) {
        let place = format!("{}{}", self.place, if self.is_base64 { ", in base64" } else { "" });
        let _ = match &self.what {
            What::Reference { reference, .. } => match &self.refused {
                None => match &self.in_store {
                    None => writeln!(text, "{place}: {reference}"),
                    Some(InStore { version: Some(version) }) => {
                        writeln!(text, "{place}: {reference}: version {version} is in the store")
                    }
                    Some(InStore { version: None }) => writeln!(text, "{place}: {reference}: it is in the store"),
                },
                Some(Refused { error, message, hint }) => {
                    writeln!(text, "error: {place}: {reference}: {message} ({error})\nhint: {hint}")
                }
            },
            What::Foreign { tool, provider, native, needs } => {
                let provider = provider.map(|provider| format!(" ({provider})")).unwrap_or_default();
                let native = native.as_deref().unwrap_or("nothing");
                let _ = writeln!(text, "{place}: a reference of {tool}{provider}; here it would be {native}");
                needs.iter().try_for_each(|need| writeln!(text, "  {need}"))
            }
            What::Malformed { error, message, hint } => {
                writeln!(text, "error: {place}, byte {}: {message} ({error})\nhint: {hint}", self.offset)
            }
        };
    }
}
