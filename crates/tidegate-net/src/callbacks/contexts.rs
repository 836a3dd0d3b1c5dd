//! What callbacks are called with: [`SocketCx`], [`ServerCx`], [`UdpCx`] and [`Incoming`], a key
//! and the borrowed loop.
//!
//! Definitions alone. What a user may do with them is in `face/`. None derefs to `Cx`, so that a
//! method of the loop, such as `stop`, cannot be mistaken for one of the connection.
//!
//! ```compile_fail
//! fn stop(s: &mut tidegate_net::SocketCx<'_>) { s.stop() } // `s.cx().stop()` does
//! ```
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use tidegate_loop::{AsCx, Cx};

use crate::key::{ServerKey, SocketKey, UdpKey};

/// A connection. It has timers, ticks and the other methods of [`AsCx`]; for the rest of the loop
/// call [`cx`](AsCx::cx).
///
/// On a closed connection every method does nothing, and a write returns
/// [`Flow::Closed`](crate::Flow::Closed). So you may keep keys for as long as you like.
///
/// ```
/// use std::time::Duration;
/// use tidegate_net::{Net, On, SocketKey};
/// /// A proxy's half: what comes goes to the peer, at the peer's pace.
/// fn half(peer: SocketKey) -> On {
///     On::new()
///         .data(move |s, chunk| {
///             if s.socket(peer).write(chunk) == tidegate_net::Flow::Full {
///                 s.pause();
///             }
///         })
///         .drain(move |s| s.socket(peer).resume())
///         .end(move |s| s.socket(peer).end())
///         .close(move |s, _| s.socket(peer).destroy())
/// }
/// # let _ = half;
/// ```
pub struct SocketCx<'a> {
    pub(crate) cx: Cx<'a>,
    pub(crate) key: SocketKey,
}

impl AsCx for SocketCx<'_> {
    fn cx(&mut self) -> Cx<'_> {
        self.cx.cx()
    }
}

impl<'a> SocketCx<'a> {
    #[inline]
    pub(crate) fn new(cx: Cx<'a>, key: SocketKey) -> SocketCx<'a> {
        SocketCx { cx, key }
    }

    /// The connection's key, to be kept.
    pub fn key(&self) -> SocketKey {
        self.key
    }
}

/// A connection to accept or reject. Doing neither rejects it. For the loop call [`cx`](AsCx::cx).
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, On};
/// let mut lp = Loop::new()?;
/// lp.listen("127.0.0.1:0", |conn| {
///     if conn.peer_addr().is_some_and(|peer| peer.ip().is_loopback()) {
///         let mut s = conn.accept(On::new());
///         let _ = s.write(b"hello\n");
///         s.end();
///     } else {
///         conn.reject();
///     }
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Incoming<'a> {
    pub(crate) cx: Cx<'a>,
    server: ServerKey,
    peer: Option<SocketAddr>,
}

impl AsCx for Incoming<'_> {
    fn cx(&mut self) -> Cx<'_> {
        self.cx.cx()
    }
}

impl<'a> Incoming<'a> {
    pub(crate) fn new(cx: Cx<'a>, server: ServerKey, peer: Option<SocketAddr>) -> Incoming<'a> {
        Incoming { cx, server, peer }
    }

    /// The key of the server that it came to.
    pub fn server_key(&self) -> ServerKey {
        self.server
    }

    /// The peer's address; none on a Unix domain socket. If a header named the peer, it is that
    /// address: see [`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol).
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }
}

/// A server: what [`Net::server`](crate::Net::server) returns, and what its callbacks get.
///
/// After a server and its last connection are closed, every method returns an error or finds
/// nothing. So you may keep keys for as long as you like.
///
/// ```
/// use std::time::Duration;
/// use tidegate_loop::{AsCx, Loop};
/// use tidegate_net::{Net, On};
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", move |conn| {
///     conn.accept(On::new());
/// })?;
/// println!("listening on {}", lp.server(server).local_addr()?);
/// lp.server(server).pause()?;
/// lp.after(Duration::from_millis(1), move |cx| cx.server(server).close().unwrap());
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct ServerCx<'a> {
    pub(crate) cx: Cx<'a>,
    pub(crate) key: ServerKey,
}

impl AsCx for ServerCx<'_> {
    fn cx(&mut self) -> Cx<'_> {
        self.cx.cx()
    }
}

impl<'a> ServerCx<'a> {
    #[inline]
    pub(crate) fn new(cx: Cx<'a>, key: ServerKey) -> ServerCx<'a> {
        ServerCx { cx, key }
    }

    /// The server's key, to be kept.
    pub fn key(&self) -> ServerKey {
        self.key
    }
}

/// A UDP socket: what [`Net::datagrams`](crate::Net::datagrams) returns, and what its callbacks get.
/// It has timers, ticks and the other methods of [`AsCx`]; for the rest of the loop call
/// [`cx`](AsCx::cx).
///
/// On a closed socket every method does nothing, finds nothing or returns an error, and a send
/// returns [`SendFlow::Closed`](crate::SendFlow::Closed). So you may keep keys for as long as you
/// like.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::{Net, OnDatagram};
/// let mut lp = Loop::new()?;
/// let echo = lp.udp("127.0.0.1:0", OnDatagram::new(|u, data, meta| {
///     let _ = u.send_to(data, meta.from);
/// }))?;
/// println!("{}", lp.datagrams(echo).local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpCx<'a> {
    pub(crate) cx: Cx<'a>,
    pub(crate) key: UdpKey,
}

impl AsCx for UdpCx<'_> {
    fn cx(&mut self) -> Cx<'_> {
        self.cx.cx()
    }
}

impl<'a> UdpCx<'a> {
    #[inline]
    pub(crate) fn new(cx: Cx<'a>, key: UdpKey) -> UdpCx<'a> {
        UdpCx { cx, key }
    }

    /// The socket's key, to be kept.
    pub fn key(&self) -> UdpKey {
        self.key
    }
}
