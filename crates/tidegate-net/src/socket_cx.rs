//! [`SocketCx`]: what a user may do with a connection.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tidegate_loop::{AsCx, Bits, Cx, Driver, KeyError};
use tidegate_stream::{Chunk, Flow, ReadState};

use crate::ends;
use crate::error::{Reason, Stage};
use crate::handler::Handler;
use crate::key::SocketKey;
use crate::layer::{Layer, Shared};
use crate::options::{KeepAlive, set_recv_buffer, set_send_buffer};
use crate::socket::{Life, Socket};
use crate::sys::{self, Queues};
use crate::timeout::{self, Timeout, as_nanos};
use crate::wire::{Filter, Wire};

/// A connection, and the whole [`Cx`] beside it (it derefs to it).
///
/// On a connection that is over every method does nothing, and a write returns
/// [`Flow::Closed`]; so keys may be kept for as long as one likes.
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
    cx: Cx<'a>,
    key: SocketKey,
}

/// What a connection knows of its peer.
///
/// ```
/// assert_ne!(tidegate_net::PeerState::Open, tidegate_net::PeerState::Ended);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PeerState {
    /// It may still send.
    Open,
    /// It has ended its side (FIN); it may still read.
    Ended,
    /// The connection is reset, or over.
    Gone,
}

impl<'a> Deref for SocketCx<'a> {
    type Target = Cx<'a>;
    fn deref(&self) -> &Cx<'a> {
        &self.cx
    }
}

impl DerefMut for SocketCx<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.cx
    }
}

impl AsCx for SocketCx<'_> {
    fn as_cx(&mut self) -> Cx<'_> {
        self.cx.as_cx()
    }
}

impl<'a> SocketCx<'a> {
    #[inline]
    pub(crate) fn new(cx: Cx<'a>, key: SocketKey) -> SocketCx<'a> {
        SocketCx { cx, key }
    }

    fn with<R>(
        &mut self,
        f: impl FnOnce(&mut Socket, &mut Driver<'_>, &mut Shared) -> R,
    ) -> Option<R> {
        let key = self.key;
        let (layer, mut d) = self.cx.parts::<Layer>();
        layer.with(&mut d, key, f)
    }

    /// The socket, if it is not over.
    fn look<R>(&mut self, f: impl FnOnce(&Socket) -> R) -> Option<R> {
        let key = self.key;
        let (layer, d) = self.cx.parts::<Layer>();
        layer.socket(&d, key).filter(|s| s.duplex.is_open()).map(|s| f(s))
    }

    /// The connection's key, to be kept.
    pub fn key(&self) -> SocketKey {
        self.key
    }

    /// Whether the connection is not over; if it is, why the key finds nothing.
    ///
    /// ```
    /// use tidegate_loop::{KeyError, Loop};
    /// use tidegate_net::{Net, On};
    /// let (mut a, mut b) = (Loop::new()?, Loop::new()?);
    /// let key = a.connect("127.0.0.1:1", On::new().close(|_, _| {}));
    /// assert_eq!(b.socket(key).state(), Err(KeyError::Foreign));
    /// a.run()?;
    /// assert_eq!(a.socket(key).state(), Err(KeyError::Closed));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn state(&mut self) -> Result<(), KeyError> {
        self.cx.find(self.key)?;
        self.look(|_| ()).ok_or(KeyError::Closed)
    }

    /// Writes a copy of what the kernel does not take at once.
    ///
    /// The answer says how to go on: [`Flow::Ready`] go on, [`Flow::Full`] stop
    /// until `on_drain`, [`Flow::Closed`] not accepted. What was accepted is
    /// delivered to the kernel in order, or counted in
    /// [`Close::unsent`](crate::Close::unsent).
    ///
    /// Before the connection is made, writes queue. Beyond `write_limit` queued
    /// bytes the connection is destroyed.
    pub fn write(&mut self, data: &[u8]) -> Flow {
        self.send(Chunk::Lent(data))
    }

    /// As [`write`](SocketCx::write), but what the kernel does not take is kept
    /// without a copy (from 1 KiB on). One `Bytes` may go to many connections. If
    /// the kernel takes all of it, it is dropped in here: a `Bytes` over an owner of
    /// yours is the one value of yours that a call may drop.
    pub fn write_bytes(&mut self, data: Bytes) -> Flow {
        self.send(Chunk::Shared(data))
    }

    fn send(&mut self, data: Chunk<'_>) -> Flow {
        let key = self.key;
        let (layer, mut d) = self.cx.parts::<Layer>();
        layer.with(&mut d, key, |s, d, shared| s.write(d, shared, data)).unwrap_or(Flow::Closed)
    }

    /// Writes, and tells [`on_written`](Handler::on_written) with this id when the kernel
    /// has all of it, or never will. Exactly once, in the order of the writes; not at all
    /// if the answer is [`Flow::Closed`], which says that nothing was accepted. Ids are
    /// yours: they may repeat.
    ///
    /// ```
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     let server = conn.server();
    ///     conn.close_server(server).unwrap();
    ///     let mut s = conn.accept(On::new().written(|s, id, result| {
    ///         assert_eq!((id, result.is_ok()), (7, true));
    ///         s.end();
    ///     }));
    ///     let _ = s.write_id("high water at noon", 7);
    /// })?;
    /// let at = lp.local_addr(server)?;
    /// lp.connect(at, On::new());
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_id<'c>(&mut self, data: impl Into<Chunk<'c>>, id: u64) -> Flow {
        let data = data.into();
        self.with(|s, d, shared| s.write_id(d, shared, data, id)).unwrap_or(Flow::Closed)
    }

