//! The one generational table: what the loop owns, and the keys users hold.
//!
//! A [`Key`] is 8 bytes and `Copy`; a slot is a generation, readiness bits, a
//! [`Kind`] and one word of data for the layer that owns the handle. A key
//! whose slot was freed never finds anything again, and a key of another loop
//! never did. What a handle *does* is not here: see `turn.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::num::NonZeroU64;

use crate::cx::Cx;
use crate::dispatch::Dispatch;
use crate::ready::Bits;

const INDEX_BITS: u32 = 24;
const GENERATION_BITS: u32 = 28;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;
/// The last index is never handed out: on 32-bit targets a poller token built
/// from it could equal a reserved one.
const CAPACITY: usize = INDEX_MASK as usize;
/// End of the free list.
const NONE: u64 = u64::MAX;

/// Names one handle of one loop: 24-bit index, 28-bit generation, 12-bit loop
/// id. `Copy`, 8 bytes, also as `Option<Key>`.
///
/// ```
/// use tidegate_loop::Key;
/// assert_eq!(size_of::<Option<Key>>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(NonZeroU64);

impl Key {
    fn new(loop_id: u16, generation: u32, index: usize) -> Key {
        let raw = u64::from(loop_id) << (INDEX_BITS + GENERATION_BITS)
            | u64::from(generation) << INDEX_BITS
            | index as u64;
        // Generations start at 1, so `raw` is never 0.
        Key(NonZeroU64::new(raw).unwrap_or(NonZeroU64::MAX))
    }

    /// The same place in its next life; `None` if the generation would wrap.
    fn next_generation(self) -> Option<Key> {
        let last = self.generation() == GENERATION_MASK;
        (!last).then(|| Key::new(self.loop_id(), self.generation() + 1, self.index()))
    }

    /// The place in the loop's table.
    pub fn index(self) -> usize {
        (self.0.get() & INDEX_MASK) as usize
    }

    /// How often that place was used before, plus one.
    pub fn generation(self) -> u32 {
        (self.0.get() >> INDEX_BITS) as u32 & GENERATION_MASK
    }

    /// Which loop of this process made the key.
    pub fn loop_id(self) -> u16 {
        (self.0.get() >> (INDEX_BITS + GENERATION_BITS)) as u16
    }

    /// What the kernel carries for us. On 32-bit targets it holds the index and
    /// the low 8 bits of the generation; the table compares just as much.
    pub(crate) fn token(self) -> mio::Token {
        mio::Token(self.0.get() as usize)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.index(), self.generation(), self.loop_id())
    }
}

/// Why a key finds nothing.
///
/// ```
/// use std::time::Duration;
/// use tidegate_loop::{KeyError, Loop};
/// let mut lp = Loop::new()?;
/// let timer = lp.as_cx().timer(Duration::ZERO, |_, _| {});
/// lp.run()?;
/// assert_eq!(lp.as_cx().timer_stop(timer), Err(KeyError::Closed));
/// # use tidegate_loop::AsCx;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum KeyError {
    /// The handle was closed; its slot may serve another one by now.
    Closed,
    /// The key was made by another loop.
    Foreign,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::Closed => "the handle behind this key is closed",
            KeyError::Foreign => "this key belongs to another loop",
        })
    }
}

impl std::error::Error for KeyError {}

impl From<KeyError> for std::io::Error {
    fn from(e: KeyError) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::NotFound, e)
    }
}

/// The table has no room: 16,777,215 handles are open.
///
/// ```
/// assert!(tidegate_loop::TableFull.to_string().contains("16777215"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableFull;

impl fmt::Display for TableFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the loop holds {CAPACITY} handles, its limit: close some first")
    }
}

impl std::error::Error for TableFull {}

impl From<TableFull> for std::io::Error {
    fn from(e: TableFull) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::OutOfMemory, e)
    }
}

