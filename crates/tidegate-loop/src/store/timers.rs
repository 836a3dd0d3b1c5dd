//! Timers: a 4-ary indexed heap of deadlines in nanoseconds.
//!
//! Ties fire in start order. Due timers are moved aside before any of them
//! runs, so one that is re-armed with 0 waits for the next turn, and one that
//! is stopped by an earlier callback of the same batch does not fire.
//!
//! | state | start, reset | due | stop | callback returns |
//! |---|---|---|---|---|
//! | Armed | Armed (moved) | Due | gone | - |
//! | Due | Armed | Running, or Armed again if it repeats | gone | - |
//! | Running | Armed | - | gone | gone |
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use slab::Slab;

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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// In the heap, at this place.
    Armed(u32),
    /// Moved aside by the batch with this start number.
    Due(u64),
    /// Its callback runs and has not armed it again.
    Running,
}

struct Entry<F> {
    key: Key,
    callback: Option<F>,
    /// Nanoseconds; 0 fires once.
    repeat: u64,
    state: State,
}

#[derive(Clone, Copy)]
struct Node {
    deadline: u64,
    /// Start number: ties fire in this order.
    start: u64,
    entry: u32,
}

impl Node {
    #[inline]
    fn before(&self, other: &Node) -> bool {
        (self.deadline, self.start) < (other.deadline, other.start)
    }
}

/// The heap with the places it gives back to the entries.
#[derive(Default)]
struct Heap(Vec<Node>);

impl Heap {
    #[inline]
    fn set<F>(&mut self, at: usize, node: Node, entries: &mut Slab<Entry<F>>) {
        self.0[at] = node;
        entries[node.entry as usize].state = State::Armed(at as u32);
    }

    fn up<F>(&mut self, mut at: usize, node: Node, entries: &mut Slab<Entry<F>>) {
        while at > 0 {
            let parent = (at - 1) / 4;
            if !node.before(&self.0[parent]) {
                break;
            }
            self.set(at, self.0[parent], entries);
            at = parent;
        }
        self.set(at, node, entries);
    }

    fn down<F>(&mut self, mut at: usize, node: Node, entries: &mut Slab<Entry<F>>) {
        loop {
            let first = 4 * at + 1;
            let children = first..(first + 4).min(self.0.len());
            let Some(least) = children.min_by(|a, b| {
                let (a, b) = (&self.0[*a], &self.0[*b]);
                (a.deadline, a.start).cmp(&(b.deadline, b.start))
            }) else {
                break;
            };
            if !self.0[least].before(&node) {
                break;
            }
            self.set(at, self.0[least], entries);
            at = least;
        }
        self.set(at, node, entries);
    }

    fn push<F>(&mut self, node: Node, entries: &mut Slab<Entry<F>>) {
        self.0.push(node);
        self.up(self.0.len() - 1, node, entries);
    }

    fn replace<F>(&mut self, at: usize, node: Node, entries: &mut Slab<Entry<F>>) {
        if node.before(&self.0[at]) {
            self.up(at, node, entries);
        } else {
            self.down(at, node, entries);
        }
    }

    fn remove<F>(&mut self, at: usize, entries: &mut Slab<Entry<F>>) {
        let last = self.0.len() - 1;
        let node = self.0[last];
        if at != last {
            // The last one takes the hole, from where it may go either way.
            self.replace(at, node, entries);
        }
        self.0.pop();
    }
}

/// The timers of a loop, with callbacks of type `F`.
pub(crate) struct Timers<F> {
    entries: Slab<Entry<F>>,
    heap: Heap,
    /// Due timers of the batch that runs, or was interrupted by a panic.
    due: VecDeque<(u32, u64)>,
    starts: u64,
}

impl<F> Default for Timers<F> {
    fn default() -> Timers<F> {
        Timers { entries: Slab::new(), heap: Heap::default(), due: VecDeque::new(), starts: 0 }
    }
}

impl<F> Timers<F> {
    /// The slab index for the next `insert`.
    pub(crate) fn next_index(&self) -> u64 {
        self.entries.vacant_key() as u64
    }

    pub(crate) fn insert(&mut self, key: Key, deadline: u64, repeat: u64, callback: F) {
        let entry = self.entries.insert(Entry {
            key,
            callback: Some(callback),
            repeat,
            state: State::Running,
        }) as u32;
        self.arm(entry, deadline);
    }

    /// Puts the entry's deadline into the heap, or moves it there.
    pub(crate) fn arm(&mut self, entry: u32, deadline: u64) {
        self.starts += 1;
        let node = Node { deadline, start: self.starts, entry };
        match self.entries[entry as usize].state {
            State::Armed(at) => self.heap.replace(at as usize, node, &mut self.entries),
            State::Due(_) | State::Running => self.heap.push(node, &mut self.entries),
        }
    }

    /// Takes the entry out; its closure, unless that is running.
    pub(crate) fn remove(&mut self, entry: u32) -> Option<F> {
        if let State::Armed(at) = self.entries[entry as usize].state {
            self.heap.remove(at as usize, &mut self.entries);
        }
        self.entries.remove(entry as usize).callback
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.heap.0.first().map(|n| n.deadline)
    }

    pub(crate) fn repeat(&self, entry: u32) -> u64 {
        self.entries.get(entry as usize).map_or(0, |e| e.repeat)
    }

    pub(crate) fn set_repeat(&mut self, entry: u32, repeat: u64) {
        self.entries[entry as usize].repeat = repeat;
    }

    /// When it is to fire; `None` if it is due already, or its callback runs.
    pub(crate) fn deadline(&self, entry: u32) -> Option<u64> {
        match self.entries.get(entry as usize)?.state {
            State::Armed(at) => Some(self.heap.0[at as usize].deadline),
            State::Due(_) | State::Running => None,
        }
    }

    /// Whether any is started, or due.
    #[inline]
    pub(crate) fn has_any(&self) -> bool {
        !self.heap.0.is_empty() || !self.due.is_empty()
    }

    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// Moves aside what is due by `now`.
    pub(crate) fn open_batch(&mut self, now: u64) {
        while let Some(&node) = self.heap.0.first() {
            if node.deadline > now {
                break;
            }
            self.heap.remove(0, &mut self.entries);
            self.entries[node.entry as usize].state = State::Due(node.start);
            self.due.push_back((node.entry, node.start));
        }
    }

    /// The next of the batch that was not stopped or re-armed meanwhile; with
    /// its closure, and already re-armed if it repeats.
    #[inline]
    pub(crate) fn take_due(&mut self, clock: impl Fn() -> u64) -> Option<(u32, Key, F)> {
        loop {
            let (index, start) = self.due.pop_front()?;
            let Some(entry) = self.entries.get_mut(index as usize) else { continue };
            if entry.state != State::Due(start) {
                continue;
            }
            entry.state = State::Running;
            let Some(callback) = entry.callback.take() else { continue };
            let (key, repeat) = (entry.key, entry.repeat);
            if repeat > 0 {
                // From now, not from the batch's time: an earlier call may have taken long.
                self.arm(index, clock().saturating_add(repeat));
            }
            return Some((index, key, callback));
        }
    }

    /// Puts the callback of a timer back after its call. `false` if the timer was not armed
    /// again: it has ended.
    #[inline]
    pub(crate) fn put_back(&mut self, entry: u32, callback: F) -> bool {
        let entry = &mut self.entries[entry as usize];
        entry.callback = Some(callback);
        entry.state != State::Running
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
