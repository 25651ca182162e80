//! The command line of sops: the program under the name `sops`, and `seal sops`.
//!
//! A thin face: it reads flags, finds files and configuration, and gives failures the exit codes of sops 3.13.3. What is done
//! with a file stands in `sealed`.

mod account;
mod args;
mod child;
mod decrypt;
mod desk;
mod edit;
mod encrypt;
mod exec;
mod fault;
mod groups;
mod keyservice;
mod place;
mod publish;
mod question;
mod recipients;
mod values;

pub(crate) use args::{CreationFlags, DraftFlag, EditArgs, KeyFlags, KeyServiceFlags, SopsArgs};
pub(crate) use edit::{run_under as edit_under, until_it_seals};
pub(crate) use fault::Fault;

use std::collections::HashSet;

use args::{Command, CompletionArgs, DecryptArgs, EncryptArgs, Global, Older, RotateArgs};

use crate::args::sops_command;
use crate::output;

/// Does what was asked for.
pub(crate) fn run(args: SopsArgs) -> Result<(), Fault> {
    let SopsArgs { command, global, older } = args;
    check(&global)?;
    match command {
        Some(Command::Encrypt(args)) => encrypt::run(&args, &global),
        Some(Command::Decrypt(args)) => decrypt::run(&args, &global),
        Some(Command::Edit(args)) => edit::run(&args, &global),
        Some(Command::Set(args)) => values::set(&args, &global),
        Some(Command::Unset(args)) => values::unset(&args, &global),
        Some(Command::Rotate(args)) => recipients::rotate(&args, &global),
        Some(Command::Updatekeys(args)) => recipients::update(&args, &global),
        Some(Command::Groups(args)) => groups::run(&args, &global),
        Some(Command::ExecEnv(args)) => exec::env(&args, &global),
        Some(Command::ExecFile(args)) => exec::file(&args, &global),
        Some(Command::Publish(args)) => publish::run(&args, &global),
        Some(Command::Keyservice(args)) => keyservice::run(&args, &global),
        Some(Command::Filestatus(args)) => decrypt::status(&args),
        Some(Command::Completion(args)) => complete(&args),
        None => run_older(older, &global),
    }
}

/// Refuses what no command could follow.
fn check(global: &Global) -> Result<(), Fault> {
    global.services.warn();
    let kinds = global.decryption_order.as_deref().unwrap_or_default();
    let mut seen = HashSet::new();
    match kinds.split(',').find(|kind| !seen.insert(*kind)) {
        Some(twice) => Err(Fault::ordered_twice(twice)),
        None => Ok(()),
    }
}

/// Prints a completion script.
fn complete(args: &CompletionArgs) -> Result<(), Fault> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut sops_command(), "sops", &mut script);
    output::print_bytes(&script).map_err(|error| Fault::from_cli(&error))
}

/// The older way to call sops, without a command.
fn run_older(older: Older, global: &Global) -> Result<(), Fault> {
    let Older {
        files,
        decrypt,
        encrypt,
        rotate,
        set,
        target,
        types,
        creation,
        context,
        changed,
        trust,
        draft,
        extract,
    } = older;
    let several = [decrypt, encrypt, rotate, set.is_some()].into_iter().filter(|mode| *mode).count() > 1;
    if several {
        return Err(Fault::conflicting("-e, -d, -r and --set can't be used together"));
    }
    let file = Some(files.first().cloned().ok_or_else(Fault::no_file)?);
    if files.len() > 1 && !decrypt {
        return Err(Fault::second_file());
    }
    match set {
        Some(set) => values::set_in_one_word(file, &set, types, trust, global),
        None if encrypt => encrypt::run(&EncryptArgs { file, target, types, creation, context }, global),
        None if decrypt => decrypt::run(&DecryptArgs { files, target, types, extract, trust }, global),
        None if rotate => recipients::rotate(&RotateArgs { file, target, types, changed, context, trust }, global),
        None => edit::run(&EditArgs { file, types, creation, context, draft, trust }, global),
    }
}
