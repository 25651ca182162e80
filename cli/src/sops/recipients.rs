//! `sops rotate` and `sops updatekeys`: who can open a file, and a new data key.

use std::io::{self, BufRead, Write};
use std::path::Path;

use waxwing_formats::sops::Recipient;

use super::args::{ChangedKeys, Formats, Global, RotateArgs, UpdatekeysArgs};
use super::encrypt::written;
use super::fault::Fault;
use super::place::{Place, identities};
use crate::output;
use crate::sealed::{
    Context, Groups, Identities, Keys, MasterKey, NewTerms, Opened, SealedError, Secrecy, needed, seal_anew, wrap,
};

/// Seals a file anew with a new data key, for the same recipients but those that come and go.
pub(crate) fn rotate(args: &RotateArgs, global: &Global) -> Result<(), Fault> {
    let RotateArgs { file, target, types, changed, context } = args;
    let file = file.as_deref().ok_or_else(Fault::no_file)?;
    Place::check(Some(file), target)?;
    let is_unchanged = changed.added().are_none() && changed.removed().are_none();
    if !file.exists() && !is_unchanged {
        return Err(Fault::no_file_to_change(file));
    }
    let place = Place::new(Some(file), types, global)?;
    let opened = place.open()?;
    let terms = opened.document.terms();
    let new = NewTerms {
        groups: changed_groups(groups_of(&terms.groups)?, changed, &context.context()?)?,
        shamir_threshold: terms.shamir_threshold,
        rule: terms.rule,
        mac_only_encrypted: terms.mac_only_encrypted,
    };
    let plain = opened.document.plain().into_store(place.output);
    place.put(written(seal_anew(plain, new), &place)?.as_bytes(), target, Secrecy::Sealed)
}

fn groups_of(groups: &[Vec<Recipient>]) -> Result<Groups, Fault> {
    let of_group = |group: &Vec<Recipient>| {
        group.iter().map(|recipient| MasterKey::of(recipient.wrapped())).collect::<Result<Vec<_>, _>>()
    };
    Ok(Groups(groups.iter().map(of_group).collect::<Result<_, _>>()?))
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
    let identities = identities(global.decryption_order.as_deref());
    for file in &args.files {
        if let Err(fault) = update_file(file, args, global, &identities) {
            failed.push(fault.in_file(Some(file)));
        }
    }
    Fault::of_several(failed, args.files.len())
}

fn update_file(file: &Path, args: &UpdatekeysArgs, global: &Global, identities: &Identities) -> Result<(), Fault> {
    let formats = Formats { input_type: args.input_type.clone(), output_type: args.input_type.clone() };
    let place = Place::new(Some(file), &formats.into(), global)?;
    let configuration = place.configuration.as_ref().ok_or_else(Fault::no_recipients)?;
    let creation =
        configuration.creation(&place.name, Keys::OfTheRule(&Context::new()))?.ok_or_else(Fault::no_recipients)?;
    let document = place.sealed()?;
    let terms = document.terms();
    let threshold = terms.shamir_threshold.min(creation.groups.0.len());
    let changes = changes(&terms.groups, &creation.groups);
    if changes.is_empty() && threshold == terms.shamir_threshold {
        output::note(&format!("{} has the recipients of the configuration already", file.display()));
        return Ok(());
    }
    let Opened { key, .. } = place.unlock(document.clone(), identities)?;
    let shown = format!("{} will change:\n{}", file.display(), changes.concat());
    output::print(&shown).map_err(|error| Fault::from_cli(&error))?;
    if !args.yes && !is_agreed(file)? {
        output::note(&format!("{} is left as it was", file.display()));
        return Ok(());
    }
    let threshold = needed(threshold, &creation.groups);
    let recipients = wrap(&key, &creation.groups, threshold)?;
    let document = document.with_recipients(&key, recipients, threshold).map_err(SealedError::Seal);
    place.replace(written(document, &place)?.as_bytes())
}

/// Says for each group who comes and who goes.
fn changes(old: &[Vec<Recipient>], new: &Groups) -> Vec<String> {
    let mut lines = Vec::new();
    let is_for =
        |recipient: &Recipient, key: &MasterKey| MasterKey::of(recipient.wrapped()).is_ok_and(|other| other.is(key));
    for group in 0..old.len().max(new.0.len()) {
        let old = old.get(group).map(Vec::as_slice).unwrap_or_default();
        let new = new.0.get(group).map(Vec::as_slice).unwrap_or_default();
        let comes = new.iter().filter(|key| !old.iter().any(|recipient| is_for(recipient, key)));
        let goes = old.iter().filter(|recipient| !new.iter().any(|key| is_for(recipient, key)));
        let line = |sign, name: String| format!("  group {}: {sign} {name}\n", group + 1);
        lines.extend(comes.map(|key| line('+', key.name())));
        lines.extend(goes.map(|recipient| line('-', recipient.wrapped().recipient())));
    }
    lines
}

fn is_agreed(file: &Path) -> Result<bool, Fault> {
    let asked = || -> io::Result<String> {
        io::stdout().write_all(b"Is this okay? (y/n): ")?;
        io::stdout().flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer)
    };
    loop {
        let answer = asked().map_err(|error| Fault::unreadable(None, &error))?;
        match answer.trim() {
            "y" => return Ok(true),
            "n" => return Ok(false),
            "" if answer.is_empty() => return Err(Fault::unanswered(file)),
            _ => {}
        }
    }
}
