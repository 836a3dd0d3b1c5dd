//! The loop of the task that runs: [`with`] lends it, [`spawn`] begins another task in it.
#![forbid(unsafe_code)]

use std::future::Future;
use std::panic::Location;

use tidegate_loop::Cx;

use crate::error::not_on_loop::NotOnLoop;
use crate::options::TaskOptions;
use crate::sys::current;
use crate::tasks::join::Task;
use crate::tasks::spawn as tasks;

/// Calls `f` at once with the loop that polls this task: all that callbacks can do, tasks can.
/// Inside of `f` the loop is lent, so a second call is an error.
///
/// ```
/// use std::time::Duration;
/// use tidegate_async::{BlockOn, with};
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// lp.block_on(async {
///     with(|cx| cx.after(Duration::from_millis(1), |_| println!("a timer of a task's")))
/// })??;
/// # lp.close_all();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn with<R>(f: impl FnOnce(&mut Cx<'_>) -> R) -> Result<R, NotOnLoop> {
    Ok(current::with(|frame| f(&mut frame.cx()))?)
}

/// Begins a task in the loop of the task that runs, as [`Async::spawn`](crate::Async::spawn).
/// Elsewhere the future is dropped, and the answer is an error.
///
/// ```
/// use tidegate_async::{BlockOn, spawn};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let answer = lp.block_on(async {
///     let task = spawn(async { 6 * 7 })?;
///     Ok::<_, std::io::Error>(task.await?)
/// })?;
/// assert_eq!(answer?, 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> Result<Task<F::Output>, NotOnLoop>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let spawned = Location::caller();
    with(|cx| match tasks::spawn(cx, TaskOptions::default(), future, true, spawned) {
        Ok((ticket, task)) => Task::new(ticket, task),
        Err(_) => Task::refused(cx.driver().stale_key()),
    })
}
