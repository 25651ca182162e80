//! `sops groups`: key groups that are added to a file, or taken out. Its data key and all that is sealed with it stay.
//!
//! Source: sops 3.13.3, `cmd/sops/subcommand/groups`. Stricter: what could not be opened again is refused, where sops writes it.

use std::io::ErrorKind;
use std::path::Path;

use waxwing_formats::sops::{Document, Sealed};

use super::args::{Global, GroupsAddArgs, GroupsArgs, GroupsChange, GroupsCommand, GroupsDeleteArgs, Target, Types};
use super::encrypt::written;
use super::fault::Fault;
use super::place::Place;
use crate::sealed::{Groups, Opened, SealedError, Secrecy, distinct, wrap};

/// Adds or takes out a group.
pub(crate) fn run(args: &GroupsArgs, global: &Global) -> Result<(), Fault> {
    match &args.command {
        GroupsCommand::Add(args) => add(args, global),
        GroupsCommand::Delete(args) => delete(args, global),
    }
}

fn add(args: &GroupsAddArgs, global: &Global) -> Result<(), Fault> {
    let GroupsAddArgs { change, keys, context } = args;
    let group = distinct(keys.master_keys(&context.context()?)?);
    Regrouped::open(change, global)?.change(change, |groups| {
        groups.0.push(group);
        Ok(())
    })
}

fn delete(args: &GroupsDeleteArgs, global: &Global) -> Result<(), Fault> {
    let GroupsDeleteArgs { index, change } = args;
    Regrouped::open(change, global)?.change(change, |groups| {
        if *index >= groups.0.len() {
            return Err(Fault::no_such_group(*index, groups.0.len()));
        }
        groups.0.remove(*index);
        Ok(())
    })
}

/// A file whose groups change.
struct Regrouped {
    place: Place,
    document: Document<Sealed>,
    opened: Opened,
}

impl Regrouped {
    fn open(change: &GroupsChange, global: &Global) -> Result<Self, Fault> {
        let file = change.file.as_deref().filter(|file| *file != Path::new("")).ok_or_else(Fault::no_group_file)?;
        if !file.exists() {
            return Err(Fault::unreadable(Some(file), &ErrorKind::NotFound.into()));
        }
        let place = Place::new(Some(file), &Types::default(), global)?;
        let document = place.sealed()?;
        let opened = place.unlock(document.clone(), &place.identities()).map_err(Fault::without_code)?;
        Ok(Self { place, document, opened })
    }

    fn change(self, flags: &GroupsChange, change: impl FnOnce(&mut Groups) -> Result<(), Fault>) -> Result<(), Fault> {
        let Self { place, document, opened } = self;
        let terms = document.terms();
        let mut groups = Groups::of(&terms.groups)?;
        change(&mut groups).map_err(|fault| place.fault(fault))?;
        let said = flags.shamir_secret_sharing_threshold.filter(|said| *said > 0);
        let threshold = groups.threshold(said.unwrap_or(terms.shamir_threshold));
        if threshold > groups.0.len() {
            return Err(place.fault(Fault::too_few_groups(threshold, groups.0.len())));
        }
        let recipients = wrap(&opened.key, &groups, threshold, place.services())?;
        let document = document.with_recipients(&opened.key, recipients, threshold).map_err(SealedError::Seal);
        let target = Target { in_place: flags.in_place, output: None };
        place.put(written(document, &place)?.as_bytes(), &target, Secrecy::Sealed)
    }
}
