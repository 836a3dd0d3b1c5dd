//! What can be asked of a connection: addresses, the state of its peer, options of its socket,
//! queues.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;

use socket2::SockRef;
use tidegate_loop::KeyError;
use tidegate_stream::ReadState;

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::upper::Upper;
use crate::options::stream::{TcpKeepAlive, set_recv_buffer, set_send_buffer};
use crate::peer_state::PeerState;
use crate::proxy_protocol::header::ProxyHeader;
use crate::state::layer::NET;
use crate::state::socket::Life;
use crate::sys::{self, Queues};

/// Whether the handler that runs may go on with the bytes that it has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Flowing,
    Paused,
    /// The bytes are for another handler or a pipe by now.
    Elsewhere,
    /// The connection is over.
    Over,
}

impl SocketCx<'_> {
    /// The peer's address; `None` if the connection is over (then
    /// [`Close::peer`](crate::Close::peer) has it).
    pub fn peer_addr(&mut self) -> Option<SocketAddr> {
        self.look(|s| s.remote()).flatten()
    }

    /// The address at the other end of the socket: the peer's, or that of the proxy that named the
    /// peer in a header. `None` if the connection is over, or on a Unix domain socket.
    ///
    /// ```
    /// fn is_proxied(s: &mut tidegate_net::SocketCx<'_>) -> bool {
    ///     s.peer_addr() != s.transport_peer()
    /// }
    /// # let _ = is_proxied;
    /// ```
    pub fn transport_peer(&mut self) -> Option<SocketAddr> {
        self.look(|s| s.transport()).flatten()
    }

    /// The PROXY header that the connection began with: see
    /// [`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol).
    ///
    /// ```
    /// fn host(s: &mut tidegate_net::SocketCx<'_>) -> Option<String> {
    ///     Some(s.proxy_header()?.authority()?.to_owned())
    /// }
    /// # let _ = host;
    /// ```
    pub fn proxy_header(&mut self) -> Option<&ProxyHeader> {
        let (layer, d) = self.cx.layer(&NET);
        layer.socket(&d, self.key)?.proxied()?.header.as_ref()
    }

    /// Our address. One system call.
    pub fn local_addr(&mut self) -> io::Result<SocketAddr> {
        self.state()?;
        match self.look(|s| s.stream.as_ref().map(|s| s.local_addr())).flatten() {
            Some(addr) => addr,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Whether it is still being connected, or the filters that it began with are not ready.
    pub fn is_connecting(&mut self) -> bool {
        self.look(|s| matches!(s.life, Life::Connecting | Life::Gated)).unwrap_or(false)
    }

    /// Whether reading is paused: by [`pause`](SocketCx::pause), or by the pipe that the connection
    /// is the source of.
    ///
    /// ```
    /// fn toggle(s: &mut tidegate_net::SocketCx<'_>) {
    ///     if s.is_paused() { s.resume() } else { s.pause() }
    /// }
    /// # let _ = toggle;
    /// ```
    pub fn is_paused(&mut self) -> bool {
        self.look(|s| s.duplex.read == ReadState::Paused).unwrap_or(false)
    }

    /// What the handler that runs may go on with.
    pub(crate) fn reading(&mut self) -> Reading {
        let reading = self.look(|s| {
            if !matches!(s.upper, Upper::Away) || s.is_diverted() {
                Reading::Elsewhere
            } else if s.duplex.read == ReadState::Paused {
                Reading::Paused
            } else {
                Reading::Flowing
            }
        });
        reading.unwrap_or(Reading::Over)
    }

    /// What is known of the peer, also while nothing is read.
    ///
    /// A paused connection reads nothing, so its `on_end` does not come; but the poller reports the
    /// peer's end all the same, and [`on_hangup`](crate::Handler::on_hangup) comes. Bytes may still
    /// wait before that end. Nothing is known before the connection is registered with the poller,
    /// at the end of its first dispatch.
    pub fn peer_state(&mut self) -> PeerState {
        let key = self.key;
        let (layer, mut d) = self.cx.layer(&NET);
        let Some((s, h)) = layer.lend_socket(&mut d, key) else { return PeerState::Gone };
        s.peer_state(&h)
    }

    /// Lends the connection's socket to `f`, for an option that has no method here. `NotConnected`
    /// if there is no socket: not yet, or not any more.
    ///
    /// ```
    /// fn mark(s: &mut tidegate_net::SocketCx<'_>) -> std::io::Result<()> {
    ///     s.socket_option(|socket| socket.set_ttl_v4(5))
    /// }
    /// # let _ = mark;
    /// ```
    pub fn socket_option<R>(
        &mut self,
        f: impl FnOnce(SockRef<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        let done = self.look(|s| s.stream.as_ref().map(|stream| f(SockRef::from(stream))));
        done.flatten().unwrap_or_else(|| Err(io::ErrorKind::NotConnected.into()))
    }

    /// Whether small writes go out at once (`TCP_NODELAY`).
    pub fn set_no_delay(&mut self, on: bool) -> io::Result<()> {
        self.socket_option(|socket| socket.set_tcp_nodelay(on))
    }

    /// Turns the probes of a silent peer on or off.
    pub fn set_keep_alive(&mut self, keep_alive: Option<TcpKeepAlive>) -> io::Result<()> {
        self.socket_option(|socket| match keep_alive {
            Some(k) => k.apply(&socket),
            None => socket.set_keepalive(false),
        })
    }

    /// The type of service of what is sent (`IP_TOS`, `IPV6_TCLASS`).
    pub fn set_tos(&mut self, tos: u8) -> io::Result<()> {
        // An IPv4 peer of a server for both families has a mapped address.
        let v6 = self.transport_peer().is_some_and(|a| a.ip().to_canonical().is_ipv6());
        self.socket_option(|socket| sys::set_tos(&socket, v6, tos))
    }

    /// The sizes of the kernel's buffers for this connection: receive, send.
    pub fn buffer_sizes(&mut self) -> io::Result<(usize, usize)> {
        self.socket_option(|s| Ok((s.recv_buffer_size()?, s.send_buffer_size()?)))
    }

    /// Sets the sizes of the kernel's buffers. Linux reserves twice as much.
    pub fn set_buffer_sizes(&mut self, recv: usize, send: usize) -> io::Result<()> {
        self.socket_option(|s| {
            set_recv_buffer(&s, recv)?;
            set_send_buffer(&s, send)
        })
    }

    /// Where the bytes of this connection wait: in our queue and in the kernel's two; and what TCP
    /// knows of the network. At most four system calls.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// let there = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let mut lp = Loop::new()?;
    /// let key = lp.connect(there.local_addr()?, On::new());
    /// let _ = lp.socket(key).write(b"high water"); // it waits with us until `on_connect`
    /// let queues = lp.socket(key).queues()?;
    /// assert_eq!((queues.ours, queues.send.unwrap_or(0)), (10, 0));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn queues(&mut self) -> Result<Queues, KeyError> {
        self.state()?;
        self.look(|s| {
            let kernel = s.stream.as_ref().map(sys::kernel_queues).unwrap_or_default();
            Queues { ours: s.queued() as u64, ..kernel }
        })
        .ok_or(KeyError::Closed)
    }

    /// Bytes that wait in our queue, and in filters; 0 if the connection is over.
    pub fn buffered(&mut self) -> usize {
        self.look(|s| s.queued()).unwrap_or(0)
    }

    /// Bytes of memory that our queue and the filters hold, and those that were given back.
    pub fn memory_held(&mut self) -> usize {
        self.look(|s| s.duplex.write.held() + s.given_back().len()).unwrap_or(0)
    }

    /// Bytes read so far.
    pub fn bytes_read(&mut self) -> u64 {
        self.look(|s| s.bytes_read).unwrap_or(0)
    }

    /// Bytes the kernel took so far.
    pub fn bytes_written(&mut self) -> u64 {
        self.look(|s| s.bytes_written).unwrap_or(0)
    }
}
