//! On which line of a file a value stands, whatever its format.

use waxwing_formats::sops::Store;
use waxwing_formats::yaml;

/// The lines of a file.
pub(super) enum Lines<'a> {
    /// Of YAML or JSON.
    Tree(yaml::Lines),
    /// Of a file that has a key on each line, in sections or not.
    Flat(&'a str),
    /// Of a file that has no keys, or can't be read.
    None,
}

impl<'a> Lines<'a> {
    pub(super) fn read(bytes: &'a [u8], store: Store) -> Self {
        let flat = || std::str::from_utf8(bytes).ok().map(Self::Flat);
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
            Self::Flat(text) => line_of_key(text, pointer),
            Self::None => None,
        }
    }
}

/// Finds `/KEY`, or `/SECTION/KEY` behind the line `[SECTION]`.
fn line_of_key(text: &str, pointer: &str) -> Option<usize> {
    let mut steps = pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~"));
    let (first, second) = (steps.next()?, steps.next());
    let (section, key) = second.map_or((None, first.clone()), |key| (Some(first), key));
    let mut current = None;
    for (line, number) in text.lines().map(str::trim).zip(1..) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            current = Some(name.trim().to_owned());
        }
        let has_key = line.split(['=', ':']).next().is_some_and(|name| name.trim() == key);
        // Before the first section sops has one called DEFAULT.
        let is_within =
            section.is_none() || section == current || (current.is_none() && section.as_deref() == Some("DEFAULT"));
        if has_key && is_within {
            return Some(number);
        }
    }
    None
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
        assert_eq!(Lines::read(b"\xff", Store::Dotenv).of(0, "/A"), None);
    }
}
