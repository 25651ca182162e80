//! A thousand SOPS files with a data key each, against bare age, AES-GCM and SHA-512, and against a loop of `sops -d`.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aes_gcm::aead::consts::U32;
use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::aes::Aes256;
use aes_gcm::{AesGcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sha2::{Digest, Sha512};
use waxwing::cluster::ServiceAccount;
use waxwing::unsealing::{KeyFile, ServiceAnswers, Stores, SyncKeys};
use waxwing_formats::sops::{Document, LeafState, Store};
use waxwing_formats::{KeyPath, Segment, WrappedKey};
use waxwing_harness::{AgeKey, Call, Upstream};
use waxwing_keys::{AgeIdentities, Keyring};

use crate::error::{Error, other};
use crate::page::{at_least, at_most, digits, heading, line, seconds};
use crate::scale::Scale;
use crate::stage::{NAMESPACES, Stage};
use crate::unsealing::{on_all_cores, open, rendered};

/// How many values each file has.
pub(crate) const VALUES: usize = 5;
/// How many files `sops -d` is run for.
const SAMPLE: usize = 50;

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let count = scale.of(1000);
    heading(format!("{count} SOPS files of {VALUES} values, each with a data key of its own, for one age recipient"));
    let stage = Stage::new()?;
    let upstream = Upstream::new()?;
    let age = upstream.age_keygen()?;
    let rule = "--encrypted-regex=^(data|stringData)$";
    let arguments =
        ["encrypt", "--age", &age.recipient, rule, "--filename-override", "secret.yaml", "--output-type=yaml"];
    write(&stage, "sops", count, &|| Ok(upstream.sops(&arguments)?))?;

    let folder = stage.repo.tree().join("sops");
    let bare = bare(&folder, &age, count)?;
    line("bare age, AES-GCM and SHA-512, all cores", seconds(bare));
    let (rendered, reading) = rendered(&folder)?;
    let ring = Keyring::new(Vec::new());
    let identities = AgeIdentities::parse(age.identity.as_bytes()).map_err(other)?;
    let keys = SyncKeys {
        identities: vec![("age".to_owned(), KeyFile::Age(identities))],
        services: ServiceAnswers::new(),
        stores: Stores::default(),
        ring: &ring,
        account: ServiceAccount::new(NAMESPACES[0], "deployer").map_err(other)?,
        may_write_secrets_in: Default::default(),
    };
    let (opening, verifying) = open(&rendered, &keys)?;
    line("read and render", seconds(reading));
    line("unseal: all files verified, all values bound", seconds(opening));
    line("  of that, opening and verifying the files", seconds(verifying));
    at_most("unseal against bare cryptography", opening.as_secs_f64() / bare.as_secs_f64(), 1.3, "times");
    let sample = SAMPLE.min(count);
    let loop_of_sops = decrypt_with_sops(&upstream, &folder, &age, sample)?.mul_f64(count as f64 / sample as f64);
    line(&format!("a loop of `sops -d`, from {sample} files"), seconds(loop_of_sops));
    let ours = (reading + opening).as_secs_f64();
    at_least("read, render and unseal against that loop", loop_of_sops.as_secs_f64() / ours, 20.0, "times");
    whole(&stage, &age, count)
}

/// The whole way, from the Sync to the Secrets.
fn whole(stage: &Stage, age: &AgeKey, count: usize) -> Result<(), Error> {
    let controller = stage.controller()?;
    let key = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "sops-age", "namespace": NAMESPACES[0]},
        "stringData": {"age.agekey": age.identity},
    });
    stage.cluster.apply_yaml(&key.to_string())?;
    let commit = stage.repo.commit("all")?;
    stage.source(NAMESPACES[0])?;
    let mark = stage.mark(&controller)?;
    let start = Instant::now();
    stage.sync(NAMESPACES[0], "app", "sops")?;
    let time = stage.fleet.ready(1, &commit)?.duration_since(start);
    let cost = stage.cost(&controller, &mark)?;
    line("the whole way: until the Sync is Ready", seconds(time));
    line("  files a second", digits(count as f64 / time.as_secs_f64()));
    line("  the controller's CPU", seconds(cost.cpu));
    Ok(())
}

