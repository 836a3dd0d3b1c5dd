//! Making a connection: lookup, attempts, one winner.
//!
//! | step | event | next |
//! |---|---|---|
//! | lookup | the addresses | attempts (`attempts.rs`), in the order of `race.rs` |
//! | lookup | none | `on_close` |
//! | attempts | one has connected | the others are closed, `on_connect` |
//! | attempts | the last has failed | `on_close` with all of them |
//! | any | connect timeout, `destroy` | everything is closed, `on_close` |
//!
//! Every failure, also of the address, arrives at `on_close`: one path to handle.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tidegate_loop::{AsCx, Cx, Dispatch, Driver, TimerKey};

use crate::address::{Target, check_path};
use crate::attempts::{self, Progress, Running, attempt_failed, give_up, progress};
use crate::error::{Attempt, Close, NetError, Reason, Reset, Stage};
use crate::event::SocketEvent;
use crate::handler::Handler;
use crate::key::SocketKey;
use crate::layer::Layer;
use crate::lookup::{self, Asker, LookupAnswer, LookupFault};
use crate::options::{ConnectOptions, Family};
use crate::race;
use crate::socket::{Life, SOCKET, Socket, new_bits};
use crate::socket_cx::SocketCx;
use crate::sys;
use crate::timeout::{self, as_nanos};
use crate::unix::Endpoint;

/// What a connection needs until it is made.
pub(crate) struct Connecting {
    pub(crate) options: ConnectOptions,
    port: u16,
    /// Until the lookup began.
    host: Option<String>,
    /// What was asked for, if it was a name.
    pub(crate) name: Option<String>,
    pub(crate) waiting: VecDeque<SocketAddr>,
    /// Addresses beyond the limit.
    left_out: usize,
    /// Those beside others.
    pub(crate) running: Vec<Running>,
    pub(crate) failed: Vec<Attempt>,
    pub(crate) delay: Option<TimerKey>,
    /// When the attempt on the connection's own slot began.
    pub(crate) alone_since: u64,
}

impl Connecting {
    /// The address that was to be ours, if one was asked for.
    pub(crate) fn own_address(&self) -> Option<SocketAddr> {
        let o = &self.options;
        let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let asked = o.local_ip.is_some() || o.local_port != 0;
        asked.then(|| SocketAddr::new(o.local_ip.unwrap_or(any), o.local_port))
    }

    /// The addresses of the name, in their order.
    fn race(&mut self, found: Vec<SocketAddr>) {
        (self.waiting, self.left_out) = race::order(found, self.options.race.addresses);
    }

    /// Closes the attempts that are under way, whether one won or none.
    pub(crate) fn drop_attempts(&mut self, d: &mut Driver<'_>) {
        self.waiting.clear();
        for lost in self.running.drain(..) {
            lost.close(d);
        }
    }

    /// The time is over: what is under way has failed by that. `alone` is the address that is
    /// tried on the connection's own slot.
    pub(crate) fn give_up_on_running(&mut self, alone: Option<SocketAddr>, now: u64) {
        let alone = alone.map(|remote| (remote, self.alone_since));
        let beside = self.running.iter().map(|r| (r.remote, r.since));
        for (remote, since) in beside.chain(alone) {
            let elapsed = Duration::from_nanos(now.saturating_sub(since));
            let error = io::Error::new(io::ErrorKind::TimedOut, "no answer yet");
            let stage = Stage::Connect;
            self.failed.push(Attempt { remote, stage, elapsed, error: Arc::new(error) });
        }
    }

    /// The connection is over before it was made.
    pub(crate) fn forget(&self, cx: &mut Cx<'_>) {
        if let Some(timer) = self.delay {
            let _ = cx.timer_stop(timer);
        }
    }

    /// Addresses that had no turn.
    pub(crate) fn untried(&self) -> usize {
        self.left_out + self.waiting.len()
    }
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
    let mut s = Socket::new(key, &SOCKET, Life::Connecting, &options.stream, &d);
    s.clocks.set_until(options.timeout, s.since);
    s.handler = Some(handler);
    s.tell_busy(&mut d);
    let (target, family) = (options.to.target(), options.family);
    s.connecting = Some(Box::new(Connecting {
        options,
        port: 0,
        host: None,
        name: None,
        waiting: VecDeque::new(),
        left_out: 0,
        running: Vec::new(),
        failed: Vec::new(),
        delay: None,
        alone_since: 0,
    }));
    let s = entry.insert(s);
    match target {
        Ok(Target::Addr(addr)) if family.has(addr.ip()) => begin(cx, key, addr),
        Ok(Target::Addr(_)) => {
            let text = "the option family asks for the other family than this address has";
            s.fail(&mut d, Stage::Lookup, io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(Target::Path(path)) => to_path(cx, key, &path),
        Ok(Target::AnyHost(port)) => {
            let host: IpAddr = match family {
                Family::V6 => Ipv6Addr::LOCALHOST.into(),
                _ => Ipv4Addr::LOCALHOST.into(),
            };
            begin(cx, key, (host, port).into());
        }
        Ok(Target::Name(host, port)) => look_up(cx, key, host, port),
        Err(e) => s.fail(&mut d, Stage::Lookup, e.into()),
    }
    timeout::arm(cx, key);
    key
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
        check_path(path)?;
        let stream = sys::unix_connect(path)?;
        c.options.stream.apply(SockRef::from(&stream))?;
        Ok(stream)
    });
    match made {
        Ok(stream) => {
            s.stream = Some(stream);
            s.watch(&mut d);
            d.assume(key.into(), new_bits(None));
            d.queue(key.into());
        }
        Err(e) => s.fail(&mut d, Stage::Connect, e),
    }
}

