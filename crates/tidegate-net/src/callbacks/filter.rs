//! What stands between the kernel and the handler: nothing, or filters.
//!
//! A filter is sans-I/O: bytes in, bytes out, both ways. TLS, the PROXY
//! protocol and the faults of a test are filters. How several work together is in `filter/`.
#![forbid(unsafe_code)]

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_loop::{LayerEvent, Value};

use crate::event::ConnectionInfo;
use crate::key::SocketKey;
use crate::proxy_protocol::header::ProxyHeader;

/// A transformation of a connection's bytes: from a
/// [`ListenOptions::filter`](crate::ListenOptions::filter) or
/// [`ConnectOptions::filter`](crate::ConnectOptions::filter), or by
/// [`SocketCx::set_filter`](crate::SocketCx::set_filter).
///
/// It is called inline, also from inside `write`, has no `Cx`, and must not
/// block. What one call gave to [`Passed`] is handled in this order: `down` is sent, `ready` is
/// reported, `up` is delivered, `end` is reported.
///
/// On a connection that waits for its filters, what comes together with the last `ready` is sent
/// together with the first write of the callback that follows.
///
/// **Errors.** An error is the connection's end, with [`Stage::Filter`](crate::Stage::Filter), or
/// with the stage and code of a [`FilterFault`](crate::FilterFault). What the call that failed
/// passed up on an open connection is delivered before that; writes are refused by then. If it has
/// given bytes to `down`, a last message for the peer, these go out, then our FIN, and what the
/// peer still sends is dropped, at most 64 KiB and 2 s, so that no RST overtakes them; then comes
/// `on_close`. Otherwise the connection is closed at once. A panic ends it at once, with
/// [`Reason::Panicked`](crate::Reason::Panicked); the panic goes on after the current callback.
///
/// **Ready.** Until a filter says [`Passed::ready`], user writes wait in front of it,
/// [`outbound`](Filter::outbound) is not called, and what it passed up is kept. `on_connect` and
/// a server's `on_connection` come when all filters of the connection are ready; bytes are read
/// until then even if the connection is paused.
///
/// **Limits.** What waits in front of a filter and what it says it has [`held`](Filter::held)
/// counts as queued: to the high-water mark, `write_limit`, `buffered_limit`, and
/// [`Close::unsent`](crate::Close::unsent). Answers to the peer that wait have `write_limit` once
/// more, of their own; so has what was received and is not delivered yet, plus one read (64 KiB).
///
/// **Ends.** Answers go nowhere once [`close`](Filter::close) was called; its last bytes always
/// go out. `destroy` sends nothing and calls nothing.
///
/// A filter that speaks first: both sides send one byte, a key, and are ready when they know the
/// other's.
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// use tidegate_net::{ConnectOptions, Filter, FilterError, ListenOptions, Net, On, Passed};
///
/// struct Mask { ours: u8, theirs: Option<u8> }
///
/// impl Filter for Mask {
///     fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
///         out.down.push(self.ours);
///         Ok(())
///     }
///     fn inbound(&mut self, mut wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
///         if self.theirs.is_none() {
///             self.theirs = Some(wire[0]);
///             wire = &mut wire[1..];
///             out.ready();
///         }
///         out.up.extend(wire.iter().map(|b| b ^ self.theirs.unwrap_or(0)));
///         Ok(())
///     }
///     fn inbound_end(&mut self, out: &mut Passed) -> Result<(), FilterError> {
///         if self.theirs.is_none() {
///             return Err("the peer ended before its key".into());
///         }
///         out.end();
///         Ok(())
///     }
///     fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
///         out.down.extend(user.iter().map(|b| b ^ self.ours));
///         Ok(user.len())
///     }
/// }
///
/// let mut lp = Loop::new()?;
/// let options = ListenOptions::new("127.0.0.1:0").filter(|| Mask { ours: 7, theirs: None });
/// let server = lp.listen(options, |mut conn| {
///     // The keys are known: it is ready.
///     assert_eq!(conn.filter::<Mask>().and_then(|mask| mask.theirs), Some(9));
///     conn.server(conn.server_key()).close().unwrap();
///     conn.accept(On::new().data(|s, chunk| { let _ = s.end_with(chunk); }));
/// })?;
/// let at = lp.server(server).local_addr()?;
/// let options = ConnectOptions::new(at).filter(|| Mask { ours: 9, theirs: None });
/// lp.connect(options, On::new()
///     .connect(|s| { let _ = s.write(b"tide"); }) // and here
///     .data(|_, chunk| assert_eq!(chunk, b"tide")));
/// lp.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Filter: AsAny {
    /// The connection is made, or the filter was set on an open one, and the filters
    /// between it and the kernel are ready; called once. What is to be said first goes to
    /// `out.down`. The default is ready at once.
    fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        out.ready();
        Ok(())
    }

    /// Bytes came, in the loop's read buffer: they may be changed in place. All of them are taken:
    /// a partial record is to be kept, and counted by [`held`](Filter::held).
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError>;

    /// The peer's FIN; once, and not after [`Passed::end`]. The default passes it on. An error
    /// says that the peer's bytes are truncated: the connection fails with
    /// [`ErrorKind::UnexpectedEof`](std::io::ErrorKind::UnexpectedEof).
    fn inbound_end(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        out.end();
        Ok(())
    }

    /// The user writes. What goes to the kernel is appended to `out.down`; `out.up` is not
    /// looked at. Returns how many bytes it took; the others wait, and are offered again with the
    /// next write, after each [`inbound`](Filter::inbound) and [`poke`](Filter::poke), and when the
    /// queue to the kernel has become empty.
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError>;

    /// Our side ends, and all that was written before was taken; the last bytes for the peer
    /// are appended to `out.down`, also those that it held; `out.up` is not looked at.
    fn close(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        let _ = out;
        Ok(())
    }

    /// [`SocketCx::poke_filter`](crate::SocketCx::poke_filter) was called: something outside has
    /// changed that the filter waits for.
    fn poke(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        let _ = out;
        Ok(())
    }

    /// What it keeps of either way. Asked after each call of the others.
    fn held(&self) -> Held {
        Held::default()
    }

    /// What `why_alive` calls it.
    fn describe(&self) -> String {
        "filter".into()
    }
}

