//! Asks the user for a yes or a no, at standard output and input, where scripts answer too.

use std::io::{self, BufRead, Write};

/// Asks until the answer is `y` or `n`; nothing at the end of the input.
///
/// # Errors
/// Fails if the question can't be written, or the answer not be read.
pub(super) fn is_agreed(question: &str) -> io::Result<Option<bool>> {
    loop {
        io::stdout().write_all(format!("{question} (y/n): ").as_bytes())?;
        io::stdout().flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim() {
            "y" => return Ok(Some(true)),
            "n" => return Ok(Some(false)),
            "" if answer.is_empty() => return Ok(None),
            _ => {}
        }
    }
}
