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
//! own slot; each attempt beside others has another slot.
#![forbid(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Interest;
use mio::net::TcpStream;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Driver, Handle, Kind};
use tidegate_loop::{Cx, Key};

use crate::client::attempt;
use crate::client::attempt::{Progress, attempt_failed, progress};
use crate::endpoint::Endpoint;
use crate::error::stage::Stage;
use crate::event::SocketEvent;
use crate::key::{OWNER, SocketKey};
use crate::socket::expire;
use crate::socket::filters::news;
use crate::socket::pass::SOCKET;
use crate::state::connecting::Running;
use crate::state::deadlines::clocks::as_nanos;
use crate::state::layer::NET;
use crate::state::socket::{Life, Socket, Watched};
use crate::state::wire::Wire;

/// One attempt among several. Its data is the place of its connection in the slab.
static ATTEMPT: Kind = Kind::new("connect attempt", &OWNER)
    .ready(attempt_ready)
    .close(|_, _, _| Ok(()))
    .describe(|_, _, _| "beside others".into());

/// Starts attempts until one more is under way, all places are taken, or no address is left.
pub(crate) fn next(cx: &mut Cx<'_>, key: SocketKey) {
    loop {
        let (layer, mut d) = cx.layer(&NET);
        let Some((s, mut h)) = layer.lend_socket(&mut d, key) else { return };
        if !s.duplex.is_open() {
            return;
        }
        let Some(c) = s.connecting_mut() else { return };
        if !c.waiting.is_empty() && c.running.len() >= c.options.race.at_once {
            break;
        }
        let Some(remote) = c.waiting.pop_front() else {
            if c.running.is_empty() && s.stream.is_none() {
                give_up(s, &mut h);
            }
            return;
        };
        let alone = c.waiting.is_empty() && c.running.is_empty();
        // A number is tried at once, the first time.
        let at_once = c.name.is_none() && c.tries == 1;
        let since = if at_once { s.since } else { as_nanos(h.clock()) };
        s.tell(&mut h, || SocketEvent::AttemptStart { to: Endpoint::Ip(remote) });
        let Some(c) = s.connecting_mut() else { return };
        let stream = match attempt::open(&c.options, remote) {
            Ok(stream) => stream,
            Err((stage, e)) => {
                attempt_failed(s, &mut h, stage, remote, since, e);
                continue;
            }
        };
        if alone {
            c.alone_since = since;
            s.set_remote(Some(remote));
            s.stream = Some(stream);
            s.watch(&mut h);
            return;
        }
        let place = h.data();
        match run_beside(s, &mut d, place, stream, remote, since) {
            Ok(()) => break,
            Err(e) => attempt_failed(s, &mut d, Stage::Register, remote, since, e),
        }
    }
    wait(cx, key);
}

/// A timer for the address that is next, if there is one.
fn wait(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, d) = cx.layer(&NET);
    let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting()) else { return };
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
    let (layer, d) = cx.layer(&NET);
    if let Some(c) = layer.socket(&d, key).and_then(|s| s.connecting_mut()) {
        c.delay = Some(timer);
    }
}

fn forget_delay(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, d) = cx.layer(&NET);
    let socket = layer.socket(&d, key).and_then(|s| s.connecting_mut());
    if let Some(timer) = socket.and_then(|c| c.delay.take()) {
        let _ = cx.timer_stop(timer);
    }
}

/// If all places are taken, the oldest attempt gives way to the address that waits, if it had
/// its time.
fn make_room(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut d, key) else { return };
    let open = s.duplex.is_open();
    let Some(c) = s.connecting_mut().filter(|_| open) else { return };
    if c.waiting.is_empty() || c.running.len() < c.options.race.at_once {
        return;
    }
    let now = as_nanos(h.clock());
    let oldest = c.running.iter().enumerate().min_by_key(|(_, r)| r.since);
    let Some((at, since)) = oldest.map(|(at, r)| (at, r.since)) else { return };
    if Duration::from_nanos(now.saturating_sub(since)) < c.options.race.patience {
        return;
    }
    // The loop may be late: the kernel is asked before it is called silent.
    let (oldest, failed) = (&c.running[at], c.running[at].stream.take_error());
    if matches!(failed, Ok(None)) && oldest.stream.peer_addr().is_ok() {
        if let Some(mut oldest) = h.other(&OWNER, oldest.key) {
            oldest.assume(Readiness::WRITABLE);
            oldest.queue();
        }
        return;
    }
    let silent = || {
        let text = "no answer, and it gave way to the next address";
        io::Error::new(io::ErrorKind::TimedOut, text)
    };
    let error = failed.ok().flatten().unwrap_or_else(silent);
    let lost = c.running.swap_remove(at);
    let (remote, since) = (lost.remote, lost.since);
    lost.close(&mut h);
    attempt_failed(s, &mut h, Stage::Connect, remote, since, error);
}

fn run_beside(
    s: &mut Socket,
    d: &mut Driver<'_>,
    place: u64,
    mut stream: TcpStream,
    remote: SocketAddr,
    since: u64,
) -> io::Result<()> {
    let mut h = d.insert(&ATTEMPT, place)?;
    h.set_ref(false);
    if let Err(e) = h.register(&mut stream, Handle::READS | Interest::WRITABLE) {
        h.free();
        return Err(e);
    }
    if let Some(c) = s.connecting_mut() {
        c.running.push(Running { key: h.key(), stream, remote, since });
    }
    Ok(())
}