    /// Reads nothing more, from now on: not even a chunk that is in the kernel
    /// already. The peer's window fills; no memory is used here. Costs no
    /// system call.
    pub fn pause(&mut self) {
        self.with(|s, d, _| s.pause(d));
    }

    /// Goes on reading, in a later turn; not while a pipe waits for its sink to drain.
    /// Costs no system call.
    pub fn resume(&mut self) {
        let pipe = self.look(|s| s.pipes().and_then(|p| p.into)).flatten();
        if pipe.is_some_and(|pipe| pipe.is_full(&mut self.cx)) {
            return;
        }
        self.with(|s, d, _| ends::resume(s, d));
    }

    /// Holds writes back until [`uncork`](SocketCx::uncork), to leave together.
    /// Nests.
    pub fn cork(&mut self) {
        self.with(|s, _, _| s.duplex.write.cork());
    }

    /// Takes back one [`cork`](SocketCx::cork) and sends what is queued.
    pub fn uncork(&mut self) {
        self.with(|s, d, _| {
            s.duplex.write.uncork();
            s.flush(d);
            if s.duplex.write.has_effect() {
                d.pend(s.key.into());
            }
        });
    }

    /// Ends our side: what is queued goes out, then the FIN, then comes
    /// `on_finish`. The other direction stays open until the peer ends it.
    pub fn end(&mut self) {
        self.with(|s, d, shared| s.end_and_tell(d, shared));
    }

    /// What `on_shutdown` does by default.
    pub(crate) fn shut_down(&mut self) {
        let is_piped = self.with(|s, d, _| s.is_piped_from(d));
        if is_piped == Some(false) {
            self.end();
        }
    }

