//! What each target does with bytes from anywhere. Whatever they are, they are read or refused: nothing panics, and what a
//! target asserts holds.
//!
//! Each function here is the body of the binary of its name in `fuzz_targets/`. `crates/keys/tests/corpus.rs` reads this file too
//! and runs all of them over the committed corpora, with the tests.

use jiff::Timestamp;
use rand_core::{CryptoRng, RngCore};
use waxwing_formats::go_template::{Allowance, GoTemplate, Values};
use waxwing_formats::reference::{
    Content, Decode, PathPattern, Pointer, Reference, SecretPath, StoreName, StoredSecret, decoded,
};
use waxwing_formats::sealed_secret::{
    Certificate, ItemChange, PlainSecret, SealedFile, SealedItem, SealedSecretManifest,
};
use waxwing_formats::sops::{
    Document, Part, Plain, Recipient, Rule, RuleKind, Sealed, SopsError, Store, Terms, Unlock, Vectors, Verified,
};
use waxwing_formats::{DataKey, Refusal, SecretBytes, WrappedKey, yaml};
use waxwing_keys::{
    AgeIdentities, AgeRecipient, AwsKey, AzureKey, GcpKey, KeyPattern, LockedIdentities, Origin, PgpIdentities,
    PgpKeyName, PgpRecipient, RsaSizes, SealingKey, ServiceKey, VaultKey,
};

const STORES: [Store; 5] = [Store::Yaml, Store::Json, Store::Dotenv, Store::Ini, Store::Binary];

const AGE_KEY: &[u8] = include_bytes!("../../crates/formats/tests/fixtures/sops/keys/one.txt");
const PGP_KEY: &[u8] = include_bytes!("../../crates/keys/tests/fixtures/pgp/curve25519.asc");

/// Manifests as Kubernetes reads them.
pub fn manifests(bytes: &[u8]) {
    let read = yaml::manifests(bytes);
    // What a bound lets through is read as without it.
    if let Ok(found) = yaml::manifests_within(bytes, 1_000) {
        assert_eq!(Ok(found), read);
    }
}

/// SOPS files for whose data key nobody has an answer: they stay sealed.
pub fn sops_sealed(bytes: &[u8]) {
    for document in STORES.iter().filter_map(|store| Document::<Sealed>::parse(bytes, *store).ok()) {
        let _ = document.skeletons(&mut |_, _, token| token.to_owned());
        let _ = (document.is_signed(), document.last_modified(), document.in_the_clear().count());
        let unlock = answered(document.unlock(), || Err(Refusal("no key".to_owned())));
        assert!(unlock.finish().is_err(), "a document opened without a key");
    }
}

/// SOPS files whose data key is known: 32 zero bytes. They open or not, and what opened can be printed in every format.
pub fn sops_open(bytes: &[u8]) {
    for store in STORES {
        let parse = || Document::<Sealed>::parse(bytes, store).ok();
        let Some(document) = parse() else { continue };
        let verified = answered(document.unlock(), || Ok(zeros())).finish();
        let Some(document) = parse() else { continue };
        let unverified = answered(document.unlock().unverified(), || Ok(zeros())).finish_unverified();
        let Ok((unverified, _)) = unverified else {
            assert!(verified.is_err(), "a file opened with a check of its code, and not without");
            continue;
        };
        for store in STORES {
            let _ = unverified.whole_as(store, Some(2));
        }
        if let Ok(verified) = verified {
            assert_same(verified.whole(), unverified.whole());
        }
    }
}

/// Files in the clear: what can be sealed opens again to the values that it had. Its text stays as it is
/// from the second time on, but for comments, whose places sealing may change, and for INI and dotenv, which don't say everything
/// so that it is read again.
pub fn sops_plain(bytes: &[u8]) {
    for store in STORES {
        let parse = || Plain::parse(bytes, store).ok();
        let (Some(plain), Some(again)) = (parse(), parse()) else { continue };
        let before = again.write(Store::Json, None);
        let Some(opened) = sealed_for_zeros(plain).map(|text| opened(&text, store)) else { continue };
        assert_same(before, opened.whole_as(Store::Json, None));
        let is_exact = matches!(store, Store::Json | Store::Binary) || (store == Store::Yaml && !bytes.contains(&b'#'));
        let Some(whole) = opened.whole().ok().filter(|_| is_exact) else { continue };
        let again = Plain::parse(whole.expose_secret(), store).expect("what opened can be read");
        if let Some(text) = sealed_for_zeros(again) {
            assert_same(Ok(whole), self::opened(&text, store).whole());
        }
    }
}

fn opened(text: &str, store: Store) -> Document<Verified> {
    let document = Document::<Sealed>::parse(text.as_bytes(), store).expect("what was sealed can be read");
    answered(document.unlock(), || Ok(zeros())).finish().expect("what was sealed opens")
}

