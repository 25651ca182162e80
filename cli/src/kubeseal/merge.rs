//! Putting newly sealed values into a SealedSecret file, which is replaced as a whole.
//!
//! Otherwise than with kubeseal the new values get the scope of the file, since with another one they would never open, and a
//! file without labels or annotations in its template is no trouble.

use std::path::Path;

use serde_json::{Map, Value};
use waxwing_formats::go_object::{GoType, Reading};
use waxwing_formats::sealed_secret::Scope;

use super::args::KubesealArgs;
use super::fault::Fault;
use super::objects::{Input, Object};
use super::seal::{Job, key};
use super::target::Target;

/// Seals the Secrets of the input into the file at `path`.
pub(super) fn run(args: &KubesealArgs, path: &Path) -> Result<(), Fault> {
    let key = key(args)?;
    let mut file = file(path)?;
    let (name, namespace) = (text(&file, "/metadata/name"), text(&file, "/metadata/namespace"));
    let of_file = scope(&file);
    let chosen = args.sealing.scope.map(|chosen| chosen.0);
    let mut job = Job::new(&args.sealing, &args.cluster, &key);
    job.name = Some(name.as_str()).filter(|name| !name.is_empty());
    job.namespace = Some(namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let secrets = Input::of(&args.files)?.secrets()?;
    let asked = |secret: &Object| chosen.or(Some(scope(&secret.value)).filter(|scope| *scope != Scope::Strict));
    if let Some(other) = secrets.iter().filter_map(asked).find(|scope| *scope != of_file) {
        let (file_scope, scope) = (of_file.to_string(), other.to_string());
        return Err(Fault::OtherScope { path: path.to_owned(), file_scope, scope });
    }
    // The file says its scope by itself; only the label of the new values follows from it.
    let is_inherited = secrets.iter().all(|secret| asked(secret).is_none());
    job.scope = Some(of_file).filter(|scope| *scope != Scope::Strict);
    for mut sealed in job.seal(secrets)? {
        if is_inherited {
            forget_scope(&mut sealed);
        }
        merge(&mut file, &sealed);
    }
    let file = GoType::SealedSecret.read(file, Reading::Json);
    let file = file.map_err(|source_| Fault::Shape { place: path.display().to_string(), source_ })?;
    Target::new(None, &args.files.format).over(path, &[file])
}

fn file(path: &Path) -> Result<Value, Fault> {
    let mut objects = Input::file(path)?.sealed_secrets(Reading::Json)?.into_iter();
    match (objects.next(), objects.next()) {
        (Some(object), None) => Ok(object.value),
        _ => Err(Fault::SeveralDocuments { path: path.to_owned() }),
    }
}

fn scope(object: &Value) -> Scope {
    let annotations = object.pointer("/metadata/annotations").and_then(Value::as_object);
    annotations.map(Scope::from_annotations).unwrap_or_default()
}

fn text(object: &Value, pointer: &str) -> String {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Takes the scope's annotation out of the template, as if the Secret had been sealed without one.
fn forget_scope(sealed: &mut Value) {
    if let Some(Value::Object(annotations)) = sealed.pointer_mut("/spec/template/metadata/annotations") {
        annotations.retain(|name, _| !Scope::ANNOTATIONS.contains(&name.as_str()));
    }
}

/// Copies values, and labels and annotations of the template, over those of the file.
fn merge(file: &mut Value, update: &Value) {
    for path in [
        ["spec", "encryptedData"].as_slice(),
        &["spec", "template", "metadata", "annotations"],
        &["spec", "template", "metadata", "labels"],
    ] {
        let new = path.iter().try_fold(update, |place, key| place.get(key)).and_then(Value::as_object);
        if let Some(new) = new {
            put(file, path, new);
        }
    }
}

/// Puts entries into the mapping at a path, which is made where it is missing.
fn put(place: &mut Value, path: &[&str], entries: &Map<String, Value>) {
    if !place.is_object() {
        *place = Value::Object(Map::new());
    }
    let Value::Object(map) = place else { return };
    match path {
        [] => map.extend(entries.clone()),
        [first, rest @ ..] => put(map.entry(*first).or_insert(Value::Null), rest, entries),
    }
}
