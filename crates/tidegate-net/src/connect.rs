//! Making a connection: lookup, attempts, one winner.
//!
//! | step | event | next |
//! |---|---|---|
//! | lookup | the addresses | attempts, in the order of `race.rs` |
//! | lookup | none | `on_close` |
//! | attempts | one has connected | the others are closed, `on_connect` |
//! | attempts | one has failed, or the attempt delay passed | the next address |
//! | attempts | the last has failed | `on_close` with all of them |
//! | any | connect timeout, `destroy` | everything is closed, `on_close` |
//!
//! Every failure, also of the address, arrives at `on_close`: one path to handle. The last
//! address that is left is tried on the connection's own slot; an attempt beside others
//! has a slot of its own.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};
use tidegate_loop::{AsCx, Bits, Cx, Dispatch, Driver, Key, Kind, TimerKey};

use crate::error::{Attempt, Close, NetError, Reason, Reset, Stage};
use crate::event::SocketEvent;
use crate::handler::Handler;
use crate::key::SocketKey;
use crate::layer::Layer;
use crate::lookup::{self, LookupAnswer, LookupFault};
use crate::options::{ConnectOptions, StreamOptions, Target};
use crate::race;
use crate::socket::{self, Life, SOCKET, Socket, Watched};
use crate::socket_cx::SocketCx;
use crate::sys;
use crate::timeout::{self, as_nanos};
use crate::unix::Endpoint;

/// One attempt among several. Its data is the place of its connection in the slab.
static ATTEMPT: Kind = Kind {
    name: "connect attempt",
    ready: attempt_ready,
    pending: |_, _, _| {},
    close: |_, _, _| Ok(()),
    closed: |_, _, _| {},
    describe: |_, _, _| "beside others".into(),
};

/// What a connection needs until it is made.
pub(crate) struct Connecting {
    options: ConnectOptions,
    port: u16,
    /// Until the lookup began.
    host: Option<String>,
    /// What was asked for, if it was a name.
    pub(crate) name: Option<String>,
    waiting: VecDeque<SocketAddr>,
    /// Those beside others.
    running: Vec<Running>,
    pub(crate) failed: Vec<Attempt>,
    delay: Option<TimerKey>,
    /// When the attempt on the connection's own slot began.
    alone_since: u64,
}

impl Connecting {
    /// The address that was to be ours, if one was asked for.
    pub(crate) fn own_address(&self) -> Option<SocketAddr> {
        let o = &self.options;
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let asked = o.local_ip.is_some() || o.local_port != 0;
        asked.then(|| SocketAddr::new(o.local_ip.unwrap_or(any), o.local_port))
    }
}

struct Running {
    key: Key,
    stream: TcpStream,
    remote: SocketAddr,
    since: u64,
}

pub(crate) fn start(
    cx: &mut Cx<'_>,
    options: ConnectOptions,
    handler: Box<dyn Handler>,
) -> SocketKey {
    let (layer, mut d) = cx.parts::<Layer>();
    let entry = layer.sockets.vacant_entry();
    let key = match d.insert(&SOCKET, entry.key() as u64) {
        Ok(key) => SocketKey(key),
        Err(full) => {
            let key = SocketKey(d.stale_key());
            if let Some(lookup) = options.lookup {
                d.bury(lookup);
            }
            refuse(cx, key, handler, full.into());
            return key;
        }
    };
    let mut s = Socket::new(key, Life::Connecting, &options.stream, &d);
    s.clocks.set_until(options.timeout, s.since);
    s.handler = Some(handler);
    s.tell_busy(&mut d);
    let target = options.to.target();
    s.connecting = Some(Box::new(Connecting {
        options,
        port: 0,
        host: None,
        name: None,
        waiting: VecDeque::new(),
        running: Vec::new(),
        failed: Vec::new(),
        delay: None,
        alone_since: 0,
    }));
    let s = entry.insert(s);
    match target {
        Ok(Target::Addr(addr)) => begin(cx, key, [addr]),
        Ok(Target::Path(path)) => to_path(cx, key, &path),
        Ok(Target::AnyHost(port)) => begin(cx, key, [(Ipv4Addr::LOCALHOST, port).into()]),
        Ok(Target::Name(host, port)) => look_up(cx, key, host, port),
        Err(e) => s.fail(&mut d, Stage::Lookup, e.into()),
    }
    timeout::arm(cx, key);
    key
}

