//! What few connections have, apart from [`Socket`](crate::state::socket::Socket), so that the
//! others stay small: pipes, bytes that were given back, timers.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_loop::TimerKey;
use tidegate_stream::PipeKey;

use crate::error::net_error::NetError;

#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) pipes: Pipes,
    /// Our end, if somebody observed when it was made.
    pub(crate) local: Option<SocketAddr>,
    /// The first write error; reading goes on to the end before the connection closes with it.
    pub(crate) failure: Option<Arc<NetError>>,
    /// Bytes that a filter answered since the queue was empty.
    pub(crate) answered: usize,
    /// Bytes that come before the next read.
    pub(crate) given_back: Vec<u8>,
    pub(crate) timers: OwnTimers,
}

/// What takes a connection's bytes in place of what stands above it, and what gives it some.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pipes {
    /// This takes what it reads.
    pub(crate) into: Option<PipeKey>,
    /// This gives it what it writes.
    pub(crate) from: Option<PipeKey>,
    /// What it reads is dropped.
    pub(crate) discard: Option<Discard>,
}

/// How much of what comes is still to be read and dropped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discard {
    UpTo(u64),
    /// More came.
    Over,
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
