//! [`Task`]: the result of a task, as a future; dropping it cancels the task.
#![forbid(unsafe_code)]

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidegate_loop::{Cx, Key};

use crate::error::join::JoinError;
use crate::error::not_on_loop::NotOnLoop;
use crate::key::TaskKey;
use crate::state::janitor::act;
use crate::state::layer::ASYNC;
use crate::state::task::{End, TaskState};
use crate::sys::current;
use crate::wake::home::Note;
use crate::wake::ticket::Ticket;
use crate::wake::waiter::{TaskAt, Waiter, Waits};

/// A task that was spawned. As a future it is the task's result; polled in a task of the same loop,
/// or in [`block_on`](crate::BlockOn::block_on). Dropping it cancels the task: to let it run, call
/// [`detach`](Task::detach).
///
/// ```
/// use tidegate_async::{Async, BlockOn};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let task = lp.spawn(async { 6 * 7 });
/// assert_eq!(lp.block_on(task)?, Ok(42));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "a task is cancelled when this is dropped; `detach` lets it run"]
pub struct Task<T> {
    /// `None`: it was refused, or its result was taken.
    ticket: Option<Arc<Ticket>>,
    task: TaskAt,
    result: PhantomData<fn() -> T>,
}

impl<T> Task<T> {
    pub(crate) fn new(ticket: Arc<Ticket>, task: TaskAt) -> Task<T> {
        Task { ticket: Some(ticket), task, result: PhantomData }
    }

    /// There was no room for it.
    pub(crate) fn refused(stale: Key) -> Task<T> {
        Task { ticket: None, task: TaskAt { key: stale, at: usize::MAX }, result: PhantomData }
    }

    /// Its key, as that of any handle.
    pub fn key(&self) -> TaskKey {
        TaskKey(self.task.key)
    }

    /// Lets the task run on without this value. Its result is dropped when it is there.
    pub fn detach(mut self) -> TaskKey {
        self.let_go(detach);
        self.key()
    }

    /// Cancels the task: its future is dropped in the closing phase, and the result is
    /// [`JoinError::Cancelled`]. A task that finishes before that has its result.
    pub fn cancel(&self) {
        let Some(ticket) = &self.ticket else { return };
        // From any thread, and once: what it leaves for the loop has a bound.
        if ticket.schedule.end() {
            let close = |cx: &mut Cx<'_>, note: Note| {
                // It may have finished.
                let _ = cx.close(note.key);
            };
            act(&ticket.home, Note::new(close, self.task.key, self.task.at));
        }
    }

    /// Whether the task is over, or about to be cancelled.
    pub fn is_finished(&self) -> bool {
        self.ticket.as_ref().is_none_or(|ticket| ticket.schedule.is_over())
    }

    fn let_go(&mut self, how: fn(&mut Cx<'_>, Note)) {
        if let Some(ticket) = self.ticket.take() {
            act(&ticket.home, Note::new(how, self.task.key, self.task.at));
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if let Some(ticket) = &self.ticket {
            ticket.schedule.end();
        }
        self.let_go(drop_and_cancel);
    }
}

/// Nobody wants its result any more. Whether it goes on.
fn unwanted(cx: &mut Cx<'_>, note: Note) -> bool {
    let (layer, mut driver) = cx.layer(&ASYNC);
    let task = TaskAt { key: note.key, at: note.at };
    let Some(state) = layer.task(task) else { return false };
    state.is_wanted = false;
    let goes_on = state.end.is_none();
    if !goes_on {
        let left = layer.tasks.remove(task.at);
        driver.bury(left);
    }
    goes_on
}

fn detach(cx: &mut Cx<'_>, note: Note) {
    unwanted(cx, note);
}

fn drop_and_cancel(cx: &mut Cx<'_>, note: Note) {
    if unwanted(cx, note) {
        // It may be closing.
        let _ = cx.close(note.key);
    }
}

enum Found {
    Waits(Waiter),
    Over(TaskState),
    Lost,
    Foreign,
}

impl<T: 'static> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let task = self.task;
        let Some(ticket) = &self.ticket else {
            let refused = task.at == usize::MAX;
            return Poll::Ready(Err(if refused { JoinError::Refused } else { JoinError::Taken }));
        };
        let found = current::with(|frame| {
            let by = Waits::new(frame, cx.waker());
            let mut cx = frame.cx();
            let layer = cx.layer(&ASYNC).0;
            if !layer.is_home(&ticket.home) {
                return Found::Foreign;
            }
            match layer.task(task) {
                None => Found::Lost,
                Some(state) if state.end.is_none() => Found::Waits(state.joiner.keep(by)),
                Some(_) => Found::Over(layer.tasks.remove(task.at)),
            }
        });
        let missing = match found {
            Ok(Found::Waits(before)) => {
                drop(before);
                return Poll::Pending;
            }
            Ok(Found::Over(state)) => {
                self.ticket = None;
                return Poll::Ready(result(state));
            }
            Ok(Found::Lost) => return Poll::Ready(Err(JoinError::Cancelled)),
            _ if ticket.home.is_gone() => NotOnLoop::Gone,
            Ok(Found::Foreign) => NotOnLoop::Foreign,
            Err(missing) => missing.into(),
        };
        Poll::Ready(Err(JoinError::NotOnLoop(missing)))
    }
}

/// What a task that is over has left.
fn result<T: 'static>(state: TaskState) -> Result<T, JoinError> {
    match (state.end, state.job) {
        (Some(End::Finished), Some(mut job)) => {
            let mut value: Option<T> = None;
            job.as_mut().take(&mut value);
            value.ok_or(JoinError::Taken)
        }
        (Some(End::Panicked(message)), _) => Err(JoinError::Panicked { message }),
        _ => Err(JoinError::Cancelled),
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Task").field(&self.task.key).finish()
    }
}
