//! On which line of a file a value stands, whatever its format.

use std::collections::HashMap;

use waxwing_formats::sops::Store;
use waxwing_formats::yaml;

/// The lines of a file.
pub(super) enum Lines<'a> {
    /// Of YAML or JSON.
    Tree(yaml::Lines),
    /// Of a file that has a key on each line, in sections or not.
    Flat(Keys<'a>),
    /// Of a file that has no keys, or can't be read.
    None,
}

impl<'a> Lines<'a> {
    pub(super) fn read(bytes: &'a [u8], store: Store) -> Self {
        let flat = || std::str::from_utf8(bytes).ok().map(|text| Self::Flat(Keys::read(text)));
        let found = match store {
            Store::Dotenv | Store::Ini => flat(),
            // A kustomization may have no ending.
            _ => yaml::Lines::read(bytes).map(Self::Tree),
        };
        found.unwrap_or(Self::None)
    }

    /// Returns the line, from 1, of what a JSON pointer names in a document, from 0.
    pub(super) fn of(&self, document: usize, pointer: &str) -> Option<usize> {
        match self {
            Self::Tree(lines) => lines.of(document, pointer),
            Self::Flat(keys) => keys.of(pointer),
            Self::None => None,
        }
    }
}

/// The lines on which keys stand first.
#[derive(Default)]
pub(super) struct Keys<'a> {
    anywhere: HashMap<&'a str, usize>,
    /// By the section, which there is none of before the first.
    within: HashMap<(Option<&'a str>, &'a str), usize>,
}

impl<'a> Keys<'a> {
    fn read(text: &'a str) -> Self {
        let (mut keys, mut section) = (Self::default(), None);
        for (line, number) in text.lines().map(str::trim).zip(1..) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = Some(name.trim());
            }
            if let Some(key) = line.split(['=', ':']).next().map(str::trim) {
                keys.anywhere.entry(key).or_insert(number);
                keys.within.entry((section, key)).or_insert(number);
            }
        }
        keys
    }

    /// Finds `/KEY`, or `/SECTION/KEY` behind the line `[SECTION]`.
    fn of(&self, pointer: &str) -> Option<usize> {
        let mut steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
        let (first, second) = (steps.next()?, steps.next());
        let Some(key) = second else { return self.anywhere.get(first.as_str()).copied() };
        let within = self.within.get(&(Some(first.as_str()), key.as_str()));
        // Before the first section sops has one called DEFAULT.
        let before = self.within.get(&(None, key.as_str())).filter(|_| first == "DEFAULT");
        before.into_iter().chain(within).min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_flat_files_are_found_in_their_sections() {
        let ini = "; about\na = 0\n[one]\na = 1\n\n[two]\nb: 2\na=3\n";
        for (pointer, line) in
            [("/one/a", Some(4)), ("/two/a", Some(8)), ("/two/b", Some(7)), ("/DEFAULT/a", Some(2)), ("/one/b", None)]
        {
            assert_eq!(Lines::read(ini.as_bytes(), Store::Ini).of(0, pointer), line, "{pointer}");
        }
        let env = "# A=1\nB=A\nA=x=y\n";
        assert_eq!(Lines::read(env.as_bytes(), Store::Dotenv).of(0, "/A"), Some(3));
        // Quadratic work would take minutes here.
        let many: String = (0..50_000).map(|key| format!("K{key}=1\n")).collect();
        let lines = Lines::read(many.as_bytes(), Store::Dotenv);
        assert!((0..50_000).all(|key| lines.of(0, &format!("/K{key}")) == Some(key + 1)));
        assert_eq!(Lines::read(b"\xff", Store::Dotenv).of(0, "/A"), None);
    }
}
