//! `.sops.yaml`: who shall open a new file, what shall be sealed in it, and how files are indented.
//!
//! Source: sops 3.13.3, `config/config.go`. As there, the file is looked for from the working folder upwards, the first rule
//! whose `path_regex` matches counts, and unknown fields are passed over. Stricter: when a file is sealed, an expression that
//! does not compile is refused in whichever rule it stands, and so is a key of a kind that can't be wrapped for, in the rule that
//! counts.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use waxwing_formats::sops::{Expression, Rule, RuleKind, Store};
use waxwing_formats::yaml::{self, YamlError};

use super::destinations::DestinationRule;
use super::named;
use super::recipients::{Context, Groups, MasterKey, MasterKeyError, Names, distinct};

/// The name of the file.
/// What a configuration is called.
pub(crate) const CONFIGURATION: &str = ".sops.yaml";
/// How many folders upwards it is looked for.
const MAX_DEPTH: usize = 100;

/// A configuration file.
pub(crate) struct Configuration {
    path: PathBuf,
    file: File,
    /// Which paths each rule is for, once that was asked for.
    paths: OnceCell<Vec<Expression>>,
}

/// What is left empty in the file counts as not said.
#[derive(Default, Deserialize)]
struct File {
    creation_rules: Option<Vec<CreationRule>>,
    destination_rules: Option<Vec<DestinationRule>>,
    stores: Option<Stores>,
}

#[derive(Default, Deserialize)]
struct Stores {
    yaml: Option<StoreLayout>,
    json: Option<StoreLayout>,
    json_binary: Option<StoreLayout>,
}

#[derive(Default, Deserialize)]
struct StoreLayout {
    indent: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct CreationRule {
    path_regex: Option<String>,
    aws_profile: Option<String>,
    age: Option<OneOrSeveral>,
    pgp: Option<OneOrSeveral>,
    kms: Option<OneOrSeveral>,
    gcp_kms: Option<OneOrSeveral>,
    hckms: Option<OneOrSeveral>,
    azure_keyvault: Option<OneOrSeveral>,
    hc_vault_transit_uri: Option<OneOrSeveral>,
    key_groups: Option<Vec<KeyGroup>>,
    shamir_threshold: Option<usize>,
    unencrypted_suffix: Option<String>,
    encrypted_suffix: Option<String>,
    unencrypted_regex: Option<String>,
    encrypted_regex: Option<String>,
    unencrypted_comment_regex: Option<String>,
    encrypted_comment_regex: Option<String>,
    mac_only_encrypted: Option<bool>,
}

/// A list, or a text with commas in it.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrSeveral {
    One(String),
    Several(Vec<String>),
}

impl OneOrSeveral {
    fn names(&self) -> Vec<&str> {
        let names: Vec<&str> = match self {
            Self::One(text) => text.split(',').collect(),
            Self::Several(texts) => texts.iter().flat_map(|text| text.split(',')).collect(),
        };
        names.into_iter().map(str::trim).filter(|name| !name.is_empty()).collect()
    }
}

#[derive(Deserialize)]
struct KeyGroup {
    merge: Option<Vec<KeyGroup>>,
    age: Option<Vec<String>>,
    pgp: Option<Vec<String>>,
    kms: Option<Vec<AwsEntry>>,
    gcp_kms: Option<Vec<GcpEntry>>,
    hckms: Option<Vec<HuaweiEntry>>,
    azure_keyvault: Option<Vec<AzureEntry>>,
    hc_vault: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct AwsEntry {
    arn: String,
    role: Option<String>,
    context: Option<Context>,
    aws_profile: Option<String>,
}

#[derive(Deserialize)]
struct GcpEntry {
    resource_id: String,
}

#[derive(Deserialize)]
struct HuaweiEntry {
    key_id: String,
}

#[derive(Deserialize)]
struct AzureEntry {
    #[serde(rename = "vaultUrl")]
    vault_url: String,
    key: String,
    version: Option<String>,
}

/// Where the master keys of a new file come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keys<'a> {
    /// The command line names them.
    Named,
    /// The rule that counts does; those of AWS KMS that have no context of their own get this one.
    OfTheRule(&'a Context),
}

/// Returns the absolute path with every `.` and `..` carried out on the names alone, as Go's `filepath.Abs` does.
pub(crate) fn cleaned(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).components() {
        match part {
            Component::ParentDir => drop(cleaned.pop()),
            Component::CurDir => {}
            part => cleaned.push(part),
        }
    }
    cleaned
}

