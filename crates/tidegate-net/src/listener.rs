//! A server: the listening socket and the accept loop.
//!
//! | state | event | next |
//! |---|---|---|
//! | Listening | out of descriptors | Held: out of the poller, a timer runs |
//! | Held | the timer, or a connection of this loop closed | Listening |
//! | Listening | `max_connections` are open, and more are to wait | Full: out of the poller |
//! | Full | a connection is over, or `set_max_connections` makes room | Listening |
//! | Listening, Held, Full | `pause_accept` | Paused: out of the poller |
//! | Paused | `resume_accept` | Listening |
//! | any but Closing | `close_server` | Closing: the descriptor is closed |
//! | Closing | the last connection is over | closing phase, `on_close`, gone |
//!
//! The accept loop is bounded by `accept_budget`. Stopped by it, the listener
//! is queued again and the next poll does not block: connections that wait are
//! carried over, never forgotten.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use mio::net::TcpStream;
use tidegate_loop::{Bits, Cx, Dispatch, Driver, Key, KeyError, Kind, TimerKey, Trigger};

use crate::bind;
use crate::error::{ListenError, NetError, Stage};
use crate::event::{BatchEnd, NetEvent, Server, ServerEvent};
use crate::handler::{Overload, ServerHandler};
use crate::held::{Place, back_off, hold, leave_poller, listen_again, resume_held, shed};
use crate::incoming::Incoming;
use crate::key::{ServerKey, SocketKey};
use crate::layer::Layer;
use crate::metrics::ServerMetrics;
use crate::offer::{self, Held, Offer};
use crate::options::{Admission, AtLimit, ListenOptions, OutOfDescriptors, StreamOptions};
use crate::pace::{FirstReads, Pace};
use crate::queues::{AcceptGauge, Gauged};
use crate::socket::Socket;
use crate::sys::{self, AcceptFailure, AcceptQueue, ListenSocket};
use crate::timeout::{self, as_nanos};
use crate::unix::Endpoint;

static SERVER: Kind = Kind {
    name: "server",
    ready,
    pending: |_, _, _| {},
    close: |cx, key, _| {
        // `close_all` may mean the one that is offered, too.
        let (layer, mut d) = cx.parts::<Layer>();
        offer::place(layer, &mut d);
        close(cx, ServerKey(key))
    },
    closed,
    describe: |cx, key, _| match look(cx, ServerKey(key), |l| {
        (l.local.clone(), l.stats.connections)
    }) {
        Ok((local, connections)) => format!("on {local}, {connections} connections"),
        Err(e) => e.to_string(),
    },
};

/// What a server counted since it was opened.
///
/// ```
/// use tidegate_loop::Loop;
/// use tidegate_net::Net;
/// let mut lp = Loop::new()?;
/// let server = lp.listen("127.0.0.1:0", |conn| conn.reject())?;
/// assert_eq!(lp.server_stats(server)?.accepted, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Connections taken from the kernel's queue.
    pub accepted: u64,
    /// Of these, taken out for another loop.
    pub detached: u64,
    /// Of those accepted, closed because the callback rejected them or did nothing.
    pub rejected: u64,
    /// Turns that ended with the accept budget spent.
    pub carried_over: u64,
    /// Connections whose peer had gone before they were accepted.
    pub aborted: u64,
    /// Times that accepting stopped for want of descriptors or memory.
    pub held: u64,
    /// Connections closed at once for want of descriptors.
    pub shed: u64,
    /// Connections closed at once because `max_connections` were open.
    pub dropped: u64,
    /// Connections closed at once because of the block list.
    pub blocked: u64,
    /// Other failures of accept.
    pub errors: u64,
    /// Connections that are open now.
    pub connections: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Listening,
    Held(TimerKey),
    Full,
    Paused,
    Closing,
}

