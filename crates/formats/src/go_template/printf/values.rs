//! Values as a verb of `printf` writes them, with padding; those that are numbers stand in `numbers.rs`.

use super::super::error::Fault;
use super::super::print::quoted;
use super::super::runes::{self, push, runes};
use super::super::value::{MAX_DEPTH, Text, Value};
use super::{Flags, Outcome, Printer};

impl Printer<'_> {
    pub(super) fn value(&mut self, verb: char, flags: Flags, value: &Value) -> Outcome {
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
        self.heap.pay(8)?;
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
            Value::Uint64(number) => self.integer(verb, flags, *number, false, value)?,
            Value::Version(version) if !flags.sharp_v && matches!(verb, 'v' | 's' | 'x' | 'X' | 'q') => {
                self.string(verb, flags, version.text().as_bytes(), value)?;
            }
            Value::Version(_) => return Err(Fault::Refused("versions as anything but text")),
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

    pub(super) fn bad_verb(&mut self, verb: char, flags: Flags, value: &Value) -> Outcome {
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
    pub(super) fn pad(&mut self, flags: Flags, text: &[u8]) -> Outcome {
        let missing = flags.width.unwrap_or_default().saturating_sub(runes::count(text));
        if flags.minus {
            self.out.extend_from_slice(text);
            return self.padding(b' ', missing);
        }
        self.padding(if flags.zero { b'0' } else { b' ' }, missing)?;
        self.out.extend_from_slice(text);
        Ok(())
    }

    pub(super) fn padding(&mut self, byte: u8, count: usize) -> Outcome {
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
