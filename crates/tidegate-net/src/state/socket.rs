//! [`Socket`]: one connection, and what can be asked of it.
//!
//! | life | event | next |
//! |---|---|---|
//! | Connecting | writable, no error | Open, `on_connect`; with filters: Gated |
//! | Gated | the filters are ready | a client's: Open, `on_connect`; a server's: Offered |
//! | Offered | `Incoming::accept` | Open |
//! | Offered | `reject`, or nothing | gone |
//! | Gated, Offered, Open | a filter fails and has something to say | Refused |
//! | Refused | the peer's end, 64 KiB, 2 s | closing, with the filter's error |
//! | Open | both ended, error, destroy, limit, panic | closing, `on_close`, gone |
//!
//! What is done to it is in `socket/`. When bytes move is decided by the machines of
//! `tidegate-stream`, which it owns.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mio::net::TcpStream;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Handle, Runtime};
use tidegate_stream::{Duplex, Effect, ReadState, WriteState};

use crate::callbacks::protocol::ProtocolCall;
use crate::callbacks::upper::Upper;
use crate::error::close::{Kept, Reason, Reset};
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::event::{ConnectionInfo, NetEvent, SocketEvent};
use crate::key::{ServerKey, SocketKey};
use crate::metrics::NetMetrics;
use crate::options::stream::StreamOptions;
use crate::peer_state::PeerState;
use crate::state::connecting::Connecting;
use crate::state::deadlines::clocks::{Clocks, View};
use crate::state::deadlines::timers::OwnTimers;
use crate::state::owed::Owed;
use crate::state::rare::{Pipes, Rare};
use crate::state::remote::{Counted, Remote};
use crate::state::wire::Wire;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Life {
    /// Its place is free.
    Over,
    Connecting,
    /// Made or accepted; its filters are not ready.
    Gated,
    /// Accepted from the kernel, not yet by the user.
    Offered,
    Open,
    /// A filter failed and said so to the peer: what it said goes out, what comes is dropped.
    Refused,
}

/// What the poller watches for us. It only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Watched {
    Nothing,
    Reads,
    Both,
}

/// What is left of a connection that is over.
pub(crate) struct Remains {
    pub(crate) upper: Upper,
    pub(crate) wire: Wire,
    pub(crate) write: WriteState,
    pub(crate) rare: Option<Box<Rare>>,
    pub(crate) server: Option<ServerKey>,
    /// `on_connect` was still to come.
    pub(crate) was_connecting: bool,
}

pub(crate) struct Socket {
    pub(crate) key: SocketKey,
    pub(crate) life: Life,
    pub(crate) watched: Watched,
    /// `None` once the descriptor is closed.
    pub(crate) stream: Option<TcpStream>,
    pub(crate) upper: Upper,
    pub(crate) wire: Wire,
    pub(crate) duplex: Duplex<Kept>,
    pub(crate) server: Option<ServerKey>,
    remote: Remote,
    /// When it was accepted or asked for, in the loop's nanoseconds.
    pub(crate) since: u64,
    pub(crate) bytes_read: u64,
    /// Something may have changed since its last pass but bytes that came and went, so that
    /// there may be more to do.
    pub(crate) stirred: bool,
    /// Its protocol may have it for a call, if nothing has stirred it since its last pass.
    pub(crate) lendable: bool,
    /// What stands above was called for bytes in the kernel, and may have left some.
    pub(crate) more: bool,
    /// It has not read yet, or the poller does not know it.
    pub(crate) fresh: bool,
    /// The peer's end was read by `read_now`, and no `on_end` came.
    pub(crate) end_pulled: bool,
    pub(crate) bytes_written: u64,
    pub(crate) clocks: Clocks,
    /// Whether the handle is marked busy: something is under way that must be finished.
    pub(crate) busy: bool,
    pub(crate) owed: Owed,
    /// Whether it counts to the connections of its peer.
    pub(crate) counted: Counted,
    /// Whether its close sends a RST.
    pub(crate) reset: Reset,
    /// The last that `on_hangup` was called with.
    pub(crate) hangup: PeerState,
    pub(crate) rare: Option<Box<Rare>>,
}

