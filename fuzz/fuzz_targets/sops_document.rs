//! SOPS files in every store, sealed and in the clear: any bytes are read or refused, and a document without a key stays
//! sealed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waxwing_formats::Refusal;
use waxwing_formats::sops::{Document, Plain, Store};

fuzz_target!(|bytes: &[u8]| {
    for store in [Store::Yaml, Store::Json, Store::Dotenv, Store::Ini, Store::Binary] {
        read(bytes, store);
        let _ = Plain::parse(bytes, store).map(|plain| plain.write(store, None));
    }
});

fn read(bytes: &[u8], store: Store) {
    let Ok(document) = Document::parse(bytes, store) else { return };
    let _ = document.skeletons(&mut |_, _, token| token.to_owned());
    let mut unlock = document.unlock();
    while let Some(request) = unlock.next() {
        unlock.answer(request.id, Err(Refusal("no key".to_owned())));
    }
    assert!(unlock.finish().is_err(), "a document opened without a key");
}
