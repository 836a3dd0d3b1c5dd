//! How a UDP socket is opened: [`UdpOptions`], every option with its default.
#![forbid(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};

use crate::block_list::BlockList;
use crate::options::address::At;
use crate::options::stream::refuse;
use crate::sys::udp::Extras;

/// How to open a UDP socket. A text (`"127.0.0.1:5353"`, `"[::1]:0"`, `":5353"`), an address, a
/// port or a socket of std turns into it.
///
/// A name is looked up inside the call, which then blocks; the first address is taken. Without a
/// host the socket is bound to `::` for both families, or to `0.0.0.0` where there is no IPv6.
///
/// An option that the system does not have, or that makes no sense here, is an error of
/// [`Net::udp`](crate::Net::udp).
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, OnDatagram, UdpOptions};
/// let mut lp = Loop::new()?;
/// let options = UdpOptions::new("127.0.0.1:0").receive_buffer(1 << 20).ttl(16);
/// let key = lp.udp(options, OnDatagram::new(|_, _, _| {}))?;
/// assert_ne!(lp.datagrams(key).local_addr()?.port(), 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct UdpOptions {
    pub(crate) place: Place,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) ipv6_only: Option<bool>,
    pub(crate) broadcast: bool,
    pub(crate) receive_buffer: Option<usize>,
    pub(crate) send_buffer: Option<usize>,
    pub(crate) ttl: Option<u32>,
    pub(crate) multicast_ttl: Option<u32>,
    pub(crate) multicast_loop: Option<bool>,
    pub(crate) extras: Extras,
    pub(crate) runs: bool,
    pub(crate) bounds: Bounds,
    pub(crate) block_list: Option<Arc<BlockList>>,
}

/// What bounds a socket; small, because each socket has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) queue: u32,
    pub(crate) high_water_mark: u32,
    pub(crate) when_full: WhenFull,
    /// `None`: the loop's.
    pub(crate) budget: Option<u32>,
    pub(crate) max_datagram: u32,
}

/// Where the socket is.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    At(At),
    Adopted(Arc<Mutex<Option<UdpSocket>>>),
}

/// What happens to a datagram for which the send queue has no room.
///
/// ```
/// assert_eq!(tidegate_net::WhenFull::default(), tidegate_net::WhenFull::Reject);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is not accepted: the send returns [`SendFlow::Dropped`](crate::SendFlow::Dropped).
    #[default]
    Reject,
    /// The oldest datagrams of the queue are dropped to make room: for data that is worth less the
    /// older it is. They are counted, and those with an id are reported.
    DropOldest,
    /// It is dropped, and the send returns [`SendFlow::Full`](crate::SendFlow::Full): for senders
    /// that do not care. It is counted, and reported if it has an id.
    DropNewest,
}

impl UdpOptions {
    /// Binds there.
    pub fn new(at: impl Into<UdpOptions>) -> UdpOptions {
        at.into()
    }

    /// A client: any free port, connected to this peer.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, OnDatagram, UdpOptions};
    /// let mut lp = Loop::new()?;
    /// let peer = "127.0.0.1:53".parse().unwrap();
    /// let key = lp.udp(UdpOptions::client(peer), OnDatagram::new(|_, _, _| {}))?;
    /// assert_eq!(lp.datagrams(key).peer_addr(), Some(peer));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn client(peer: SocketAddr) -> UdpOptions {
        let any: IpAddr = match peer {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        UdpOptions::at(Place::At(At::Addr((any, 0).into()))).connect(peer)
    }

    pub(crate) fn at(place: Place) -> UdpOptions {
        UdpOptions {
            place,
            peer: None,
            reuse_address: false,
            reuse_port: false,
            ipv6_only: None,
            broadcast: false,
            receive_buffer: None,
            send_buffer: None,
            ttl: None,
            multicast_ttl: None,
            multicast_loop: None,
            extras: Extras::default(),
            runs: true,
            bounds: Bounds {
                queue: 1 << 20,
                high_water_mark: 64 * 1024,
                when_full: WhenFull::default(),
                budget: None,
                max_datagram: 64 * 1024,
            },
            block_list: None,
        }
    }

    /// Exchanges datagrams with this peer alone: those of others are not received, and the errors
    /// of the network arrive at [`on_error`](crate::UdpHandler::on_error).
    pub fn connect(mut self, peer: SocketAddr) -> UdpOptions {
        self.peer = Some(peer);
        self
    }

