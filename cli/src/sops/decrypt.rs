//! `sops decrypt` and `sops filestatus`.

use std::path::Path;

use waxwing_formats::sops::{Document, Sealed, SopsError, Store};
use waxwing_formats::{SecretBytes, Segment};

use super::args::{DecryptArgs, FilestatusArgs, Global, Target};
use super::fault::Fault;
use super::place::{Place, Places};
use crate::output;
use crate::sealed::{self, Identities, SealedError, Secrecy, store_of};

/// Opens files, or a part of each. Where one of several does not open, none is printed or written.
pub(crate) fn run(args: &DecryptArgs, global: &Global) -> Result<(), Fault> {
    let DecryptArgs { files, target, types, extract, trust } = args;
    let path = extract.as_deref().map(path).transpose()?.filter(|path| !path.is_empty());
    let files: Vec<Option<&Path>> = match files.as_slice() {
        [] => vec![None],
        files => files.iter().map(|file| Some(file.as_path())).collect(),
    };
    if files.len() > 1 && target.output.is_some() {
        return Err(Fault::conflicting("several files can't be written to one by --output"));
    }
    files.iter().try_for_each(|file| Place::check(*file, target))?;
    let places = Places::new(global);
    let identities = places.identities();
    let (mut opened, mut failed) = (Vec::new(), Vec::new());
    for &file in &files {
        let place = places.at(file, types).map(|place| place.trusting(*trust));
        match place.and_then(|place| open(place, &identities, path.as_deref())) {
            Ok(one) => opened.push(one),
            Err(fault) if files.len() > 1 => failed.push(fault.in_file(file)),
            Err(fault) => failed.push(fault),
        }
    }
    Fault::of_several(failed, files.len())?;
    print(opened, target)
}

fn print(opened: Vec<(Place, SecretBytes)>, target: &Target) -> Result<(), Fault> {
    for (at, (place, text)) in opened.into_iter().enumerate() {
        if at > 0 && !target.in_place && place.output == Store::Yaml {
            output::print("---\n").map_err(|error| Fault::from_cli(&error))?;
        }
        place.put(text.expose_secret(), target, Secrecy::Plain)?;
    }
    Ok(())
}

fn open(place: Place, identities: &Identities, path: Option<&[Segment]>) -> Result<(Place, SecretBytes), Fault> {
    let opened = place.unlock(place.sealed()?, identities)?;
    let text = match path {
        None => opened.document.whole_as(place.output, place.indent()),
        Some(path) => {
            let part = opened.document.plain().into_part(path);
            let part = part.map_err(|error| place.fault(SealedError::Path(error)))?;
            part.write(place.output, place.indent())
        }
    };
    let text = text.map_err(|error| place.fault(Fault::of_output(error)))?;
    Ok((place, text))
}

/// Reads a path such as `["key"]['other key'][0]`; as in sops, nothing in it is escaped.
pub(crate) fn path(text: &str) -> Result<Vec<Segment>, Fault> {
    let refused = || Fault::bad_path(text);
    let steps = text.split('[').filter(|step| !step.is_empty()).map(|step| {
        let step = step.strip_suffix(']').ok_or_else(refused)?;
        let quoted = |quote| step.strip_prefix(quote).and_then(|step: &str| step.strip_suffix(quote));
        match quoted('"').or_else(|| quoted('\'')) {
            Some(key) => Ok(Segment::Key(key.to_owned())),
            None => step.parse().map(Segment::Index).map_err(|_| refused()),
        }
    });
    steps.collect()
}

/// Says whether a file is sealed.
pub(crate) fn status(args: &FilestatusArgs) -> Result<(), Fault> {
    let text = sealed::read(Some(&args.file)).map_err(|error| Fault::no_status(&args.file, &error))?;
    let store = store_of(&args.file, args.input_type.as_deref());
    let encrypted = match Document::<Sealed>::parse_local(&text, store) {
        Ok(document) => document.is_signed(),
        Err(SopsError::NotSealed) => false,
        Err(error) => return Err(Fault::from(SealedError::File(error)).in_file(Some(&args.file))),
    };
    output::print(&format!("{{\"encrypted\":{encrypted}}}\n")).map_err(|error| Fault::from_cli(&error))
}