pub(crate) struct Listener {
    pub(crate) key: ServerKey,
    /// Of its handle, which only that kind may close.
    pub(crate) kind: &'static Kind,
    pub(crate) state: State,
    /// `None` once the descriptor is closed.
    pub(crate) socket: Option<ListenSocket>,
    /// `None` while its callback runs.
    handler: Option<Box<dyn ServerHandler>>,
    pub(crate) local: Endpoint,
    pub(crate) budget: u32,
    pub(crate) trigger: Trigger,
    pace: Pace,
    pub(crate) first_reads: FirstReads,
    pub(crate) place: Place,
    pub(crate) stream: StreamOptions,
    pub(crate) admission: Admission,
    /// Kept for shedding.
    pub(crate) spare: Option<sys::Spare>,
    pub(crate) stats: ServerStats,
    /// For gauges of other threads; gone with `socket`.
    gauged: Option<Gauged>,
}

impl Listener {
    fn error(&self, e: io::Error) -> NetError {
        let error = NetError::new(Stage::Accept, e);
        match &self.local {
            Endpoint::Ip(addr) => error.at(Some(*addr), None),
            path => error.tried(Some(path.to_string()), Vec::new()),
        }
    }

    /// Tells the observer, if there is one.
    #[inline(always)]
    pub(crate) fn tell(&self, d: &mut Driver<'_>, event: impl FnOnce() -> ServerEvent) {
        d.emit(|| NetEvent::Server(Server { key: self.key, local: self.local.clone() }, event()));
    }

    fn is_full(&self) -> bool {
        self.admission.max_connections.is_some_and(|most| self.stats.connections >= most)
    }
}

/// Opens a server. `handler` is kept, or dropped after the current callback.
pub(crate) fn open(
    cx: &mut Cx<'_>,
    options: ListenOptions,
    handler: Box<dyn ServerHandler>,
) -> Result<ServerKey, ListenError> {
    let (socket, local) = match bind::first(&options) {
        Ok(bound) => bound,
        Err(e) => {
            cx.driver().bury(handler);
            return Err(e);
        }
    };
    enter(cx, &options, socket, local, handler).map_err(ListenError::Failed)
}

fn enter(
    cx: &mut Cx<'_>,
    options: &ListenOptions,
    mut socket: ListenSocket,
    local: Endpoint,
    handler: Box<dyn ServerHandler>,
) -> Result<ServerKey, NetError> {
    let (layer, mut d) = cx.parts::<Layer>();
    let entry = layer.listeners.vacant_entry();
    let ready = d.insert(&SERVER, entry.key() as u64).map_err(io::Error::from);
    let ready = ready.and_then(|key| match d.register_level(key, &mut socket) {
        Ok(trigger) => Ok((key, trigger)),
        Err(e) => {
            d.free(&SERVER, key);
            Err(e)
        }
    });
    let (key, trigger) = match ready {
        Ok(ready) => ready,
        Err(e) => {
            d.bury(handler);
            return Err(NetError::new(Stage::Register, e));
        }
    };
    let server = ServerKey(key);
    let listener = entry.insert(Listener {
        key: server,
        kind: &SERVER,
        state: State::Listening,
        socket: Some(socket),
        handler: Some(handler),
        local,
        budget: options.accept_budget.unwrap_or(d.limits().accept_budget),
        trigger,
        pace: Pace::default(),
        first_reads: FirstReads::default(),
        place: Place::default(),
        stream: options.stream,
        spare: match options.admission.out_of_descriptors {
            OutOfDescriptors::Shed => sys::spare(),
            OutOfDescriptors::Hold => None,
        },
        admission: options.admission.clone(),
        stats: ServerStats::default(),
        gauged: None,
    });
    listener.tell(&mut d, || ServerEvent::Listening);
    Ok(server)
}

