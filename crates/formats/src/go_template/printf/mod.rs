//! `printf`: the verbs and flags of Go's `fmt` (`fmt/print.go`, `fmt/format.go`).
//!
//! What a verb can't print is written as Go writes it (`%!d(string=...)`), value and all: it is output. Refused are
//! pointers (`%p`), `%b`, `%x` and `#` of floats.

mod numbers;
mod values;

use super::error::Fault;
use super::runes::{push, runes};
use super::value::{Heap, Value};

/// The widest field in bytes: what is larger would be padding only, and more than Rust's `format!` takes.
const MAX_WIDTH: i64 = u16::MAX as i64;
/// Go takes no larger numbers from arguments, and no further digit behind a larger number in a format.
const TOO_LARGE: i64 = 1_000_000;

/// Formats `values` by `format`.
pub(super) fn format(heap: &mut Heap, format: &[u8], values: &[Value]) -> Result<Vec<u8>, Fault> {
    let mut printer =
        Printer { heap, out: Vec::new(), values, next: 0, reordered: false, good_index: true, no_close: false };
    printer.run(format)?;
    Ok(printer.out)
}

/// The flags of one verb.
#[derive(Clone, Copy, Default)]
struct Flags {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v` and `%#v`, where the flag means the form rather than a sign.
    plus_v: bool,
    sharp_v: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

struct Printer<'a> {
    heap: &'a mut Heap,
    out: Vec<u8>,
    values: &'a [Value],
    next: usize,
    reordered: bool,
    good_index: bool,
    /// Whether it is known that no `]` follows, so that it is looked for once.
    no_close: bool,
}

type Outcome = Result<(), Fault>;

/// What is left of a format.
struct Rest<'f>(&'f [u8]);