/// A connection that is there already.
pub(crate) fn adopt(
    cx: &mut Cx<'_>,
    stream: std::net::TcpStream,
    handler: Box<dyn Handler>,
) -> io::Result<SocketKey> {
    let (layer, mut d) = cx.parts::<Layer>();
    let entry = layer.sockets.vacant_entry();
    let ready = stream.set_nonblocking(true).and_then(|()| {
        let remote = stream.peer_addr()?;
        Ok((remote, d.insert(&SOCKET, entry.key() as u64)?))
    });
    let (remote, key) = match ready {
        Ok(ready) => ready,
        Err(e) => {
            d.bury(handler);
            return Err(e);
        }
    };
    let mut s = Socket::new(SocketKey(key), Life::Open, &StreamOptions::default(), &d);
    s.handler = Some(handler);
    s.remote = Some(remote);
    s.stream = Some(TcpStream::from_std(stream));
    if d.is_observed() {
        s.note_local();
        s.tell(&mut d, || SocketEvent::Adopted);
    }
    entry.insert(s);
    d.assume(key, Bits::WRITABLE | Bits::READABLE);
    d.queue(key);
    Ok(SocketKey(key))
}

/// To a Unix domain socket: done at once, told in the ready pass.
fn to_path(cx: &mut Cx<'_>, key: SocketKey, path: &Path) {
    let (layer, mut d) = cx.parts::<Layer>();
    let Some(s) = layer.socket(&d, key) else { return };
    if let Some(c) = &mut s.connecting {
        c.name = Some(Endpoint::Path(path.to_owned()).to_string());
    }
    s.tell(&mut d, || SocketEvent::AttemptStart { to: Endpoint::Path(path.to_owned()) });
    let Some(c) = &s.connecting else { return };
    let made = c.options.check_unix().and_then(|()| {
        let stream = sys::unix_connect(path)?;
        c.options.stream.apply(SockRef::from(&stream))?;
        Ok(stream)
    });
    match made {
        Ok(stream) => {
            s.stream = Some(stream);
            s.watch(&mut d);
            d.assume(key.into(), Bits::WRITABLE | Bits::SHORT_READS);
            d.queue(key.into());
        }
        Err(e) => s.fail(&mut d, Stage::Connect, e),
    }
}

/// There is no slot to close, so the one event comes from a tick.
fn refuse(cx: &mut Cx<'_>, key: SocketKey, mut handler: Box<dyn Handler>, e: io::Error) {
    let reason = Reason::Failed(Arc::new(NetError::new(Stage::Connect, e)));
    cx.next_tick(move |cx| {
        let close = Close {
            reason,
            peer: None,
            unsent: 0,
            bytes_read: 0,
            bytes_written: 0,
            piped: false,
            reset: Reset::No,
        };
        handler.on_close(&mut SocketCx::new(cx.as_cx(), key), close);
    });
}

fn look_up(cx: &mut Cx<'_>, key: SocketKey, host: String, port: u16) {
    let (layer, mut d) = cx.parts::<Layer>();
    let Some(s) = layer.socket(&d, key) else { return };
    s.tell(&mut d, || SocketEvent::LookupStart { host: host.clone() });
    let Some(c) = s.connecting.as_mut() else { return };
    c.port = port;
    c.name = Some(format!("{host}:{port}"));
    if c.options.lookup.is_some() {
        // It is the user's code: not in here.
        c.host = Some(host);
        return d.pend(key.into());
    }
    if let Err(e) = lookup::start(cx, &host, key) {
        let (layer, mut d) = cx.parts::<Layer>();
        if let Some(s) = layer.socket(&d, key) {
            lookup_failed(s, &mut d, e);
        }
    }
}