    /// Other sockets may be bound to the same address (`SO_REUSEADDR`): for multicast. Of two
    /// sockets that got unicast datagrams, only the last one receives them. Default off.
    pub fn reuse_address(mut self, on: bool) -> UdpOptions {
        self.reuse_address = on;
        self
    }

    /// Several sockets share the port, and the system spreads the senders over them: one socket
    /// for each thread (`SO_REUSEPORT`). An error where the system does not, as on macOS and
    /// Windows. Default off.
    pub fn reuse_port(mut self, on: bool) -> UdpOptions {
        self.reuse_port = on;
        self
    }

    /// An IPv6 address receives from IPv6 only (true), or also from IPv4, as mapped addresses
    /// (false). Default: both if no host is given, else the system's. An error with an IPv4 address.
    pub fn ipv6_only(mut self, on: bool) -> UdpOptions {
        self.ipv6_only = Some(on);
        self
    }

    /// Sending to broadcast addresses is allowed. Default off: such a send fails with `EACCES`.
    pub fn broadcast(mut self, on: bool) -> UdpOptions {
        self.broadcast = on;
        self
    }

    /// The kernel's receive buffer, in bytes. What comes beyond it is dropped. Linux doubles the
    /// number, and silently takes no more than `net.core.rmem_max`:
    /// [`UdpQueues::receive_limit`](crate::UdpQueues::receive_limit) has the result.
    pub fn receive_buffer(mut self, bytes: usize) -> UdpOptions {
        self.receive_buffer = Some(bytes);
        self
    }

    /// The kernel's send buffer, in bytes, as [`receive_buffer`](UdpOptions::receive_buffer).
    pub fn send_buffer(mut self, bytes: usize) -> UdpOptions {
        self.send_buffer = Some(bytes);
        self
    }

    /// How many routers a datagram may pass: 1 to 255. Default: the system's, mostly 64.
    pub fn ttl(mut self, hops: u32) -> UdpOptions {
        self.ttl = Some(hops);
        self
    }

    /// How many routers a multicast datagram may pass: 0 to 255. Default 1.
    pub fn multicast_ttl(mut self, hops: u32) -> UdpOptions {
        self.multicast_ttl = Some(hops);
        self
    }

    /// Whether multicast datagrams that this host sends reach its own sockets, too. Default on.
    pub fn multicast_loop(mut self, on: bool) -> UdpOptions {
        self.multicast_loop = Some(on);
        self
    }

    /// Fills in [`Meta::to`](crate::Meta::to) and [`Meta::interface`](crate::Meta::interface).
    /// Linux; elsewhere an error. Default off.
    pub fn packet_info(mut self, on: bool) -> UdpOptions {
        self.extras.packet_info = on;
        self
    }

    /// Fills in [`Meta::ecn`](crate::Meta::ecn). Linux; elsewhere an error. Default off.
    pub fn ecn(mut self, on: bool) -> UdpOptions {
        self.extras.ecn = on;
        self
    }

    /// Fills in [`Meta::kernel_time`](crate::Meta::kernel_time). Linux; elsewhere an error. Default
    /// off.
    pub fn timestamps(mut self, on: bool) -> UdpOptions {
        self.extras.timestamps = on;
        self
    }

    /// Sends no fragments: what is larger than the path MTU fails with `EMSGSIZE`. Linux; elsewhere
    /// an error. Default off.
    pub fn dont_fragment(mut self, on: bool) -> UdpOptions {
        self.extras.dont_fragment = on;
        self
    }

    /// The kernel may hand over many equal datagrams of one sender in one piece (GRO). They are
    /// split before you get them. For bulk traffic. Linux; elsewhere an error. Default off.
    pub fn receive_offload(mut self, on: bool) -> UdpOptions {
        self.extras.receive_offload = on;
        self
    }

    /// Equal datagrams that follow each other to one address leave the process in one piece, and the
    /// kernel or the device cuts it (GSO). Linux; elsewhere they leave one by one. Default on.
    pub fn send_offload(mut self, on: bool) -> UdpOptions {
        self.runs = on;
        self
    }

