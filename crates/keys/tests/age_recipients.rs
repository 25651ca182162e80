//! Data keys are wrapped for age recipients so that their identities, and the age program, open them.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fmt::Write;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use waxwing_formats::{DataKey, SecretBytes, WrappedKey};
use waxwing_keys::{AgeIdentities, AgeRecipient};

fn data_key(bytes: &[u8]) -> DataKey {
    DataKey::new(SecretBytes::concat(&[bytes]))
}

#[test]
fn what_is_wrapped_for_a_recipient_opens_with_its_identity_and_with_no_other() {
    let [own, other] = [(); 2].map(|()| Identity::generate());
    let recipient: AgeRecipient = own.to_public().to_string().parse().unwrap();
    let identities =
        |identity: &Identity| AgeIdentities::parse(identity.to_string().expose_secret().as_bytes()).unwrap();
    for key in [[7; 32].as_slice(), &[9; 33]] {
        let wrapped = recipient.wrap(&data_key(key)).unwrap();
        assert_eq!(identities(&own).answer(&wrapped).unwrap().expose_secret(), key);
        assert!(identities(&other).answer(&wrapped).is_err());
        let WrappedKey::Age { recipient: named, enc } = wrapped else { panic!("age wraps for age") };
        assert_eq!(named, own.to_public().to_string());
        assert!(enc.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"), "{enc}");
        assert!(enc.ends_with("-----END AGE ENCRYPTED FILE-----\n"), "{enc}");
    }
}

#[test]
fn each_unusable_recipient_is_refused_by_name_and_a_private_key_is_not_shown() {
    let identity = Identity::generate().to_string().expose_secret().to_owned();
    let mut report = String::new();
    for (name, text) in [
        ("nothing", ""),
        ("a word", "someone"),
        ("a damaged recipient", "age1tvan6ukdkddfdygqy5wzzjn0rnzhcwvwws8hnmqk8u53cfrqtg8sqn8x84"),
        ("a damaged post-quantum recipient", "age1pq1qqqq"),
        ("a plugin", "age1yubikey1qqqq"),
        ("a damaged SSH key", "ssh-ed25519 AAAA someone@somewhere"),
        ("an identity", identity.as_str()),
        ("an identity in lower case", identity.to_lowercase().as_str()),
        ("a PEM key", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    ] {
        let error = text.parse::<AgeRecipient>().unwrap_err();
        assert!(!error.to_string().contains(identity.get(20..40).unwrap()));
        assert!(!error.to_string().to_uppercase().contains(identity.get(20..40).unwrap()));
        writeln!(report, "{name}: {error}; hint: {}", error.hint()).unwrap();
    }
    insta::assert_snapshot!(report);
}