/// No address is left: the first failure is the reason, and the error lists all of them.
pub(crate) fn give_up(s: &mut Socket, h: &mut Handle<'_>) {
    let failed = s.connecting().and_then(|c| c.failed.first());
    let Some(first) = failed else { return };
    let (source, stage, remote) = (first.copy(), first.stage, first.remote);
    if s.connecting().is_some_and(|c| c.failed.len() > 1) {
        // Our end of the last attempt is not that of the first.
        s.close_descriptor(h);
    }
    s.set_remote(Some(remote));
    s.try_failed(h, stage, source);
}

/// The same of an attempt beside others.
fn attempt_ready(d: &mut Dispatch<'_>, key: Key, place: u64) {
    let (layer, mut driver) = d.layer(&NET);
    let Some(s) = layer.sockets.at_mut(place as usize) else { return };
    let socket = s.key;
    let Some(c) = s.connecting_mut() else { return };
    let Some(at) = c.running.iter().position(|r| r.key == key) else { return };
    let running = &mut c.running[at];
    let Some(mut attempt) = driver.handle(&OWNER, key) else { return };
    let made = progress(&mut running.stream, Some(running.remote), &mut attempt);
    let Some(mut h) = driver.handle(&OWNER, socket.0) else { return };
    match made {
        Progress::Waits => {}
        Progress::Connected => {
            let won = c.running.swap_remove(at);
            take_over(s, &mut h, won);
            if s.duplex.is_open() {
                connected(d, socket);
                news::made(d, socket);
                if let Some(mut handle) = d.driver().handle(&OWNER, socket.0) {
                    // Reading comes in its own dispatch.
                    handle.queue();
                }
            }
        }
        Progress::Failed(e) => {
            let lost = c.running.swap_remove(at);
            let (remote, since) = (lost.remote, lost.since);
            lost.close(&mut h);
            attempt_failed(s, &mut h, Stage::Connect, remote, since, e);
            forget_delay(&mut d.cx(), socket);
            next(&mut d.cx(), socket);
        }
    }
}

/// An attempt becomes the connection: its stream moves to the connection's slot.
fn take_over(s: &mut Socket, h: &mut Handle<'_>, won: Running) {
    let Running { key, mut stream, remote, .. } = won;
    if let Some(attempt) = h.other(&OWNER, key) {
        attempt.free();
    }
    let both = Handle::READS | Interest::WRITABLE;
    s.set_remote(Some(remote));
    let moved = h.reregister(&mut stream, both);
    s.stream = Some(stream);
    s.watched = Watched::Both;
    h.assume(Readiness::WRITABLE | Readiness::READABLE);
    if let Err(e) = moved {
        s.fail(h, Stage::Register, e);
    }
}

/// The poller spoke of a connecting socket. `true`: it is connected now, and
/// `on_connect` is due.
pub(crate) fn complete(d: &mut Dispatch<'_>, key: SocketKey) -> bool {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return false };
    let remote = s.remote();
    let Some(stream) = &mut s.stream else { return false };
    match progress(stream, remote, &mut h) {
        Progress::Waits => false,
        Progress::Connected => {
            connected(d, key);
            true
        }
        Progress::Failed(e) => {
            let since = s.connecting().map_or(0, |c| c.alone_since);
            // The descriptor stays: the error may want to know our port.
            match remote {
                Some(remote) => {
                    attempt_failed(s, &mut h, Stage::Connect, remote, since, e);
                    give_up(s, &mut h);
                }
                None => s.try_failed(&mut h, Stage::Connect, e),
            }
            false
        }
    }
}

pub(crate) fn connected(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return };
    s.life = if matches!(s.wire, Wire::Plain) { Life::Open } else { Life::Gated };
    h.turn_into(&SOCKET);
    let delay = s.connecting_mut().and_then(|c| c.delay.take());
    if let Some(c) = s.connecting_mut() {
        c.drop_attempts(&mut h);
    }
    let options = s.take_connecting().map(|c| c.options);
    let deadlines = options.as_ref().map(|o| o.stream.deadlines).unwrap_or_default();
    // A deadline must not be early; else the time of the poll will do.
    let now = if deadlines.has_any() { as_nanos(h.clock()) } else { h.nanos() };
    s.clocks.touch(now);
    match &mut s.wire {
        Wire::Plain => s.clocks.set_until(deadlines.lifetime_ms, now),
        // The connect timeout goes on until they are ready.
        Wire::Filter(stack) => stack.lifetime_ms = deadlines.lifetime_ms,
    }
    s.tell_busy(&mut h);
    if h.is_observed() {
        s.note_local();
        let elapsed = s.age(&h);
        s.tell(&mut h, || SocketEvent::Connected { elapsed });
    }
    layer.counted.connected += 1;
    if let Some(lookup) = options.and_then(|o| o.lookup) {
        driver.bury(lookup);
    }
    if let Some(timer) = delay {
        let _ = d.cx().timer_stop(timer);
    }
    expire::arm(&mut d.cx(), key);
}
