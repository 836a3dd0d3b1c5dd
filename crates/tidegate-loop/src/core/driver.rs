//! The seam between the loop and the layers above: what the owner of a kind of handle may do.
//! Its sources and their I/O are in `source.rs`. Users of sockets and timers never need either.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use crate::core::cx::Cx;
use crate::core::kind::{Dispatch, Kind};
use crate::core::state::Reactor;
use crate::limits::Limits;
use crate::observe::{Event, LayerEvent};
use crate::phase::Phase;
use crate::store::key::{Key, KeyError, TableFull};
use crate::store::readiness::Readiness;

/// A slot's birth in 32 bits: units of about 17 ms, enough for two years.
pub(crate) const AGE_SHIFT: u32 = 24;

/// What the owner of a [`Kind`] may do with the loop. Lent by
/// [`Cx::driver`](crate::Cx::driver); no method runs user code.
///
/// Every method takes a key that may be stale: it then does nothing, or says
/// so.
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// let mut cx = lp.cx();
/// assert_eq!(cx.driver().limits().accept_budget, 64);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Driver<'a> {
    pub(crate) r: &'a mut Reactor,
}

impl Driver<'_> {
    /// Makes a handle the layer's own. It does not keep the loop alive, it is not counted
    /// or shown, and [`Cx::close`](crate::Cx::close) does not close it: its owner frees it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let mut cx = lp.cx();
    /// let timer = cx.timer(Duration::from_secs(1), |_, _| {});
    /// cx.driver().set_internal(timer.into());
    /// assert_eq!((cx.handles(), cx.walk().len()), (0, 0));
    /// lp.run()?; // returns at once
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_internal(&mut self, key: Key) {
        self.set_ref(key, false);
        self.r.table.mark_internal(key);
    }

    /// A new handle, referenced: it keeps the loop alive until it is freed.
    pub fn insert(&mut self, kind: &'static Kind, data: u64) -> Result<Key, TableFull> {
        let since = u32::try_from(self.r.now >> AGE_SHIFT).unwrap_or(u32::MAX);
        let inserted = self.r.table.insert(kind, data, since);
        match inserted {
            Ok(key) => self.set_ref(key, true),
            Err(_) => self.r.metrics.table_full += 1,
        }
        inserted
    }

    /// A key that finds nothing and never will, for a handle that could not be
    /// made.
    pub fn stale_key(&self) -> Key {
        self.r.table.stale_key()
    }

    /// Whether the handle keeps the loop alive. A flag, not a count.
    pub fn set_ref(&mut self, key: Key, keep_alive: bool) {
        self.set_alive(key, Readiness::REFERENCED, keep_alive);
    }

    /// Whether a request of the handle is under way (a connect, bytes that wait to be
    /// written, completions to tell): that keeps the loop alive, too, referenced or not.
    pub fn set_busy(&mut self, key: Key, busy: bool) {
        self.set_alive(key, Readiness::BUSY, busy);
    }

    fn set_alive(&mut self, key: Key, bit: Readiness, on: bool) {
        let Some(slot) = self.r.table.get_mut(key) else { return };
        let before = slot.bits.has(Readiness::ALIVE);
        if on {
            slot.bits |= bit;
        } else {
            slot.bits.clear(bit);
        }
        match (before, slot.bits.has(Readiness::ALIVE)) {
            (false, true) => self.r.alive += 1,
            (true, false) => self.r.alive -= 1,
            _ => {}
        }
    }

    /// Ends the slot of a handle of this kind at once. Call it from [`Kind::closed`],
    /// or for a handle that no user code knows. Of another kind, which is another
    /// layer's, it does nothing.
    pub fn free(&mut self, kind: &'static Kind, key: Key) {
        let slot = self.r.table.get(key);
        if slot.is_some_and(|s| s.kind.is_some_and(|k| std::ptr::eq(k, kind))) {
            self.r.free(key);
        }
    }

    /// Begins the end of a handle of this kind: it gets no more calls but
    /// [`Kind::closed`], in the closing phase. `false` if that had begun already, or for
    /// a handle of another kind, which is another layer's. Close the descriptor before.
    pub fn close(&mut self, kind: &'static Kind, key: Key) -> bool {
        let Some(slot) = self.r.table.get_mut(key) else { return false };
        let own = slot.kind.is_some_and(|k| std::ptr::eq(k, kind));
        if !own || slot.bits.has(Readiness::CLOSING) {
            return false;
        }
        slot.bits |= Readiness::CLOSING;
        self.r.closing.push(key);
        true
    }

    /// Whether the key names an open or closing handle of this loop.
    pub fn check(&self, key: Key) -> Result<(), KeyError> {
        self.r.table.check(key)
    }

    /// The data word given to [`insert`](Driver::insert).
    #[inline]
    pub fn data(&self, key: Key) -> Option<u64> {
        self.r.table.get(key).map(|s| s.data)
    }

    /// Both at once: the data word, and what is known of its readiness.
    #[inline]
    pub fn look(&self, key: Key) -> Option<(u64, Readiness)> {
        self.r.table.get(key).map(|s| (s.data, s.bits.readiness()))
    }

    /// What is known of the handle's readiness.
    #[inline]
    pub fn bits(&self, key: Key) -> Readiness {
        self.r.table.get(key).map_or(Readiness::NONE, |s| s.bits.readiness())
    }

    /// Says that these bits are set before the kernel did: a connection just
    /// accepted is writable.
    pub fn assume(&mut self, key: Key, bits: Readiness) {
        if let Some(slot) = self.r.table.get_mut(key) {
            slot.bits |= bits.readiness();
        }
    }

    /// Takes back an assumption, or a bit that a level-triggered poller will
    /// repeat.
    pub fn forget(&mut self, key: Key, bits: Readiness) {
        if let Some(slot) = self.r.table.get_mut(key) {
            slot.bits.clear(bits.readiness());
        }
    }

    /// Queues the handle for the next ready pass, once. If nothing is known of its readiness,
    /// it has work of its owner's to do, which keeps the loop alive until then. If it is ready,
    /// that alone does not: say [`set_busy`](Driver::set_busy) if there is more to it.
    #[inline]
    pub fn queue(&mut self, key: Key) {
        if self.mark(key, Readiness::QUEUED) {
            self.r.ready.push(key);
        }
    }

    /// Queues the handle for the end of the pass that is running: a connection
    /// accepted in it. In any other phase the same as [`queue`](Driver::queue).
    pub fn queue_now(&mut self, key: Key) {
        if self.r.phase != Phase::Ready {
            self.queue(key);
        } else if self.mark(key, Readiness::QUEUED) {
            self.r.ready.push_now(key);
        }
    }

    /// Whether the handle has its place in a ready pass to come.
    pub fn is_queued(&self, key: Key) -> bool {
        self.r.table.get(key).is_some_and(|s| s.bits.has(Readiness::QUEUED))
    }

    /// Queues an effect of an API call: [`Kind::pending`] comes after the ready
    /// pass, once.
    pub fn pend(&mut self, key: Key) {
        if self.mark(key, Readiness::PENDING) {
            self.r.pending.push_back(key);
        }
    }

    #[inline]
    fn mark(&mut self, key: Key, bit: Readiness) -> bool {
        let Some(slot) = self.r.table.get_mut(key) else { return false };
        let fresh = !slot.bits.has(bit | Readiness::CLOSING);
        if fresh {
            slot.bits |= bit;
        }
        fresh
    }

    /// What user code panicked with inside a call: it goes on after the current
    /// callback, when all state is whole.
    pub fn panic_later(&mut self, payload: Box<dyn Any + Send>) {
        self.r.graveyard.panic_later(payload);
    }

    /// An error that no user code handles: it is counted, and a [`warn`](Driver::warn)ing.
    pub fn unhandled(&mut self, target: &str, kind: impl Hash, error: fmt::Arguments<'_>) {
        self.r.metrics.unhandled_errors += 1;
        self.warn(target, ("unhandled", kind), 1, format_args!("unhandled: {error}"));
    }

    /// A warning about what clients can cause as often as they like. For each target and
    /// `kind` there is a line at the first and then at each power of two, and it says how many
    /// were left out since the last. This one counts as `new`. A kind should take few values,
    /// none of a client's choice: the stage and the code of an error. A loop keeps 256 apart.
    pub fn warn(&mut self, target: &str, kind: impl Hash, new: u64, text: fmt::Arguments<'_>) {
        self.r.thinned.log(log::Level::Warn, target, kind, new, text);
    }

    /// Nanoseconds since the loop was made, read now.
    pub fn clock(&self) -> Duration {
        Duration::from_nanos(self.r.clock())
    }

    /// Keeps a displaced user value until the current callback has returned.
    pub fn bury(&mut self, value: impl Any) {
        self.r.graveyard.bury(value);
    }

    /// The loop's limits.
    pub fn limits(&self) -> &Limits {
        &self.r.limits
    }

    /// Nanoseconds since the loop was made, read when poll returned.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.r.now)
    }

    /// The same as a plain number.
    #[inline]
    pub fn nanos(&self) -> u64 {
        self.r.now
    }

    /// When something happens now, to be placed by [`latest`](Driver::latest): the time of the
    /// poll; outside of a run, where no poll has told it, the clock.
    #[inline(always)]
    pub fn moment(&self) -> u64 {
        if self.r.phase == Phase::Outside { self.moment_outside() } else { self.r.now }
    }

    #[cold]
    #[inline(never)]
    fn moment_outside(&self) -> u64 {
        self.r.clock()
    }

    /// The latest moment at which something can have happened that was noted with
    /// [`moment`](Driver::moment), so that a deadline that counts from it is never early: the
    /// clock, if that was in this turn; else the end of its turn or later, by at most the longest
    /// turn near it: 1 ms, or more if turns were longer. Reads the clock.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let mut cx = lp.cx();
    /// let mut driver = cx.driver();
    /// let noted = driver.moment();
    /// assert!(driver.latest(noted) >= noted);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn latest(&self, noted: u64) -> u64 {
        self.r.latest(noted)
    }

    /// Events in this turn's batch.
    pub fn batch(&self) -> usize {
        self.r.batch
    }

    /// How long the kernel was not asked before this turn's poll: the turn before, and what
    /// passed outside of a run. So long events can have waited.
    #[inline]
    pub fn away(&self) -> Duration {
        Duration::from_nanos(self.r.away)
    }

    /// Whether there is an observer: for what only an event needs to know.
    #[inline(always)]
    pub fn is_observed(&self) -> bool {
        self.r.is_watched()
    }

    /// Tells the observer, if there is one; `event` runs only then.
    #[inline(always)]
    pub fn emit<E: LayerEvent>(&mut self, event: impl FnOnce() -> E) {
        if self.r.is_watched() {
            self.make_and_tell(event);
        }
    }

    #[cold]
    #[inline(never)]
    fn make_and_tell<E: LayerEvent>(&mut self, event: impl FnOnce() -> E) {
        let now = self.r.clock();
        self.r.tell(now, &Event::Layer(&event()));
    }
}

impl Cx<'_> {
    /// The seam for those who make their own kinds of handles.
    pub fn driver(&mut self) -> Driver<'_> {
        Driver { r: &mut self.core_mut().reactor }
    }

    /// A layer's own state, kept by the loop, and the driver beside it. `E` is
    /// made by `Default` at its first use.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// #[derive(Default)]
    /// struct Pipes(Vec<u32>);
    /// let mut lp = Loop::new()?;
    /// let mut cx = lp.cx();
    /// let (pipes, _driver) = cx.parts::<Pipes>();
    /// pipes.0.push(1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn parts<E: Any + Default>(&mut self) -> (&mut E, Driver<'_>) {
        let core = self.core_mut();
        (core.layers.get(), Driver { r: &mut core.reactor })
    }
}

impl Dispatch<'_> {
    /// The driver.
    #[inline]
    pub fn driver(&mut self) -> Driver<'_> {
        Driver { r: &mut self.core.reactor }
    }

    /// The layer's state and the driver, as [`Cx::parts`].
    #[inline]
    pub fn parts<E: Any + Default>(&mut self) -> (&mut E, Driver<'_>) {
        (self.core.layers.get(), Driver { r: &mut self.core.reactor })
    }
}
