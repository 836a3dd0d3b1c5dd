//! [`Remote`]: the peer's address of a connection, small, since every connection has one; and what
//! follows from there being none. [`Counted`]: to whose connections it counts.
#![forbid(unsafe_code)]

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use tidegate_loop::event::Readiness;

/// The peer's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Remote {
    /// There is none, or none yet.
    Unknown,
    V4(SocketAddrV4),
    /// Of IPv6, without a scope and a flow.
    V6([u8; 16], u16),
    /// What few connections have keeps it.
    Rare,
}

impl Remote {
    #[inline]
    pub(crate) fn new(at: Option<SocketAddr>) -> Remote {
        match at {
            None => Remote::Unknown,
            Some(SocketAddr::V4(at)) => Remote::V4(at),
            Some(SocketAddr::V6(at)) if at.scope_id() == 0 && at.flowinfo() == 0 => {
                Remote::V6(at.ip().octets(), at.port())
            }
            Some(SocketAddr::V6(_)) => Remote::Rare,
        }
    }

    /// The address, if it is in here.
    #[inline]
    pub(crate) fn get(self) -> Option<SocketAddr> {
        match self {
            Remote::V4(at) => Some(SocketAddr::V4(at)),
            Remote::V6(ip, port) => {
                Some(SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, 0)))
            }
            Remote::Unknown | Remote::Rare => None,
        }
    }
}

/// Whether a connection counts to those of a peer, and of which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Counted {
    No,
    /// Of the other end of its socket.
    Transport,
    /// Of the peer that a header named.
    Peer,
}

/// What is known of a new stream before the poller spoke. On a Unix domain socket, which has no
/// address, a read stops behind each descriptor that was passed.
#[inline]
pub(crate) fn new_bits(remote: Option<SocketAddr>) -> Readiness {
    match remote {
        Some(_) => Readiness::WRITABLE,
        None => Readiness::WRITABLE | Readiness::SHORT_READS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_whole_or_elsewhere() {
        assert!(size_of::<Remote>() <= 20);
        for at in ["127.0.0.1:80", "[::1]:80", "[::ffff:10.0.0.1]:65535", "[2001:db8::7]:1"] {
            let at: SocketAddr = at.parse().unwrap();
            assert_eq!(Remote::new(Some(at)).get(), Some(at));
        }
        let scoped: SocketAddr = "[fe80::1%3]:80".parse().unwrap();
        assert_eq!(Remote::new(Some(scoped)), Remote::Rare);
        let flow = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 80, 7, 0);
        assert_eq!(Remote::new(Some(flow.into())), Remote::Rare);
        assert_eq!(Remote::new(None).get(), None);
    }
}
