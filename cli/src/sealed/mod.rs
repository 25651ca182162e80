//! SOPS files on the disk: read, opened with the keys that are at hand, sealed, and written back.
//!
//! `identities` finds the keys, those of age in `age_keys`, of PGP in `pgp_keys`; `recipients` wraps for those who shall have one;
//! `key_services` says who is asked, here and elsewhere; `services` calls the services that keys live in, `plugins` and `gpg` run
//! programs that do either; `terminal` and `gpg_agent` ask the user, `creation` reads `.sops.yaml`, which `configurations` finds
//! for the files of a tree, `changes` says who comes and goes, `destinations` says where files are published to, `disk` writes.
//! What is not here: any command line. `sops` is the face of sops over it.

mod age_keys;
mod changes;
mod configurations;
mod creation;
mod destinations;
mod disk;
mod error;
mod gpg;
mod gpg_agent;
mod identities;
mod key_services;
mod named;
mod pgp_keys;
mod plugins;
mod recipients;
mod services;
mod terminal;

use std::path::Path;

use jiff::Timestamp;
use rand_core::OsRng;
use waxwing_formats::DataKey;
use waxwing_formats::sops::{
    self, Document, Plain, Recipient, Rule, Sealed, Store, Terms, Unlock, Unverified, Vectors,
};

pub(crate) use changes::Change;
pub(crate) use configurations::{Configurations, StagedRules};
pub(crate) use creation::{CONFIGURATION, Configuration, Creation, CreationError, Expected, Keys, Layouts, cleaned};
pub(crate) use destinations::{DestinationError, KvVersion};
pub(crate) use disk::{Secrecy, create, read, replace, replace_whole, write};
pub(crate) use error::{NOBODY_TO_ASK, SealedError};
pub(crate) use identities::{Identities, UNSUPPORTED};
pub(crate) use key_services::KeyServices;
pub(crate) use recipients::{Context, Groups, MasterKey, MasterKeyError, Names, context, distinct};
pub(crate) use services::{
    Secrets, aws_secrets, azure_secrets, block_on, credentials_hint, gcp_secrets, hint as service_hint, vault_address,
    vault_secrets,
};

/// A file that was opened.
pub(crate) struct Opened {
    /// What stands in it; who opened it knows whether its message authentication code was checked.
    pub(crate) document: Document<Unverified>,
    /// What it is sealed with.
    pub(crate) key: DataKey,
}

/// Opens a sealed file; the identities say in which order its keys are asked.
pub(crate) fn open(document: Document<Sealed>, identities: &Identities) -> Result<Opened, SealedError> {
    let unlock = document.unlock_in_order(&identities.order());
    let (document, key) = answered(unlock, identities).finish_with_key()?;
    Ok(Opened { document: document.into(), key })
}

/// Opens a sealed file and does not check its message authentication code.
pub(crate) fn open_unverified(document: Document<Sealed>, identities: &Identities) -> Result<Opened, SealedError> {
    let unlock = document.unlock_in_order(&identities.order()).unverified();
    let (document, key) = answered(unlock, identities).finish_unverified()?;
    Ok(Opened { document, key })
}

fn answered(mut unlock: Unlock, identities: &Identities) -> Unlock {
    while let Some(request) = unlock.next() {
        unlock.answer(request.id, identities.answer(&request.wrapped));
    }
    unlock
}

/// Who shall be able to open a new file, and what shall be sealed in it.
#[derive(Clone)]
pub(crate) struct NewTerms {
    pub(crate) groups: Groups,
    pub(crate) shamir_threshold: usize,
    pub(crate) rule: Option<Rule>,
    pub(crate) mac_only_encrypted: bool,
}

/// Draws a new data key and wraps it for whoever shall have it.
pub(crate) fn new_key(terms: NewTerms, services: &KeyServices) -> Result<(DataKey, Terms), SealedError> {
    let key = sops::new_data_key(&mut OsRng)?;
    let NewTerms { groups, shamir_threshold, rule, mac_only_encrypted } = terms;
    let shamir_threshold = groups.threshold(shamir_threshold);
    let groups = wrap(&key, &groups, shamir_threshold, services)?;
    Ok((key, Terms { groups, shamir_threshold, rule, mac_only_encrypted, version: None }))
}

/// Seals a file for the first time with a data key.
pub(crate) fn seal_with(key: &DataKey, plain: Plain, terms: Terms) -> Result<Document<Sealed>, SealedError> {
    Ok(plain.seal(key, terms, Vectors::default(), Timestamp::now(), &mut OsRng)?)
}

/// Seals a file with a new data key.
pub(crate) fn seal_anew(
    plain: Plain,
    terms: NewTerms,
    services: &KeyServices,
) -> Result<Document<Sealed>, SealedError> {
    let (key, terms) = new_key(terms, services)?;
    seal_with(&key, plain, terms)
}

/// Seals a file that was opened and changed. What did not change in it keeps its token.
pub(crate) fn seal_again(opened: &Opened, plain: Plain, terms: Terms) -> Result<Document<Sealed>, SealedError> {
    Ok(plain.seal(&opened.key, terms, opened.document.vectors(), Timestamp::now(), &mut OsRng)?)
}

/// Wraps a data key, or its shares, for the recipients of each group.
pub(crate) fn wrap(
    key: &DataKey,
    groups: &Groups,
    threshold: usize,
    services: &KeyServices,
) -> Result<Vec<Vec<Recipient>>, SealedError> {
    let parts = sops::parts(key, groups.0.len(), threshold, &mut OsRng)?;
    let now = Timestamp::now();
    let wrapped = groups.0.iter().zip(&parts).map(|(group, part)| {
        group.iter().map(|key| services.wrap(key, part).map(|wrapped| Recipient::new(wrapped, now))).collect()
    });
    wrapped.collect()
}

/// Returns the format of a file: the one that is asked for, else, also for one that sops does not know, what its name says.
pub(crate) fn store_of(path: &Path, asked: Option<&str>) -> Store {
    asked.and_then(Store::named).unwrap_or_else(|| Store::from_path(path))
}

/// Tells whether a file that anybody may have written is one of sops, whole or damaged. Any text can speak of sealed values; a
/// sealed file of any bytes is a JSON object.
pub(crate) fn is_sealed(bytes: &[u8], store: Store) -> bool {
    sops::is_sealed(bytes, store) && (store != Store::Binary || bytes.trim_ascii_start().starts_with(b"{"))
}