fn lookup_failed(s: &mut Socket, d: &mut Driver<'_>, e: io::Error) {
    let took = asked_for(s, d);
    let error = NetError::new(Stage::Lookup, e);
    s.tell(d, || {
        let text = error.in_words();
        SocketEvent::LookupFailed { error: text, code: error.code(), took }
    });
    s.fail(d, Stage::Lookup, error.into_source());
}

/// How long ago the connection was asked for.
fn asked_for(s: &Socket, d: &Driver<'_>) -> Duration {
    d.clock().saturating_sub(Duration::from_nanos(s.since))
}

/// Calls the user's own lookup, if that is due.
pub(crate) fn ask(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, driver) = d.parts::<Layer>();
    let Some(c) = layer.socket(&driver, key).and_then(|s| s.connecting.as_mut()) else { return };
    let (Some(host), Some(custom)) = (c.host.take(), c.options.lookup.clone()) else { return };
    let cx = &mut d.cx();
    let asked = catch_unwind(AssertUnwindSafe(|| (custom.0)(cx, &host, LookupAnswer(key))));
    let (layer, mut driver) = d.parts::<Layer>();
    driver.bury(custom);
    if let Err(payload) = asked {
        if let Some(s) = layer.socket(&driver, key) {
            s.destroy(&mut driver, Reason::Panicked);
        }
        driver.panic_later(payload);
    }
    d.settle();
}

fn is_before_attempts(s: &Socket) -> bool {
    let early = |c: &Connecting| {
        c.name.is_some() && c.waiting.is_empty() && c.running.is_empty() && c.failed.is_empty()
    };
    s.connecting.as_deref().is_some_and(early) && s.stream.is_none() && s.duplex.is_open()
}

#[cfg(feature = "lookup")]
pub(crate) fn waits_for_lookup(cx: &mut Cx<'_>, key: SocketKey) -> bool {
    let (layer, d) = cx.parts::<Layer>();
    layer.socket(&d, key).is_some_and(|s| is_before_attempts(s))
}

/// The answer of a lookup, for one who may wait for it.
pub(crate) fn looked_up(cx: &mut Cx<'_>, key: SocketKey, found: io::Result<Vec<SocketAddr>>) {
    let (layer, mut d) = cx.parts::<Layer>();
    let socket = layer.socket(&d, key).filter(|s| is_before_attempts(s));
    let Some(s) = socket else { return d.bury(found) };
    let Some(c) = s.connecting.as_ref() else { return };
    let (family, port) = (c.options.family, c.port);
    let error = match found {
        Ok(mut found) => {
            found.retain(|addr| family.has(addr.ip()));
            // With its scope, if it is link-local.
            found.iter_mut().for_each(|addr| addr.set_port(port));
            if !found.is_empty() {
                if d.is_observed() {
                    let took = asked_for(s, &d);
                    let addresses = found.iter().map(SocketAddr::ip).collect();
                    s.tell(&mut d, || SocketEvent::LookedUp { addresses, took });
                }
                return begin(cx, key, found);
            }
            LookupFault::NotFound.into()
        }
        Err(e) => e,
    };
    lookup_failed(s, &mut d, error);
}

fn begin(cx: &mut Cx<'_>, key: SocketKey, found: impl IntoIterator<Item = SocketAddr>) {
    let (layer, d) = cx.parts::<Layer>();
    let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting.as_mut()) else { return };
    c.waiting = race::order(found);
    next(cx, key);
}

