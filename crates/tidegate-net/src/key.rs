//! The keys of this layer: plain 8-byte data, valid or stale, never dangling.
#![forbid(unsafe_code)]

use std::fmt;

use tidegate_loop::Key;
use tidegate_loop::kind::Owner;

/// Whose the handles of this crate are.
pub(crate) static OWNER: Owner = Owner::new();

/// Names a connection. `Copy`; keep it in another connection's handler to reach
/// this one by [`Net::socket`](crate::Net::socket).
///
/// ```
/// assert_eq!(size_of::<Option<tidegate_net::SocketKey>>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketKey(pub(crate) Key);

/// Names a server.
///
/// ```
/// assert_eq!(size_of::<tidegate_net::ServerKey>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerKey(pub(crate) Key);

/// Names a UDP socket.
///
/// ```
/// assert_eq!(size_of::<Option<tidegate_net::UdpKey>>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UdpKey(pub(crate) Key);

impl From<SocketKey> for Key {
    fn from(k: SocketKey) -> Key {
        k.0
    }
}

impl From<ServerKey> for Key {
    fn from(k: ServerKey) -> Key {
        k.0
    }
}

impl From<UdpKey> for Key {
    fn from(k: UdpKey) -> Key {
        k.0
    }
}

impl fmt::Debug for UdpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "udp {:?}", self.0)
    }
}

impl fmt::Debug for SocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "socket {:?}", self.0)
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {:?}", self.0)
    }
}
