//! The command line of sops: the program under the name `sops`, and `seal sops`.
//!
//! A thin face: it reads flags, finds files and configuration, and gives failures the exit codes of sops 3.13.3. What is done
//! with a file stands in `sealed`.

mod args;
mod child;
mod decrypt;
mod desk;
mod edit;
mod encrypt;
mod exec;
mod fault;
mod place;
mod recipients;
mod values;

pub(crate) use args::SopsArgs;
pub(crate) use fault::Fault;

use args::{Command, DecryptArgs, EditArgs, EncryptArgs, Global, Older, RotateArgs};

/// Does what was asked for.
pub(crate) fn run(args: SopsArgs) -> Result<(), Fault> {
    let SopsArgs { command, global, older } = args;
    match command {
        Some(Command::Encrypt(args)) => encrypt::run(&args, &global),
        Some(Command::Decrypt(args)) => decrypt::run(&args, &global),
        Some(Command::Edit(args)) => edit::run(&args, &global),
        Some(Command::Set(args)) => values::set(&args, &global),
        Some(Command::Unset(args)) => values::unset(&args, &global),
        Some(Command::Rotate(args)) => recipients::rotate(&args, &global),
        Some(Command::Updatekeys(args)) => recipients::update(&args, &global),
        Some(Command::ExecEnv(args)) => exec::env(&args, &global),
        Some(Command::ExecFile(args)) => exec::file(&args, &global),
        Some(Command::Filestatus(args)) => decrypt::status(&args),
        None => run_older(older, &global),
    }
}

/// The older way to call sops, without a command.
fn run_older(older: Older, global: &Global) -> Result<(), Fault> {
    let Older { file, decrypt, encrypt, rotate, set, target, types, creation, changed, extract } = older;
    let several = [decrypt, encrypt, rotate, set.is_some()].into_iter().filter(|mode| *mode).count() > 1;
    if several {
        return Err(Fault::conflicting("-e, -d, -r and --set can't be used together"));
    }
    let file = Some(file.ok_or_else(Fault::no_file)?);
    match set {
        Some(set) => values::set_in_one_word(file, &set, types, global),
        None if encrypt => encrypt::run(&EncryptArgs { file, target, types, creation }, global),
        None if decrypt => decrypt::run(&DecryptArgs { file, target, types, extract }, global),
        None if rotate => recipients::rotate(&RotateArgs { file, target, types, changed }, global),
        None => edit::run(&EditArgs { file, types, creation }, global),
    }
}
