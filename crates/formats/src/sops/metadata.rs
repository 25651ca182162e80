//! The `sops` block: who can open the file, which values are sealed, and the message authentication code.
//!
//! Source: sops 3.13.3, `stores/stores.go` and `stores/metadata.go`. Unknown fields are ignored, as there.
//! Nothing in the block is authenticated by itself.

use std::collections::BTreeMap;

use regex::bytes::Regex;
use serde_json::{Map, Value};

use super::error::SopsError;
use super::rules::{Rules, compile};
use super::token::Token;
use crate::WrappedKey;
use crate::yaml::time::Time;

/// The metadata of a file.
#[derive(Clone)]
pub(crate) struct Metadata {
    /// One group or more; any key of a group opens the group.
    pub(crate) groups: Vec<Vec<WrappedKey>>,
    /// How many groups must be opened if there is more than one.
    pub(crate) threshold: usize,
    pub(crate) last_modified: Time,
    /// Nothing if the file has no MAC; such a file opens for nobody.
    pub(crate) mac: Option<Token>,
    pub(crate) mac_only_encrypted: bool,
    pub(crate) rules: Rules,
}

/// The most key groups that Shamir sharing over a byte can tell apart.
const MAX_GROUPS: usize = 255;
/// The most recipients in a file.
const MAX_RECIPIENTS: usize = 1000;

impl Metadata {
    /// Reads the block from its JSON form.
    pub(crate) fn parse(block: &Map<String, Value>) -> Result<Self, SopsError> {
        let fields = Fields { map: block, prefix: "sops" };
        let groups = groups(&fields)?;
        let threshold = threshold(&fields, groups.len())?;
        fields.text("version")?;
        Ok(Self {
            threshold,
            groups,
            last_modified: last_modified(&fields)?,
            mac: mac(&fields)?,
            mac_only_encrypted: fields.boolean("mac_only_encrypted")?,
            rules: rules(&fields)?,
        })
    }
}

/// A mapping of the metadata, read with sops' field names.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    prefix: &'a str,
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

    fn required(&self, field: &str) -> Result<String, SopsError> {
        self.text(field)?.map(str::to_owned).ok_or_else(|| self.refuse(field, "is missing"))
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

fn groups(fields: &Fields<'_>) -> Result<Vec<Vec<WrappedKey>>, SopsError> {
    let flat = group(fields)?;
    let groups = if flat.is_empty() {
        let nested = fields.list("key_groups")?;
        nested.into_iter().map(|map| group(&Fields { map, prefix: "sops.key_groups" })).collect::<Result<_, _>>()?
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
fn group(fields: &Fields<'_>) -> Result<Vec<WrappedKey>, SopsError> {
    let readers: [(&str, KeyReader); 7] = [
        ("age", age),
        ("pgp", pgp),
        ("kms", aws),
        ("gcp_kms", gcp),
        ("azure_kv", azure),
        ("hc_vault", vault),
        ("hckms", |_| Ok(WrappedKey::Unknown { kind: "hckms".to_owned() })),
    ];
    let mut keys = Vec::new();
    for (kind, read) in readers {
        let prefix = format!("{}.{kind}", fields.prefix);
        for map in fields.list(kind)? {
            keys.push(read(&Fields { map, prefix: &prefix })?);
        }
    }
    Ok(keys)
}

fn age(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::Age { recipient: fields.required("recipient")?, enc: fields.required("enc")? })
}

fn pgp(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::Pgp { fingerprint: fields.required("fp")?, enc: fields.required("enc")? })
}

fn aws(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::AwsKms {
        arn: fields.required("arn")?,
        role: fields.text("role")?.map(str::to_owned),
        context: context(fields)?,
        enc: fields.required("enc")?,
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
    Ok(WrappedKey::GcpKms { resource_id: fields.required("resource_id")?, enc: fields.required("enc")? })
}

fn azure(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::AzureKeyVault {
        vault_url: fields.required("vault_url")?,
        name: fields.required("name")?,
        version: fields.text("version")?.unwrap_or_default().to_owned(),
        enc: fields.required("enc")?,
    })
}

fn vault(fields: &Fields<'_>) -> Result<WrappedKey, SopsError> {
    Ok(WrappedKey::VaultTransit {
        address: fields.required("vault_address")?,
        engine_path: fields.required("engine_path")?,
        key_name: fields.required("key_name")?,
        enc: fields.required("enc")?,
    })
}

/// A threshold of zero means all groups. With one group there is no sharing.
fn threshold(fields: &Fields<'_>, groups: usize) -> Result<usize, SopsError> {
    let threshold = match fields.count("shamir_threshold")? {
        _ if groups == 1 => 1,
        0 => groups,
        count => count,
    };
    if threshold > groups || (groups > 1 && threshold < 2) {
        return Err(fields.refuse("shamir_threshold", "is below 2 or above the number of key groups"));
    }
    Ok(threshold)
}

fn last_modified(fields: &Fields<'_>) -> Result<Time, SopsError> {
    let text = fields.required("lastmodified")?;
    Time::from_rfc3339(&text).ok_or_else(|| fields.refuse("lastmodified", "is not an RFC 3339 time"))
}

fn mac(fields: &Fields<'_>) -> Result<Option<Token>, SopsError> {
    let token = fields.text("mac")?.map(Token::parse).transpose();
    token.map_err(|_| fields.refuse("mac", "is not a well-formed token"))
}

type SuffixRule = fn(String) -> Rules;
type ExpressionRule = fn(Regex) -> Rules;

const DEFAULT_SUFFIX: &str = "_unencrypted";

fn rules(fields: &Fields<'_>) -> Result<Rules, SopsError> {
    let mut found = Vec::new();
    let suffixes: [(&str, SuffixRule); 2] =
        [("unencrypted_suffix", Rules::UnencryptedSuffix), ("encrypted_suffix", Rules::EncryptedSuffix)];
    for (field, rule) in suffixes {
        found.extend(fields.text(field)?.map(|suffix| rule(suffix.to_owned())));
    }
    let expressions: [(&str, ExpressionRule); 4] = [
        ("unencrypted_regex", Rules::UnencryptedRegex),
        ("encrypted_regex", Rules::EncryptedRegex),
        ("unencrypted_comment_regex", Rules::UnencryptedCommentRegex),
        ("encrypted_comment_regex", Rules::EncryptedCommentRegex),
    ];
    for (field, rule) in expressions {
        if let Some(pattern) = fields.text(field)? {
            found.push(rule(compile(pattern).ok_or_else(|| fields.refuse(field, "is not a valid expression"))?));
        }
    }
    match (found.pop(), found.is_empty()) {
        (Some(rule), true) => Ok(rule),
        (Some(_), false) => {
            let fault = "has more than one rule about what is sealed";
            Err(SopsError::Metadata { field: fields.prefix.to_owned(), fault })
        }
        (None, _) => Ok(Rules::UnencryptedSuffix(DEFAULT_SUFFIX.to_owned())),
    }
}
