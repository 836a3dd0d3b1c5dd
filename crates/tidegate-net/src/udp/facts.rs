//! What a user may ask a UDP socket, and the options that an open one can change: groups, TTL,
//! broadcast.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use mio::net::UdpSocket;
use socket2::{InterfaceIndexOrAddress, SockRef};
use tidegate_loop::kind::Handle;
use tidegate_loop::{Cx, KeyError};

use crate::callbacks::contexts::UdpCx;
use crate::datagram::{Group, GroupAt};
use crate::gauge::{UdpGauge, UdpGauged};
use crate::metrics::{UdpMetrics, UdpStats, Waiting};
use crate::sys::UdpQueues;
use crate::sys::udp::{self as sys, join_source_v6, leave_source_v6};
use crate::udp::open::{set_multicast_loop, set_multicast_ttl, set_ttl};
use crate::udp::state::{UDP, Udp};
use crate::udp_event::UdpEvent;

impl UdpCx<'_> {
    fn look<R>(&mut self, f: impl FnOnce(&mut Udp, &mut Handle<'_>) -> R) -> Result<R, KeyError> {
        self.cx.validate(self.key)?;
        let (layer, mut d) = self.cx.layer(&UDP);
        let (u, mut h, _) = layer.lend(&mut d, self.key).ok_or(KeyError::Closed)?;
        Ok(f(u, &mut h))
    }

    fn ask<R>(&mut self, f: impl FnOnce(&UdpSocket, bool) -> io::Result<R>) -> io::Result<R> {
        self.look(|u, _| match &u.socket {
            Some(socket) => f(socket, u.is.v6),
            None => Err(KeyError::Closed.into()),
        })?
    }

    /// Where the socket is bound: the port that the system chose for 0.
    pub fn local_addr(&mut self) -> io::Result<SocketAddr> {
        self.ask(|socket, _| socket.local_addr())
    }

    /// The peer that it is connected to.
    pub fn peer_addr(&mut self) -> Option<SocketAddr> {
        self.ask(|socket, _| socket.peer_addr()).ok()
    }

    /// What waits in our queue to be sent.
    pub fn waiting(&mut self) -> Waiting {
        self.look(|u, _| u.waiting()).unwrap_or_default()
    }

    /// The socket's counters.
    pub fn stats(&mut self) -> Result<UdpStats, KeyError> {
        self.look(|u, _| u.stats())
    }

    /// Whether nothing is received, because of [`pause`](UdpCx::pause).
    pub fn is_paused(&mut self) -> bool {
        self.look(|u, _| u.is.paused).unwrap_or(false)
    }

    /// What waits in the kernel, and what it has dropped. One system call.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, OnDatagram};
    /// let mut lp = Loop::new()?;
    /// let key = lp.udp("127.0.0.1:0", OnDatagram::new(|_, _, _| {}))?;
    /// if let Some(drops) = lp.datagrams(key).queues()?.drops {
    ///     assert_eq!(drops, 0);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn queues(&mut self) -> Result<UdpQueues, KeyError> {
        self.look(|u, _| u.socket.as_ref().map(sys::udp_queues).ok_or(KeyError::Closed))?
    }

    /// [`queues`](UdpCx::queues) for another thread: it may ask while this one is inside a callback.
    pub fn gauge(&mut self) -> io::Result<UdpGauge> {
        self.look(|u, _| {
            let socket = u.socket.as_ref().ok_or(KeyError::Closed)?;
            if let Some(gauged) = u.rare.as_ref().and_then(|r| r.gauged.as_ref()) {
                return Ok(gauged.gauge());
            }
            let gauged = UdpGauged::new(sys::duplicate_udp(socket)?);
            let gauge = gauged.gauge();
            u.rare().gauged = Some(gauged);
            Ok(gauge)
        })?
    }

    /// Whether sending to broadcast addresses is allowed.
    pub fn set_broadcast(&mut self, on: bool) -> io::Result<()> {
        self.ask(|socket, _| SockRef::from(socket).set_broadcast(on))
    }

    /// How many routers a datagram may pass: 1 to 255.
    pub fn set_ttl(&mut self, hops: u32) -> io::Result<()> {
        in_range(hops, 1)?;
        self.ask(|socket, v6| set_ttl(&SockRef::from(socket), v6, hops))
    }

    /// How many routers a multicast datagram may pass: 0 to 255.
    pub fn set_multicast_ttl(&mut self, hops: u32) -> io::Result<()> {
        in_range(hops, 0)?;
        self.ask(|socket, v6| set_multicast_ttl(&SockRef::from(socket), v6, hops))
    }

    /// Whether multicast datagrams that this host sends reach its own sockets.
    pub fn set_multicast_loop(&mut self, on: bool) -> io::Result<()> {
        self.ask(|socket, v6| set_multicast_loop(&SockRef::from(socket), v6, on))
    }

    /// By which interface multicast datagrams leave: for IPv4 the interface with this address. An
    /// error for a socket of IPv6, which wants an index.
    pub fn set_multicast_interface(&mut self, address: std::net::Ipv4Addr) -> io::Result<()> {
        self.ask(|socket, v6| match v6 {
            true => Err(ErrorKind::InvalidInput.into()),
            false => SockRef::from(socket).set_multicast_if_v4(&address),
        })
    }

    /// The same by the index of the interface, for IPv6.
    pub fn set_multicast_interface_index(&mut self, index: u32) -> io::Result<()> {
        self.ask(|socket, v6| match v6 {
            true => SockRef::from(socket).set_multicast_if_v6(index),
            false => Err(ErrorKind::InvalidInput.into()),
        })
    }

    /// Receives what is sent to this group. Twice is an error.
    ///
    /// ```
    /// use std::net::Ipv4Addr;
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Group, Net, OnDatagram, UdpOptions};
    /// let mut lp = Loop::new()?;
    /// let options = UdpOptions::new("0.0.0.0:0").reuse_address(true);
    /// let key = lp.udp(options, OnDatagram::new(|_, _, _| {}))?;
    /// let unicast = Group::v4(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::UNSPECIFIED);
    /// let e = lp.datagrams(key).join(unicast).unwrap_err();
    /// assert_eq!(e.to_string(), "10.0.0.1 is no multicast address");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join(&mut self, group: Group) -> io::Result<()> {
        self.ask(|socket, v6| member(socket, v6, group, true))?;
        self.look(|u, h| u.tell(h, || UdpEvent::Joined(group)))?;
        Ok(())
    }

    /// Takes back [`join`](UdpCx::join), with the same group.
    pub fn leave(&mut self, group: Group) -> io::Result<()> {
        self.ask(|socket, v6| member(socket, v6, group, false))?;
        self.look(|u, h| u.tell(h, || UdpEvent::Left(group)))?;
        Ok(())
    }
}