    /// Errors of the network about datagrams that were sent (`IP_RECVERR`): `on_error` gets each,
    /// with its destination. Without it only connected sockets hear of them. Linux; elsewhere an
    /// error. Default off.
    pub fn transport_errors(mut self, on: bool) -> UdpOptions {
        self.extras.transport_errors = on;
        self
    }

    /// How much may wait in our send queue; default 1 MiB. Counted are the bytes, and about 100
    /// bytes for each datagram. Answers that wait for their callbacks (`on_sent`, `on_send_error`)
    /// count as much again, with the same limit. See [`when_full`](UdpOptions::when_full).
    pub fn queue_limit(mut self, bytes: usize) -> UdpOptions {
        self.bounds.queue = small(bytes);
        self
    }

    /// From how many queued bytes on a send returns [`SendFlow::Full`](crate::SendFlow::Full);
    /// default 64 KiB.
    pub fn high_water_mark(mut self, bytes: usize) -> UdpOptions {
        self.bounds.high_water_mark = small(bytes);
        self
    }

    /// What happens at the limit; default: reject.
    pub fn when_full(mut self, policy: WhenFull) -> UdpOptions {
        self.bounds.when_full = policy;
        self
    }

    /// Datagrams that the socket receives in one turn; default:
    /// [`UdpLimits::datagram_budget`](crate::UdpLimits::datagram_budget). 0 is an error.
    pub fn datagram_budget(mut self, datagrams: u32) -> UdpOptions {
        self.bounds.budget = Some(datagrams);
        self
    }

    /// Longer datagrams are cut: see [`Meta::truncated`](crate::Meta::truncated). Default, and most:
    /// 64 KiB, so none is.
    pub fn max_datagram(mut self, bytes: usize) -> UdpOptions {
        self.bounds.max_datagram = small(bytes);
        self
    }

    /// Addresses that must not be talked to: what they send is counted and not delivered, what is
    /// sent to them fails with
    /// [`PermissionDenied`](std::io::ErrorKind::PermissionDenied).
    pub fn block_list(mut self, list: impl Into<Arc<BlockList>>) -> UdpOptions {
        self.block_list = Some(list.into());
        self
    }

    /// Whether every option has a meaning and is in its range.
    pub(crate) fn check(&self) -> io::Result<()> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if let Some(ttl) = self.ttl.filter(|ttl| !(1..=255).contains(ttl)) {
            return invalid(format!("ttl is {ttl}; use 1 to 255"));
        }
        if let Some(ttl) = self.multicast_ttl.filter(|ttl| *ttl > 255) {
            return invalid(format!("multicast_ttl is {ttl}; use 0 to 255"));
        }
        if self.bounds.budget == Some(0) {
            return invalid("datagram_budget is 0: nothing could ever come; use 1 or more".into());
        }
        if self.bounds.max_datagram == 0 {
            return invalid("max_datagram is 0: nothing could ever come; use 1 or more".into());
        }
        let before_bind = [
            ("reuse_address", self.reuse_address),
            ("reuse_port", self.reuse_port),
            ("ipv6_only", self.ipv6_only.is_some()),
        ];
        match &self.place {
            Place::Adopted(_) => refuse(before_bind, "a socket that is bound already"),
            Place::At(_) => Ok(()),
        }
    }

    /// The socket to be taken over, once.
    pub(crate) fn take(adopted: &Mutex<Option<UdpSocket>>) -> Option<UdpSocket> {
        adopted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

fn small(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

macro_rules! from {
    ($($t:ty => |$x:ident| $at:expr;)*) => {
        $(impl From<$t> for UdpOptions {
            fn from($x: $t) -> UdpOptions { UdpOptions::at(Place::At($at)) }
        })*
    };
}

from! {
    &str => |s| At::Text(s.to_owned());
    String => |s| At::Text(s);
    SocketAddr => |a| At::Addr(a);
    (IpAddr, u16) => |a| At::Addr(a.into());
    (&str, u16) => |a| At::Host(a.0.to_owned(), a.1);
    u16 => |port| At::Port(port);
}

/// A socket that is bound already, and maybe connected: it is used from then on by this loop alone.
/// Options that apply before bind are an error. Cloned options cannot be used twice.
impl From<UdpSocket> for UdpOptions {
    fn from(socket: UdpSocket) -> UdpOptions {
        UdpOptions::at(Place::Adopted(Arc::new(Mutex::new(Some(socket)))))
    }
}
