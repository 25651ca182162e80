//! The command line as clap sees it; the doc comments are the help texts.

use std::ffi::{OsStr, OsString};
use std::mem::ManuallyDrop;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::commands::{audit, cert, completion, edit, keys, new, plan, refs, rotate, run, seal, verify};
use crate::error::Error;
use crate::kubeseal::{self, KubesealArgs};
use crate::sops::{self, SopsArgs};

/// Seal Kubernetes Secrets so that they can be committed
///
/// Without a command, reads Secrets as YAML or JSON and prints a SealedSecret for each. Only the cluster whose certificate
/// was used can open them. Everything else in the input than Secrets is refused, and then nothing is printed.
#[derive(Parser)]
#[command(
    name = "seal",
    version,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    seal: seal::SealArgs,
}

const EXAMPLES: &str = "\
Examples:
  kubectl create secret generic db --from-file=password --dry-run=client -o yaml | seal > db.yaml
  seal -f secret.yaml --cert cluster.pem > sealed.yaml
  seal new db --prompt password > db.yaml
  seal plan clusters/prod --against origin/main
  seal verify
  seal edit secrets/db.yaml
  seal rotate --dry-run .
  seal keys list

Exit codes:
  0  it worked
  1  it did not, and standard error says why; nothing was printed to standard output, but for what `seal rotate` did
  2  `seal plan` found changes, `seal verify` what should not be committed, `seal refs` what is no reference or none that is allowed, or --dry-run what would be done
`seal sops` and `seal kubeseal` have the codes of sops and kubeseal, and `seal run` that of its command; their help lists them.";

#[derive(Subcommand)]
#[command(defer = true)]
enum Command {
    Cert(cert::CertArgs),
    New(Box<new::NewArgs>),
    Plan(plan::PlanArgs),
    Verify(verify::VerifyArgs),
    Audit(audit::AuditArgs),
    Refs(refs::RefsArgs),
    Run(Box<run::RunArgs>),
    Edit(Box<edit::EditArgs>),
    Rotate(Box<rotate::RotateArgs>),
    Keys(keys::KeysArgs),
    Sops(Box<SopsArgs>),
    Kubeseal(Box<KubesealArgs>),
    Completion(completion::CompletionArgs),
}

/// The program as it is called under the name `sops`.
#[derive(Parser)]
#[command(
    name = "sops",
    disable_version_flag = true,
    version = concat!("3.13.3 (seal ", env!("CARGO_PKG_VERSION"), ")"),
)]
struct Sops {
    /// Print the version
    #[arg(short, long, action = clap::ArgAction::Version)]
    version: Option<bool>,

    #[command(flatten)]
    args: SopsArgs,
}

/// The program as it is called under the name `kubeseal`.
#[derive(Parser)]
#[command(name = "kubeseal")]
struct Kubeseal {
    #[command(flatten)]
    args: KubesealArgs,
}

/// Returns the command line of `kubeseal`.
pub(crate) fn kubeseal_command() -> clap::Command {
    Kubeseal::command()
}

/// Returns the command line of `sops`.
pub(crate) fn sops_command() -> clap::Command {
    Sops::command()
}

/// Where a value is set or a command is given on the command line, a word in the wrong place may be that value, or a part of a
/// command with a secret in it, so it is not shown.
fn without_values(mut error: clap::Error, words: &[OsString]) -> clap::Error {
    let is_one = |word: &OsString| ["set", "--set", "exec-env", "exec-file", "run"].iter().any(|one| word == one);
    let takes_secrets = |word: &OsString| is_one(word) || word.as_encoded_bytes().starts_with(b"--set=");
    if words.iter().any(takes_secrets) {
        for kind in [ContextKind::InvalidArg, ContextKind::InvalidValue, ContextKind::InvalidSubcommand] {
            if error.get(kind).is_some() {
                error.insert(kind, ContextValue::String("(not shown)".to_owned()));
            }
        }
        for kind in [ContextKind::Suggested, ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            let _ = error.remove(kind);
        }
    }
    error
}

/// Something to say about the arguments, and the exit code if they are wrong.
pub(crate) struct Usage {
    pub(crate) error: clap::Error,
    pub(crate) code: u8,
}

impl Usage {
    fn new(error: clap::Error, words: &[OsString]) -> Self {
        let is_kubeseal = |word: Option<&OsString>| {
            word.and_then(|word| Path::new(word).file_stem()).is_some_and(|name| name == "kubeseal")
        };
        let code = if is_kubeseal(words.first()) || is_kubeseal(words.get(1)) { 2 } else { 1 };
        Self { error: without_values(error, words), code }
    }
}

