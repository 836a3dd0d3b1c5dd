//! [`Flow`], [`Effect`] and [`Refused`]: the answers of the machines.
//!
//! The machines that give them are in `write.rs` and `read_queue.rs`.
#![forbid(unsafe_code)]

/// The answer to a write: whether the writer may go on.
///
/// It is `#[must_use]`, because a writer that ignores it ignores back-pressure.
///
/// ```
/// use tidegate_stream::{Flow, WriteState};
/// assert_eq!(WriteState::new(65_536, 1 << 20).flow(), Flow::Ready);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "Flow::Full asks you to stop writing until on_drain"]
pub enum Flow {
    /// Go on.
    Ready,
    /// The queue reached the high-water mark. The bytes are accepted; stop
    /// until the drain, which comes once, when the queue is empty.
    Full,
    /// The bytes were not accepted: the stream has ended, failed or closed.
    Closed,
}

/// What the driver has to report to the user.
///
/// ```
/// use tidegate_stream::{Effect, WriteState};
/// let mut w = WriteState::new(1, 1);
/// w.end();
/// assert!(w.wants_fin());
/// w.fin_sent();
/// assert_eq!(w.take_effect(), Some(Effect::Finish));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Effect {
    /// The queue is empty after it was full.
    Drain,
    /// The write with this id is out, and so is everything before it.
    Written(u64),
    /// The end is out, and so is everything before it.
    Finish,
}

/// Why a write is not accepted.
///
/// ```
/// use tidegate_stream::{Refused, WriteState};
/// let mut w = WriteState::new(1, 4);
/// w.push(b"12345");
/// assert_eq!(w.admit(), Err(Refused::Limit { queued: 5, limit: 4 }));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Refused {
    /// Ended, failed or destroyed.
    Closed,
    /// More than the hard limit is queued already.
    Limit {
        /// Bytes of memory the queue holds.
        queued: usize,
        /// The limit.
        limit: usize,
    },
}
