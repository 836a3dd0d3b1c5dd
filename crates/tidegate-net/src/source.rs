//! [`source_for`]: which of this host's addresses the kernel would send from, and by which
//! interface. What the kernel is asked is in `sys/route.rs`.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::sys::route;

/// From where and by where datagrams and connections to a target leave: see [`source_for`].
///
/// ```
/// let source = tidegate_net::source_for("127.0.0.1:53".parse().unwrap())?;
/// println!("to 127.0.0.1 this host sends from {source}"); // 127.0.0.1 by lo
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Source {
    /// The source address.
    pub address: IpAddr,
    /// The name of the interface. `None` elsewhere than on Linux.
    pub interface: Option<String>,
    /// The router that the target is behind. `None` if it is in the same network, and elsewhere
    /// than on Linux.
    pub gateway: Option<IpAddr>,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if let Some(interface) = &self.interface {
            write!(f, " by {interface}")?;
        }
        match self.gateway {
            Some(gateway) => write!(f, " via {gateway}"),
            None => Ok(()),
        }
    }
}

/// The address, the interface and the router by which the kernel would reach this target, as
/// `ip route get` shows them. It sends nothing: a UDP socket is connected there, and the kernel is
/// asked for its route. `NetworkUnreachable` if there is none.
///
/// ```
/// let source = tidegate_net::source_for("127.0.0.1:53".parse().unwrap())?;
/// assert!(source.address.is_loopback() && source.gateway.is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn source_for(target: SocketAddr) -> io::Result<Source> {
    let socket = match target {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }?;
    // Port 0 is no target.
    let port = if target.port() == 0 { 9 } else { target.port() };
    let mut to = target;
    to.set_port(port);
    socket.connect(to)?;
    let address = socket.local_addr()?.ip();
    // A kernel that does not answer has chosen the address all the same.
    let (interface, gateway) = route::to(target).unwrap_or_default();
    Ok(Source { address, interface, gateway })
}