impl Socket {
    /// A place where none was before.
    pub(crate) fn over(key: SocketKey) -> Socket {
        Socket {
            key,
            life: Life::Over,
            watched: Watched::Nothing,
            stream: None,
            upper: Upper::Away,
            wire: Wire::Plain,
            duplex: Duplex::new(WriteState::new(0, 0), false),
            server: None,
            remote: Remote::Unknown,
            since: 0,
            bytes_read: 0,
            stirred: true,
            lendable: false,
            more: false,
            fresh: true,
            end_pulled: false,
            bytes_written: 0,
            clocks: Clocks::default(),
            busy: false,
            owed: Owed::default(),
            counted: Counted::No,
            reset: Reset::No,
            hangup: PeerState::Open,
            rare: None,
        }
    }

    /// Begins a connection in a place that was free. Field by field: it is not made elsewhere and
    /// then moved.
    #[inline(always)]
    pub(crate) fn begin(
        &mut self,
        key: SocketKey,
        life: Life,
        options: &StreamOptions,
        rt: &Runtime<'_>,
    ) {
        let limit = options.write_limit.unwrap_or(usize::MAX);
        // A deadline must not be early; else the time of the poll will do.
        let exact = options.deadlines.has_any() || life == Life::Connecting;
        self.since = if exact { rt.clock_nanos() } else { rt.nanos() };
        self.key = key;
        self.life = life;
        self.watched = Watched::Nothing;
        self.duplex.begin(options.high_water_mark, limit, options.allow_half_open);
        self.server = None;
        self.remote = Remote::Unknown;
        self.bytes_read = 0;
        self.bytes_written = 0;
        self.stirred = true;
        self.lendable = false;
        self.more = false;
        self.fresh = true;
        self.end_pulled = false;
        self.busy = false;
        self.owed = Owed::default();
        self.counted = Counted::No;
        self.reset = Reset::No;
        self.clocks = Clocks::default();
        self.clocks.start(options.deadlines, self.since);
        debug_assert!(self.stream.is_none() && matches!(self.upper, Upper::Away));
        debug_assert!(self.rare.is_none());
    }

    /// It is over, and its place is free: what is still to be told and dropped.
    #[inline(always)]
    pub(crate) fn remains(&mut self) -> Remains {
        let was_connecting = self.is_connecting();
        self.life = Life::Over;
        Remains {
            upper: std::mem::replace(&mut self.upper, Upper::Away),
            wire: std::mem::replace(&mut self.wire, Wire::Plain),
            write: self.duplex.take_write(),
            rare: self.rare.take(),
            server: self.server,
            was_connecting,
        }
    }

    /// Whether one side has ended and the other has not; or the peer has, and nobody
    /// has read that far.
    #[inline]
    pub(crate) fn is_half_closed(&self, h: &Handle<'_>) -> bool {
        self.duplex.read == ReadState::Ended
            || self.duplex.write.is_finished()
            || h.readiness().has(Readiness::READ_CLOSED | Readiness::ERROR)
    }

    /// Whether `on_connect` is still to come.
    pub(crate) fn is_connecting(&self) -> bool {
        self.life == Life::Connecting || (self.life == Life::Gated && self.server.is_none())
    }

    /// What its deadlines have to know.
    pub(crate) fn view(&self, h: &Handle<'_>) -> View {
        View {
            connecting: self.is_connecting(),
            gated: self.has_handshake_deadline(),
            open: self.life == Life::Open,
            half_closed: self.is_half_closed(h),
        }
    }

    /// The peer's address, if it has one and it is known.
    #[inline]
    pub(crate) fn remote(&self) -> Option<SocketAddr> {
        match self.remote {
            Remote::Rare => self.rare.as_deref().and_then(|r| r.remote),
            near => near.get(),
        }
    }

    #[inline]
    pub(crate) fn set_remote(&mut self, at: Option<SocketAddr>) {
        self.remote = Remote::new(at);
        if self.remote == Remote::Rare {
            self.rare_or_new().remote = at;
        }
    }

    /// What is needed until it is connected.
    pub(crate) fn connecting(&self) -> Option<&Connecting> {
        self.rare.as_deref()?.connecting.as_deref()
    }

    pub(crate) fn connecting_mut(&mut self) -> Option<&mut Connecting> {
        self.rare.as_deref_mut()?.connecting.as_deref_mut()
    }

    /// It is connected.
    pub(crate) fn take_connecting(&mut self) -> Option<Box<Connecting>> {
        let taken = self.rare.as_deref_mut()?.connecting.take();
        self.rare.take_if(|rare| rare.is_unused());
        taken
    }

