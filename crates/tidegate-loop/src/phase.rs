//! The names of a turn's phases. What each does, and in which order, is in `turn.rs`.
#![forbid(unsafe_code)]

use std::fmt;

/// A phase of a turn.
///
/// ```
/// assert_eq!(tidegate_loop::Phase::Ready.to_string(), "ready");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// The loop does not run.
    Outside,
    /// Effects of earlier API calls.
    Pending,
    /// Idle hooks.
    Idle,
    /// Prepare hooks.
    Prepare,
    /// The kernel is asked.
    Poll,
    /// Ready handles are called.
    Ready,
    /// Check hooks.
    Check,
    /// Close callbacks.
    Closing,
    /// Due timers.
    Timers,
}

impl Phase {
    pub(crate) const COUNT: usize = Phase::Timers as usize + 1;

    /// Its name, which does not change. `Display` writes it.
    ///
    /// ```
    /// assert_eq!(tidegate_loop::Phase::Poll.name(), "poll");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Outside => "outside",
            Phase::Pending => "pending",
            Phase::Idle => "idle",
            Phase::Prepare => "prepare",
            Phase::Poll => "poll",
            Phase::Ready => "ready",
            Phase::Check => "check",
            Phase::Closing => "closing",
            Phase::Timers => "timers",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