/// Writes so many sealed Secrets into a folder of the repository; `sops` is the call that seals one.
pub(crate) fn write(
    stage: &Stage,
    folder: &str,
    count: usize,
    sops: &(impl Fn() -> Result<Call, Error> + Sync),
) -> Result<(), Error> {
    stage.repo.write(&format!("{folder}/folder"), "")?;
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            let sealed = sops()?.stdin(secret(number).to_string()).text()?;
            stage.repo.write(&format!("{folder}/{number}.yaml"), sealed)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Err(Error::Setting("a worker panicked"))))
    })
}

fn secret(number: usize) -> serde_json::Value {
    let values: serde_json::Map<_, _> =
        (0..VALUES).map(|item| (format!("key-{item}"), json!(format!("value {item} of file {number}")))).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": format!("sops-{number}"), "namespace": NAMESPACES[0]},
        "stringData": values,
    })
}

fn decrypt_with_sops(upstream: &Upstream, folder: &Path, age: &AgeKey, sample: usize) -> Result<Duration, Error> {
    let start = Instant::now();
    for number in 0..sample {
        let call = upstream.sops(&["--decrypt"])?.env("SOPS_AGE_KEY", &age.identity);
        call.arg(folder.join(format!("{number}.yaml"))).text()?;
    }
    Ok(start.elapsed())
}

/// What is left of a file when everything but the cryptography has been done.
struct Ciphertext {
    data_key: String,
    values: Vec<Value>,
}

struct Value {
    data: Vec<u8>,
    nonce: [u8; 32],
    tag: [u8; 16],
    associated: String,
}

fn bare(folder: &Path, age: &AgeKey, count: usize) -> Result<Duration, Error> {
    let files = (0..count).map(|number| ciphertext(&folder.join(format!("{number}.yaml"))));
    let files: Vec<Ciphertext> = files.collect::<Result<_, _>>()?;
    let line = age.identity.lines().find(|line| line.starts_with("AGE-SECRET-KEY-")).unwrap_or_default();
    let identity: age::x25519::Identity = line.parse().map_err(other)?;
    let opened = AtomicUsize::new(0);
    let time = on_all_cores(&files, |file| {
        opened.fetch_add(decrypt(file, &identity).unwrap_or(0), Ordering::Relaxed);
    });
    match opened.into_inner() == count * VALUES {
        true => Ok(time),
        false => Err(Error::Setting("the bare loop did not open everything")),
    }
}

/// Opens the values of one file, and returns how many there were.
fn decrypt(file: &Ciphertext, identity: &age::x25519::Identity) -> Option<usize> {
    let key = age::decrypt(identity, file.data_key.as_bytes()).ok()?;
    let cipher = AesGcm::<Aes256, U32>::new_from_slice(&key).ok()?;
    let mut hash = Sha512::new();
    for value in &file.values {
        let mut text = value.data.clone();
        let (nonce, associated) = (Nonce::<U32>::from(value.nonce), value.associated.as_bytes());
        cipher.decrypt_inout_detached(&nonce, associated, text.as_mut_slice().into(), &value.tag.into()).ok()?;
        hash.update(&text);
    }
    std::hint::black_box(hash.finalize());
    Some(file.values.len())
}

fn ciphertext(path: &Path) -> Result<Ciphertext, Error> {
    let document = Document::parse(&std::fs::read(path).map_err(other)?, Store::Yaml).map_err(other)?;
    let sealed = document.leaves().filter_map(|leaf| match leaf.state {
        LeafState::Sealed { token, .. } => value(token, leaf.path),
        LeafState::Plain => None,
    });
    let values = sealed.collect();
    match document.unlock().next().map(|request| request.wrapped) {
        Some(WrappedKey::Age { enc, .. }) => Ok(Ciphertext { data_key: enc.trim().to_owned(), values }),
        _ => Err(Error::Setting("sops wrote a file without an age recipient")),
    }
}

/// Takes `ENC[AES256_GCM,data:...,iv:...,tag:...,type:str]` apart (`aes/cipher.go` of sops); the path is authenticated with it.
fn value(token: &str, path: &KeyPath) -> Option<Value> {
    let part = |name: &str| {
        let (_, rest) = token.split_once(&format!("{name}:"))?;
        STANDARD.decode(rest.split([',', ']']).next()?).ok()
    };
    let keys = path.segments().iter().filter_map(|segment| match segment {
        Segment::Key(key) => Some(format!("{key}:")),
        _ => None,
    });
    Some(Value {
        data: part("data")?,
        nonce: part("iv")?.try_into().ok()?,
        tag: part("tag")?.try_into().ok()?,
        associated: keys.collect(),
    })
}
