//! The command line of kubeseal: the program under the name `kubeseal`, and `seal kubeseal`.
//!
//! A thin face: it reads flags, and words what it has to say, as kubeseal 0.40 does. What is done with a Secret are the functions
//! that `seal` has too: `waxwing_formats::sealed_secret` seals, `waxwing_keys` opens, `certificate` and `sealed` fetch and write.

mod args;
mod controller;
mod fault;
mod keys;
mod kubeconfig;
mod merge;
mod objects;
mod recovery;
mod seal;
mod target;

pub(crate) use args::KubesealArgs;
pub(crate) use fault::Fault;
pub(crate) use keys::of as recovery_keys;

use std::path::PathBuf;

use waxwing_formats::go_object::Reading;
use waxwing_formats::sealed_secret::Certificate;

use self::args::on;
use self::controller::Controller;
use self::objects::Input;
use self::seal::Job;
use self::target::Target;
use crate::output;
use crate::sealed::Secrecy;

/// Does what was asked for, in kubeseal's order of precedence (`runCLI` in `cmd/kubeseal/main.go`).
pub(crate) fn run(args: &KubesealArgs) -> Result<(), Fault> {
    if on(args.version) {
        return Target::new(None, "").bytes(VERSION.as_bytes(), Secrecy::Sealed);
    }
    let modes = &args.modes;
    if !modes.from_file.is_empty() && !on(modes.raw) {
        return Err(Fault::FromFileWithoutRaw);
    }
    let target = Target::of(&args.files);
    if on(modes.recovery_unseal) {
        return recovery::run(args, &target);
    }
    if !modes.recovery_private_key.is_empty() {
        output::tell(
            "warning: ignoring --recovery-private-key because unseal command not chosen with --recovery-unseal\n",
        );
    }
    if on(modes.validate) {
        let controller = Controller::find(&args.cluster)?;
        return controller.validate(&Input::of(&args.files)?.sealed_secrets(Reading::Yaml)?);
    }
    if on(modes.rotate) {
        output::tell("Flag --rotate has been deprecated, please use --re-encrypt instead\n");
    }
    if on(modes.re_encrypt) || on(modes.rotate) {
        return re_encrypt(args);
    }
    if on(modes.fetch_cert) {
        return fetch_cert(args, &target);
    }
    match named(modes.merge_into.as_ref()) {
        Some(_) if named(args.files.sealed_secret_file.as_ref()).is_some() => Err(Fault::TwoTargets),
        Some(path) => merge::run(args, path),
        None if on(modes.raw) => seal::raw(args, &target),
        None => {
            let key = seal::key(args)?;
            let secrets = Input::of(&args.files)?.secrets()?;
            target.objects(&Job::new(&args.sealing, &args.cluster, &key).seal(secrets)?)
        }
    }
}

/// Has the controller seal again; the only command that writes over its input by itself.
fn re_encrypt(args: &KubesealArgs) -> Result<(), Fault> {
    let file = named(args.files.sealed_secret_file.as_ref()).or(named(args.files.secret_file.as_ref()));
    let target = Target::new(file.cloned(), &args.files.format);
    let controller = Controller::find(&args.cluster)?;
    target.objects(&controller.re_encrypt(&Input::of(&args.files)?.sealed_secrets(Reading::Yaml)?)?)
}

/// Prints the certificate as it is; what is none, or would do something to a terminal, is not printed.
fn fetch_cert(args: &KubesealArgs, target: &Target) -> Result<(), Fault> {
    let pem = seal::certificate(args)?;
    Certificate::from_pem(&pem)?;
    let is_text = pem.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r' | b'\t'));
    match is_text {
        true => target.bytes(&pem, Secrecy::Sealed),
        false => Err(Fault::NoCertificate),
    }
}

fn named(path: Option<&PathBuf>) -> Option<&PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty())
}

/// As kubeseal prints it.
const VERSION: &str = "kubeseal version: 0.40.0\n";