/// The server's turn in the ready pass: accepts until the queue is empty, the
/// budget is spent, or going back to the poller is cheaper.
fn ready(d: &mut Dispatch<'_>, raw: Key, _: u64) {
    let server = ServerKey(raw);
    let (layer, mut driver) = d.parts::<Layer>();
    let Layer { listeners, claims, .. } = layer;
    let l = driver.data(raw).and_then(|index| listeners.get_mut(index as usize));
    let Some(l) = l else { return };
    if l.state != State::Listening || !driver.bits(raw).has(Bits::READABLE) {
        return;
    }
    if claims.must_yield(&mut l.place) {
        return driver.queue(raw);
    }
    let budget = l.budget;
    let want = match l.trigger {
        Trigger::Level => l.pace.want(budget, driver.batch(), driver.away()),
        Trigger::Edge => budget,
    };
    let (mut tried, mut accepted) = (0, 0);
    let stopped = loop {
        if tried == want {
            break if want == budget { BatchEnd::Budget } else { BatchEnd::Enough };
        }
        tried += 1;
        match accept_one(d, server, accepted) {
            Ok(()) => accepted += 1,
            Err(Refused::Connection) => {}
            Err(Refused::Batch(end)) => {
                tried -= 1;
                break end;
            }
        }
    };
    let (layer, mut driver) = d.parts::<Layer>();
    let Layer { listeners, claims, .. } = layer;
    let l = driver.data(raw).and_then(|index| listeners.get_mut(index as usize));
    if let Some(l) = l {
        if accepted > 0 {
            claims.served(&mut l.place);
        }
        match stopped {
            BatchEnd::Budget => {
                l.stats.carried_over += 1;
                driver.queue(raw);
            }
            BatchEnd::Enough => driver.forget(raw, Bits::READABLE),
            _ => {}
        }
        l.pace.learn(tried, want, budget);
        l.tell(&mut driver, || ServerEvent::AcceptBatch { accepted, stopped });
    }
    if layer.held > 0 && accepted > 0 {
        // There was a descriptor for this one: the next is for another.
        resume_held(&mut d.cx());
    }
}

/// Why an accept gave no connection.
enum Refused {
    /// This one is lost; the next may be fine.
    Connection,
    /// The turn is over.
    Batch(BatchEnd),
}

#[inline(always)]
fn accept_one(d: &mut Dispatch<'_>, server: ServerKey, accepted: u32) -> Result<(), Refused> {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(l) = layer.listener(&driver, server) else {
        return Err(Refused::Batch(BatchEnd::Closed));
    };
    let Some(socket) = &l.socket else { return Err(Refused::Batch(BatchEnd::Closed)) };
    if l.state != State::Listening {
        return Err(Refused::Batch(BatchEnd::Closed));
    }
    let full = l.is_full();
    if full && l.admission.at_limit == AtLimit::Hold {
        leave_poller(l, &mut driver);
        l.state = State::Full;
        let connections = l.stats.connections;
        l.tell(&mut driver, || ServerEvent::Full { connections });
        return Err(Refused::Batch(BatchEnd::Full));
    }
    match driver.try_io(server.0, Bits::READABLE, || socket.accept()) {
        Ok((stream, peer)) => {
            l.stats.accepted += 1;
            if full {
                return Err(turned_away(d, server, stream, peer));
            }
            let list = l.admission.block_list.as_deref();
            if list.is_some_and(|list| peer.is_some_and(|p| list.contains(p.ip()))) {
                l.stats.blocked += 1;
                l.tell(&mut driver, || ServerEvent::Blocked { peer });
                return Err(Refused::Connection);
            }
            l.stats.connections += 1;
            let handler = l.handler.take();
            layer.offer = Offer::Held(Held { server, stream, peer });
            // An observer knows it by its key.
            if driver.is_observed() {
                offer::place(layer, &mut driver);
            }
            let mut called = Called { d, server, handler };
            if let Some(handler) = &mut called.handler {
                handler.on_connection(Incoming::new(called.d.cx(), server, peer));
            }
            drop(called);
            d.settle();
            Ok(())
        }
        Err(e) => Err(failed(d, server, accepted, e)),
    }
}

/// Closes a connection beyond `max_connections`.
#[cold]
fn turned_away(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    stream: TcpStream,
    peer: Option<SocketAddr>,
) -> Refused {
    drop(stream);
    let (layer, driver) = d.parts::<Layer>();
    if let Some(l) = layer.listener(&driver, server) {
        l.stats.dropped += 1;
        let overload = Overload::MaxConnections { peer, dropped: l.stats.dropped };
        overloaded(d, server, overload);
    }
    Refused::Connection
}

