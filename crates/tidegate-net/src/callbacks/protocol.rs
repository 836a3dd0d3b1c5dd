//! [`Protocol`]: what a layer above connections is called with, instead of a
//! [`Handler`](crate::Handler) for each of them.
#![forbid(unsafe_code)]

use std::fmt;

use tidegate_loop::Cx;
use tidegate_loop::kind::{Dispatch, Kind};

use crate::callbacks::contexts::SocketCx;
use crate::error::close::{Close, Reason};
use crate::key::SocketKey;
use crate::peer_state::PeerState;

/// A call of a protocol: the view of the loop for code that runs callbacks, the connection, and
/// the number that the layer gave with it.
pub type ProtocolCall = fn(&mut Dispatch<'_>, SocketKey, u64);

/// [`Protocol::data`]: also the bytes, lent, in the loop's read buffer.
pub type ProtocolData = fn(&mut Dispatch<'_>, SocketKey, u64, &mut [u8]);

/// [`Protocol::written`]: also the id of the write, and how it ended.
pub type ProtocolWritten = fn(&mut Dispatch<'_>, SocketKey, u64, u64, Result<(), &Reason>);

/// [`Protocol::timer`]: also the token of the timer.
pub type ProtocolTimer = fn(&mut Dispatch<'_>, SocketKey, u64, u64);

/// [`Protocol::hangup`]: also what is known of the peer.
pub type ProtocolHangup = fn(&mut Dispatch<'_>, SocketKey, u64, PeerState);

/// [`Protocol::close`]: also how the connection ended.
pub type ProtocolClose = fn(&mut Dispatch<'_>, SocketKey, u64, Close);

/// What a layer above connections (HTTP, an async runtime, a proxy) wants to be called for: a
/// table of functions, one for all of its connections. Its state of a connection is in a slab of
/// its own, kept by the loop as a [`LayerId`](tidegate_loop::kind::LayerId); the number that it
/// gives with the connection says where. So a connection costs no box.
///
/// Its functions come when those of a [`Handler`](crate::Handler) do, in the same order, and have
/// the same defaults. They get a [`Dispatch`]: so they may feed pipes
/// ([`PipeKey::data`](tidegate_stream::PipeKey::data)), run callbacks of users
/// ([`Dispatch::lend`]), and settle after each. The connection is
/// `d.cx().socket(key)`. A panic closes it with [`Reason::Panicked`] and goes on.
///
/// A layer takes a connection by [`Incoming::accept_as`](crate::Incoming::accept_as),
/// [`Net::connect_as`](crate::Net::connect_as) and [`Net::adopt_as`](crate::Net::adopt_as), or
/// from a handler by [`SocketCx::set_protocol`]; [`SocketCx::set_handler`] gives it to a handler
/// again. Bytes of the next protocol that came already are given back by [`SocketCx::unread`].
///
/// There are two modes. With [`data`](Protocol::data) the loop reads, and pushes what came. With
/// [`readable`](Protocol::readable) and [`writable`](Protocol::writable) the layer reads and
/// writes itself, by [`SocketCx::read_now`] and [`SocketCx::write_now`].
///
/// ```
/// use slab::Slab;
/// use tidegate_loop::Loop;
/// use tidegate_loop::kind::{Dispatch, LayerId};
/// use tidegate_net::{Net, On, Protocol, SocketKey};
///
/// /// Answers each line with its number; one slab for all connections.
/// static LINES: LayerId<Slab<u32>> = LayerId::new(Slab::new);
/// static COUNT: Protocol = Protocol::new("count").data(data).close(|d, _, at, _| {
///     d.layer(&LINES).0.remove(at as usize);
/// });
///
/// fn data(d: &mut Dispatch<'_>, key: SocketKey, at: u64, bytes: &mut [u8]) {
///     for _ in bytes.iter().filter(|b| **b == b'\n') {
///         let lines = &mut d.layer(&LINES).0[at as usize];
///         *lines += 1;
///         let answer = format!("{lines}\n");
///         let _ = d.cx().socket(key).write(answer);
///     }
/// }
///
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |mut conn| {
///     conn.server(conn.server_key()).close().unwrap();
///     let at = conn.cx().layer(&LINES).0.insert(0);
///     if conn.accept_as(&COUNT, at as u64).is_err() { /* the loop is full: forget `at` */ }
/// })?;
/// let at = lp.server(server).local_addr()?;
/// lp.connect(at, On::new()
///     .connect(|s| { let _ = s.end_with("high\nlow\n"); })
///     .data(|_, chunk| assert_eq!(chunk, b"1\n2\n")));
/// lp.run()?;
/// assert!(lp.cx().layer(&LINES).0.is_empty());
/// # use tidegate_loop::AsCx;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Protocol {
    name: &'static str,
    pub(crate) connect: ProtocolCall,
    pub(crate) data: ProtocolData,
    pub(crate) end: ProtocolCall,
    pub(crate) hangup: ProtocolHangup,
    pub(crate) drain: ProtocolCall,
    pub(crate) written: ProtocolWritten,
    pub(crate) finish: ProtocolCall,
    pub(crate) timeout: ProtocolCall,
    pub(crate) timer: ProtocolTimer,
    pub(crate) woken: ProtocolCall,
    pub(crate) ready: ProtocolCall,
    pub(crate) shutdown: ProtocolCall,
    pub(crate) close: ProtocolClose,
    pub(crate) describe: fn(&mut Cx<'_>, SocketKey, u64) -> String,
    pub(crate) replaced: fn(&mut Cx<'_>, SocketKey, u64),
    pub(crate) readable: Option<ProtocolCall>,
    pub(crate) writable: ProtocolCall,
    pub(crate) lends: Option<&'static Kind>,
}

impl Protocol {
    /// A protocol that does what a handler without callbacks does. `name` is what `why_alive`
    /// calls it.
    pub const fn new(name: &'static str) -> Protocol {
        Protocol {
            name,
            connect: nothing,
            data: |_, _, _, _| {},
            end: nothing,
            hangup: |_, _, _, _| {},
            drain: nothing,
            written: |_, _, _, _, _| {},
            finish: nothing,
            timer: |_, _, _, _| {},
            woken: nothing,
            ready: nothing,
            timeout: |d, key, _| SocketCx::new(d.cx(), key).time_out(),
            shutdown: |d, key, _| SocketCx::new(d.cx(), key).shut_down(),
            close: |d, _, _, close| close.unhandled(&mut d.cx()),
            describe: |_, _, _| String::new(),
            replaced: |_, _, _| {},
            readable: None,
            lends: None,
            writable: nothing,
        }
    }

    /// As [`Handler::on_connect`](crate::Handler::on_connect). By default nothing happens.
    pub const fn connect(self, f: ProtocolCall) -> Protocol {
        Protocol { connect: f, ..self }
    }

    /// As [`Handler::on_data`](crate::Handler::on_data), but the bytes may be changed in place.
    /// Not called with [`readable`](Protocol::readable). By default they are dropped.
    pub const fn data(self, f: ProtocolData) -> Protocol {
        Protocol { data: f, ..self }
    }

    /// As [`Handler::on_end`](crate::Handler::on_end). Not called with
    /// [`readable`](Protocol::readable): there a read of 0 bytes is the end. By default nothing
    /// happens.
    pub const fn end(self, f: ProtocolCall) -> Protocol {
        Protocol { end: f, ..self }
    }

    /// As [`Handler::on_hangup`](crate::Handler::on_hangup). By default nothing happens.
    pub const fn hangup(self, f: ProtocolHangup) -> Protocol {
        Protocol { hangup: f, ..self }
    }

    /// As [`Handler::on_drain`](crate::Handler::on_drain). By default nothing happens.
    pub const fn drain(self, f: ProtocolCall) -> Protocol {
        Protocol { drain: f, ..self }
    }

    /// As [`Handler::on_written`](crate::Handler::on_written). By default nothing happens.
    pub const fn written(self, f: ProtocolWritten) -> Protocol {
        Protocol { written: f, ..self }
    }

    /// As [`Handler::on_finish`](crate::Handler::on_finish). By default nothing happens.
    pub const fn finish(self, f: ProtocolCall) -> Protocol {
        Protocol { finish: f, ..self }
    }

    /// As [`Handler::on_timeout`](crate::Handler::on_timeout). By default it closes with
    /// [`Reason::TimedOut`].
    pub const fn timeout(self, f: ProtocolCall) -> Protocol {
        Protocol { timeout: f, ..self }
    }

    /// As [`Handler::on_timer`](crate::Handler::on_timer): one of the connection's deadlines that
    /// this layer set has passed. By default nothing happens.
    ///
    /// A layer gives each deadline a token, and moves it with
    /// [`SocketCx::set_timer`] at each change of its state. That costs about 100 instructions, and
    /// nothing in the loop's heap unless the connection would be looked at too late.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidegate_loop::Loop;
    /// use tidegate_loop::kind::Dispatch;
    /// use tidegate_net::{Net, On, Protocol, SocketKey};
    ///
    /// const HEAD: u64 = 0;
    /// const IDLE: u64 = 1;
    ///
    /// /// Answers each line. The first byte of one starts a deadline for the rest; between two
    /// /// there is another.
    /// static LINES: Protocol = Protocol::new("lines").data(data).timer(|d, key, _, token| {
    ///     let mut cx = d.cx();
    ///     match token {
    ///         HEAD => { let _ = cx.socket(key).end_with("too slow\n"); }
    ///         _ => cx.socket(key).end(),
    ///     }
    /// });
    ///
    /// fn data(d: &mut Dispatch<'_>, key: SocketKey, _: u64, bytes: &mut [u8]) {
    ///     let mut cx = d.cx();
    ///     let mut s = cx.socket(key);
    ///     if bytes.ends_with(b"\n") {
    ///         s.clear_timer(HEAD);
    ///         s.set_timer(IDLE, Duration::from_secs(5));
    ///         let _ = s.write("ok\n");
    ///     } else {
    ///         s.clear_timer(IDLE);
    ///         s.set_timer(HEAD, Duration::from_millis(5));
    ///     }
    /// }
    ///
    /// let mut lp = Loop::new()?;
    /// let server = lp.listen("127.0.0.1:0", |mut conn| {
    ///     conn.server(conn.server_key()).close().unwrap();
    ///     let _ = conn.accept_as(&LINES, 0);
    /// })?;
    /// let at = lp.server(server).local_addr()?;
    /// lp.connect(at, On::new()
    ///     .connect(|s| { let _ = s.write("whole\n"); })
    ///     .data(|s, text| match text {
    ///         b"ok\n" => { let _ = s.write("ha"); }
    ///         _ => assert_eq!(text, b"too slow\n"),
    ///     }));
    /// lp.run()?;
    /// # use tidegate_loop::AsCx;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub const fn timer(self, f: ProtocolTimer) -> Protocol {
        Protocol { timer: f, ..self }
    }

    /// [`SocketCx::wake`] was called: what an API call changed has effects that need a [`Dispatch`].
    /// It comes in the pending phase, once for all calls before it. By default nothing happens.
    ///
    /// ```
    /// use slab::Slab;
    /// use tidegate_loop::kind::{Dispatch, LayerId};
    /// use tidegate_loop::AsCx;
    /// use tidegate_net::{Net, Protocol, SocketKey};
    /// type OnCancel = Box<dyn FnOnce()>;
    /// static JOBS: LayerId<Slab<Option<OnCancel>>> = LayerId::new(Slab::new);
    /// static WORKER: Protocol = Protocol::new("worker").woken(|d, _, at| {
    ///     // A closure of the user's: `cancel` itself must not call it.
    ///     if let Some(cancelled) = d.layer(&JOBS).0.get_mut(at as usize).and_then(Option::take) {
    ///         cancelled();
    ///     }
    /// });
    /// /// What a user calls.
    /// fn cancel<C: AsCx>(cx: &mut C, key: SocketKey) {
    ///     cx.cx().socket(key).wake();
    /// }
    /// # let _ = (&WORKER, cancel::<tidegate_loop::Loop>);
    /// ```
    pub const fn woken(self, f: ProtocolCall) -> Protocol {
        Protocol { woken: f, ..self }
    }

    /// As [`Handler::on_ready`](crate::Handler::on_ready): a filter that was set on the open
    /// connection is ready. By default nothing happens.
    pub const fn ready(self, f: ProtocolCall) -> Protocol {
        Protocol { ready: f, ..self }
    }

    /// As [`Handler::on_shutdown`](crate::Handler::on_shutdown). By default our side ends.
    pub const fn shutdown(self, f: ProtocolCall) -> Protocol {
        Protocol { shutdown: f, ..self }
    }

    /// As [`Handler::on_close`](crate::Handler::on_close): the last call for this connection,
    /// exactly once, unless it was [`replaced`](Protocol::replaced) before. By default an error
    /// is counted and logged.
    pub const fn close(self, f: ProtocolClose) -> Protocol {
        Protocol { close: f, ..self }
    }

    /// One line for people: what it is doing on this connection. By default empty.
    pub const fn describe(self, f: fn(&mut Cx<'_>, SocketKey, u64) -> String) -> Protocol {
        Protocol { describe: f, ..self }
    }

    /// [`SocketCx::set_handler`] or [`SocketCx::set_protocol`] takes the connection away, also
    /// if this layer called it: the last call for this connection. It comes from inside of that
    /// call, and so must run no user code and drop no value of a user's: see
    /// [`Runtime::bury`](tidegate_loop::kind::Runtime::bury). By default nothing happens.
    pub const fn replaced(self, f: fn(&mut Cx<'_>, SocketKey, u64)) -> Protocol {
        Protocol { replaced: f, ..self }
    }

    /// The layer reads itself: the loop reads nothing, and calls this in each turn while the
    /// connection is readable and not paused: [`pause`](SocketCx::pause) and
    /// [`resume`](SocketCx::resume) say whether this call is wanted. It reads with
    /// [`SocketCx::read_now`], until `WouldBlock` or as much as it wants; a call that finds
    /// nothing to read is possible.
    ///
    /// ```
    /// use std::io::{ErrorKind, IoSlice};
    /// use tidegate_loop::kind::Dispatch;
    /// use tidegate_net::{Net, Protocol, SocketKey};
    /// static ECHO: Protocol = Protocol::new("pull echo").readable(readable).writable(|d, key, _| {
    ///     d.cx().socket(key).resume();
    /// });
    /// fn readable(d: &mut Dispatch<'_>, key: SocketKey, _: u64) {
    ///     let mut cx = d.cx();
    ///     let (mut s, mut buffer) = (cx.socket(key), [0; 4096]);
    ///     match s.read_now(&mut buffer) {
    ///         Ok(0) => s.end(),
    ///         Ok(n) => {
    ///             let sent = s.write_now(&[IoSlice::new(&buffer[..n])]).unwrap_or(0);
    ///             if sent < n {
    ///                 s.unread(&buffer[sent..n]); // read again when there is room
    ///                 s.pause();
    ///             }
    ///         }
    ///         Err(e) if e.kind() == ErrorKind::WouldBlock => {}
    ///         Err(_) => {} // `close` tells
    ///     }
    /// }
    /// ```
    pub const fn readable(self, f: ProtocolCall) -> Protocol {
        Protocol { readable: Some(f), ..self }
    }

    /// There is room again after [`SocketCx::write_now`] took less than it was given: once for
    /// each time. By default nothing happens.
    pub const fn writable(self, f: ProtocolCall) -> Protocol {
        Protocol { writable: f, ..self }
    }

    /// A protocol with [`readable`](Protocol::readable) gets its connections as a
    /// [`LentSocket`](crate::LentSocket) where it can: their kind is that of
    /// [`pull_kind`](crate::pull_kind). The example is there.
    pub const fn lends(self, kind: &'static Kind) -> Protocol {
        Protocol { lends: Some(kind), ..self }
    }

    /// What `why_alive` calls it.
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

fn nothing(_: &mut Dispatch<'_>, _: SocketKey, _: u64) {}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
