//! `seal keys retire`: a key that nothing needs any more is taken out of use, or deleted.

use std::fmt::Write;

use clap::Args;

use super::Places;
use crate::args::Outcome;
use crate::cluster::ClusterArgs;
use crate::error::Error;
use crate::output;
use crate::sealing::{KeySecret, KeySecrets, Needs, Opener};
use crate::verify::counted;

/// Take a sealing key out of use, or delete it, if nothing needs it any more
///
/// The key gets the label compromised, as the Sealed Secrets project does it, so that it opens nothing and can be put back by the label
/// active. Say with --needed-by and --in-cluster where what is sealed may be; as long as an item there needs the key, or something could not
/// be looked into, or it is the last key that opens, nothing is done. What older revisions in Git need is not looked at.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RetireArgs {
    /// The name of its Secret, or its fingerprint
    #[arg(value_name = "KEY")]
    key: String,

    /// Delete its Secret; back it up first
    #[arg(long)]
    delete: bool,

    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Do it even though something needs the key, or nobody knows
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    places: Places,

    #[command(flatten)]
    cluster: ClusterArgs,
}

const EXAMPLES: &str = "\
Examples:
  seal keys retire sealed-secrets-key5rxd9 --in-cluster --needed-by . --dry-run
  seal keys retire sealed-secrets-key5rxd9 --in-cluster --needed-by .
  seal keys retire sealed-secrets-key5rxd9 --in-cluster --needed-by . --delete

Exit codes:
  0  the key is out of use
  1  it is not, and standard error says why
  2  with --dry-run: it would be taken out of use";

/// Why a key stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RetireError {
    /// There is no such key.
    #[error("there is no sealing key {key} in namespace {namespace}")]
    NoKey {
        /// What was named.
        key: String,
        /// The controller's namespace.
        namespace: String,
    },
    /// Nobody said where to look for what needs it.
    #[error("nobody has looked for what needs the key {name}")]
    NotLooked {
        /// The name of the Secret.
        name: String,
    },
    /// Something needs it.
    #[error("the key {name} is still needed by {count}:\n{items}")]
    Needed {
        /// The name of the Secret.
        name: String,
        /// How many items.
        count: String,
        /// Each on a line.
        items: String,
    },
    /// Something may need it.
    #[error("what needs the key {name} is not known:\n{places}")]
    Unread {
        /// The name of the Secret.
        name: String,
        /// Each on a line.
        places: String,
    },
    /// It is the last one.
    #[error("{name} is the only key that opens")]
    Last {
        /// The name of the Secret.
        name: String,
    },
    /// Its label does not keep it out of use.
    #[error("the key {name} is used for its name, whatever its label says")]
    Legacy {
        /// The name of the Secret.
        name: String,
    },
}

impl RetireError {
    /// Returns what the user can do about it.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NoKey { .. } => "`seal keys list` lists those that there are",
            Self::NotLooked { .. } => {
                "say where what is sealed may be with --needed-by and --in-cluster, or pass --force"
            }
            Self::Needed { .. } => "have them sealed again with `seal rotate --service-account`, or pass --force",
            Self::Unread { .. } => "mend what could not be looked into, or pass --force",
            Self::Last { .. } => "make another key first; docs/operating.md says how",
            Self::Legacy { .. } => "pass --delete",
        }
    }
}

/// Retires a key, or says what would be done.
pub(super) fn run(args: &RetireArgs) -> Result<Outcome, Error> {
    let RetireArgs { key, delete, dry_run, places, cluster, .. } = args;
    let connection = cluster.connect()?;
    let secrets = KeySecrets::read(&connection)?;
    let no_key = || RetireError::NoKey { key: key.clone(), namespace: connection.namespace.clone() };
    let secret = secrets.find(key).ok_or_else(no_key)?;
    let name = &secret.name;
    if secret.name == crate::sealing::LEGACY && !delete {
        return Err(RetireError::Legacy { name: name.clone() }.into());
    }
    let source = places.look(&connection)?;
    // The key itself says for sure what it opens.
    let opener = Opener::Keys(secret.key().into_iter().collect());
    check(args, &secrets, secret, &Needs::of(source, places.namespace.as_deref(), &opener)?)?;
    if !*delete && !secret.is_active() {
        output::print(&format!("{name} is out of use already\n"))?;
        return Ok(Outcome::Done);
    }
    let what = match (delete, dry_run) {
        (true, true) => "would be deleted",
        (true, false) => "deleted",
        (false, true) => "would be labelled compromised",
        (false, false) => "labelled compromised",
    };
    match (dry_run, delete) {
        (true, _) => {}
        (false, true) => secret.delete(&connection)?,
        (false, false) => secret.relabel(&connection)?,
    }
    output::print(&format!("{name} {what}\n"))?;
    Ok(if *dry_run { Outcome::Found } else { Outcome::Done })
}

/// Sees that nothing needs the key, as far as that can be known.
fn check(args: &RetireArgs, secrets: &KeySecrets, secret: &KeySecret, needs: &Needs) -> Result<(), Error> {
    let name = || secret.name.clone();
    let others = secrets.0.iter().filter(|other| other.name != secret.name && other.is_active());
    let is_last = secret.is_active() && others.filter(|other| other.checked().is_ok()).count() == 0;
    let fingerprint = secret.key().map(|key| key.fingerprint().to_string()).unwrap_or_default();
    let (mut count, mut items) = (0, String::new());
    for need in needs.of_key(&fingerprint) {
        count += 1;
        let _ = write!(items, "{}  {need}", if count > 1 { "\n" } else { "" });
    }
    let error = match () {
        () if args.force => return Ok(()),
        () if is_last => RetireError::Last { name: name() },
        () if !args.places.are_some() => RetireError::NotLooked { name: name() },
        () if count > 0 => RetireError::Needed { name: name(), count: counted(count, "item"), items },
        () if !needs.unread.is_empty() || needs.unclear().next().is_some() => {
            let unread = needs.unread.iter().map(|place| format!("  {place}"));
            let places: Vec<_> = unread.chain(needs.unclear().map(|need| format!("  {need}"))).collect();
            RetireError::Unread { name: name(), places: places.join("\n") }
        }
        () => return Ok(()),
    };
    Err(error.into())
}
