//! One compiled regular expression, whose work is paid for.
//!
//! The `regex` crate does not tell how far a search looks. A search may look to the end of a text for a match that is one byte
//! long, so that all matches of one text can take time that grows with its square; and where too many states come up, every
//! byte costs as much as the expression is large. So this goes one level below it, to the engines of `regex-automata`: one that
//! takes a byte at a time says where a match ends, and how many bytes that took; one that knows groups says the rest.

use std::ops::Range;

use regex_automata::Input;
use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;

use super::error::Fault;
use super::go_regex::{self, REFUSED};
use super::value::{Heap, STEP};

/// What a compiled expression may take, in bytes, and as much again for the states that come up while it is used.
const MAX_SIZE: usize = 1 << 20;
/// How often the states that came up may be thrown away: an expression for which that is not enough takes far longer than others.
const MAX_CLEARS: usize = 8;

const TOO_COMPLEX: Fault = Fault::Limit("the work that one regular expression may be");

/// One expression with what it needs while it is used.
pub(super) struct Expression {
    /// Says where a match ends.
    ends: DFA,
    ends_cache: dfa::Cache,
    /// Says where it starts and what its groups hold.
    groups: PikeVM,
    groups_cache: pikevm::Cache,
    found: Captures,
    /// What a byte of a match costs when its groups are looked for.
    group_cost: u64,
}

impl Expression {
    /// Compiles an expression as Go writes it.
    pub(super) fn compile(heap: &mut Heap, pattern: &[u8]) -> Result<Self, Fault> {
        // Classes of Unicode are put together before there is anything whose size could be known.
        heap.pay_bytes(pattern.len().saturating_mul(256))?;
        let Some(nfa) = nfa(&go_regex::translated(pattern)?) else {
            heap.pay_bytes(MAX_SIZE)?;
            return Err(REFUSED);
        };
        let slots = nfa.group_info().slot_len().saturating_mul(size_of::<usize>());
        heap.pay_bytes(nfa.memory_usage().saturating_mul(8))?;
        heap.pay_bytes(nfa.states().len().saturating_mul(slots).saturating_mul(2))?;
        let config = dfa::Config::new().cache_capacity(MAX_SIZE).skip_cache_capacity_check(true);
        let config = config.minimum_cache_clear_count(Some(MAX_CLEARS));
        // For each byte, what is known of the groups is copied for each state.
        let group_cost = 1 + nfa.states().len() as u64 / 4 + (nfa.states().len().saturating_mul(slots) / 64) as u64;
        let ends = DFA::builder().configure(config).build_from_nfa(nfa.clone()).map_err(|_| REFUSED)?;
        let groups = PikeVM::new_from_nfa(nfa).map_err(|_| REFUSED)?;
        let (ends_cache, groups_cache, found) = (ends.create_cache(), groups.create_cache(), groups.create_captures());
        Ok(Self { ends, ends_cache, groups, groups_cache, found, group_cost })
    }

    /// Tells whether the expression matches anywhere.
    pub(super) fn is_match(&mut self, heap: &mut Heap, text: &str) -> Result<bool, Fault> {
        Ok(self.end(heap, text, 0, true)?.is_some())
    }

    /// Finds the first match from `from` on. [`Self::group`] and [`Self::named_group`] are of the last match.
    pub(super) fn find(&mut self, heap: &mut Heap, text: &str, from: usize) -> Result<Option<Range<usize>>, Fault> {
        heap.pay(STEP)?;
        let Some(end) = self.end(heap, text, from, false)? else { return Ok(None) };
        heap.pay(self.group_cost.saturating_mul(end.saturating_sub(from) as u64 + 1))?;
        self.groups.search(&mut self.groups_cache, &Input::new(text).span(from..end), &mut self.found);
        Ok(self.group(0))
    }

