//! The `sops` block: who can open the file, which values are sealed, and the message authentication code.
//!
//! Source: sops 3.13.3, `stores/stores.go` and `stores/metadata.go`. Unknown fields are ignored, as there, and not written
//! again. Nothing in the block is authenticated by itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::error::SopsError;
use super::rules::{Rule, RuleKind};
use super::seal::{Terms, is_threshold};
use super::token::Token;
use crate::WrappedKey;
use crate::yaml::time::Time;

/// The metadata of a file.
#[derive(Clone)]
pub(crate) struct Metadata {
    pub(crate) terms: Terms,
    pub(crate) last_modified: Time,
    /// Nothing if the file has no MAC; such a file opens for nobody.
    pub(crate) mac: Option<Token>,
}

/// Who can open a group, with the data key or the share of it that was wrapped for them.
#[derive(Clone)]
pub struct Recipient {
    pub(crate) wrapped: WrappedKey,
    /// When it was wrapped. age recipients have no time.
    pub(crate) created_at: Option<Time>,
}

/// The most key groups that Shamir sharing over a byte can tell apart.
const MAX_GROUPS: usize = 255;
/// The most recipients in a file.
const MAX_RECIPIENTS: usize = 1000;

impl Metadata {
    /// Reads the block from its JSON form.
    pub(crate) fn parse(block: &Map<String, Value>) -> Result<Self, SopsError> {
        let fields = Fields { map: block, prefix: "sops", is_draft: false };
        let terms = Terms::read(&fields)?;
        let last_modified = fields.time("lastmodified")?.ok_or_else(|| fields.refuse("lastmodified", "is missing"))?;
        Ok(Self { terms, last_modified, mac: mac(&fields)? })
    }

    /// Returns how many groups must be opened.
    pub(crate) fn threshold(&self) -> usize {
        match (self.terms.groups.len(), self.terms.shamir_threshold) {
            (1, _) => 1,
            (groups, 0) => groups,
            (_, threshold) => threshold,
        }
    }

    /// Returns the block as sops writes it: the fields of each mapping in the order of their names, and none that is empty.
    pub(crate) fn block(&self) -> Map<String, Value> {
        let Terms { groups, shamir_threshold, rule, mac_only_encrypted, version } = &self.terms;
        let mut fields = match groups.as_slice() {
            [group] => written(group),
            groups => BTreeMap::from([("key_groups", groups.iter().map(|group| written_in_groups(group)).collect())]),
        };
        if *shamir_threshold > 0 {
            fields.insert("shamir_threshold", (*shamir_threshold).into());
        }
        if *mac_only_encrypted {
            fields.insert("mac_only_encrypted", true.into());
        }
        if let Some(rule) = rule {
            fields.insert(rule.kind().field(), rule.text().into());
        }
        fields.insert("lastmodified", self.last_modified.to_seconds().into());
        fields.insert("mac", self.mac.as_ref().map_or("", |mac| &mac.text).into());
        fields.insert("version", version.as_deref().unwrap_or_default().into());
        sorted(fields)
    }
}

impl Terms {
    /// Reads what a user wrote into a block: who has no wrapped key yet gets an empty one, and the code and the time are not looked
    /// at.
    pub(crate) fn draft(block: &Map<String, Value>) -> Result<Self, SopsError> {
        Self::read(&Fields { map: block, prefix: "sops", is_draft: true })
    }

    fn read(fields: &Fields<'_>) -> Result<Self, SopsError> {
        let groups = groups(fields)?;
        let shamir_threshold = shamir_threshold(fields, groups.len())?;
        Ok(Self {
            groups,
            shamir_threshold,
            mac_only_encrypted: fields.boolean("mac_only_encrypted")?,
            rule: Some(rule(fields)?),
            version: fields.version()?,
        })
    }
}

fn sorted(fields: BTreeMap<&str, Value>) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns the lists of a group's recipients.
fn written(group: &[Recipient]) -> BTreeMap<&'static str, Value> {
    let mut lists: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for recipient in group {
        if let Some((list, fields)) = recipient.written() {
            lists.entry(list).or_default().push(sorted(fields).into());
        }
    }
    lists.into_iter().map(|(list, recipients)| (list, recipients.into())).collect()
}

/// Within a list of groups, sops writes two of the lists even if they are empty.
fn written_in_groups(group: &[Recipient]) -> Value {
    let mut lists = written(group);
    for list in ["age", "hc_vault"] {
        lists.entry(list).or_insert_with(|| json!([]));
    }
    sorted(lists).into()
}

