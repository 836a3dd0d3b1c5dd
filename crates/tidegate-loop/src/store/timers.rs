//! Timers: their entries, and the deadlines of those in the heap, in nanoseconds.
//!
//! Ties fire in start order. Due timers are moved aside before any of them
//! runs, so one that is re-armed with 0 waits for the next turn, and one that
//! is stopped by an earlier callback of the same batch does not fire.
//!
//! | state | start, reset | due | stop | callback returns |
//! |---|---|---|---|---|
//! | Armed: in the heap | Armed | Due | gone | - |
//! | Due: its node is in `due` | Armed | Running, or Armed again if it repeats | gone | - |
//! | Running | Armed | - | gone | gone |
//!
//! A timer that is reset to later only notes its deadline: its node in the heap moves when it
//! comes up. So a node may be too early, never too late, and the entry has the truth.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use slab::Slab;

use crate::store::heap::{Heap, Node, START_BITS};
use crate::store::key::Key;

/// Names a timer. Made by [`Cx::timer`](crate::Cx::timer) and [`Cx::interval`](crate::Cx::interval).
///
/// ```
/// use tidegate_loop::{AsCx, Loop, TimerKey};
/// let mut lp = Loop::new()?;
/// let key: TimerKey = lp.timer(std::time::Duration::ZERO, |_, _| {});
/// assert!(lp.is_open(key));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TimerKey(pub(crate) Key);

impl From<TimerKey> for Key {
    fn from(k: TimerKey) -> Key {
        k.0
    }
}

struct Entry<F> {
    key: Key,
    callback: Option<F>,
    /// Nanoseconds; 0 fires once.
    repeat: u64,
    /// As it was armed last. A timer that was moved to later has an older node in the heap.
    armed: Node,
}

/// The timers of a loop, with callbacks of type `F`.
pub(crate) struct Timers<F> {
    entries: Slab<Entry<F>>,
    heap: Heap,
    /// Due timers of the batch that runs, or was interrupted by a panic. A timer that was armed
    /// again, or ended, is not the one of its node any more.
    due: VecDeque<Node>,
    starts: u64,
}

impl<F> Default for Timers<F> {
    fn default() -> Timers<F> {
        Timers { entries: Slab::new(), heap: Heap::default(), due: VecDeque::new(), starts: 0 }
    }
}

impl<F> Timers<F> {
    /// The slab index for the next `insert`.
    #[inline]
    pub(crate) fn next_index(&self) -> u64 {
        self.entries.vacant_key() as u64
    }

    #[inline]
    pub(crate) fn insert(&mut self, key: Key, deadline: u64, repeat: u64, callback: F) {
        let start = self.next_start();
        let armed = Node::new(deadline, start, self.entries.vacant_key() as u32);
        self.entries.insert(Entry { key, callback: Some(callback), repeat, armed });
        self.heap.push(armed);
    }

    /// Gives the entry this deadline. To move it to later costs no look at the heap: there the
    /// old node stays, until it is the first.
    #[inline]
    pub(crate) fn arm(&mut self, entry: u32, deadline: u64) {
        let node = Node::new(deadline, self.next_start(), entry);
        let before = std::mem::replace(&mut self.entries[entry as usize].armed, node);
        match self.heap.place(entry) {
            // Its node is not later than `before`.
            Some(_) if node >= before => {}
            Some(at) if node >= self.heap.at(at) => {}
            Some(at) => self.heap.bring_forward(at, node),
            None => self.heap.push(node),
        }
    }

    #[inline]
    fn next_start(&mut self) -> u64 {
        if self.starts + 1 >= 1 << START_BITS {
            self.renumber();
        }
        self.starts += 1;
        self.starts
    }

    /// There is no larger start number: those in use become the first ones, in the same order.
    #[cold]
    #[inline(never)]
    fn renumber(&mut self) {
        let Timers { entries, heap, due, starts } = self;
        due.retain(|n| entries.get(n.entry() as usize).is_some_and(|e| e.armed == *n));
        let mut in_order: Vec<Node> = entries.iter().map(|(_, e)| e.armed).collect();
        in_order.sort_unstable_by_key(|n| n.start());
        *starts = 0;
        for node in in_order {
            *starts += 1;
            let node = Node::new(node.deadline(), *starts, node.entry());
            entries[node.entry() as usize].armed = node;
        }
        due.iter_mut().for_each(|n| *n = entries[n.entry() as usize].armed);
        heap.retain(|n| Some(entries[n.entry() as usize].armed));
    }

    /// Takes the entry out; its closure, unless that is running.
    pub(crate) fn remove(&mut self, entry: u32) -> Option<F> {
        if let Some(at) = self.heap.place(entry) {
            self.heap.remove(at);
        }
        self.entries.remove(entry as usize).callback
    }

