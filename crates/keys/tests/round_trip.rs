//! Properties of sealing and opening together: what is sealed opens to itself, what was changed never opens.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use rand_core::OsRng;
use waxwing_formats::sealed_secret::{Certificate, Scope, SealedItem, seal_item};
use waxwing_formats::{RequestId, SecretBytes};
use waxwing_keys::{Keyring, SealingKey};

static CERTIFICATE: LazyLock<Certificate> =
    LazyLock::new(|| Certificate::from_pem(&fixture("keys/throw-away.crt")).unwrap());
static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
    let key = SecretBytes::new(fixture("keys/throw-away.key"));
    Keyring::new(vec![SealingKey::from_pem(&key, &fixture("keys/throw-away.crt")).unwrap()])
});

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("../formats/tests/fixtures/sealed_secret").join(name)).unwrap()
}

fn seal(value: &[u8], label: &[u8]) -> String {
    seal_item(&CERTIFICATE.public_key, label, &SecretBytes::new(value.to_vec()), &mut OsRng).unwrap()
}

fn open(token: &str, label: &[u8]) -> Option<Vec<u8>> {
    let item = SealedItem::parse(token).ok()?;
    let (key, _) = KEYRING.open(&item.request(RequestId(0), label.to_vec()).wrapped, None).ok()?;
    Some(item.open(&key).ok()?.expose_secret().to_vec())
}

fn scope() -> impl Strategy<Value = Scope> {
    prop::sample::select(Scope::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_sealed_opens_to_itself(
        value in prop::collection::vec(any::<u8>(), 0..2000),
        scope in scope(), namespace in "[a-z]{1,8}", name in "[a-z.-]{1,20}",
    ) {
        let label = scope.label(&namespace, &name);
        prop_assert_eq!(open(&seal(&value, &label), &label), Some(value));
    }

    #[test]
    fn a_value_opens_elsewhere_only_as_far_as_its_scope_reaches(scope in scope(), there in scope()) {
        let token = seal(b"x", &scope.label("shop", "db"));
        prop_assert_eq!(open(&token, &there.label("shop", "db")).is_some(), scope == there);
        prop_assert_eq!(open(&token, &scope.label("shop", "other")).is_some(), scope != Scope::Strict);
        prop_assert_eq!(open(&token, &scope.label("other", "db")).is_some(), scope == Scope::ClusterWide);
    }

    #[test]
    fn one_flipped_bit_never_opens(at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let token = seal(b"a secret value", b"shop/db");
        let mut blob = STANDARD.decode(&token).unwrap();
        let at = at.index(blob.len());
        blob[at] ^= 1 << bit;
        prop_assert_eq!(open(&STANDARD.encode(&blob), b"shop/db"), None);
    }

    #[test]
    fn arbitrary_bytes_never_open_or_panic(blob in prop::collection::vec(any::<u8>(), 0..600), text in "\\PC{0,80}") {
        prop_assert_eq!(open(&STANDARD.encode(&blob), b""), None);
        prop_assert_eq!(open(&text, b""), None);
    }
}
