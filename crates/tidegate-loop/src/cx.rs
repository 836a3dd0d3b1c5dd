//! [`Cx`]: what a callback may do with the loop it runs in.
//!
//! A `Cx` is lent and cannot be kept. It has no `run`: running the loop inside
//! a callback does not compile.
//!
//! ```compile_fail
//! use tidegate_loop::{AsCx, Loop};
//! let mut lp = Loop::new().unwrap();
//! lp.as_cx().next_tick(|cx| { let _ = cx.run(); });
//! ```
#![forbid(unsafe_code)]

use std::any::Any;
use std::time::Duration;

use crate::closing::Buried;
use crate::driver::Driver;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::remote::Remote;
use crate::table::{Key, KeyError};
use crate::timers::{TIMER, TimerKey};
use crate::turn::{Core, Phase};

/// A loop, lent to the code it calls.
///
/// No method runs a callback or drops a value of yours: it changes state and
/// queues.
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// let mut cx = lp.as_cx();
/// cx.next_tick(|cx| println!("turn {}", cx.turn()));
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Cx<'a> {
    core: &'a mut Core,
}

/// Whatever can lend a [`Cx`]: a [`Loop`](crate::Loop), a `Cx`, and the
/// contexts of the layers above.
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// fn stop(at: &mut impl AsCx) { at.as_cx().stop() }
/// stop(&mut Loop::new()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait AsCx {
    /// The loop, lent for as long as `self` is.
    fn as_cx(&mut self) -> Cx<'_>;
}

impl AsCx for Cx<'_> {
    fn as_cx(&mut self) -> Cx<'_> {
        Cx { core: self.core }
    }
}

impl<'a> Cx<'a> {
    pub(crate) fn new(core: &'a mut Core) -> Cx<'a> {
        Cx { core }
    }

    /// Time since the loop was made, as of the last poll.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.core.reactor.now)
    }

    /// The turn that runs, counted from 1; 0 before the first.
    pub fn turn(&self) -> u64 {
        self.core.reactor.turn
    }

    /// The phase that runs.
    pub fn phase(&self) -> Phase {
        self.core.reactor.phase
    }

    /// The loop's limits.
    pub fn limits(&self) -> &Limits {
        &self.core.reactor.limits
    }

    /// The loop's counters.
    pub fn metrics(&self) -> Metrics {
        self.core.reactor.metrics
    }

    /// Open handles, the closing ones included.
    pub fn handles(&self) -> usize {
        self.core.handles()
    }

    /// Ends `run` after the turn that is running; before `run`, that call runs
    /// nothing. Nothing is closed, and the loop can run again.
    pub fn stop(&mut self) {
        self.core.stop = true;
    }

    /// Whether the key names an open or closing handle of this loop.
    pub fn is_open(&self, key: impl Into<Key>) -> bool {
        self.check(key).is_ok()
    }

    /// The same, saying why not.
    pub fn check(&self, key: impl Into<Key>) -> Result<(), KeyError> {
        self.core.reactor.table.check(key.into())
    }

    /// Calls `f` once, `after` from now and never earlier, in the timers phase
    /// of a later turn. It ends by itself after `f`, unless `f` arms it again
    /// with [`timer_reset`](Cx::timer_reset).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.as_cx().timer(Duration::from_millis(5), |_, _| println!("5 ms later"));
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timer(
        &mut self,
        after: Duration,
        f: impl FnMut(&mut Cx<'_>, TimerKey) + 'static,
    ) -> TimerKey {
        self.start_timer(after, 0, f)
    }

    /// Calls `f` every `every`, counted from when it was due to run; missed
    /// shots are not made up for. Stop it with [`timer_stop`](Cx::timer_stop).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let mut left = 3;
    /// lp.as_cx().interval(Duration::from_millis(1), move |cx, me| {
    ///     left -= 1;
    ///     if left == 0 { cx.timer_stop(me).unwrap() }
    /// });
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn interval(
        &mut self,
        every: Duration,
        f: impl FnMut(&mut Cx<'_>, TimerKey) + 'static,
    ) -> TimerKey {
        self.start_timer(every, nanos(every).max(1), f)
    }

    fn start_timer(
        &mut self,
        after: Duration,
        repeat: u64,
        f: impl FnMut(&mut Cx<'_>, TimerKey) + 'static,
    ) -> TimerKey {
        let deadline = self.core.reactor.clock().saturating_add(nanos(after));
        let index = self.core.timers.next_index();
        match self.driver().insert(&TIMER, index) {
            Ok(key) => {
                self.core.timers.insert(key, deadline, repeat, Box::new(f));
                TimerKey(key)
            }
            Err(e) => {
                // Counted as `table_full`. The key is stale from the start, and
                // what stays silent elsewhere is at least logged here.
                log::error!(target: "tidegate::loop", "a timer was not started: {e}");
                self.core.reactor.graveyard.bury(Buried::Timer { _callback: Box::new(f) });
                TimerKey(self.core.reactor.table.stale_key())
            }
        }
    }

    /// Moves a timer's deadline to `after` from now. Also in its own callback,
    /// where it runs once more, in a later turn.
    pub fn timer_reset(&mut self, timer: TimerKey, after: Duration) -> Result<(), KeyError> {
        let entry = self.timer_entry(timer)?;
        let deadline = self.core.reactor.clock().saturating_add(nanos(after));
        self.core.timers.arm(entry, deadline);
        Ok(())
    }

    /// Ends a timer. Its closure is dropped after the current callback; it does
    /// not run again, not even if it was due in this very batch.
    pub fn timer_stop(&mut self, timer: TimerKey) -> Result<(), KeyError> {
        let entry = self.timer_entry(timer)?;
        self.core.cancel_timer(timer.0, entry);
        Ok(())
    }

    fn timer_entry(&self, timer: TimerKey) -> Result<u32, KeyError> {
        let table = &self.core.reactor.table;
        table.check(timer.0)?;
        match table.get(timer.0) {
            Some(slot) if slot.kind.is_some_and(|k| std::ptr::eq(k, &TIMER)) => {
                Ok(slot.data as u32)
            }
            _ => Err(KeyError::Closed),
        }
    }

    /// Calls `f` right after the current callback (outside of one: at the start
    /// of the next turn), before anything else happens. At most `tick_budget`
    /// run in one turn; the rest keep their order.
    pub fn next_tick(&mut self, f: impl FnOnce(&mut Cx<'_>) + 'static) {
        self.core.ticks.push(Box::new(f));
    }

    /// The way to this loop from other threads.
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }

    /// The seam for those who make their own kinds of handles.
    pub fn driver(&mut self) -> Driver<'_> {
        Driver { r: &mut self.core.reactor }
    }

    /// A layer's own state, kept by the loop, and the driver beside it. `E` is
    /// made by `Default` at its first use.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// #[derive(Default)]
    /// struct Pipes(Vec<u32>);
    /// let mut lp = Loop::new()?;
    /// let mut cx = lp.as_cx();
    /// let (pipes, _driver) = cx.parts::<Pipes>();
    /// pipes.0.push(1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn parts<E: Any + Default>(&mut self) -> (&mut E, Driver<'_>) {
        (self.core.layers.get(), Driver { r: &mut self.core.reactor })
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}
