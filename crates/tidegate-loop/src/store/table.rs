//! The table of handles: a slot for each, found by its key. Here, too, are the queues of those
//! that are to be called.
//!
//! A slot is a generation, readiness bits, a kind and one word of data for the layer that owns
//! the handle. A key whose slot was freed never finds anything again, and a key of another loop
//! never did. What a handle *does* is not here: see `turn.rs`.
#![forbid(unsafe_code)]

use std::collections::VecDeque;

use crate::store::key::{CAPACITY, GENERATION_MASK, INDEX_MASK, Key, KeyError, TableFull};
use crate::store::readiness::Readiness;

/// End of the free list.
const NONE: u64 = u64::MAX;

/// One row. A vacant row keeps the next free index in `data`.
pub(crate) struct Slot<K> {
    /// Of the handle that lives here; of the next one, if the row is vacant; `None` if it is
    /// retired.
    key: Option<Key>,
    pub(crate) kind: K,
    pub(crate) data: u64,
    /// When it was inserted, in the loop's time: units of 2^24 ns.
    pub(crate) since: u32,
    pub(crate) bits: Readiness,
}

pub(crate) struct Table<K> {
    slots: Vec<Slot<K>>,
    free: u64,
    live: usize,
    internal: usize,
    loop_id: u16,
    /// Most rows. Only tests set fewer than there are keys for.
    pub(crate) capacity: usize,
    /// New rows begin with this one.
    first_generation: u32,
    /// The kind of vacant rows.
    vacant: K,
    /// What is done to it matters to nobody.
    nobody: Slot<K>,
}

impl<K: Copy> Table<K> {
    pub(crate) fn new(loop_id: u16, first_generation: u32, vacant: K) -> Table<K> {
        let slots = Vec::new();
        let bits = Readiness::VACANT;
        let nobody = Slot { key: None, kind: vacant, data: NONE, since: 0, bits };
        Table {
            slots,
            free: NONE,
            live: 0,
            internal: 0,
            capacity: CAPACITY,
            loop_id,
            first_generation,
            vacant,
            nobody,
        }
    }

    /// The loop's id, and a generation that no key of it has had; `None` if there
    /// is none left.
    pub(crate) fn lease_ends(&self) -> (u16, Option<u32>) {
        let retired = self.slots.iter().any(|s| s.key.is_none());
        let highest = self.slots.iter().filter_map(|s| s.key).map(Key::generation).max();
        let next = highest.unwrap_or(self.first_generation) + 1;
        (self.loop_id, (!retired && next < GENERATION_MASK).then_some(next))
    }

    /// Live rows that are not the loop's own.
    pub(crate) fn len(&self) -> usize {
        self.live - self.internal
    }

    /// The row is the loop's own, or a layer's: it is not counted, shown or closed.
    pub(crate) fn mark_internal(&mut self, key: Key) {
        if let Some(slot) = self.get_mut(key).filter(|s| !s.bits.has(Readiness::INTERNAL)) {
            slot.bits |= Readiness::INTERNAL;
            self.internal += 1;
        }
    }

    /// Rows, vacant ones included.
    #[cfg(any(test, feature = "test-util"))]
    pub(crate) fn rows(&self) -> usize {
        self.slots.len()
    }

    /// A new row, with these bits and `FRESH`.
    #[inline(always)]
    pub(crate) fn insert(
        &mut self,
        kind: K,
        data: u64,
        since: u32,
        bits: Readiness,
    ) -> Result<Key, TableFull> {
        let index = if self.free == NONE {
            let index = self.slots.len();
            if index >= self.capacity {
                return Err(TableFull);
            }
            self.slots.push(Slot {
                key: Some(Key::new(self.loop_id, self.first_generation, index)),
                kind,
                data: NONE,
                since,
                bits: Readiness::VACANT,
            });
            index
        } else {
            let index = self.free as usize;
            self.free = self.slots[index].data;
            index
        };
        let slot = &mut self.slots[index];
        slot.kind = kind;
        slot.data = data;
        slot.since = since;
        slot.bits = bits | Readiness::FRESH;
        self.live += 1;
        // A retired row is not in the free list.
        slot.key.ok_or(TableFull)
    }

    /// A key that finds nothing and never will.
    pub(crate) fn stale_key(&self) -> Key {
        Key::new(self.loop_id, 0, CAPACITY)
    }

