//! `sops set` and `sops unset`: one value of a sealed file changes, in place, and all others keep their tokens.

use std::path::{Path, PathBuf};

use waxwing_formats::Segment;
use waxwing_formats::sops::{Part, PathError, Plain};
use zeroize::Zeroizing;

use super::args::{ChangeFlags, Global, SetArgs, Trust, Types, UnsetArgs};
use super::decrypt::path;
use super::encrypt::written;
use super::fault::Fault;
use super::place::Place;
use crate::sealed::{self, SealedError, seal_again};

/// Sets one value.
pub(crate) fn set(args: &SetArgs, global: &Global) -> Result<(), Fault> {
    let json = json(args)?;
    let place = place_of(&args.file, &args.change, global)?;
    set_value(&place, &index(&args.path)?, &json, args.idempotent)
}

/// Sets one value that is given with its path in one argument: `["key"] "value"`.
pub(crate) fn set_in_one_word(
    file: Option<PathBuf>,
    set: &str,
    types: Types,
    trust: Trust,
    global: &Global,
) -> Result<(), Fault> {
    let (at, json) = set.split_once("] ").ok_or_else(Fault::bad_set)?;
    let place = Place::new(file.as_deref(), &types, global)?.trusting(trust);
    set_value(&place, &index(&format!("{at}]"))?, json.as_bytes(), false)
}

fn place_of(file: &Path, flags: &ChangeFlags, global: &Global) -> Result<Place, Fault> {
    Ok(Place::new(Some(file), &flags.formats.clone().into(), global)?.trusting(flags.trust))
}

fn set_value(place: &Place, path: &[Segment], json: &[u8], idempotent: bool) -> Result<(), Fault> {
    let part = Part::from_json(json).map_err(|_| Fault::not_json())?;
    change(place, |plain| plain.set(path, part).map(|changed| changed || !idempotent))
}

/// Takes one value out.
pub(crate) fn unset(args: &UnsetArgs, global: &Global) -> Result<(), Fault> {
    let place = place_of(&args.file, &args.change, global)?;
    let path = index(&args.path)?;
    change(&place, |plain| match plain.unset(&path) {
        Err(PathError::NoKey { .. } | PathError::NoItem { .. }) if args.idempotent => Ok(false),
        done => done.map(|()| true),
    })
}

fn index(text: &str) -> Result<Vec<Segment>, Fault> {
    path(text).map_err(|_| Fault::bad_index())
}

/// Opens a file, changes it and writes it, if `change` says so.
fn change(place: &Place, change: impl FnOnce(&mut Plain) -> Result<bool, PathError>) -> Result<(), Fault> {
    let opened = place.open()?;
    let mut plain = opened.document.plain();
    if !change(&mut plain).map_err(|error| place.fault(SealedError::Path(error)))? {
        return Ok(());
    }
    let sealed = seal_again(&opened, plain.into_store(place.output), opened.document.terms());
    place.replace(written(sealed, place)?.as_bytes())
}

/// Returns the JSON from the argument, a file or standard input.
fn json(args: &SetArgs) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let value = match &args.value {
        Some(value) => value.as_str(),
        None if args.value_stdin => "",
        None => return Err(Fault::no_value()),
    };
    let file = args.value_file.then_some(Path::new(value));
    match args.value_file || args.value_stdin {
        true => sealed::read(file).map_err(|error| Fault::unreadable(file, &error)),
        false => Ok(Zeroizing::new(value.as_bytes().to_vec())),
    }
}
