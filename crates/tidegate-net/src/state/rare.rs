//! What few connections have, apart from [`Socket`](crate::state::socket::Socket), so that the
//! others stay small: bytes that were given back, timers of their own.
//!
//! Bytes that the handler gave back come to it again, before any from the kernel; while there are
//! any, the machine of reading is paused:
//!
//! | state | `unread` | `pause` | `resume` | delivered |
//! |---|---|---|---|---|
//! | nothing | due if it was reading, else kept | - | - | - |
//! | kept | kept | - | due | - |
//! | due | due | kept | - | nothing |
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_loop::TimerKey;

use crate::error::net_error::NetError;

#[derive(Default)]
pub(crate) struct Rare {
    /// Our end, if somebody observed when it was made.
    pub(crate) local: Option<SocketAddr>,
    /// The first write error; reading goes on to the end before the connection closes with it.
    pub(crate) failure: Option<Arc<NetError>>,
    /// Bytes that a filter answered since the queue was empty.
    pub(crate) answered: usize,
    pub(crate) unread: Unread,
    pub(crate) timers: OwnTimers,
}

/// What the handler gave back.
#[derive(Default)]
pub(crate) struct Unread {
    bytes: Vec<u8>,
    is_due: bool,
}

impl Unread {
    pub(crate) fn is_due(&self) -> bool {
        self.is_due
    }

    /// These come before those that were given back earlier.
    pub(crate) fn put(&mut self, bytes: &[u8], was_reading: bool) {
        self.bytes.splice(..0, bytes.iter().copied());
        self.is_due |= was_reading;
    }

    /// The user pauses; whether they were due.
    pub(crate) fn keep(&mut self) -> bool {
        std::mem::take(&mut self.is_due)
    }

    /// The user resumes; whether there are any.
    pub(crate) fn fall_due(&mut self) -> bool {
        self.is_due = !self.bytes.is_empty();
        self.is_due
    }

    /// What is due.
    pub(crate) fn take(&mut self) -> Option<Vec<u8>> {
        self.keep().then(|| std::mem::take(&mut self.bytes))
    }
}

/// Timers of a connection, by the user's tokens.
#[derive(Default)]
pub(crate) struct OwnTimers {
    running: Vec<(u64, TimerKey)>,
    /// They came up, in this order, and are to be told.
    due: Vec<u64>,
}

impl OwnTimers {
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }

    pub(crate) fn add(&mut self, token: u64, timer: TimerKey) {
        self.running.push((token, timer));
    }

    /// Takes a token out, in whatever state it is; the timer that runs for it.
    pub(crate) fn remove(&mut self, token: u64) -> Option<TimerKey> {
        self.due.retain(|due| *due != token);
        let at = self.running.iter().position(|(running, _)| *running == token)?;
        Some(self.running.swap_remove(at).1)
    }

    pub(crate) fn fall_due(&mut self, token: u64) {
        self.remove(token);
        self.due.push(token);
    }

    /// The next one to tell.
    pub(crate) fn take_due(&mut self) -> Option<u64> {
        self.is_due().then(|| self.due.remove(0))
    }

    pub(crate) fn take_running(&mut self) -> impl Iterator<Item = TimerKey> + use<> {
        std::mem::take(&mut self.running).into_iter().map(|(_, timer)| timer)
    }
}