/// As [`Parser::try_parse_from`], in less time: of the commands only the one that is called is described in full, unless there is
/// something to explain, and the description is left in memory. To take it apart and wipe it is a fifth of all that it takes to
/// open a small file, and the process ends soon.
fn parsed<T: Parser>(words: &[OsString]) -> Result<T, clap::Error> {
    let mut command = ManuallyDrop::new(T::command());
    let mut matches =
        command.try_get_matches_from_mut(words).map_err(|error| explained::<T>(words).unwrap_or(error))?;
    T::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Says what clap says where it knows all commands, with what each of them is for.
fn explained<T: Parser>(words: &[OsString]) -> Option<clap::Error> {
    let mut command = T::command();
    command.build();
    command.try_get_matches_from_mut(words).err()
}

/// What the program was called as.
pub(crate) enum Call {
    /// `seal`.
    Seal(Box<Cli>),
    /// `sops`.
    Sops(Box<SopsArgs>),
    /// `kubeseal`.
    Kubeseal(Box<KubesealArgs>),
}

impl Call {
    /// Reads the command line, whose first word is the name of the program.
    pub(crate) fn read(words: impl Iterator<Item = OsString>) -> Result<Self, Usage> {
        let words: Vec<OsString> = words.collect();
        let name = words.first().and_then(|program| Path::new(program).file_stem()).and_then(OsStr::to_str);
        match name {
            Some("sops") => parsed::<Sops>(&words).map(|Sops { args, .. }| Self::Sops(Box::new(args))),
            Some("kubeseal") => parsed::<Kubeseal>(&words).map(|Kubeseal { args }| Self::Kubeseal(Box::new(args))),
            _ => match Self::other_program(&words) {
                Some(call) => Ok(call),
                None => parsed::<Cli>(&words).map(|cli| Self::Seal(Box::new(cli))),
            },
        }
        .map_err(|error| Usage::new(error, &words))
    }

    /// Reads what stands behind `seal kubeseal`, without a description of what `seal` does, which takes longer than to seal. Where there
    /// is something to explain, that is done by what knows all commands.
    fn other_program(words: &[OsString]) -> Option<Self> {
        let words = words.get(1..)?;
        if words.first()? != "kubeseal" {
            return None;
        }
        let mut command = ManuallyDrop::new(Kubeseal::command());
        let mut matches = command.try_get_matches_from_mut(words).ok()?;
        let Kubeseal { args } = Kubeseal::from_arg_matches_mut(&mut matches).ok()?;
        Some(Self::Kubeseal(Box::new(args)))
    }

    /// Does what was asked for.
    pub(crate) fn run(self) -> Result<Outcome, Error> {
        match self {
            Self::Seal(cli) => cli.run(),
            Self::Sops(args) => Ok(sops::run(*args).map(|()| Outcome::Done)?),
            Self::Kubeseal(args) => Ok(kubeseal::run(&args).map(|()| Outcome::Done)?),
        }
    }
}

impl Cli {
    fn run(self) -> Result<Outcome, Error> {
        match self.command {
            None => seal::run(&self.seal).map(|()| Outcome::Done),
            Some(Command::Cert(args)) => cert::run(&args).map(|()| Outcome::Done),
            Some(Command::New(args)) => new::run(*args).map(|()| Outcome::Done),
            Some(Command::Plan(args)) => plan::run(&args),
            Some(Command::Verify(args)) => verify::run(&args),
            Some(Command::Audit(args)) => audit::run(&args).map(|()| Outcome::Done),
            Some(Command::Refs(args)) => refs::run(&args),
            Some(Command::Run(args)) => run::run(&args).map(|()| Outcome::Done),
            Some(Command::Edit(args)) => edit::run(*args).map(|()| Outcome::Done),
            Some(Command::Rotate(args)) => rotate::run(&args),
            Some(Command::Keys(args)) => keys::run(args),
            Some(Command::Sops(args)) => Call::Sops(args).run(),
            Some(Command::Kubeseal(args)) => Call::Kubeseal(args).run(),
            Some(Command::Completion(args)) => completion::run(&args).map(|()| Outcome::Done),
        }
    }
}

/// What came of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There is nothing more to say.
    Done,
    /// There is what was looked for, which a script may want to know.
    Found,
}