impl Rest<'_> {
    const TOO_LARGE: i64 = i64::MAX;

    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn skip(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }

    /// Takes a number, if one stands here. One with a further digit behind what is too large already is none to Go, which leaves the format
    /// there; that is [`Self::TOO_LARGE`] here.
    fn number(&mut self) -> Option<i64> {
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let digits = self.0.get(..len).filter(|digits| !digits.is_empty())?;
        let number = digits.iter().fold(0, |number: i64, digit| match number {
            number if number > TOO_LARGE => Self::TOO_LARGE,
            number => number * 10 + i64::from(digit - b'0'),
        });
        self.skip(len);
        Some(number)
    }

    fn char(&mut self) -> Option<char> {
        let rune = runes(self.0).next()?;
        self.skip(rune.bytes.len());
        Some(rune.char.unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

impl Printer<'_> {
    fn run(&mut self, format: &[u8]) -> Outcome {
        let mut rest = Rest(format);
        while let Some(at) = rest.0.iter().position(|byte| *byte == b'%') {
            self.out.extend_from_slice(rest.0.get(..at).unwrap_or_default());
            rest.skip(at + 1);
            self.heap.pay_bytes(at + 16)?;
            if !self.verb(&mut rest)? {
                break;
            }
        }
        self.out.extend_from_slice(rest.0);
        self.extra()
    }

    /// Formats one verb; false at the end of the format.
    fn verb(&mut self, rest: &mut Rest<'_>) -> Result<bool, Fault> {
        self.good_index = true;
        let mut flags = Flags::default();
        while let Some(flag) = rest.peek() {
            match flag {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => break,
            }
            rest.skip(1);
        }
        let mut after_index = self.index(rest);
        self.width(rest, &mut flags, &mut after_index)?;
        if rest.peek() == Some(b'.') {
            rest.skip(1);
            self.precision(rest, &mut flags, &mut after_index)?;
        }
        if !after_index {
            self.index(rest);
        }
        let Some(verb) = rest.char() else {
            self.out.extend_from_slice(b"%!(NOVERB)");
            return Ok(false);
        };
        self.apply(verb, flags).map(|()| true)
    }

    fn apply(&mut self, verb: char, mut flags: Flags) -> Outcome {
        if verb == '%' {
            self.out.push(b'%');
            return Ok(());
        }
        if !self.good_index {
            return self.complain(verb, "(BADINDEX)");
        }
        let Some(value) = self.values.get(self.next) else { return self.complain(verb, "(MISSING)") };
        self.next += 1;
        if verb == 'v' {
            flags.sharp_v = std::mem::take(&mut flags.sharp);
            flags.plus_v = std::mem::take(&mut flags.plus);
        }
        self.value(verb, flags, &value.clone())
    }

    fn complain(&mut self, verb: char, what: &str) -> Outcome {
        self.out.extend_from_slice(b"%!");
        push(&mut self.out, verb);
        self.out.extend_from_slice(what.as_bytes());
        Ok(())
    }

    /// Reads `[n]`, which says which argument comes next.
    fn index(&mut self, rest: &mut Rest<'_>) -> bool {
        if rest.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let close = if self.no_close { None } else { rest.0.iter().position(|byte| *byte == b']') };
        let Some(close) = close else {
            self.no_close = true;
            self.good_index = false;
            rest.skip(1);
            return false;
        };
        let mut inner = Rest(rest.0.get(1..close).unwrap_or_default());
        let number = inner.number().filter(|number| inner.0.is_empty() && *number != Rest::TOO_LARGE);
        rest.skip(close + 1);
        let index = number.and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
        match index.filter(|index| *index < self.values.len()) {
            Some(index) => self.next = index,
            None => self.good_index = false,
        }
        number.is_some()
    }

    fn width(&mut self, rest: &mut Rest<'_>, flags: &mut Flags, after_index: &mut bool) -> Outcome {
        if rest.peek() == Some(b'*') {
            rest.skip(1);
            match self.int_argument() {
                Some(width) => {
                    flags.minus |= width < 0;
                    flags.zero &= width >= 0;
                    flags.width = Some(size(width.saturating_abs())?);
                }
                None => self.out.extend_from_slice(b"%!(BADWIDTH)"),
            }
            *after_index = false;
            return Ok(());
        }
        if let Some(width) = rest.number() {
            flags.width = Some(size(width)?);
            self.good_index &= !*after_index;
        }
        Ok(())
    }

    fn precision(&mut self, rest: &mut Rest<'_>, flags: &mut Flags, after_index: &mut bool) -> Outcome {
        self.good_index &= !*after_index;
        *after_index = self.index(rest);
        if rest.peek() == Some(b'*') {
            rest.skip(1);
            match self.int_argument() {
                Some(precision) if precision >= 0 => flags.precision = Some(size(precision)?),
                Some(_) => {}
                None => self.out.extend_from_slice(b"%!(BADPREC)"),
            }
            *after_index = false;
            return Ok(());
        }
        flags.precision = Some(size(rest.number().unwrap_or_default())?);
        Ok(())
    }

    /// Takes an argument as a width or precision.
    fn int_argument(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        let number = match value {
            Value::Int(number) | Value::Int64(number) => Some(*number),
            Value::Byte(number) => Some(i64::from(*number)),
            _ => None,
        };
        number.filter(|number| (-TOO_LARGE..=TOO_LARGE).contains(number))
    }

    fn extra(&mut self) -> Outcome {
        if self.reordered || self.next >= self.values.len() {
            return Ok(());
        }
        self.out.extend_from_slice(b"%!(EXTRA ");
        for (position, value) in self.values.iter().skip(self.next).enumerate() {
            self.out.extend_from_slice(if position == 0 { b"" } else { b", " });
            match value.is_nil() {
                true => self.out.extend_from_slice(b"<nil>"),
                false => {
                    self.out.extend_from_slice(value.type_name().as_bytes());
                    self.out.push(b'=');
                    self.value('v', Flags::default(), value)?;
                }
            }
        }
        self.out.push(b')');
        Ok(())
    }
}

fn size(number: i64) -> Result<usize, Fault> {
    match usize::try_from(number) {
        Ok(size) if number <= MAX_WIDTH => Ok(size),
        _ => Err(Fault::Limit("65,535 bytes of width or precision")),
    }
}