/// There was no room: the user is told.
fn overloaded(d: &mut Dispatch<'_>, server: ServerKey, overload: Overload) {
    let (layer, mut driver) = d.parts::<Layer>();
    if let Some(l) = layer.listener(&driver, server) {
        l.tell(&mut driver, || ServerEvent::Overload(overload));
    }
    call(d, server, |h, cx| h.on_overload(cx, server, overload));
}

/// What an accept that failed means.
#[cold]
fn failed(d: &mut Dispatch<'_>, server: ServerKey, accepted: u32, e: io::Error) -> Refused {
    let (layer, driver) = d.parts::<Layer>();
    let Some(l) = layer.listener(&driver, server) else {
        return Refused::Batch(BatchEnd::Closed);
    };
    match e.kind() {
        ErrorKind::WouldBlock => return Refused::Batch(BatchEnd::WouldBlock),
        ErrorKind::ConnectionAborted => {
            l.stats.aborted += 1;
            return Refused::Connection;
        }
        _ => {}
    }
    match sys::accept_failure(&e) {
        AcceptFailure::Connection => {
            tell_failed(d, server, e);
            Refused::Connection
        }
        // The system says so even if nobody waits. Ask the poller.
        AcceptFailure::Resources if accepted > 0 && l.trigger == Trigger::Level => {
            Refused::Batch(BatchEnd::Enough)
        }
        AcceptFailure::Resources => match shed(d, server) {
            Some((connections, end)) => {
                if connections > 0 {
                    overloaded(d, server, Overload::Shed { connections });
                }
                Refused::Batch(end)
            }
            None => {
                hold(d, server);
                overloaded(d, server, Overload::Held);
                Refused::Batch(BatchEnd::Held)
            }
        },
        AcceptFailure::Listener => {
            hold(d, server);
            tell_failed(d, server, e);
            Refused::Batch(BatchEnd::Held)
        }
    }
}

/// Accepting failed: the user is told.
fn tell_failed(d: &mut Dispatch<'_>, server: ServerKey, e: io::Error) {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(l) = layer.listener(&driver, server) else { return };
    l.stats.errors += 1;
    let error = l.error(e);
    l.tell(&mut driver, || {
        let text = error.in_words();
        ServerEvent::AcceptFailed { error: text, code: error.code() }
    });
    call(d, server, |h, cx| h.on_error(cx, server, error));
}

/// One connection less; the last one of a closed server ends it.
pub(crate) fn connection_closed(layer: &mut Layer, d: &mut Driver<'_>, server: ServerKey) {
    let Some(l) = layer.listener(d, server) else { return };
    l.closed_one(d);
}

impl Listener {
    /// One connection less.
    #[inline]
    pub(crate) fn closed_one(&mut self, d: &mut Driver<'_>) {
        self.stats.connections -= 1;
        if matches!(self.state, State::Full | State::Closing) {
            self.make_room(d);
        }
    }

    #[cold]
    fn make_room(&mut self, d: &mut Driver<'_>) {
        let l = self;
        if l.state == State::Full {
            // If it cannot, the next that is over tries again.
            l.state = if listen_again(l, d) { State::Listening } else { State::Full };
        }
        if l.state == State::Closing && l.stats.connections == 0 {
            d.close(l.kind, l.key.0);
        }
    }
}

/// A server's handler, out of its slot for the time of its call.
struct Called<'a, 'b> {
    d: &'a mut Dispatch<'b>,
    server: ServerKey,
    handler: Option<Box<dyn ServerHandler>>,
}

impl Drop for Called<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        let handler = self.handler.take();
        let (layer, mut d) = self.d.parts::<Layer>();
        match layer.listener(&d, self.server) {
            Some(l) => l.handler = handler,
            None => d.bury(handler),
        }
        if !matches!(layer.offer, Offer::Nothing) {
            offer::reject(layer, &mut d);
        }
    }
}

