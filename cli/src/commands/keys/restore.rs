//! `seal keys restore`: keys of a backup into a cluster.

use std::path::PathBuf;

use clap::Args;

use crate::args::Outcome;
use crate::cluster::{ClusterArgs, Connection};
use crate::error::{Error, Wrong};
use crate::output;
use crate::sealing::{Backup, KeySecret, KeySecrets};
use crate::verify::counted;

/// Create the sealing keys of a backup that the cluster does not have
///
/// Reads what `seal keys backup` wrote, which your own keys have to open, or a list of Secrets in the clear, as `kubectl get secret -o
/// yaml` prints it. Each key has to be one, with its certificate. They go into the controller's namespace, whatever the backup says. A
/// Secret that is there is never changed: with another key of the same name nothing is done at all. The controller takes new keys up by itself.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RestoreArgs {
    /// The backup; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    cluster: ClusterArgs,
}

const EXAMPLES: &str = "\
Examples:
  seal keys restore --dry-run sealing-keys.sops.yaml
  seal keys restore sealing-keys.sops.yaml

Exit codes:
  0  all keys of the backup are in the cluster
  1  they are not, and standard error says why
  2  with --dry-run: there is something to restore";

/// What is to be done with a key.
enum Step {
    Create,
    /// It is there, under this name.
    Leave {
        name: String,
        is_active: bool,
    },
    /// Another key has its name.
    Taken,
}

/// Restores, or says what would be restored.
pub(super) fn run(args: &RestoreArgs) -> Result<Outcome, Error> {
    let RestoreArgs { file, dry_run, cluster } = args;
    let backup = Backup::read(file)?;
    let connection = cluster.connect()?;
    let present = KeySecrets::read(&connection)?;
    let mut steps = Vec::new();
    for key in &backup.keys {
        steps.push((key, step(key, &present, &connection)?));
    }
    let taken = steps.iter().filter(|(_, step)| matches!(step, Step::Taken));
    let wrong: Vec<_> = taken.map(|(key, _)| taken_name(key, &connection)).collect();
    if !wrong.is_empty() {
        return Err(Error::Several(wrong));
    }
    let mut text = String::new();
    for (key, step) in &steps {
        text.push_str(&line(key, step, *dry_run));
        if let (Step::Create, false) = (step, dry_run) {
            key.create(&connection)?;
        }
    }
    let created = steps.iter().filter(|(_, step)| matches!(step, Step::Create)).count();
    let what = if *dry_run { "to restore" } else { "restored" };
    text.push_str(&format!("{} {what}\n", counted(created, "key")));
    output::print(&text)?;
    if created > 0 && !dry_run {
        output::note(
            "the controller takes them up without a restart; the Sealed Secrets controller only with --watch-for-secrets",
        );
    }
    Ok(if *dry_run && created > 0 { Outcome::Found } else { Outcome::Done })
}

fn step(key: &KeySecret, present: &KeySecrets, connection: &Connection) -> Result<Step, Error> {
    let fingerprint = key.checked().ok();
    // A Secret with the certificate and another key, or a broken one, opens nothing.
    let of = |secret: &KeySecret| secret.checked().ok();
    let leave = |secret: &KeySecret| Step::Leave { name: secret.name.clone(), is_active: secret.is_active() };
    // A Secret of this name without the label is not among the keys.
    let named = match present.0.iter().find(|secret| secret.name == key.name) {
        Some(_) => None,
        None => KeySecrets::one(connection, &key.name)?,
    };
    let named = named.as_ref().or_else(|| present.0.iter().find(|secret| secret.name == key.name));
    Ok(match named {
        Some(secret) if of(secret) == fingerprint => leave(secret),
        Some(_) => Step::Taken,
        None => present.0.iter().find(|secret| of(secret) == fingerprint).map_or(Step::Create, leave),
    })
}

fn taken_name(key: &KeySecret, connection: &Connection) -> Wrong {
    let place = format!("Secret {}/{}", connection.namespace, key.name);
    let hint = "rename one of the two: the controller goes by the label and not by the name".to_owned();
    Wrong::at(&place, &Taken, Some(hint))
}

#[derive(Debug, thiserror::Error)]
#[error("it is there and holds something else, so nothing was restored")]
struct Taken;

fn line(key: &KeySecret, step: &Step, dry_run: bool) -> String {
    let name = &key.name;
    match step {
        Step::Create if dry_run => format!("{name} would be created\n"),
        Step::Create => format!("{name} created\n"),
        Step::Leave { name: other, is_active: true } if other == name => format!("{name} is there already\n"),
        Step::Leave { name: other, is_active: true } => format!("{name} is there already, as {other}\n"),
        Step::Leave { name: other, is_active: false } => {
            format!("{name} is there already, as {other}, and its label keeps it out of use\n")
        }
        Step::Taken => String::new(),
    }
}
