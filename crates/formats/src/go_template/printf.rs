//! `printf`: the verbs and flags of Go's `fmt` (`fmt/print.go`, `fmt/format.go`).
//!
//! What a verb can't print is written as Go writes it (`%!d(string=...)`), value and all: it is output. Refused are
//! pointers (`%p`), `%b`, `%x` and `#` of floats.

use super::error::Fault;
use super::floats::{exponential, fixed, general};
use super::print::{escaped, quoted};
use super::runes::{self, push, runes};
use super::value::{Heap, MAX_DEPTH, Text, Value};

/// The widest field in bytes: what is larger would be padding only.
const MAX_WIDTH: i64 = 1 << 16;
/// Go refuses numbers in a format from here on.
const TOO_LARGE: i64 = 1_000_000;

/// Formats `values` by `format`.
pub(super) fn format(heap: &mut Heap, format: &[u8], values: &[Value]) -> Result<Vec<u8>, Fault> {
    let mut printer = Printer { heap, out: Vec::new(), values, next: 0, reordered: false, good_index: true };
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
}

type Outcome = Result<(), Fault>;

/// What is left of a format.
struct Rest<'f>(&'f [u8]);

impl Rest<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn skip(&mut self, count: usize) {
        self.0 = self.0.get(count..).unwrap_or_default();
    }

    /// Takes a number, if one stands here; one that is too large is none.
    fn number(&mut self) -> Option<i64> {
        let len = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let text = std::str::from_utf8(self.0.get(..len)?).ok().filter(|text| !text.is_empty())?;
        let number = text.parse().ok().filter(|number| *number <= TOO_LARGE);
        self.skip(len);
        number
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
        let Some(close) = rest.0.iter().position(|byte| *byte == b']') else {
            self.good_index = false;
            rest.skip(1);
            return false;
        };
        let mut inner = Rest(rest.0.get(1..close).unwrap_or_default());
        let number = inner.number().filter(|_| inner.0.is_empty());
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

    fn value(&mut self, verb: char, flags: Flags, value: &Value) -> Outcome {
        match (value, verb) {
            (Value::Nil | Value::NilItem, 'T' | 'v') => self.pad(flags, b"<nil>"),
            (_, 'T') => self.string('s', flags, value.type_name().as_bytes(), value),
            (_, 'p') => Err(Fault::Refused("`%p` would print an address")),
            _ => self.nested(verb, flags, value, 0),
        }
    }

    fn nested(&mut self, verb: char, flags: Flags, value: &Value, depth: usize) -> Outcome {
        if depth > MAX_DEPTH {
            return Err(Fault::Limit("64 lists and maps in each other"));
        }
        let before = self.out.len();
        match value {
            Value::Nil | Value::NilItem if depth > 0 && flags.sharp_v => {
                self.out.extend_from_slice(b"interface {}(nil)")
            }
            Value::Nil | Value::NilItem if depth > 0 => self.out.extend_from_slice(b"<nil>"),
            Value::Nil | Value::NilItem => self.bad_verb(verb, flags, value)?,
            Value::Bool(truth) if matches!(verb, 't' | 'v') => self.pad(flags, truth.to_string().as_bytes())?,
            Value::Int(number) | Value::Int64(number) => {
                self.integer(verb, flags, number.unsigned_abs(), *number < 0, value)?;
            }
            Value::Byte(number) => self.integer(verb, flags, u64::from(*number), false, value)?,
            Value::Float(number) => self.float(verb, flags, *number, value)?,
            Value::Text(text) => self.string(verb, flags, text.bytes(), value)?,
            Value::List(list) => {
                let items = self.heap.items(*list);
                self.list(verb, flags, (value, list.is_nil), &items, depth)?;
            }
            Value::Map(map) => {
                let entries = self.heap.snapshot(*map)?;
                self.map(verb, flags, value, &entries, depth)?;
            }
            Value::Bool(_) => self.bad_verb(verb, flags, value)?,
        }
        self.heap.pay_bytes(self.out.len() - before)
    }

    fn list(
        &mut self,
        verb: char,
        flags: Flags,
        (value, is_nil): (&Value, bool),
        items: &[Value],
        depth: usize,
    ) -> Outcome {
        if flags.sharp_v {
            self.out.extend_from_slice(value.type_name().as_bytes());
            if is_nil {
                self.out.extend_from_slice(b"(nil)");
                return Ok(());
            }
        }
        let (open, between, close) = if flags.sharp_v { ("{", ", ", "}") } else { ("[", " ", "]") };
        self.out.extend_from_slice(open.as_bytes());
        for (position, item) in items.iter().enumerate() {
            self.out.extend_from_slice(if position == 0 { b"" } else { between.as_bytes() });
            self.nested(verb, flags, item, depth + 1)?;
        }
        self.out.extend_from_slice(close.as_bytes());
        Ok(())
    }

    fn map(&mut self, verb: char, flags: Flags, value: &Value, entries: &[(Text, Value)], depth: usize) -> Outcome {
        let (open, between, close) = if flags.sharp_v { ("{", ", ", "}") } else { ("[", " ", "]") };
        self.out.extend_from_slice(if flags.sharp_v { value.type_name().as_bytes() } else { b"map" });
        self.out.extend_from_slice(open.as_bytes());
        for (position, (key, item)) in entries.iter().enumerate() {
            self.out.extend_from_slice(if position == 0 { b"" } else { between.as_bytes() });
            self.nested(verb, flags, &Value::Text(key.clone()), depth + 1)?;
            self.out.push(b':');
            self.nested(verb, flags, item, depth + 1)?;
        }
        self.out.extend_from_slice(close.as_bytes());
        Ok(())
    }

    fn bad_verb(&mut self, verb: char, flags: Flags, value: &Value) -> Outcome {
        self.out.extend_from_slice(b"%!");
        push(&mut self.out, verb);
        self.out.push(b'(');
        match value.is_nil() {
            true => self.out.extend_from_slice(b"<nil>"),
            false => {
                self.out.extend_from_slice(value.type_name().as_bytes());
                self.out.push(b'=');
                self.nested('v', flags, value, 0)?;
            }
        }
        self.out.push(b')');
        Ok(())
    }

    /// Writes text with its padding.
    fn pad(&mut self, flags: Flags, text: &[u8]) -> Outcome {
        let missing = flags.width.unwrap_or_default().saturating_sub(runes::count(text));
        if flags.minus {
            self.out.extend_from_slice(text);
            return self.padding(b' ', missing);
        }
        self.padding(if flags.zero { b'0' } else { b' ' }, missing)?;
        self.out.extend_from_slice(text);
        Ok(())
    }

    fn padding(&mut self, byte: u8, count: usize) -> Outcome {
        self.heap.pay_bytes(count)?;
        self.out.extend(std::iter::repeat_n(byte, count));
        Ok(())
    }

    fn string(&mut self, verb: char, flags: Flags, text: &[u8], value: &Value) -> Outcome {
        match verb {
            'v' if flags.sharp_v => self.quote(flags, text),
            'v' | 's' => self.pad(flags, truncated(text, flags.precision)),
            'q' => self.quote(flags, text),
            'x' | 'X' => self.hexadecimal(verb == 'X', flags, text),
            _ => self.bad_verb(verb, flags, value),
        }
    }

    fn quote(&mut self, flags: Flags, text: &[u8]) -> Outcome {
        let text = truncated(text, flags.precision);
        let mut out = Vec::with_capacity(text.len() + 2);
        match flags.sharp && can_backquote(text) {
            true => out.extend([b"`", text, b"`"].concat()),
            false => quoted(&mut out, text, flags.plus),
        }
        self.pad(flags, &zeroize::Zeroizing::new(out))
    }

    fn hexadecimal(&mut self, upper: bool, flags: Flags, text: &[u8]) -> Outcome {
        let text = text.get(..flags.precision.unwrap_or(text.len())).unwrap_or(text);
        let prefix = if upper { "0X" } else { "0x" };
        let mut out = zeroize::Zeroizing::new(Vec::with_capacity(text.len() * 2 + 2));
        for (position, byte) in text.iter().enumerate() {
            if flags.space && position > 0 {
                out.push(b' ');
            }
            if flags.sharp && (flags.space || position == 0) {
                out.extend_from_slice(prefix.as_bytes());
            }
            let digits = if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
            out.extend_from_slice(digits.as_bytes());
        }
        self.pad(flags, &out)
    }

    fn integer(&mut self, verb: char, flags: Flags, size: u64, negative: bool, value: &Value) -> Outcome {
        match verb {
            'v' if flags.sharp_v && matches!(value, Value::Byte(_)) => {
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

    fn float(&mut self, verb: char, flags: Flags, number: f64, value: &Value) -> Outcome {
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

fn size(number: i64) -> Result<usize, Fault> {
    match usize::try_from(number) {
        Ok(size) if number <= MAX_WIDTH => Ok(size),
        _ => Err(Fault::Limit("65,536 bytes of width or precision")),
    }
}

fn truncated(text: &[u8], precision: Option<usize>) -> &[u8] {
    let Some(precision) = precision else { return text };
    let len = runes(text).take(precision).map(|rune| rune.bytes.len()).sum();
    text.get(..len).unwrap_or(text)
}

/// Tells whether Go would write the text between backquotes (`strconv.CanBackquote`).
fn can_backquote(text: &[u8]) -> bool {
    runes(text).all(|rune| {
        rune.char
            .is_some_and(|char| char != '\u{feff}' && (char >= ' ' || char == '\t') && !matches!(char, '`' | '\x7f'))
    })
}
