//! One poll of a task.
//!
//! ```text
//! a waker -> Remote::notify -> the end of the ready pass -> poll
//! a socket is ready, and the task waits for it itself ---> poll
//! a wake during the poll -> the ready queue -> the next turn's ready pass -> poll
//! ```
#![forbid(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};
use std::time::Duration;

use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_loop::{Cx, Key};

use crate::error::join::JoinError;
use crate::event::TaskEvent;
use crate::state::layer::ASYNC;
use crate::state::task::{End, Running};
use crate::sys::current::{self, Frame, Polled};
use crate::tasks::end::{close, closed, over};
use crate::tasks::wake::wake;
use crate::wake::schedule::Schedule;
use crate::wake::waiter::{ROOT, TaskAt, Waiter};

pub(crate) static TASK: Kind = Kind::new("task", ASYNC.owner())
    .ready(queued)
    .notified(queued)
    .close(close)
    .closed(closed)
    .describe(describe);

/// It was woken.
fn queued(d: &mut Dispatch<'_>, key: Key, at: u64) {
    // Any holder of a `Remote` can notify.
    poll(d, TaskAt { key, at: at as usize }, Schedule::begin);
}

/// Wakes in the dispatch of what is waited for: a task that waits itself is polled here and now.
#[inline]
pub(crate) fn wake_now(d: &mut Dispatch<'_>, waiter: Waiter) {
    match waiter {
        Waiter::Nobody => {}
        Waiter::Task(task) if task.at != ROOT => poll_now(d, task),
        other => wake(&mut d.cx(), other),
    }
}

/// Polls a task in the dispatch of what it waits for.
#[inline]
pub(crate) fn poll_now(d: &mut Dispatch<'_>, task: TaskAt) {
    poll(d, task, Schedule::begin_now);
}

/// Polls it, if a poll begins.
fn poll(d: &mut Dispatch<'_>, task: TaskAt, begin: impl FnOnce(&Schedule) -> bool) {
    let (layer, driver) = d.layer(&ASYNC);
    let (operations, bytes) = (layer.limits.operations, layer.limits.poll_bytes);
    let Some(state) = layer.task(task).filter(|t| begin(&t.ticket.schedule)) else { return };
    let Some(mut running) = state.running.take() else { return };
    state.polls += 1;
    layer.metrics.polls += 1;
    let began = driver.is_observed().then(|| driver.clock_nanos());
    let polled = Polled::new(task.key, task.at, &running.waker);
    let mut frame = Frame::of_poll(d.cx(), Some(polled), operations, bytes);
    let done = catch_unwind(AssertUnwindSafe(|| {
        let Running { job, waker } = &mut running;
        current::enter(&mut frame, || job.as_mut().poll(&mut Context::from_waker(waker)))
    }));
    if let Some(began) = began {
        tell(d, task, began, !matches!(done, Ok(Poll::Pending)));
    }
    match done {
        Ok(Poll::Pending) => rest(d, task, running),
        Ok(Poll::Ready(())) => over(d, task, Some(running), End::Finished),
        Err(payload) => panicked(d, task, running, payload),
    }
}

/// It waits again.
#[inline(always)]
fn rest(d: &mut Dispatch<'_>, task: TaskAt, running: Running) {
    let (layer, mut driver) = d.layer(&ASYNC);
    let Some(state) = layer.task(task) else { return driver.bury(running.job) };
    state.running = Some(running);
    state.since = driver.nanos();
    if state.ticket.schedule.rest() {
        layer.metrics.woken_while_polled += 1;
        if let Some(mut handle) = driver.handle(ASYNC.owner(), task.key) {
            handle.queue();
        }
    }
}

#[cold]
fn panicked(d: &mut Dispatch<'_>, task: TaskAt, running: Running, payload: Box<dyn Any + Send>) {
    let end = End::Panicked(JoinError::message(&*payload));
    let (layer, mut driver) = d.layer(&ASYNC);
    match layer.task(task).is_some_and(|t| t.catch_panics) {
        true => driver.bury(payload),
        false => driver.panic_later(payload),
    }
    over(d, task, Some(running), end);
}

#[cold]
fn tell(d: &mut Dispatch<'_>, task: TaskAt, began: u64, ready: bool) {
    let (layer, mut driver) = d.layer(&ASYNC);
    let took = Duration::from_nanos(driver.clock_nanos().saturating_sub(began));
    layer.metrics.longest_poll = layer.metrics.longest_poll.max(took);
    if let Some(state) = layer.task(task) {
        driver.emit(|| TaskEvent::Polled { task: state.info(), took, ready });
    }
}

fn describe(cx: &mut Cx<'_>, key: Key, at: u64) -> String {
    let (layer, driver) = cx.layer(&ASYNC);
    let now = driver.clock_nanos();
    let Some(state) = layer.task(TaskAt { key, at: at as usize }) else { return String::new() };
    let polls = match state.polls {
        1 => "1 poll".to_owned(),
        n => format!("{n} polls"),
    };
    let waiting = match (&state.end, &state.running) {
        (Some(end), _) => end.how().to_string(),
        (None, None) => "being polled".into(),
        (None, Some(_)) if state.polls == 0 => "not polled yet".into(),
        (None, Some(_)) => {
            format!("waiting {:.1?}", Duration::from_nanos(now.saturating_sub(state.since)))
        }
    };
    format!("{}, {polls}, {waiting}", state.info())
}
