//! The note of what a holder fetched last, as it stands on disk: `COMMIT REFERENCE` in one line, such as `3f2a... tag v1`.
//!
//! It does NOT say that the mirror still has the commit. What is not exactly of this form is no note.

use super::remote::Reference;
use super::revision::Revision;

/// Returns the text of a note.
pub(super) fn print(revision: &Revision) -> String {
    format!("{} {}\n", revision.commit, revision.reference)
}

/// Reads a note, or nothing where it is damaged.
pub(super) fn parse(text: &str) -> Option<Revision> {
    let (commit, reference) = text.strip_suffix('\n')?.split_once(' ')?;
    let revision = Revision { reference: parse_reference(reference)?, commit: commit.parse().ok()? };
    let other_commit = matches!(&revision.reference, Reference::Commit(id) if *id != revision.commit);
    (!other_commit && print(&revision) == text).then_some(revision)
}

/// Reads what the `Display` of [`Reference`] writes.
fn parse_reference(text: &str) -> Option<Reference> {
    let (kind, name) = text.split_once(' ')?;
    match kind {
        "branch" => name.parse().ok().map(Reference::Branch),
        "tag" => name.parse().ok().map(Reference::Tag),
        "commit" => name.parse().ok().map(Reference::Commit),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back() -> Result<(), Box<dyn std::error::Error>> {
        let (short, long) = ("a".repeat(40).parse()?, "b".repeat(64).parse()?);
        let table = [
            (Reference::Branch("release/1.2".parse()?), short, format!("{short} branch release/1.2\n")),
            (Reference::Tag("v1".parse()?), long, format!("{long} tag v1\n")),
            (Reference::Commit(short), short, format!("{short} commit {short}\n")),
        ];
        for (reference, commit, text) in table {
            let revision = Revision { reference, commit };
            assert_eq!(print(&revision), text);
            assert_eq!(parse(&text), Some(revision));
        }
        Ok(())
    }

    #[test]
    fn a_damaged_note_is_none() {
        let (id, other) = ("a".repeat(40), "b".repeat(40));
        let table = [
            String::new(),
            id.clone(),
            format!("{id}\n"),
            format!("{id} branch main"),
            format!("{id} branch main\n\n"),
            format!("{id} branch main\r\n"),
            format!("{id}  branch main\n"),
            format!("{id} branch \n"),
            format!("{id} branch a b\n"),
            format!("{id} remote main\n"),
            format!("{} branch main\n", &id[1..]),
            format!("{} branch main\n", id.to_uppercase()),
            format!("{id} commit {other}\n"),
        ];
        for text in table {
            assert_eq!(parse(&text), None, "{text:?}");
        }
    }
}
