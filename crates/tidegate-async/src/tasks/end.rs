//! A task is over: it finished, panicked, or was cancelled.
//!
//! A future that is cancelled is dropped in the closing phase, not in the call that cancels it.
//! There, and in its last poll, its destructors find the loop.
#![forbid(unsafe_code)]

use std::pin::Pin;

use tidegate_loop::kind::Dispatch;
use tidegate_loop::{Cx, Key, KeyError};

use crate::error::join::drop_caught;
use crate::event::{TaskEnd, TaskEvent};
use crate::state::job::Job;
use crate::state::layer::ASYNC;
use crate::state::task::End;
use crate::sys::current::{self, Frame};
use crate::tasks::wake::wake;
use crate::wake::waiter::TaskAt;

/// `Cx::close` was called with its key: it is cancelled.
pub(crate) fn close(cx: &mut Cx<'_>, key: Key, at: u64) -> Result<(), KeyError> {
    let (layer, mut driver) = cx.layer(&ASYNC);
    if let Some(state) = layer.task(TaskAt { key, at: at as usize }) {
        state.ticket.schedule.end();
    }
    let begun = driver.handle(ASYNC.owner(), key).is_some_and(|mut h| h.close());
    if begun { Ok(()) } else { Err(KeyError::Closed) }
}

/// The closing phase of one that was cancelled.
pub(crate) fn closed(d: &mut Dispatch<'_>, key: Key, at: u64) {
    let task = TaskAt { key, at: at as usize };
    let Some(state) = d.layer(&ASYNC).0.task(task) else { return };
    // It was cancelled in the poll that was its last.
    if state.end.is_some() {
        return;
    }
    let job = state.job.take();
    over(d, task, job, End::Cancelled);
}

/// The end of a task. What is left of it is kept if somebody may want the
/// result; else it is dropped here.
pub(crate) fn over(d: &mut Dispatch<'_>, task: TaskAt, job: Option<Pin<Box<dyn Job>>>, end: End) {
    let (layer, mut driver) = d.layer(&ASYNC);
    let Some(state) = layer.task(task) else { return };
    state.ticket.schedule.end();
    let (how, keeps) = (end.how(), state.is_wanted && matches!(end, End::Finished));
    state.end = Some(end);
    let (joiner, is_wanted) = (state.joiner.take(), state.is_wanted);
    driver.emit(|| TaskEvent::Ended { task: state.info(), how, polls: state.polls });
    let left = match job {
        Some(job) if keeps => {
            state.job = Some(job);
            None
        }
        left => left,
    };
    let metrics = &mut layer.metrics;
    metrics.tasks -= 1;
    match how {
        TaskEnd::Finished => metrics.finished += 1,
        TaskEnd::Cancelled => metrics.cancelled += 1,
        TaskEnd::Panicked => metrics.panicked += 1,
    }
    let gone = (!is_wanted).then(|| layer.tasks.remove(task.at));
    // One that closes is freed in its closing phase.
    if let Some(handle) = driver.handle(ASYNC.owner(), task.key).filter(|h| !h.is_closing()) {
        handle.free();
    }
    drop_in_loop(d, (left, gone));
    wake(&mut d.cx(), joiner);
}

/// Drops what may run code of a user's, which finds the loop.
fn drop_in_loop<T>(d: &mut Dispatch<'_>, value: T) {
    let mut nothing = None;
    let mut frame = Frame::beside(d.cx(), &mut nothing);
    let dropped = current::enter(&mut frame, || drop_caught(value));
    if let Err(payload) = dropped {
        d.driver().panic_later(payload);
    }
}
