//! `sops edit` and `seal edit`: the plain text of a file in the user's editor, and back.
//!
//! The text stands in a folder of its own that only the user can enter, in memory where there is such a place, and is wiped
//! when the editor ends or the program is asked to. The sealed file is replaced as a whole at the end, so that whatever happens
//! in between leaves it as it was.

use std::env;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use tokio::process::Command;
use waxwing_formats::sops::{Plain, Store, Terms, VERSION};
use waxwing_formats::{DataKey, SecretBytes};

use super::args::{EditArgs, Global, KeyServiceFlags};
use super::child::Watch;
use super::desk::Desk;
use super::encrypt::{new_terms, written};
use super::fault::Fault;
use super::place::{Place, Places};
use super::recipients::with_groups_of;
use crate::output;
use crate::sealed::{self, Configuration, NewTerms, Secrecy, new_key, seal_again, seal_with};

/// Lets the user edit a file, or the example for a new one.
pub(crate) fn run(args: &EditArgs, global: &Global) -> Result<(), Fault> {
    run_at(&Places::new(global), args, global)
}

/// Does the same for `seal edit`, under the configuration that it found for the file, and asking these.
pub(crate) fn run_under(
    configuration: Option<Configuration>,
    args: &EditArgs,
    services: KeyServiceFlags,
) -> Result<(), Fault> {
    services.warn();
    let global = Global { services, ..Global::default() };
    run_at(&Places::under(configuration, &global), args, &global)
}

fn run_at(places: &Places<'_>, args: &EditArgs, global: &Global) -> Result<(), Fault> {
    let file = args.file.as_deref().ok_or_else(Fault::no_file)?;
    let place = places.at_any(Some(file), &args.types)?.trusting(args.trust);
    let shows_terms = args.draft.show_master_keys;
    match file.exists() {
        true => edit(&place, file, shows_terms),
        false => edit_new(&place, file, new_terms(&place, &args.creation, &args.context, global)?, shows_terms),
    }
}

fn edit(place: &Place, file: &Path, shows_terms: bool) -> Result<(), Fault> {
    let opened = place.open()?;
    let (store, old) = (place.output, opened.document.terms());
    let text = match shows_terms {
        true => opened.document.draft(store, place.indent()),
        false => opened.document.whole_as(store, place.indent()),
    };
    let text = text.map_err(|error| place.fault(Fault::of_output(error)))?;
    let sealed = until_it_seals(file, &text, |edited| {
        let (plain, terms) = read(edited, place, &opened.key, &old, shows_terms)?;
        Ok(seal_again(&opened, plain, newer(terms))?)
    })?;
    place.replace(written(Ok(sealed), place)?.as_bytes())
}

fn edit_new(place: &Place, file: &Path, terms: NewTerms, shows_terms: bool) -> Result<(), Fault> {
    let (key, terms) = new_key(terms, place.services()).map_err(Fault::without_key)?;
    let (store, example) = (place.output, example(place.output).as_bytes());
    let text = match shows_terms {
        true => Plain::parse(example, store)
            .and_then(|plain| plain.write_draft(terms.clone(), Timestamp::now(), place.indent()))
            .map_err(Fault::of_output)?,
        false => SecretBytes::new(example.to_vec()),
    };
    let sealed = until_it_seals(file, &text, |edited| {
        let (plain, terms) = read(edited, place, &key, &terms, shows_terms)?;
        Ok(seal_with(&key, plain, terms)?)
    })?;
    let text = written(Ok(sealed), place)?;
    sealed::write(file, text.as_bytes(), Secrecy::Sealed).map_err(|error| Fault::unwritable(file, &error))
}

/// Reads what became of a text, and under which terms it shall be sealed: those that it had, or that the user gave it.
fn read(
    edited: &SecretBytes,
    place: &Place,
    key: &DataKey,
    old: &Terms,
    shows_terms: bool,
) -> Result<(Plain, Terms), Fault> {
    let store = place.output;
    if !shows_terms {
        return Ok((Plain::parse(edited.expose_secret(), store).map_err(Fault::of_plain)?, old.clone()));
    }
    let (plain, terms) = Plain::parse_draft(edited.expose_secret(), store).map_err(Fault::of_plain)?;
    Ok((plain, with_groups_of(terms, old, key, place.services())?))
}

