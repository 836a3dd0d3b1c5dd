//! [`TaskOptions`]: what can be chosen for a task.
#![forbid(unsafe_code)]

use std::borrow::Cow;

/// What can be chosen for a task that [`spawn_with`](crate::Async::spawn_with) starts.
///
/// ```
/// use tidegate_async::{Async, BlockOn, JoinError, TaskOptions};
/// use tidegate_loop::Loop;
/// let mut lp = Loop::new()?;
/// let options = TaskOptions::new().name("tide table").catch_panics(true);
/// let task = lp.spawn_with(options, async { panic!("no moon") })?;
/// let Err(JoinError::Panicked { message }) = lp.block_on(task)? else { panic!() };
/// assert_eq!(message, "no moon");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TaskOptions {
    pub(crate) name: Option<Cow<'static, str>>,
    pub(crate) catch_panics: bool,
    pub(crate) keep_alive: bool,
}

impl Default for TaskOptions {
    fn default() -> TaskOptions {
        TaskOptions { name: None, catch_panics: false, keep_alive: true }
    }
}

impl TaskOptions {
    /// No name; a panic ends the run; the task keeps the loop alive.
    pub fn new() -> TaskOptions {
        TaskOptions::default()
    }

    /// What `why_alive`, the observer and traces call the task.
    #[must_use]
    pub fn name(mut self, name: impl Into<Cow<'static, str>>) -> TaskOptions {
        self.name = Some(name.into());
        self
    }

    /// Whether a panic of the task stays in it: only its join handle reports it. By default it also
    /// unwinds out of [`run`](tidegate_loop::Loop::run), as that of any callback.
    #[must_use]
    pub fn catch_panics(mut self, catch: bool) -> TaskOptions {
        self.catch_panics = catch;
        self
    }

    /// Whether the loop goes on for the task alone, and for the timers that it waits for; default
    /// yes. See [`Cx::set_ref`](tidegate_loop::Cx::set_ref).
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: bool) -> TaskOptions {
        self.keep_alive = keep_alive;
        self
    }
}
