//! What few connections have, apart from [`Socket`](crate::state::socket::Socket), so that the
//! others stay small: pipes, bytes that were given back, timers.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_stream::PipeKey;

use crate::error::net_error::NetError;
use crate::state::deadlines::timers::OwnTimers;

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