/// Any error of a filter.
///
/// ```
/// let e: tidegate_net::FilterError = "bad record".into();
/// assert_eq!(e.to_string(), "bad record");
/// ```
pub type FilterError = Box<dyn Error + Send + Sync>;

/// Bytes that a filter keeps, and that are in no queue of the connection.
///
/// ```
/// use tidegate_net::Held;
/// assert_eq!(Held::default(), Held { user: 0, wire: 0 });
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// Taken by `outbound` and not passed down.
    pub user: usize,
    /// Got by `inbound` and not passed up.
    pub wire: usize,
}

/// What a filter made of the bytes, and what it says. The buffers are the loop's and are reused.
///
/// ```
/// let mut out = tidegate_net::Passed::default();
/// assert!(out.up.is_empty() && out.down.is_empty() && !out.is_ready());
/// out.ready();
/// assert!(out.is_ready());
/// ```
#[derive(Debug, Default)]
pub struct Passed {
    /// For the handler, or the next filter on the way there. Empty before each call.
    pub up: Vec<u8>,
    /// For the kernel, or the next filter on the way there. Empty before each call.
    pub down: Vec<u8>,
    pub(crate) said: Said,
    /// The connection; with what events say of it, if there is an observer.
    pub(crate) of: Option<(SocketKey, Option<ConnectionInfo>)>,
    pub(crate) events: Vec<Told>,
    /// The other end of the socket.
    pub(crate) transport: Option<SocketAddr>,
    /// Who the peer is, as this filter says.
    pub(crate) named: Option<Named>,
}

/// What a header said of the peer.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) header: Option<ProxyHeader>,
}

/// An event of a filter.
#[derive(Debug)]
pub(crate) struct Told(Box<dyn LayerEvent>);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl LayerEvent for Told {
    fn as_any(&self) -> &dyn Any {
        self.0.as_any()
    }

    fn layer(&self) -> &'static str {
        self.0.layer()
    }

    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        self.0.fields(visit);
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    pub(crate) ready: bool,
    pub(crate) end: bool,
    pub(crate) leave: bool,
    pub(crate) no_delay: bool,
}

impl Passed {
    /// The filter is ready: from now on it takes what the user writes, and what it passes up
    /// is delivered.
    pub fn ready(&mut self) {
        self.said.ready = true;
    }

    /// The peer's side has ended, after what is in `up`: `on_end` comes. If the peer's FIN was
    /// not read yet, bytes that come are discarded; no more calls of `inbound`.
    pub fn end(&mut self) {
        self.said.end = true;
    }

    /// The filter is done: this was its last call, bytes pass by its place from now on, and it
    /// is dropped. It counts as ready. `up` goes to the next filter, or the handler.
    pub fn leave(&mut self) {
        self.said.leave = true;
    }

    /// Of a filter that was set on an open connection: asks for `TCP_NODELAY` (Nagle's algorithm is
    /// off). For connections that begin with the filter see
    /// [`FilterFactory::no_delay`].
    pub fn no_delay(&mut self) {
        self.said.no_delay = true;
    }

    /// The connection's key, also of one that is not accepted yet: for a later
    /// [`poke_filter`](crate::SocketCx::poke_filter). `None` outside of a connection.
    pub fn key(&self) -> Option<SocketKey> {
        self.of.map(|(key, _)| key)
    }

