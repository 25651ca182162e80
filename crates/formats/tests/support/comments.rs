//! What docs/from-sops.md lists about comments, found in what sops did to a file of YAML and not in what we do: each comment has a
//! number at its end, so that it can be found again wherever it went. Not here: any reading of YAML; the texts are those of
//! `random.rs` and what sops makes of them, in which each line says by its column where it stands.

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;
use waxwing_formats::sops::{Rule, RuleKind};

use super::masked::masked;

/// Writes a number behind each comment.
pub fn numbered(text: &str) -> String {
    let comment = Regex::new(r"^ *#| # [a-z]{1,5}$").unwrap();
    let line = |(at, line): (usize, &str)| {
        if comment.is_match(line) { format!("{line} [{at}]\n") } else { format!("{line}\n") }
    };
    text.lines().enumerate().map(line).collect()
}

/// The comments that stand in a text in the clear, each with the keys of the blocks around it.
fn places(text: &str) -> BTreeMap<usize, Vec<String>> {
    let comment = Regex::new(r"#[^#]*\[([0-9]+)\]$").unwrap();
    let key = Regex::new(r"^([ -]*?)([a-z0-9_]+):( |$)").unwrap();
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let column = line.len() - line.trim_start().len();
        let is_own = line.trim_start().starts_with('#');
        open.retain(|(at, _)| *at < column);
        if let Some(mark) = key.captures(line).filter(|_| !is_own) {
            let at = mark[1].len();
            open.retain(|(above, _)| *above < at);
            found.extend(comment.captures(line).map(|number| (number[1].parse().unwrap(), names(&open))));
            open.push((at, mark[2].to_owned()));
        } else {
            found.extend(comment.captures(line).map(|number| (number[1].parse().unwrap(), names(&open))));
        }
    }
    found
}

fn names(open: &[(usize, String)]) -> Vec<String> {
    open.iter().map(|(_, key)| key.clone()).collect()
}

/// Tells whether a text is what sops printed, but for comments of which sops printed the token, since it looked for them in another
/// block than it had sealed them for.
pub fn is_what_sops_opened(whole: &str, by_sops: &str) -> bool {
    let is_token = |line: &str| line.contains("#ENC[AES256_GCM,");
    let rest: Vec<&str> = by_sops.lines().filter(|line| !is_token(line)).collect();
    let tokens = by_sops.lines().count() - rest.len();
    if tokens == 0 {
        return whole == by_sops;
    }
    let mut left = rest.iter().peekable();
    let more: Vec<&str> = whole.lines().filter(|line| left.next_if(|rest| *rest == line).is_none()).collect();
    left.next().is_none() && more.len() == tokens && more.iter().all(|line| line.trim_start().starts_with('#'))
}

/// What sops did to the comments of a file.
#[derive(Debug)]
pub struct Listed {
    /// Where each stood.
    stood: BTreeMap<usize, Vec<String>>,
    /// How many are not in the file that it wrote.
    lost: usize,
    /// Those that it left in the clear in another block than that in which they stood.
    leaked: BTreeSet<usize>,
    /// Whether there is a rule about comments, and one went to another block, so that the rule is about other values.
    is_rule_elsewhere: bool,
}

impl Listed {
    /// Compares the text that sops sealed, what it wrote, and what it prints of that.
    pub fn of(text: &str, sealed: &str, opened: &str, rule: Option<&Rule>) -> Self {
        let (stood, went, clear) = (places(text), places(opened), places(sealed));
        let tokens = sealed.matches(",type:comment]").count();
        let moved = |number: &usize| went.get(number).is_some_and(|block| Some(block) != stood.get(number));
        let about_comments = [RuleKind::EncryptedCommentRegex, RuleKind::UnencryptedCommentRegex];
        let is_about_comments = rule.is_some_and(|rule| about_comments.contains(&rule.kind()));
        Self {
            lost: stood.len().saturating_sub(tokens + clear.len()),
            leaked: clear.keys().copied().filter(moved).collect(),
            is_rule_elsewhere: is_about_comments && stood.keys().any(moved),
            stood,
        }
    }

    /// Tells whether what was sealed here differs from what sops wrote in what it did to comments, and in nothing else: nothing is lost,
    /// what is in the clear is where it stood, and either sops lost one, or one that it left in the clear is sealed.
    pub fn is_all_that_differs(&self, found: &str, by_sops: &str) -> bool {
        let clear = places(found);
        // One that go-yaml's emitter writes to no place is lost by both.
        let (kept, kept_there) = (clear.len() + found.matches(",type:comment]").count(), self.stood.len() - self.lost);
        let stands = clear.iter().all(|(number, block)| self.stood.get(number) == Some(block));
        if self.is_rule_elsewhere {
            return kept >= kept_there && stands;
        }
        let is_sealed = self.leaked.iter().any(|number| !clear.contains_key(number));
        let is_same_apart = without_comments(found) == without_comments(by_sops);
        kept >= kept_there && stands && (kept > kept_there || is_sealed) && is_same_apart
    }
}

/// What is left of a sealed file, masked, without its comments; an item above which one stood goes on behind its dash.
fn without_comments(sealed: &str) -> String {
    let is_comment =
        |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#') || line.contains("ENC[comment]");
    let masked = masked(sealed);
    let lines = masked.lines().filter(|line| !is_comment(line)).map(|line| line.split(" #").next().unwrap_or_default());
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    Regex::new(r"(?m)-\n +").unwrap().replace_all(&text, "- ").into_owned()
}
