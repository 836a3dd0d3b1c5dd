//! [`Runtime`]: what the loop offers to the code of a layer apart from handles: its clock, its
//! limits, its observer, its log, and the place where displaced values wait.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::hash::Hash;
use std::io;
use std::time::Duration;

use mio::event::Source;

use crate::core::state::Reactor;
use crate::limits::Limits;
use crate::observe::{Event, LayerEvent};
use crate::phase::Phase;
use crate::sys;

/// The loop, for the code of a layer, without its handles. A [`Driver`](crate::kind::Driver) and a
/// [`Handle`](crate::kind::Handle) deref to it.
///
/// ```
/// use tidegate_loop::kind::Runtime;
/// use tidegate_loop::{AsCx, Loop};
/// fn budget(rt: &Runtime<'_>) -> u32 {
///     rt.limits().tick_budget
/// }
/// let mut lp = Loop::new()?;
/// assert_eq!(budget(&lp.cx().driver()), 1_000);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Runtime<'a> {
    pub(crate) r: &'a mut Reactor,
}

impl Runtime<'_> {
    /// Takes the payload of a panic that was caught inside a call. The panic goes on after the
    /// current callback, when all state is consistent.
    pub fn panic_later(&mut self, payload: Box<dyn Any + Send>) {
        self.r.graveyard.panic_later(payload);
    }

    /// Counts an error that no user code handles, and logs it as [`warn`](Runtime::warn) does;
    /// if the program has no logger, the line goes to standard error.
    pub fn unhandled(&mut self, target: &str, kind: impl Hash, error: fmt::Arguments<'_>) {
        self.r.metrics.unhandled_errors += 1;
        self.r.thinned.unhandled(target, kind, error);
    }

    /// Logs a warning that clients can cause as often as they like. For each target and `kind`
    /// there is a line for the first, and then at each power of two; it says how many were left out
    /// since the last line. This call counts as `new` of them. A kind should have few values, none
    /// that a client can choose: the stage and the code of an error. A loop tells 256 of them
    /// apart.
    pub fn warn(&mut self, target: &str, kind: impl Hash, new: u64, text: fmt::Arguments<'_>) {
        self.r.thinned.log(log::Level::Warn, target, kind, new, text);
    }

    /// Nanoseconds since the loop was made, read now.
    pub fn clock(&self) -> Duration {
        Duration::from_nanos(self.r.clock())
    }

    /// The same as a plain number.
    #[inline]
    pub fn clock_nanos(&self) -> u64 {
        self.r.clock()
    }

    /// Keeps a value of the user's that was replaced, and drops it after the current callback.
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

    /// The time to note for something that happens now, for [`latest`](Runtime::latest): the time
    /// of the poll; outside of a run, the clock.
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
    /// [`moment`](Runtime::moment), so that a deadline that counts from it is never early: the
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

    /// How long it was from the last poll to the poll of this turn, time outside of a run included.
    /// Events can have waited this long.
    #[inline]
    pub fn away(&self) -> Duration {
        Duration::from_nanos(self.r.away)
    }

    /// Whether there is an observer: to compute what only an event needs.
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

    /// Takes a source out of the poller.
    pub fn deregister(&mut self, source: &mut (impl Source + ?Sized)) -> io::Result<()> {
        self.r.poll.registry().deregister(source)
    }

    /// Takes a source out of the poller where closing alone does not.
    pub fn before_close(&mut self, source: &mut impl Source) {
        if sys::DEREGISTER_BEFORE_CLOSE {
            // A peer that is gone may have taken the registration with it.
            let _ = self.deregister(source);
        }
    }
}
