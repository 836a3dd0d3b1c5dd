//! What few connections have, apart from [`Socket`](crate::state::socket::Socket), so that the
//! others stay small: pipes, bytes that were given back, timers.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_loop::kind::Dispatch;
use tidegate_stream::PipeKey;

use crate::error::close::Close;
use crate::error::net_error::NetError;
use crate::proxy_protocol::header::ProxyHeader;
use crate::state::connecting::Connecting;
use crate::state::deadlines::timers::OwnTimers;

#[derive(Default)]
pub(crate) struct Rare {
    pub(crate) pipes: Pipes,
    /// Our end, if somebody observed when it was made.
    pub(crate) local: Option<SocketAddr>,
    /// The peer's address, if it is longer than most.
    pub(crate) remote: Option<SocketAddr>,
    /// Until it is connected.
    pub(crate) connecting: Option<Box<Connecting>>,
    /// The first write error; reading goes on to the end before the connection closes with it.
    pub(crate) failure: Option<Arc<NetError>>,
    /// Bytes that a filter answered since the queue was empty.
    pub(crate) answered: usize,
    /// Bytes that come before the next read.
    pub(crate) given_back: Vec<u8>,
    pub(crate) timers: OwnTimers,
    /// What a header said of the peer.
    pub(crate) proxied: Option<Box<Proxied>>,
    /// What is called at its end, whatever stands above it.
    pub(crate) watcher: Option<Watcher>,
}

/// What is called when a connection is over, before its handler; and a number for it. It runs no code
/// of users.
pub(crate) type Watcher = (fn(&mut Dispatch<'_>, u64, &Close), u64);

/// A connection whose peer is not the other end of its socket.
pub(crate) struct Proxied {
    /// The other end.
    pub(crate) transport: Option<SocketAddr>,
    /// It has its own address.
    pub(crate) named: bool,
    pub(crate) header: Option<ProxyHeader>,
}

impl Rare {
    /// Whether nothing is in it.
    pub(crate) fn is_unused(&self) -> bool {
        let Rare { pipes, local, remote, connecting, failure, answered, .. } = self;
        let Rare { given_back, timers, proxied, watcher, .. } = self;
        let piped = pipes.into.is_some() || pipes.from.is_some() || pipes.discard.is_some();
        let named = remote.is_some() || proxied.is_some();
        let known = local.is_some() || named || failure.is_some();
        let waits = *answered > 0 || !given_back.is_empty() || !timers.is_empty();
        !piped && !known && !waits && connecting.is_none() && watcher.is_none()
    }
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
