//! `sops exec-env` and `sops exec-file`: a command that gets what was opened, in its environment or in a file.
//!
//! It is what the user asks for; nothing of it is printed or left on the disk. The file is a pipe that can be read once, unless
//! a regular file is asked for.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Component, Path};
use std::process::ExitStatus;
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::process::Command;
use waxwing_formats::SecretBytes;

use super::args::{ExecEnvArgs, ExecFileArgs, Global, Types};
use super::child::Watch;
use super::desk::Desk;
use super::fault::Fault;
use super::place::Place;

/// The name of the file, if none is asked for.
const USUAL_NAME: &str = "tmp-file";

const EXEC_ENV: &str = "exec-env";
const EXEC_FILE: &str = "exec-file";

/// Runs a command with the values of a file in its environment.
pub(crate) fn env(args: &ExecEnvArgs, global: &Global) -> Result<(), Fault> {
    let ExecEnvArgs { file, command, pristine, same_process } = args;
    let place = Place::new(Some(file), &Types::default(), global)?;
    let opened = place.open()?;
    let values = opened.document.plain().into_values().map_err(|error| place.fault(Fault::of_environment(error)))?;
    if let Some((name, _)) = values.iter().find(|(name, _)| name.contains(['=', '\0']) || name.is_empty()) {
        return Err(place.fault(Fault::bad_variable(name)));
    }
    let mut shell = std::process::Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    if *pristine {
        shell.env_clear();
    }
    for (name, value) in &values {
        shell.env(name, OsString::from_vec(value.expose_secret().to_vec()));
    }
    match same_process {
        true => Err(Fault::not_run(EXEC_ENV, &shell.exec())),
        false => status(EXEC_ENV, Watch::new().and_then(|mut watch| watch.run(Command::from(shell)))),
    }
}

/// Runs a command with the text of a file in a file whose name stands where `{}` stands in the command.
pub(crate) fn file(args: &ExecFileArgs, global: &Global) -> Result<(), Fault> {
    let ExecFileArgs { file, command, no_fifo, filename, formats } = args;
    let place = Place::new(Some(file), &formats.clone().into(), global)?;
    let name = Path::new(filename.as_deref().unwrap_or(USUAL_NAME));
    let is_name = matches!(name.components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)]);
    if !is_name {
        return Err(Fault::conflicting("--filename must be a name without folders"));
    }
    let text = place.open()?.document.whole_as(place.output, place.indent());
    let text = text.map_err(|error| place.fault(Fault::of_output(error)))?;
    let refused = |error: io::Error| Fault::unwritable(file, &error);
    let mut watch = Watch::new().map_err(refused)?;
    let desk = Desk::new().map_err(refused)?;
    match no_fifo {
        true => {
            let sheet = desk.put(name, &text).map_err(refused)?;
            status(EXEC_FILE, watch.run(shell(command, sheet.path())))
        }
        false => {
            let pipe = desk.place(name);
            feed(&pipe, text).map_err(refused)?;
            status(EXEC_FILE, watch.run(shell(command, &pipe)))
        }
    }
}

/// Makes a pipe, and writes a text into it as soon as somebody reads. If nobody ever does, that ends with the program.
fn feed(pipe: &Path, text: SecretBytes) -> io::Result<()> {
    mknodat(CWD, pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    let pipe = pipe.to_owned();
    thread::spawn(move || {
        // A reader that has seen enough is no failure, and nobody could be told of another one.
        let _ = OpenOptions::new().write(true).open(pipe).and_then(|mut pipe| pipe.write_all(text.expose_secret()));
    });
    Ok(())
}

fn shell(command: &str, file: &Path) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command.replace("{}", &file.display().to_string()));
    shell
}

/// The exit code of the command is ours.
fn status(verb: &str, ended: io::Result<Option<ExitStatus>>) -> Result<(), Fault> {
    match ended.map_err(|error| Fault::not_run(verb, &error))? {
        None => Err(Fault::interrupted()),
        Some(status) if status.success() => Ok(()),
        Some(status) => {
            let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
            let killed = status.signal().map_or_else(String::new, |signal| format!(" of signal {signal}"));
            Err(Fault::of_command(code, &killed))
        }
    }
}