/// What a rule says about a new file.
#[derive(Default)]
pub(crate) struct Creation {
    pub(crate) groups: Groups,
    pub(crate) shamir_threshold: usize,
    /// All rules about what is sealed: there may be only one, but the command line may name another.
    pub(crate) rules: Vec<(RuleKind, String)>,
    pub(crate) mac_only_encrypted: bool,
}

/// What a rule says about the files that it is for, whether they are sealed already or not.
pub(crate) struct Expected {
    /// Who shall be able to open them, by group, as [`WrappedKey::recipient`](waxwing_formats::WrappedKey::recipient) names them;
    /// all of the groups are empty if the rule leaves that to the command line.
    pub(crate) groups: Vec<BTreeSet<String>>,
    /// What is sealed in them, if the rule says that.
    pub(crate) rule: Option<Rule>,
    /// Whether the rule says which files it is for; one that does not is for files that nobody needs to seal, too.
    pub(crate) is_for_some: bool,
}

/// How many spaces a level is indented by in each format, where that is said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Layouts {
    yaml: Option<u8>,
    json: Option<u8>,
    json_binary: Option<u8>,
}

impl Layouts {
    /// Makes layouts that indent every format alike.
    pub(crate) fn all(indent: u8) -> Self {
        Self { yaml: Some(indent), json: Some(indent), json_binary: Some(indent) }
    }

    /// Returns the indent for a format.
    pub(crate) fn of(self, store: Store) -> Option<u8> {
        match store {
            Store::Yaml => self.yaml,
            Store::Json => self.json,
            Store::Binary => self.json_binary,
            Store::Dotenv | Store::Ini => None,
        }
    }
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CreationError {
    /// The file can't be read.
    #[error("failed to read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not well-formed YAML.
    #[error("{} is not well-formed YAML", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: YamlError,
    },
    /// A field has another type than it should.
    #[error("{} is not a configuration of sops", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An expression does not compile.
    #[error("{}, creation rule {rule}: {field} is not a valid expression", path.display())]
    Expression {
        /// The file.
        path: PathBuf,
        /// The rule, from 1.
        rule: usize,
        /// The field.
        field: &'static str,
    },
    /// No rule matches.
    #[error("{}: no creation rule matches {}", path.display(), file.display())]
    NoRule {
        /// The configuration.
        path: PathBuf,
        /// The file that is to be sealed.
        file: PathBuf,
    },
    /// There is more than one rule about what is sealed.
    #[error("{}, creation rule {rule}: {fields} can't be used together", path.display())]
    SeveralRules {
        /// The file.
        path: PathBuf,
        /// The rule, from 1.
        rule: usize,
        /// The fields.
        fields: String,
    },
    /// A master key can't be used.
    #[error("{}, creation rule {rule}", path.display())]
    MasterKey {
        /// The file.
        path: PathBuf,
        /// The rule, from 1.
        rule: usize,
        /// Why.
        source: MasterKeyError,
    },
}

impl CreationError {
    /// Returns what the user can do about it, where there is something.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read { .. } => None,
            Self::Shape { .. } => Some("check the fields of creation_rules and stores"),
            Self::Malformed { source, .. } => Some(source.hint()),
            Self::Expression { .. } => Some("write the expression in the syntax of Go (RE2)"),
            Self::NoRule { .. } => {
                Some("add a rule with a path_regex for it; paths are relative to the folder of the configuration")
            }
            Self::SeveralRules { .. } => Some("keep one of them"),
            Self::MasterKey { source, .. } => Some(source.hint()),
        }
    }
}

