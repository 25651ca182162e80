//! Opening SealedSecrets without a cluster, with private keys from a backup.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use waxwing_formats::go_object::{GoType, Printable, Reading};
use waxwing_formats::sealed_secret::{ItemError, SealedItem, TemplateData};
use waxwing_formats::{RequestId, SecretBytes};
use waxwing_keys::UnsealingKey;

use super::args::KubesealArgs;
use super::fault::Fault;
use super::keys;
use super::objects::{Input, Object};
use super::target::Target;
use crate::sealing::Binding;

/// Opens the SealedSecrets of the input and prints the Secrets.
pub(super) fn run(args: &KubesealArgs, target: &Target) -> Result<(), Fault> {
    let keys = keys::of(&args.modes.recovery_private_key)?;
    let sealed = Input::of(&args.files)?.sealed_secrets(Reading::Json)?;
    let opened: Result<Vec<_>, _> = sealed.iter().map(|object| Opened::of(object, &keys)).collect();
    let opened = opened?;
    let printed: Vec<_> = opened.iter().map(Opened::printable).collect();
    target.secrets(&printed)
}

/// A Secret with its values.
struct Opened {
    /// All but the values.
    object: Value,
    data: BTreeMap<String, SecretBytes>,
}

impl Opened {
    fn of(object: &Object, keys: &[UnsealingKey]) -> Result<Self, Fault> {
        let Object { place, value, is_deprecated } = object;
        if *is_deprecated {
            return Err(Fault::OlderForm);
        }
        let template = value.pointer("/spec/template").unwrap_or(&Value::Null);
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata(value, template),
            "immutable": template.get("immutable"),
            "type": template.get("type"),
        });
        let object = GoType::Secret.read(secret, Reading::Json);
        let object = object.map_err(|source_| Fault::Shape { place: place.clone(), source_ })?;
        Ok(Self { object, data: data(value, template, keys)? })
    }

    /// Returns the fields in Go's order, in which only the type stands behind the values.
    fn printable(&self) -> Printable<'_> {
        let data = self.data.iter().map(|(key, value)| (key.as_str(), Printable::secret(value))).collect();
        let data = [("data", Printable::Map(data))].into_iter().filter(|_| !self.data.is_empty());
        let fields = self.object.as_object().into_iter().flatten();
        let fields = fields.map(|(key, value)| (key.as_str(), Printable::Value(value)));
        let (behind, before): (Vec<_>, Vec<_>) = fields.partition(|(key, _)| *key == "type");
        Printable::Map(before.into_iter().chain(data).chain(behind).collect())
    }
}

/// Takes the template's metadata with the object's own name and namespace, and with a reference back to the object.
fn metadata(object: &Value, template: &Value) -> Map<String, Value> {
    let own = |field: &str| object.pointer(&format!("/metadata/{field}")).cloned();
    let mut metadata = template.get("metadata").and_then(Value::as_object).cloned().unwrap_or_default();
    for field in ["name", "namespace"] {
        metadata.remove(field);
        metadata.extend(own(field).map(|value| (field.to_owned(), value)));
    }
    let annotation = metadata.get("annotations").and_then(|annotations| annotations.get(SKIP_OWNER));
    if annotation.and_then(Value::as_str) != Some("true") {
        metadata.insert("ownerReferences".to_owned(), json!([owner(object)]));
    }
    metadata
}

fn owner(object: &Value) -> Value {
    let text = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_else(|| Value::from(""));
    json!({
        "apiVersion": text("/apiVersion"),
        "kind": text("/kind"),
        "name": text("/metadata/name"),
        "uid": text("/metadata/uid"),
        "controller": true,
    })
}

fn data(object: &Value, template: &Value, keys: &[UnsealingKey]) -> Result<BTreeMap<String, SecretBytes>, Fault> {
    let binding = Binding::of(object);
    let (mut opened, mut closed) = (BTreeMap::new(), Closed::default());
    for (key, token) in object.pointer("/spec/encryptedData").and_then(Value::as_object).into_iter().flatten() {
        match open(token.as_str().unwrap_or_default(), &binding.own_label(), keys) {
            Ok(value) => drop(opened.insert(key.clone(), value)),
            Err(why) => closed.add(key, &why),
        }
    }
    if closed.is_empty() {
        render(template, &mut opened)?;
        return Ok(opened);
    }
    let hint = hint(&binding, object, keys);
    Err(Fault::Closed { text: closed.text(), hint })
}

/// Leaves out what the template's data says, and adds what its texts and templates make of the opened values.
fn render(template: &Value, opened: &mut BTreeMap<String, SecretBytes>) -> Result<(), Fault> {
    let texts = template.get("data").and_then(Value::as_object).into_iter().flatten();
    let data = TemplateData::parse(texts.map(|(key, text)| (key.as_str(), text.as_str())))
        .map_err(|error| Fault::Templates(vec![error]))?;
    let made = data.render(opened.iter().map(|(key, value)| (key.as_str(), value))).map_err(Fault::Templates)?;
    opened.retain(|key, _| !data.removes(key));
    opened.extend(made);
    Ok(())
}

/// Why an item does not open.
enum Why {
    Damaged(ItemError),
    NoKey,
}

fn open(token: &str, label: &[u8], keys: &[UnsealingKey]) -> Result<SecretBytes, Why> {
    let item = SealedItem::parse(token).map_err(Why::Damaged)?;
    let wrapped = item.request(RequestId(0), label.to_vec()).wrapped;
    keys.iter().find_map(|key| item.open(&key.unwrap(&wrapped)?).ok()).ok_or(Why::NoKey)
}

/// Finds out whether the items would open with another scope, and says what else may be wrong if they would not.
fn hint(binding: &Binding, object: &Value, keys: &[UnsealingKey]) -> Option<String> {
    if keys.is_empty() {
        return Some("pass the private keys with --recovery-private-key".to_owned());
    }
    let items = object.pointer("/spec/encryptedData").and_then(Value::as_object)?;
    let token = items.values().filter_map(Value::as_str).find(|token| SealedItem::parse(token).is_ok())?;
    if open(token, &binding.own_label(), keys).is_ok() {
        return Some("the other items open: seal those that are named again".to_owned());
    }
    let others = binding.other_scopes();
    let found = others.filter(|scope| open(token, &binding.label(*scope), keys).is_ok()).collect::<Vec<_>>();
    Some(match found.first().map(|scope| (scope, scope.annotation())) {
        Some((scope, Some(annotation))) => {
            format!("it was sealed with scope {scope}: give it the annotation {annotation}: \"true\"")
        }
        Some((_, None)) => "it was sealed with scope strict: take the annotation of its scope away".to_owned(),
        None => format!(
            "it was sealed with the certificate of another key than {}, or for another name or namespace",
            keys::names(keys)
        ),
    })
}

/// The items that do not open, in the form in which kubeseal lists them.
#[derive(Default)]
struct Closed(BTreeMap<String, Vec<String>>);

impl Closed {
    fn add(&mut self, key: &str, why: &Why) {
        let text = match why {
            Why::NoKey | Why::Damaged(ItemError::TooShort { .. }) => "no key could decrypt secret".to_owned(),
            Why::Damaged(error) => error.to_string(),
        };
        self.0.entry(text).or_default().push(key.to_owned());
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn text(&self) -> String {
        let causes = self.0.iter().map(|(text, keys)| format!("{text} ({})", keys.join(", ")));
        causes.collect::<Vec<_>>().join("; ")
    }
}

const SKIP_OWNER: &str = "sealedsecrets.bitnami.com/skip-set-owner-references";