    /// Frees the row. A row whose generation would wrap is retired for good.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Readiness> {
        let (free, vacant) = (self.free, self.vacant);
        let slot = self.get_mut(key)?;
        let bits = slot.bits;
        slot.kind = vacant;
        slot.bits = Readiness::VACANT;
        slot.data = free;
        slot.key = key.next_generation();
        if slot.key.is_some() {
            self.free = key.index() as u64;
        }
        self.live -= 1;
        self.internal -= usize::from(bits.has(Readiness::INTERNAL));
        Some(bits)
    }

    /// Nobody has the key of a vacant row yet, so that it is not found.
    #[inline(always)]
    pub(crate) fn get(&self, key: Key) -> Option<&Slot<K>> {
        self.slots.get(key.index()).filter(|s| s.key == Some(key))
    }

    #[inline(always)]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Slot<K>> {
        self.slots.get_mut(key.index()).filter(|s| s.key == Some(key))
    }

    /// The row of a key that was found before, and not removed since. In another table than
    /// that it is a row of nobody.
    #[inline(always)]
    pub(crate) fn at(&self, key: Key) -> &Slot<K> {
        self.get(key).unwrap_or(&self.nobody)
    }

    #[inline(always)]
    pub(crate) fn at_mut(&mut self, key: Key) -> &mut Slot<K> {
        match self.slots.get_mut(key.index()) {
            Some(slot) if slot.key == Some(key) => slot,
            _ => &mut self.nobody,
        }
    }

    /// Sets a mark of the loop's; `false` if it is set already, or the handle ends.
    #[inline(always)]
    pub(crate) fn mark(&mut self, key: Key, mark: Readiness) -> bool {
        let Some(slot) = self.get_mut(key) else { return false };
        let fresh = !slot.bits.has(mark | Readiness::CLOSING);
        if fresh {
            slot.bits |= mark;
        }
        fresh
    }

    /// The handle that a poller token speaks of, unless it is gone.
    #[inline(always)]
    pub(crate) fn by_token(&mut self, token: mio::Token) -> Option<(Key, &mut Slot<K>)> {
        let index = token.0 & INDEX_MASK as usize;
        // The poller has no token of a vacant row's next key.
        let slot = self.slots.get_mut(index).filter(|s| Key::token_of(s.key) == token)?;
        Some((slot.key?, slot))
    }

    pub(crate) fn check(&self, key: Key) -> Result<(), KeyError> {
        if key.loop_id() != self.loop_id {
            return Err(KeyError::Foreign);
        }
        self.get(key).map(|_| ()).ok_or(KeyError::Closed)
    }

    /// The rows that are not the loop's own, nor a layer's.
    pub(crate) fn listed(&self) -> impl Iterator<Item = (Key, &Slot<K>)> {
        self.live().filter(|(_, s)| !s.bits.has(Readiness::INTERNAL))
    }

    fn live(&self) -> impl Iterator<Item = (Key, &Slot<K>)> {
        let live = self.slots.iter().filter(|s| !s.bits.has(Readiness::VACANT));
        live.filter_map(|s| Some((s.key?, s)))
    }
}

/// Who gets a turn in the ready pass. `now` is the pass that is running, or was
/// interrupted by a panic; `next` is what queues meanwhile.
#[derive(Default)]
pub(crate) struct ReadyQueue {
    now: Vec<Key>,
    /// Of `now`, so many had their turn.
    had: usize,
    /// Of `now`, so many were there when the pass began.
    opened: usize,
    next: Vec<Key>,
}

impl ReadyQueue {
    /// For the next pass. The caller keeps the `QUEUED` bit.
    #[inline]
    pub(crate) fn push(&mut self, key: Key) {
        self.next.push(key);
    }

    /// For the end of the pass that is running: a connection just accepted.
    #[inline]
    pub(crate) fn push_now(&mut self, key: Key) {
        self.now.push(key);
    }

    /// For the end of the pass that is running: the handle that is called now. `false` if no other
    /// is behind it, or it came to its place during this pass.
    pub(crate) fn push_last(&mut self, key: Key) -> bool {
        let moves = self.had < self.now.len() && self.had <= self.opened;
        if moves {
            self.now.push(key);
        }
        moves
    }

