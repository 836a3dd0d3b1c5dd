//! [`Async`]: tasks, on whatever lends a [`Cx`](tidegate_loop::Cx). [`BlockOn`]: a loop that runs
//! until a future is ready.
#![forbid(unsafe_code)]

use std::future::Future;
use std::panic::Location;

use tidegate_loop::{AsCx, Loop, TableFull};

use crate::error::block_on::BlockOnError;
use crate::limits::AsyncLimits;
use crate::metrics::TaskMetrics;
use crate::options::TaskOptions;
use crate::state::layer::ASYNC;
use crate::tasks::join::Task;
use crate::tasks::root;
use crate::tasks::spawn::spawn;

/// Tasks. Implemented for the loop, for `Cx`, and for the contexts of callbacks. In a task there is
/// no context: there, call [`spawn`](crate::spawn()).
///
/// ```
/// use std::time::Duration;
/// use tidegate_async::{Async, sleep};
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// lp.spawn(async { sleep(Duration::from_millis(2)).await }).detach();
/// lp.after(Duration::from_millis(1), |cx| {
///     cx.spawn(async { println!("from a callback") }).detach();
/// });
/// lp.run()?; // until both tasks are over
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Async: AsCx {
    /// Begins a task. It is polled later, never inside of this call; it keeps the loop alive. If the
    /// loop's table is full, the future is dropped after the current callback, and the task's result
    /// is [`JoinError::Refused`](crate::JoinError::Refused).
    #[track_caller]
    fn spawn<F>(&mut self, future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let mut cx = self.cx();
        match spawn(&mut cx, TaskOptions::default(), future, true, Location::caller()) {
            Ok((ticket, task)) => Task::new(ticket, task),
            Err(_) => Task::refused(cx.driver().stale_key()),
        }
    }

    /// The same with options. An error says that the loop's table is full.
    #[track_caller]
    fn spawn_with<F>(
        &mut self,
        options: TaskOptions,
        future: F,
    ) -> Result<Task<F::Output>, TableFull>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let spawned = spawn(&mut self.cx(), options, future, true, Location::caller());
        spawned.map(|(ticket, task)| Task::new(ticket, task))
    }

    /// The counters of the loop's tasks.
    fn task_metrics(&mut self) -> TaskMetrics {
        self.cx().layer(&ASYNC).0.metrics
    }

    /// The limits of the loop's tasks.
    fn async_limits(&mut self) -> AsyncLimits {
        self.cx().layer(&ASYNC).0.limits.clone()
    }
}

impl<T: AsCx + ?Sized> Async for T {}

/// A loop that runs until a future is ready.
///
/// ```
/// use tidegate_async::{BlockOn, yield_now};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let name = String::from("tide");
/// let length = lp.block_on(async {
///     yield_now().await;
///     name.len() // borrowed: the future need not be 'static
/// })?;
/// assert_eq!(length, 4);
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait BlockOn {
    /// Runs the loop until the future is ready, and returns its result. Other tasks and handles run
    /// meanwhile, and stay as they are when it is. The future is polled between turns.
    ///
    /// If nothing can wake the future any more, it returns
    /// [`Stalled`](BlockOnError::Stalled) in place of waiting for ever. A waker that other code has
    /// kept, such as a channel of threads, counts as something that may wake it.
    ///
    /// [`Cx::stop`](tidegate_loop::Cx::stop) ends it after the turn with
    /// [`Stopped`](BlockOnError::Stopped), unless the future is ready by then. A panic of the
    /// future unwinds out of this call, as one of a callback does.
    fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, BlockOnError>;
}

impl BlockOn for Loop {
    fn block_on<F: Future>(&mut self, future: F) -> Result<F::Output, BlockOnError> {
        root::block_on(self, future)
    }
}
