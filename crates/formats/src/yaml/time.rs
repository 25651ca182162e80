//! Timestamps as Go reads and writes them in YAML and in SOPS metadata.
//!
//! Only parsing and printing: a time keeps the offset it was written with, and nothing here asks a clock.
//! Sources: `allowedTimestampFormats` in go-yaml v3's `resolve.go`, and RFC 3339.

use std::fmt::Write;

/// A point in time with the offset it was written in, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    year: u32,
    month: u32,
    day: u32,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    offset_minutes: i32,
}

impl Time {
    /// Reads one of go-yaml's forms: a date, a date and time with `T` or `t` and an offset, or with a space and none.
    pub(crate) fn from_yaml(text: &str) -> Option<Self> {
        let mut reader = Reader(text);
        let date = reader.date(false)?;
        match reader.0.as_bytes().first() {
            None => Some(date),
            Some(b'T' | b't') => {
                reader.skip(1)?;
                let time = reader.clock(date, false)?;
                reader.offset(time)
            }
            Some(b' ') => {
                reader.0 = reader.0.trim_start_matches(' ');
                reader.clock(date, false).filter(|_| reader.0.is_empty())
            }
            Some(_) => None,
        }
    }

    /// Reads RFC 3339.
    pub(crate) fn from_rfc3339(text: &str) -> Option<Self> {
        let mut reader = Reader(text);
        let date = reader.date(true)?;
        reader.0 = reader.0.strip_prefix('T')?;
        let time = reader.clock(date, true)?;
        reader.offset(time)
    }

    /// Takes over a point in time in UTC, to the second.
    pub(crate) fn from_timestamp(timestamp: jiff::Timestamp) -> Self {
        let time = timestamp.to_zoned(jiff::tz::TimeZone::UTC);
        let number = |value: i8| u32::from(value.unsigned_abs());
        Self {
            year: u32::from(time.year().unsigned_abs()),
            month: number(time.month()),
            day: number(time.day()),
            hour: number(time.hour()),
            minute: number(time.minute()),
            second: number(time.second()),
            nanos: 0,
            offset_minutes: 0,
        }
    }

    /// Prints RFC 3339 without a fraction (Go's `time.RFC3339`).
    pub(crate) fn to_seconds(self) -> String {
        let mut text = self.local();
        self.push_offset(&mut text);
        text
    }

    /// Prints RFC 3339 with as many digits of a fraction as are needed (Go's `time.RFC3339Nano`).
    pub(crate) fn to_nanos(self) -> String {
        let mut text = self.local();
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            let _ = write!(text, ".{}", digits.trim_end_matches('0'));
        }
        self.push_offset(&mut text);
        text
    }

    fn local(self) -> String {
        let Self { year, month, day, hour, minute, second, .. } = self;
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    }

    fn push_offset(self, text: &mut String) {
        let (hours, minutes) = (self.offset_minutes.abs() / 60, self.offset_minutes.abs() % 60);
        let _ = match self.offset_minutes {
            0 => write!(text, "Z"),
            1.. => write!(text, "+{hours:02}:{minutes:02}"),
            _ => write!(text, "-{hours:02}:{minutes:02}"),
        };
    }
}

struct Reader<'a>(&'a str);

impl Reader<'_> {
    fn date(&mut self, two_digits: bool) -> Option<Time> {
        let year = self.number(4, 4)?;
        self.separator('-')?;
        let month = self.short(two_digits)?;
        self.separator('-')?;
        let day = self.short(two_digits)?;
        let good = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        good.then_some(Time { year, month, day, hour: 0, minute: 0, second: 0, nanos: 0, offset_minutes: 0 })
    }

    fn clock(&mut self, date: Time, two_digits: bool) -> Option<Time> {
        let hour = self.short(two_digits)?;
        self.separator(':')?;
        let minute = self.short(two_digits)?;
        self.separator(':')?;
        let second = self.short(two_digits)?;
        let nanos = self.fraction()?;
        (hour < 24 && minute < 60 && second < 60).then_some(Time { hour, minute, second, nanos, ..date })
    }

    fn fraction(&mut self) -> Option<u32> {
        let Some(rest) = self.0.strip_prefix(['.', ',']) else {
            return Some(0);
        };
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        let kept = digits.get(..length.min(9)).filter(|kept| !kept.is_empty())?;
        format!("{kept:0<9}").parse().ok()
    }

    fn offset(&mut self, time: Time) -> Option<Time> {
        if self.0 == "Z" {
            return Some(time);
        }
        let negative = self.0.starts_with('-');
        self.0 = self.0.strip_prefix(['+', '-'])?;
        let hours = self.number(2, 2)?;
        self.separator(':')?;
        let minutes = self.number(2, 2)?;
        let total = i32::try_from(hours * 60 + minutes).ok()?;
        let good = self.0.is_empty() && hours < 24 && minutes < 60;
        good.then_some(Time { offset_minutes: if negative { -total } else { total }, ..time })
    }

    fn short(&mut self, two_digits: bool) -> Option<u32> {
        self.number(if two_digits { 2 } else { 1 }, 2)
    }

    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let length = self.0.bytes().take(most).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at_checked(length).filter(|_| length >= least)?;
        self.0 = rest;
        digits.parse().ok()
    }

    fn separator(&mut self, separator: char) -> Option<()> {
        self.0 = self.0.strip_prefix(separator)?;
        Some(())
    }

    fn skip(&mut self, bytes: usize) -> Option<()> {
        self.0 = self.0.get(bytes..)?;
        Some(())
    }
}

fn days_in(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_as_go_prints_them() {
        for (text, seconds, nanos) in [
            ("2001-1-2", "2001-01-02T00:00:00Z", "2001-01-02T00:00:00Z"),
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43-05:00", "2001-12-14T21:59:43.1-05:00"),
            ("2001-12-14   1:2:3", "2001-12-14T01:02:03Z", "2001-12-14T01:02:03Z"),
            ("2024-02-29T00:00:00+00:00", "2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
        ] {
            let time = Time::from_yaml(text).unwrap();
            assert_eq!((time.to_seconds().as_str(), time.to_nanos().as_str()), (seconds, nanos));
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["2001-02-29", "2001-13-01", "2001-1-1T24:00:00Z", "01-01-01", "2001-01-01T00:00:00", "2001-1-1 0:0"]
        {
            assert_eq!(Time::from_yaml(text), None, "{text}");
        }
        assert_eq!(Time::from_rfc3339("2001-1-1T00:00:00Z"), None);
        assert!(Time::from_rfc3339("2001-01-01T00:00:00.123+01:30").is_some());
    }
}
