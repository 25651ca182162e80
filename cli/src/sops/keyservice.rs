//! `sops keyservice`: answers others with the keys that are at hand.
//!
//! Between two questions no key is in memory: they are looked for anew for each. Several are answered at a time, but if the user is
//! asked first: then one after the other. The user is asked before anything is done with one,
//! not afterwards as by sops. Nothing but data keys and shares of them is wrapped or given out, so that nobody can have other things
//! opened. What is shown of a question are the names in it, and nothing of them reaches the terminal as it is.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use waxwing_formats::{DataKey, SecretBytes, WrappedKey};
use waxwing_keys::ServiceKey;

use super::args::{Global, KeyserviceArgs, Network};
use super::fault::Fault;
use super::question::is_agreed;
use crate::error::with_causes;
use crate::keyservice::{DATA_KEY_LENGTHS, Declined, Listening, Places, Question, Wish, ciphertext, serve};
use crate::output;
use crate::sealed::{Identities, KeyServices, MasterKey, UNSUPPORTED};

/// How much of a name is shown.
const MAX_SHOWN: usize = 300;
/// How many questions are answered at a time. Most of the time of one goes by while a service in the cloud is waited for, or the user
/// where he is asked for a passphrase.
const AT_A_TIME: Places = Places {
    all: NonZeroUsize::new(8).expect("eight is not zero"),
    with_a_user: NonZeroUsize::new(4).expect("four is not zero"),
};
/// What the user is asked about comes one after the other.
const ONE_AT_A_TIME: Places = Places { all: NonZeroUsize::MIN, with_a_user: NonZeroUsize::MIN };

/// Serves until the program is asked to end.
pub(crate) fn run(args: &KeyserviceArgs, global: &Global) -> Result<(), Fault> {
    let not_served = |error: io::Error| Fault::not_listening(&args.address, &error);
    let runtime = Builder::new_current_thread().enable_all().build().map_err(not_served)?;
    let served = runtime.block_on(async {
        let end = ended().map_err(not_served)?;
        let (listening, _socket) = match args.network {
            Network::Tcp => (tcp(&args.address).await?, None),
            Network::Unix => unix(Path::new(&args.address)).map(|(listening, socket)| (listening, Some(socket)))?,
        };
        let clerk = Clerk { asks: args.prompt, tells: global.verbose };
        let places = if args.prompt { ONE_AT_A_TIME } else { AT_A_TIME };
        serve(listening, move |question| clerk.answer(question), places, end).await.map_err(not_served)
    });
    // Questions that are being answered are not waited for: it may be the user who is asked for a passphrase.
    runtime.shutdown_background();
    served
}

