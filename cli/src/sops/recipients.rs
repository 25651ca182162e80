//! `sops rotate` and `sops updatekeys`: who can open a file, and a new data key.

use std::path::Path;

use jiff::Timestamp;
use waxwing_formats::sops::{Recipient, Terms};
use waxwing_formats::{DataKey, WrappedKey};

use super::args::{ChangedKeys, Formats, Global, RotateArgs, UpdatekeysArgs};
use super::encrypt::written;
use super::fault::Fault;
use super::place::{Place, Places};
use super::question::is_agreed;
use crate::output;
use crate::sealed::{
    Change, Context, Groups, Identities, KeyServices, Keys, MasterKey, NewTerms, Opened, SealedError, Secrecy,
    seal_anew, wrap,
};

/// Seals a file anew with a new data key, for the same recipients but those that come and go.
pub(crate) fn rotate(args: &RotateArgs, global: &Global) -> Result<(), Fault> {
    let RotateArgs { file, target, types, changed, context, trust } = args;
    let file = file.as_deref().ok_or_else(Fault::no_file)?;
    Place::check(Some(file), target)?;
    let is_unchanged = changed.added().are_none() && changed.removed().are_none();
    if !file.exists() && !is_unchanged {
        return Err(Fault::no_file_to_change(file));
    }
    let place = Place::new(Some(file), types, global)?.trusting(*trust);
    let opened = place.open()?;
    let terms = opened.document.terms();
    let new = NewTerms {
        groups: changed_groups(Groups::of(&terms.groups)?, changed, &context.context()?)?,
        shamir_threshold: terms.shamir_threshold,
        rule: terms.rule,
        mac_only_encrypted: terms.mac_only_encrypted,
    };
    let plain = opened.document.plain().into_store(place.output);
    place.put(written(seal_anew(plain, new, place.services()), &place)?.as_bytes(), target, Secrecy::Sealed)
}

/// Wraps a data key for the recipients of edited terms. Those of a single group who had it keep what they had; the shares of several
/// groups are made anew for all, unless nothing changed.
pub(super) fn with_groups_of(new: Terms, old: &Terms, key: &DataKey, services: &KeyServices) -> Result<Terms, Fault> {
    let wrapped = |terms: &Terms| -> Vec<Vec<WrappedKey>> {
        terms.groups.iter().map(|group| group.iter().map(|one| one.wrapped().clone()).collect()).collect()
    };
    if wrapped(&new) == wrapped(old) && new.shamir_threshold == old.shamir_threshold {
        return Ok(Terms { groups: old.groups.clone(), ..new });
    }
    let master_keys = Groups::of(&new.groups)?;
    let shamir_threshold = master_keys.threshold(new.shamir_threshold);
    let (groups, shamir_threshold) = match (old.groups.as_slice(), new.groups.as_slice()) {
        ([had], [wanted]) => (vec![kept_or_wrapped(wanted, had, key, services)?], new.shamir_threshold),
        _ => (wrap(key, &master_keys, shamir_threshold, services)?, shamir_threshold),
    };
    Ok(Terms { groups, shamir_threshold, ..new })
}

fn kept_or_wrapped(
    wanted: &[Recipient],
    had: &[Recipient],
    key: &DataKey,
    services: &KeyServices,
) -> Result<Vec<Recipient>, Fault> {
    let one = |wanted: &Recipient| match had.iter().find(|had| had.wrapped() == wanted.wrapped()) {
        Some(had) => Ok(had.clone()),
        None => {
            let wrapped = services.wrap(&MasterKey::of(wanted.wrapped())?, key)?;
            Ok(Recipient::new(wrapped, Timestamp::now()))
        }
    };
    wanted.iter().map(one).collect()
}

/// Who comes goes into the first group; who goes leaves all of them.
fn changed_groups(mut groups: Groups, changed: &ChangedKeys, context: &Context) -> Result<Groups, Fault> {
    let added = MasterKey::named(&changed.added(), context)?;
    let removed = MasterKey::named(&changed.removed(), context)?;
    if let Some(first) = groups.0.first_mut() {
        let new: Vec<_> = added.into_iter().filter(|key| first.iter().all(|other| !other.is(key))).collect();
        first.extend(new);
    }
    for group in &mut groups.0 {
        group.retain(|key| removed.iter().all(|other| !other.is(key)));
    }
    Ok(groups)
}

/// Gives files the recipients that the configuration says. With several files, each is tried.
pub(crate) fn update(args: &UpdatekeysArgs, global: &Global) -> Result<(), Fault> {
    let mut failed = Vec::new();
    let places = Places::new(global);
    let identities = places.identities();
    let formats = Formats { input_type: args.input_type.clone(), output_type: args.input_type.clone() };
    let types = formats.into();
    for file in &args.files {
        let place = places.at(Some(file), &types);
        if let Err(fault) = place.and_then(|place| update_file(file, &place, args.yes, &identities)) {
            failed.push(fault.in_file(Some(file)));
        }
    }
    Fault::of_several(failed, args.files.len())
}

fn update_file(file: &Path, place: &Place, is_agreed_to: bool, identities: &Identities) -> Result<(), Fault> {
    let configuration = place.configuration.as_ref().ok_or_else(Fault::no_recipients)?;
    let creation =
        configuration.creation(&place.name, Keys::OfTheRule(&Context::new()))?.ok_or_else(Fault::no_recipients)?;
    let document = place.sealed()?;
    let terms = document.terms();
    let threshold = terms.shamir_threshold.min(creation.groups.0.len());
    let changes = Change::all(&terms.groups, &creation.groups);
    if changes.is_empty() && threshold == terms.shamir_threshold {
        output::note(&format!("{} has the recipients of the configuration already", file.display()));
        return Ok(());
    }
    let Opened { key, .. } = place.unlock(document.clone(), identities)?;
    let lines: String = changes.iter().map(|change| format!("  group {}: {change}\n", change.group)).collect();
    let shown = format!("{} will change:\n{lines}", file.display());
    output::print(&shown).map_err(|error| Fault::from_cli(&error))?;
    if !is_agreed_to && !is_agreed_for(file, "Is this okay?")? {
        output::note(&format!("{} is left as it was", file.display()));
        return Ok(());
    }
    let threshold = creation.groups.threshold(threshold);
    let recipients = wrap(&key, &creation.groups, threshold, place.services())?;
    let document = document.with_recipients(&key, recipients, threshold).map_err(SealedError::Seal);
    place.replace(written(document, place)?.as_bytes())
}

/// Asks the user whether a file may change, or be published.
pub(super) fn is_agreed_for(file: &Path, question: &str) -> Result<bool, Fault> {
    let answer = is_agreed(question).map_err(|error| Fault::unreadable(None, &error))?;
    answer.ok_or_else(|| Fault::unanswered(file))
}