    /// Exact, also while nodes are out of date.
    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.heap.least(|n| self.entries[n.entry() as usize].armed).map(Node::deadline)
    }

    pub(crate) fn repeat(&self, entry: u32) -> u64 {
        self.entries.get(entry as usize).map_or(0, |e| e.repeat)
    }

    pub(crate) fn set_repeat(&mut self, entry: u32, repeat: u64) {
        self.entries[entry as usize].repeat = repeat;
    }

    /// When it is to fire; `None` if it is due already, or its callback runs.
    pub(crate) fn deadline(&self, entry: u32) -> Option<u64> {
        self.heap.place(entry)?;
        Some(self.entries.get(entry as usize)?.armed.deadline())
    }

    /// Whether any is started, or due.
    #[inline]
    pub(crate) fn has_any(&self) -> bool {
        !self.heap.is_empty() || !self.due.is_empty()
    }

    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Moves aside what is due by `now`. The first node of the heap is up to date then.
    #[inline]
    pub(crate) fn open_batch(&mut self, now: u64) {
        let Some(first) = self.heap.first() else { return };
        if first.deadline() <= now || self.entries[first.entry() as usize].armed != first {
            self.open_batch_of_some(now);
        }
    }

    fn open_batch_of_some(&mut self, now: u64) {
        let Timers { entries, heap, due, .. } = self;
        if heap.has_more_due(now, 8 + heap.len() / 16) {
            // One pass over all of them takes less time than so many ways down.
            let waiting = due.len();
            heap.retain(|node| {
                if node.deadline() > now {
                    return Some(node);
                }
                let armed = entries[node.entry() as usize].armed;
                if armed.deadline() > now {
                    return Some(armed);
                }
                due.push_back(armed);
                None
            });
            due.make_contiguous()[waiting..].sort_unstable();
        }
        while let Some(node) = heap.first() {
            let armed = entries[node.entry() as usize].armed;
            if armed != node {
                heap.put_off(0, armed);
            } else if node.deadline() <= now {
                heap.remove(0);
                due.push_back(node);
            } else {
                break;
            }
        }
    }

    /// The next of the batch that was not stopped or re-armed meanwhile; with
    /// its closure, and already re-armed if it repeats.
    #[inline]
    pub(crate) fn take_due(&mut self, clock: impl Fn() -> u64) -> Option<(u32, Key, F)> {
        loop {
            let node = self.due.pop_front()?;
            let index = node.entry();
            let Some(entry) = self.entries.get_mut(index as usize) else { continue };
            if entry.armed != node {
                continue;
            }
            let Some(callback) = entry.callback.take() else { continue };
            let (key, repeat) = (entry.key, entry.repeat);
            if repeat > 0 {
                // From now, not from the batch's time: an earlier call may have taken long.
                self.arm(index, clock().saturating_add(repeat));
            }
            return Some((index, key, callback));
        }
    }

    /// Puts the callback of a timer back after its call. If the timer was not armed again, it
    /// has ended: its entry is gone, and the callback is the answer.
    #[inline]
    pub(crate) fn put_back(&mut self, entry: u32, callback: F) -> Option<F> {
        if self.heap.place(entry).is_none() {
            self.entries.remove(entry as usize);
            return Some(callback);
        }
        self.entries[entry as usize].callback = Some(callback);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::Table;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Op {
        Start(u64),
        Reset(usize, u64),
        Stop(usize),
        Advance(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            4 => (0u64..1000).prop_map(Op::Start),
            2 => (any::<usize>(), 0u64..1000).prop_map(|(n, t)| Op::Reset(n, t)),
            2 => any::<usize>().prop_map(Op::Stop),
            1 => (0u64..500).prop_map(Op::Advance),
        ]
    }

    proptest! {
        /// Against a sorted map: the same timers fire in the same order.
        #[test]
        fn heap_against_a_sorted_map(ops in prop::collection::vec(op(), 0..400)) {
            let mut table = Table::new(1, 1, ());
            let mut timers = Timers::default();
            let mut model: BTreeMap<(u64, u64), Key> = BTreeMap::new();
            let mut live: Vec<(Key, u32, (u64, u64))> = Vec::new();
            let (mut now, mut starts) = (0u64, 0u64);
            for op in ops {
                match op {
                    Op::Start(after) => {
                        starts += 1;
                        let index = timers.next_index();
                        let key = table.insert((), index, 0).unwrap();
                        timers.insert(key, now + after, 0, ());
                        model.insert((now + after, starts), key);
                        live.push((key, index as u32, (now + after, starts)));
                    }
                    Op::Reset(n, after) if !live.is_empty() => {
                        let n = n % live.len();
                        starts += 1;
                        timers.arm(live[n].1, now + after);
                        model.remove(&live[n].2);
                        live[n].2 = (now + after, starts);
                        model.insert(live[n].2, live[n].0);
                    }
                    Op::Stop(n) if !live.is_empty() => {
                        let (key, entry, at) = live.swap_remove(n % live.len());
                        prop_assert!(timers.remove(entry).is_some());
                        table.remove(key);
                        model.remove(&at);
                    }
                    Op::Advance(by) => {
                        now += by;
                        timers.open_batch(now);
                        while let Some((entry, key, _)) = timers.take_due(|| now) {
                            let (at, expected) = model.pop_first().unwrap();
                            prop_assert_eq!(key, expected);
                            prop_assert!(at.0 <= now);
                            timers.remove(entry);
                            table.remove(key);
                            live.retain(|l| l.0 != key);
                        }
                        prop_assert!(model.keys().next().is_none_or(|at| at.0 > now));
                    }
                    _ => {}
                }
                prop_assert_eq!(timers.next_deadline(), model.keys().next().map(|at| at.0));
            }
        }
    }
}
