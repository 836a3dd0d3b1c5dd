//! What servers and connections count, as plain numbers. A server's own are in
//! [`ServerStats`](crate::ServerStats), the loop's in [`Metrics`](tidegate_loop::Metrics).
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::{AsCx, Cx, KeyError};
use tidegate_stream::ReadState;

use crate::key::ServerKey;
use crate::layer::Layer;
use crate::listener::{self, ServerStats};
use crate::offer;
use crate::socket::Life;
use crate::socket_cx::SocketCx;
use crate::unix::Endpoint;

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
    /// Connections that are there now, also those being made.
    pub sockets: usize,
    /// Of these, being made: looked up, or connecting.
    pub connecting: usize,
    /// Of these, paused: nothing is read.
    pub paused: usize,
    /// Of these, full: whoever writes is to wait for the drain.
    pub full: usize,
    /// Bytes that wait in all their queues.
    pub queued: usize,
    /// Bytes of memory that all their queues hold.
    pub held: usize,
    /// Deadlines that wait to be looked at: at most one for each connection that has any, and
    /// some of connections that are over.
    pub deadlines: usize,
    /// Connections that we asked for and that were made.
    pub connected: u64,
    /// Connections that are over and were told so.
    pub closed: u64,
    /// Of these, by an error: all but ordinary ends and `destroy`.
    pub failed: u64,
    /// Of those failed, by a deadline.
    pub timed_out: u64,
    /// Bytes that were accepted for writing and never reached the kernel.
    pub unsent: u64,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes the kernel took.
    pub bytes_written: u64,
}

/// Those that are over were counted; those that are there are looked at.
pub(crate) fn net(cx: &mut Cx<'_>) -> NetMetrics {
    let (layer, mut d) = cx.parts::<Layer>();
    // So that the one that is offered is looked at, too.
    offer::place(layer, &mut d);
    let mut m = NetMetrics {
        held: layer.shared.buffered,
        deadlines: layer.deadlines.len(),
        ..layer.counted
    };
    for (_, s) in &layer.sockets {
        m.sockets += 1;
        m.connecting += usize::from(s.life == Life::Connecting);
        m.paused += usize::from(s.duplex.read == ReadState::Paused);
        m.full += usize::from(s.duplex.write.needs_drain());
        m.queued += s.duplex.write.len();
        m.bytes_read += s.bytes_read;
        m.bytes_written += s.bytes_written;
    }
    debug_assert_eq!(
        layer.shared.buffered,
        layer.sockets.iter().map(|(_, s)| s.duplex.write.held()).sum::<usize>(),
        "the loop's account is that of its connections"
    );
    m
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

pub(crate) fn servers(cx: &mut Cx<'_>) -> Vec<ServerMetrics> {
    let layer = cx.parts::<Layer>().0;
    layer.listeners.iter().map(|(_, l)| listener::metrics(l)).collect()
}

/// What one connection counts. See [`SocketCx::metrics`].
///
/// ```
/// fn is_stuck(m: &tidegate_net::SocketMetrics) -> bool { m.full && m.bytes_written == 0 }
/// # let _ = is_stuck;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketMetrics {
    /// Since it was asked for, or accepted.
    pub age: Duration,
    /// Bytes read.
    pub bytes_read: u64,
    /// Bytes the kernel took.
    pub bytes_written: u64,
    /// Bytes that wait in our queue.
    pub queued: usize,
    /// Bytes of memory that our queue holds.
    pub held: usize,
    /// It is being made.
    pub connecting: bool,
    /// Nothing is read.
    pub paused: bool,
    /// Whoever writes is to wait for the drain.
    pub full: bool,
}

impl SocketCx<'_> {
    /// What the connection counts; an error if it is over.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let key = lp.connect("127.0.0.1:1", On::new().close(|_, _| {}));
    /// assert!(lp.socket(key).metrics()?.connecting);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn metrics(&mut self) -> Result<SocketMetrics, KeyError> {
        self.state()?;
        let key = self.key();
        let mut cx = self.as_cx();
        let (layer, d) = cx.parts::<Layer>();
        let s = layer.socket(&d, key).ok_or(KeyError::Closed)?;
        Ok(SocketMetrics {
            age: s.age(&d),
            bytes_read: s.bytes_read,
            bytes_written: s.bytes_written,
            queued: s.duplex.write.len(),
            held: s.duplex.write.held(),
            connecting: s.life == Life::Connecting,
            paused: s.duplex.read == ReadState::Paused,
            full: s.duplex.write.needs_drain(),
        })
    }
}
