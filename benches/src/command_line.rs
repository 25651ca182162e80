//! `seal sops -d` beside `sops -d`, each from the start of the process to its end: one small file, many, and one large. And
//! `seal kubeseal` beside kubeseal: one Secret, with the certificate in a file.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use waxwing_harness::{AgeKey, Tools, Upstream};
use waxwing_keys::SealingKey;

use crate::error::{Error, other};
use crate::page::{at_least, at_most, digits, heading, line, seconds};
use crate::scale::Scale;
use crate::stage::program;
use crate::usage::peak_mib;

const SMALL: &str = "user: admin\npassword: hunter2\n";
/// How many files a loop of `sops -d` is run over.
const SAMPLE: usize = 50;

pub(crate) fn run(scale: Scale) -> Result<(), Error> {
    let upstream = Upstream::new()?;
    let age = upstream.age_keygen()?;
    let home = upstream.home().to_owned();
    let (sops, seal) = (installed(&Tools::locate()?.path("sops")?, &home)?, installed(&program("seal")?, &home)?);
    let pair = Pair { sops, seal, home, age };
    let small = pair.sealed(&upstream, "small", SMALL)?;
    one(&pair, &small, scale)?;
    many(&pair, &small, scale)?;
    large(&pair, &upstream, scale)?;
    kubeseal(&pair.seal, &upstream, scale)
}

/// Copies a program as an installation does, by writing it. What a linker has just left behind lies in the cache page by page,
/// and starts more slowly than what is installed.
fn installed(program: &Path, folder: &Path) -> Result<PathBuf, Error> {
    let copy = folder.join(program.file_name().unwrap_or_default());
    let bytes = std::fs::read(program).map_err(other)?;
    std::fs::write(&copy, bytes).map_err(other)?;
    std::fs::set_permissions(&copy, Permissions::from_mode(0o755)).map_err(other)?;
    Ok(copy)
}

/// Both programs with one key.
struct Pair {
    sops: PathBuf,
    seal: PathBuf,
    home: PathBuf,
    age: AgeKey,
}

impl Pair {
    /// Seals a file with sops.
    fn sealed(&self, upstream: &Upstream, name: &str, text: &str) -> Result<PathBuf, Error> {
        let arguments = ["encrypt", "--age", &self.age.recipient, "--filename-override", "a.yaml"];
        let path = self.home.join(format!("{name}.yaml"));
        std::fs::write(&path, upstream.sops(&arguments)?.stdin(text).text()?).map_err(other)?;
        Ok(path)
    }

    fn theirs(&self) -> Command {
        self.prepared(&self.sops, &["--decrypt"])
    }

    fn ours(&self) -> Command {
        self.prepared(&self.seal, &["sops", "--decrypt"])
    }

    fn prepared(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", &self.home).env("SOPS_AGE_KEY", &self.age.identity).args(arguments);
        command
    }
}

fn one(pair: &Pair, file: &Path, scale: Scale) -> Result<(), Error> {
    let rounds = scale.of(100);
    heading(format!("decrypt one small file, {rounds} times by turns, medians"));
    let mut turns = Turns::default();
    for _ in 0..rounds {
        turns.take(pair.theirs().arg(file), pair.ours().arg(file))?;
    }
    turns.print(["sops -d", "seal sops -d"], "against sops")
}

/// How long two programs took by turns, and one that does nothing: so long it takes here to start any.
#[derive(Default)]
struct Turns {
    theirs: Vec<Duration>,
    ours: Vec<Duration>,
    nothing: Vec<Duration>,
}

impl Turns {
    fn take(&mut self, theirs: &mut Command, ours: &mut Command) -> Result<(), Error> {
        self.theirs.push(time(theirs)?);
        self.ours.push(time(ours)?);
        let start = Instant::now();
        Command::new("true").env_clear().output().map_err(other)?;
        self.nothing.push(start.elapsed());
        Ok(())
    }

    fn print(self, [theirs, ours]: [&str; 2], against: &str) -> Result<(), Error> {
        let milliseconds = |time: Duration| format!("{} ms", digits(time.as_secs_f64() * 1000.0));
        let [of_theirs, of_ours, of_nothing] = [self.theirs, self.ours, self.nothing].map(median);
        line(theirs, milliseconds(of_theirs));
        line(ours, milliseconds(of_ours));
        line("  true, which does nothing", milliseconds(of_nothing));
        at_least(against, of_theirs.as_secs_f64() / of_ours.as_secs_f64(), 5.0, "times");
        Ok(())
    }
}

