//! `seal keys retire`: a key that nothing needs any more is taken out of use, or deleted.

use clap::Args;

use super::Places;
use crate::args::Outcome;
use crate::cluster::ClusterArgs;
use crate::error::Error;
use crate::output;
use crate::sealing::{KeySecret, KeySecrets, Needs, Opener, SealedSource};
use crate::verify::counted;

/// Take a sealing key out of use, or delete it, if nothing needs it any more
///
/// The key gets the label compromised, as the Sealed Secrets project does it, so that it opens nothing and can be put back by the label
/// active. Say with --needed-by and --in-cluster where what is sealed may be; as long as an item there needs the key, or something could not
/// be looked into, or no key opens an item that this one may have sealed for another name or namespace, or it is the last key that opens, nothing is
/// done. What older revisions in Git need is not looked at.
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
    /// It may have sealed what no key opens.
    #[error("no key opens these items, and {name} may have sealed them for another name or namespace:\n{items}")]
    Astray {
        /// The name of the Secret.
        name: String,
        /// Each on a line.
        items: String,
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
            Self::Astray { .. } => {
                "name only files of this cluster with --needed-by, and seal these again under their name; or pass --force"
            }
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
    check(args, &secrets, secret, places.look(&connection)?)?;
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
fn check(args: &RetireArgs, secrets: &KeySecrets, secret: &KeySecret, source: SealedSource) -> Result<(), Error> {
    let name = || secret.name.clone();
    let others = || secrets.0.iter().filter(|other| other.name != secret.name);
    let is_last = secret.is_active() && !others().any(|other| other.is_active() && other.checked().is_ok());
    if args.force {
        return Ok(());
    }
    if is_last {
        return Err(RetireError::Last { name: name() }.into());
    }
    if !args.places.are_some() {
        return Err(RetireError::NotLooked { name: name() }.into());
    }
    let namespace = args.places.namespace.as_deref();
    // The key itself says for sure what it opens.
    let needs = Needs::of(source.clone(), namespace, &Opener::Keys(secret.key().into_iter().collect()))?;
    let fingerprint = secret.key().map(|key| key.fingerprint().to_string()).unwrap_or_default();
    let needed: Vec<_> = needs.of_key(&fingerprint).collect();
    if !needed.is_empty() {
        let count = counted(needed.len(), "item");
        return Err(RetireError::Needed { name: name(), count, items: lines(needed) }.into());
    }
    let unclear: Vec<_> = needs.unclear().collect();
    if !needs.unread.is_empty() || !unclear.is_empty() {
        let places = needs.unread.iter().map(ToString::to_string).chain(unclear.iter().map(ToString::to_string));
        return Err(RetireError::Unread { name: name(), places: lines(places) }.into());
    }
    let others = Needs::of(source, namespace, &Opener::Keys(others().filter_map(|other| other.key().ok()).collect()))?;
    let public = secret.certificate().ok().map(|certificate| certificate.public_key);
    let astray: Vec<_> = needs.astray(&others, public.as_ref()).collect();
    match astray.is_empty() {
        true => Ok(()),
        false => Err(RetireError::Astray { name: name(), items: lines(astray) }.into()),
    }
}

/// Writes each on a line.
fn lines(entries: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    entries.into_iter().map(|entry| format!("  {entry}")).collect::<Vec<_>>().join("\n")
}