    /// Writes these last bytes, and ends our side.
    pub fn end_with<'c>(&mut self, data: impl Into<Chunk<'c>>) -> Flow {
        let flow = self.send(data.into());
        self.end();
        flow
    }

    /// Closes the connection now; what is queued is lost and counted. `on_close`
    /// comes in the closing phase.
    pub fn destroy(&mut self) {
        self.with(|s, d, _| s.destroy(d, Reason::Destroyed));
    }

    /// Closes the connection now, for a reason of your own: as [`destroy`](SocketCx::destroy),
    /// but `on_close` gets [`Reason::Failed`] with this error as the source, at
    /// [`Stage::Application`]; a pipe that it is an end of gets it as its cause. A handler
    /// without an `on_close` of its own counts and logs it as an error that nobody handled.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On, Stage};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     let server = conn.server();
    ///     conn.close_server(server).unwrap();
    ///     conn.accept(On::new()
    ///         .data(|s, _| s.destroy_with(Error::new(ErrorKind::InvalidData, "no greeting")))
    ///         .close(|_, close| {
    ///             let e = close.reason.error().unwrap();
    ///             assert_eq!((e.stage(), e.kind()), (Stage::Application, ErrorKind::InvalidData));
    ///         }));
    /// })?;
    /// let at = lp.local_addr(server)?;
    /// let client = lp.connect(at, On::new());
    /// let _ = lp.socket(client).write(b"GET / HTTP/1.1");
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn destroy_with(&mut self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let error = match error.into().downcast::<io::Error>() {
            Ok(e) => *e,
            Err(e) => io::Error::other(e),
        };
        let mut error = Some(error);
        self.with(|s, d, _| {
            if s.duplex.is_open() {
                if let Some(error) = error.take() {
                    s.fail(d, Stage::Application, error);
                }
            }
        });
        if let Some(error) = error {
            self.cx.driver().bury(error);
        }
    }

    /// Closes the connection now with a RST: the peer is told that this is no ordinary
    /// end, and what it has not read yet is lost. Otherwise as
    /// [`destroy`](SocketCx::destroy).
    pub fn reset(&mut self) {
        self.with(|s, d, _| s.reset(d));
    }

    /// Replaces the handler, from the next callback on. The old one is dropped
    /// after the current callback.
    pub fn set_handler(&mut self, handler: impl Handler) {
        let handler: Box<dyn Handler> = Box::new(handler);
        let key = self.key;
        let (layer, mut d) = self.cx.parts::<Layer>();
        let old = match layer.socket(&d, key) {
            Some(s) => s.handler.replace(handler),
            None => Some(handler),
        };
        if let Some(old) = old {
            d.bury(old);
        }
    }

    /// Puts a filter on the wire, in place of an earlier one.
    pub fn set_filter(&mut self, filter: impl Filter) {
        let wire = Wire::Filter(Box::new(filter));
        let key = self.key;
        let (layer, mut d) = self.cx.parts::<Layer>();
        let old = match layer.socket(&d, key) {
            Some(s) => std::mem::replace(&mut s.wire, wire),
            None => wire,
        };
        if let Wire::Filter(old) = old {
            d.bury(old);
        }
    }

    /// The peer's address; `None` if the connection is over (then
    /// [`Close::peer`](crate::Close::peer) has it).
    pub fn peer_addr(&mut self) -> Option<SocketAddr> {
        self.look(|s| s.remote).flatten()
    }

    /// Our address. One system call.
    pub fn local_addr(&mut self) -> io::Result<SocketAddr> {
        self.state()?;
        match self.look(|s| s.stream.as_ref().map(|s| s.local_addr())).flatten() {
            Some(addr) => addr,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Whether it is still being connected.
    pub fn is_connecting(&mut self) -> bool {
        self.look(|s| s.life == Life::Connecting).unwrap_or(false)
    }

    /// What is known of the peer, also while nothing is read.
    ///
    /// A paused connection reads nothing, and so its `on_end` does not come; but the
    /// poller speaks of the peer's end all the same. Bytes may still wait before it. Not
    /// before the connection was given back to the poller: at the end of its first dispatch.
    pub fn peer_state(&mut self) -> PeerState {
        let key = self.key;
        let (layer, d) = self.cx.parts::<Layer>();
        let bits = d.bits(key.into());
        match layer.socket(&d, key).filter(|s| s.duplex.is_open()) {
            None => PeerState::Gone,
            Some(_) if bits.has(Bits::ERROR) => PeerState::Gone,
            Some(s) if s.duplex.read == ReadState::Ended || bits.has(Bits::READ_CLOSED) => {
                PeerState::Ended
            }
            Some(_) => PeerState::Open,
        }
    }

    /// After so long without a byte either way comes `on_timeout`. From now on; zero stops
    /// it. Costs no system call, and reading and writing do not touch it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::Loop;
    /// use tidegate_net::{Net, On, Reason, Timeout};
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     let server = conn.server();
    ///     conn.close_server(server).unwrap();
    ///     let close = |_: &mut tidegate_net::SocketCx<'_>, close: tidegate_net::Close| {
    ///         assert!(matches!(close.reason, Reason::TimedOut(Timeout::Idle, _)));
    ///     };
    ///     conn.accept(On::new().close(close)).set_idle_timeout(Duration::from_millis(5));
    /// })?;
    /// let at = lp.local_addr(server)?;
    /// lp.connect(at, On::new()); // and says nothing
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set_idle_timeout(&mut self, after: Duration) {
        self.with(|s, d, _| s.clocks.set_idle(after, as_nanos(d.clock())));
        timeout::arm(&mut self.cx, self.key);
    }

    /// So long from now the connection is closed, whatever it does. Zero stops it. Not while
    /// it is connecting: then it is the option that counts.
    pub fn set_lifetime(&mut self, after: Duration) {
        self.with(|s, d, _| {
            if s.life != Life::Connecting {
                s.clocks.set_until(timeout::millis(after), as_nanos(d.clock()));
            }
        });
        timeout::arm(&mut self.cx, self.key);
    }

    /// Once one side has ended, it is closed after so long without a byte; if one has ended
    /// already, from now on. Zero stops it.
    pub fn set_linger_timeout(&mut self, after: Duration) {
        self.with(|s, d, _| s.clocks.set_linger(after, as_nanos(d.clock())));
        timeout::arm(&mut self.cx, self.key);
    }

    /// What `on_timeout` does by default: closes the connection with
    /// [`Reason::TimedOut`].
    pub fn time_out(&mut self) {
        self.with(|s, d, _| {
            let reason = timeout::reason(s, d, Timeout::Idle);
            s.destroy(d, reason);
        });
    }

    /// The connection's socket, for an option that has no name here; `NotConnected` if it
    /// has none: not yet, or not any more.
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

    /// Small pieces go out at once (`TCP_NODELAY`), or not.
    pub fn set_no_delay(&mut self, on: bool) -> io::Result<()> {
        self.socket_option(|socket| socket.set_tcp_nodelay(on))
    }

    /// Probes of a silent peer, or none.
    pub fn set_keep_alive(&mut self, keep_alive: Option<KeepAlive>) -> io::Result<()> {
        self.socket_option(|socket| match keep_alive {
            Some(k) => k.apply(&socket),
            None => socket.set_keepalive(false),
        })
    }

    /// The type of service of what is sent (`IP_TOS`, `IPV6_TCLASS`).
    pub fn set_tos(&mut self, tos: u8) -> io::Result<()> {
        // An IPv4 peer of a server for both families has a mapped address.
        let v6 = self.peer_addr().is_some_and(|a| a.ip().to_canonical().is_ipv6());
        self.socket_option(|socket| sys::set_tos(&socket, v6, tos))
    }

    /// The kernel's buffers for this connection: received, and to be sent.
    pub fn buffer_sizes(&mut self) -> io::Result<(usize, usize)> {
        self.socket_option(|s| Ok((s.recv_buffer_size()?, s.send_buffer_size()?)))
    }

    /// Sets the kernel's buffers: received, and to be sent. Linux sets aside twice as much.
    pub fn set_buffer_sizes(&mut self, recv: usize, send: usize) -> io::Result<()> {
        self.socket_option(|s| {
            set_recv_buffer(&s, recv)?;
            set_send_buffer(&s, send)
        })
    }

    /// Where the bytes of this connection are: in our queue, in the kernel's two, and what
    /// TCP knows of the way. At most four system calls.
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
            Queues { ours: s.duplex.write.len() as u64, ..kernel }
        })
        .ok_or(KeyError::Closed)
    }

    /// Bytes that wait in our queue; 0 if the connection is over.
    pub fn buffered(&mut self) -> usize {
        self.look(|s| s.duplex.write.len()).unwrap_or(0)
    }

    /// Bytes of memory that our queue holds.
    pub fn memory_held(&mut self) -> usize {
        self.look(|s| s.duplex.write.held()).unwrap_or(0)
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