    /// Tells the loop's observer, if there is one, an event of this filter's: `event` gets the
    /// connection, and is called only then. The observer gets it when the call returns.
    ///
    /// ```
    /// use tidegate_loop::LayerEvent;
    /// use tidegate_net::{ConnectionInfo, Passed};
    /// #[derive(Debug)]
    /// struct Unlocked(ConnectionInfo);
    /// impl std::fmt::Display for Unlocked {
    ///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
    ///         f.write_str("unlocked")
    ///     }
    /// }
    /// impl LayerEvent for Unlocked {
    ///     fn as_any(&self) -> &dyn std::any::Any { self }
    ///     fn layer(&self) -> &'static str { "lock" }
    /// }
    /// fn tell(out: &mut Passed) {
    ///     out.emit(Unlocked);
    /// }
    /// # let _ = tell;
    /// ```
    pub fn emit<E: LayerEvent + 'static>(&mut self, event: impl FnOnce(ConnectionInfo) -> E) {
        if let Some((_, Some(about))) = self.of {
            self.events.push(Told(Box::new(event(about))));
        }
    }

    /// The address at the other end of the socket: the peer's, or that of a proxy. None on a Unix
    /// domain socket.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.transport
    }

    /// Says who the peer is, in place of the proxy at the other end of the socket:
    /// [`peer_addr`](crate::SocketCx::peer_addr), errors, events and the log have this address from
    /// now on; [`transport_peer`](crate::SocketCx::transport_peer) keeps the other. Only for a
    /// server's connection, and before it is ready; see also
    /// [`FilterFactory::names_peer`]. The PROXY protocol is
    /// [`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol).
    ///
    /// ```
    /// use tidegate_net::{FilterError, Passed};
    /// fn named(line: &str, out: &mut Passed) -> Result<(), FilterError> {
    ///     out.set_peer(line.parse()?);
    ///     out.leave();
    ///     Ok(())
    /// }
    /// # named("192.0.2.7:51000", &mut Passed::default()).unwrap();
    /// ```
    pub fn set_peer(&mut self, peer: SocketAddr) {
        self.named = Some(Named { peer: Some(peer), header: None });
    }

    pub(crate) fn set_header(&mut self, header: ProxyHeader) {
        self.named = Some(Named { peer: header.source(), header: Some(header) });
    }

    pub(crate) fn is_observed(&self) -> bool {
        matches!(self.of, Some((_, Some(_))))
    }

    /// Whether [`ready`](Passed::ready) was called.
    pub fn is_ready(&self) -> bool {
        self.said.ready
    }

    /// Whether [`end`](Passed::end) was called.
    pub fn is_end(&self) -> bool {
        self.said.end
    }

    /// Whether [`leave`](Passed::leave) was called.
    pub fn is_leave(&self) -> bool {
        self.said.leave
    }
}

/// Makes a filter for each connection: a closure, or a type of its own if the filters share
/// something.
///
/// ```
/// use std::sync::Arc;
/// use tidegate_net::{Filter, FilterError, FilterFactory, Passed};
/// struct Xor(Arc<[u8]>, usize, usize);
/// impl Filter for Xor {
///     fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
///         for byte in wire.iter() {
///             out.up.push(byte ^ self.0[self.1 % self.0.len()]);
///             self.1 += 1;
///         }
///         Ok(())
///     }
///     fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
///         for byte in user {
///             out.down.push(byte ^ self.0[self.2 % self.0.len()]);
///             self.2 += 1;
///         }
///         Ok(user.len())
///     }
/// }
/// struct Secret(Arc<[u8]>);
/// impl FilterFactory for Secret {
///     fn make(&self) -> Box<dyn Filter> {
///         Box::new(Xor(self.0.clone(), 0, 0))
///     }
/// }
/// let options = tidegate_net::ListenOptions::new(":443").filter(Secret(b"tide"[..].into()));
/// # let _ = options;
/// ```
pub trait FilterFactory: Send + Sync + 'static {
    /// A filter for one more connection. Called when the connection is accepted, or inside of
    /// `connect`.
    fn make(&self) -> Box<dyn Filter>;

    /// The same, for a connection to this host: the name or the numeric address that
    /// [`connect`](crate::Net::connect) was given. `None`: a server's connection, or a path. By
    /// default [`make`](FilterFactory::make).
    fn make_for(&self, host: Option<&str>) -> Box<dyn Filter> {
        let _ = host;
        self.make()
    }

    /// How many connections of a loop's servers may go on with getting ready in one turn, after
    /// all others had theirs: for filters that compute much. By default 64.
    fn handshakes_per_turn(&self) -> u32 {
        64
    }

    /// Whether `TCP_NODELAY` is set, unless the options of the connection say something else. For
    /// filters whose own messages go back and forth: Nagle's algorithm holds a small write until
    /// the peer has acknowledged the one before. By default not.
    fn no_delay(&self) -> bool {
        false
    }

    /// Whether its filters say who the peer is ([`Passed::set_peer`]). Then limits per peer are
    /// asked when the filters are ready, and the block list once more. By default not.
    fn names_peer(&self) -> bool {
        false
    }
}

impl<F, T> FilterFactory for F
where
    F: Fn() -> T + Send + Sync + 'static,
    T: Filter,
{
    fn make(&self) -> Box<dyn Filter> {
        Box::new(self())
    }
}

/// A factory in options.
#[derive(Clone)]
pub(crate) struct Factory(pub(crate) Arc<dyn FilterFactory>);

impl fmt::Debug for Factory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FilterFactory")
    }
}

/// What a [`Filter`] is found by. Every type has it.
#[doc(hidden)]
pub trait AsAny: Any {
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Any> AsAny for T {
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
