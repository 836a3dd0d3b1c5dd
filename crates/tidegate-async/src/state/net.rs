//! What a loop keeps of the connections, servers and UDP sockets that belong to futures. Who uses
//! one has its place here, and owns that place.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::net::SocketAddr;

use tidegate_net::{Meta, Reason, SocketKey, UdpKey};

use crate::wake::waiter::Waiter;

/// A connection.
pub(crate) struct SocketState {
    /// `None` until the connection has one.
    pub(crate) key: Option<SocketKey>,
    pub(crate) reader: Waiter,
    pub(crate) writer: Waiter,
    /// The loop does not say that there is something to read: nobody waits for that.
    pub(crate) paused: bool,
    /// It is made.
    pub(crate) connected: bool,
    /// What `allow_half_open` was before it came here.
    pub(crate) half_open: bool,
    /// Our FIN is out.
    pub(crate) finished: bool,
    pub(crate) flush: Flush,
    pub(crate) over: Option<Over>,
}

/// Whether what filters hold is out. Without filters nothing is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flush {
    /// Nobody asked.
    Unasked,
    /// All that was written before is awaited.
    Awaited,
    /// It is out.
    Done,
}

/// How it is over.
#[derive(Clone, Debug)]
pub(crate) enum Over {
    Closed(Reason),
    /// A handler or another protocol has taken it.
    Taken,
}

impl SocketState {
    pub(crate) fn new(connected: bool) -> SocketState {
        SocketState {
            key: None,
            reader: Waiter::Nobody,
            writer: Waiter::Nobody,
            paused: false,
            connected,
            half_open: false,
            finished: false,
            flush: Flush::Unasked,
            over: None,
        }
    }
}

/// A connection that waits for a task.
pub(crate) struct Accepted {
    pub(crate) key: SocketKey,
    pub(crate) at: usize,
    pub(crate) peer: Option<SocketAddr>,
}

/// A server. Its connections wait here until a task takes them.
#[derive(Default)]
pub(crate) struct ListenerState {
    pub(crate) accepted: VecDeque<Accepted>,
    pub(crate) waiter: Waiter,
    pub(crate) paused: bool,
    pub(crate) closed: bool,
}

/// A UDP socket. Its datagrams wait here until a task takes them.
#[derive(Default)]
pub(crate) struct UdpState {
    /// `None` until it is open.
    pub(crate) key: Option<UdpKey>,
    /// Each with its length.
    pub(crate) received: VecDeque<(Meta, usize)>,
    /// Their bytes, one behind the other.
    pub(crate) bytes: VecDeque<u8>,
    pub(crate) reader: Waiter,
    pub(crate) writer: Waiter,
    /// Nothing more is received until some were taken.
    pub(crate) paused: bool,
    /// Nothing more is sent until the queue is empty.
    pub(crate) full: bool,
    /// What the network said of earlier datagrams.
    pub(crate) error: Option<std::io::Error>,
    pub(crate) closed: bool,
}
