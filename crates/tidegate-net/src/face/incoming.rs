//! What a user may do with an [`Incoming`]: accept, reject, detach, or ask.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use tidegate_loop::{AsCx, TableFull};

use crate::callbacks::contexts::{Incoming, SocketCx};
use crate::callbacks::filter::Filter;
use crate::callbacks::handler::Handler;
use crate::callbacks::protocol::Protocol;
use crate::key::SocketKey;
use crate::proxy_protocol::header::ProxyHeader;
use crate::server::offer;
use crate::socket::expire;
use crate::state::layer::{NET, Offer};

impl<'a> Incoming<'a> {
    /// The connection's key, which it keeps if it is accepted. A proxy can give it to its other
    /// connection before it accepts this one.
    ///
    /// A connection gets its place in the loop when it is accepted or asked for its key: before
    /// that, rejecting it costs less.
    pub fn key(&mut self) -> SocketKey {
        let (layer, mut d) = self.cx.layer(&NET);
        offer::place(layer, &mut d).unwrap_or_else(|| SocketKey(d.stale_key()))
    }

    /// The address it was made to. One system call.
    pub fn local_addr(&mut self) -> io::Result<SocketAddr> {
        let (layer, _) = self.cx.layer(&NET);
        if let Offer::Held(held) = &layer.offer {
            return held.stream.local_addr();
        }
        let key = self.key();
        SocketCx::new(self.cx.cx(), key).local_addr()
    }

    /// The address at the other end of the socket: as [`peer_addr`](Incoming::peer_addr), or that of
    /// the proxy that named the peer in a header.
    pub fn transport_peer(&mut self) -> Option<SocketAddr> {
        let (layer, d) = self.cx.layer(&NET);
        match layer.offer {
            Offer::Placed(key) => layer.socket(&d, key)?.transport(),
            _ => self.peer_addr(),
        }
    }

    /// The PROXY header that the connection began with: see [`ListenOptions::proxy_protocol`].
    ///
    /// [`ListenOptions::proxy_protocol`]: crate::ListenOptions::proxy_protocol
    pub fn proxy_header(&mut self) -> Option<&ProxyHeader> {
        let (layer, d) = self.cx.layer(&NET);
        match layer.offer {
            Offer::Placed(key) => layer.socket(&d, key)?.proxied()?.header.as_ref(),
            _ => None,
        }
    }

    /// A filter of the connection, by its type: see [`ListenOptions::filter`].
    ///
    /// [`ListenOptions::filter`]: crate::ListenOptions::filter
    pub fn filter<T: Filter>(&mut self) -> Option<&mut T> {
        let (layer, d) = self.cx.layer(&NET);
        match layer.offer {
            Offer::Placed(key) => layer.socket(&d, key)?.find_filter(),
            _ => None,
        }
    }

    /// Takes the connection. It can be written to at once; reading begins in this same ready pass.
    /// If it was destroyed by its key before, the handler gets its `on_close`. If the loop's table
    /// is full, the connection is closed and counted as rejected, and its key finds nothing.
    pub fn accept(mut self, handler: impl Handler) -> SocketCx<'a> {
        let (layer, mut d) = self.cx.layer(&NET);
        let (key, deadlines) = offer::accept(layer, &mut d, Box::new(handler));
        if deadlines {
            expire::arm(&mut self.cx, key);
        }
        SocketCx::new(self.cx, key)
    }

    /// Takes the connection for a layer: as [`accept`](Incoming::accept), with a table of
    /// functions in place of a handler, and a number of the layer's own. An error says that the
    /// loop's table is full: the connection is closed and counted as rejected, and no function
    /// of the protocol is called for it.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, Protocol};
    /// static DISCARD: Protocol = Protocol::new("discard");
    /// let mut lp = Loop::new()?;
    /// lp.listen("127.0.0.1:0", |conn| {
    ///     let _ = conn.accept_as(&DISCARD, 0);
    /// })?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn accept_as(
        mut self,
        protocol: &'static Protocol,
        data: u64,
    ) -> Result<SocketCx<'a>, TableFull> {
        let (layer, mut d) = self.cx.layer(&NET);
        let taken = offer::accept_as(layer, &mut d, protocol, data);
        let (key, deadlines) = taken.ok_or(TableFull)?;
        if deadlines {
            expire::arm(&mut self.cx, key);
        }
        Ok(SocketCx::new(self.cx, key))
    }

    /// Takes a TCP connection out of this loop, for another one's [`adopt`](crate::Net::adopt): the
    /// stream is `Send`, and non-blocking. Options that the kernel keeps go with it (`no_delay`,
    /// `keep_alive`, buffers); give the others again, as [`AdoptOptions`](crate::AdoptOptions).
    /// `NotConnected`, and the connection is rejected, if bytes of ours wait in its queue, if it has
    /// filters that have not left, or if bytes came behind what they took. The other loop sees the
    /// [`transport_peer`](Incoming::transport_peer), whatever a header said.
    pub fn detach(mut self) -> io::Result<std::net::TcpStream> {
        let (layer, mut d) = self.cx.layer(&NET);
        let stream = offer::detach(layer, &mut d);
        stream.map(Into::into).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Closes the connection; it is counted as rejected. What was written to it by its
    /// key before is lost if the kernel did not take it.
    pub fn reject(mut self) {
        let (layer, mut d) = self.cx.layer(&NET);
        offer::reject(layer, &mut d);
    }
}
