//! Asks the user at the terminal, whatever standard input and output are.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use age::Callbacks;
use age::secrecy::SecretString;

/// Who asks at the terminal; a key service has several questions at a time, and the user one.
static TURN: Mutex<()> = Mutex::new(());
/// How many ask, or wait until they may.
static IN_LINE: AtomicUsize = AtomicUsize::new(0);
/// How many there may be: whoever comes later is refused, so that a key service has places for those who need nobody.
const MAX_IN_LINE: usize = 2;

/// A turn at the terminal.
struct Turn {
    _turn: MutexGuard<'static, ()>,
    _in_line: InLine,
}

struct InLine;

impl Drop for InLine {
    fn drop(&mut self) {
        IN_LINE.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Turn {
    /// Waits for it.
    fn come() -> io::Result<Self> {
        let before = IN_LINE.fetch_add(1, Ordering::SeqCst);
        let in_line = InLine;
        match before < MAX_IN_LINE {
            true => Ok(Self { _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner), _in_line: in_line }),
            false => Err(io::Error::other("others wait for the user already")),
        }
    }
}

/// Where plugins of age reach the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal;

impl Terminal {
    /// Asks for something that is not shown.
    pub(crate) fn secret(question: &str) -> io::Result<SecretString> {
        let _turn = Turn::come()?;
        rpassword::prompt_password(question).map(SecretString::from)
    }

    /// Asks for a line.
    fn line(question: &str) -> io::Result<String> {
        let _turn = Turn::come()?;
        let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        terminal.write_all(question.as_bytes())?;
        let mut answer = String::new();
        BufReader::new(terminal).read_line(&mut answer)?;
        Ok(answer.trim_end_matches(['\r', '\n']).to_owned())
    }
}

impl Callbacks for Terminal {
    fn display_message(&self, message: &str) {
        crate::output::note(message);
    }

    /// An empty line is no answer, and anything but the numbers is asked again.
    fn confirm(&self, message: &str, yes: &str, no: Option<&str>) -> Option<bool> {
        let choice = no.map_or_else(|| format!("1: {yes}"), |no| format!("1: {yes}, 2: {no}"));
        loop {
            let answer = Self::line(&format!("{message} ({choice}) ")).ok().filter(|answer| !answer.is_empty())?;
            match answer.as_str() {
                "1" => return Some(true),
                "2" if no.is_some() => return Some(false),
                _ => {}
            }
        }
    }

    fn request_public_string(&self, description: &str) -> Option<String> {
        Self::line(&format!("{description} ")).ok()
    }

    fn request_passphrase(&self, description: &str) -> Option<SecretString> {
        Self::secret(&format!("{description} ")).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn one_asks_at_a_time_one_waits_and_the_rest_are_refused() {
        let first = Turn::come().unwrap();
        thread::scope(|scope| {
            let second = scope.spawn(|| Turn::come().map(drop));
            while IN_LINE.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            assert!(Turn::come().is_err() && !second.is_finished());
            drop(first);
            assert!(second.join().unwrap().is_ok());
        });
        assert!(Turn::come().is_ok());
    }
}
