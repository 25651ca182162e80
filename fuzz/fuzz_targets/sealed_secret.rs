//! SealedSecrets, their items, Secrets to seal and certificates: any bytes are read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_formats::sealed_secret::{Certificate, PlainSecret, SealedItem, SealedSecretManifest};
use waxwing_formats::yaml;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = SealedItem::parse(text);
    }
    for document in yaml::manifests(bytes).unwrap_or_default() {
        read(&document.value);
    }
    let _ = PlainSecret::parse(bytes);
    let _ = Certificate::from_pem(bytes);
});

fn read(manifest: &serde_json::Value) {
    let Ok(sealed) = SealedSecretManifest::parse(manifest) else { return };
    let _ = sealed.secret_skeleton();
    for item in sealed.items().values() {
        let _ = SealedItem::parse(item);
    }
}
