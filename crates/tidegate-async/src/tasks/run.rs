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
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_loop::{Cx, Key};
use tidegate_net::LentSocket;

use crate::error::join::JoinError;
use crate::event::TaskEvent;
use crate::state::job::Job;
use crate::state::layer::{ASYNC, Layer};
use crate::state::task::End;
use crate::sys::current::Frame;
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

/// What became of the task that waited for its source.
pub(crate) enum Reader {
    /// There was none.
    Nobody,
    /// It was polled, and waits for its source again.
    Waits,
    /// It did something else, or is over.
    WaitsNoMore(TaskAt),
}

/// It was woken.
fn queued(d: &mut Dispatch<'_>, key: Key, at: u64) {
    // Any holder of a `Remote` can notify.
    poll(d, |_| Some(TaskAt { key, at: at as usize }), Schedule::begin, None);
}

/// Wakes in the dispatch of what is waited for: a task that waits itself is polled here and now.
#[inline]
pub(crate) fn wake_now(d: &mut Dispatch<'_>, waiter: Waiter) {
    match waiter {
        Waiter::Nobody => {}
        Waiter::Task(task) if task.at != ROOT => {
            poll(d, |_| Some(task), Schedule::begin_now, None);
        }
        other => wake(&mut d.cx(), other),
    }
}

/// Polls the task that is found, in the dispatch of what it waits to read from.
#[inline(always)]
pub(crate) fn poll_reader(
    d: &mut Dispatch<'_>,
    find: impl FnOnce(&mut Layer) -> Option<TaskAt>,
    source: Key,
) -> Reader {
    poll(d, find, Schedule::begin_now, Some(source))
}

/// The same with the connection that it waits for.
#[inline(always)]
pub(crate) fn poll_with_socket(
    d: &mut Dispatch<'_>,
    find: impl FnOnce(&mut Layer) -> Option<TaskAt>,
    source: Key,
    socket: &mut Option<LentSocket>,
) -> Reader {
    let Ok((task, mut job, limits)) = begin(d, find, Schedule::begin_now) else {
        return Reader::Nobody;
    };
    let frame = Frame::of_poll(d.cx(), Some(task.key), task.at, limits, socket);
    let mut frame = frame.read_from(Some(source));
    let (future, lent) = (job.as_mut(), &mut frame);
    let done = catch_unwind(AssertUnwindSafe(move || future.poll(lent)));
    let waits = frame.waits();
    let awaits = |socket: &Option<LentSocket>| socket.as_ref().is_some_and(LentSocket::is_awaited);
    if matches!(done, Ok(Poll::Pending)) && awaits(socket) {
        // The ordinary end.
        let (layer, _) = d.layer(&ASYNC);
        if let Some(state) = layer.task(task) {
            // There was none.
            std::mem::forget(state.job.replace(job));
            if state.ticket.schedule.rest() {
                woken_while_polled(d, task);
            }
            return Reader::Waits;
        }
    }
    let waits = waits || awaits(socket);
    if let Some(socket) = socket.take() {
        socket.give_back(&mut d.cx());
    }
    ended(d, task, job, done);
    if waits { Reader::Waits } else { Reader::WaitsNoMore(task) }
}

/// Polls it, if a poll begins.
#[inline(always)]
fn poll(
    d: &mut Dispatch<'_>,
    find: impl FnOnce(&mut Layer) -> Option<TaskAt>,
    begins: impl FnOnce(&Schedule) -> bool,
    source: Option<Key>,
) -> Reader {
    let (task, mut job, limits) = match begin(d, find, begins) {
        Ok(begun) => begun,
        Err(reader) => return reader,
    };
    let driver = d.driver();
    let began = driver.is_observed().then(|| driver.clock_nanos());
    let mut nothing = None;
    let frame = Frame::of_poll(d.cx(), Some(task.key), task.at, limits, &mut nothing);
    let mut frame = frame.read_from(source);
    let (future, lent) = (job.as_mut(), &mut frame);
    let done = catch_unwind(AssertUnwindSafe(move || future.poll(lent)));
    let waits = frame.waits();
    if let Some(began) = began {
        tell(d, task, began, !matches!(done, Ok(Poll::Pending)));
    }
    ended(d, task, job, done);
    if waits { Reader::Waits } else { Reader::WaitsNoMore(task) }
}

/// A task in its poll: its future, out of its place, and how many operations and bytes it may move.
type Begun = (TaskAt, Pin<Box<dyn Job>>, (u32, usize));

#[inline(always)]
fn begin(
    d: &mut Dispatch<'_>,
    find: impl FnOnce(&mut Layer) -> Option<TaskAt>,
    begins: impl FnOnce(&Schedule) -> bool,
) -> Result<Begun, Reader> {
    let (layer, driver) = d.layer(&ASYNC);
    let Some(task) = find(layer) else { return Err(Reader::Nobody) };
    let limits = (layer.limits.operations, layer.limits.poll_bytes);
    let found = layer.task(task).filter(|t| begins(&t.ticket.schedule));
    let Some(state) = found else { return Err(Reader::WaitsNoMore(task)) };
    let Some(job) = state.job.take() else { return Err(Reader::WaitsNoMore(task)) };
    state.polls += 1;
    state.since = driver.nanos();
    layer.metrics.polls += 1;
    Ok((task, job, limits))
}

/// What follows from a poll.
#[inline(never)]
fn ended(
    d: &mut Dispatch<'_>,
    task: TaskAt,
    job: Pin<Box<dyn Job>>,
    done: std::thread::Result<Poll<()>>,
) {
    match done {
        Ok(Poll::Pending) => rest(d, task, job),
        Ok(Poll::Ready(())) => over(d, task, Some(job), End::Finished),
        Err(payload) => panicked(d, task, job, payload),
    }
}

/// It waits again.
fn rest(d: &mut Dispatch<'_>, task: TaskAt, job: Pin<Box<dyn Job>>) {
    let (layer, mut driver) = d.layer(&ASYNC);
    let Some(state) = layer.task(task) else { return driver.bury(job) };
    state.job = Some(job);
    if state.ticket.schedule.rest() {
        woken_while_polled(d, task);
    }
}

/// The loop queues it, for its next turn.
#[cold]
#[inline(never)]
fn woken_while_polled(d: &mut Dispatch<'_>, task: TaskAt) {
    let (layer, mut driver) = d.layer(&ASYNC);
    layer.metrics.woken_while_polled += 1;
    if let Some(mut handle) = driver.handle(ASYNC.owner(), task.key) {
        handle.queue();
    }
}

#[cold]
fn panicked(
    d: &mut Dispatch<'_>,
    task: TaskAt,
    job: Pin<Box<dyn Job>>,
    payload: Box<dyn Any + Send>,
) {
    let end = End::Panicked(JoinError::message(&*payload));
    let (layer, mut driver) = d.layer(&ASYNC);
    match layer.task(task).is_some_and(|t| t.catch_panics) {
        true => driver.bury(payload),
        false => driver.panic_later(payload),
    }
    over(d, task, Some(job), end);
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
    let waiting = match (&state.end, &state.job) {
        (Some(end), _) => end.how().to_string(),
        (None, None) => "being polled".into(),
        (None, Some(_)) if state.polls == 0 => "not polled yet".into(),
        (None, Some(_)) => {
            format!("waiting {:.1?}", Duration::from_nanos(now.saturating_sub(state.since)))
        }
    };
    format!("{}, {polls}, {waiting}", state.info())
}
