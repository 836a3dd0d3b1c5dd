//! The attempts of a connect, one for each address: started, beside each other, won, lost.
//!
//! | places | event | next |
//! |---|---|---|
//! | free | the attempt delay passed, or an attempt failed | the next address begins |
//! | all taken | an attempt failed | the next address begins |
//! | all taken | the oldest has had no answer for the attempt timeout | it is given up for the next |
//! | any | one has connected | the others are closed |
//! | any | the last has failed | the connection is over |
//!
//! How many there may be, and how fast, is in `race.rs`. An attempt for which no address waits
//! is never given up for being slow. The last address that is left is tried on the connection's
//! own slot; an attempt beside others has a slot of its own.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Driver, Kind};
use tidegate_loop::{Cx, Key};

use crate::client::attempt;
use crate::client::attempt::{Progress, attempt_failed, progress};
use crate::endpoint::Endpoint;
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::key::SocketKey;
use crate::socket::call::opened;
use crate::socket::expire;
use crate::state::clocks::as_nanos;
use crate::state::connecting::Running;
use crate::state::layer::Layer;
use crate::state::socket::{Life, Socket, Watched};

/// One attempt among several. Its data is the place of its connection in the slab.
static ATTEMPT: Kind = Kind {
    name: "connect attempt",
    ready: attempt_ready,
    pending: |_, _, _| {},
    close: |_, _, _| Ok(()),
    closed: |_, _, _| {},
    describe: |_, _, _| "beside others".into(),
};

/// Starts attempts until one more is under way, all places are taken, or no address is left.
pub(crate) fn next(cx: &mut Cx<'_>, key: SocketKey) {
    loop {
        let (layer, mut d) = cx.parts::<Layer>();
        let Some(s) = layer.socket(&d, key).filter(|s| s.duplex.is_open()) else { return };
        let Some(c) = s.connecting.as_mut() else { return };
        if !c.waiting.is_empty() && c.running.len() >= c.options.race.at_once {
            break;
        }
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
        let stream = match attempt::open(&c.options, remote) {
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
            Ok(()) => break,
            Err(e) => attempt_failed(s, &mut d, Stage::Register, remote, since, e),
        }
    }
    wait(cx, key);
}

/// A timer for the address that is next, if there is one.
fn wait(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, d) = cx.parts::<Layer>();
    let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting.as_ref()) else { return };
    if c.waiting.is_empty() || c.delay.is_some() {
        return;
    }
    let (race, mut after) = (c.options.race, c.options.race.delay);
    if c.running.len() >= race.at_once {
        let now = as_nanos(d.clock());
        let age = c.running.iter().map(|r| now.saturating_sub(r.since)).max().unwrap_or(0);
        // Not all of them at once: each start has its distance from the one before.
        let left = race.patience.saturating_sub(Duration::from_nanos(age));
        after = left.max(after.min(race.patience));
    }
    let timer = cx.timer(after, move |cx, _| {
        forget_delay(cx, key);
        make_room(cx, key);
        next(cx, key);
    });
    let (layer, d) = cx.parts::<Layer>();
    if let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting.as_mut()) {
        c.delay = Some(timer);
    }
}

fn forget_delay(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, d) = cx.parts::<Layer>();
    let socket = layer.socket(&d, key).and_then(|s| s.connecting.as_mut());
    if let Some(timer) = socket.and_then(|c| c.delay.take()) {
        let _ = cx.timer_stop(timer);
    }
}

/// If all places are taken, the oldest attempt gives way to the address that waits, if it had
/// its time.
fn make_room(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, mut d) = cx.parts::<Layer>();
    let Some(s) = layer.socket(&d, key).filter(|s| s.duplex.is_open()) else { return };
    let Some(c) = s.connecting.as_mut() else { return };
    if c.waiting.is_empty() || c.running.len() < c.options.race.at_once {
        return;
    }
    let now = as_nanos(d.clock());
    let oldest = c.running.iter().enumerate().min_by_key(|(_, r)| r.since);
    let Some((at, since)) = oldest.map(|(at, r)| (at, r.since)) else { return };
    if Duration::from_nanos(now.saturating_sub(since)) < c.options.race.patience {
        return;
    }
    // The loop may be late: the kernel is asked before it is called silent.
    let (oldest, failed) = (&c.running[at], c.running[at].stream.take_error());
    if matches!(failed, Ok(None)) && oldest.stream.peer_addr().is_ok() {
        d.assume(oldest.key, Readiness::WRITABLE);
        return d.queue(oldest.key);
    }
    let silent = || {
        let text = "no answer, and it gave way to the next address";
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    let error = failed.ok().flatten().unwrap_or_else(silent);
    let lost = c.running.swap_remove(at);
    let (remote, since) = (lost.remote, lost.since);
    lost.close(&mut d);
    attempt_failed(s, &mut d, Stage::Connect, remote, since, error);
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
        c.running.push(Running { key, kind: &ATTEMPT, stream, remote, since });
    }
    Ok(())
}

/// No address is left: the first failure is the reason, and all are told.
pub(crate) fn give_up(s: &mut Socket, d: &mut Driver<'_>) {
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
                opened(d, socket);
            }
        }
        Progress::Failed(e) => {
            let lost = c.running.swap_remove(at);
            let (remote, since) = (lost.remote, lost.since);
            lost.close(&mut driver);
            attempt_failed(s, &mut driver, Stage::Connect, remote, since, e);
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
    d.assume(s.key.into(), Readiness::WRITABLE | Readiness::READABLE);
    if let Err(e) = moved {
        s.fail(d, Stage::Register, e);
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
    expire::arm(&mut d.cx(), key);
}