    #[inline]
    pub(crate) fn pipes(&self) -> Option<&Pipes> {
        self.rare.as_deref().map(|r| &r.pipes)
    }

    pub(crate) fn pipes_mut(&mut self) -> &mut Pipes {
        &mut self.rare.get_or_insert_default().pipes
    }

    /// Whether there may be anything in the way of what it reads.
    #[inline(always)]
    pub(crate) fn is_rare(&self) -> bool {
        self.rare.as_deref().is_some_and(|rare| !rare.has_addresses_alone())
    }

    /// A side ended. Whether there is a deadline for the other.
    #[inline]
    pub(crate) fn note_end(&mut self, rt: &Runtime<'_>) -> bool {
        let lingers = self.clocks.has_linger();
        if lingers {
            self.clocks.side_ended(rt.clock_nanos());
        }
        lingers
    }

    /// Whether a pipe writes to it, which then says when it ends.
    #[inline]
    pub(crate) fn is_piped_from(&self, h: &Handle<'_>) -> bool {
        self.pipes().and_then(|p| p.from).is_some_and(|p| h.check(p.into()).is_ok())
    }

    /// A connect under way, or bytes that wait, keep the loop alive, also if the
    /// handle is not referenced (libuv: a request does).
    #[inline]
    pub(crate) fn tell_busy(&mut self, h: &mut Handle<'_>) {
        let busy = self.life == Life::Connecting || !self.duplex.write.is_flushed();
        if busy != self.busy {
            self.busy = busy;
            h.set_busy(busy);
        }
    }

    /// The next effect of its writes: none before it is connected.
    #[inline]
    pub(crate) fn take_effect(&mut self) -> Option<Effect> {
        if matches!(self.life, Life::Connecting | Life::Gated | Life::Refused) {
            return None;
        }
        self.duplex.write.take_effect()
    }

    pub(crate) fn describe(&self) -> String {
        let way = match (self.life, self.server) {
            (Life::Connecting, _) => "connecting to",
            (_, None) => "to",
            (_, Some(_)) => "from",
        };
        let Some(remote) = self.remote() else { return format!("{way} nowhere") };
        let waits = self.waits_for().map_or_else(String::new, |f| format!(", {f} is not ready"));
        format!("{way} {remote}, {} bytes queued{waits}", self.queued())
    }

    /// An error of this connection, placed on the path. Our own end is asked
    /// for where it tells something, the port that the system chose for a
    /// client: a server's resets must not cost a call each.
    pub(crate) fn error(&self, stage: Stage, source: io::Error, rt: &Runtime<'_>) -> Arc<NetError> {
        // Now, not when the poll returned: an attempt may have begun later.
        let elapsed = self.age(rt);
        if self.server.is_some() {
            return Arc::new(NetError::of(stage, source, None, self.remote(), elapsed));
        }
        let local = self.stream.as_ref().and_then(|s| s.local_addr().ok());
        let asked = self.connecting().filter(|_| stage == Stage::Bind);
        let local = asked.and_then(|c| c.own_address()).or(local);
        let error = NetError::of(stage, source, local, self.remote(), elapsed);
        Arc::new(match self.connecting() {
            Some(c) => error
                .tried(c.name.clone(), c.failed.clone())
                .untried_are(c.untried())
                .tries_are(c.tries),
            None => error,
        })
    }

    /// How long ago it was asked for, or accepted.
    pub(crate) fn age(&self, rt: &Runtime<'_>) -> Duration {
        Duration::from_nanos(rt.clock_nanos().saturating_sub(self.since))
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
        counted.unsent += self.queued() as u64;
        counted.bytes_read += self.bytes_read;
        counted.bytes_written += self.bytes_written;
    }

