//! Sealing whole Secrets, and one value with --raw, by the functions that `seal` has.

use std::path::Path;

use jiff::Timestamp;
use rand_core::OsRng;
use serde_json::Value;
use waxwing_formats::SecretBytes;
use waxwing_formats::go_object::{GoType, Reading};
use waxwing_formats::sealed_secret::{PlainSecret, PublicKey, Scope, SealError, seal, seal_item};

use super::args::{Cluster, KubesealArgs, Sealing, on};
use super::controller::Controller;
use super::fault::Fault;
use super::objects::{Object, set_type, standard_input};
use super::target::Target;
use crate::certificate::from_place;
use crate::sealed::Secrecy;

/// Returns the certificate that the flags name, not checked yet.
pub(super) fn certificate(args: &KubesealArgs) -> Result<Vec<u8>, Fault> {
    match args.sealing.cert.as_deref().filter(|cert| !cert.is_empty()) {
        Some(place) => Ok(from_place(place)?),
        None => Controller::find(&args.cluster)?.certificate(),
    }
}

/// Returns the key to seal with.
pub(super) fn key(args: &KubesealArgs) -> Result<PublicKey, Fault> {
    Ok(PublicKey::from_certificate_pem(&certificate(args)?, Timestamp::now())?)
}

/// How Secrets are sealed.
pub(super) struct Job<'a> {
    pub(super) key: &'a PublicKey,
    pub(super) cluster: &'a Cluster,
    pub(super) allow_empty: bool,
    /// The scope that was chosen; strict is no choice in kubeseal, where annotations of the Secret are stronger.
    pub(super) scope: Option<Scope>,
    /// Takes the place of the Secret's own name.
    pub(super) name: Option<&'a str>,
    /// Takes the place of the Secret's own namespace.
    pub(super) namespace: Option<&'a str>,
}

impl<'a> Job<'a> {
    /// Takes what the flags say.
    pub(super) fn new(sealing: &'a Sealing, cluster: &'a Cluster, key: &'a PublicKey) -> Self {
        Self {
            key,
            cluster,
            allow_empty: on(sealing.allow_empty_data),
            scope: sealing.scope.map(|chosen| chosen.0).filter(|scope| *scope != Scope::Strict),
            name: sealing.name.as_deref().filter(|name| !name.is_empty()),
            namespace: None,
        }
    }

    /// Seals Secrets, all or none.
    pub(super) fn seal(&self, secrets: Vec<Object>) -> Result<Vec<Value>, Fault> {
        if secrets.is_empty() {
            return Err(Fault::NoSecrets);
        }
        secrets.into_iter().map(|secret| self.seal_one(secret)).collect()
    }

    fn seal_one(&self, object: Object) -> Result<Value, Fault> {
        let Object { place, value, .. } = object;
        let is_empty = |field: &str| value.get(field).is_none();
        if is_empty("data") && is_empty("stringData") && !self.allow_empty {
            return Err(Fault::EmptyData);
        }
        let mut secret = self.plain_secret(place, value)?;
        if let Some(scope) = self.scope {
            secret.set_scope(scope);
        }
        self.fill_in_namespace(&mut secret)?;
        let sealed = seal(&secret, secret.scope(), self.key, &mut OsRng).map_err(|error| match error {
            SealError::NoNamespace { .. } => Fault::NoNamespace,
            error => Fault::Seal(error),
        })?;
        GoType::SealedSecret
            .read(sealed, Reading::Json)
            .map_err(|source_| Fault::Shape { place: String::new(), source_ })
    }

    /// Takes a Secret as its type has it, with the name and namespace that it is to have.
    fn plain_secret(&self, place: String, mut value: Value) -> Result<PlainSecret, Fault> {
        // Go does not look at what an object says that it is.
        set_type(&mut value, "Secret", "v1");
        let mut further = Vec::new();
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            let overrides = [("name", self.name), ("namespace", self.namespace)];
            metadata.extend(overrides.into_iter().filter_map(|(field, text)| Some((field.to_owned(), text?.into()))));
            if !metadata.contains_key("name") {
                return Err(Fault::NoName);
            }
            further.extend(["generateName", "managedFields"].map(|field| (field, metadata.remove(field))));
        }
        let mut secret = PlainSecret::from_manifest(value).map_err(|source_| Fault::Secret { place, source_ })?;
        for (field, value) in further {
            if let Some(value) = value {
                secret.set_further_metadata(field, value);
            }
        }
        Ok(secret)
    }

    /// Gives a Secret that is bound to a namespace and has none that of the user, and sees that a flag does not disagree.
    fn fill_in_namespace(&self, secret: &mut PlainSecret) -> Result<(), Fault> {
        if secret.scope() == Scope::ClusterWide {
            return Ok(());
        }
        // To read a kubeconfig takes as long as half of all else.
        if secret.namespace().is_some() && self.cluster.chosen_namespace().is_none() {
            return Ok(());
        }
        // Where it can't be found out, the Secret has to have its own.
        let Ok(namespace) = self.cluster.namespace() else { return Ok(()) };
        match secret.namespace() {
            Some(own) if namespace.is_chosen && own != namespace.name => {
                Err(Fault::NamespaceMismatch { own: own.to_owned(), flag: namespace.name })
            }
            Some(_) => Ok(()),
            None => {
                secret.set_namespace(namespace.name);
                Ok(())
            }
        }
    }
}

/// Seals one value and prints it without a line break.
pub(super) fn raw(args: &KubesealArgs, target: &Target) -> Result<(), Fault> {
    let key = key(args)?;
    let scope = args.sealing.scope.map(|chosen| chosen.0).unwrap_or_default();
    let name = args.sealing.name.as_deref().unwrap_or_default();
    let unbound = |flag| Fault::Unbound { flag, scope: scope.to_string() };
    let mut namespace = String::new();
    if scope != Scope::ClusterWide {
        namespace = args.cluster.namespace()?.name;
        if namespace.is_empty() {
            return Err(unbound("namespace"));
        }
        if name.is_empty() && scope == Scope::Strict {
            return Err(unbound("name"));
        }
    }
    let value = value(&args.modes.from_file)?;
    let sealed = seal_item(&key, &scope.label(&namespace, name), &value, &mut OsRng)?;
    target.bytes(sealed.as_bytes(), Secrecy::Sealed)
}

/// Reads the one value of --raw, byte for byte.
fn value(from_file: &[String]) -> Result<SecretBytes, Fault> {
    let path = match from_file {
        [] => return standard_input("expecting a secret to encrypt in stdin").map(taken),
        [one] => Path::new(one.split_once('=').map_or(one.as_str(), |(_, path)| path)),
        _ => return Err(Fault::SeveralValues),
    };
    std::fs::read(path).map(SecretBytes::new).map_err(|error| Fault::read(path, error))
}

fn taken(mut bytes: zeroize::Zeroizing<Vec<u8>>) -> SecretBytes {
    SecretBytes::new(std::mem::take(&mut *bytes))
}
