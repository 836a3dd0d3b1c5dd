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
use crate::driver::{AGE_SHIFT, Driver};
use crate::event_loop::HandleInfo;
use crate::hooks::{Hook, HookFn, HookKey};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::phase::Phase;
use crate::ready::Bits;
use crate::remote::Remote;
use crate::table::{Key, KeyError, TableFull};
use crate::timers::{TIMER, TimerKey};
use crate::turn::Core;

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

    #[cfg(feature = "work")]
    pub(crate) fn core(&self) -> &Core {
        self.core
    }

    pub(crate) fn core_mut(&mut self) -> &mut Core {
        self.core
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
        self.core.reactor.metrics()
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

    /// Whether the key names a handle of this loop that is open or closing.
    pub fn is_open(&self, key: impl Into<Key>) -> bool {
        self.find(key).is_ok()
    }

    /// The same, saying why not.
    pub fn find(&self, key: impl Into<Key>) -> Result<(), KeyError> {
        self.core.reactor.table.check(key.into())
    }

    /// Whether the handle's close callback is due: nothing else is called for it. (A
    /// closed server first waits for its connections.)
    pub fn is_closing(&self, key: impl Into<Key>) -> bool {
        self.core.reactor.table.get(key.into()).is_some_and(|s| s.bits.has(Bits::CLOSING))
    }

    /// Ends a handle of any kind: a connection is destroyed, a server stops
    /// accepting, a timer, a hook, a watcher is never called again. Its closure is
    /// dropped after the current callback. Closing twice is an error, and harmless; so is
    /// closing a job that runs already.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, KeyError, Loop};
    /// let mut lp = Loop::new()?;
    /// let timer = lp.as_cx().timer(Duration::from_secs(60), |_, _| {});
    /// assert_eq!(lp.as_cx().close(timer), Ok(()));
    /// assert_eq!(lp.as_cx().close(timer), Err(KeyError::Closed));
    /// lp.run()?; // nothing is left to wait for
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&mut self, key: impl Into<Key>) -> Result<(), KeyError> {
        let key = key.into();
        self.find(key)?;
        let Some(slot) = self.core.reactor.table.get(key) else { return Err(KeyError::Closed) };
        let (Some(kind), data) = (slot.kind, slot.data) else { return Err(KeyError::Closed) };
        if slot.bits.has(Bits::CLOSING | Bits::INTERNAL) {
            return Err(KeyError::Closed);
        }
        (kind.close)(self, key, data)
    }

    /// Closes every handle there is. `run` returns when all have ended, unless
    /// their callbacks start anew.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.as_cx().interval(Duration::from_secs(1), |_, _| {});
    /// lp.as_cx().close_all();
    /// lp.run()?;
    /// assert_eq!(lp.handles(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close_all(&mut self) {
        // Twice: closing a handle may give another its place that had none yet.
        for _ in 0..2 {
            let keys: Vec<Key> = self.core.reactor.live().map(|(key, ..)| key).collect();
            for key in keys {
                // One may have ended with another.
                let _ = self.close(key);
            }
        }
    }

    /// Whether the handle keeps the loop alive; at first it does. A flag, not a
    /// count. It is still called while something else does.
    ///
    /// An unreferenced handle does not keep the loop alive by being ready: `run` returns
    /// although a watcher has not drained its source, or a server or a connection has spent
    /// its budget and there is more in the kernel (as in libuv). What the loop has to do for
    /// a handle without the kernel keeps it alive whatever the flag says, until it is done: a
    /// connect, queued bytes, effects and completions to tell, a close callback, bytes that a
    /// stream hands on.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let timer = lp.as_cx().timer(Duration::from_secs(60), |_, _| {});
    /// lp.as_cx().set_ref(timer, false)?;
    /// lp.run()?; // returns at once
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_ref(&mut self, key: impl Into<Key>, keep_alive: bool) -> Result<(), KeyError> {
        let key = key.into();
        self.find(key)?;
        self.driver().set_ref(key, keep_alive);
        Ok(())
    }

    /// Whether the handle keeps the loop alive.
    pub fn has_ref(&self, key: impl Into<Key>) -> bool {
        self.core.reactor.table.get(key.into()).is_some_and(|s| s.bits.has(Bits::REFERENCED))
    }

    /// What keeps the loop alive: its handles that are referenced, that close, or for which
    /// something is left to do (see [`set_ref`](Cx::set_ref)). Ticks and posts also do, and
    /// are no handles.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.as_cx().timer(std::time::Duration::from_secs(1), |_, _| {});
    /// let alive = lp.as_cx().why_alive();
    /// assert_eq!(alive[0].kind, "timer");
    /// println!("{}", alive[0]); // timer 1#1@1: due in 1.0s, open for 0ms
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn why_alive(&mut self) -> Vec<HandleInfo> {
        let mut handles = self.walk();
        handles.retain(|h| h.keeps_alive);
        handles
    }

    /// Every handle there is, in no order.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.as_cx().check(|_, _| {});
    /// assert_eq!(lp.as_cx().walk()[0].kind, "check");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn walk(&mut self) -> Vec<HandleInfo> {
        let live: Vec<_> = self.core.reactor.live().collect();
        let now = self.core.reactor.clock() >> AGE_SHIFT;
        live.into_iter()
            .map(|(key, kind, data, bits, since)| HandleInfo {
                kind: kind.name,
                key,
                name: (kind.describe)(self, key, data),
                age: Duration::from_nanos(now.saturating_sub(since.into()) << AGE_SHIFT),
                keeps_alive: bits.keep_alive(),
            })
            .collect()
    }

    /// Calls `f` in the idle phase of each turn; while there is an idle hook, poll
    /// does not block. For work that fills the time in between. End it with
    /// [`close`](Cx::close).
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let mut left = 3;
    /// lp.as_cx().idle(move |cx, me| {
    ///     left -= 1;
    ///     if left == 0 { cx.close(me).unwrap() }
    /// });
    /// lp.run()?;
    /// assert_eq!(lp.metrics().turns, 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn idle(&mut self, f: impl FnMut(&mut Cx<'_>, HookKey) + 'static) -> HookKey {
        self.start_hook(Hook::Idle, Box::new(f))
    }

    /// Calls `f` in each turn right before the poller is asked.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let hook = lp.as_cx().prepare(|cx, _| println!("turn {} will poll", cx.turn()));
    /// lp.as_cx().set_ref(hook, false)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn prepare(&mut self, f: impl FnMut(&mut Cx<'_>, HookKey) + 'static) -> HookKey {
        self.start_hook(Hook::Prepare, Box::new(f))
    }

    /// Calls `f` in each turn after what the poller said was handled.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let hook = lp.as_cx().check(|cx, _| println!("turn {} has polled", cx.turn()));
    /// lp.as_cx().set_ref(hook, false)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn check(&mut self, f: impl FnMut(&mut Cx<'_>, HookKey) + 'static) -> HookKey {
        self.start_hook(Hook::Check, Box::new(f))
    }

    fn start_hook(&mut self, hook: Hook, f: HookFn) -> HookKey {
        let start = self.core.hooks.next_start();
        match self.driver().insert(hook.kind(), start) {
            Ok(key) => {
                self.core.hooks.insert(hook, key, f);
                HookKey(key)
            }
            Err(e) => HookKey(self.not_started("a hook", e, Buried::Hook { _callback: f })),
        }
    }

    /// The table is full, which is counted there. The key is stale from the start,
    /// and what stays silent elsewhere is at least logged here.
    fn not_started(&mut self, what: &str, e: TableFull, callback: Buried) -> Key {
        self.core.reactor.thinned.log(
            log::Level::Error,
            "tidegate::loop",
            ("not started", what),
            1,
            format_args!("{what} was not started: {e}"),
        );
        self.core.reactor.graveyard.bury(callback);
        self.core.reactor.table.stale_key()
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

    /// Calls `f` every `every`, counted from when it was called; missed shots are not
    /// made up for. Stop it with [`timer_stop`](Cx::timer_stop).
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
                let buried = Buried::Timer { _callback: Box::new(f) };
                TimerKey(self.not_started("a timer", e, buried))
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
        self.timer_entry(timer)?;
        self.close(timer)
    }

    /// Starts a repeating timer's wait anew, from now; on one that does not repeat
    /// nothing happens, and the answer is `false`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let watchdog = lp.as_cx().interval(Duration::from_secs(5), |_, _| println!("too quiet"));
    /// assert_eq!(lp.as_cx().timer_again(watchdog), Ok(true));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timer_again(&mut self, timer: TimerKey) -> Result<bool, KeyError> {
        let entry = self.timer_entry(timer)?;
        let repeat = self.core.timers.repeat(entry);
        if repeat > 0 {
            let deadline = self.core.reactor.clock().saturating_add(repeat);
            self.core.timers.arm(entry, deadline);
        }
        Ok(repeat > 0)
    }

    /// Changes the time between two shots, from the next one that is armed on; zero
    /// makes the next shot the last.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let timer = lp.as_cx().interval(Duration::from_millis(1), |cx, me| {
    ///     cx.timer_set_repeat(me, Duration::ZERO).unwrap();
    /// });
    /// lp.run()?; // two shots: the second was armed before the first ran
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timer_set_repeat(&mut self, timer: TimerKey, every: Duration) -> Result<(), KeyError> {
        let entry = self.timer_entry(timer)?;
        self.core.timers.set_repeat(entry, nanos(every));
        Ok(())
    }

    /// How long until it is due; zero if it is, or if its callback runs.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// let timer = lp.as_cx().timer(Duration::from_secs(5), |_, _| {});
    /// assert!(lp.as_cx().timer_due_in(timer)? > Duration::from_secs(4));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timer_due_in(&mut self, timer: TimerKey) -> Result<Duration, KeyError> {
        let entry = self.timer_entry(timer)?;
        let deadline = self.core.timers.deadline(entry).unwrap_or(0);
        Ok(Duration::from_nanos(deadline.saturating_sub(self.core.reactor.clock())))
    }

    pub(crate) fn describe_timer(&mut self, entry: u32) -> String {
        let timers = &self.core.timers;
        let now = self.core.reactor.clock();
        let due = timers.deadline(entry).unwrap_or(now).saturating_sub(now);
        let every = Duration::from_nanos(timers.repeat(entry));
        match Duration::from_nanos(due) {
            due if every.is_zero() => format!("due in {due:.1?}"),
            due => format!("due in {due:.1?}, and every {every:?}"),
        }
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
