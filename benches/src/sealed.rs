//! A thousand SealedSecrets of five values, against the bare RSA operations that opening them takes.

use std::time::{Duration, Instant};

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::EncodePrivateKey;
use serde_json::json;
use waxwing::cluster::ServiceAccount;
use waxwing::unsealing::{ServiceAnswers, Stores, SyncKeys};
use waxwing_formats::sealed_secret::{PlainSecret, PublicKey, Scope, SealedItem, SealedSecretManifest, seal};
use waxwing_formats::{RequestId, SecretBytes, WrappedKey};
use waxwing_harness::Controller;
use waxwing_keys::{Keyring, SealingKey};

use crate::error::{Error, other};
use crate::page::{at_most, digits, heading, line, seconds};
use crate::scale::Scale;
use crate::stage::{NAMESPACES, SYSTEM, Stage};
use crate::unsealing::{on_all_cores, open, rendered};

const VALUES: usize = 5;

/// The cluster's sealing key, in the form in which it is stored.
pub(crate) struct KeyFiles {
    private: SecretBytes,
    certificate: Vec<u8>,
}

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(1000);
    heading(format!("{count} SealedSecrets of {VALUES} values (RSA 4096)"));
    let stage = Stage::new()?;
    let controller = stage.controller()?;
    let files = key_files(&stage, SYSTEM)?;
    let wrapped = write(&stage, count, &files)?;

    let bare = bare_rsa(&files, &wrapped)?;
    line("bare RSA (aws-lc-rs), all cores", seconds(bare));
    let (rendered, reading) = rendered(&stage.repo.tree().join("sealed"))?;
    let ring = Keyring::new(vec![SealingKey::from_pem(&files.private, &files.certificate).map_err(other)?]);
    let keys = SyncKeys {
        identities: Vec::new(),
        services: ServiceAnswers::new(),
        stores: Stores::default(),
        ring: &ring,
        account: ServiceAccount::new(NAMESPACES[0], "deployer").map_err(other)?,
        may_write_secrets_in: [NAMESPACES[0].to_owned()].into(),
    };
    let (opening, _) = open(&rendered, &keys)?;
    line("read and render", seconds(reading));
    line("unseal: all values bound to their requests", seconds(opening));
    at_most("unseal against bare RSA", opening.as_secs_f64() / bare.as_secs_f64(), 1.2, "times");
    whole(&stage, &controller, count, bare)
}

/// The whole way, from the Sync to the Secrets.
fn whole(stage: &Stage, controller: &Controller, count: usize, bare: Duration) -> Result<(), Error> {
    let commit = stage.repo.commit("all")?;
    stage.source(NAMESPACES[0])?;
    let mark = stage.mark(controller)?;
    let start = Instant::now();
    stage.sync(NAMESPACES[0], "app", "sealed")?;
    let time = stage.fleet.ready(1, &commit)?.duration_since(start);
    let cost = stage.cost(controller, &mark)?;
    line("the whole way: until the Sync is Ready", seconds(time));
    line("  SealedSecrets a second", digits(count as f64 / time.as_secs_f64()));
    line("  against bare RSA", format!("{} times", digits(time.as_secs_f64() / bare.as_secs_f64())));
    line("  the controller's CPU", seconds(cost.cpu));
    Ok(())
}

/// Returns the sealing key that a controller made in its namespace.
pub(crate) fn key_files(stage: &Stage, namespace: &str) -> Result<KeyFiles, Error> {
    let listed = stage.cluster.get(&format!("/api/v1/namespaces/{namespace}/secrets"))?;
    let keys = listed["items"].as_array().into_iter().flatten();
    let key = keys.into_iter().find(|secret| secret["type"] == "kubernetes.io/tls");
    let key = key.ok_or(Error::Setting("the controller made no sealing key"))?;
    let decoded = |name: &str| {
        use base64::Engine;
        let text = key["data"][name].as_str().unwrap_or_default();
        base64::engine::general_purpose::STANDARD.decode(text).map_err(other)
    };
    Ok(KeyFiles { private: SecretBytes::new(decoded("tls.key")?), certificate: decoded("tls.crt")? })
}

/// Writes the SealedSecrets, and returns their wrapped session keys.
fn write(stage: &Stage, count: usize, files: &KeyFiles) -> Result<Vec<WrappedKey>, Error> {
    let key = PublicKey::from_certificate_pem(&files.certificate, jiff::Timestamp::now()).map_err(other)?;
    let mut wrapped = Vec::new();
    for number in 0..count {
        let name = format!("sealed-{number}");
        let value = |item: usize| SecretBytes::new(format!("value {item} of {name}").into_bytes());
        let values = (0..VALUES).map(|item| (format!("key-{item}"), value(item))).collect();
        let secret = PlainSecret::new(name.clone(), Some(NAMESPACES[0].to_owned()), values);
        let sealed = seal(&secret, Scope::Strict, &key, &mut rand_core::OsRng).map_err(other)?;
        wrapped.extend(wrapped_keys(&sealed)?);
        stage.repo.write(&format!("sealed/{number}.yaml"), json!(sealed).to_string())?;
    }
    Ok(wrapped)
}

pub(crate) fn wrapped_keys(sealed: &serde_json::Value) -> Result<Vec<WrappedKey>, Error> {
    let manifest = SealedSecretManifest::parse(sealed).map_err(other)?;
    let items = manifest.items().values().map(|token| SealedItem::parse(token).map_err(other));
    items.map(|item| Ok(item?.request(RequestId(0), manifest.label()).wrapped)).collect()
}

/// Returns how long opening these takes all cores, and nothing else.
pub(crate) fn bare_rsa(files: &KeyFiles, wrapped: &[WrappedKey]) -> Result<Duration, Error> {
    let pem = std::str::from_utf8(files.private.expose_secret()).map_err(other)?;
    let pkcs8 = rsa::RsaPrivateKey::from_pkcs1_pem(pem).map_err(other)?.to_pkcs8_der().map_err(other)?;
    let key = PrivateDecryptingKey::from_pkcs8(pkcs8.as_bytes()).map_err(other)?;
    let key = OaepPrivateDecryptingKey::new(key).map_err(other)?;
    Ok(on_all_cores(wrapped, |wrapped| {
        let WrappedKey::SealedItem { rsa, label } = wrapped else { return };
        let mut output = vec![0; key.min_output_size()];
        // A result that is thrown away would be no work at all for a compiler that sees through it.
        std::hint::black_box(key.decrypt(&OAEP_SHA256_MGF1SHA256, rsa, &mut output, Some(label)).is_ok());
    }))
}
