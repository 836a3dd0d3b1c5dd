//! [`TaskMetrics`]: what the tasks of a loop counted.
#![forbid(unsafe_code)]

use std::time::Duration;

/// What the tasks of a loop counted: plain numbers. For a rate, take two and subtract.
///
/// ```
/// use tidegate_async::Async;
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// lp.spawn(async {}).detach();
/// lp.run()?;
/// let m = lp.task_metrics();
/// assert_eq!((m.tasks, m.spawned, m.polls, m.finished), (0, 1, 1, 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskMetrics {
    /// Tasks that are not over.
    pub tasks: usize,
    /// Tasks spawned.
    pub spawned: u64,
    /// Tasks refused because the loop's table was full.
    pub refused: u64,
    /// Tasks that finished.
    pub finished: u64,
    /// Tasks that were cancelled.
    pub cancelled: u64,
    /// Tasks that panicked.
    pub panicked: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Of these, polls of a task that was woken during its own poll: they come one turn later.
    pub woken_while_polled: u64,
    /// Operations on sockets that had to wait for the next poll, because this one had done its
    /// share ([`AsyncLimits`](crate::AsyncLimits)).
    pub budget_spent: u64,
    /// The longest poll. Measured only while there is an observer.
    pub longest_poll: Duration,
}