/// Starts attempts until one is under way, or none is left.
fn next(cx: &mut Cx<'_>, key: SocketKey) {
    loop {
        let (layer, mut d) = cx.parts::<Layer>();
        let Some(s) = layer.socket(&d, key).filter(|s| s.duplex.is_open()) else { return };
        let Some(c) = s.connecting.as_mut() else { return };
        let Some(remote) = c.waiting.pop_front() else {
            if c.running.is_empty() && s.stream.is_none() {
                give_up(s, &mut d);
            }
            return;
        };
        let alone = c.waiting.is_empty() && c.running.is_empty();
        // A number is tried at once.
        let since = if c.name.is_some() { as_nanos(d.clock()) } else { s.since };
        s.tell(&mut d, || SocketEvent::AttemptStart { to: Endpoint::Ip(remote) });
        let Some(c) = s.connecting.as_mut() else { return };
        let stream = match open(&c.options, remote) {
            Ok(stream) => stream,
            Err((stage, e)) => {
                attempt_failed(s, &mut d, stage, remote, since, e);
                continue;
            }
        };
        if alone {
            s.remote = Some(remote);
            s.stream = Some(stream);
            c.alone_since = since;
            s.watch(&mut d);
            return;
        }
        match run_beside(s, &mut d, stream, remote, since) {
            Ok(()) => {}
            Err(e) => {
                attempt_failed(s, &mut d, Stage::Register, remote, since, e);
                continue;
            }
        }
        let Some(c) = s.connecting.as_ref() else { return };
        if !c.waiting.is_empty() {
            let delay = c.options.stagger;
            let timer = cx.timer(delay, move |cx, _| {
                forget_delay(cx, key);
                next(cx, key);
            });
            let (layer, d) = cx.parts::<Layer>();
            if let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting.as_mut()) {
                c.delay = Some(timer);
            }
        }
        return;
    }
}

fn forget_delay(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, d) = cx.parts::<Layer>();
    let socket = layer.socket(&d, key).and_then(|s| s.connecting.as_mut());
    if let Some(timer) = socket.and_then(|c| c.delay.take()) {
        let _ = cx.timer_stop(timer);
    }
}