impl Recipient {
    /// Returns the list that the recipient stands in, and its fields.
    fn written(&self) -> Option<(&'static str, BTreeMap<&'static str, Value>)> {
        let (list, mut fields) = match &self.wrapped {
            WrappedKey::Age { recipient, enc } => {
                return Some(("age", texts([("recipient", recipient), ("enc", enc)])));
            }
            WrappedKey::Pgp { fingerprint, enc } => ("pgp", texts([("fp", fingerprint), ("enc", enc)])),
            WrappedKey::AwsKms { arn, role, context, profile, enc } => {
                let mut fields = texts([("arn", arn), ("enc", enc), ("aws_profile", profile)]);
                fields.extend(role.as_ref().map(|role| ("role", role.as_str().into())));
                fields.extend((!context.is_empty()).then(|| ("context", json!(context))));
                ("kms", fields)
            }
            WrappedKey::GcpKms { resource_id, enc } => ("gcp_kms", texts([("resource_id", resource_id), ("enc", enc)])),
            WrappedKey::AzureKeyVault { vault_url, name, version, enc } => {
                ("azure_kv", texts([("vault_url", vault_url), ("name", name), ("version", version), ("enc", enc)]))
            }
            WrappedKey::VaultTransit { address, engine_path, key_name, enc } => (
                "hc_vault",
                texts([("vault_address", address), ("engine_path", engine_path), ("key_name", key_name), ("enc", enc)]),
            ),
            WrappedKey::HuaweiKms { key_id, enc } => ("hckms", texts([("key_id", key_id), ("enc", enc)])),
            WrappedKey::SealedItem { .. } => return None,
        };
        fields.extend(self.created_at.map(|time| ("created_at", time.to_seconds().into())));
        Some((list, fields))
    }
}

fn texts<const N: usize>(fields: [(&'static str, &String); N]) -> BTreeMap<&'static str, Value> {
    fields.into_iter().map(|(name, text)| (name, text.as_str().into())).collect()
}

/// A mapping of the metadata, read with sops' field names.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    prefix: &'a str,
    /// Whether recipients may have no wrapped key yet.
    is_draft: bool,
}

impl Fields<'_> {
    fn refuse(&self, field: &str, fault: &'static str) -> SopsError {
        SopsError::Metadata { field: format!("{}.{field}", self.prefix), fault }
    }

    /// Returns a text; missing, null and empty are nothing.
    fn text(&self, field: &str) -> Result<Option<&str>, SopsError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(self.refuse(field, "is not text")),
        }
    }

    /// Returns the version of sops. Those of sops 1 have two parts and were not always quoted, and then are a number.
    fn version(&self) -> Result<Option<String>, SopsError> {
        match self.map.get("version").and_then(Value::as_f64) {
            Some(number) if (1.0..2.0).contains(&number) => Ok(Some(format!("{number:?}"))),
            _ => Ok(self.text("version")?.map(str::to_owned)),
        }
    }

    fn required(&self, field: &str) -> Result<String, SopsError> {
        self.text(field)?.map(str::to_owned).ok_or_else(|| self.refuse(field, "is missing"))
    }

    /// Returns a wrapped key.
    fn enc(&self) -> Result<String, SopsError> {
        match self.is_draft {
            true => Ok(self.text("enc")?.unwrap_or_default().to_owned()),
            false => self.required("enc"),
        }
    }

    /// Returns a time; missing is nothing.
    fn time(&self, field: &str) -> Result<Option<Time>, SopsError> {
        let read = |text| Time::from_rfc3339(text).ok_or_else(|| self.refuse(field, "is not an RFC 3339 time"));
        self.text(field)?.map(read).transpose()
    }

    fn boolean(&self, field: &str) -> Result<bool, SopsError> {
        match self.map.get(field) {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(Value::String(text)) => text.parse().map_err(|_| self.refuse(field, "is not true or false")),
            Some(_) => Err(self.refuse(field, "is not true or false")),
        }
    }

    fn count(&self, field: &str) -> Result<usize, SopsError> {
        let count = match self.map.get(field) {
            None | Some(Value::Null) => return Ok(0),
            Some(Value::Number(number)) => number.as_u64().and_then(|count| usize::try_from(count).ok()),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        count.filter(|count| *count <= MAX_GROUPS).ok_or_else(|| self.refuse(field, "is not a number from 0 to 255"))
    }

    fn list(&self, field: &str) -> Result<Vec<&Map<String, Value>>, SopsError> {
        let items = match self.map.get(field) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(self.refuse(field, "is not a list")),
        };
        let map = |item: &'_ Value| item.as_object().is_some();
        if !items.iter().all(map) {
            return Err(self.refuse(field, "has an item that is not a mapping"));
        }
        Ok(items.iter().filter_map(Value::as_object).collect())
    }
}

