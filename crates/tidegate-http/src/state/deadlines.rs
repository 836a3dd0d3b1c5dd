//! [`Deadlines`]: the entries of all connections, at most one live entry for each, and one timer of
//! the loop for the first of them.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tidegate_loop::TimerKey;
use tidegate_net::SocketKey;

/// When to look at which connection: its socket, and its place.
pub(crate) type Entry = (u64, SocketKey, usize);

#[derive(Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<Entry>>,
    /// The timer, and when it fires.
    pub(crate) timer: Option<(TimerKey, u64)>,
}

impl Deadlines {
    pub(crate) fn push(&mut self, entry: Entry) {
        self.heap.push(Reverse(entry));
    }

    /// Whether entries have piled up that are not live: of connections that are over, or have a
    /// sooner one.
    pub(crate) fn is_overgrown(&self, connections: usize) -> bool {
        self.heap.len() > 2 * connections + 64
    }

    /// Keeps these alone, which are the live ones.
    pub(crate) fn replace(&mut self, live: impl Iterator<Item = Entry>) {
        self.heap.clear();
        self.heap.extend(live.map(Reverse));
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next entry that is due.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<Entry> {
        self.first().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_loop::Loop;
    use tidegate_net::{Net, On};

    use super::*;

    #[test]
    fn entries_come_in_order_and_dead_ones_go() {
        let mut lp = Loop::new().unwrap();
        let key = lp.connect("127.0.0.1:1", On::new());
        let mut d = Deadlines::default();
        for at in (1..=70).rev() {
            d.push((at, key, 0));
        }
        assert!(!d.is_overgrown(3) && d.is_overgrown(2));
        d.replace([(5, key, 0), (3, key, 1)].into_iter());
        assert_eq!((d.first(), d.take_due(2)), (Some(3), None));
        assert_eq!((d.take_due(5), d.take_due(5)), (Some((3, key, 1)), Some((5, key, 0))));
        assert_eq!(d.first(), None);
    }
}
