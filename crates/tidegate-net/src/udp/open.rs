//! Making a UDP socket: create, options, bind, connect. Or taking over one that is there.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};
use tidegate_loop::Cx;

use crate::callbacks::udp_handler::UdpHandler;
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::key::UdpKey;
use crate::lookup;
use crate::options::address::Target;
use crate::options::stream::{set_recv_buffer, set_send_buffer};
use crate::options::udp::{Place, UdpOptions};
use crate::sys;
use crate::sys::udp::{Extras, extras_of, set_extras};
use crate::udp::machine::flush::Segments;
use crate::udp::pass::DATAGRAMS;
use crate::udp::state::{Counts, Is, Life, UDP, Udp, Watched};
use crate::udp_event::UdpEvent;

/// A train of datagrams is no longer than the longest datagram.
const LONGEST_TRAIN: u32 = 65_535;

/// Opens a socket. `handler` is kept, or dropped after the current callback.
pub(crate) fn open(
    cx: &mut Cx<'_>,
    options: UdpOptions,
    handler: Box<dyn UdpHandler>,
) -> Result<UdpKey, NetError> {
    match make(&options) {
        Ok((socket, extras)) => enter(cx, &options, (socket, extras), handler),
        Err(e) => {
            cx.driver().bury(handler);
            Err(e)
        }
    }
}

fn enter(
    cx: &mut Cx<'_>,
    options: &UdpOptions,
    (socket, extras): (UdpSocket, Extras),
    handler: Box<dyn UdpHandler>,
) -> Result<UdpKey, NetError> {
    let (layer, mut d) = cx.layer(&UDP);
    let entry = layer.sockets.vacant_entry();
    let index = entry.key();
    let mut h = match d.insert(&DATAGRAMS, entry.key() as u64) {
        Ok(h) => h,
        Err(full) => {
            d.bury(handler);
            return Err(NetError::new(Stage::Register, full.into()));
        }
    };
    let key = UdpKey(h.key());
    let peer = socket.peer_addr().ok();
    let u = entry.insert(Udp {
        key,
        is: Is {
            v6: socket.local_addr().is_ok_and(|a| a.is_ipv6()),
            connected: peer.is_some(),
            controlled: extras.has_control(),
            train: u8::from(extras.receive_offload),
            hears_errors: extras.transport_errors,
            ..Is::default()
        },
        socket: Some(socket),
        handler: Some(handler),
        queue: None,
        rare: None,
        bounds: options.bounds,
        pace: Default::default(),
        segments: if options.runs { Segments::default() } else { Segments { most: 0 } },
        life: Life::Open,
        watched: Watched::Nothing,
        counts: Counts::default(),
    });
    if options.block_list.is_some() {
        u.rare().block_list = options.block_list.clone();
    }
    if let Err(e) = u.first_watch(&mut h) {
        h.free();
        d.bury(layer.sockets.remove(index).handler);
        return Err(NetError::new(Stage::Register, e));
    }
    u.tell(&mut h, || UdpEvent::Bound);
    if let Some(peer) = peer {
        u.tell(&mut h, || UdpEvent::Connected { peer });
    }
    Ok(key)
}

/// The socket, and which of the extras it has.
fn make(options: &UdpOptions) -> Result<(UdpSocket, Extras), NetError> {
    let checked = options.check().and_then(|()| whole_trains(&options.extras, options));
    checked.map_err(|e| NetError::new(Stage::Bind, e))?;
    let at = match &options.place {
        Place::At(at) => at,
        Place::Adopted(socket) => {
            let used = || io::Error::new(ErrorKind::InvalidInput, "these options were used before");
            let socket = UdpOptions::take(socket).ok_or_else(used);
            return socket
                .and_then(|s| adopt(s, options))
                .map_err(|e| NetError::new(Stage::Bind, e));
        }
    };
    let target = at.target().map_err(|e| NetError::new(Stage::Bind, e.into()))?;
    let is_any = matches!(target, Target::AnyHost(_));
    let mut first = None;
    for addr in candidates(&target)? {
        match bind(addr, options, is_any) {
            Ok(socket) => return Ok((socket, options.extras)),
            Err(e) => {
                // Without a host: no IPv6 here, so IPv4 it is.
                let next = is_any && e.kind() != ErrorKind::AddrInUse;
                first.get_or_insert(e);
                if !next {
                    break;
                }
            }
        }
    }
    Err(first.unwrap_or_else(|| NetError::new(Stage::Lookup, ErrorKind::NotFound.into())))
}

/// A buffer that cuts a train cuts off whole datagrams.
fn whole_trains(extras: &Extras, options: &UdpOptions) -> io::Result<()> {
    if !extras.receive_offload || options.bounds.max_datagram >= LONGEST_TRAIN {
        return Ok(());
    }
    let text =
        "max_datagram and receive_offload: a train of datagrams would be cut; use one of them";
    Err(io::Error::new(ErrorKind::InvalidInput, text))
}

