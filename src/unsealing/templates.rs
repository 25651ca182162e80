//! Runs the templates of SealedSecrets over their opened items.
//!
//! Only for what is about to be sent, and after every item of the Secret has opened. What a template makes is a value like
//! any other from then on.

use std::collections::BTreeSet;

use waxwing_formats::SecretBytes;
use waxwing_formats::sealed_secret::ItemTemplateError;
use waxwing_plan::{Manifest, ObjectId};

use super::all_cores::{self, Worth};
use super::error::{OpenError, Place};
use super::sealed_items::{OpenItem, OpenItems};
use crate::render::{Rendered, SecretTemplates};

/// Adds what the templates of all Secrets in `sent` make to the opened items; all of those must be there.
pub(super) fn render(rendered: &Rendered, sent: &[&Manifest], items: &mut OpenItems) -> Vec<OpenError> {
    let templates = sent.iter().filter_map(|manifest| Some((&manifest.id, rendered.templates(&manifest.id)?)));
    let templates: Vec<(&ObjectId, &SecretTemplates)> = templates.collect();
    let made = all_cores::map(&templates, Worth::FewItems, |(id, templates)| make(rendered, id, templates, items));
    let mut errors = Vec::new();
    for made in made {
        match made {
            Ok(made) => items.extend(made),
            Err(more) => errors.extend(more),
        }
    }
    errors
}

fn make(
    rendered: &Rendered,
    id: &ObjectId,
    templates: &SecretTemplates,
    items: &OpenItems,
) -> Result<OpenItems, Vec<OpenError>> {
    let bound = rendered.sealed_bindings(id).map(|(item, _)| item);
    let opened: Vec<(&str, &OpenItem)> =
        bound.filter_map(|item| Some((item, items.get(&(id.clone(), item.to_owned()))?))).collect();
    let keys: BTreeSet<&str> = opened.iter().map(|(_, item)| item.key.as_str()).collect();
    let key = keys.into_iter().collect::<Vec<_>>().join(", ");
    let made = templates.data.render(opened.iter().map(|(name, item)| (*name, &item.value)));
    let named = |(item, value): (String, SecretBytes)| ((id.clone(), item), OpenItem { value, key: key.clone() });
    let refused = |source: ItemTemplateError| {
        let key_path = format!("/spec/template/data/{}", source.item.replace('~', "~0").replace('/', "~1"));
        let place = Place { file: templates.file.clone(), document: templates.document, key_path };
        OpenError::Template { place, source: source.source }
    };
    made.map(|made| made.into_iter().map(named).collect()).map_err(|errors| errors.into_iter().map(refused).collect())
}
