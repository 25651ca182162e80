//! Asks the user at the terminal, whatever standard input and output are.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use age::Callbacks;
use age::secrecy::SecretString;

/// Who asks at the terminal; a key service has several questions at a time, and the user one.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where plugins of age reach the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal;

impl Terminal {
    /// Asks for something that is not shown.
    pub(crate) fn secret(question: &str) -> io::Result<SecretString> {
        let _turn = turn();
        rpassword::prompt_password(question).map(SecretString::from)
    }

    /// Asks for a line.
    fn line(question: &str) -> io::Result<String> {
        let _turn = turn();
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
