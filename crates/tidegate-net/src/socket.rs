//! One connection: the read loop, what is told, and how it ends.
//!
//! | life | event | next |
//! |---|---|---|
//! | Connecting | writable, no error | Open, `on_connect` |
//! | Offered | `Incoming::accept` | Open |
//! | Offered | `reject`, or nothing | gone |
//! | Open | both ended, error, destroy, limit, panic | closing, `on_close`, gone |
//!
//! Whoever moves bytes is here and in `outgoing.rs`, the write path; when to move them is
//! decided by the machines of `tidegate-stream`, and what the user calls is in
//! `socket_cx.rs`.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, Read};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;
use slab::Slab;
use tidegate_loop::{Bits, Dispatch, Driver, Key, Kind};
use tidegate_stream::{Chunk, Duplex, Effect, ReadState, WriteState};

use crate::close;
use crate::connect::{self, Connecting};
use crate::ends::Pipes;
use crate::error::{NetError, Reason, Reset, Stage};
use crate::event::{Connection, NetEvent, SocketEvent};
use crate::handler::Handler;
use crate::key::{ServerKey, SocketKey};
use crate::layer::Layer;
use crate::listener::Listener;
use crate::metrics::NetMetrics;
use crate::options::StreamOptions;
use crate::socket_cx::SocketCx;
use crate::timeout::{self, Clocks, Due, Timeout, View, as_nanos};
use crate::wire::Wire;

pub(crate) static SOCKET: Kind = Kind {
    name: "socket",
    ready,
    pending: |d, key, _| {
        connect::ask(d, SocketKey(key));
        // One that is to have its dispatch tells then.
        if !d.driver().is_queued(key) {
            deliver(d, SocketKey(key));
        }
    },
    close: |cx, key, _| {
        let (layer, mut d) = cx.parts::<Layer>();
        layer.with(&mut d, SocketKey(key), |s, d, _| s.destroy(d, Reason::Destroyed));
        Ok(())
    },
    closed: close::closed,
    describe: |cx, key, _| {
        let (layer, d) = cx.parts::<Layer>();
        layer.socket(&d, SocketKey(key)).map_or_else(String::new, |s| s.describe())
    },
};

/// One read takes at most this much; the buffer belongs to the loop.
const READ_BUFFER: usize = 64 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    Connecting,
    /// Accepted from the kernel, not yet by the user.
    Offered,
    Open,
}

/// What is told in one dispatch, at most.
const TELL: usize = 1000;

/// What the poller watches for us. It only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watched {
    Nothing,
    Reads,
    Both,
}

/// What is known of a new stream before the poller spoke. On a Unix domain socket, which has no
/// address, a read stops behind each descriptor that was passed.
#[inline]
pub(crate) fn new_bits(remote: Option<SocketAddr>) -> Bits {
    match remote {
        Some(_) => Bits::WRITABLE,
        None => Bits::WRITABLE | Bits::SHORT_READS,
    }
}

pub(crate) struct Socket {
    pub(crate) key: SocketKey,
    /// Of its handle, which only that kind may close.
    pub(crate) kind: &'static Kind,
    pub(crate) life: Life,
    pub(crate) watched: Watched,
    /// `None` once the descriptor is closed.
    pub(crate) stream: Option<TcpStream>,
    /// `None` while its callback runs.
    pub(crate) handler: Option<Box<dyn Handler>>,
    pub(crate) wire: Wire,
    /// Few connections are ends of pipes.
    pub(crate) pipes: Option<Box<Pipes>>,
    pub(crate) duplex: Duplex<Reason>,
    pub(crate) server: Option<ServerKey>,
    pub(crate) remote: Option<SocketAddr>,
    /// Our end, if somebody observed when it was made.
    local: Option<Box<SocketAddr>>,
    /// When it was accepted or asked for, in the loop's nanoseconds.
    pub(crate) since: u64,
    pub(crate) bytes_read: u64,
    /// It has not read yet, or the poller does not know it.
    fresh: bool,
    pub(crate) bytes_written: u64,
    pub(crate) clocks: Clocks,
    /// Until it is connected.
    pub(crate) connecting: Option<Box<Connecting>>,
    /// What the loop was told: something is under way that must be finished.
    busy: bool,
    /// Its server shuts down, and it is to be told.
    pub(crate) shutting_down: bool,
    /// Whether its close sends a RST.
    pub(crate) reset: Reset,
    /// The first write error; reading goes on to the end before it is told.
    pub(crate) failure: Option<Arc<NetError>>,
}

