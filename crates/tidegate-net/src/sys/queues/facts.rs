//! Where bytes and connections wait: [`Queues`] of a socket, [`AcceptQueue`] of a server.
//!
//! ```text
//!  write -> ours -> send = unsent + unacknowledged -> (the way) -> receive -> on_data
//!           |---- our process and our kernel ----|                 the peer's kernel
//! ```
//!
//! Plain numbers, read when asked. The other files of this room read them from the kernel.
#![forbid(unsafe_code)]

use std::time::Duration;

/// Where the bytes of a connection wait, and the state of the network to the peer. From
/// [`SocketCx::queues`](crate::SocketCx::queues).
///
/// Numbers are bytes unless noted. `None` means that the system does not report it: everything but
/// `receive` over Unix domain sockets, where what is written is in the peer's receive queue at once;
/// everything but `receive` when the connection is over for the kernel, after a reset, and we have
/// not read that far. Linux tells all of it; macOS, FreeBSD and Windows a part: see [the
/// table](../tidegate/manual/other_systems/index.html).
///
/// The numbers are read one after the other while TCP goes on, so two sockets are not asked at
/// the same moment. But if the sender is asked, then the reader, then the sender again, and
/// nobody writes or reads between, this holds with the last `unsent`, and the rest of the first:
///
/// ```text
/// written <= ours + send + the reader's receive + read <= written + (send - unsent)
/// ```
///
/// A byte whose acknowledgement is under way is in both kernels: when nothing is, the sum is
/// what was written. The example `where_are_my_bytes` draws it.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, On};
/// let there = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let mut lp = Loop::new()?;
/// lp.connect(there.local_addr()?, On::new().connect(|s| {
///     let _ = s.write(b"high water"); // to somebody who does not read
///     let queues = s.queues().unwrap();
///     assert_eq!(queues.ours, 0); // the kernel took it
///     if let (Some(peer), Some(network)) = (queues.peer_window, queues.congestion_window) {
///         println!("at most {} bytes may be under way", peer.min(network));
///     }
///     s.destroy();
/// }));
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Queues {
    /// Wait in our queue: accepted by a write, not yet by the kernel. As
    /// [`buffered`](crate::SocketCx::buffered).
    pub ours: u64,
    /// In the kernel's send queue: not acknowledged by the peer's kernel. Without our FIN,
    /// which the system counts as a byte. Linux: `SIOCOUTQ`, tcp(7).
    pub send: Option<u64>,
    /// Of these, not sent yet: the peer's window or the congestion window is full. Linux:
    /// `SIOCOUTQNSD`, `<linux/sockios.h>`.
    pub unsent: Option<u64>,
    /// Of these, sent: `send` without `unsent`.
    pub unacknowledged: Option<u64>,
    /// In the kernel's receive queue: acknowledged to the peer, not yet read by us. Linux:
    /// `SIOCINQ`, tcp(7) and unix(7).
    pub receive: Option<u64>,
    /// How much more than what it has acknowledged the peer is ready to take, as it last
    /// said. Linux 5.4: `tcpi_snd_wnd` of `TCP_INFO`, `<linux/tcp.h>`; the same for all below.
    pub peer_window: Option<u64>,
    /// How much may be unacknowledged for the network's sake: `congestion_segments` of the
    /// present segment size.
    pub congestion_window: Option<u64>,
    /// The same in segments, as the kernel counts: `tcpi_snd_cwnd`.
    pub congestion_segments: Option<u32>,
    /// The smoothed round-trip time; `None` until there is a measurement. `tcpi_rtt`,
    /// microseconds.
    pub rtt: Option<Duration>,
    /// How much it varies: the smoothed mean deviation, RTTVAR of RFC 6298. `tcpi_rttvar`.
    pub rtt_variation: Option<Duration>,
    /// Segments that were sent again, since the beginning; a SYN is one. `tcpi_total_retrans`.
    pub retransmits: Option<u32>,
}

/// What waits in the kernel to be accepted. By
/// [`ServerCx::accept_queue`](crate::ServerCx::accept_queue) and
/// [`AcceptGauge::read`](crate::AcceptGauge::read).
///
/// The kernel does the handshake: for the client, a connection that waits here is made, and the
/// client may have sent something. `None` means that the system does not report it: both numbers on
/// other systems than Linux and FreeBSD, and for Unix domain sockets.
///
/// ```
/// use tidegate_net::AcceptQueue;
/// /// Whether it is time to say no in a better way than by silence.
/// fn is_near_its_end(queue: AcceptQueue) -> Option<bool> {
///     Some(queue.depth? * 4 > queue.limit? * 3)
/// }
/// assert_eq!(is_near_its_end(AcceptQueue::default()), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct AcceptQueue {
    /// Connections that wait. Linux: `tcpi_unacked` of a listener's `TCP_INFO`; `Recv-Q` of
    /// `ss -lnt`.
    pub depth: Option<u32>,
    /// How many may: the backlog, or `net.core.somaxconn` if that is less. Linux accepts one more,
    /// and does not answer further clients (listen(2)). `tcpi_sacked`; `Send-Q` of `ss -lnt`.
    pub limit: Option<u32>,
}
