//! What is said of datagrams: [`Meta`] of a received one, [`SendOptions`] and [`SendFlow`] of one
//! to be sent, [`SendError`], [`Group`], and how a UDP socket ended. Plain data.
#![forbid(unsafe_code)]

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use crate::error::net_error::NetError;
use crate::metrics::{UdpStats, Waiting};

/// The two bits by which routers say that they are congested, RFC 3168.
///
/// ```
/// assert_eq!(tidegate_net::Ecn::from_bits(0xb8 | 3), tidegate_net::Ecn::CongestionExperienced);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ecn {
    /// The sender does not use it.
    #[default]
    NotCapable,
    /// ECT(1).
    Capable1,
    /// ECT(0).
    Capable0,
    /// CE: a router on the way is congested.
    CongestionExperienced,
}

impl Ecn {
    /// From the last two bits of a byte.
    pub fn from_bits(byte: u8) -> Ecn {
        match byte & 3 {
            0 => Ecn::NotCapable,
            1 => Ecn::Capable1,
            2 => Ecn::Capable0,
            _ => Ecn::CongestionExperienced,
        }
    }

    /// The two bits.
    pub fn bits(self) -> u8 {
        match self {
            Ecn::NotCapable => 0,
            Ecn::Capable1 => 1,
            Ecn::Capable0 => 2,
            Ecn::CongestionExperienced => 3,
        }
    }
}

/// What is known of a received datagram beside its bytes.
///
/// ```
/// use tidegate_net::OnDatagram;
/// let _ = OnDatagram::new(|_, data, meta| println!("{} bytes from {}", data.len(), meta.from));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Meta {
    /// Who sent it. The scope of a link-local address is kept; on a socket of both families IPv4
    /// addresses are mapped ones.
    pub from: SocketAddr,
    /// The address that it was sent to. With [`packet_info`](crate::UdpOptions::packet_info).
    pub to: Option<IpAddr>,
    /// The index of the interface that it came by. With `packet_info`.
    pub interface: Option<u32>,
    /// It was longer than [`max_datagram`](crate::UdpOptions::max_datagram): the rest is gone.
    pub truncated: bool,
    /// With [`ecn`](crate::UdpOptions::ecn).
    pub ecn: Option<Ecn>,
    /// When the kernel got it. With [`timestamps`](crate::UdpOptions::timestamps).
    pub kernel_time: Option<SystemTime>,
    /// The address of this host that an answer leaves from. With `packet_info`.
    pub(crate) local: Option<IpAddr>,
}

/// The answer to a send. As [`Flow`](crate::Flow) of connections, with one answer more: a
/// datagram that finds no room is dropped and the socket lives on.
///
/// ```
/// use tidegate_net::{OnDatagram, SendFlow};
/// let _ = OnDatagram::new(|u, data, meta| {
///     if u.send_to(data, meta.from) == SendFlow::Full {
///         u.pause(); // until on_drain
///     }
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "SendFlow::Full asks you to stop sending until on_drain"]
#[non_exhaustive]
pub enum SendFlow {
    /// Accepted. Go on.
    Ready,
    /// Accepted, and the queue, with the answers that wait, reached the high-water mark: stop until
    /// [`on_drain`](crate::UdpHandler::on_drain), which comes when the queue is empty, whether its
    /// datagrams were sent, failed or were dropped.
    Full,
    /// Not accepted: the queue is at its limit, or so many answers wait for their callbacks. It is
    /// counted as refused. `on_drain` comes.
    Dropped,
    /// Not accepted: the socket ends or is closed.
    Closed,
}

/// How one datagram is to be sent, by [`UdpCx::send_with`](crate::UdpCx::send_with).
///
/// A reply leaves from the address that was asked, which matters on a host with several:
///
/// ```
/// use tidegate_net::{OnDatagram, SendOptions};
/// let _ = OnDatagram::new(|u, data, meta| {
///     let _ = u.send_with(data, SendOptions::reply(meta));
/// });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct SendOptions {
    /// Where it goes; `None`: to the peer that the socket is connected to.
    pub to: Option<SocketAddr>,
    /// The source address. `None`: the system chooses. Linux; elsewhere the send fails.
    pub from: Option<IpAddr>,
    /// The index of the interface that it leaves by. Linux.
    pub interface: Option<u32>,
    /// Its ECN bits. Linux.
    pub ecn: Option<Ecn>,
    /// With it, [`on_sent`](crate::UdpHandler::on_sent) comes for the datagram.
    pub id: Option<u64>,
    /// The bytes are cut into datagrams of this length; the last may be shorter. The id is that of
    /// the last. On Linux they leave by one system call.
    pub segment: Option<u16>,
}

impl SendOptions {
    /// To this address.
    pub fn to(addr: SocketAddr) -> SendOptions {
        SendOptions { to: Some(addr), ..SendOptions::default() }
    }

    /// An answer: to the sender of this datagram, from the address that it was sent to. If that was
    /// a multicast or broadcast address, from the one that this host has in that network.
    pub fn reply(meta: &Meta) -> SendOptions {
        SendOptions { from: meta.local, ..SendOptions::to(meta.from) }
    }

    /// From this address.
    pub fn from(mut self, addr: IpAddr) -> SendOptions {
        self.from = Some(addr);
        self
    }

    /// By this interface.
    pub fn interface(mut self, index: u32) -> SendOptions {
        self.interface = Some(index);
        self
    }

