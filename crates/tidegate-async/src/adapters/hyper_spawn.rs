//! [`LoopExecutor`]: tasks of the loop, for hyper.
#![forbid(unsafe_code)]

use std::future::Future;

use hyper::rt;

use crate::face::here::spawn;

/// hyper's executor for HTTP/2, of which each stream is a task: spawns them on the loop that polls
/// the connection. Futures need not be `Send`.
///
/// Outside of a poll there is no loop: the future is dropped, and an error is logged.
///
/// ```
/// use hyper::server::conn::http2;
/// use tidegate_async::LoopExecutor;
/// let builder = http2::Builder::new(LoopExecutor);
/// # let _ = builder;
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopExecutor;

impl<F> rt::Executor<F> for LoopExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        match spawn(future) {
            Ok(task) => drop(task.detach()),
            Err(e) => log::error!(target: "tidegate::async", "hyper's task was not spawned: {e}"),
        }
    }
}
