//! [`Sleep`]: a timer of the loop as a future.
//!
//! | state | poll | `reset` | drop |
//! |---|---|---|---|
//! | not started | starts the timer; ready if it is due | moves the deadline | - |
//! | started | ready if it is due | moves the timer, too | ends the timer |
//! | ready | ready | not started | - |
//!
//! The timer is internal: `close_all` ends the task that waits, not the timer of a future that cannot
//! be closed, that of `block_on`. It keeps the loop alive if another waker than a task's waits.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tidegate_loop::Cx;

use crate::error::not_on_loop::NotOnLoop;
use crate::state::answer::AnswerAt;
use crate::state::janitor::{act, home};
use crate::state::layer::ASYNC;
use crate::sys::current::{self, Frame};
use crate::tasks::wake::wake;
use crate::wake::home::{Home, Note};
use crate::wake::waiter::{Waiter, Waits};

/// Ready when so much time has passed, and never earlier. The time counts from this call, if it is
/// made in a task; else from the first poll.
///
/// ```
/// use std::time::Duration;
/// use tidegate_async::{BlockOn, sleep};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// lp.block_on(sleep(Duration::from_millis(5)))?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sleep(after: Duration) -> Sleep {
    let mut sleep = Sleep { due: Due::After(after), home: None, started: None };
    sleep.reset(after);
    sleep
}

/// The same until this moment of the system's clock. How long that is, is computed in this call.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tidegate_async::{BlockOn, sleep_until};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let end = Instant::now() + Duration::from_millis(2);
/// lp.block_on(sleep_until(end))?;
/// assert!(Instant::now() >= end);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sleep_until(end: Instant) -> Sleep {
    sleep(end.saturating_duration_since(Instant::now()))
}

/// The future of [`sleep`]. It holds only keys: it is `Send` and `Sync`, and works in its own loop
/// alone, that of the task that made it, or polled it first. Polled elsewhere it is never ready, and
/// logs that: no deadline may be early.
///
/// ```
/// fn is_send(_: impl Send + Sync + Unpin) {}
/// is_send(tidegate_async::sleep(std::time::Duration::ZERO));
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    due: Due,
    /// Its loop, as soon as it has one.
    home: Option<Arc<Home>>,
    started: Option<AnswerAt>,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    /// So long after the next poll.
    After(Duration),
    /// In nanoseconds of the loop.
    At(u64),
    /// It was.
    Passed,
}

impl Due {
    fn from_now(frame: &mut Frame<'_>, after: Duration) -> Due {
        let now = frame.cx().driver().clock_nanos();
        Due::At(now.saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sleep {
    /// Moves the deadline to so much time from now. It has to be polled again.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_async::{BlockOn, sleep};
    /// use tidegate_loop::Loop;
    /// let mut lp = Loop::new()?;
    /// lp.block_on(async {
    ///     let mut idle = sleep(Duration::from_secs(60));
    ///     idle.reset(Duration::from_millis(1));
    ///     idle.await;
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reset(&mut self, after: Duration) {
        self.due = Due::After(after);
        let _ = current::with(|frame| {
            if self.is_at_home(frame).is_err() {
                return;
            }
            self.due = Due::from_now(frame, after);
            let timer =
                self.started.and_then(|answer| frame.cx().layer(&ASYNC).0.answers.timer(answer));
            // If it has come up, the next poll starts another one.
            if let Some(timer) = timer {
                let _ = frame.cx().timer_reset(timer, after);
            }
        });
    }

    /// Whether this is its loop. From the first call on it has one.
    fn is_at_home(&mut self, frame: &mut Frame<'_>) -> Result<(), Step> {
        let mut cx = frame.cx();
        match &self.home {
            Some(home) if cx.layer(&ASYNC).0.is_home(home) => {}
            Some(home) if home.is_gone() => return Err(Step::Missing(NotOnLoop::Gone)),
            Some(_) => return Err(Step::Missing(NotOnLoop::Foreign)),
            None => self.home = Some(home(&mut cx).map_err(|_| Step::Again)?),
        }
        Ok(())
    }

    /// Whether a poll found that the time has passed.
    pub fn is_elapsed(&self) -> bool {
        matches!(self.due, Due::Passed)
    }

    fn stop(&mut self) {
        if let (Some(home), Some(AnswerAt { at, number })) = (&self.home, self.started.take()) {
            act(home, Note { act: stop, key: home.key(), at, number });
        }
    }
}

fn stop(cx: &mut Cx<'_>, note: Note) {
    let answer = AnswerAt { at: note.at, number: note.number };
    let (layer, mut driver) = cx.layer(&ASYNC);
    let timer = layer.answers.timer(answer);
    // Nothing, which costs a box to bury.
    layer.answers.take(answer);
    if let Some(left) = layer.answers.forget(answer) {
        driver.bury(left);
    }
    if let Some(timer) = timer {
        // It may have come up.
        let _ = cx.timer_stop(timer);
    }
}

fn fire(cx: &mut Cx<'_>, answer: AnswerAt) {
    // A box of nothing allocates nothing.
    if let Ok(waiter) = cx.layer(&ASYNC).0.answers.put(answer, Box::new(())) {
        wake(cx, waiter);
    }
}

enum Step {
    Passed,
    Waits(Waiter),
    /// The table is full: once more in the next turn.
    Again,
    Missing(NotOnLoop),
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_elapsed() {
            return Poll::Ready(());
        }
        let step = current::with(|frame| self.step(frame, cx));
        match step.unwrap_or_else(|e| Step::Missing(e.into())) {
            Step::Passed => {
                self.due = Due::Passed;
                self.stop();
                Poll::Ready(())
            }
            Step::Waits(before) => {
                drop(before);
                Poll::Pending
            }
            Step::Again => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Step::Missing(e) => {
                log::error!(target: "tidegate::async", "a sleep will never be ready: {e}");
                Poll::Pending
            }
        }
    }
}

impl Sleep {
    fn step(&mut self, frame: &mut Frame<'_>, poll: &mut Context<'_>) -> Step {
        if let Err(step) = self.is_at_home(frame) {
            return step;
        }
        if let Due::After(after) = self.due {
            self.due = Due::from_now(frame, after);
        }
        let (by, polled) = (Waits::new(frame, poll.waker()), frame.polled());
        let mut cx = frame.cx();
        let now = cx.driver().clock_nanos();
        let due = match self.due {
            Due::At(due) if due > now => due,
            _ => return Step::Passed,
        };
        let answers = &mut cx.layer(&ASYNC).0.answers;
        let answer = *self.started.get_or_insert_with(|| answers.expect());
        // One that has come up was moved to later after that, or where the loop was not.
        if answers.timer(answer).is_none() || answers.take(answer).is_some() {
            let after = Duration::from_nanos(due - now);
            let timer = cx.internal_timer(after, move |cx, _| fire(cx, answer));
            if !cx.is_open(timer) {
                return Step::Again;
            }
            cx.layer(&ASYNC).0.answers.set_timer(answer, timer);
        }
        // A task keeps the loop alive itself.
        if matches!(by, Waits::Other(_)) && polled.is_none_or(|task| cx.has_ref(task.key)) {
            if let Some(timer) = cx.layer(&ASYNC).0.answers.timer(answer) {
                let _ = cx.set_ref(timer, true);
            }
        }
        Step::Waits(cx.layer(&ASYNC).0.answers.wait(answer, by))
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("due", &self.due).finish_non_exhaustive()
    }
}