/// socket -> options -> bind -> connect, without waiting.
fn open(o: &ConnectOptions, remote: SocketAddr) -> Result<TcpStream, (Stage, io::Error)> {
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    if o.block_list.as_ref().is_some_and(|list| list.contains(remote.ip())) {
        let text = "the block list forbids this address";
        return Err((Stage::Connect, io::Error::new(io::ErrorKind::PermissionDenied, text)));
    }
    if let Some(local) = o.local_ip.filter(|l| l.is_ipv4() != remote.is_ipv4()) {
        let family = |v4| if v4 { "IPv4" } else { "IPv6" };
        let (l, r) = (family(local.is_ipv4()), family(remote.is_ipv4()));
        let text = format!("the local address {local} is {l}, the target is {r}");
        return Err((Stage::Bind, invalid(text)));
    }
    let at = |stage| move |e| (stage, e);
    let raw = RawSocket::new(Domain::for_address(remote), Type::STREAM, Some(Protocol::TCP))
        .map_err(at(Stage::Connect))?;
    raw.set_nonblocking(true).map_err(at(Stage::Connect))?;
    o.stream.apply(SockRef::from(&raw)).map_err(at(Stage::Connect))?;
    if o.local_ip.is_some() || o.local_port != 0 {
        let any: IpAddr = match remote {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let local = SocketAddr::new(o.local_ip.unwrap_or(any), o.local_port);
        if o.local_port != 0 {
            sys::reuse_address(&raw).map_err(at(Stage::Bind))?;
        }
        raw.bind(&local.into()).map_err(at(Stage::Bind))?;
    }
    match raw.connect(&remote.into()) {
        Err(e) if !sys::is_connecting(&e) => Err((Stage::Connect, e)),
        _ => Ok(TcpStream::from_std(raw.into())),
    }
}

fn run_beside(
    s: &mut Socket,
    d: &mut Driver<'_>,
    mut stream: TcpStream,
    remote: SocketAddr,
    since: u64,
) -> io::Result<()> {
    let place = d.data(s.key.into()).unwrap_or(u64::MAX);
    let key = d.insert(&ATTEMPT, place)?;
    d.set_ref(key, false);
    if let Err(e) = d.register(key, &mut stream, Driver::READS | Interest::WRITABLE) {
        d.free(&ATTEMPT, key);
        return Err(e);
    }
    if let Some(c) = s.connecting.as_mut() {
        c.running.push(Running { key, stream, remote, since });
    }
    Ok(())
}

/// Notes a failure; the next address is up to the caller.
fn attempt_failed(
    s: &mut Socket,
    d: &mut Driver<'_>,
    stage: Stage,
    remote: SocketAddr,
    since: u64,
    e: io::Error,
) {
    let elapsed = Duration::from_nanos(as_nanos(d.clock()).saturating_sub(since));
    let attempt = Attempt { remote, stage, elapsed, error: Arc::new(e) };
    s.tell(d, || SocketEvent::AttemptFailed(attempt.clone()));
    let Some(c) = s.connecting.as_mut() else { return };
    c.failed.push(attempt);
}

/// No address is left: the first failure is the reason, and all are told.
fn give_up(s: &mut Socket, d: &mut Driver<'_>) {
    let failed = s.connecting.as_ref().and_then(|c| c.failed.first());
    let Some(first) = failed else { return };
    let (source, stage, remote) = (first.copy(), first.stage, first.remote);
    if s.connecting.as_ref().is_some_and(|c| c.failed.len() > 1) {
        // Our end of the last attempt is not that of the first.
        s.close_descriptor(d);
    }
    s.remote = Some(remote);
    s.fail(d, stage, source);
}

/// The time is over: what is under way has failed by that.
pub(crate) fn give_up_on_running(s: &mut Socket, d: &Driver<'_>) {
    let now = d.nanos();
    let alone = s.remote.filter(|_| s.stream.is_some());
    let Some(c) = s.connecting.as_mut() else { return };
    let alone = alone.map(|remote| (remote, c.alone_since));
    let beside = c.running.iter().map(|r| (r.remote, r.since));
    for (remote, since) in beside.chain(alone) {
        let elapsed = Duration::from_nanos(now.saturating_sub(since));
        let error = io::Error::new(io::ErrorKind::TimedOut, "no answer yet");
        let stage = Stage::Connect;
        c.failed.push(Attempt { remote, stage, elapsed, error: Arc::new(error) });
    }
}

/// What the poller said of a stream that connects.
enum Progress {
    Waits,
    Connected,
    Failed(io::Error),
}

/// Connected means: writable, no error, and a peer, if it can have an address.
fn progress(
    key: Key,
    stream: &mut TcpStream,
    remote: Option<SocketAddr>,
    d: &mut Driver<'_>,
) -> Progress {
    if !d.bits(key).has(Bits::WRITABLE) {
        return Progress::Waits;
    }
    match stream.take_error() {
        Ok(None) if remote.is_none() => Progress::Connected,
        Ok(None) => match stream.peer_addr() {
            Ok(_) => Progress::Connected,
            Err(e)
                if e.kind() == io::ErrorKind::NotConnected
                    && !d.bits(key).has(Bits::ERROR | Bits::WRITE_CLOSED) =>
            {
                // Spurious: ask to be told again.
                d.forget(key, Bits::WRITABLE);
                match d.reregister(key, stream, Driver::READS | Interest::WRITABLE) {
                    Ok(()) => Progress::Waits,
                    Err(e) => Progress::Failed(e),
                }
            }
            Err(e) => Progress::Failed(e),
        },
        Ok(Some(e)) | Err(e) => Progress::Failed(e),
    }
}

/// The poller spoke of a connecting socket. `true`: it is connected now, and
/// `on_connect` is due.
pub(crate) fn complete(d: &mut Dispatch<'_>, key: SocketKey) -> bool {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(s) = layer.socket(&driver, key) else { return false };
    let Some(stream) = &mut s.stream else { return false };
    match progress(key.into(), stream, s.remote, &mut driver) {
        Progress::Waits => false,
        Progress::Connected => {
            connected(d, key);
            true
        }
        Progress::Failed(e) => {
            let since = s.connecting.as_ref().map_or(0, |c| c.alone_since);
            let remote = s.remote;
            // The descriptor stays: the error may want to know our port.
            match remote {
                Some(remote) => {
                    attempt_failed(s, &mut driver, Stage::Connect, remote, since, e);
                    give_up(s, &mut driver);
                }
                None => s.fail(&mut driver, Stage::Connect, e),
            }
            false
        }
    }
}

/// The same of an attempt beside others.
fn attempt_ready(d: &mut Dispatch<'_>, key: Key, place: u64) {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(s) = layer.sockets.get_mut(place as usize) else { return };
    let socket = s.key;
    let Some(c) = s.connecting.as_mut() else { return };
    let Some(at) = c.running.iter().position(|r| r.key == key) else { return };
    let running = &mut c.running[at];
    match progress(key, &mut running.stream, Some(running.remote), &mut driver) {
        Progress::Waits => {}
        Progress::Connected => {
            let won = c.running.swap_remove(at);
            take_over(s, &mut driver, won);
            if s.duplex.is_open() {
                connected(d, socket);
                socket::opened(d, socket);
            }
        }
        Progress::Failed(e) => {
            let mut lost = c.running.swap_remove(at);
            driver.before_close(&mut lost.stream);
            driver.free(&ATTEMPT, key);
            attempt_failed(s, &mut driver, Stage::Connect, lost.remote, lost.since, e);
            forget_delay(&mut d.cx(), socket);
            next(&mut d.cx(), socket);
        }
    }
}

/// An attempt becomes the connection: its stream moves to the connection's slot.
fn take_over(s: &mut Socket, d: &mut Driver<'_>, won: Running) {
    let Running { key, mut stream, remote, .. } = won;
    d.free(&ATTEMPT, key);
    let both = Driver::READS | Interest::WRITABLE;
    s.remote = Some(remote);
    let moved = d.reregister(s.key.into(), &mut stream, both);
    s.stream = Some(stream);
    s.watched = Watched::Both;
    d.assume(s.key.into(), Bits::WRITABLE | Bits::READABLE);
    if let Err(e) = moved {
        s.fail(d, Stage::Register, e);
    }
}

fn connected(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(s) = layer.socket(&driver, key) else { return };
    s.life = Life::Open;
    let delay = s.connecting.as_mut().and_then(|c| c.delay.take());
    drop_attempts(s, &mut driver);
    let options = s.connecting.take().map(|c| c.options);
    let deadlines = options.as_ref().map(|o| o.stream.deadlines).unwrap_or_default();
    // A deadline must not be early; else the time of the poll will do.
    let now = if deadlines.has_any() { as_nanos(driver.clock()) } else { driver.nanos() };
    s.clocks.touch(now);
    s.clocks.set_until(deadlines.lifetime, now);
    s.tell_busy(&mut driver);
    layer.counted.connected += 1;
    let Some(s) = layer.socket(&driver, key) else { return };
    if driver.is_observed() {
        s.note_local();
        let elapsed = asked_for(s, &driver);
        s.tell(&mut driver, || SocketEvent::Connected { elapsed });
    }
    if let Some(lookup) = options.and_then(|o| o.lookup) {
        driver.bury(lookup);
    }
    if let Some(timer) = delay {
        let _ = d.cx().timer_stop(timer);
    }
    timeout::arm(&mut d.cx(), key);
}

/// Closes the attempts that are under way, whoever won.
pub(crate) fn drop_attempts(s: &mut Socket, d: &mut Driver<'_>) {
    let Some(c) = s.connecting.as_mut() else { return };
    c.waiting.clear();
    for mut lost in c.running.drain(..) {
        d.before_close(&mut lost.stream);
        d.free(&ATTEMPT, lost.key);
    }
}

/// The connection is over before it was made.
pub(crate) fn forget(cx: &mut Cx<'_>, connecting: &Connecting) {
    if let Some(timer) = connecting.delay {
        let _ = cx.timer_stop(timer);
    }
}
