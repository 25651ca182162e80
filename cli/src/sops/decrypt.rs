//! `sops decrypt` and `sops filestatus`.

use waxwing_formats::Segment;
use waxwing_formats::sops::{Document, Sealed, SopsError};

use super::args::{DecryptArgs, FilestatusArgs, Global};
use super::fault::Fault;
use super::place::Place;
use crate::output;
use crate::sealed::{self, SealedError, Secrecy, store_of};

/// Opens a file, or a part of one.
pub(crate) fn run(args: &DecryptArgs, global: &Global) -> Result<(), Fault> {
    let DecryptArgs { file, target, types, extract } = args;
    Place::check(file.as_deref(), target)?;
    let place = Place::new(file.as_deref(), types, global)?;
    let path = extract.as_deref().map(path).transpose()?.filter(|path| !path.is_empty());
    let opened = place.open()?;
    let text = match path {
        None => opened.document.whole_as(place.output, place.indent()),
        Some(path) => {
            let part = opened.document.plain().into_part(&path);
            let part = part.map_err(|error| place.fault(SealedError::Path(error)))?;
            part.write(place.output, place.indent())
        }
    };
    let text = text.map_err(|error| place.fault(Fault::of_output(error)))?;
    place.put(text.expose_secret(), target, Secrecy::Plain)
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