impl Configuration {
    /// Finds the configuration from a folder upwards.
    pub(crate) fn find(folder: &Path) -> Result<Option<Self>, CreationError> {
        let found =
            folder.ancestors().take(MAX_DEPTH).map(|folder| folder.join(CONFIGURATION)).find(|path| path.exists());
        found.map(|path| Self::read(&path)).transpose()
    }

    /// Reads the configuration.
    pub(crate) fn read(path: &Path) -> Result<Self, CreationError> {
        let text = fs::read(path).map_err(|source| CreationError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    /// Takes what stands in a configuration that is called so.
    pub(super) fn parse(path: &Path, text: &[u8]) -> Result<Self, CreationError> {
        let path = path.to_owned();
        let documents =
            yaml::manifests(text).map_err(|source| CreationError::Malformed { path: path.clone(), source })?;
        let file = match documents.into_iter().next() {
            Some(document) => serde_json::from_value(document.value)
                .map_err(|source| CreationError::Shape { path: path.clone(), source })?,
            None => File::default(),
        };
        Ok(Self { path, file, paths: OnceCell::new() })
    }

    /// Returns where the file is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the rules about where files are published to.
    pub(super) fn destination_rules(&self) -> &[DestinationRule] {
        self.file.destination_rules.as_deref().unwrap_or_default()
    }

    /// Returns which paths each rule is for, and refuses any other expression that does not compile too.
    fn path_expressions(&self, rules: &[CreationRule]) -> Result<&[Expression], CreationError> {
        if let Some(paths) = self.paths.get() {
            return Ok(paths);
        }
        let mut expressions = Vec::with_capacity(rules.len());
        for (at, rule) in rules.iter().enumerate() {
            let refused = |field| CreationError::Expression { path: self.path.clone(), rule: at + 1, field };
            let pattern = rule.path_regex.as_deref().unwrap_or_default();
            expressions.push(Expression::new(pattern).ok_or_else(|| refused("path_regex"))?);
            for (kind, text) in rule.rules() {
                Rule::new(kind, &text).ok_or_else(|| refused(kind.field()))?;
            }
        }
        Ok(self.paths.get_or_init(|| expressions))
    }

    /// Returns how files are indented.
    pub(crate) fn layouts(&self) -> Layouts {
        let Some(Stores { yaml, json, json_binary }) = &self.file.stores else {
            return Layouts::default();
        };
        let spaces = |layout: &Option<StoreLayout>| u8::try_from(layout.as_ref()?.indent?).ok();
        Layouts {
            yaml: spaces(yaml).filter(|indent| *indent > 0),
            json: spaces(json),
            json_binary: spaces(json_binary),
        }
    }

    /// Returns what the first rule says that matches a file, given by its cleaned path; nothing if there are no rules at all.
    /// Where the keys are named already, those of the rule are not looked at.
    pub(crate) fn creation(&self, file: &Path, keys: Keys<'_>) -> Result<Option<Creation>, CreationError> {
        let Some(rules) = &self.file.creation_rules else {
            return Ok(None);
        };
        let no_rule = || CreationError::NoRule { path: self.path.clone(), file: self.relative(file) };
        let (number, rule) = self.matching(rules, file)?.ok_or_else(no_rule)?;
        self.of_rule(number, rule, keys).map(Some)
    }

    /// Returns what the first rule says that matches a file, given by its cleaned path; nothing if none does. Keys of all kinds
    /// count, whether they can be wrapped for or not.
    pub(crate) fn expected(&self, file: &Path) -> Result<Option<Expected>, CreationError> {
        let Some((number, rule)) = self.matching(self.file.creation_rules.as_deref().unwrap_or_default(), file)? else {
            return Ok(None);
        };
        let Creation { rules, .. } = self.of_rule(number, rule, Keys::Named)?;
        let refused =
            |kind: RuleKind| CreationError::Expression { path: self.path.clone(), rule: number, field: kind.field() };
        let sealed = rules.first().map(|(kind, text)| Rule::new(*kind, text).ok_or_else(|| refused(*kind)));
        let is_for_some = rule.path_regex.as_ref().is_some_and(|pattern| !pattern.is_empty());
        Ok(Some(Expected { groups: rule.names(), rule: sealed.transpose()?, is_for_some }))
    }

    /// Returns the first rule that matches a file, with its number from 1.
    fn matching<'r>(
        &self,
        rules: &'r [CreationRule],
        file: &Path,
    ) -> Result<Option<(usize, &'r CreationRule)>, CreationError> {
        let paths = self.path_expressions(rules)?;
        let relative = self.relative(file);
        let text = relative.to_string_lossy();
        let matching = (1..).zip(rules).zip(paths).find(|(_, path)| path.matches(&text));
        Ok(matching.map(|(rule, _)| rule))
    }

    /// Returns the path from the folder of the configuration, where the file is below it.
    fn relative(&self, file: &Path) -> PathBuf {
        let path = cleaned(&self.path);
        path.parent().and_then(|folder| file.strip_prefix(folder).ok()).unwrap_or(file).to_owned()
    }

    fn of_rule(&self, number: usize, rule: &CreationRule, keys: Keys<'_>) -> Result<Creation, CreationError> {
        let path = || self.path.clone();
        let rules = rule.rules();
        if rules.len() > 1 {
            let fields = rules.iter().map(|(kind, _)| kind.field()).collect::<Vec<_>>().join(" and ");
            return Err(CreationError::SeveralRules { path: path(), rule: number, fields });
        }
        let groups = match keys {
            Keys::Named => Groups::default(),
            Keys::OfTheRule(context) => rule.groups(context).map_err(|source| CreationError::MasterKey {
                path: path(),
                rule: number,
                source,
            })?,
        };
        let shamir_threshold = rule.shamir_threshold.unwrap_or_default();
        let mac_only_encrypted = rule.mac_only_encrypted.unwrap_or_default();
        Ok(Creation { groups, shamir_threshold, rules, mac_only_encrypted })
    }
}

impl CreationRule {
    pub(super) fn rules(&self) -> Vec<(RuleKind, String)> {
        let text = |kind| match kind {
            RuleKind::UnencryptedSuffix => &self.unencrypted_suffix,
            RuleKind::EncryptedSuffix => &self.encrypted_suffix,
            RuleKind::UnencryptedRegex => &self.unencrypted_regex,
            RuleKind::EncryptedRegex => &self.encrypted_regex,
            RuleKind::UnencryptedCommentRegex => &self.unencrypted_comment_regex,
            RuleKind::EncryptedCommentRegex => &self.encrypted_comment_regex,
        };
        let said = RuleKind::ALL.into_iter().filter_map(|kind| Some((kind, text(kind).clone()?)));
        said.filter(|(_, text)| !text.is_empty()).collect()
    }

