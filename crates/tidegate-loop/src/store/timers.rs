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
    due: Vec<Node>,
    /// Of `due`, so many had their turn.
    had: usize,
    starts: u64,
}

impl<F> Default for Timers<F> {
    fn default() -> Timers<F> {
        let (entries, heap) = (Slab::new(), Heap::default());
        Timers { entries, heap, due: Vec::new(), had: 0, starts: 0 }
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
        self.forget_had();
        let Timers { entries, heap, due, starts, .. } = self;
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
        !self.heap.is_empty() || self.has_due()
    }

    #[inline]
    pub(crate) fn has_due(&self) -> bool {
        self.had < self.due.len()
    }

    /// Moves aside what is due by `now`. The first node of the heap is up to date then.
    #[inline]
    pub(crate) fn open_batch(&mut self, now: u64) {
        let Some(first) = self.heap.first() else { return };
        if first.deadline() <= now || self.entries[first.entry() as usize].armed != first {
            self.open_batch_of_some(now);
        }
    }

    /// After this, `due` has only what waits.
    fn forget_had(&mut self) {
        self.due.drain(..self.had);
        self.had = 0;
    }

    fn open_batch_of_some(&mut self, now: u64) {
        self.forget_had();
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
                due.push(armed);
                None
            });
            due[waiting..].sort_unstable();
        }
        while let Some(node) = heap.first() {
            let armed = entries[node.entry() as usize].armed;
            if armed != node {
                heap.put_off(0, armed);
            } else if node.deadline() <= now {
                heap.remove(0);
                due.push(node);
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
            let node = *self.due.get(self.had)?;
            self.had += 1;
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
    use proptest::prelude::*;
    use std::collections::{BTreeMap, VecDeque};

    #[derive(Clone, Debug)]
    enum Op {
        /// After so long, and then repeated after so long.
        Start(u64, u64),
        /// To so long from now.
        Reset(usize, u64),
        /// To so much more, or less, than its deadline.
        Move(usize, i64),
        Stop(usize),
        /// Time passes, and a batch is opened.
        Advance(u64),
        /// So many of the batch are called.
        Fire(usize),
        /// Start numbers are about to end.
        ExhaustStarts(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        let repeat = prop_oneof![4 => Just(0), 1 => 1u64..300];
        prop_oneof![
            8 => (0u64..1000, repeat).prop_map(|(after, repeat)| Op::Start(after, repeat)),
            3 => (any::<usize>(), 0u64..1000).prop_map(|(n, t)| Op::Reset(n, t)),
            4 => (any::<usize>(), -300i64..1000).prop_map(|(n, t)| Op::Move(n, t)),
            1 => any::<usize>().prop_map(|n| Op::Move(n, 0)),
            3 => any::<usize>().prop_map(Op::Stop),
            2 => (0u64..500).prop_map(Op::Advance),
            2 => (0usize..60).prop_map(Op::Fire),
            1 => (0u64..5).prop_map(Op::ExhaustStarts),
        ]
    }

    /// A deadline, and when it was armed.
    type At = (u64, u64);

    /// Timers as a sorted map: their entries, by deadline and start.
    #[derive(Default)]
    struct Model {
        armed: BTreeMap<At, u32>,
        due: VecDeque<u32>,
        starts: u64,
        /// By entry: when it is armed for, if it is, and its repeat.
        live: BTreeMap<u32, (Option<At>, u64)>,
    }

    impl Model {
        fn arm(&mut self, entry: u32, deadline: u64) {
            self.disarm(entry);
            self.starts += 1;
            let at = (deadline, self.starts);
            self.armed.insert(at, entry);
            self.live.entry(entry).or_default().0 = Some(at);
        }

        fn disarm(&mut self, entry: u32) {
            if let Some(at) = self.live.get_mut(&entry).and_then(|(at, _)| at.take()) {
                self.armed.remove(&at);
            }
            self.due.retain(|e| *e != entry);
        }

        fn open_batch(&mut self, now: u64) {
            let later = self.armed.split_off(&(now + 1, 0));
            for entry in std::mem::replace(&mut self.armed, later).into_values() {
                self.live.entry(entry).or_default().0 = None;
                self.due.push_back(entry);
            }
        }

        fn any(&self, n: usize) -> Option<u32> {
            self.live.keys().nth(n % self.live.len().max(1)).copied()
        }
    }

    fn key(entry: u32) -> Key {
        Key::new(1, 1, entry as usize)
    }

    /// Calls at most so many of the batch. The others are left, as by a panic.
    fn fire(timers: &mut Timers<()>, model: &mut Model, most: usize, now: u64) {
        for _ in 0..most {
            let Some((entry, found, ())) = timers.take_due(|| now) else {
                assert!(model.due.is_empty());
                return;
            };
            assert_eq!((Some(entry), found), (model.due.pop_front(), key(entry)));
            let repeat = model.live[&entry].1;
            if repeat > 0 {
                model.arm(entry, now + repeat);
            } else {
                model.live.remove(&entry);
            }
            assert_eq!(timers.put_back(entry, ()).is_some(), repeat == 0);
        }
    }

    proptest! {
        /// Against a sorted map: the same timers fire in the same order, however they were moved.
        #[test]
        fn heap_against_a_sorted_map(ops in prop::collection::vec(op(), 0..600)) {
            let (mut timers, mut model) = (Timers::default(), Model::default());
            let mut now = 0u64;
            for op in ops {
                match op {
                    Op::Start(after, repeat) => {
                        let entry = timers.next_index() as u32;
                        timers.insert(key(entry), now + after, repeat, ());
                        model.live.insert(entry, (None, repeat));
                        model.arm(entry, now + after);
                    }
                    Op::Reset(n, after) => {
                        let Some(entry) = model.any(n) else { continue };
                        timers.arm(entry, now + after);
                        model.arm(entry, now + after);
                    }
                    Op::Move(n, by) => {
                        let Some(entry) = model.any(n) else { continue };
                        let at = model.live[&entry].0.map_or(now, |(deadline, _)| deadline);
                        let at = at.saturating_add_signed(by);
                        timers.arm(entry, at);
                        model.arm(entry, at);
                    }
                    Op::Stop(n) => {
                        let Some(entry) = model.any(n) else { continue };
                        prop_assert!(timers.remove(entry).is_some());
                        model.disarm(entry);
                        model.live.remove(&entry);
                    }
                    Op::Advance(by) => {
                        now += by;
                        timers.open_batch(now);
                        model.open_batch(now);
                        let first = timers.heap.first();
                        prop_assert_eq!(first.map(Node::deadline), timers.next_deadline());
                    }
                    Op::Fire(most) => fire(&mut timers, &mut model, most, now),
                    Op::ExhaustStarts(left) => {
                        timers.starts = timers.starts.max((1 << START_BITS) - 1 - left);
                    }
                }
                timers.heap.check();
                let next = model.armed.keys().next().map(|at| at.0);
                prop_assert_eq!(timers.next_deadline(), next);
                for (entry, (at, _)) in &model.live {
                    prop_assert_eq!(timers.deadline(*entry), at.map(|at| at.0));
                }
            }
            timers.open_batch(u64::MAX - 1);
            model.open_batch(u64::MAX - 1);
            fire(&mut timers, &mut model, usize::MAX, now);
        }
    }
}
