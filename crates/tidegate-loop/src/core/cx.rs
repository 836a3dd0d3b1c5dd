//! [`Cx`]: what a callback may do with the loop it runs in.
//!
//! A `Cx` is lent and cannot be kept. It has no `run`: running the loop inside
//! a callback does not compile.
//!
//! ```compile_fail
//! use tidegate_loop::{AsCx, Loop};
//! let mut lp = Loop::new().unwrap();
//! lp.next_tick(|cx| { let _ = cx.run(); });
//! ```
#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::time::Duration;

use crate::core::state::Core;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::phase::Phase;

/// A loop, lent to the code it calls.
///
/// No method runs a callback or drops a value of yours: it changes state and queues.
/// ARCHITECTURE.md lists the exceptions, such as the closure of [`with`](Cx::with).
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// let mut lp = Loop::new()?;
/// let mut cx = lp.cx();
/// cx.next_tick(|cx| println!("turn {}", cx.turn()));
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Cx<'a> {
    core: &'a mut Core,
}

impl<'a> Cx<'a> {
    pub(crate) fn new(core: &'a mut Core) -> Cx<'a> {
        Cx { core }
    }

    pub(crate) fn core(&self) -> &Core {
        self.core
    }

    pub(crate) fn core_mut(&mut self) -> &mut Core {
        self.core
    }

    /// Time since the loop was made, as of the last poll.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.core.reactor.now)
    }

    /// The turn that runs, counted from 1; 0 before the first.
    pub fn turn(&self) -> u64 {
        self.core.reactor.turn
    }

    /// The phase that runs.
    pub fn phase(&self) -> Phase {
        self.core.reactor.phase
    }

    /// The loop's limits.
    pub fn limits(&self) -> &Limits {
        &self.core.reactor.limits
    }

    /// The loop's counters.
    pub fn metrics(&self) -> Metrics {
        self.core.reactor.metrics()
    }

    /// Open handles, the closing ones included.
    pub fn handles(&self) -> usize {
        self.core.reactor.table.len()
    }

    /// Ends `run` after the current turn. Called before `run`, it makes that call return at once.
    /// Nothing is closed, and the loop can run again.
    pub fn stop(&mut self) {
        self.core.stop = true;
    }

    /// As [`stop`](Cx::stop), but `run` returns this error, so that a program that has failed can say
    /// so. A run returns the first error alone.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.after(Duration::from_millis(1), |cx| cx.stop_with("gave up after 3 tries"));
    /// assert_eq!(lp.run().unwrap_err().to_string(), "gave up after 3 tries");
    /// lp.run()?; // it can run again
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stop_with(&mut self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let error = match error.into().downcast::<io::Error>() {
            Ok(e) => *e,
            Err(e) => io::Error::other(e),
        };
        self.core.stop = true;
        match &self.core.failure {
            Some(_) => self.core.reactor.graveyard.bury(error),
            None => self.core.failure = Some(error),
        }
    }
}
