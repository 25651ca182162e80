//! The same work for many items, on all cores, in threads that end with it and leave nothing on their stacks.

use std::num::NonZero;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::with_stack_wiped;

/// To ask for it is to read files of the kernel.
static CORES: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// How many items make up for starting a thread.
#[derive(Clone, Copy)]
pub(super) enum Worth {
    /// Each takes a public-key operation.
    FewItems,
    /// Each takes some copying.
    ManyItems,
}

impl Worth {
    const fn items(self) -> usize {
        match self {
            Self::FewItems => 4,
            Self::ManyItems => 256,
        }
    }
}

/// Returns what `work` makes of each item, in the order of the items.
pub(super) fn map<T: Sync, R: Send>(items: &[T], worth: Worth, work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = CORES.min(items.len() / worth.items());
    if threads <= 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    // Whoever is done takes the next, since items may differ much in size.
    let take = || {
        let positions = std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)));
        let taken = positions.map_while(|position| Some((position, work(items.get(position)?))));
        taken.collect::<Vec<_>>()
    };
    let take_and_wipe = || with_stack_wiped(take);
    let mut results: Vec<(usize, R)> = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take_and_wipe)).collect();
        let own = take();
        let joined = others.into_iter().flat_map(|other| other.join().unwrap_or_else(|panic| resume(panic)));
        own.into_iter().chain(joined).collect()
    });
    results.sort_by_key(|(position, _)| *position);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Lets a panic go on where it would have without threads.
fn resume(panic: Box<dyn std::any::Any + Send>) -> ! {
    std::panic::resume_unwind(panic)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORTHS: [Worth; 2] = [Worth::FewItems, Worth::ManyItems];

    #[test]
    fn every_item_is_worked_on_once_and_results_are_in_order() {
        for (count, worth) in [0, 1, 3, 8, 1000].into_iter().flat_map(|count| WORTHS.map(|worth| (count, worth))) {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(map(&items, worth, |item| item * 2), items.iter().map(|item| item * 2).collect::<Vec<_>>());
        }
    }
}