/// A file that an older version wrote is one of this version afterwards, unless its keys need that to be known.
fn newer(terms: Terms) -> Terms {
    if terms.may_have_mixed_contexts() {
        return terms;
    }
    let numbers = |version: &str| version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let version = terms.version.filter(|version| numbers(version) >= numbers(VERSION));
    Terms { version, ..terms }
}

/// Runs the editor again for as long as what was written in it can't be sealed and the user wants to go on.
pub(crate) fn until_it_seals<T>(
    file: &Path,
    text: &SecretBytes,
    seal: impl Fn(&SecretBytes) -> Result<T, Fault>,
) -> Result<T, Fault> {
    // Editors go by the ending of the name.
    let name = file.file_name().map_or(Path::new("secrets"), Path::new);
    let refused = |error: io::Error| Fault::unwritable(file, &error);
    let mut watch = Watch::new().map_err(refused)?;
    let sheet = Desk::new().and_then(|desk| desk.put(name, text)).map_err(refused)?;
    loop {
        run_editor(&mut watch, sheet.path())?;
        let edited = sheet.read()?;
        if edited.ct_eq(text) {
            return Err(Fault::unchanged());
        }
        match seal(&edited) {
            Ok(_) if watch.is_asked_to_end() => return Err(Fault::interrupted()),
            Ok(sealed) => return Ok(sealed),
            Err(fault) => go_on_after(fault, &mut watch)?,
        }
    }
}

/// Tells what is wrong and waits for the user; where nobody is there, or wants to go on, that is the end.
fn go_on_after(fault: Fault, watch: &mut Watch) -> Result<(), Fault> {
    output::complain_of(&fault, fault.hint());
    output::note("press Enter to go back to the editor, or Ctrl-C to leave the file as it was");
    if watch.is_entered() { Ok(()) } else { Err(fault) }
}

/// Runs the editor that the user chose, or one that is there.
fn run_editor(watch: &mut Watch, file: &Path) -> Result<(), Fault> {
    let words = editor()?;
    let mut command = Command::new(words.first().map_or("", String::as_str));
    command.args(words.iter().skip(1)).arg(file);
    let refused =
        |why: &dyn std::fmt::Display| Fault::no_editor(format!("the editor {:?} failed: {why}", words.join(" ")));
    match watch.run(command).map_err(|error| refused(&error))? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(refused(&status)),
        None => Err(Fault::interrupted()),
    }
}

/// Returns the words of the editor's command line.
fn editor() -> Result<Vec<String>, Fault> {
    let named = ["SOPS_EDITOR", "EDITOR"].into_iter().find_map(|name| {
        let command = env::var(name).ok().filter(|command| !command.is_empty())?;
        Some((name, command))
    });
    let Some((name, command)) = named else {
        let found = ["vim", "nano", "vi"].into_iter().find(|program| is_in_path(program));
        let nobody = || Fault::no_editor("there is none of the editors vim, nano and vi".to_owned());
        return found.map(|program| vec![program.to_owned()]).ok_or_else(nobody);
    };
    let words = shlex::split(&command).filter(|words| !words.is_empty());
    words.ok_or_else(|| Fault::no_editor(format!("{name} is not a command line: a quote is not closed")))
}

fn is_in_path(program: &str) -> bool {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// What a new file begins with.
fn example(store: Store) -> &'static str {
    match store {
        Store::Yaml => "# Replace this with your secrets.\nuser: someone\npassword: something\n",
        Store::Json => "{\n\t\"user\": \"someone\",\n\t\"password\": \"something\"\n}\n",
        Store::Dotenv => "# Replace this with your secrets.\nUSER=someone\nPASSWORD=something\n",
        Store::Ini => "; Replace this with your secrets.\n[database]\nuser     = someone\npassword = something\n",
        Store::Binary => "Replace this with your secrets.\n",
    }
}