/// What the loop calls for a handle: a few functions, no object. The layer that
/// makes a handle keeps its state itself and finds it by the `data` word it
/// gave to [`Driver::insert`](crate::Driver::insert).
///
/// ```
/// use tidegate_loop::{AsCx, Dispatch, Key, Kind, Loop};
/// static BELL: Kind = Kind {
///     name: "bell",
///     ready: |d: &mut Dispatch<'_>, key: Key, data: u64| {
///         assert_eq!(data, 7);
///         d.cx().driver().close(&BELL, key);
///     },
///     pending: |_, _, _| {},
///     close: |cx, key, _| { cx.driver().close(&BELL, key); Ok(()) },
///     closed: |d, key, _| d.driver().free(&BELL, key),
///     describe: |_, _, data| format!("bell {data}"),
/// };
/// let mut lp = Loop::new()?;
/// let mut cx = lp.as_cx();
/// let key = cx.driver().insert(&BELL, 7)?;
/// cx.driver().queue(key);
/// lp.run()?;
/// assert_eq!(lp.handles(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Kind {
    /// What `why_alive` and traces call it.
    pub name: &'static str,
    /// It was queued: by a kernel event, by a budget or by a choice that ended.
    pub ready: fn(&mut Dispatch<'_>, Key, u64),
    /// An effect of an earlier API call is due.
    pub pending: fn(&mut Dispatch<'_>, Key, u64),
    /// [`Cx::close`] was called, or [`Cx::close_all`]: close the descriptor and begin the
    /// end with [`Driver::close`](crate::Driver::close), or free the slot at once if
    /// no user waits for the end. An error says that it ends already. Runs no user
    /// code.
    pub close: fn(&mut Cx<'_>, Key, u64) -> Result<(), KeyError>,
    /// The closing phase reached it: [`free`](crate::Driver::free) the slot, then
    /// tell the user.
    pub closed: fn(&mut Dispatch<'_>, Key, u64),
    /// One line for people: which one it is.
    pub describe: fn(&mut Cx<'_>, Key, u64) -> String,
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// One row. A vacant row has no kind and keeps the next free index in `data`.
pub(crate) struct Slot {
    /// Of the handle that lives here; of the next one, if the row is vacant; `None` if it is
    /// retired.
    key: Option<Key>,
    pub(crate) kind: Option<&'static Kind>,
    pub(crate) data: u64,
    /// When it was inserted, in the loop's time: units of 2^24 ns.
    pub(crate) since: u32,
    pub(crate) bits: Bits,
}

pub(crate) struct Table {
    slots: Vec<Slot>,
    free: u64,
    live: usize,
    internal: usize,
    loop_id: u16,
    /// New rows begin with this one.
    first_generation: u32,
}

impl Table {
    pub(crate) fn new(loop_id: u16, first_generation: u32) -> Table {
        Table { slots: Vec::new(), free: NONE, live: 0, internal: 0, loop_id, first_generation }
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
        if let Some(slot) = self.get_mut(key).filter(|s| !s.bits.has(Bits::INTERNAL)) {
            slot.bits |= Bits::INTERNAL;
            self.internal += 1;
        }
    }

    pub(crate) fn insert(
        &mut self,
        kind: &'static Kind,
        data: u64,
        since: u32,
    ) -> Result<Key, TableFull> {
        let index = if self.free == NONE {
            let index = self.slots.len();
            if index >= CAPACITY {
                return Err(TableFull);
            }
            self.slots.push(Slot {
                key: Some(Key::new(self.loop_id, self.first_generation, index)),
                kind: None,
                data: NONE,
                since,
                bits: Bits::NONE,
            });
            index
        } else {
            let index = self.free as usize;
            self.free = self.slots[index].data;
            index
        };
        let slot = &mut self.slots[index];
        slot.kind = Some(kind);
        slot.data = data;
        slot.since = since;
        slot.bits = Bits::NONE;
        self.live += 1;
        // A retired row is not in the free list.
        slot.key.ok_or(TableFull)
    }

    /// A key that finds nothing and never will.
    pub(crate) fn stale_key(&self) -> Key {
        Key::new(self.loop_id, 0, CAPACITY)
    }

    /// Frees the row. A row whose generation would wrap is retired for good.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Bits> {
        let free = self.free;
        let slot = self.get_mut(key)?;
        let bits = slot.bits;
        slot.kind = None;
        slot.data = free;
        slot.key = key.next_generation();
        if slot.key.is_some() {
            self.free = key.index() as u64;
        }
        self.live -= 1;
        self.internal -= usize::from(bits.has(Bits::INTERNAL));
        Some(bits)
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&Slot> {
        self.slots.get(key.index()).filter(|s| s.key == Some(key) && s.kind.is_some())
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.index()).filter(|s| s.key == Some(key) && s.kind.is_some())
    }

    /// The handle that a poller token speaks of, unless it is gone.
    #[inline]
    pub(crate) fn by_token(&mut self, token: mio::Token) -> Option<(Key, &mut Slot)> {
        let index = token.0 & INDEX_MASK as usize;
        let slot = self.slots.get_mut(index)?;
        let key = slot.key.filter(|key| key.token() == token)?;
        slot.kind.is_some().then_some((key, slot))
    }

    pub(crate) fn check(&self, key: Key) -> Result<(), KeyError> {
        if key.loop_id() != self.loop_id {
            return Err(KeyError::Foreign);
        }
        self.get(key).map(|_| ()).ok_or(KeyError::Closed)
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = (Key, &Slot)> {
        self.slots.iter().filter(|s| s.kind.is_some()).filter_map(|s| Some((s.key?, s)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    static NOTHING: Kind = Kind {
        name: "nothing",
        ready: |_, _, _| {},
        pending: |_, _, _| {},
        close: |_, _, _| Ok(()),
        closed: |_, _, _| {},
        describe: |_, _, _| String::new(),
    };

    #[test]
    fn a_row_whose_generation_would_wrap_is_retired() {
        let mut t = Table::new(1, 1);
        let first = t.insert(&NOTHING, 0, 0).unwrap();
        let last = Key::new(1, GENERATION_MASK, 0);
        t.slots[0].key = Some(last);
        assert!(t.get(first).is_none());
        assert!(t.remove(last).is_some());
        assert!(t.get(last).is_none());
        assert_eq!(t.insert(&NOTHING, 0, 0).unwrap().index(), 1, "row 0 is never used again");
    }

    #[test]
    fn a_foreign_key_is_told_apart_from_a_closed_one() {
        let (mut a, mut b) = (Table::new(1, 1), Table::new(2, 1));
        let k = a.insert(&NOTHING, 0, 0).unwrap();
        b.insert(&NOTHING, 0, 0).unwrap();
        assert_eq!(b.check(k), Err(KeyError::Foreign));
        assert!(b.get(k).is_none() && b.get_mut(k).is_none());
        a.remove(k);
        assert_eq!(a.check(k), Err(KeyError::Closed));
    }

    /// A million operations: a stale key never hits.
    #[test]
    fn a_million_operations_and_no_stale_key_hits() {
        let mut t = Table::new(7, 1);
        let (mut live, mut stale) = (Vec::new(), Vec::new());
        let mut state = 1u64;
        for n in 0..1_000_000u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let pick = (state >> 33) as usize;
            if live.len() < 100 || (pick % 2 == 0 && live.len() < 1000) {
                live.push((t.insert(&NOTHING, n, 0).unwrap(), n));
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
            let mut t = Table::new(7, 1);
            let mut model: HashMap<Key, u64> = HashMap::new();
            let mut keys: Vec<Key> = Vec::new();
            let mut stale: Vec<Key> = Vec::new();
            for (op, n) in ops {
                if op < 2 || keys.is_empty() {
                    let k = t.insert(&NOTHING, u64::from(n), 0).unwrap();
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