impl Socket {
    pub(crate) fn new(
        key: SocketKey,
        kind: &'static Kind,
        life: Life,
        options: &StreamOptions,
        d: &Driver<'_>,
    ) -> Socket {
        let limit = options.write_limit.unwrap_or(d.limits().write_limit);
        let write = WriteState::new(options.high_water_mark, limit);
        let mut s = Socket {
            key,
            kind,
            life,
            watched: Watched::Nothing,
            stream: None,
            handler: None,
            wire: Wire::Plain,
            pipes: None,
            duplex: Duplex::new(write, options.allow_half_open),
            server: None,
            remote: None,
            local: None,
            // A deadline must not be early; else the time of the poll will do.
            since: as_nanos(if options.deadlines.has_any() || life == Life::Connecting {
                d.clock()
            } else {
                d.now()
            }),
            bytes_read: 0,
            fresh: true,
            bytes_written: 0,
            clocks: Clocks::default(),
            connecting: None,
            busy: false,
            shutting_down: false,
            reset: Reset::No,
            failure: None,
        };
        s.clocks.start(options.deadlines, s.since);
        s
    }

    /// Whether one side has ended and the other has not; or the peer has, and nobody
    /// has read that far.
    pub(crate) fn is_half_closed(&self, d: &Driver<'_>) -> bool {
        self.duplex.read == ReadState::Ended
            || self.duplex.write.is_finished()
            || d.bits(self.key.0).has(Bits::READ_CLOSED | Bits::ERROR)
    }

    /// What its deadlines have to know.
    pub(crate) fn view(&self, d: &Driver<'_>) -> View {
        View {
            connecting: self.life == Life::Connecting,
            open: self.life == Life::Open,
            half_closed: self.is_half_closed(d),
        }
    }

    pub(crate) fn pipes(&self) -> Option<&Pipes> {
        self.pipes.as_deref()
    }

    /// A side ended. Whether there is a deadline for the other.
    fn note_end(&mut self, d: &Driver<'_>) -> bool {
        let lingers = self.clocks.has_linger();
        if lingers {
            self.clocks.side_ended(as_nanos(d.clock()));
        }
        lingers
    }

    /// Whether a pipe writes to it, which then says when it ends.
    #[inline]
    pub(crate) fn is_piped_from(&self, d: &Driver<'_>) -> bool {
        self.pipes().and_then(|p| p.from).is_some_and(|p| d.check(p.into()).is_ok())
    }

    /// A connect under way, or bytes that wait, keep the loop alive, also if the
    /// handle is not referenced (libuv: a request does).
    #[inline]
    pub(crate) fn tell_busy(&mut self, d: &mut Driver<'_>) {
        let busy = self.life == Life::Connecting || !self.duplex.write.is_empty();
        if busy != self.busy {
            self.busy = busy;
            d.set_busy(self.key.0, busy);
        }
    }

    /// The next thing to tell of what was written: nothing before it is connected.
    #[inline]
    pub(crate) fn take_effect(&mut self) -> Option<Effect> {
        if self.life == Life::Connecting {
            return None;
        }
        self.duplex.write.take_effect()
    }

    fn describe(&self) -> String {
        let way = match (self.life, self.server) {
            (Life::Connecting, _) => "connecting to",
            (_, None) => "to",
            (_, Some(_)) => "from",
        };
        let queued = self.duplex.write.len();
        match self.remote {
            Some(remote) => format!("{way} {remote}, {queued} bytes queued"),
            None => format!("{way} nowhere"),
        }
    }

    /// An error of this connection, placed on the path. Our own end is asked
    /// for where it tells something, the port that the system chose for a
    /// client: a server's resets must not cost a call each.
    pub(crate) fn error(&self, stage: Stage, source: io::Error, d: &Driver<'_>) -> Arc<NetError> {
        let client = if self.server.is_none() { self.stream.as_ref() } else { None };
        let local = client.and_then(|s| s.local_addr().ok());
        // Now, not when the poll returned: an attempt in it has a time of its own.
        let elapsed = self.age(d);
        let asked = self.connecting.as_ref().filter(|_| stage == Stage::Bind);
        let local = asked.and_then(|c| c.own_address()).or(local);
        let error = NetError::new(stage, source).at(local, self.remote).after(elapsed);
        Arc::new(match self.connecting.as_deref() {
            Some(c) => error.tried(c.name.clone(), c.failed.clone()).untried_are(c.untried()),
            None => error,
        })
    }