/// What to try, in order. A name takes the first address that the lookup says, which may block.
fn candidates(target: &Target) -> Result<Vec<SocketAddr>, NetError> {
    match target {
        Target::Addr(a) => Ok(vec![*a]),
        Target::Path(_) => Ok(Vec::new()),
        Target::AnyHost(port) => {
            Ok(vec![(Ipv6Addr::UNSPECIFIED, *port).into(), (Ipv4Addr::UNSPECIFIED, *port).into()])
        }
        Target::Name(host, port) => {
            let found = lookup::resolve(host).map_err(|e| {
                NetError::new(Stage::Lookup, e).tried(Some(format!("{host}:{port}")), Vec::new())
            })?;
            Ok(found.into_iter().take(1).map(|a| SocketAddr::new(a.ip(), *port)).collect())
        }
    }
}

fn bind(addr: SocketAddr, options: &UdpOptions, is_any: bool) -> Result<UdpSocket, NetError> {
    let failed = |e| NetError::new(Stage::Bind, e).at(Some(addr), None);
    let socket = RawSocket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))
        .map_err(failed)?;
    socket.set_nonblocking(true).map_err(failed)?;
    if options.ipv6_only.is_some() && addr.is_ipv4() {
        let text = "ipv6_only is for IPv6 addresses";
        return Err(failed(io::Error::new(ErrorKind::InvalidInput, text)));
    }
    let only = options.ipv6_only.or((is_any && addr.is_ipv6()).then_some(false));
    if let Some(only) = only {
        socket.set_only_v6(only).map_err(failed)?;
    }
    if options.reuse_address {
        socket.set_reuse_address(true).map_err(failed)?;
    }
    if options.reuse_port {
        sys::reuse_port(&socket).map_err(failed)?;
    }
    let socket = UdpSocket::from_std(socket.into());
    apply(&socket, addr.is_ipv6(), options).map_err(failed)?;
    SockRef::from(&socket).bind(&addr.into()).map_err(failed)?;
    connect(&socket, options)?;
    Ok(socket)
}

fn connect(socket: &UdpSocket, options: &UdpOptions) -> Result<(), NetError> {
    let Some(peer) = options.peer else { return Ok(()) };
    let failed = |e| NetError::new(Stage::Connect, e).at(None, Some(peer));
    socket.connect(sys::reachable(peer)).map_err(failed)
}

/// Takes over a socket. What it has on stays on: errors that nobody takes would wake the loop for
/// ever, and trains that nobody splits would be other datagrams.
fn adopt(socket: std::net::UdpSocket, options: &UdpOptions) -> io::Result<(UdpSocket, Extras)> {
    let invalid = |text| io::Error::new(ErrorKind::InvalidInput, text);
    if SockRef::from(&socket).r#type()? != Type::DGRAM {
        return Err(invalid("this is no datagram socket"));
    }
    let local = SockRef::from(&socket).local_addr()?;
    let local = local.as_socket().ok_or_else(|| invalid("this is no UDP socket"))?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket);
    let extras = options.extras.or(extras_of(&socket));
    whole_trains(&extras, options)?;
    apply(&socket, local.is_ipv6(), options)?;
    connect(&socket, options).map_err(|e| e.into_source())?;
    Ok((socket, extras))
}

/// The options that a socket can have at any time.
fn apply(socket: &UdpSocket, v6: bool, options: &UdpOptions) -> io::Result<()> {
    let raw = SockRef::from(socket);
    if let Some(bytes) = options.receive_buffer {
        set_recv_buffer(&raw, bytes)?;
    }
    if let Some(bytes) = options.send_buffer {
        set_send_buffer(&raw, bytes)?;
    }
    if options.broadcast {
        raw.set_broadcast(true)?;
    }
    if let Some(hops) = options.ttl {
        set_ttl(&raw, v6, hops)?;
    }
    if let Some(hops) = options.multicast_ttl {
        set_multicast_ttl(&raw, v6, hops)?;
    }
    if let Some(on) = options.multicast_loop {
        set_multicast_loop(&raw, v6, on)?;
    }
    set_extras(socket, v6, &options.extras)
}

pub(crate) fn set_ttl(socket: &SockRef<'_>, v6: bool, hops: u32) -> io::Result<()> {
    if v6 { socket.set_unicast_hops_v6(hops) } else { socket.set_ttl_v4(hops) }
}

pub(crate) fn set_multicast_ttl(socket: &SockRef<'_>, v6: bool, hops: u32) -> io::Result<()> {
    if v6 { socket.set_multicast_hops_v6(hops) } else { socket.set_multicast_ttl_v4(hops) }
}

pub(crate) fn set_multicast_loop(socket: &SockRef<'_>, v6: bool, on: bool) -> io::Result<()> {
    if v6 { socket.set_multicast_loop_v6(on) } else { socket.set_multicast_loop_v4(on) }
}
