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
    // An empty line of a text stands in no column.
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
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

/// How often each comment stands in a text in the clear.
fn counted(text: &str) -> BTreeMap<usize, usize> {
    let comment = Regex::new(r"(?m)#[^#\n]*\[([0-9]+)\]$").unwrap();
    let mut counted = BTreeMap::new();
    for number in comment.captures_iter(text) {
        *counted.entry(number[1].parse().unwrap()).or_default() += 1;
    }
    counted
}

/// A file as it is sealed, and opened again.
#[derive(Clone, Copy)]
pub struct File<'a> {
    pub sealed: &'a str,
    pub opened: &'a str,
}

/// What sops did to the comments of a file.
#[derive(Debug)]
pub struct Listed {
    /// Where each stood.
    stood: BTreeMap<usize, Vec<String>>,
    /// Where each is in what sops sealed.
    went: BTreeMap<usize, Vec<String>>,
    /// How often each is there.
    kept: BTreeMap<usize, usize>,
    /// Those that it left in the clear in another block than that in which they stood.
    leaked: BTreeSet<usize>,
    /// Whether there is a rule about comments, and one went to another block, so that the rule is about other values.
    is_rule_elsewhere: bool,
}

impl Listed {
    /// Compares the text that sops sealed, and what it made of it.
    pub fn of(text: &str, by_sops: File<'_>, rule: Option<&Rule>) -> Self {
        let (stood, went, clear) = (places(text), places(by_sops.opened), places(by_sops.sealed));
        let moved = |number: &usize| went.get(number).is_some_and(|block| Some(block) != stood.get(number));
        let about_comments = [RuleKind::EncryptedCommentRegex, RuleKind::UnencryptedCommentRegex];
        let is_about_comments = rule.is_some_and(|rule| about_comments.contains(&rule.kind()));
        Self {
            leaked: clear.keys().copied().filter(moved).collect(),
            is_rule_elsewhere: is_about_comments && stood.keys().any(moved),
            kept: counted(by_sops.opened),
            stood,
            went,
        }
    }

    /// Names what is different here from what sops made of the same text, and is not in the list. Values and their order are the same,
    /// each comment is there as often, or once where sops lost it, in the block in which it stood or in which sops has it, and one
    /// that sops lost is there, or something that it left in the clear is sealed.
    pub fn fault(&self, here: File<'_>, by_sops: File<'_>) -> Option<&'static str> {
        let kept = counted(here.opened);
        let found_more =
            |(number, count): (&usize, &usize)| *count > self.kept.get(number).copied().unwrap_or_default();
        let has_place = |(number, block): (&usize, &Vec<String>)| {
            [self.stood.get(number), self.went.get(number)].contains(&Some(block))
        };
        let clear = places(here.sealed);
        let is_comment_sealed = self.leaked.iter().any(|number| !clear.contains_key(number));
        let (sealed, sealed_there) = (without_comments(here.sealed), without_comments(by_sops.sealed));
        let is_value_sealed = self.is_rule_elsewhere && seals_more(&sealed, &sealed_there);
        let faults = [
            ("a value", without_comments(here.opened) != without_comments(by_sops.opened)),
            ("which values are sealed", !self.is_rule_elsewhere && sealed != sealed_there),
            ("a comment is lost", self.kept.iter().any(|(number, count)| kept.get(number) < Some(count))),
            ("a comment is there twice", kept.iter().any(|(number, count)| *count > 1 && found_more((number, count)))),
            ("where a comment is", !places(here.opened).iter().all(has_place)),
            ("no reason", !(kept.iter().any(found_more) || is_comment_sealed || is_value_sealed)),
        ];
        faults.into_iter().find(|(_, is_fault)| *is_fault).map(|(fault, _)| fault)
    }
}

/// Tells whether a line with a token is only in the first of two sealed files.
fn seals_more(here: &str, there: &str) -> bool {
    let mut left: Vec<&str> = there.lines().collect();
    here.lines().filter(|line| line.contains("ENC[")).any(|line| match left.iter().position(|other| *other == line) {
        Some(at) => {
            left.swap_remove(at);
            false
        }
        None => true,
    })
}

/// What is left of a sealed file, masked, without its comments; an item above which one stood goes on behind its dash.
pub fn without_comments(sealed: &str) -> String {
    let is_comment =
        |line: &&str| line.trim().is_empty() || line.trim_start().starts_with('#') || line.contains("ENC[comment]");
    let masked = masked(sealed);
    let lines = masked.lines().filter(|line| !is_comment(line)).map(|line| line.split(" #").next().unwrap_or_default());
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    Regex::new(r"(?m)-\n +").unwrap().replace_all(&text, "- ").into_owned()
}
