//! `seal rotate`: new data keys, and the recipients that the rules say, for all sealed files of a tree; SealedSecrets are sealed again with
//! the newest key.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use waxwing_formats::sealed_secret::PublicKey;
use waxwing_plan::diff::printable;

use crate::args::Outcome;
use crate::certificate::CertificateArgs;
use crate::error::Error;
use crate::input;
use crate::output::{self, ListForm};
use crate::rotate::{Report, Resealing, Rotation, Wanted};
use crate::sealed::{Configurations, Identities};
use crate::sealing::OpenerArgs;
use crate::sops::KeyServiceFlags;
use crate::verify::counted;

/// Give the sealed files of a tree new keys, and the recipients that .sops.yaml says
///
/// Looks at the files that Git would commit at or below the paths. Each SOPS file is opened with your keys, sealed anew with a
/// new data key for the recipients of its rule, and replaced as a whole; where no rule names anybody, its recipients stay. What can't
/// be opened or replaced is told and left as it was, and the others go on.
///
/// A rotation that was cut off is done in part: no file is half written. To go on, pass --older-than with the time at which it began,
/// which is told then; files that were sealed since are left. A file that was edited meanwhile counts as sealed since, though it kept
/// its data key.
///
/// SealedSecrets are sealed again only where somebody is named who can open them: the controller, asked with --service-account or
/// --token-file, or the private keys of --recovery-private-key. Items that are sealed with the newest key are left, so that a rotation that was cut off
/// goes on where it was; the others are exchanged where they stand, and every other byte of the file stays.
///
/// Who could open a file before still knows what was in it, and its old revisions are in Git: change the secrets too.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct RotateArgs {
    /// The files and folders
    #[arg(value_name = "FILE|DIR", required = true)]
    paths: Vec<PathBuf>,

    /// Show what would be done, and do nothing; needs no key for files of sops, and for SealedSecrets somebody who can open them
    #[arg(long)]
    dry_run: bool,

    /// Keep the data keys, and the values as they are, and change only who has them; who has a file's data key can still open it
    #[arg(long)]
    only_recipients: bool,

    /// Leave files that were sealed since then: a date, a time as in 2026-01-31T12:00:00Z, or how long ago, as in 30d or 12h
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    older_than: Option<Timestamp>,

    /// Take the rules from this file, instead of the .sops.yaml next to each file or above it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print in this form
    #[arg(short, long, value_name = "FORM", value_enum, default_value_t = ListForm::Text)]
    output: ListForm,

    #[command(flatten)]
    services: KeyServiceFlags,

    /// Take SealedSecrets that name no namespace to be in this one
    #[arg(short, long, value_name = "NAME", value_parser = input::dns_label)]
    namespace: Option<String>,

    #[command(flatten)]
    opener: OpenerArgs,

    #[command(flatten)]
    certificate: CertificateArgs,
}

const EXAMPLES: &str = "\
Examples:
  seal rotate --dry-run .
  seal rotate clusters/prod
  seal rotate --older-than 90d .
  seal rotate --only-recipients --dry-run -o json .
  seal rotate --service-account waxwing-system/rotator clusters/prod
  seal rotate --recovery-private-key sealing-keys.yaml --cert cluster.pem clusters/prod

Exit codes:
  0  everything was rotated, or with --dry-run: there is nothing to rotate
  1  a file can't be rotated and is as it was, which standard error says; the others were rotated
  2  with --dry-run: there is something to rotate";

/// Reads a point in time, or how long ago it was; days have 24 hours.
fn moment(text: &str) -> Result<Timestamp, String> {
    let date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp());
    let ago = || {
        let span = text.parse::<Span>().ok().filter(|span| !span.is_negative())?;
        now().to_zoned(TimeZone::UTC).checked_sub(span).ok().map(|then| then.timestamp())
    };
    let found = text.parse().ok().or_else(date).or_else(ago);
    found.ok_or_else(|| "expected a date, a time, or how long ago, as in 30d".to_owned())
}

/// Rotates, or says what there is to rotate.
pub(crate) fn run(args: &RotateArgs) -> Result<Outcome, Error> {
    let RotateArgs { paths, dry_run, only_recipients, older_than, config, output, services, .. } = args;
    let wanted = Wanted { only_recipients: *only_recipients, older_than: *older_than };
    let rotation = Rotation::plan(paths, wanted, Configurations::new(config.as_deref())?, resealing(args)?)?;
    if rotation.passed_over() > 0 {
        let files = counted(rotation.passed_over(), "file");
        output::note(&format!(
            "{files} with SealedSecrets not looked into: pass --service-account or --recovery-private-key"
        ));
    }
    let (report, wrong) = if *dry_run { rotation.into_plan() } else { carry_out(rotation, wanted, services)? };
    print(&report, *output)?;
    match wrong.is_empty() {
        false => Err(Error::Several(wrong)),
        true if report.has_plans() => Ok(Outcome::Found),
        true => Ok(Outcome::Done),
    }
}

/// Makes ready to seal SealedSecrets again, if somebody is named who can open them.
fn resealing(args: &RotateArgs) -> Result<Option<Resealing>, Error> {
    let RotateArgs { opener, certificate, namespace, .. } = args;
    let Some(opener) = opener.opener(&certificate.cluster)? else {
        return Ok(None);
    };
    let newest = match opener.newest() {
        Some(newest) => newest?,
        None => PublicKey::from_certificate_pem(&certificate.fetch()?, Timestamp::now())?,
    };
    Ok(Some(Resealing { opener, newest, namespace: namespace.clone() }))
}

fn carry_out(
    rotation: Rotation,
    wanted: Wanted,
    services: &KeyServiceFlags,
) -> Result<(Report, Vec<crate::error::Wrong>), Error> {
    services.warn();
    let services = services.key_services();
    if services.are_none() && rotation.dated() > 0 {
        return Err(Error::NobodyToAsk);
    }
    let all = rotation.tasks();
    if rotation.dated() > 1 && !wanted.only_recipients {
        // A limit that there is already is earlier than now, and leaves what was rotated before.
        let began = wanted.older_than.unwrap_or_else(now);
        output::note(&format!("if this is cut off, go on with --older-than {began}"));
    }
    let is_watched = io::stderr().is_terminal();
    let done = rotation.carry_out(&Identities::through(Rc::new(services)), |at, file| {
        if is_watched {
            progress(&format!("{at}/{all} {}", printable(file)));
        }
    });
    if is_watched {
        progress("");
    }
    done
}

/// The time in whole seconds, as files have it.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// Shows where it is, in the place of what was shown before.
fn progress(text: &str) {
    // Where standard error is closed nobody looks.
    let _ = write!(io::stderr().lock(), "\r\x1b[K{text}");
}

fn print(report: &Report, form: ListForm) -> Result<(), Error> {
    match form {
        ListForm::Text => output::print(&report.text()),
        ListForm::Json => output::print(&output::json(report)?),
    }
}