/// The only way to a server's callbacks, but for `on_close`.
#[inline]
fn call(
    d: &mut Dispatch<'_>,
    server: ServerKey,
    f: impl FnOnce(&mut dyn ServerHandler, &mut Cx<'_>),
) {
    let (layer, driver) = d.parts::<Layer>();
    let handler = layer.listener(&driver, server).and_then(|l| l.handler.take());
    let mut called = Called { d, server, handler };
    if let Some(handler) = &mut called.handler {
        f(&mut **handler, &mut called.d.cx());
    }
    drop(called);
    d.settle();
}

/// Stops accepting for now; what the kernel holds stays there.
pub(crate) fn pause(cx: &mut Cx<'_>, server: ServerKey) -> Result<(), KeyError> {
    cx.find(server)?;
    let (layer, mut d) = cx.parts::<Layer>();
    let l = layer.listener(&d, server).ok_or(KeyError::Closed)?;
    match l.state {
        State::Closing => return Err(KeyError::Closed),
        State::Paused => return Ok(()),
        State::Full => l.state = State::Paused,
        State::Listening => {
            leave_poller(l, &mut d);
            l.state = State::Paused;
        }
        State::Held(timer) => {
            l.state = State::Paused;
            layer.held -= 1;
            let _ = cx.timer_stop(timer);
        }
    }
    let (layer, mut d) = cx.parts::<Layer>();
    if let Some(l) = layer.listener(&d, server) {
        l.tell(&mut d, || ServerEvent::Paused);
    }
    Ok(())
}

/// Takes back [`pause`].
pub(crate) fn unpause(cx: &mut Cx<'_>, server: ServerKey) -> Result<(), KeyError> {
    cx.find(server)?;
    let (layer, d) = cx.parts::<Layer>();
    let l = layer.listener(&d, server).ok_or(KeyError::Closed)?;
    match l.state {
        State::Closing => return Err(KeyError::Closed),
        State::Paused => listen_or_hold(cx, server),
        _ => {}
    }
    Ok(())
}

/// Accepts again; if the poller does not take the server back, as soon as it does.
fn listen_or_hold(cx: &mut Cx<'_>, server: ServerKey) {
    let (layer, mut d) = cx.parts::<Layer>();
    let Some(l) = layer.listener(&d, server) else { return };
    if listen_again(l, &mut d) {
        l.state = State::Listening;
        return;
    }
    layer.held += 1;
    let timer = back_off(cx);
    let (layer, d) = cx.parts::<Layer>();
    if let Some(l) = layer.listener(&d, server) {
        l.state = State::Held(timer);
    }
}

/// Stops accepting. The connections live on; `on_close` comes after the last.
pub(crate) fn close(cx: &mut Cx<'_>, server: ServerKey) -> Result<(), KeyError> {
    cx.find(server)?;
    let (layer, mut d) = cx.parts::<Layer>();
    let l = layer.listener(&d, server).ok_or(KeyError::Closed)?;
    let before = std::mem::replace(&mut l.state, State::Closing);
    if before == State::Closing {
        return Err(KeyError::Closed);
    }
    l.tell(&mut d, || ServerEvent::Closing);
    if before == State::Listening {
        // The descriptor may be shared: one that was adopted.
        leave_poller(l, &mut d);
    }
    l.gauged = None;
    if let Some(mut socket) = l.socket.take() {
        if l.trigger == Trigger::Edge {
            d.before_close(&mut socket);
        }
    }
    if l.stats.connections == 0 {
        d.close(l.kind, server.0);
    }
    if let State::Held(timer) = before {
        layer.held -= 1;
        let _ = cx.timer_stop(timer);
    }
    resume_held(cx);
    Ok(())
}

fn closed(d: &mut Dispatch<'_>, raw: Key, index: u64) {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(l) = layer.listeners.try_remove(index as usize) else { return };
    driver.free(l.kind, raw);
    l.tell(&mut driver, || ServerEvent::Closed);
    if let Some(mut handler) = l.handler {
        handler.on_close(&mut d.cx(), ServerKey(raw));
    }
}

/// Where an open server listens.
pub(crate) fn endpoint(cx: &mut Cx<'_>, server: ServerKey) -> Result<Endpoint, KeyError> {
    look(cx, server, |l| l.socket.as_ref().map(|_| l.local.clone()))?.ok_or(KeyError::Closed)
}

/// The connections of a server that are open.
pub(crate) fn connections(cx: &mut Cx<'_>, server: ServerKey) -> Vec<SocketKey> {
    let (layer, mut d) = cx.parts::<Layer>();
    // The one that is offered is open, too, and is named by its key.
    offer::place(layer, &mut d);
    let of_it = |s: &&Socket| s.server == Some(server) && s.duplex.is_open();
    layer.sockets.iter().map(|(_, s)| s).filter(of_it).map(|s| s.key).collect()
}

/// How many connections may be open from now on, and what becomes of the next.
pub(crate) fn set_max_connections(
    cx: &mut Cx<'_>,
    server: ServerKey,
    most: Option<usize>,
    beyond: AtLimit,
) -> Result<(), KeyError> {
    cx.find(server)?;
    let (layer, d) = cx.parts::<Layer>();
    let l = layer.listener(&d, server).ok_or(KeyError::Closed)?;
    if l.state == State::Closing {
        return Err(KeyError::Closed);
    }
    l.admission.max_connections = most;
    l.admission.at_limit = beyond;
    if l.state == State::Full && !(l.is_full() && beyond == AtLimit::Hold) {
        listen_or_hold(cx, server);
    }
    Ok(())
}

/// Closes the server, asks its connections to end, and gives them so long.
pub(crate) fn shutdown(
    cx: &mut Cx<'_>,
    server: ServerKey,
    grace: Duration,
) -> Result<(), KeyError> {
    let connections = connections(cx, server);
    let closed = close(cx, server);
    // Closed before, it may still have connections to end.
    if connections.is_empty() {
        return closed;
    }
    for key in connections {
        let (layer, mut d) = cx.parts::<Layer>();
        let now = as_nanos(d.clock());
        let Some(s) = layer.socket(&d, key) else { continue };
        s.clocks.end_by(now.saturating_add(as_nanos(grace)));
        s.shutting_down = true;
        d.pend(key.into());
        timeout::arm(cx, key);
    }
    Ok(())
}

/// What waits in the kernel for a server.
pub(crate) fn accept_queue(cx: &mut Cx<'_>, server: ServerKey) -> Result<AcceptQueue, KeyError> {
    look(cx, server, |l| l.socket.as_ref().map(sys::accept_queue))?.ok_or(KeyError::Closed)
}

/// The same for other threads, over one descriptor more for each server that is asked so.
pub(crate) fn accept_gauge(cx: &mut Cx<'_>, server: ServerKey) -> io::Result<AcceptGauge> {
    cx.find(server)?;
    let (layer, d) = cx.parts::<Layer>();
    let l = layer.listener(&d, server).ok_or(KeyError::Closed)?;
    let socket = l.socket.as_ref().ok_or(KeyError::Closed)?;
    let gauged = match l.gauged.take() {
        Some(gauged) => gauged,
        None => Gauged::new(sys::duplicate(socket)?),
    };
    Ok(l.gauged.insert(gauged).gauge())
}

pub(crate) fn stats(cx: &mut Cx<'_>, server: ServerKey) -> Result<ServerStats, KeyError> {
    look(cx, server, |l| l.stats)
}

pub(crate) fn metrics(l: &Listener) -> ServerMetrics {
    ServerMetrics { key: l.key, local: l.local.clone(), stats: l.stats }
}

fn look<R>(
    cx: &mut Cx<'_>,
    server: ServerKey,
    f: impl FnOnce(&Listener) -> R,
) -> Result<R, KeyError> {
    cx.find(server)?;
    let (layer, d) = cx.parts::<Layer>();
    layer.listener(&d, server).map(|l| f(l)).ok_or(KeyError::Closed)
}
