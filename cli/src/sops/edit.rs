//! `sops edit`: the plain text of a file in the user's editor, and back.
//!
//! The text stands in a folder of its own that only the user can enter, in memory where there is such a place, and is wiped
//! when the editor ends or the program is asked to. The sealed file is replaced as a whole at the end, so that whatever happens
//! in between leaves it as it was.

use std::env;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, BufRead, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use waxwing_formats::SecretBytes;
use waxwing_formats::sops::{Document, Plain, Sealed, Store, Terms, VERSION};

use super::args::{EditArgs, Global};
use super::encrypt::{new_terms, written};
use super::fault::Fault;
use super::place::Place;
use crate::output;
use crate::sealed::{self, NewTerms, Opened, SealedError, Secrecy, seal_again, seal_anew};

/// Lets the user edit a file, or the example for a new one.
pub(crate) fn run(args: &EditArgs, global: &Global) -> Result<(), Fault> {
    let file = args.file.as_deref().ok_or_else(Fault::no_file)?;
    let place = Place::of_any(Some(file), &args.types, global)?;
    match file.exists() {
        true => edit(&place, file),
        false => edit_new(&place, file, new_terms(&place, &args.creation, global)?),
    }
}

fn edit(place: &Place, file: &Path) -> Result<(), Fault> {
    let opened = place.open()?;
    let text = opened.document.whole_as(place.output, place.indent());
    let text = text.map_err(|error| place.fault(Fault::of_output(error)))?;
    let sealed = until_it_seals(file, &text, place.output, |plain| seal_again(&opened, plain, newer_terms(&opened)))?;
    place.replace(written(Ok(sealed), place)?.as_bytes())
}

fn edit_new(place: &Place, file: &Path, terms: NewTerms) -> Result<(), Fault> {
    let example = SecretBytes::new(example(place.output).as_bytes().to_vec());
    let sealed = until_it_seals(file, &example, place.output, |plain| seal_anew(plain, terms.clone()))?;
    let text = written(Ok(sealed), place)?;
    sealed::write(file, text.as_bytes(), Secrecy::Sealed).map_err(|error| Fault::unwritable(file, &error))
}

/// A file that an older version wrote is one of this version afterwards.
fn newer_terms(opened: &Opened) -> Terms {
    let terms = opened.document.terms();
    let numbers = |version: &str| version.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    let version = terms.version.filter(|version| numbers(version) >= numbers(VERSION));
    Terms { version, ..terms }
}

/// Runs the editor again for as long as what was written in it can't be sealed and the user wants to go on.
fn until_it_seals(
    file: &Path,
    text: &SecretBytes,
    store: Store,
    seal: impl Fn(Plain) -> Result<Document<Sealed>, SealedError>,
) -> Result<Document<Sealed>, Fault> {
    let desk = Desk::new(file, text)?;
    loop {
        run_editor(&desk.file)?;
        let edited = desk.read()?;
        if edited.ct_eq(text) {
            return Err(Fault::unchanged());
        }
        let plain = Plain::parse(edited.expose_secret(), store).map_err(Fault::of_plain);
        match plain.and_then(|plain| seal(plain).map_err(Fault::from)) {
            Ok(sealed) => return Ok(sealed),
            Err(fault) => go_on_after(fault)?,
        }
    }
}

/// Tells what is wrong and waits for the user; where nobody is there, that is the end.
fn go_on_after(fault: Fault) -> Result<(), Fault> {
    output::complain_of(&fault, fault.hint());
    output::note("press Enter to go back to the editor, or Ctrl-C to leave the file as it was");
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(fault),
    }
}

/// The text where the editor finds it. It is wiped when this is dropped.
struct Desk {
    /// Removed after the text was wiped.
    _folder: TempDir,
    file: PathBuf,
}

impl Desk {
    fn new(file: &Path, text: &SecretBytes) -> Result<Self, Fault> {
        let refused = |error: io::Error| Fault::unwritable(file, &error);
        let private = Permissions::from_mode(0o700);
        let folder = Builder::new().prefix("seal-").permissions(private).tempdir_in(in_memory()).map_err(refused)?;
        // Editors go by the ending of the name.
        let name = file.file_name().unwrap_or("secrets".as_ref());
        let desk = Self { file: folder.path().join(name), _folder: folder };
        let mut written = OpenOptions::new().write(true).create_new(true).open(&desk.file).map_err(refused)?;
        written.set_permissions(Permissions::from_mode(0o600)).map_err(refused)?;
        written.write_all(text.expose_secret()).map_err(refused)?;
        Ok(desk)
    }

    fn read(&self) -> Result<SecretBytes, Fault> {
        let text = sealed::read(Some(&self.file)).map_err(|error| Fault::unreadable(Some(&self.file), &error))?;
        Ok(SecretBytes::concat(&[&text]))
    }

    /// Writes over the text. What an editor left elsewhere in the folder goes with the folder.
    fn wipe(&self) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(&self.file)?;
        let length = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        io::copy(&mut io::Read::take(io::repeat(0), length), &mut file)?;
        file.sync_all()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // The folder is removed whether this worked or not.
        let _ = self.wipe();
    }
}

/// Returns the user's own folder in memory, else the shared one, else the one for temporary files.
fn in_memory() -> PathBuf {
    let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let places = own.into_iter().chain([PathBuf::from("/dev/shm")]);
    places.into_iter().find(|path| fs::metadata(path).is_ok_and(|folder| folder.is_dir())).unwrap_or_else(env::temp_dir)
}

/// Runs the editor that the user chose, or one that is there. Ctrl-C is the editor's; a request to end ends it, and the text is
/// wiped.
fn run_editor(file: &Path) -> Result<(), Fault> {
    let words = editor()?;
    let refused =
        |error: io::Error| Fault::no_editor(format!("failed to run the editor {:?}: {error}", words.join(" ")));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(refused)?;
    let ended = runtime.block_on(async {
        let mut interrupted = signal(SignalKind::interrupt())?;
        let (mut terminated, mut hung_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
        let mut command = Command::new(words.first().map_or("", String::as_str));
        let mut child = command.args(words.iter().skip(1)).arg(file).kill_on_drop(true).spawn()?;
        loop {
            tokio::select! {
                status = child.wait() => return status.map(Some),
                _ = interrupted.recv() => {}
                _ = terminated.recv() => return Ok(None),
                _ = hung_up.recv() => return Ok(None),
            }
        }
    });
    match ended.map_err(refused)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(Fault::no_editor(format!("the editor {:?} failed: {status}", words.join(" ")))),
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
