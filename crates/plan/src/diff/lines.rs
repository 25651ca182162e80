//! Compares two texts line by line.

/// A line of a text that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

/// The most lines on each side, without equal ones at the ends, that are matched with each other.
const MAX_MATCHED: usize = 400;

/// Returns the lines of both texts in order: the shortest edit, or, where texts are long, the old ones and then the
/// new ones.
pub(super) fn compare<'a>(old: &'a str, new: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (head, old) = old.split_at(start);
    let (_, new) = new.split_at(start);
    let end = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count();
    let (old, tail) = old.split_at(old.len() - end);
    let (new, _) = new.split_at(new.len() - end);
    let same = |lines: &[&'a str]| lines.iter().map(|line| Line::Same(line)).collect::<Vec<_>>();
    [same(head), middle(old, new), same(tail)].concat()
}

fn middle<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<Line<'a>> {
    if old.len() > MAX_MATCHED || new.len() > MAX_MATCHED {
        let removed = old.iter().map(|line| Line::Removed(line));
        return removed.chain(new.iter().map(|line| Line::Added(line))).collect();
    }
    let common = common_lengths(old, new);
    let length = |o: usize, n: usize| common.get(o).and_then(|row| row.get(n)).copied().unwrap_or(0);
    let (mut o, mut n, mut lines) = (0, 0, Vec::new());
    loop {
        match (old.get(o), new.get(n)) {
            (None, None) => return lines,
            (Some(line), Some(other)) if line == other => {
                lines.push(Line::Same(line));
                (o, n) = (o + 1, n + 1);
            }
            (Some(line), other) if other.is_none() || length(o + 1, n) >= length(o, n + 1) => {
                lines.push(Line::Removed(line));
                o += 1;
            }
            (_, Some(line)) => {
                lines.push(Line::Added(line));
                n += 1;
            }
            (Some(_), None) => return lines,
        }
    }
}

/// How long the longest common subsequence is from each pair of places on.
fn common_lengths(old: &[&str], new: &[&str]) -> Vec<Vec<usize>> {
    let mut rows = vec![vec![0; new.len() + 1]];
    for line in old.iter().rev() {
        let below = rows.last().cloned().unwrap_or_default();
        let mut row = vec![0];
        for (column, other) in new.iter().enumerate().rev() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(0);
            let right = row.last().copied().unwrap_or(0);
            row.push(if line == other { at(&below, column + 1) + 1 } else { at(&below, column).max(right) });
        }
        row.reverse();
        rows.push(row);
    }
    rows.reverse();
    rows
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sides<'a>(lines: &[Line<'a>]) -> (Vec<&'a str>, Vec<&'a str>) {
        let (mut old, mut new) = (vec![], vec![]);
        for line in lines {
            match line {
                Line::Same(line) => {
                    old.push(*line);
                    new.push(*line);
                }
                Line::Removed(line) => old.push(line),
                Line::Added(line) => new.push(line),
            }
        }
        (old, new)
    }

    #[test]
    fn one_line_in_the_middle_is_one_change() {
        let lines = compare("a\nb\nc\n", "a\nx\nc\n");
        assert_eq!(lines, [Line::Same("a"), Line::Removed("b"), Line::Added("x"), Line::Same("c")]);
    }

    proptest! {
        #[test]
        fn both_texts_can_be_read_from_the_lines(old in "([ab]\n){0,12}", new in "([ab]\n){0,12}") {
            let lines = compare(&old, &new);
            prop_assert_eq!(sides(&lines), (old.lines().collect(), new.lines().collect()));
        }
    }

    #[test]
    fn long_texts_are_shown_as_a_whole() {
        let text = |word: &str| (0..MAX_MATCHED + 1).map(|n| format!("{word}{n}\n")).collect::<String>();
        let (old, new) = (text("a"), text("b"));
        assert_eq!(sides(&compare(&old, &new)), (old.lines().collect(), new.lines().collect()));
    }
}
