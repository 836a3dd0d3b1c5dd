//! The end of things: the queue of handles whose close callback is due, and
//! the graveyard for user values that an API call displaced.
//!
//! Closing is two-phase. The layer that owns a handle closes its descriptor at
//! once and queues the key here; the closing phase calls [`Kind::closed`], and
//! only then is the slot free. A replaced closure, a cancelled timer or a
//! swapped handler is buried, because dropping it runs user code and an API
//! call never does; the graveyard is emptied after the current callback.
//!
//! [`Kind::closed`]: crate::Kind
#![forbid(unsafe_code)]

use std::any::Any;
use std::collections::VecDeque;

use crate::hooks::HookFn;
use crate::observe::Observer;
use crate::table::Key;
use crate::timers::TimerFn;
use crate::watch::Watcher;

/// A value that waits for its drop.
pub(crate) enum Buried {
    Timer {
        _callback: TimerFn,
    },
    Hook {
        _callback: HookFn,
    },
    Watch {
        _watcher: Box<dyn Watcher>,
    },
    #[cfg(feature = "signal")]
    Signal {
        _callback: crate::signal::SignalFn,
    },
    #[cfg(feature = "work")]
    Job {
        _run: crate::pool::Run,
    },
    Observer {
        _observer: Box<dyn Observer>,
    },
    /// What the observer panicked with.
    Panic {
        payload: Box<dyn Any + Send>,
    },
    Other {
        _value: Box<dyn Any>,
    },
}

#[derive(Default)]
pub(crate) struct Graveyard(Vec<Buried>);

impl Graveyard {
    pub(crate) fn bury(&mut self, value: Buried) {
        self.0.push(value);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One at a time: a drop that panics leaves the others for the next time.
    pub(crate) fn dig(&mut self) -> Option<Buried> {
        self.0.pop()
    }
}

/// Handles that wait for the closing phase, first-in first-out. What is closed
/// while the phase runs waits for the next turn, as in libuv.
#[derive(Default)]
pub(crate) struct ClosingQueue {
    queue: VecDeque<Key>,
    batch: usize,
}

impl ClosingQueue {
    pub(crate) fn push(&mut self, key: Key) {
        self.queue.push_back(key);
    }

    pub(crate) fn open_batch(&mut self) {
        self.batch = self.queue.len();
    }

    pub(crate) fn take(&mut self) -> Option<Key> {
        self.batch = self.batch.checked_sub(1)?;
        self.queue.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}
