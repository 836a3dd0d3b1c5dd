//! Timers: `cx.timer` and what can be done with one. Their deadlines are in `store/timers.rs`.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::core::cx::Cx;
use crate::core::driver::Driver;
use crate::core::kind::{Dispatch, Kind};
use crate::core::state::{Core, TimerFn};
use crate::store::key::{Key, KeyError};
use crate::store::readiness::Readiness;
use crate::store::timers::TimerKey;
use crate::sys::Owner;

static TIMERS: Owner = Owner::new();

static TIMER: Kind = Kind::new("timer", &TIMERS)
    .close(|cx, key, entry| {
        end(cx.core_mut(), key, entry as u32);
        Ok(())
    })
    .describe(|cx, _, entry| cx.describe_timer(entry as u32));

impl Cx<'_> {
    /// Calls `f` once, `after` from now and never earlier, in the timers phase of a later turn.
    /// Until then the timer can be moved or stopped.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.after(Duration::from_millis(5), |_| println!("5 ms later"));
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn after(&mut self, after: Duration, f: impl FnOnce(&mut Cx<'_>) + 'static) -> TimerKey {
        let mut f = Some(f);
        self.timer(after, move |cx, _| {
            if let Some(f) = f.take() {
                f(cx);
            }
        })
    }

    /// Calls `f` once, `after` from now and never earlier, in the timers phase
    /// of a later turn. It ends by itself after `f`, unless `f` arms it again
    /// with [`timer_reset`](Cx::timer_reset).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.timer(Duration::from_millis(5), |_, _| println!("5 ms later"));
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timer(
        &mut self,
        after: Duration,
        f: impl FnMut(&mut Cx<'_>, TimerKey) + 'static,
    ) -> TimerKey {
        self.start_timer(after, 0, Box::new(f))
    }

    /// Calls `f` again and again; `every` counts from one call to the next, and missed calls are
    /// not repeated. Stop it with [`timer_stop`](Cx::timer_stop).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let mut left = 3;
    /// lp.interval(Duration::from_millis(1), move |cx, me| {
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
        self.start_timer(every, nanos(every).max(1), Box::new(f))
    }

    /// A timer of a layer's own: it does not keep the loop alive, it is not counted or shown, and
    /// [`close`](Cx::close) and [`close_all`](Cx::close_all) leave it alone;
    /// [`timer_stop`](Cx::timer_stop) ends it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.cx().internal_timer(Duration::from_secs(1), |_, _| {});
    /// assert_eq!(lp.handles(), 0);
    /// lp.run()?; // returns at once
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn internal_timer(
        &mut self,
        after: Duration,
        f: impl FnMut(&mut Cx<'_>, TimerKey) + 'static,
    ) -> TimerKey {
        let timer = self.start_timer(after, 0, Box::new(f));
        if let Some(mut handle) = self.driver().handle(&TIMERS, timer.0) {
            handle.set_internal();
        }
        timer
    }

    fn start_timer(&mut self, after: Duration, repeat: u64, f: TimerFn) -> TimerKey {
        let Core { timers, reactor, .. } = self.core_mut();
        let deadline = reactor.clock().saturating_add(nanos(after));
        match Driver::new(reactor).enter(&TIMER, timers.next_index(), Readiness::REFERENCED) {
            Ok(handle) => {
                let key = handle.key();
                timers.insert(key, deadline, repeat, f);
                TimerKey(key)
            }
            Err(e) => TimerKey(self.not_started("a timer", e, f.into_any())),
        }
    }

    /// Moves a timer's deadline to `after` from now. Also in its own callback,
    /// where it runs once more, in a later turn.
    ///
    /// A timer that fires once is over when its callback has returned: then the error is
    /// [`KeyError::Closed`], nothing is moved, and the program has to start another timer.
    pub fn timer_reset(&mut self, timer: TimerKey, after: Duration) -> Result<(), KeyError> {
        let entry = self.timer_entry(timer)?;
        let Core { timers, reactor, .. } = self.core_mut();
        timers.arm(entry, reactor.clock().saturating_add(nanos(after)));
        Ok(())
    }

    /// Ends a timer. Its closure is dropped after the current callback; it does
    /// not run again, not even if it was due in this very batch.
    pub fn timer_stop(&mut self, timer: TimerKey) -> Result<(), KeyError> {
        let entry = self.timer_entry(timer)?;
        end(self.core_mut(), timer.0, entry);
        Ok(())
    }

    /// Starts a repeating timer's wait anew, from now; on one that does not repeat
    /// nothing happens, and the answer is `false`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let watchdog = lp.interval(Duration::from_secs(5), |_, _| println!("too quiet"));
    /// assert_eq!(lp.timer_again(watchdog), Ok(true));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timer_again(&mut self, timer: TimerKey) -> Result<bool, KeyError> {
        let entry = self.timer_entry(timer)?;
        let repeat = self.core().timers.repeat(entry);
        if repeat > 0 {
            let deadline = self.core().reactor.clock().saturating_add(repeat);
            self.core_mut().timers.arm(entry, deadline);
        }
        Ok(repeat > 0)
    }

    /// Changes the interval of a repeating timer. It applies after the next call; zero makes the
    /// next call the last.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let timer = lp.interval(Duration::from_millis(1), |cx, me| {
    ///     cx.timer_set_repeat(me, Duration::ZERO).unwrap();
    /// });
    /// lp.run()?; // two shots: the second was armed before the first ran
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timer_set_repeat(&mut self, timer: TimerKey, every: Duration) -> Result<(), KeyError> {
        let entry = self.timer_entry(timer)?;
        self.core_mut().timers.set_repeat(entry, nanos(every));
        Ok(())
    }

    /// How long until it is due; zero if it is, or if its callback runs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let timer = lp.timer(Duration::from_secs(5), |_, _| {});
    /// assert!(lp.timer_due_in(timer)? > Duration::from_secs(4));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timer_due_in(&mut self, timer: TimerKey) -> Result<Duration, KeyError> {
        let entry = self.timer_entry(timer)?;
        let deadline = self.core().timers.deadline(entry).unwrap_or(0);
        Ok(Duration::from_nanos(deadline.saturating_sub(self.core().reactor.clock())))
    }

    fn describe_timer(&self, entry: u32) -> String {
        let timers = &self.core().timers;
        let now = self.core().reactor.clock();
        let due = timers.deadline(entry).unwrap_or(now).saturating_sub(now);
        let every = Duration::from_nanos(timers.repeat(entry));
        match Duration::from_nanos(due) {
            due if every.is_zero() => format!("due in {due:.1?}"),
            due => format!("due in {due:.1?}, and every {every:?}"),
        }
    }

    fn timer_entry(&self, timer: TimerKey) -> Result<u32, KeyError> {
        let table = &self.core().reactor.table;
        match table.get(timer.0).filter(|s| s.kind.is_of(&TIMERS)) {
            Some(slot) => Ok(slot.data as u32),
            None => Err(table.check(timer.0).err().unwrap_or(KeyError::Closed)),
        }
    }
}