    /// Returns the names of all keys by group, of whatever kind.
    fn names(&self) -> Vec<BTreeSet<String>> {
        if let Some(groups) = self.key_groups.as_ref().filter(|groups| !groups.is_empty()) {
            return groups.iter().map(KeyGroup::names).collect();
        }
        let names = |kind: fn(&str) -> String, keys: &Option<OneOrSeveral>| -> Vec<String> {
            keys.iter().flat_map(OneOrSeveral::names).map(kind).collect()
        };
        let all = [
            names(named::age, &self.age),
            names(named::pgp, &self.pgp),
            names(named::aws, &self.kms),
            names(named::gcp, &self.gcp_kms),
            names(named::huawei, &self.hckms),
            names(named::azure, &self.azure_keyvault),
            names(named::vault, &self.hc_vault_transit_uri),
        ];
        vec![all.into_iter().flatten().collect()]
    }

    /// Key groups take the place of the keys that stand in the rule itself.
    pub(super) fn groups(&self, context: &Context) -> Result<Groups, MasterKeyError> {
        if let Some(groups) = self.key_groups.as_ref().filter(|groups| !groups.is_empty()) {
            return groups.iter().map(KeyGroup::keys).collect::<Result<_, _>>().map(Groups);
        }
        let names = |keys: &Option<OneOrSeveral>| keys.as_ref().map(|keys| keys.names().join(",")).unwrap_or_default();
        let names = Names {
            age: &names(&self.age),
            pgp: &names(&self.pgp),
            aws: &names(&self.kms),
            aws_profile: self.aws_profile.as_deref().unwrap_or_default(),
            gcp: &names(&self.gcp_kms),
            azure: &names(&self.azure_keyvault),
            vault: &names(&self.hc_vault_transit_uri),
            huawei: &names(&self.hckms),
        };
        Ok(Groups(vec![MasterKey::named(&names, context)?]))
    }
}

impl KeyGroup {
    fn names(&self) -> BTreeSet<String> {
        let merged = self.merge.iter().flatten().flat_map(Self::names);
        let age = self.age.iter().flatten().flat_map(|names| names.split(',')).map(named::age);
        let pgp = self.pgp.iter().flatten().map(|name| named::pgp(name));
        let aws = self.kms.iter().flatten().map(|key| named::aws(&key.arn));
        let gcp = self.gcp_kms.iter().flatten().map(|key| named::gcp(&key.resource_id));
        let huawei = self.hckms.iter().flatten().map(|key| named::huawei(&key.key_id));
        let azure = self.azure_keyvault.iter().flatten().map(|key| named::azure(&key.url()));
        let vault = self.hc_vault.iter().flatten().map(|uri| named::vault(uri));
        merged.chain(age).chain(pgp).chain(aws).chain(gcp).chain(huawei).chain(azure).chain(vault).collect()
    }