    /// How long ago it was asked for, or accepted.
    pub(crate) fn age(&self, d: &Driver<'_>) -> Duration {
        d.clock().saturating_sub(Duration::from_nanos(self.since))
    }

    /// Counts it as over.
    pub(crate) fn count_end(&self, counted: &mut NetMetrics, reason: &Reason) {
        counted.closed += 1;
        counted.failed += u64::from(reason.is_error());
        counted.timed_out += u64::from(matches!(reason, Reason::TimedOut(..)));
        self.count_bytes(counted);
    }

    /// Counts its bytes: also of one that was rejected, or detached, after it was written to by
    /// its key.
    pub(crate) fn count_bytes(&self, counted: &mut NetMetrics) {
        counted.unsent += self.duplex.write.len() as u64;
        counted.bytes_read += self.bytes_read;
        counted.bytes_written += self.bytes_written;
    }

    /// Tells the observer, if there is one.
    #[inline(always)]
    pub(crate) fn tell(&self, d: &mut Driver<'_>, event: impl FnOnce() -> SocketEvent) {
        d.emit(|| NetEvent::Socket(self.connection(), event()));
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn observe_write(&self, d: &mut Driver<'_>, bytes: usize) {
        if self.bytes_written == 0 {
            self.tell(d, || SocketEvent::FirstWritten { bytes });
        }
    }

    pub(crate) fn connection(&self) -> Connection {
        let local = self.local.as_deref().copied();
        Connection { key: self.key, server: self.server, local, remote: self.remote }
    }

    /// Asks for our own end, which the events to come will name.
    #[cold]
    pub(crate) fn note_local(&mut self) {
        let local = self.stream.as_ref().and_then(|s| s.local_addr().ok());
        self.local = local.map(Box::new);
    }

    /// An operation failed: was it a RST that came?
    #[cold]
    pub(crate) fn tell_reset(&self, d: &mut Driver<'_>, e: &io::Error) {
        // Linux says EPIPE for one that comes after the peer's end.
        let reset = || matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        if d.is_observed() && reset() {
            self.tell(d, || SocketEvent::Reset { by_peer: true });
        }
    }

    /// Registers with the poller for what is needed by now.
    pub(crate) fn watch(&mut self, d: &mut Driver<'_>) {
        let Some(stream) = &mut self.stream else { return };
        let both = !self.duplex.write.is_empty() || self.life == Life::Connecting;
        let (interest, watched) = if both {
            (Driver::READS | Interest::WRITABLE, Watched::Both)
        } else {
            (Driver::READS, Watched::Reads)
        };
        let done = if self.watched == Watched::Nothing {
            d.register(self.key.0, stream, interest)
        } else {
            d.reregister(self.key.0, stream, interest)
        };
        match done {
            Ok(()) => self.watched = watched,
            Err(e) => self.fail(d, Stage::Register, e),
        }
    }

    /// Reads nothing more. A connection whose writing failed would never get to its
    /// end that way, so it ends now.
    pub(crate) fn pause(&mut self, d: &mut Driver<'_>) {
        if self.duplex.read == ReadState::Flowing {
            self.duplex.read.pause();
            self.tell(d, || SocketEvent::Pause);
        }
        if let Some(failure) = self.failure.take() {
            self.destroy(d, Reason::Failed(failure));
        }
    }

    /// Nothing is under way, and no deadline hangs on an end.
    #[inline]
    fn is_quiet(&self) -> bool {
        self.duplex.is_quiet()
            && !self.busy
            && !self.shutting_down
            && self.clocks.is_waiting()
            && !self.clocks.has_linger()
    }

    /// After a dispatch: whoever could go on is queued, and a new connection
    /// that cannot is registered.
    fn rest(&mut self, d: &mut Driver<'_>) {
        if !self.duplex.is_open() {
            return;
        }
        let bits = d.bits(self.key.0);
        let can_read = bits.has(Bits::READABLE) && self.duplex.read.wants_read();
        let can_write = bits.has(Bits::WRITABLE) && self.duplex.write.wants_write();
        if can_read || can_write {
            d.queue(self.key.0);
        } else if self.watched == Watched::Nothing {
            self.watch(d);
        }
    }
}

/// A handler that left its slot for the time of its call. It comes back by `run`; dropped
/// by a panic it is put back all the same, and the panic is the connection's end.
struct Called<'a, 'b> {
    d: &'a mut Dispatch<'b>,
    key: SocketKey,
    handler: Option<Box<dyn Handler>>,
}

impl Called<'_, '_> {
    /// Makes the call. Whether the connection is quiet after it.
    #[inline(always)]
    fn run(mut self, f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>)) -> bool {
        let Some(handler) = &mut self.handler else { return false };
        f(&mut **handler, &mut SocketCx::new(self.d.cx(), self.key));
        let handler = self.handler.take();
        let quiet = self.put_back(handler).is_some_and(|s| s.is_quiet());
        std::mem::forget(self);
        quiet
    }