fn assert_same(one: Result<SecretBytes, SopsError>, other: Result<SecretBytes, SopsError>) {
    assert_eq!(one.is_ok(), other.is_ok(), "one can be written, the other can't");
    if let (Ok(one), Ok(other)) = (one, other) {
        assert!(one.ct_eq(&other), "what opened is not what was sealed");
    }
}

/// Seals a file as those in the corpus of [`sops_open`] are.
pub fn sealed_for_zeros(plain: Plain) -> Option<String> {
    let sealed = plain.seal(&zeros(), terms(), Vectors::default(), Timestamp::UNIX_EPOCH, &mut Count(0));
    sealed.ok()?.text(None).ok()
}

/// SealedSecrets, their items, Secrets to seal and certificates.
pub fn sealed_secret(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = SealedItem::parse(text);
    }
    for document in yaml::manifests(bytes).unwrap_or_default() {
        let Ok(sealed) = SealedSecretManifest::parse(&document.value) else { continue };
        let _ = sealed.secret_skeleton();
        for item in sealed.items().values() {
            let _ = SealedItem::parse(item);
        }
    }
    let _ = PlainSecret::parse(bytes);
    let _ = Certificate::from_pem(bytes);
    sealed_file(bytes);
}

/// A file whose items are changed where they stand: as wanted and not else, or it is refused.
fn sealed_file(bytes: &[u8]) {
    let Ok(file) = SealedFile::parse(bytes) else { return };
    assert_eq!(
        file.with(&[]).ok().as_deref().map(str::as_bytes),
        Some(bytes),
        "a file that was not changed is another one"
    );
    for (index, object) in file.objects().iter().enumerate().take(3) {
        let names = object.items().map(|(name, _)| name.to_owned()).chain(["new".to_owned()]).take(3);
        for (item, token) in names.flat_map(|name| [(name.clone(), Some("AgA=")), (name, None)]) {
            let change = ItemChange { object: index, item: item.clone(), token: token.map(str::to_owned) };
            let Ok(changed) = file.with(&[change]) else { continue };
            let changed = SealedFile::parse(changed.as_bytes()).expect("what was written is read");
            let now = changed.objects().get(index).expect("no object is lost");
            let found = now.items().find(|(name, _)| *name == item).map(|(_, token)| token);
            assert_eq!(found, token, "an item is not what it should be");
        }
    }
}

/// Templates of SealedSecrets: they are run or refused, the same way twice, and no error holds a value.
pub fn templates(bytes: &[u8]) {
    const CANARY: &str = "canary-7f3a";
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(template) = GoTemplate::parse("t", text) else { return };
    let run = || {
        let values = [("a", CANARY.as_bytes()), ("b", &[0xff, 0x00][..]), ("c", bytes)];
        template.render(&Values::new(values.into_iter()), &mut Allowance::default())
    };
    match (run(), run()) {
        (Ok(one), Ok(other)) => assert!(one.ct_eq(&other), "a template made two things"),
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            assert!(!format!("{one} {one:?}").contains(CANARY), "an error holds a value");
        }
        _ => panic!("a template failed once"),
    }
}

/// Keys from files and from the cluster.
pub fn keys(bytes: &[u8]) {
    let _ = AgeIdentities::parse(bytes);
    let _ = LockedIdentities::recognize(bytes);
    let _ = PgpIdentities::parse(bytes, RsaSizes::Any);
    if let Ok(name) = "0123456789ABCDEF0123456789ABCDEF01234567".parse::<PgpKeyName>() {
        let _ = PgpRecipient::find(bytes, &name, Timestamp::UNIX_EPOCH);
    }
    let _ = SealingKey::from_pem(&SecretBytes::new(bytes.to_vec()), bytes);
}

/// Wrapped data keys, for an age key and for a PGP key.
pub fn wrapped(bytes: &[u8]) {
    let enc = String::from_utf8_lossy(bytes).into_owned();
    if let Ok(identities) = AgeIdentities::parse(AGE_KEY) {
        let _ = identities.answer(&WrappedKey::Age { recipient: String::new(), enc: enc.clone() });
    }
    if let Ok(identities) = PgpIdentities::parse(PGP_KEY, RsaSizes::From2048) {
        let _ = identities.answer(&WrappedKey::Pgp { fingerprint: String::new(), enc });
    }
}