fn groups(fields: &Fields<'_>) -> Result<Vec<Vec<Recipient>>, SopsError> {
    let flat = group(fields)?;
    let groups = if flat.is_empty() {
        let nested = fields.list("key_groups")?;
        let below = |map| Fields { map, prefix: "sops.key_groups", ..*fields };
        nested.into_iter().map(|map| group(&below(map))).collect::<Result<_, _>>()?
    } else {
        vec![flat]
    };
    if groups.iter().all(Vec::is_empty) {
        return Err(fields.refuse("key_groups", "is missing, and so is every list of recipients"));
    }
    if groups.len() > MAX_GROUPS || groups.iter().map(Vec::len).sum::<usize>() > MAX_RECIPIENTS {
        return Err(fields.refuse("key_groups", "has too many recipients"));
    }
    Ok(groups)
}

type KeyReader = fn(&Fields<'_>) -> Result<WrappedKey, SopsError>;

/// Reads the keys of one group, age and PGP first: they need no network.
fn group(fields: &Fields<'_>) -> Result<Vec<Recipient>, SopsError> {
    let readers: [(&str, KeyReader); 7] = [
        ("age", age),
        ("pgp", pgp),
        ("kms", aws),
        ("gcp_kms", gcp),
        ("azure_kv", azure),
        ("hc_vault", vault),
        ("hckms", huawei),
    ];
    let mut keys = Vec::new();
    for (kind, read) in readers {
        let prefix = format!("{}.{kind}", fields.prefix);
        for map in fields.list(kind)? {
            let fields = Fields { map, prefix: &prefix, ..*fields };
            keys.push(Recipient { wrapped: read(&fields)?, created_at: fields.time("created_at")? });
        }
    }
    Ok(keys)
}

fn age(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::Age { recipient: fields.required("recipient")?, enc: fields.enc()? })
}

fn pgp(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::Pgp { fingerprint: fields.required("fp")?, enc: fields.enc()? })
}

fn aws(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::AwsKms {
        arn: fields.required("arn")?,
        role: fields.text("role")?.map(str::to_owned),
        context: context(fields)?,
        profile: fields.text("aws_profile")?.unwrap_or_default().to_owned(),
        enc: fields.enc()?,
    })
}

fn context(fields: &Fields<'_>) -> Result<BTreeMap<String, String>, SopsError> {
    let map = match fields.map.get("context") {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(fields.refuse("context", "is not a mapping")),
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    map.iter()
        .map(|(key, value)| text(value).map(|value| (key.clone(), value)))
        .collect::<Option<_>>()
        .ok_or_else(|| fields.refuse("context", "has a value that is not text"))
}

fn gcp(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::GcpKms { resource_id: fields.required("resource_id")?, enc: fields.enc()? })
}

fn azure(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::AzureKeyVault {
        vault_url: fields.required("vault_url")?,
        name: fields.required("name")?,
        version: fields.text("version")?.unwrap_or_default().to_owned(),
        enc: fields.enc()?,
    })
}

fn vault(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::VaultTransit {
        address: fields.required("vault_address")?,
        engine_path: fields.required("engine_path")?,
        key_name: fields.required("key_name")?,
        enc: fields.enc()?,
    })
}

fn huawei(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::HuaweiKms { key_id: fields.required("key_id")?, enc: fields.enc()? })
}

fn shamir_threshold(fields: &Fields<'_>, groups: usize) -> Result<usize, SopsError> {
    let threshold = fields.count("shamir_threshold")?;
    if !is_threshold(threshold, groups) {
        return Err(fields.refuse("shamir_threshold", "is below 2 or above the number of key groups"));
    }
    Ok(threshold)
}

fn mac(fields: &Fields<'_>) -> Result<Option<Token>, SopsError> {
    let token = fields.text("mac")?.map(Token::parse).transpose();
    token.map_err(|_| fields.refuse("mac", "is not a well-formed token"))
}

fn rule(fields: &Fields<'_>) -> Result<Rule, SopsError> {
    let mut found = None;
    for kind in RuleKind::ALL {
        let Some(text) = fields.text(kind.field())? else {
            continue;
        };
        let rule = Rule::new(kind, text).ok_or_else(|| fields.refuse(kind.field(), "is not a valid expression"))?;
        if found.replace(rule).is_some() {
            let fault = "has more than one rule about what is sealed";
            return Err(SopsError::Metadata { field: fields.prefix.to_owned(), fault });
        }
    }
    Ok(found.unwrap_or_else(Rule::usual))
}
