//! Integers, characters and floats as a verb of `printf` writes them.

use super::super::error::Fault;
use super::super::floats::{exponential, fixed, general};
use super::super::print::escaped;
use super::super::runes::{self, push};
use super::super::value::Value;
use super::{Flags, Outcome, Printer};

impl Printer<'_> {
    pub(super) fn integer(&mut self, verb: char, flags: Flags, size: u64, negative: bool, value: &Value) -> Outcome {
        match verb {
            'v' if flags.sharp_v && matches!(value, Value::Byte(_) | Value::Uint64(_)) => {
                self.digits('x', Flags { sharp: true, ..flags }, size, negative)
            }
            'v' | 'd' => self.digits('d', flags, size, negative),
            'b' | 'o' | 'O' | 'x' | 'X' => self.digits(verb, flags, size, negative),
            'c' | 'q' | 'U' => {
                let code = if negative { None } else { u32::try_from(size).ok() };
                self.character(verb, flags, size, code)
            }
            _ => self.bad_verb(verb, flags, value),
        }
    }

    fn digits(&mut self, verb: char, flags: Flags, size: u64, negative: bool) -> Outcome {
        let signed = negative || flags.plus || flags.space;
        let least = match (flags.precision, flags.width) {
            (Some(0), _) if size == 0 => return self.pad(Flags { zero: false, ..flags }, b""),
            (Some(precision), _) => precision,
            (None, Some(width)) if flags.zero && !flags.minus => width.saturating_sub(usize::from(signed)),
            _ => 0,
        };
        let bare = match verb {
            'b' => format!("{size:b}"),
            'o' | 'O' => format!("{size:o}"),
            'x' => format!("{size:x}"),
            'X' => format!("{size:X}"),
            _ => size.to_string(),
        };
        let number = format!("{}{bare}", "0".repeat(least.saturating_sub(bare.len())));
        let prefix = match (verb, flags.sharp) {
            ('O', _) if flags.sharp && !number.starts_with('0') => "0o0",
            ('O', _) => "0o",
            ('b', true) => "0b",
            ('o', true) if !number.starts_with('0') => "0",
            ('x', true) => "0x",
            ('X', true) => "0X",
            _ => "",
        };
        let sign = match (negative, flags.plus, flags.space) {
            (true, _, _) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        self.pad(Flags { zero: false, ..flags }, format!("{sign}{prefix}{number}").as_bytes())
    }

    fn character(&mut self, verb: char, flags: Flags, size: u64, code: Option<u32>) -> Outcome {
        let char = code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        let mut out = Vec::new();
        match verb {
            'c' => push(&mut out, char),
            'q' => {
                out.push(b'\'');
                escaped(&mut out, char, '\'', flags.plus);
                out.push(b'\'');
            }
            _ => {
                let least = flags.precision.unwrap_or_default().max(4);
                out.extend_from_slice(format!("U+{size:0least$X}").as_bytes());
                if let (true, Some(char)) =
                    (flags.sharp, code.and_then(char::from_u32).filter(|c| runes::is_printable(*c)))
                {
                    out.extend_from_slice(format!(" '{char}'").as_bytes());
                }
                return self.pad(Flags { zero: false, ..flags }, &out);
            }
        }
        self.pad(flags, &out)
    }

    pub(super) fn float(&mut self, verb: char, flags: Flags, number: f64, value: &Value) -> Outcome {
        if flags.sharp || matches!(verb, 'b' | 'x' | 'X') {
            return Err(Fault::Refused("`#`, `%b` and `%x` of floats"));
        }
        let text = match verb {
            'v' | 'g' | 'G' => general(number, flags.precision),
            'e' | 'E' => exponential(number, flags.precision.unwrap_or(6)),
            'f' | 'F' => fixed(number, flags.precision.unwrap_or(6)),
            _ => return self.bad_verb(verb, flags, value),
        };
        let text = if matches!(verb, 'E' | 'G') { text.replace('e', "E") } else { text };
        let (sign, size) = match text.strip_prefix(['-', '+']) {
            Some(size) => (text.get(..1).unwrap_or_default(), size),
            None => ("+", text.as_str()),
        };
        let sign = if flags.space && sign == "+" && !flags.plus { " " } else { sign };
        let shown = if flags.plus || sign != "+" { sign } else { "" };
        if !number.is_finite() {
            let shown = if number.is_nan() && !flags.plus && !flags.space { "" } else { shown };
            let plus = if number == f64::INFINITY && shown.is_empty() { "+" } else { shown };
            return self.pad(Flags { zero: false, ..flags }, format!("{plus}{size}").as_bytes());
        }
        let missing = flags.width.unwrap_or_default().saturating_sub(shown.len() + size.len());
        if flags.zero && !flags.minus && missing > 0 {
            self.out.extend_from_slice(shown.as_bytes());
            self.padding(b'0', missing)?;
            self.out.extend_from_slice(size.as_bytes());
            return Ok(());
        }
        self.pad(flags, format!("{shown}{size}").as_bytes())
    }
}