/// Names of keys, of those who may use them and of servers; key paths and rules.
pub fn names(bytes: &[u8]) {
    let _ = Part::from_json(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = (text.parse::<AgeRecipient>(), text.parse::<PgpKeyName>(), text.parse::<Origin>());
    let _ = (GcpKey::parse(text), AzureKey::parse(text), VaultKey::parse(text));
    let _ = AwsKey::parse(text, &[("a".to_owned(), "b".to_owned())].into(), "");
    let _ = Rule::new(RuleKind::EncryptedRegex, text);
    let (pattern, key) = text.split_once('\n').unwrap_or((text, text));
    if let (Ok(pattern), Ok(key)) = (KeyPattern::parse(pattern), VaultKey::parse(key)) {
        let _ = pattern.allows(&ServiceKey::Vault(key), "namespace");
    }
}

/// References into secret stores, in text and in base64, and patterns of their paths. The pieces of a text are that text, what is
/// printed is read again as it was, and only a pattern with as many segments allows a path.
pub fn references(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = decoded(text);
    let pieces = Reference::find(text);
    assert_eq!(pieces.iter().map(|piece| piece.raw).collect::<String>(), text, "the pieces are not the text");
    for piece in pieces {
        match piece.content {
            Content::Reference(reference) => assert_reads_back(&reference),
            Content::Foreign(foreign) => {
                let store = "store".parse::<StoreName>().expect("a name");
                foreign.native(&store).iter().for_each(assert_reads_back);
            }
            Content::Text | Content::Malformed(_) => {}
        }
    }
    let (pattern, path) = text.split_once('\n').unwrap_or((text, text));
    if let (Ok(is_like), Ok(path)) = (pattern.parse::<PathPattern>(), path.parse::<SecretPath>()) {
        assert_eq!(is_like.to_string(), pattern, "a pattern is not as it was read");
        let is_allowed = is_like.allows(&path, "namespace");
        assert!(!is_allowed || pattern.split('/').count() == path.segments().len(), "a pattern went over a segment");
    }
}

/// What a store of secrets answers, behind a pointer on a line of its own: what is found is what serde_json finds, or refused.
pub fn stored(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (pointer, json) = text.split_once('\n').unwrap_or(("", text));
    let Ok(pointer) = (if pointer.is_empty() { Ok(Pointer::default()) } else { pointer.parse::<Pointer>() }) else {
        return;
    };
    let secret = StoredSecret::new(SecretBytes::new(json.as_bytes().to_vec()), &[]);
    let value = secret.value(&pointer, None).ok().map(|value| value.expose_secret().to_vec());
    let _ = (secret.entries(&pointer), secret.value(&pointer, Some(Decode::Base64)), secret.digested(SecretBytes::len));
    let Ok(whole) = serde_json::from_str::<serde_json::Value>(json) else { return };
    let place: String =
        pointer.keys().iter().map(|key| format!("/{}", key.replace('~', "~0").replace('/', "~1"))).collect();
    let wanted = match whole.pointer(&place) {
        Some(serde_json::Value::String(text)) => Some(text.clone().into_bytes()),
        Some(serde_json::Value::Bool(yes)) => Some(yes.to_string().into_bytes()),
        Some(serde_json::Value::Number(number)) if !number.is_f64() => Some(number.to_string().into_bytes()),
        None | Some(serde_json::Value::Null) => None,
        Some(_) => return,
    };
    assert_eq!(value, wanted, "another value than serde_json finds");
    let as_bytes = StoredSecret::of_bytes(SecretBytes::new(json.as_bytes().to_vec())).value(&pointer, None);
    let as_bytes = as_bytes.ok().map(|value| value.expose_secret().to_vec());
    let is_whole = pointer.keys().is_empty();
    assert!(is_whole || as_bytes == wanted, "another value in bytes than in an answer");
    assert!(!is_whole || as_bytes.as_deref() == Some(json.as_bytes()), "bytes are not as they were given");
}

fn assert_reads_back(reference: &Reference) {
    for segment in reference.path.segments() {
        assert!(!["", ".", ".."].contains(&segment.as_str()) && !segment.contains(['/', '\\', '%', '\0']));
    }
    let text = reference.to_string();
    assert_eq!(text.parse::<Reference>().as_ref(), Ok(reference), "what was printed is not what was read");
}

fn answered(mut unlock: Unlock, answer: impl Fn() -> Result<DataKey, Refusal>) -> Unlock {
    while let Some(request) = unlock.next() {
        unlock.answer(request.id, answer());
    }
    unlock
}

fn zeros() -> DataKey {
    DataKey::new(SecretBytes::new(vec![0; 32]))
}

fn terms() -> Terms {
    let wrapped = WrappedKey::Age { recipient: "someone".to_owned(), enc: "wrapped\n".to_owned() };
    Terms {
        groups: vec![vec![Recipient::new(wrapped, Timestamp::UNIX_EPOCH)]],
        shamir_threshold: 0,
        rule: None,
        mac_only_encrypted: false,
        version: None,
    }
}

/// Counts instead of drawing, so that a run can be repeated.
struct Count(u64);

impl CryptoRng for Count {}

impl RngCore for Count {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte = self.next_u64() as u8);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}