fn in_range(hops: u32, least: u32) -> io::Result<()> {
    if (least..=255).contains(&hops) {
        return Ok(());
    }
    let text = format!("{hops} hops; use {least} to 255");
    Err(io::Error::new(ErrorKind::InvalidInput, text))
}

fn member(socket: &UdpSocket, v6: bool, group: Group, joins: bool) -> io::Result<()> {
    let invalid = |text: String| Err(io::Error::new(ErrorKind::InvalidInput, text));
    let address = group.address();
    if !address.is_multicast() {
        return invalid(format!("{address} is no multicast address"));
    }
    let raw = SockRef::from(socket);
    match (group.at, group.source, joins) {
        (GroupAt::V6(..), _, _) if !v6 => invalid(format!("{address} is IPv6, the socket is IPv4")),
        (GroupAt::V4(..), _, _) if v6 => invalid(format!("{address} is IPv4, the socket is IPv6")),
        (GroupAt::V4(group, interface), None, _) => {
            let interface = InterfaceIndexOrAddress::Address(interface);
            match joins {
                true => raw.join_multicast_v4_n(&group, &interface),
                false => raw.leave_multicast_v4_n(&group, &interface),
            }
        }
        (GroupAt::V4(group, interface), Some(IpAddr::V4(source)), true) => {
            raw.join_ssm_v4(&source, &group, &interface)
        }
        (GroupAt::V4(group, interface), Some(IpAddr::V4(source)), false) => {
            raw.leave_ssm_v4(&source, &group, &interface)
        }
        (GroupAt::V6(group, index), None, true) => raw.join_multicast_v6(&group, index),
        (GroupAt::V6(group, index), None, false) => raw.leave_multicast_v6(&group, index),
        (GroupAt::V6(group, index), Some(IpAddr::V6(source)), true) => {
            join_source_v6(socket, group, source, index)
        }
        (GroupAt::V6(group, index), Some(IpAddr::V6(source)), false) => {
            leave_source_v6(socket, group, source, index)
        }
        (_, Some(source), _) => {
            invalid(format!("the source {source} and the group {address} are of two families"))
        }
    }
}

/// The counters of every UDP socket of the loop.
pub(crate) fn sockets(cx: &mut Cx<'_>) -> Vec<UdpMetrics> {
    let layer = cx.layer(&UDP).0;
    let of = |u: &Udp| UdpMetrics {
        key: u.key,
        local: u.socket.as_ref().and_then(|s| s.local_addr().ok()),
        stats: u.stats(),
        waiting: u.waiting(),
        queues: u.socket.as_ref().map(sys::udp_queues).unwrap_or_default(),
    };
    layer.sockets.iter().map(|(_, u)| of(u)).collect()
}
