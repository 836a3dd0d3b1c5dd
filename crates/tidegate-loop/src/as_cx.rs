//! [`AsCx`]: what a loop and every context of a callback have in common.
//!
//! Each method forwards to the method of [`Cx`] with the same name, which is in `handles/`. Methods
//! whose names would mean something else on a connection (`stop`, `close`, `idle`, ...) are on
//! [`Cx`] and [`Loop`](crate::Loop) alone.
#![forbid(unsafe_code)]

#[cfg(feature = "signal")]
use std::io;
use std::time::Duration;

use crate::core::cx::Cx;
use crate::handles::remote::Remote;
use crate::handles::share::{LeaseError, Shared};
#[cfg(feature = "signal")]
use crate::handles::signal::SignalKey;
use crate::handles::tick::TickFull;
#[cfg(feature = "work")]
use crate::handles::work::{WorkKey, WorkRefused};
use crate::store::key::{KeyError, TableFull};
use crate::store::timers::TimerKey;
#[cfg(feature = "work")]
use crate::threads::pool::{WorkError, WorkStats};

/// What can lend a [`Cx`]: a [`Loop`](crate::Loop), a `Cx`, and the contexts of the layers above,
/// such as a connection's. It has the methods of `Cx` that mean the same everywhere; for the others
/// call [`cx`](AsCx::cx) first.
///
/// ```
/// use std::time::Duration;
/// use tidegate_loop::{AsCx, Loop};
/// fn stop_in(at: &mut impl AsCx, after: Duration) {
///     at.after(after, |cx| cx.stop());
/// }
/// let mut lp = Loop::new()?;
/// stop_in(&mut lp, Duration::from_millis(1));
/// lp.cx().next_tick(|cx| stop_in(cx, Duration::ZERO));
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait AsCx {
    /// The loop, lent for as long as `self` is.
    fn cx(&mut self) -> Cx<'_>;

    /// Calls `f` once, `after` from now: [`Cx::after`].
    fn after(&mut self, after: Duration, f: impl FnOnce(&mut Cx<'_>) + 'static) -> TimerKey {
        self.cx().after(after, f)
    }

    /// Calls `f` once, `after` from now; `f` can arm its timer again: [`Cx::timer`].
    fn timer(
        &mut self,
        after: Duration,
        f: impl FnMut(&mut Cx<'_>, TimerKey) + 'static,
    ) -> TimerKey {
        self.cx().timer(after, f)
    }

    /// Calls `f` every `every`: [`Cx::interval`].
    fn interval(
        &mut self,
        every: Duration,
        f: impl FnMut(&mut Cx<'_>, TimerKey) + 'static,
    ) -> TimerKey {
        self.cx().interval(every, f)
    }

    /// Moves a timer's deadline to `after` from now: [`Cx::timer_reset`].
    fn timer_reset(&mut self, timer: TimerKey, after: Duration) -> Result<(), KeyError> {
        self.cx().timer_reset(timer, after)
    }

    /// Ends a timer: [`Cx::timer_stop`].
    fn timer_stop(&mut self, timer: TimerKey) -> Result<(), KeyError> {
        self.cx().timer_stop(timer)
    }

    /// Starts a repeating timer's wait anew: [`Cx::timer_again`].
    fn timer_again(&mut self, timer: TimerKey) -> Result<bool, KeyError> {
        self.cx().timer_again(timer)
    }

    /// Changes the interval of a repeating timer: [`Cx::timer_set_repeat`].
    fn timer_set_repeat(&mut self, timer: TimerKey, every: Duration) -> Result<(), KeyError> {
        self.cx().timer_set_repeat(timer, every)
    }

    /// How long until a timer is due: [`Cx::timer_due_in`].
    fn timer_due_in(&mut self, timer: TimerKey) -> Result<Duration, KeyError> {
        self.cx().timer_due_in(timer)
    }

    /// Calls `f` right after the current callback: [`Cx::next_tick`].
    fn next_tick(&mut self, f: impl FnOnce(&mut Cx<'_>) + 'static) {
        self.cx().next_tick(f);
    }

    /// As [`next_tick`](AsCx::next_tick); gives `f` back when too many wait:
    /// [`Cx::try_next_tick`].
    fn try_next_tick<F>(&mut self, f: F) -> Result<(), TickFull<F>>
    where
        F: FnOnce(&mut Cx<'_>) + 'static,
    {
        self.cx().try_next_tick(f)
    }

    /// Calls `f` for each signal of this number: [`Cx::signal`].
    #[cfg(feature = "signal")]
    fn signal(
        &mut self,
        number: i32,
        f: impl FnMut(&mut Cx<'_>, SignalKey, i32) + 'static,
    ) -> io::Result<SignalKey> {
        self.cx().signal(number, f)
    }

    /// Calls `f` for the next signal of this number: [`Cx::signal_once`].
    #[cfg(feature = "signal")]
    fn signal_once(
        &mut self,
        number: i32,
        f: impl FnMut(&mut Cx<'_>, SignalKey, i32) + 'static,
    ) -> io::Result<SignalKey> {
        self.cx().signal_once(number, f)
    }

    /// Runs `job` on another thread, then `done` here: [`Cx::work`].
    #[cfg(feature = "work")]
    fn work<T, J, D>(&mut self, job: J, done: D) -> Result<WorkKey, WorkRefused<J, D>>
    where
        T: Send + 'static,
        J: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut Cx<'_>, Result<T, WorkError>) + 'static,
    {
        self.cx().work(job, done)
    }

    /// As [`work`](AsCx::work), for jobs that wait rather than compute: [`Cx::slow_work`].
    #[cfg(feature = "work")]
    fn slow_work<T, J, D>(&mut self, job: J, done: D) -> Result<WorkKey, WorkRefused<J, D>>
    where
        T: Send + 'static,
        J: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut Cx<'_>, Result<T, WorkError>) + 'static,
    {
        self.cx().slow_work(job, done)
    }

    /// Cancels a job that has not begun: [`Cx::work_cancel`].
    #[cfg(feature = "work")]
    fn work_cancel(&mut self, job: WorkKey) -> Result<bool, KeyError> {
        self.cx().work_cancel(job)
    }

    /// What the threads of `work` do and did: [`Cx::work_stats`].
    #[cfg(feature = "work")]
    fn work_stats(&mut self) -> WorkStats {
        self.cx().work_stats()
    }

    /// The way to this loop from other threads: [`Cx::remote`].
    fn remote(&mut self) -> Remote {
        self.cx().remote()
    }

    /// Gives a value to the loop, for callbacks to share: [`Cx::share`].
    fn share<T: 'static>(&mut self, value: T) -> Result<Shared<T>, TableFull> {
        self.cx().share(value)
    }

    /// Lends a shared value to `f`, which runs at once: [`Cx::with`].
    fn with<T: 'static, R>(
        &mut self,
        shared: Shared<T>,
        f: impl FnOnce(&mut T, &mut Cx<'_>) -> R,
    ) -> Result<R, LeaseError> {
        self.cx().with(shared, f)
    }

    /// Time since the loop was made, as of the last poll: [`Cx::now`].
    fn now(&mut self) -> Duration {
        self.cx().now()
    }
}

impl AsCx for Cx<'_> {
    fn cx(&mut self) -> Cx<'_> {
        Cx::new(self.core_mut())
    }
}