    #[inline(always)]
    fn put_back(&mut self, handler: Option<Box<dyn Handler>>) -> Option<&mut Socket> {
        let (layer, mut d) = self.d.parts::<Layer>();
        match layer.socket(&d, self.key) {
            Some(s) if s.handler.is_none() => {
                s.handler = handler;
                Some(s)
            }
            // Replaced by `set_handler`, whose value stays.
            s => {
                d.bury(handler);
                s
            }
        }
    }
}

impl Drop for Called<'_, '_> {
    #[cold]
    fn drop(&mut self) {
        let Some(handler) = self.handler.take() else { return };
        self.put_back(Some(handler));
        let (layer, mut d) = self.d.parts::<Layer>();
        if let Some(s) = layer.socket(&d, self.key) {
            s.destroy(&mut d, Reason::Panicked);
        }
    }
}

/// The only way to a connection's callbacks, but for `on_close`.
fn call(d: &mut Dispatch<'_>, key: SocketKey, f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>)) {
    let (layer, driver) = d.parts::<Layer>();
    let handler = layer.socket(&driver, key).and_then(|s| s.handler.take());
    call_handler(d, key, handler, f);
}

/// The same, for who has the handler out of its slot already.
#[inline]
fn call_handler(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    handler: Option<Box<dyn Handler>>,
    f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>),
) {
    call_only(d, key, handler, f);
    d.settle();
}

/// Without what comes after it: for who has more to say before that.
#[inline]
fn call_only(
    d: &mut Dispatch<'_>,
    key: SocketKey,
    handler: Option<Box<dyn Handler>>,
    f: impl FnOnce(&mut dyn Handler, &mut SocketCx<'_>),
) {
    Called { d, key, handler }.run(f);
}

/// The connection's turn in the ready pass: read, write, tell, rest.
fn ready(d: &mut Dispatch<'_>, raw: Key, _: u64) {
    let key = SocketKey(raw);
    loop {
        match read(d, key) {
            Reads::Quiet => return,
            Reads::Done => break,
            Reads::NotOpen if connected(d, key) => {}
            Reads::NotOpen => return still_connecting(d, key),
        }
    }
    let mut lingers = false;
    let (layer, mut driver) = d.parts::<Layer>();
    let told = layer.with(&mut driver, key, |s, d, shared| {
        if s.duplex.ends_with_peer() && !s.is_piped_from(d) {
            s.end(d, shared);
        }
        if s.duplex.write.wants_write() {
            s.flush(d);
        }
        s.finish();
        let told = s.duplex.write.has_effect()
            || s.duplex.is_done()
            || s.shutting_down
            || s.clocks.is_due();
        if s.clocks.was_probed() {
            d.pend(key.0);
        }
        if !told {
            s.rest(d);
        }
        lingers = s.duplex.is_open() && s.clocks.has_linger() && s.is_half_closed(d);
        if lingers && !s.duplex.read.wants_read() && s.duplex.read != ReadState::Ended {
            s.clocks.peer_gone(d.nanos());
        }
        told
    });
    if lingers {
        timeout::arm(&mut d.cx(), key);
    }
    if told == Some(true) {
        deliver(d, key);
        let (layer, mut driver) = d.parts::<Layer>();
        if let Some(s) = layer.socket(&driver, key) {
            s.rest(&mut driver);
        }
    }
}

/// The poller spoke of a connection that is not open yet. `true` if it is now: then it was
/// told.
#[cold]
fn connected(d: &mut Dispatch<'_>, key: SocketKey) -> bool {
    let (layer, driver) = d.parts::<Layer>();
    let waits = layer.socket(&driver, key).is_some_and(|s| s.life == Life::Connecting);
    if !waits || !connect::complete(d, key) {
        return false;
    }
    call(d, key, |h, s| h.on_connect(s));
    true
}

/// Asked once more for its deadline, and not connected: attempts beside it have their dispatch
/// first.
#[cold]
fn still_connecting(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.parts::<Layer>();
    if layer.socket(&driver, key).is_some_and(|s| s.clocks.was_probed()) {
        driver.pend(key.0);
    }
}

/// The same for an attempt that won: reading comes in the connection's own dispatch.
pub(crate) fn opened(d: &mut Dispatch<'_>, key: SocketKey) {
    call(d, key, |h, s| h.on_connect(s));
    d.driver().queue(key.0);
}

/// A half-open connection was reset: no read will tell.
fn failed_while_ended(s: &mut Socket, d: &mut Driver<'_>) {
    if s.duplex.read == ReadState::Ended && !s.duplex.is_done() {
        if let Some(Ok(Some(e))) = s.stream.as_ref().map(|s| s.take_error()) {
            s.tell_reset(d, &e);
            s.fail(d, Stage::Read, e);
        }
    }
}

/// What came of a read loop.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// The connection is not open yet.
    NotOpen,
    /// Nothing is under way: there is nothing to write, to tell or to queue.
    Quiet,
    Done,
}