    /// Finds the match after one that ended at `last`, as `FindAll` of Go's `regexp` goes on: an empty match right behind another
    /// is none.
    pub(super) fn find_after(
        &mut self,
        heap: &mut Heap,
        text: &str,
        last: Option<usize>,
    ) -> Result<Option<Range<usize>>, Fault> {
        let from = last.unwrap_or_default();
        let found = self.find(heap, text, from)?;
        if found.is_none() || found != last.map(|last| last..last) {
            return Ok(found);
        }
        let next = text.get(from..).and_then(|rest| rest.chars().next()).map(|char| from + char.len_utf8());
        next.map_or(Ok(None), |next| self.find(heap, text, next))
    }

    /// Returns where a group stands in the last match, if it is in it.
    pub(super) fn group(&self, number: usize) -> Option<Range<usize>> {
        self.found.get_group(number).map(|span| span.range())
    }

    /// As [`Self::group`], by the name.
    pub(super) fn named_group(&self, name: &str) -> Option<Range<usize>> {
        self.found.get_group_by_name(name).map(|span| span.range())
    }

    /// Finds where the first match from `from` on ends, and pays for what is read and for the states that come up.
    fn end(&mut self, heap: &mut Heap, text: &str, from: usize, earliest: bool) -> Result<Option<usize>, Fault> {
        let before = self.ends_cache.memory_usage();
        let (mut read, mut end) = (0, None);
        let walked = self.walk(text, from, |at, is_match| {
            read += 1;
            end = if is_match { Some(at) } else { end };
            !(is_match && earliest)
        });
        heap.pay_bytes(2 * read + self.ends_cache.memory_usage().saturating_sub(before))?;
        walked.ok_or(TOO_COMPLEX)?;
        Ok(end)
    }

    /// Walks through a text byte by byte until no match can come any more, or `goes_on` says no. It is told, one byte late, whether
    /// a match ends before the byte. Nothing if too many states come up.
    fn walk(&mut self, text: &str, from: usize, mut goes_on: impl FnMut(usize, bool) -> bool) -> Option<()> {
        let (ends, cache) = (&self.ends, &mut self.ends_cache);
        let mut state = ends.start_state_forward(cache, &Input::new(text).range(from..)).ok()?;
        for (at, byte) in text.as_bytes().iter().enumerate().skip(from) {
            state = ends.next_state(cache, state, *byte).ok()?;
            if state.is_dead() || !goes_on(at, state.is_match()) {
                return Some(());
            }
        }
        let state = ends.next_eoi_state(cache, state).ok()?;
        goes_on(text.len(), state.is_match());
        Some(())
    }
}

fn nfa(pattern: &str) -> Option<NFA> {
    let config = thompson::Config::new().nfa_size_limit(Some(MAX_SIZE));
    let syntax = syntax::Config::new().nest_limit(64);
    thompson::Compiler::new().configure(config).syntax(syntax).build(pattern).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what it takes to find one match of `(x)(x)...x*` in so many bytes; a heap that has less refuses it.
    fn cost(groups: usize, length: usize) -> u64 {
        let pattern = format!("{}x*", "(x)".repeat(groups));
        let text = "x".repeat(length);
        let suffices = |budget: u64| {
            let mut compiling = Heap::new(u64::MAX);
            let mut expression = Expression::compile(&mut compiling, pattern.as_bytes()).unwrap();
            let mut heap = Heap::new(budget);
            expression.find(&mut heap, &text, 0).is_ok()
        };
        let (mut too_little, mut enough) = (0_u64, 1_u64 << 40);
        while too_little + 1 < enough {
            let middle = too_little.midpoint(enough);
            *(if suffices(middle) { &mut enough } else { &mut too_little }) = middle;
        }
        enough
    }

    #[test]
    fn a_match_is_paid_for_by_its_length_times_what_its_groups_and_states_copy() {
        // For each byte, the engine may copy both ends of each group for each state.
        for (groups, length) in [(1, 200), (10, 200), (60, 200), (60, 2_000)] {
            let (states, slots) = (2 * groups as u64, 2 * (groups as u64 + 1) * 8);
            let copied = length as u64 * states * slots;
            let cost = cost(groups, length);
            assert!((copied / 64..copied).contains(&cost), "{groups} groups, {length} bytes: {cost} for {copied}");
        }
    }
}
