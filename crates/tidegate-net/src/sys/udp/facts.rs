//! What is said about datagrams: beside a received one, for one that is sent, of the socket.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

/// What the kernel said beside one datagram, if it was asked to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Beside {
    pub(crate) to: Option<IpAddr>,
    /// The address of this host that an answer leaves from. Not that of a group or a broadcast.
    pub(crate) local: Option<IpAddr>,
    pub(crate) interface: Option<u32>,
    /// The byte of the header whose last two bits are ECN.
    pub(crate) tos: Option<u8>,
    pub(crate) time: Option<SystemTime>,
    /// Several datagrams in one, each of this length; the last may be shorter.
    pub(crate) segment: Option<usize>,
}

/// What one system call sends: one datagram, or a run of equal ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outgoing<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) to: Option<SocketAddr>,
    pub(crate) from: Option<IpAddr>,
    pub(crate) interface: Option<u32>,
    pub(crate) ecn: Option<u8>,
    /// The kernel cuts `data` into datagrams of this length.
    pub(crate) segment: Option<u16>,
}

impl Outgoing<'_> {
    /// Whether it needs control messages.
    #[inline]
    pub(crate) fn has_control(&self) -> bool {
        self.has_family() || self.segment.is_some()
    }

    /// Whether it needs control messages that differ between IPv4 and IPv6.
    #[inline]
    pub(crate) fn has_family(&self) -> bool {
        self.from.is_some() || self.interface.is_some() || self.ecn.is_some()
    }
}

/// What a socket is asked to say beside datagrams, and how it treats them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Extras {
    pub(crate) packet_info: bool,
    pub(crate) ecn: bool,
    pub(crate) timestamps: bool,
    pub(crate) receive_offload: bool,
    pub(crate) dont_fragment: bool,
    pub(crate) transport_errors: bool,
}

impl Extras {
    /// Whether there may be control messages beside a datagram.
    pub(crate) fn has_control(&self) -> bool {
        self.packet_info || self.ecn || self.timestamps || self.receive_offload
    }

    /// What one of both has.
    pub(crate) fn or(self, other: Extras) -> Extras {
        Extras {
            packet_info: self.packet_info || other.packet_info,
            ecn: self.ecn || other.ecn,
            timestamps: self.timestamps || other.timestamps,
            receive_offload: self.receive_offload || other.receive_offload,
            dont_fragment: self.dont_fragment || other.dont_fragment,
            transport_errors: self.transport_errors || other.transport_errors,
        }
    }

    /// The first that is asked for, for systems that have none.
    #[cfg_attr(target_os = "linux", allow(dead_code))]
    pub(crate) fn any(&self) -> Option<&'static str> {
        let all = [
            ("packet_info", self.packet_info),
            ("ecn", self.ecn),
            ("timestamps", self.timestamps),
            ("receive_offload", self.receive_offload),
            ("dont_fragment", self.dont_fragment),
            ("transport_errors", self.transport_errors),
        ];
        all.into_iter().find(|(_, on)| *on).map(|(name, _)| name)
    }
}

/// What a failed send says about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The send buffer is full; the poller says when there is room.
    Blocked,
    /// A queue below the socket is full; nothing says when there is room.
    NoBuffers,
    /// The device does not cut runs, or not into pieces of this length.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    Segments { never: bool },
    /// The datagram, or an earlier one.
    Datagram,
}

/// An error of the network about a datagram that was sent before.
#[derive(Debug)]
pub(crate) struct SoftError {
    pub(crate) error: io::Error,
    pub(crate) to: Option<SocketAddr>,
}

/// What waits in the kernel for a UDP socket, and what was lost there. By
/// [`UdpCx::queues`](crate::UdpCx::queues) and [`UdpGauge::read`](crate::UdpGauge::read).
///
/// ```text
/// send -> ours -> send queue -> network -> receive queue -> on_datagram
///          |          |            |            |
///       refused    ENOBUFS    nobody knows    drops
/// ```
///
/// Numbers are bytes unless noted. The kernel counts the memory that a datagram needs, not its
/// length: one of 100 bytes counts about 800 bytes. `None` means that the system does not report it:
/// everything elsewhere than on Linux (`SO_MEMINFO`, socket(7)).
///
/// ```
/// use tidegate_net::UdpQueues;
/// fn is_near_its_end(queues: UdpQueues) -> Option<bool> {
///     Some(queues.receive? * 4 > queues.receive_limit? * 3)
/// }
/// assert_eq!(is_near_its_end(UdpQueues::default()), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct UdpQueues {
    /// Arrived, and not received by us.
    pub receive: Option<u64>,
    /// How much may wait: the receive buffer. What comes beyond it is dropped.
    pub receive_limit: Option<u64>,
    /// Sent by us, and still held by this host.
    pub send: Option<u64>,
    /// How much may be held: the send buffer. Beyond it, datagrams wait in our queue.
    pub send_limit: Option<u64>,
    /// Datagrams that arrived and were dropped since the socket was made: the receive buffer was
    /// full, a checksum was wrong, or a filter refused them. 32 bits, so it wraps.
    pub drops: Option<u64>,
}