    /// What is queued up to here is the pass.
    #[inline(always)]
    pub(crate) fn open_pass(&mut self) {
        if self.had == self.now.len() {
            self.now.clear();
            self.had = 0;
            std::mem::swap(&mut self.now, &mut self.next);
        } else {
            self.now.drain(..self.had);
            self.had = 0;
            self.now.append(&mut self.next);
        }
        self.opened = self.now.len();
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Option<Key> {
        let key = *self.now.get(self.had)?;
        self.had += 1;
        Some(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Key> {
        self.now[self.had..].iter().chain(&self.next).copied()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.now.len() - self.had + self.next.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Handles that wait for the closing phase, first-in first-out. What is closed
/// while the phase runs waits for the next turn, as in libuv.
#[derive(Default)]
pub(crate) struct ClosingQueue {
    queue: VecDeque<Key>,
    batch: usize,
}

impl ClosingQueue {
    pub(crate) fn push(&mut self, key: Key) {
        self.queue.push_back(key);
    }

    pub(crate) fn open_batch(&mut self) {
        self.batch = self.queue.len();
    }

    pub(crate) fn take(&mut self) -> Option<Key> {
        self.batch = self.batch.checked_sub(1)?;
        self.queue.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const NOTHING: &str = "nothing";

    #[test]
    fn a_row_whose_generation_would_wrap_is_retired() {
        let mut t = Table::new(1, 1, NOTHING);
        let first = t.insert(NOTHING, 0, 0, Readiness::NONE).unwrap();
        let last = Key::new(1, GENERATION_MASK, 0);
        t.slots[0].key = Some(last);
        assert!(t.get(first).is_none());
        assert!(t.remove(last).is_some());
        assert!(t.get(last).is_none());
        assert_eq!(
            t.insert(NOTHING, 0, 0, Readiness::NONE).unwrap().index(),
            1,
            "row 0 is never used again"
        );
    }

    #[test]
    fn a_foreign_key_is_told_apart_from_a_closed_one() {
        let (mut a, mut b) = (Table::new(1, 1, NOTHING), Table::new(2, 1, NOTHING));
        let k = a.insert(NOTHING, 0, 0, Readiness::NONE).unwrap();
        b.insert(NOTHING, 0, 0, Readiness::NONE).unwrap();
        assert_eq!(b.check(k), Err(KeyError::Foreign));
        assert!(b.get(k).is_none() && b.get_mut(k).is_none());
        a.remove(k);
        assert_eq!(a.check(k), Err(KeyError::Closed));
    }

    /// A million operations: a stale key never hits.
    #[test]
    fn a_million_operations_and_no_stale_key_hits() {
        let mut t = Table::new(7, 1, NOTHING);
        let (mut live, mut stale) = (Vec::new(), Vec::new());
        let mut state = 1u64;
        for n in 0..1_000_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = (state >> 33) as usize;
            if live.len() < 100 || (pick % 2 == 0 && live.len() < 1000) {
                live.push((t.insert(NOTHING, n, 0, Readiness::NONE).unwrap(), n));
            } else {
                let (key, data) = live.swap_remove(pick % live.len());
                assert_eq!(t.get(key).map(|s| s.data), Some(data));
                assert!(t.remove(key).is_some());
                stale.push(key);
            }
            if let Some(key) = stale.get(pick % stale.len().max(1)) {
                assert!(t.get(*key).is_none() && t.by_token(key.token()).is_none());
            }
        }
        assert!(stale.iter().all(|key| t.get(*key).is_none()));
        assert!(live.iter().all(|(key, data)| t.get(*key).map(|s| s.data) == Some(*data)));
    }

    proptest! {
        /// Against a map: live keys find their data, stale keys find nothing.
        #[test]
        fn keys_against_a_model(ops in prop::collection::vec((0u8..3, any::<u32>()), 0..2000)) {
            let mut t = Table::new(7, 1, NOTHING);
            let mut model: HashMap<Key, u64> = HashMap::new();
            let mut keys: Vec<Key> = Vec::new();
            let mut stale: Vec<Key> = Vec::new();
            for (op, n) in ops {
                if op < 2 || keys.is_empty() {
                    let k = t.insert(NOTHING, u64::from(n), 0, Readiness::NONE).unwrap();
                    prop_assert!(model.insert(k, u64::from(n)).is_none());
                    keys.push(k);
                } else {
                    let k = keys.swap_remove(n as usize % keys.len());
                    prop_assert!(t.remove(k).is_some());
                    model.remove(&k);
                    stale.push(k);
                }
                prop_assert_eq!(t.len(), model.len());
            }
            for (k, data) in &model {
                prop_assert_eq!(t.get(*k).map(|s| s.data), Some(*data));
                prop_assert_eq!(t.by_token(k.token()).map(|(k, _)| k), Some(*k));
            }
            for k in stale {
                prop_assert!(t.get(k).is_none());
                prop_assert!(t.remove(k).is_none());
                prop_assert!(t.by_token(k.token()).is_none());
            }
        }
    }
}