    fn keys(&self) -> Result<Vec<MasterKey>, MasterKeyError> {
        let mut keys = Vec::new();
        for merged in self.merge.iter().flatten() {
            keys.extend(merged.keys()?);
        }
        for key in self.kms.iter().flatten() {
            let role = key.role.as_ref().filter(|role| !role.is_empty()).map(|role| format!("+{role}"));
            let (arn, none) = (format!("{}{}", key.arn, role.unwrap_or_default()), Context::new());
            let names =
                Names { aws: &arn, aws_profile: key.aws_profile.as_deref().unwrap_or_default(), ..Names::default() };
            keys.extend(MasterKey::named(&names, key.context.as_ref().unwrap_or(&none))?);
        }
        let joined = |names: Vec<String>| names.join(",");
        let names = Names {
            age: &joined(self.age.iter().flatten().cloned().collect()),
            pgp: &joined(self.pgp.iter().flatten().cloned().collect()),
            gcp: &joined(self.gcp_kms.iter().flatten().map(|key| key.resource_id.clone()).collect()),
            huawei: &joined(self.hckms.iter().flatten().map(|key| key.key_id.clone()).collect()),
            azure: &joined(self.azure_keyvault.iter().flatten().map(AzureEntry::url).collect()),
            vault: &joined(self.hc_vault.iter().flatten().cloned().collect()),
            ..Names::default()
        };
        keys.extend(MasterKey::named(&names, &Context::new())?);
        Ok(distinct(keys))
    }
}

impl AzureEntry {
    fn url(&self) -> String {
        let version = self.version.as_ref().filter(|version| !version.is_empty());
        let version = version.map(|version| format!("/{version}")).unwrap_or_default();
        format!("{}/keys/{}{version}", self.vault_url.trim_end_matches('/'), self.key)
    }
}
