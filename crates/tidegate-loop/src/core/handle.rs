//! [`Handle`]: one handle, found once, for the code of its owner. Its source and its I/O are in
//! `source.rs`.
#![forbid(unsafe_code)]

use std::ops::{Deref, DerefMut};

use crate::core::kind::Kind;
use crate::core::runtime::Runtime;
use crate::core::state::{Reactor, Row};
use crate::phase::Phase;
use crate::store::key::{Key, KeyError};
use crate::store::readiness::Readiness;
use crate::sys::Owner;

/// A handle, found by [`Driver::handle`](crate::kind::Driver::handle). While it is borrowed,
/// nothing else can free it, so its methods need not look it up again.
///
/// ```
/// use tidegate_loop::kind::{Kind, Owner};
/// use tidegate_loop::event::Readiness;
/// use tidegate_loop::{AsCx, Loop};
/// static MINE: Owner = Owner::new();
/// static TIDE: Kind = Kind::new("tide", &MINE);
/// let mut lp = Loop::new()?;
/// let mut cx = lp.cx();
/// let mut driver = cx.driver();
/// let mut handle = driver.insert(&TIDE, 0)?;
/// handle.assume(Readiness::WRITABLE);
/// assert!(handle.readiness().has(Readiness::WRITABLE));
/// handle.free();
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Handle<'a> {
    runtime: Runtime<'a>,
    key: Key,
}

impl<'a> Deref for Handle<'a> {
    type Target = Runtime<'a>;
    #[inline(always)]
    fn deref(&self) -> &Runtime<'a> {
        &self.runtime
    }
}

impl DerefMut for Handle<'_> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.runtime
    }
}

impl<'a> Handle<'a> {
    /// `key` has its slot.
    #[inline(always)]
    pub(crate) fn found(r: &'a mut Reactor, key: Key) -> Handle<'a> {
        debug_assert!(r.table.get(key).is_some());
        Handle { runtime: Runtime { r }, key }
    }

    #[inline(always)]
    pub(crate) fn into_parts(self) -> (&'a mut Reactor, Key) {
        (self.runtime.r, self.key)
    }

    #[inline(always)]
    pub(crate) fn slot(&self) -> &Row {
        self.runtime.r.table.at(self.key)
    }

    #[inline(always)]
    pub(crate) fn slot_mut(&mut self) -> &mut Row {
        self.runtime.r.table.at_mut(self.key)
    }

    /// Its key.
    #[inline]
    pub fn key(&self) -> Key {
        self.key
    }

    /// The data word given to [`insert`](crate::kind::Driver::insert).
    #[inline]
    pub fn data(&self) -> u64 {
        self.slot().data
    }

    /// What is known of its readiness.
    #[inline]
    pub fn readiness(&self) -> Readiness {
        self.slot().bits.readiness()
    }

    /// Another handle by its key, as [`Driver::handle`](crate::kind::Driver::handle). `None` for
    /// the key of this one.
    pub fn other(&mut self, owner: &'static Owner, key: Key) -> Option<Handle<'_>> {
        let r = &mut *self.runtime.r;
        let slot = r.table.get(key).filter(|_| key != self.key)?;
        slot.kind.is_of(owner).then(|| Handle::found(r, key))
    }

    /// Whether the key names an open or closing handle of this loop, of any owner.
    pub fn check(&self, key: Key) -> Result<(), KeyError> {
        self.runtime.r.table.check(key)
    }

    /// Makes the handle the layer's own. It does not keep the loop alive, it is not counted
    /// or shown, and [`Cx::close`](crate::Cx::close) does not close it: its owner frees it.
    pub fn set_internal(&mut self) {
        self.set_ref(false);
        self.runtime.r.table.mark_internal(self.key);
    }

    /// Whether the handle keeps the loop alive. A flag, not a count.
    pub fn set_ref(&mut self, keep_alive: bool) {
        self.runtime.r.set_alive(self.key, Readiness::REFERENCED, keep_alive);
    }

    /// Whether a request of the handle is under way (a connect, bytes that wait to be
    /// written, completions to tell): that keeps the loop alive, too, referenced or not.
    pub fn set_busy(&mut self, busy: bool) {
        self.runtime.r.set_alive(self.key, Readiness::BUSY, busy);
    }

    /// Changes the handle's kind. The new kind must have the same owner; else nothing happens, and
    /// the answer is `false`.
    pub fn turn_into(&mut self, kind: &'static Kind) -> bool {
        let own = self.slot().kind.is_of(kind.owner());
        if own {
            self.slot_mut().kind = kind;
        }
        own
    }

    /// Frees the slot at once. For a handle in [`Kind::closed`], or one that no user code knows.
    pub fn free(self) {
        self.runtime.r.free(self.key);
    }

    /// Begins to close the handle: the loop calls only [`Kind::closed`] for it, in the closing
    /// phase. `false` if it was closing already. Close the descriptor before.
    pub fn close(&mut self) -> bool {
        self.runtime.r.close(self.key)
    }

    /// Whether [`close`](Handle::close) was called.
    pub fn is_closing(&self) -> bool {
        self.slot().bits.has(Readiness::CLOSING)
    }

    /// Sets these bits without an event of the kernel: a connection that was just accepted is
    /// writable.
    pub fn assume(&mut self, bits: Readiness) {
        self.slot_mut().bits |= bits.readiness();
    }

    /// Clears these bits: an assumption, or a bit that a level-triggered poller will report again,
    /// or that an operation of the owner has used up.
    #[inline]
    pub fn forget(&mut self, bits: Readiness) {
        self.slot_mut().bits.clear(bits.readiness());
    }

    /// Queues the handle for the next ready pass, once. If it has no readiness bits, it is queued
    /// for work of its owner, and that keeps the loop alive until then. A handle that is only ready
    /// does not keep the loop alive: call [`set_busy`](Handle::set_busy) if it should.
    #[inline]
    pub fn queue(&mut self) {
        self.runtime.r.queue(self.key);
    }

    /// Queues a handle that was not called yet for the end of the ready pass that is running: a
    /// connection accepted in it. In any other phase, and for a handle that had its call, the
    /// same as [`queue`](Handle::queue).
    pub fn queue_now(&mut self) {
        if self.runtime.r.phase == Phase::Ready && self.slot().bits.has(Readiness::FRESH) {
            self.runtime.r.queue_now(self.key);
        } else {
            self.queue();
        }
    }

    /// Lets the others go first: called in [`Kind::ready`](crate::kind::Kind::ready), the handle is
    /// called once more at the end of this ready pass. `false`, and nothing happens, if no other
    /// handle waits behind it in the pass, or it was moved already: for long work that the others
    /// should not wait for.
    ///
    /// ```
    /// use tidegate_loop::kind::{Kind, Owner};
    /// static MINE: Owner = Owner::new();
    /// static LONG: Kind = Kind::new("long", &MINE).ready(|d, key, _| {
    ///     let mut driver = d.driver();
    ///     if driver.handle(&MINE, key).is_some_and(|mut h| h.queue_last()) {
    ///         return;
    ///     }
    ///     // The others had their call.
    /// });
    /// # let _ = &LONG;
    /// ```
    pub fn queue_last(&mut self) -> bool {
        self.runtime.r.queue_last(self.key)
    }

    /// Whether the handle has its place in a ready pass to come.
    #[inline]
    pub fn is_queued(&self) -> bool {
        self.slot().bits.has(Readiness::QUEUED)
    }

    /// Queues an effect of an API call: the loop calls [`Kind::pending`] once, in the next pending
    /// phase.
    pub fn pend(&mut self) {
        self.runtime.r.pend(self.key);
    }
}
