//! [`Waiter`]: who waits for a readiness, a timer or an end.
//!
//! A task that waits with its own waker is kept as its place in the loop, without a clone of the
//! waker. Any other waker (of a set of futures, of another executor) is kept as it is.
#![forbid(unsafe_code)]

use std::task::Waker;

use tidegate_loop::Key;

use crate::sys::current::Frame;

/// A task, by its handle and its place in the slab.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskAt {
    pub(crate) key: Key,
    pub(crate) at: usize,
}

/// The place of the future of `block_on`, which is no task.
pub(crate) const ROOT: usize = usize::MAX;

#[derive(Default)]
pub(crate) enum Waiter {
    #[default]
    Nobody,
    Task(TaskAt),
    Other(Waker),
}

/// Who begins to wait: the waker of a poll.
pub(crate) enum Waits<'a> {
    Task(TaskAt),
    Other(&'a Waker),
}

impl<'a> Waits<'a> {
    #[inline]
    pub(crate) fn new(frame: &Frame<'_>, waker: &'a Waker) -> Waits<'a> {
        match frame.polled_with(waker) {
            Some(polled) => Waits::Task(TaskAt { key: polled.key, at: polled.at }),
            None => Waits::Other(waker),
        }
    }
}

impl Waiter {
    /// From here on this one waits, and nobody else. Returns who waited before: drop it when
    /// nothing of the loop is borrowed, as that may run code of a user.
    #[inline]
    #[must_use]
    pub(crate) fn keep(&mut self, by: Waits<'_>) -> Waiter {
        match (by, &mut *self) {
            (Waits::Task(task), Waiter::Other(_)) => std::mem::replace(self, Waiter::Task(task)),
            (Waits::Task(task), _) => {
                *self = Waiter::Task(task);
                Waiter::Nobody
            }
            (Waits::Other(waker), Waiter::Other(kept)) if kept.will_wake(waker) => Waiter::Nobody,
            (Waits::Other(waker), _) => std::mem::replace(self, Waiter::Other(waker.clone())),
        }
    }

    #[inline]
    pub(crate) fn take(&mut self) -> Waiter {
        std::mem::take(self)
    }

    #[inline]
    pub(crate) fn waits(&self) -> bool {
        !matches!(self, Waiter::Nobody)
    }
}
