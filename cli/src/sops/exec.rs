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
use std::process::{ExitStatus, Stdio};
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::process::Command;
use waxwing_formats::SecretBytes;

use super::account::Account;
use super::args::{ExecEnvArgs, ExecFileArgs, Global, RunFlags, Types};
use super::child::Watch;
use super::desk::Desk;
use super::fault::Fault;
use super::place::Place;
use crate::output;

/// The name of the file, if none is asked for.
const USUAL_NAME: &str = "tmp-file";

const EXEC_ENV: &str = "exec-env";
const EXEC_FILE: &str = "exec-file";

/// Runs a command with the values of a file in its environment.
pub(crate) fn env(args: &ExecEnvArgs, global: &Global) -> Result<(), Fault> {
    let ExecEnvArgs { file, command, pristine, same_process, run } = args;
    if run.background && *same_process {
        return Err(Fault::conflicting("--same-process and --background can't be used together"));
    }
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
    shell.envs(become_user(run)?);
    for (name, value) in &values {
        shell.env(name, OsString::from_vec(value.expose_secret().to_vec()));
    }
    match same_process {
        true => Err(Fault::not_run(EXEC_ENV, &shell.exec())),
        false if run.background => start(shell),
        false => status(EXEC_ENV, Watch::new().and_then(|mut watch| watch.run(Command::from(shell)))),
    }
}

/// Becomes the user that is named, if one is, and returns what is new in the environment then.
fn become_user(run: &RunFlags) -> Result<Vec<(&'static str, OsString)>, Fault> {
    let Some(name) = run.user.as_deref().filter(|name| !name.is_empty()) else {
        return Ok(Vec::new());
    };
    let account = Account::named(name)?;
    account.enter()?;
    Ok(account.variables().into())
}

/// Starts a command that nobody waits for.
fn start(mut shell: std::process::Command) -> Result<(), Fault> {
    output::note("--background is deprecated in sops: better let the shell send a command to the background");
    let started = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    started.map(drop).map_err(|error| Fault::not_run(EXEC_ENV, &error))
}

/// Runs a command with the text of a file in a file whose name stands where `{}` stands in the command.
pub(crate) fn file(args: &ExecFileArgs, global: &Global) -> Result<(), Fault> {
    let ExecFileArgs { file, command, no_fifo, filename, run, formats } = args;
    if run.background {
        return Err(Fault::no_background());
    }
    let place = Place::new(Some(file), &formats.clone().into(), global)?;
    let name = Path::new(filename.as_deref().unwrap_or(USUAL_NAME));
    let is_name = matches!(name.components().collect::<Vec<_>>().as_slice(), [Component::Normal(_)]);
    if !is_name {
        return Err(Fault::conflicting("--filename must be a name without folders"));
    }
    let text = place.open()?.document.whole_as(place.output, place.indent());
    let text = text.map_err(|error| place.fault(Fault::of_output(error)))?;
    let variables = become_user(run)?;
    let refused = |error: io::Error| Fault::unwritable(file, &error);
    let mut watch = Watch::new().map_err(refused)?;
    let desk = Desk::new().map_err(refused)?;
    let shell = |path: &Path| {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(command.replace("{}", &path.display().to_string())).envs(variables);
        shell
    };
    match no_fifo {
        true => {
            let sheet = desk.put(name, &text).map_err(refused)?;
            status(EXEC_FILE, watch.run(shell(sheet.path())))
        }
        false => {
            let pipe = desk.place(name);
            feed(&pipe, text).map_err(refused)?;
            status(EXEC_FILE, watch.run(shell(&pipe)))
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
