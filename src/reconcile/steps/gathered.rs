//! Secrets that stores gave for a sync, until they are opened.
//!
//! They are in nobody else's hands, so that what is never opened, since the sync stops or is cut off, is told to the audit log when it goes.
//! Not here: asking for them.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_formats::reference::{Reference, Stored};
use waxwing_plan::ObjectId;

use crate::reconcile::audit::Who;
use crate::render::Rendered;
use crate::unsealing::{Answered, MOST_OF_A_SYNC, StoreRefusal, Stores};

/// Secrets that were read. Not `Debug`.
pub(super) struct Gathered<'a> {
    who: Who,
    rendered: &'a Rendered,
    /// For whom it is.
    objects: BTreeSet<ObjectId>,
    // In the order in which they came: to look them up again and again takes longer than to put them into order once.
    read: Vec<(Stored, Answered)>,
    size: usize,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(who: Who, rendered: &'a Rendered) -> Self {
        Self { who, rendered, objects: BTreeSet::new(), read: Vec::new(), size: 0 }
    }

    /// Says for which objects secrets are read.
    pub(super) fn is_for<'b>(&mut self, objects: impl Iterator<Item = &'b ObjectId>) {
        self.objects.extend(objects.cloned());
    }

    /// Adds a secret, or refuses what is more than one sync may have.
    pub(super) fn add(&mut self, stored: Stored, answered: Answered) -> Result<(), StoreRefusal> {
        self.size += answered.secret.len();
        if self.size > MOST_OF_A_SYNC {
            return Err(StoreRefusal::too_much());
        }
        self.read.push((stored, answered));
        Ok(())
    }

    /// Returns how many bytes there may be besides.
    pub(super) fn room(&self) -> usize {
        MOST_OF_A_SYNC.saturating_sub(self.size)
    }

    /// Returns what of this is still to be read.
    pub(super) fn missing(&self, needed: &BTreeSet<Stored>) -> Vec<Stored> {
        let read = self.by_name();
        // Of a new revision all is there, and comparing ten thousand paths in their order takes less time than looking them up.
        match read.keys().copied().eq(needed) {
            true => Vec::new(),
            false => needed.iter().filter(|stored| !read.contains_key(stored)).cloned().collect(),
        }
    }

    /// Returns what was read, by what was asked for.
    pub(super) fn by_name(&self) -> BTreeMap<&Stored, &Answered> {
        self.read.iter().map(|(stored, answered)| (stored, answered)).collect()
    }

    /// Hands out what was read of this; who takes it tells [`Gathered::unopened`] if it can't be opened.
    pub(super) fn take(&mut self, needed: &BTreeSet<Stored>) -> BTreeMap<Stored, Answered> {
        let mut read: BTreeMap<_, _> = std::mem::take(&mut self.read).into_iter().collect();
        if read.keys().eq(needed) {
            return read;
        }
        let taken = needed.iter().filter_map(|stored| read.remove_entry(stored)).collect();
        self.read = read.into_iter().collect();
        taken
    }

    /// Records what stores gave for some objects that were not opened then.
    pub(super) fn unopened<'b>(&self, objects: impl Iterator<Item = &'b ObjectId>, stores: &Stores) {
        let answered = |object: &ObjectId, reference: &Reference| stores.answer(object, reference)?.as_ref().ok();
        self.record(objects, answered);
    }

    fn record<'b, 'c>(
        &self,
        objects: impl Iterator<Item = &'b ObjectId>,
        answered: impl Fn(&ObjectId, &Reference) -> Option<&'c Answered>,
    ) {
        let with_references = objects.filter_map(|object| Some((object, self.rendered.references().get(object)?)));
        with_references.for_each(|(object, placed)| self.who.did_not_open(object, placed, &answered));
    }
}

impl Drop for Gathered<'_> {
    fn drop(&mut self) {
        if !self.read.is_empty() {
            let read = self.by_name();
            self.record(self.objects.iter(), |_, reference| read.get(&reference.stored()).copied());
        }
    }
}
