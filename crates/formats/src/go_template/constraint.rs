//! Constraints of versions, such as `^1.2 || >=3.0.0-0, <4`, as `Masterminds/semver` 3.4 reads them.

use std::cmp::Ordering;
use std::sync::LazyLock;

use regex::Regex;

use super::error::Fault;
use super::version::{Version, compare_pre};

const NO_CONSTRAINT: Fault = Fault::Failed("is given what is no constraint of versions");

const SPACE: &str = "[\\t\\n\\f\\r ]";
const OPERATORS: &str = "=||!=|>|<|>=|=>|<=|=<|~|~>|\\^";
/// A version whose numbers may be stood for by `x`, `X` or `*`, as four groups: the numbers, and what stands behind `-`.
const VERSION: &str = r"v?([0-9|xX*]+)(?:\.([0-9|xX*]+))?(?:\.([0-9|xX*]+))?(-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?";

/// The expressions that take a constraint apart.
struct Grammar {
    range: Regex,
    all: Regex,
    one: Regex,
}

static GRAMMAR: LazyLock<Option<Grammar>> = LazyLock::new(|| {
    let one = format!("({OPERATORS}){SPACE}*({VERSION})");
    Some(Grammar {
        range: Regex::new(&format!("{SPACE}*({VERSION}){SPACE}+-{SPACE}+({VERSION}){SPACE}*")).ok()?,
        all: Regex::new(&format!("^{SPACE}*{one}{SPACE}*(?:(?:{SPACE}+|,{SPACE}*){one}{SPACE}*)*$")).ok()?,
        one: Regex::new(&one).ok()?,
    })
});

/// One condition on a version.
struct Condition {
    operator: String,
    version: Version,
    /// How many numbers are given; the others are free.
    given: usize,
}

/// Tells whether a version satisfies a constraint.
pub(super) fn is_satisfied(constraint: &str, version: &str) -> Result<bool, Fault> {
    let ways = read(constraint)?;
    let version = Version::read(version)?;
    Ok(ways.iter().any(|conditions| {
        let allows_pre = conditions.iter().any(|condition| !condition.version.pre.is_empty());
        (version.pre.is_empty() || allows_pre) && conditions.iter().all(|condition| condition.holds(&version))
    }))
}

/// Reads a constraint: ways to satisfy it, each of which is a list of conditions that all have to hold.
fn read(constraint: &str) -> Result<Vec<Vec<Condition>>, Fault> {
    let grammar = GRAMMAR.as_ref().ok_or(NO_CONSTRAINT)?;
    let way = |text: &str| {
        if !grammar.all.is_match(text) {
            return Err(NO_CONSTRAINT);
        }
        grammar.one.captures_iter(text).map(|found| Condition::of(&found)).collect()
    };
    with_ranges_rewritten(grammar, constraint).split("||").map(way).collect()
}

/// Writes `1.2 - 2` as `>= 1.2, <= 2`.
fn with_ranges_rewritten(grammar: &Grammar, constraint: &str) -> String {
    let mut text = constraint.to_owned();
    for found in grammar.range.captures_iter(constraint) {
        let group = |number| found.get(number).map(|group| group.as_str()).unwrap_or_default();
        text = text.replacen(group(0), &format!(">= {}, <= {} ", group(1), group(6)), 1);
    }
    text
}

impl Condition {
    /// Takes the groups of an operator, a whole version, its numbers and what stands behind `-`.
    fn of(found: &regex::Captures<'_>) -> Result<Self, Fault> {
        let group = |number| found.get(number).map(|group| group.as_str());
        let is_given = |number| group(number).is_some_and(|text| !matches!(text, "x" | "X" | "*"));
        let given = (3..6).take_while(|number| is_given(*number)).count();
        let (major, minor) = (group(3).unwrap_or_default(), group(4).unwrap_or_default());
        let pre = group(6).unwrap_or_default();
        let text = match given {
            0 => format!("0.0.0{pre}"),
            1 => format!("{major}.0.0{pre}"),
            2 => format!("{major}.{minor}.0{pre}"),
            _ => group(2).unwrap_or_default().to_owned(),
        };
        let version = Version::read(&text).map_err(|_| NO_CONSTRAINT)?;
        Ok(Self { operator: group(1).unwrap_or_default().to_owned(), version, given })
    }

    /// Tells whether it holds for a version that may have something behind `-`.
    fn holds(&self, version: &Version) -> bool {
        let order = version.compare(&self.version);
        match self.operator.as_str() {
            "" | "=" if self.given == 3 => order == Ordering::Equal,
            "" | "=" | "~" | "~>" => self.is_near(version, order),
            "!=" => self.is_other(version, order),
            ">" => self.is_above(version, order),
            "<" => order == Ordering::Less,
            ">=" | "=>" => order != Ordering::Less,
            "<=" | "=<" => self.is_at_most(version, order),
            _ => self.is_compatible(version, order),
        }
    }

    /// `~`: the same in all numbers that are given but the third, which may be larger.
    fn is_near(&self, version: &Version, order: Ordering) -> bool {
        let own = &self.version;
        let is_any = (own.major, own.minor, own.patch) == (0, 0, 0) && matches!(self.given, 0 | 3);
        let is_same = version.major == own.major && (version.minor == own.minor || self.given == 1);
        order != Ordering::Less && (is_any || is_same)
    }

    /// `!=`: another one in the numbers that are given.
    fn is_other(&self, version: &Version, order: Ordering) -> bool {
        let own = &self.version;
        match self.given {
            3 => order != Ordering::Equal,
            _ if version.major != own.major => true,
            1 => false,
            _ if version.minor != own.minor => true,
            2 if !version.pre.is_empty() || !own.pre.is_empty() => compare_pre(&version.pre, &own.pre).is_ne(),
            2 => false,
            _ => version.patch != own.patch || order != Ordering::Equal,
        }
    }

    fn is_above(&self, version: &Version, order: Ordering) -> bool {
        let own = &self.version;
        match self.given {
            3 => order == Ordering::Greater,
            _ if version.major != own.major => version.major > own.major,
            1 => false,
            2 => version.minor > own.minor,
            _ => order == Ordering::Greater,
        }
    }

    fn is_at_most(&self, version: &Version, order: Ordering) -> bool {
        let own = &self.version;
        match self.given {
            3 => order != Ordering::Greater,
            _ if version.major != own.major => version.major < own.major,
            1 => true,
            _ => version.minor <= own.minor,
        }
    }

    /// `^`: the same up to the first number that is not 0.
    fn is_compatible(&self, version: &Version, order: Ordering) -> bool {
        let own = &self.version;
        if order == Ordering::Less || version.major != own.major {
            return false;
        }
        match (own.major, own.minor, self.given) {
            (1.., _, _) | (_, _, 1) => true,
            (_, 1.., _) | (_, _, 2) => version.minor == own.minor,
            _ => version.minor == 0 && version.patch == own.patch,
        }
    }
}