/// Is there when the program is asked to end, also by the end of its terminal, unless whoever started it has it outlive that.
fn ended() -> io::Result<impl Future<Output = ()>> {
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut quit = signal(SignalKind::quit())?;
    let mut hung_up = if outlives_its_terminal() { None } else { Some(signal(SignalKind::hangup())?) };
    Ok(async move {
        let hung_up = async {
            match &mut hung_up {
                Some(hung_up) => hung_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
            _ = quit.recv() => {}
            _ = hung_up => {}
        }
    })
}

/// Tells whether SIGHUP is ignored, as under `nohup` (proc(5): the mask `SigIgn` in hexadecimal digits, whose lowest bit is that signal).
fn outlives_its_terminal() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

async fn tcp(address: &str) -> Result<Listening, Fault> {
    let refused = |error: io::Error| Fault::not_listening(address, &error);
    let listener = match address.strip_prefix(':').and_then(|port| port.parse::<u16>().ok()) {
        None => TcpListener::bind(address).await,
        // As in Go, no host is every address of the machine.
        Some(port) => {
            let all: [IpAddr; 2] = [Ipv6Addr::UNSPECIFIED.into(), Ipv4Addr::UNSPECIFIED.into()];
            TcpListener::bind(&all.map(|address| SocketAddr::new(address, port))[..]).await
        }
    };
    let listener = listener.map_err(refused)?;
    let here = listener.local_addr().map_err(refused)?;
    if !here.ip().is_loopback() {
        output::note("whoever reaches this address can use the keys, and data keys cross the network in the clear");
    }
    output::note(&format!("listening on tcp://{here}"));
    Ok(Listening::Tcp(listener))
}

/// Makes a socket that only this user can open, from its first moment on. A name that begins with @ is no file for Go, but a socket
/// that every user could open.
fn unix(path: &Path) -> Result<(Listening, Socket), Fault> {
    let shown = path.display().to_string();
    let refused = |error: io::Error| Fault::not_listening(&shown, &error);
    if shown.starts_with('@') || shown.is_empty() {
        return Err(refused(io::ErrorKind::InvalidInput.into()));
    }
    // There is one thread at this time.
    let usual = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
    let bound = UnixListener::bind(path);
    rustix::process::umask(usual);
    let listener = bound.map_err(refused)?;
    let socket = Socket::new(path).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    let listener = tokio::net::UnixListener::from_std(listener).map_err(refused)?;
    output::note(&format!("listening on unix://{}", socket.path.display()));
    Ok((Listening::Unix(listener), socket))
}

/// The file of a socket. It is removed when this is dropped, unless another one has taken its place.
struct Socket {
    path: PathBuf,
    identity: (u64, u64),
}

impl Socket {
    fn new(path: &Path) -> io::Result<Self> {
        // Where it is does not change with the working folder.
        let path = std::path::absolute(path)?;
        let identity = Self::identity(&path)?;
        Ok(Self { path, identity })
    }

    fn identity(path: &Path) -> io::Result<(u64, u64)> {
        let metadata = fs::symlink_metadata(path)?;
        match metadata.file_type().is_socket() {
            true => Ok((metadata.dev(), metadata.ino())),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if Self::identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // Nobody is left who could be told.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Answers questions.
#[derive(Clone, Copy)]
struct Clerk {
    /// Whether the user is asked first.
    asks: bool,
    /// Whether he is told afterwards.
    tells: bool,
}

impl Clerk {
    fn answer(self, question: Question) -> Result<SecretBytes, Declined> {
        let (wish, name) = (question.wish, shown(&question.wrapped));
        let answered = match self.asks && !is_allowed(wish, &name) {
            true => Err((Declined::Refused, "nobody agreed".to_owned())),
            false => answer(question),
        };
        if self.tells {
            let (done, undone) = match wish {
                Wish::Encrypt => ("wrapped", "did not wrap"),
                Wish::Decrypt => ("unwrapped", "did not unwrap"),
            };
            match &answered {
                Ok(_) => output::note(&format!("{done} a data key with {name}")),
                Err((_, why)) => output::note(&format!("{undone} a data key with {name}: {}", escaped(why))),
            }
        }
        answered.map_err(|(declined, _)| declined)
    }
}

fn answer(Question { wish, wrapped, key }: Question) -> Result<SecretBytes, (Declined, String)> {
    if matches!(wrapped, WrappedKey::HuaweiKms { .. }) {
        return Err((Declined::Unsupported, UNSUPPORTED.to_owned()));
    }
    match wish {
        Wish::Encrypt => wrap(&wrapped, key),
        Wish::Decrypt => unwrap(&wrapped),
    }
}

fn wrap(wanted: &WrappedKey, key: SecretBytes) -> Result<SecretBytes, (Declined, String)> {
    let malformed = |why: String| (Declined::Malformed, why);
    if !DATA_KEY_LENGTHS.contains(&key.len()) {
        return Err(malformed(format!("{} bytes are no data key", key.len())));
    }
    let master_key = MasterKey::of(wanted).map_err(|error| malformed(with_causes(&error)))?;
    let wrapped = KeyServices::local().wrap(&master_key, &DataKey::new(key));
    let wrapped = wrapped.map_err(|error| (Declined::Failed, with_causes(&error)))?;
    Ok(SecretBytes::concat(&[ciphertext(&wrapped).as_bytes()]))
}

fn unwrap(wrapped: &WrappedKey) -> Result<SecretBytes, (Declined, String)> {
    let key = Identities::at_hand().answer(wrapped).map_err(|refusal| (Declined::Failed, refusal.0))?;
    match key.expose_secret() {
        // Leaves for the client, who asked for it.
        bytes if DATA_KEY_LENGTHS.contains(&bytes.len()) => Ok(SecretBytes::concat(&[bytes])),
        other => Err((Declined::Failed, format!("what it opens to has {} bytes, and is no data key", other.len()))),
    }
}

/// Names a master key as a client did; with the role, context and profile of one of AWS.
fn shown(wrapped: &WrappedKey) -> String {
    let name = match ServiceKey::of(wrapped) {
        Some((service, _)) => format!("{} {service}", wrapped.kind()),
        None => wrapped.recipient(),
    };
    escaped(&name)
}

/// Makes a text of a stranger one that can't move the cursor, nor look like another.
fn escaped(text: &str) -> String {
    let shown = text.chars().take(MAX_SHOWN).map(|letter| match letter {
        '"' | '\'' | '\\' => letter.to_string(),
        letter => letter.escape_debug().to_string(),
    });
    shown.collect()
}

/// Asks the user. The end of the input is a no.
fn is_allowed(wish: Wish, name: &str) -> bool {
    let what = match wish {
        Wish::Encrypt => "wrap a data key for",
        Wish::Decrypt => "unwrap a data key with",
    };
    is_agreed(&format!("A client wants to {what} {name}. Answer it?")).ok().flatten().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_question_is_its_key_and_can_not_move_the_cursor() {
        let age = |recipient: &str| WrappedKey::Age { recipient: recipient.to_owned(), enc: "hunter2".to_owned() };
        assert_eq!(shown(&age("age1abc")), "age age1abc");
        assert_eq!(shown(&age("age1\r\x1b[2Ja\u{202e}b")), r"age age1\r\u{1b}[2Ja\u{202e}b");
        assert!(shown(&age(&"x".repeat(100_000))).len() <= MAX_SHOWN);
        let aws = WrappedKey::AwsKms {
            arn: "arn:aws:kms:eu-west-1:111122223333:key/a".to_owned(),
            role: Some("arn:aws:iam::111122223333:role/deploy".to_owned()),
            context: [("app".to_owned(), "shop".to_owned())].into(),
            profile: "work".to_owned(),
            enc: "hunter2".to_owned(),
        };
        let wanted = "kms arn:aws:kms:eu-west-1:111122223333:key/a+arn:aws:iam::111122223333:role/deploy|app:shop|work";
        assert_eq!(shown(&aws), wanted);
    }
}