/// Returns the middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn many(pair: &Pair, file: &Path, scale: Scale) -> Result<(), Error> {
    let count = scale.of(1000);
    heading(format!("decrypt {count} small files"));
    let copies: Vec<PathBuf> = (0..count).map(|number| pair.home.join(format!("{number}.yaml"))).collect();
    copies.iter().try_for_each(|copy| std::fs::copy(file, copy).map(drop)).map_err(other)?;
    let ours = time(pair.ours().args(&copies))?;
    let sample = SAMPLE.min(count);
    let mut theirs = Duration::ZERO;
    for copy in &copies[..sample] {
        theirs += time(pair.theirs().arg(copy))?;
    }
    let theirs = theirs.mul_f64(count as f64 / sample as f64);
    line(&format!("a loop of `sops -d`, from {sample} files"), seconds(theirs));
    line("seal sops -d FILE..., one process", seconds(ours));
    at_least("against that loop", theirs.as_secs_f64() / ours.as_secs_f64(), 20.0, "times");
    Ok(())
}

fn large(pair: &Pair, upstream: &Upstream, scale: Scale) -> Result<(), Error> {
    let count = scale.of(50_000);
    let text: String = (0..count).map(|number| format!("key-{number}: value {number} of a file\n")).collect();
    let file = pair.sealed(upstream, "large", &text)?;
    let length = std::fs::metadata(&file).map_err(other)?.len() as f64 / f64::from(1 << 20);
    heading(format!("decrypt one YAML file of {} MiB with {count} sealed values", digits(length)));
    let (theirs, their_peak) = time_and_peak(pair.theirs().arg(&file))?;
    let (ours, our_peak) = time_and_peak(pair.ours().arg(&file))?;
    line("sops -d", format!("{}, {} MiB", seconds(theirs), digits(their_peak)));
    line("seal sops -d", format!("{}, {} MiB", seconds(ours), digits(our_peak)));
    at_least("against sops", theirs.as_secs_f64() / ours.as_secs_f64(), 3.0, "times");
    at_most("memory against that of sops", our_peak / their_peak, 1.0, "times");
    Ok(())
}

const SECRET: &str =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: shop}\nstringData: {password: hunter2}\n";

/// Seals one Secret with either, by turns.
fn kubeseal(seal: &Path, upstream: &Upstream, scale: Scale) -> Result<(), Error> {
    let rounds = scale.of(100);
    heading(format!("seal one Secret with a certificate of 4096 bits, {rounds} times by turns, medians"));
    let home = upstream.home();
    let kubeseal = installed(&Tools::locate()?.path("kubeseal")?, home)?;
    let key = SealingKey::generate(Timestamp::now(), Duration::from_secs(3600), "", 4096).map_err(other)?;
    let (certificate, secret) = (home.join("cluster.pem"), home.join("secret.yaml"));
    std::fs::write(&certificate, key.tls_crt_pem).map_err(other)?;
    std::fs::write(&secret, SECRET).map_err(other)?;
    let prepared = |program: &Path, first: &[&str]| {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", home).args(first).arg("--cert").arg(&certificate).arg("-f").arg(&secret);
        command
    };
    let mut turns = Turns::default();
    for _ in 0..rounds {
        turns.take(&mut prepared(&kubeseal, &[]), &mut prepared(seal, &["kubeseal"]))?;
    }
    turns.print(["kubeseal", "seal kubeseal"], "against kubeseal")
}

/// Runs a program to its end, which must be a good one.
fn time(command: &mut Command) -> Result<Duration, Error> {
    let start = Instant::now();
    let output = command.output().map_err(other)?;
    let time = start.elapsed();
    match output.status.success() && !output.stdout.is_empty() {
        true => Ok(time),
        false => Err(failed(command.get_program(), &output.stderr)),
    }
}

/// As [`time`], with the most memory that the program had when it had begun to print, in MiB.
fn time_and_peak(command: &mut Command) -> Result<(Duration, f64), Error> {
    let start = Instant::now();
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(other)?;
    let mut printed = Vec::new();
    let mut peak = 0.0;
    if let Some(mut output) = child.stdout.take() {
        // What it prints is more than a pipe holds, so it is there until all of it is read.
        let mut first = [0];
        output.read_exact(&mut first).map_err(other)?;
        peak = peak_mib(child.id());
        output.read_to_end(&mut printed).map_err(other)?;
    }
    let status = child.wait().map_err(other)?;
    match status.success() {
        true => Ok((start.elapsed(), peak)),
        false => Err(failed(command.get_program(), &[])),
    }
}

fn failed(program: &OsStr, said: &[u8]) -> Error {
    Error::Other(format!("{} failed: {}", program.display(), String::from_utf8_lossy(said)))
}