/// At most `u64::MAX`, in 64 bits all the way.
#[inline]
fn nanos(d: Duration) -> u64 {
    d.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(d.subsec_nanos()))
}

/// Ends a timer. Its closure is dropped after the current callback.
fn end(core: &mut Core, key: Key, entry: u32) {
    if let Some(callback) = core.timers.remove(entry) {
        core.reactor.graveyard.bury_boxed(callback.into_any());
    }
    core.reactor.free(key);
}

/// Runs the batch, including what a panic left of an earlier one.
pub(crate) fn run_due(d: &mut Dispatch<'_>) {
    d.core.timers.open_batch(d.core.reactor.now);
    loop {
        let Core { timers, reactor, .. } = &mut *d.core;
        let Some((entry, key, callback)) = timers.take_due(|| reactor.clock()) else {
            // When this turn ended, also if it is the last of a run.
            reactor.recent();
            return;
        };
        d.core.call(key, TIMER.name(), |core| {
            // Back to its timer, which ends unless it is armed again.
            let back = move |d: &mut Dispatch<'_>, callback: TimerFn| {
                let Core { timers, reactor, .. } = &mut *d.core;
                if reactor.table.get(key).is_none() {
                    reactor.graveyard.bury_boxed(callback.into_any());
                } else if let Some(callback) = timers.put_back(entry, callback) {
                    reactor.graveyard.bury_boxed(callback.into_any());
                    reactor.free(key);
                }
            };
            let call = |mut cx: Cx<'_>, f: &mut TimerFn| f.call(&mut cx, TimerKey(key));
            Dispatch::new(core).lend(callback, call, back, back);
        });
    }
}