/// There is no slot to close, so the one event comes from a tick.
fn refuse(cx: &mut Cx<'_>, key: SocketKey, mut handler: Box<dyn Handler>, e: io::Error) {
    let reason = Reason::Failed(Arc::new(NetError::new(Stage::Connect, e)));
    cx.owed_tick(move |cx| {
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
    let asker = Asker {
        key: key.into(),
        waits: |cx, key| waits_for_lookup(cx, SocketKey(key)),
        answer: |cx, key, found| looked_up(cx, SocketKey(key), found),
    };
    if let Err(e) = lookup::start(cx, &host, asker) {
        let (layer, mut d) = cx.parts::<Layer>();
        if let Some(s) = layer.socket(&d, key) {
            lookup_failed(s, &mut d, e);
        }
    }
}

fn lookup_failed(s: &mut Socket, d: &mut Driver<'_>, e: io::Error) {
    let took = s.age(d);
    let error = NetError::new(Stage::Lookup, e);
    s.tell(d, || {
        let text = error.in_words();
        SocketEvent::LookupFailed { error: text, code: error.code(), took }
    });
    s.fail(d, Stage::Lookup, error.into_source());
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

fn waits_for_lookup(cx: &mut Cx<'_>, key: SocketKey) -> bool {
    let (layer, d) = cx.parts::<Layer>();
    layer.socket(&d, key).is_some_and(|s| is_before_attempts(s))
}

/// The answer of a lookup, for one who may wait for it.
pub(crate) fn looked_up(cx: &mut Cx<'_>, key: SocketKey, found: io::Result<Vec<SocketAddr>>) {
    let (layer, mut d) = cx.parts::<Layer>();
    let socket = layer.socket(&d, key).filter(|s| is_before_attempts(s));
    let Some(s) = socket else { return d.bury(found) };
    let Some(c) = s.connecting.as_mut() else { return };
    let (family, port) = (c.options.family, c.port);
    let error = match found {
        Ok(mut found) => {
            found.retain(|addr| family.has(addr.ip()));
            // With its scope, if it is link-local.
            found.iter_mut().for_each(|addr| addr.set_port(port));
            if !found.is_empty() {
                c.race(found);
                if d.is_observed() {
                    looked_up_is_told(s, &mut d);
                }
                return attempts::next(cx, key);
            }
            LookupFault::NotFound.into()
        }
        Err(e) => e,
    };
    lookup_failed(s, &mut d, error);
}

#[cold]
fn looked_up_is_told(s: &Socket, d: &mut Driver<'_>) {
    let Some(c) = s.connecting.as_ref() else { return };
    let (took, left_out) = (s.age(d), c.left_out);
    let addresses = c.waiting.iter().map(SocketAddr::ip).collect();
    s.tell(d, || SocketEvent::LookedUp { addresses, left_out, took });
}

fn begin(cx: &mut Cx<'_>, key: SocketKey, addr: SocketAddr) {
    let (layer, d) = cx.parts::<Layer>();
    if let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting.as_mut()) {
        c.waiting.push_back(addr);
    }
    attempts::next(cx, key);
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

pub(crate) fn connected(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.parts::<Layer>();
    let Some(s) = layer.socket(&driver, key) else { return };
    s.life = Life::Open;
    let delay = s.connecting.as_mut().and_then(|c| c.delay.take());
    if let Some(c) = &mut s.connecting {
        c.drop_attempts(&mut driver);
    }
    let options = s.connecting.take().map(|c| c.options);
    let deadlines = options.as_ref().map(|o| o.stream.deadlines).unwrap_or_default();
    // A deadline must not be early; else the time of the poll will do.
    let now = if deadlines.has_any() { as_nanos(driver.clock()) } else { driver.nanos() };
    s.clocks.touch(now);
    s.clocks.set_until(deadlines.lifetime_ms, now);
    s.tell_busy(&mut driver);
    layer.counted.connected += 1;
    let Some(s) = layer.socket(&driver, key) else { return };
    if driver.is_observed() {
        s.note_local();
        let elapsed = s.age(&driver);
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
