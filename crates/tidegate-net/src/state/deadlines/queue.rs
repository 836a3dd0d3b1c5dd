//! The entries of a loop's deadlines: one heap, at most one live entry for each connection.
//!
//! When an entry comes up, the connection is looked at, and the entry is put back for later if
//! bytes moved meanwhile (`socket/expire.rs`). One timer of the loop runs for the first entry;
//! it does not keep the loop alive.
#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tidegate_loop::TimerKey;

use crate::key::SocketKey;

/// The entries of a loop, and the timer for the first.
#[derive(Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(u64, SocketKey)>>,
    /// And when it fires.
    pub(crate) timer: Option<(TimerKey, u64)>,
}

impl Deadlines {
    /// Entries that wait, also those of connections that are over.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// No connection is left.
    pub(crate) fn clear(&mut self) {
        self.heap.clear();
    }

    pub(crate) fn push(&mut self, at: u64, key: SocketKey) {
        self.heap.push(Reverse((at, key)));
    }

    /// Whether entries of connections that are over, or have a sooner one, have piled up.
    pub(crate) fn is_overgrown(&self, connections: usize) -> bool {
        self.heap.len() > 2 * connections + 64
    }

    /// These are all, from now on.
    pub(crate) fn replace(&mut self, live: impl Iterator<Item = (u64, SocketKey)>) {
        self.heap = live.map(Reverse).collect();
    }

    /// When the next is due.
    pub(crate) fn first(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the next out, if it is due.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<(u64, SocketKey)> {
        self.first().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
