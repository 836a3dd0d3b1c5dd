//! [`Driver`]: how a layer makes handles, and finds its own again. Users of sockets and timers
//! never need it. What can be done with one handle is in `handle.rs`.
#![forbid(unsafe_code)]

use std::any::Any;
use std::ops::{Deref, DerefMut};

use crate::core::cx::Cx;
use crate::core::handle::Handle;
use crate::core::kind::{Dispatch, Kind};
use crate::core::runtime::Runtime;
use crate::core::state::Reactor;
use crate::phase::Phase;
use crate::store::key::{Key, KeyError, TableFull};
use crate::store::readiness::Readiness;
use crate::sys::{LayerId, Owner};

/// A slot's birth in 32 bits: units of about 17 ms, enough for two years.
pub(crate) const AGE_SHIFT: u32 = 24;

fn age(now: u64) -> u32 {
    u32::try_from(now >> AGE_SHIFT).unwrap_or(u32::MAX)
}

/// The handles of a loop, for the code of a layer. No method runs a callback.
///
/// ```
/// use tidegate_loop::kind::{Kind, Owner};
/// use tidegate_loop::{AsCx, Loop};
/// static MINE: Owner = Owner::new();
/// static OTHER: Owner = Owner::new();
/// static TIDE: Kind = Kind::new("tide", &MINE);
/// let mut lp = Loop::new()?;
/// let mut cx = lp.cx();
/// let mut driver = cx.driver();
/// let key = driver.insert(&TIDE, 7)?.key();
/// assert_eq!(driver.handle(&MINE, key).map(|h| h.data()), Some(7));
/// assert!(driver.handle(&OTHER, key).is_none(), "a handle belongs to its owner");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Driver<'a> {
    runtime: Runtime<'a>,
}

impl<'a> Deref for Driver<'a> {
    type Target = Runtime<'a>;
    #[inline(always)]
    fn deref(&self) -> &Runtime<'a> {
        &self.runtime
    }
}

impl DerefMut for Driver<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.runtime
    }
}

impl<'a> Driver<'a> {
    #[inline(always)]
    pub(crate) fn new(r: &'a mut Reactor) -> Driver<'a> {
        Driver { runtime: Runtime { r } }
    }

    /// A new handle, referenced: it keeps the loop alive until it is freed.
    pub fn insert(&mut self, kind: &'static Kind, data: u64) -> Result<Handle<'_>, TableFull> {
        self.enter(kind, data, Readiness::REFERENCED)
    }

    /// The same with these bits, `REFERENCED` among them.
    #[inline(always)]
    pub(crate) fn enter(
        &mut self,
        kind: &'static Kind,
        data: u64,
        bits: Readiness,
    ) -> Result<Handle<'_>, TableFull> {
        let r = &mut *self.runtime.r;
        match r.table.insert(kind, data, age(r.now), bits) {
            Ok(key) => {
                r.alive += 1;
                Ok(Handle::found(r, key))
            }
            Err(full) => {
                r.metrics.table_full += 1;
                Err(full)
            }
        }
    }

    /// The same with these readiness bits, as [`Handle::assume`] sets them, and queued as by
    /// [`Handle::queue_now`].
    ///
    /// ```
    /// use tidegate_loop::event::Readiness;
    /// use tidegate_loop::kind::{Kind, Owner};
    /// use tidegate_loop::{AsCx, Loop};
    /// static MINE: Owner = Owner::new();
    /// static TIDE: Kind = Kind::new("tide", &MINE);
    /// let mut lp = Loop::new()?;
    /// let mut cx = lp.cx();
    /// let mut driver = cx.driver();
    /// assert!(driver.insert_now(&TIDE, 7, Readiness::WRITABLE)?.is_queued());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline(always)]
    pub fn insert_now(
        &mut self,
        kind: &'static Kind,
        data: u64,
        bits: Readiness,
    ) -> Result<Handle<'_>, TableFull> {
        let mark = Readiness::REFERENCED | Readiness::QUEUED | bits.readiness();
        let handle = self.enter(kind, data, mark)?;
        let (r, key) = handle.into_parts();
        match r.phase {
            Phase::Ready => r.ready.push_now(key),
            _ => r.ready.push(key),
        }
        Ok(Handle::found(r, key))
    }

    /// A key that finds nothing and never will, for a handle that could not be
    /// made.
    pub fn stale_key(&self) -> Key {
        self.r.table.stale_key()
    }

    /// A handle of this owner by its key; `None` if it was freed, is of another loop, or belongs
    /// to another owner.
    #[inline(always)]
    pub fn handle(&mut self, owner: &'static Owner, key: Key) -> Option<Handle<'_>> {
        let r = &mut *self.runtime.r;
        r.table.get(key).filter(|s| s.kind.is_of(owner))?;
        Some(Handle::found(r, key))
    }

    /// The data word of a handle of this owner.
    #[inline(always)]
    pub fn data(&self, owner: &'static Owner, key: Key) -> Option<u64> {
        let slot = self.r.table.get(key)?;
        slot.kind.is_of(owner).then_some(slot.data)
    }

    /// Whether the key names an open or closing handle of this loop, of any owner.
    pub fn check(&self, key: Key) -> Result<(), KeyError> {
        self.r.table.check(key)
    }
}

impl Cx<'_> {
    /// The handles of the loop, for those who make their own kinds.
    pub fn driver(&mut self) -> Driver<'_> {
        Driver::new(&mut self.core_mut().reactor)
    }

    /// A layer's own state, kept by the loop, and the handles beside it.
    ///
    /// ```
    /// use tidegate_loop::kind::LayerId;
    /// use tidegate_loop::{AsCx, Loop};
    /// static TIDES: LayerId<Vec<u32>> = LayerId::new(Vec::new);
    /// let mut lp = Loop::new()?;
    /// let mut cx = lp.cx();
    /// let (tides, driver) = cx.layer(&TIDES);
    /// tides.push(driver.limits().tick_budget);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn layer<T: Any>(&mut self, id: &'static LayerId<T>) -> (&mut T, Driver<'_>) {
        let core = self.core_mut();
        (core.layers.get(id), Driver::new(&mut core.reactor))
    }
}

impl Dispatch<'_> {
    /// The handles of the loop.
    #[inline]
    pub fn driver(&mut self) -> Driver<'_> {
        Driver::new(&mut self.core.reactor)
    }

    /// The layer's state and the handles, as [`Cx::layer`].
    #[inline]
    pub fn layer<T: Any>(&mut self, id: &'static LayerId<T>) -> (&mut T, Driver<'_>) {
        (self.core.layers.get(id), Driver::new(&mut self.core.reactor))
    }
}
