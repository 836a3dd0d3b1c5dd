//! [`Key`]: the name of one handle of one loop, and why a key finds nothing. The table that
//! it is looked up in is `table.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::num::NonZeroU64;

const INDEX_BITS: u32 = 24;
const GENERATION_BITS: u32 = 28;
pub(crate) const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
pub(crate) const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;
/// The last index is never handed out: on 32-bit targets a poller token built
/// from it could equal a reserved one.
pub(crate) const CAPACITY: usize = INDEX_MASK as usize;

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
    pub(crate) fn new(loop_id: u16, generation: u32, index: usize) -> Key {
        let raw = u64::from(loop_id) << (INDEX_BITS + GENERATION_BITS)
            | u64::from(generation) << INDEX_BITS
            | index as u64;
        // Generations start at 1, so `raw` is never 0.
        Key(NonZeroU64::new(raw).unwrap_or(NonZeroU64::MAX))
    }

    /// The same place in its next life; `None` if the generation would wrap.
    pub(crate) fn next_generation(self) -> Option<Key> {
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
        Key::token_of(Some(self))
    }

    /// The same of a row, which may have none: then it is one that no key has.
    #[inline(always)]
    pub(crate) fn token_of(key: Option<Key>) -> mio::Token {
        mio::Token(key.map_or(0, |key| key.0.get()) as usize)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}@{}", self.index(), self.generation(), self.loop_id())
    }
}

/// Why a key finds nothing.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use std::time::Duration;
/// use tidegate_loop::{KeyError, Loop};
/// let mut lp = Loop::new()?;
/// let timer = lp.timer(Duration::ZERO, |_, _| {});
/// lp.run()?;
/// assert_eq!(lp.timer_stop(timer), Err(KeyError::Closed));
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
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
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
