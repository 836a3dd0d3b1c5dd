//! [`source_for`]: which of this host's addresses the kernel would send from.
#![forbid(unsafe_code)]

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address that the kernel would send from to reach this target, as `ip route get` shows. It
/// sends nothing: a UDP socket is connected there, and asked. `NetworkUnreachable` if there is no
/// route. The port means nothing.
///
/// ```
/// let source = tidegate_net::source_for("127.0.0.1:53".parse().unwrap())?;
/// assert!(source.ip().is_loopback());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn source_for(target: SocketAddr) -> io::Result<SocketAddr> {
    let socket = match target {
        SocketAddr::V4(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)),
    }?;
    // Port 0 is no target.
    let port = if target.port() == 0 { 9 } else { target.port() };
    let mut to = target;
    to.set_port(port);
    socket.connect(to)?;
    socket.local_addr()
}