    /// With these ECN bits.
    pub fn ecn(mut self, ecn: Ecn) -> SendOptions {
        self.ecn = Some(ecn);
        self
    }

    /// With a name, so that `on_sent` comes.
    pub fn id(mut self, id: u64) -> SendOptions {
        self.id = Some(id);
        self
    }

    /// Cut into datagrams of this length.
    pub fn segment(mut self, bytes: u16) -> SendOptions {
        self.segment = Some(bytes);
        self
    }
}

/// A datagram that was accepted and not sent. The socket goes on.
///
/// ```
/// fn line(e: &tidegate_net::SendError) -> String { format!("{} bytes: {e}", e.len) }
/// # let _ = line;
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct SendError {
    /// Where it was to go; `None`: to the connected peer.
    pub to: Option<SocketAddr>,
    /// Its length.
    pub len: usize,
    /// The largest datagram that reaches the connected peer in one piece, if it was too big and
    /// the system knows.
    pub path_mtu: Option<u32>,
    /// Why.
    pub error: NetError,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{} bytes", self.error, self.len)?;
        match self.path_mtu {
            Some(mtu) => write!(f, ", path MTU {mtu}]"),
            None => f.write_str("]"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// A multicast group on an interface, and maybe one source in it.
///
/// ```
/// use std::net::{Ipv4Addr, Ipv6Addr};
/// use tidegate_net::Group;
/// let any = Group::v4(Ipv4Addr::new(239, 1, 2, 3), Ipv4Addr::LOCALHOST);
/// let one = any.from_source(Ipv4Addr::LOCALHOST);
/// let six = Group::v6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb), 2);
/// assert!(any != one && one != six);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    pub(crate) at: GroupAt,
    pub(crate) source: Option<IpAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GroupAt {
    V4(Ipv4Addr, Ipv4Addr),
    V6(Ipv6Addr, u32),
}

impl Group {
    /// A group on the interface that has this address; `0.0.0.0`: the system chooses.
    pub fn v4(group: Ipv4Addr, interface: Ipv4Addr) -> Group {
        Group { at: GroupAt::V4(group, interface), source: None }
    }

    /// A group on the interface with this index; 0: the system chooses.
    pub fn v6(group: Ipv6Addr, interface: u32) -> Group {
        Group { at: GroupAt::V6(group, interface), source: None }
    }

    /// Only what this source sends to it.
    pub fn from_source(mut self, source: impl Into<IpAddr>) -> Group {
        self.source = Some(source.into());
        self
    }

    /// The group's address.
    pub fn address(&self) -> IpAddr {
        match self.at {
            GroupAt::V4(group, _) => group.into(),
            GroupAt::V6(group, _) => group.into(),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            GroupAt::V4(group, interface) => write!(f, "{group} on {interface}")?,
            GroupAt::V6(group, index) => write!(f, "{group} on interface {index}")?,
        }
        match self.source {
            Some(source) => write!(f, " from {source}"),
            None => Ok(()),
        }
    }
}

/// Why a UDP socket is over.
///
/// ```
/// assert_eq!(tidegate_net::UdpReason::Ended.to_string(), "ended");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum UdpReason {
    /// [`end`](crate::UdpCx::end), after what was queued.
    Ended,
    /// [`destroy`](crate::UdpCx::destroy), or `Cx::close`.
    Destroyed,
    /// The socket itself failed, again and again.
    Failed(Arc<NetError>),
    /// A callback of the socket panicked.
    Panicked,
}

impl UdpReason {
    /// The error, if it failed.
    pub fn error(&self) -> Option<&NetError> {
        match self {
            UdpReason::Failed(e) => Some(e),
            _ => None,
        }
    }

    /// Whether this is anything but an ordinary end.
    pub fn is_error(&self) -> bool {
        !matches!(self, UdpReason::Ended | UdpReason::Destroyed)
    }
}

impl fmt::Display for UdpReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UdpReason::Ended => f.write_str("ended"),
            UdpReason::Destroyed => f.write_str("destroyed"),
            UdpReason::Failed(e) => e.fmt(f),
            UdpReason::Panicked => f.write_str("a callback panicked"),
        }
    }
}

/// How a UDP socket ended, and what it counted. Each socket gets exactly one.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, OnDatagram};
/// let mut lp = Loop::new()?;
/// let key = lp.udp("127.0.0.1:0", OnDatagram::new(|_, _, _| {})
///     .close(|_, close| assert_eq!(close.unsent.datagrams, 0)))?;
/// lp.datagrams(key).destroy();
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct UdpClose {
    /// Why.
    pub reason: UdpReason,
    /// Datagrams that were accepted for sending and did not reach the kernel. For those with an id
    /// `on_sent` came with an error.
    pub unsent: Waiting,
    /// Datagrams that we received and did not deliver: a pause held them back, or a callback closed
    /// the socket or panicked before.
    pub undelivered: usize,
    /// The socket's counters.
    pub stats: UdpStats,
}

impl fmt::Display for UdpClose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)?;
        if self.unsent.datagrams > 0 {
            write!(f, " ({} datagrams unsent)", self.unsent.datagrams)?;
        }
        if self.undelivered > 0 {
            write!(f, " ({} datagrams undelivered)", self.undelivered)?;
        }
        Ok(())
    }
}