/// Reads until the kernel has no more, the budget is spent, or a callback
/// pauses, closes or replaces.
#[inline]
fn read(d: &mut Dispatch<'_>, key: SocketKey) -> Reads {
    let mut left = d.driver().limits().read_budget;
    let Some((buffer, mut d)) = d.lend_scratch(READ_BUFFER) else { return Reads::Done };
    let d = &mut d;
    loop {
        let (layer, mut driver) = d.parts::<Layer>();
        let Layer { sockets, listeners, .. } = layer;
        let Some((index, bits)) = driver.look(key.0) else { return Reads::Done };
        let Some(s) = sockets.get_mut(index as usize) else { return Reads::Done };
        if s.life != Life::Open {
            return Reads::NotOpen;
        }
        if left == 0 || !bits.has(Bits::READABLE) || !s.duplex.read.wants_read() {
            if bits.has(Bits::ERROR) {
                failed_while_ended(s, &mut driver);
            }
            return Reads::Done;
        }
        let Some(stream) = &s.stream else { return Reads::Done };
        let len = left.min(READ_BUFFER);
        let done = driver.try_read(key.0, len, || (&mut &*stream).read(&mut buffer[..len]));
        let fresh = s.fresh;
        if fresh {
            first_read(s, listeners, &mut driver, &done);
        }
        let more = match done {
            Ok((0, _)) => {
                at_end(d, key);
                return Reads::Done;
            }
            Ok((n, more)) => {
                left -= n;
                s.bytes_read += n as u64;
                s.clocks.touch(driver.nanos());
                match s.wire {
                    Wire::Plain if s.pipes.is_some() => received(d, key, &buffer[..n]),
                    Wire::Plain => {
                        let called = Called { handler: s.handler.take(), d, key };
                        let quiet = called.run(|h, s| h.on_data(s, &buffer[..n]));
                        // The ordinary end of an echo.
                        if quiet && !more && !fresh && d.is_settled() {
                            return Reads::Quiet;
                        }
                        d.settle();
                    }
                    Wire::Filter(_) => filtered(d, key, &buffer[..n]),
                }
                more
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Err(e) => {
                match s.failure.take() {
                    Some(first) => s.destroy(&mut driver, Reason::Failed(first)),
                    None => {
                        s.tell_reset(&mut driver, &e);
                        s.fail(&mut driver, Stage::Read, e);
                    }
                }
                false
            }
        };
        if !more {
            return Reads::Done;
        }
    }
}

/// What is looked at until a connection has read and is in the poller's hands.
#[cold]
fn first_read(
    s: &mut Socket,
    listeners: &mut Slab<Listener>,
    d: &mut Driver<'_>,
    done: &io::Result<(usize, bool)>,
) {
    if s.watched == Watched::Nothing {
        // Before the poller spoke: did it pay?
        let hit = !matches!(done, Err(e) if e.kind() == ErrorKind::WouldBlock);
        let server = s.server.and_then(|k| d.data(k.into()));
        if let Some(l) = server.and_then(|i| listeners.get_mut(i as usize)) {
            l.first_reads.report(hit);
        }
    }
    let bytes = done.as_ref().map_or(0, |(n, _)| *n);
    if bytes > 0 && s.bytes_read == 0 {
        s.tell(d, || SocketEvent::FirstRead { bytes });
    }
    let has_read = bytes > 0 || s.bytes_read > 0;
    s.fresh = !has_read || s.watched == Watched::Nothing;
}

/// Bytes from the kernel go through the filter to the handler.
fn filtered(d: &mut Dispatch<'_>, key: SocketKey, wire: &[u8]) {
    let (layer, mut driver) = d.parts::<Layer>();
    layer.with(&mut driver, key, |s, d, shared| {
        s.filter(d, shared, |f, out| f.inbound(wire, out));
    });
    let mut up = std::mem::take(&mut layer.shared.passed.up);
    let open = layer.socket(&driver, key).is_some_and(|s| s.duplex.is_open());
    if open && !up.is_empty() {
        received(d, key, &up);
    }
    up.clear();
    d.parts::<Layer>().0.shared.passed.up = up;
}

/// Bytes for the pipe that this is the source of, or for the handler.
fn received(d: &mut Dispatch<'_>, key: SocketKey, bytes: &[u8]) {
    let (layer, driver) = d.parts::<Layer>();
    match layer.socket(&driver, key).and_then(|s| s.pipes()).and_then(|p| p.into) {
        Some(pipe) => pipe.data(d, Chunk::Lent(bytes)),
        None => call(d, key, |h, s| h.on_data(s, bytes)),
    }
}

/// The peer's FIN.
fn at_end(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(s) = layer.socket(&driver, key) else { return };
    if let Some(first) = s.failure.take() {
        return s.destroy(&mut driver, Reason::Failed(first));
    }
    s.duplex.read.eof();
    s.note_end(&driver);
    let pipe = s.pipes().and_then(|p| p.into);
    s.tell(&mut driver, || SocketEvent::End);
    let handler = s.handler.take();
    call_only(d, key, handler, |h, s| h.on_end(s));
    if let Some(pipe) = pipe {
        pipe.ended(d);
    }
    d.settle();
}

/// Tells what the machines decided, in order, and ends what both sides ended.
fn deliver(d: &mut Dispatch<'_>, key: SocketKey) {
    for _ in 0..TELL {
        let (layer, mut driver) = d.parts::<Layer>();
        let Some((effect, s)) = layer.take_effect(&driver, key) else { return };
        let pipe = s.pipes().and_then(|p| p.from);
        match effect {
            Some(Effect::Drain) => {
                s.tell(&mut driver, || SocketEvent::Drain);
                if let Some(pipe) = pipe {
                    pipe.drained(d);
                    let (layer, driver) = d.parts::<Layer>();
                    // A source of the user's that panics ends the pipe, and this with it.
                    if layer.socket(&driver, key).is_none_or(|s| !s.duplex.is_open()) {
                        return;
                    }
                }
                call(d, key, |h, s| h.on_drain(s));
            }
            Some(Effect::Finish) => {
                s.tell(&mut driver, || SocketEvent::Finish);
                let (handler, lingers) = (s.handler.take(), s.note_end(&driver));
                call_only(d, key, handler, |h, s| h.on_finish(s));
                if lingers {
                    timeout::arm(&mut d.cx(), key);
                }
                if let Some(pipe) = pipe {
                    pipe.finished(d);
                }
                d.settle();
            }
            Some(Effect::Written(id)) => call(d, key, |h, s| h.on_written(s, id, Ok(()))),
            _ => {
                if s.duplex.is_done() {
                    return s.destroy(&mut driver, Reason::Ended);
                }
                if std::mem::take(&mut s.shutting_down) && s.duplex.is_open() {
                    call(d, key, |h, s| h.on_shutdown(s));
                    continue;
                }
                let due = timeout::take_due(s, &mut driver);
                if let Some(Due::Now(which)) = due {
                    s.tell(&mut driver, || SocketEvent::TimedOut(which));
                }
                match due {
                    Some(Due::NotYet) => timeout::arm(&mut d.cx(), key),
                    Some(Due::Now(Timeout::Idle)) if s.duplex.is_open() => {
                        call(d, key, |h, s| h.on_timeout(s));
                        timeout::arm(&mut d.cx(), key);
                    }
                    Some(Due::Now(which)) => {
                        let reason = timeout::reason(s, &driver, which);
                        s.destroy(&mut driver, reason);
                    }
                    None => return,
                }
            }
        }
    }
    // The rest in the next turn, which is to come.
    let (layer, mut driver) = d.parts::<Layer>();
    if let Some(s) = layer.socket(&driver, key) {
        s.busy = true;
        driver.set_busy(key.0, true);
        driver.queue(key.0);
    }
}
