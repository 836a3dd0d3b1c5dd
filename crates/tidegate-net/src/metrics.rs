//! What servers and connections count, as plain numbers: the structs alone. The loop's own
//! counters are in [`Metrics`](tidegate_loop::Metrics); `face/metrics.rs` fills these in.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::key::{ServerKey, UdpKey};

/// Counters of all connections of a loop since it was made, and what is open now. Take two
/// and subtract. See [`Net::net_metrics`](crate::Net::net_metrics).
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, On};
/// let mut lp = Loop::new()?;
/// lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
/// assert_eq!(lp.net_metrics().connecting, 1);
/// lp.run()?;
/// let now = lp.net_metrics();
/// assert_eq!((now.sockets, now.closed, now.failed), (0, 1, 1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetMetrics {
    /// Connections that exist now, also those being made.
    pub sockets: usize,
    /// Of these, being made: looked up, connecting, or waiting for a filter to be ready.
    pub connecting: usize,
    /// Of these, paused: nothing is read.
    pub paused: usize,
    /// Of these, full: a write returned `Full`, and the drain is still to come.
    pub full: usize,
    /// Bytes that wait in all their queues.
    pub queued: usize,
    /// Bytes of memory that all their queues and filters hold.
    pub held: usize,
    /// Entries in the queue of deadlines: at most one for each connection that has a deadline, and
    /// some of closed connections.
    pub deadlines: usize,
    /// Connections of `connect` that were made.
    pub connected: u64,
    /// Connections that have closed.
    pub closed: u64,
    /// Of these, by an error: all but ordinary ends and `destroy`.
    pub failed: u64,
    /// Of the failed ones, by a deadline.
    pub timed_out: u64,
    /// Bytes that were accepted for writing and never reached the kernel.
    pub unsent: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes the kernel took.
    pub bytes_written: u64,
}

/// What one server counted, and which it is. See [`Net::servers`](crate::Net::servers).
///
/// ```
/// fn line(s: &tidegate_net::ServerMetrics) -> String {
///     format!("{}: {} accepted", s.local, s.stats.accepted)
/// }
/// # let _ = line;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerMetrics {
    /// Its key.
    pub key: ServerKey,
    /// Where it listens, or did.
    pub local: Endpoint,
    /// What it counted.
    pub stats: ServerStats,
}

/// What a server counted since it was opened.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::Net;
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// assert_eq!(lp.server(server).stats()?.accepted, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections taken from the kernel's queue.
    pub accepted: u64,
    /// Of these, taken out for another loop.
    pub detached: u64,
    /// Of those accepted, closed because the callback rejected them or did nothing.
    pub rejected: u64,
    /// Of those accepted, ended before their filters were ready.
    pub refused: u64,
    /// Turns that ended with the accept budget spent.
    pub carried_over: u64,
    /// Connections whose peer had gone before they were accepted.
    pub aborted: u64,
    /// How often accepting stopped because there was no descriptor or memory.
    pub held: u64,
    /// Connections closed at once because there was no descriptor.
    pub shed: u64,
    /// Connections closed at once because `max_connections` were open.
    pub dropped: u64,
    /// Connections closed at once because of the block list.
    pub blocked: u64,
    /// Connections closed at once because their peer has too many, or comes too often.
    pub limited: u64,
    /// Other failures of accept.
    pub errors: u64,
    /// Connections that were still open when the grace of a shutdown was over.
    pub cut_off: u64,
    /// Connections that are open now.
    pub connections: usize,
}

/// What one connection counts. See [`SocketCx::metrics`](crate::SocketCx::metrics).
///
/// ```
/// fn is_stuck(m: &tidegate_net::SocketMetrics) -> bool { m.full && m.bytes_written == 0 }
/// # let _ = is_stuck;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketMetrics {
    /// Since the call of `connect`, or since it was accepted.
    pub age: Duration,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes the kernel took.
    pub bytes_written: u64,
    /// Bytes that wait in our queue.
    pub queued: usize,
    /// Bytes of memory that our queue and the filters hold.
    pub held: usize,
    /// It is being made.
    pub connecting: bool,
    /// Nothing is read.
    pub paused: bool,
    /// A write returned `Full`, and the drain is still to come.
    pub full: bool,
}

/// What a UDP socket counted since it was made. What the kernel dropped before we saw it is in
/// [`UdpQueues::drops`](crate::UdpQueues::drops).
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, OnDatagram};
/// let mut lp = Loop::new()?;
/// let key = lp.udp("127.0.0.1:0", OnDatagram::new(|_, _, _| {}))?;
/// assert_eq!(lp.datagrams(key).stats()?.received, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpStats {
    /// Datagrams received and delivered.
    pub received: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// System calls that received something.
    pub receive_calls: u64,
    /// Datagrams the kernel took.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// System calls that sent, or tried to.
    pub send_calls: u64,
    /// Of the sent ones, runs that left in one piece (GSO).
    pub runs: u64,
    /// Datagrams that were longer than `max_datagram`, and were cut.
    pub truncated: u64,
    /// Datagrams from or to an address on the block list.
    pub blocked: u64,
    /// Datagrams not accepted because the queue was at its limit.
    pub refused: u64,
    /// Datagrams that gave way to newer ones: [`WhenFull::DropOldest`](crate::WhenFull::DropOldest).
    pub dropped_oldest: u64,
    /// Datagrams that were accepted and could not be sent.
    pub send_errors: u64,
    /// Errors of the network about datagrams that were sent before.
    pub transport_errors: u64,
    /// Times that sending stopped because the kernel had no room.
    pub stalls: u64,
    /// Turns that ended with the budget of datagrams spent.
    pub carried_over: u64,
}

/// Datagrams that wait in our queue.
///
/// ```
/// assert_eq!(tidegate_net::Waiting::default().datagrams, 0);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Waiting {
    /// Their bytes.
    pub bytes: usize,
    /// How many.
    pub datagrams: usize,
}

/// What one UDP socket counted, and which it is. See [`Net::udp_sockets`](crate::Net::udp_sockets).
///
/// ```
/// fn line(u: &tidegate_net::UdpMetrics) -> String { format!("{:?}: {}", u.local, u.stats.received) }
/// # let _ = line;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UdpMetrics {
    /// Its key.
    pub key: UdpKey,
    /// Its address.
    pub local: Option<SocketAddr>,
    /// What it counted.
    pub stats: UdpStats,
    /// What waits in our queue.
    pub waiting: Waiting,
    /// What waits in the kernel's queues, and what was lost there.
    pub queues: crate::sys::UdpQueues,
}