    /// Tells the observer, if there is one.
    #[inline(always)]
    pub(crate) fn tell(&self, rt: &mut Runtime<'_>, event: impl FnOnce() -> SocketEvent) {
        rt.emit(|| NetEvent::Socket(self.connection(), event()));
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn observe_write(&self, rt: &mut Runtime<'_>, bytes: usize) {
        if self.bytes_written == 0 {
            self.tell(rt, || SocketEvent::FirstWritten { bytes });
        }
    }

    pub(crate) fn connection(&self) -> ConnectionInfo {
        let local = self.rare.as_deref().and_then(|r| r.local);
        ConnectionInfo { key: self.key, server: self.server, local, remote: self.remote() }
    }

    /// Asks for our own end, which the events to come will name.
    #[cold]
    pub(crate) fn note_local(&mut self) {
        let local = self.stream.as_ref().and_then(|s| s.local_addr().ok());
        self.rare.get_or_insert_default().local = local;
    }

    /// A filter answers so many bytes; how many since the queue was empty, these included.
    #[cold]
    pub(crate) fn count_answer(&mut self, bytes: usize) -> usize {
        let answered = &mut self.rare.get_or_insert_default().answered;
        *answered += bytes;
        *answered
    }

    /// The queue is empty.
    pub(crate) fn forget_answers(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.answered = 0;
        }
    }

    /// Whether it may be closed for the memory that it holds: its writer waits for the drain or
    /// has ended, its queue has answers of a filter, or it keeps bytes that were received: given
    /// back to it, or behind its filters.
    pub(crate) fn can_give_way(&self) -> bool {
        let write = &self.duplex.write;
        let answers = self.rare.as_ref().is_some_and(|r| r.answered > 0);
        let received = write.beside().received > 0 || !self.given_back().is_empty();
        received
            || write.needs_drain()
            || (!write.is_open() && write.wants_write())
            || (answers && !write.is_flushed())
    }

    /// Bytes that were given back and wait.
    #[inline]
    pub(crate) fn given_back(&self) -> &[u8] {
        self.rare.as_deref().map_or(&[], |r| &r.given_back)
    }

    /// The bytes that were given back, to change them. Then call
    /// [`steer_reads`](Socket::steer_reads).
    pub(crate) fn given_back_mut(&mut self) -> &mut Vec<u8> {
        &mut self.rare.get_or_insert_default().given_back
    }

    /// Whether its bytes go elsewhere than to what stands above.
    pub(crate) fn is_diverted(&self) -> bool {
        self.pipes().is_some_and(|p| p.into.is_some() || p.discard.is_some())
    }

    /// What to call for its bytes, if what stands above reads them itself.
    pub(crate) fn puller(&self) -> Option<(ProtocolCall, u64)> {
        self.upper.readable().filter(|_| !self.is_diverted())
    }

    /// By whom is read: by the loop, or on demand, since bytes were given back or are pulled.
    pub(crate) fn steer_reads(&mut self) {
        let on_demand = !self.given_back().is_empty() || self.puller().is_some();
        self.duplex.read.set_on_demand(on_demand);
    }

    /// Writing failed. The connection closes with this error when reading has come to the end.
    #[cold]
    pub(crate) fn keep_failure(&mut self, error: Arc<NetError>) {
        self.rare.get_or_insert_default().failure.get_or_insert(error);
    }

    /// The first write error, if it is to be told still.
    pub(crate) fn take_failure(&mut self) -> Option<Arc<NetError>> {
        self.rare.as_deref_mut()?.failure.take()
    }

    /// What few connections have, if this one does.
    #[inline]
    pub(crate) fn rare(&mut self) -> Option<&mut Rare> {
        self.rare.as_deref_mut()
    }

    /// The same, made if it is not there.
    #[cold]
    pub(crate) fn rare_or_new(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Timers that were set by a token.
    pub(crate) fn timers(&self) -> Option<&OwnTimers> {
        self.rare.as_deref().map(|rare| &rare.timers)
    }

    /// Some of them came up and are to be told.
    pub(crate) fn has_due_timer(&self) -> bool {
        self.timers().is_some_and(OwnTimers::is_due)
    }

    /// An operation failed: was it a RST that came?
    #[cold]
    pub(crate) fn tell_reset(&self, rt: &mut Runtime<'_>, e: &io::Error) {
        // Linux says EPIPE for one that comes after the peer's end.
        let reset = || matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe);
        if rt.is_observed() && reset() {
            self.tell(rt, || SocketEvent::Reset { by_peer: true });
        }
    }

    /// Nothing is under way, and no deadline hangs on an end.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        self.duplex.is_quiet()
            && self.given_back().is_empty()
            && !self.busy
            && self.owed.is_none()
            && self.clocks.is_waiting()
            && !self.clocks.has_linger()
    }
}
