//! `sops publish`: what stands in files, in the clear, to key/value engines of Vault and OpenBao.
//!
//! The rules of `.sops.yaml` say where; `sealed` reads them. What is there already is not written again.
//! Source: sops 3.13.3, `cmd/sops/subcommand/publish` and `publish/vault.go`.

use std::env;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use waxwing_formats::sops::{Plain, SopsError, Store};
use waxwing_formats::{SecretBytes, Segment};
use waxwing_keys::ServiceError;

use super::args::{Global, PublishArgs, Types};
use super::fault::Fault;
use super::place::{Place, Places};
use super::recipients::is_agreed_for;
use crate::output;
use crate::sealed::{KvVersion, Secrets};

/// The server, if neither a rule nor `VAULT_ADDR` names one.
const USUAL_ADDRESS: &str = "https://127.0.0.1:8200";

/// Publishes a file, or all files of a folder.
pub(crate) fn run(args: &PublishArgs, global: &Global) -> Result<(), Fault> {
    let places = Places::new(global);
    places.configuration()?.ok_or_else(Fault::no_destinations)?;
    let path = args.path.as_deref().ok_or_else(Fault::no_file)?;
    let metadata = fs::metadata(path).map_err(|error| Fault::not_published(path, &error))?;
    if metadata.is_dir() && !args.recursive {
        return Err(Fault::not_recursive(path));
    }
    let root = if metadata.is_dir() { shortened(path) } else { path.to_owned() };
    let files = files(&root).map_err(|error| Fault::not_published(path, &error))?;
    files.iter().try_for_each(|file| publish(args, &root, file, &places))
}

/// Carries every `.` and `..` out on the names alone, as Go does before it goes through a folder; rules see the result.
fn shortened(path: &Path) -> PathBuf {
    let mut shortened = PathBuf::new();
    for part in path.components() {
        match (part, shortened.components().next_back()) {
            (Component::CurDir, _) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => drop(shortened.pop()),
            (part, _) => shortened.push(part),
        }
    }
    shortened
}

/// Returns all files below a path, or itself, in the order of their names.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    // An empty path is the working folder, and in front of no name.
    let here = if path == Path::new("") { Path::new(".") } else { path };
    if !fs::symlink_metadata(here)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut names =
        fs::read_dir(here)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    let mut found = Vec::new();
    for name in names {
        found.extend(files(&path.join(name))?);
    }
    Ok(found)
}

fn publish(args: &PublishArgs, root: &Path, file: &Path, places: &Places<'_>) -> Result<(), Fault> {
    let configuration = places.configuration()?.ok_or_else(Fault::no_destinations)?;
    let destination = configuration.destination(file)?;
    let name = name(root, file, args.omit_extensions || destination.omits_extensions);
    let name = name.ok_or_else(|| Fault::nameless_there(file))?;
    let place = places.at(Some(file), &Types::default())?;
    let text = text(&place)?;
    let address = destination.address.clone().unwrap_or_else(usual_address);
    let there = destination.path(&name);
    let shown = format!("{}/v1/{there}", address.trim_end_matches('/'));
    if !args.yes && !is_agreed_for(file, &format!("Publish {} to {shown}?", file.display()))? {
        output::note(&format!("{} is not published", file.display()));
        return if args.recursive { Ok(()) } else { Err(Fault::canceled(file)) };
    }
    let refused = |error: ServiceError| Fault::of_destination(&shown, &error).in_file(Some(file));
    let secrets = Secrets::at(&address).map_err(refused)?;
    if is_there(&secrets, &there, destination.version, &text).map_err(refused)? {
        output::note(&format!("{shown} has what is in {} already", file.display()));
        return Ok(());
    }
    secrets.write(&there, &wrapped(&text, destination.version)).map_err(refused)
}

/// Opens a file, and returns what stands in all of its documents as one JSON object.
fn text(place: &Place) -> Result<SecretBytes, Fault> {
    let document = place.sealed().map_err(Fault::without_code)?;
    let opened = place.unlock(document, &place.identities())?;
    let text = json(opened.document.plain());
    text.map_err(|error| place.fault(Fault::of_output(error)).without_code())
}

/// Writes a mapping in the one way in which two that are equal are written alike.
fn json(plain: Plain) -> Result<SecretBytes, SopsError> {
    plain.into_one_mapping().write(Store::Json, Some(0))
}

/// Returns the name of a file there: its path below the folder that is published, or its own name.
fn name(root: &Path, file: &Path, omits_extensions: bool) -> Option<String> {
    let below = file.strip_prefix(root).ok().filter(|below| !below.as_os_str().is_empty());
    let path = below.or_else(|| file.file_name().map(Path::new))?;
    let last = path.file_name()?.to_str()?;
    let ending = last.rfind('.').filter(|_| omits_extensions).and_then(|at| last.get(at..));
    let name = path.to_str()?.strip_suffix(ending.unwrap_or_default())?;
    (!name.is_empty() && !name.ends_with('/')).then(|| name.to_owned())
}

fn usual_address() -> String {
    env::var("VAULT_ADDR").ok().filter(|address| !address.is_empty()).unwrap_or_else(|| USUAL_ADDRESS.to_owned())
}

/// Tells whether what stands there says the same. Who may write and not read finds nothing.
fn is_there(secrets: &Secrets, path: &str, version: KvVersion, text: &SecretBytes) -> Result<bool, ServiceError> {
    let answer = match secrets.read(path) {
        Ok(Some(answer)) => answer,
        Ok(None) => return Ok(false),
        Err(ServiceError::Denied { .. }) => {
            output::note("what is there already can't be read, so it is written in any case");
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let data = Segment::Key("data".to_owned());
    let way = match version {
        KvVersion::One => vec![data],
        KvVersion::Two => vec![data.clone(), data],
    };
    let there =
        || json(Plain::parse(answer.expose_secret(), Store::Json).ok()?.into_part(&way).ok()?.into_mapping()?).ok();
    Ok(there().is_some_and(|there| there.ct_eq(text)))
}

/// Puts around a secret what the engine wants there.
fn wrapped(text: &SecretBytes, version: KvVersion) -> SecretBytes {
    match version {
        KvVersion::One => SecretBytes::concat(&[text.expose_secret()]),
        KvVersion::Two => SecretBytes::concat(&[b"{\"data\":", text.expose_secret(), b"}"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_gone_through_by_its_shortest_name() {
        for (path, wanted) in [("./a/b/", "a/b"), ("a/../b", "b"), ("../a/.", "../a"), (".", ""), ("/a/../b", "/b")] {
            assert_eq!(shortened(Path::new(path)), Path::new(wanted), "{path}");
        }
    }

    #[test]
    fn a_file_has_its_path_below_the_folder_that_is_published() {
        let name = |root: &str, file: &str, omits| name(Path::new(root), Path::new(file), omits);
        for (root, file, omits, wanted) in [
            ("db.yaml", "db.yaml", false, Some("db.yaml")),
            ("a/db.yaml", "a/db.yaml", true, Some("db")),
            ("a", "a/b.c/db", true, Some("b.c/db")),
            ("a", "a/b/db.enc.yaml", true, Some("b/db.enc")),
            ("a", "a/b/.env", true, None),
            ("", "a/db.yaml", false, Some("a/db.yaml")),
            (".env", ".env", true, None),
            (".env", ".env", false, Some(".env")),
        ] {
            assert_eq!(name(root, file, omits).as_deref(), wanted, "{root} {file}");
        }
    }
}
