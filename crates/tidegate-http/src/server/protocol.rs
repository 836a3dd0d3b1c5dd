//! What the net crate calls for a connection of HTTP, and what is done when a clock is due. Its bytes
//! and its end are for `read.rs`.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;
use tidegate_net::{Close, Net, PeerState, Protocol, Reason, SocketKey};

use crate::callbacks::handler::Broken;
use crate::exchange::event::HttpEvent;
use crate::exchange::key::ExchangeKey;
use crate::message::refusal::Refusal;
use crate::server::{clock, deliver, ends, limited, over, read, refuse};
use crate::state::clocks::Clock;
use crate::state::conn::{After, Phase, Reply};
use crate::state::layer::HTTP;

pub(super) static PROTOCOL: Protocol = Protocol::new("http")
    .data(|d, socket, at, bytes| read::data(d, socket, at as usize, bytes))
    .end(|d, socket, at| {
        read::ended(d, socket, at as usize);
        deliver::owed(d, at as usize, socket);
    })
    .hangup(|d, socket, at, peer| hung_up(d, socket, at as usize, peer))
    .drain(|d, socket, at| drain(d, socket, at as usize))
    .finish(|d, socket, at| over::drain(&mut d.cx(), at as usize, socket))
    .woken(|d, socket, at| woken(d, socket, at as usize))
    .timer(|d, socket, at, _| limited::time_is_over(d, socket, at as usize))
    .shutdown(|d, socket, at| shutdown(d, socket, at as usize))
    .close(|d, socket, at, close| closed(d, socket, at as usize, &close))
    .replaced(|cx, socket, at| replaced(cx, socket, at as usize))
    .describe(|cx, socket, at| {
        let (layer, _) = cx.layer(&HTTP);
        layer.conn(at as usize, socket).map_or_else(String::new, |c| c.describe())
    });

/// The peer's end or reset, while nothing is read that would show it.
fn hung_up(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, peer: PeerState) {
    match peer {
        PeerState::Gone => {
            d.cx().socket(socket).destroy_with(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        _ => limited::client_ended(d, socket, at),
    }
}

/// Room again.
fn drain(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    conn.full = false;
    conn.clocks.clear(Clock::Write);
    let (key, pipe) = (conn.key(at), conn.reply_pipe);
    if let Some(pipe) = pipe {
        pipe.drained(d);
        d.settle();
    }
    deliver::call(d, key, |h, x| h.on_drain(x));
    deliver::owed(d, at, socket);
    over::resume(&mut d.cx(), at, socket);
    let (layer, _) = d.layer(&HTTP);
    let idle = layer.with_options(at, socket).filter(|(c, _)| c.waits_for_request());
    if let Some(kept) = idle.map(|(_, o)| o.kept()) {
        clock::set(&mut d.cx(), at, socket, Clock::Head, kept);
    }
}

/// It asked for a call: a clock is due, or an exchange has something to tell.
fn woken(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    loop {
        let (layer, driver) = d.layer(&HTTP);
        let now = driver.nanos();
        let due = layer.conn(at, socket).and_then(|c| c.clocks.take_due(now));
        let Some(which) = due else { break };
        late(d, socket, at, which);
    }
    let (layer, _) = d.layer(&HTTP);
    if let Some(next) = layer.conn(at, socket).and_then(|c| c.clocks.arm()) {
        clock::push(&mut d.cx(), (next, socket, at));
    }
    deliver::owed(d, at, socket);
}

fn late(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, which: Clock) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    let key = conn.key(at);
    let refused = |what| Refusal::new(408, what);
    match (which, conn.phase) {
        (Clock::Head, Phase::Head) => {
            refuse::refuse(d, at, socket, refused("the head took too long"));
        }
        (Clock::Head, Phase::Idle) if conn.number == 1 => {
            refuse::refuse(d, at, socket, refused("no request came"));
        }
        (Clock::Head, Phase::Idle) if !conn.full => {
            let mut cx = d.cx();
            match cx.socket(socket).buffered() {
                0 => idle(d, socket),
                // The answer is not out: the clock of writes runs.
                _ => clock::watch_writes(&mut cx, at, socket),
            }
        }
        (Clock::Request, Phase::Head | Phase::Handling | Phase::Discarding(_)) => {
            refuse::refuse(d, at, socket, refused("the request took too long"));
        }
        (Clock::Write, _) => stalled(d, socket, at),
        (Clock::Answer, Phase::Handling) => unanswered(d, key),
        _ => {}
    }
}

/// The user's deadline of an exchange has passed.
fn unanswered(d: &mut Dispatch<'_>, key: ExchangeKey) {
    let was_called = deliver::call(d, key, |h, x| h.on_timeout(x));
    if !was_called {
        ends::time_out(&mut d.cx(), key);
    }
}

/// No request came.
fn idle(d: &mut Dispatch<'_>, socket: SocketKey) {
    d.layer(&HTTP).0.metrics.idle_closed += 1;
    d.cx().socket(socket).destroy();
}

/// Bytes wait, or did: whether some went out since the clock was set.
fn stalled(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let mut cx = d.cx();
    let mut s = cx.socket(socket);
    let (waiting, out) = (s.buffered(), s.bytes_written());
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    match waiting {
        0 if conn.phase == Phase::Idle => idle(d, socket),
        0 => {}
        _ if conn.out_before == out => cx.socket(socket).reset(),
        _ => clock::watch_writes(&mut cx, at, socket),
    }
}

/// The server shuts down: who waits for a request is closed, now or a little later, the others after
/// their answer.
fn shutdown(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some((conn, options)) = layer.with_options(at, socket) else { return };
    match (conn.phase, options.shutdown_idle) {
        (Phase::Idle, Duration::ZERO) => over::close(&mut d.cx(), at, socket),
        (Phase::Idle, wait) => {
            // The next one is the last.
            conn.last = conn.number;
            if !conn.full {
                clock::set(&mut d.cx(), at, socket, Clock::Head, wait);
            }
        }
        // It was told that another may come.
        (Phase::Handling, wait) if !wait.is_zero() && conn.reply == Reply::Begun(After::Next) => {
            conn.last = conn.number + 1;
        }
        (Phase::Discarding(_), wait) if !wait.is_zero() => conn.last = conn.number,
        (Phase::Head | Phase::Handling, _) => conn.last = conn.number,
        // The next one does not begin.
        _ => conn.last = conn.number - 1,
    }
}

/// The connection is over.
fn closed(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, close: &Close) {
    let (layer, mut driver) = d.layer(&HTTP);
    if layer.conn(at, socket).is_none() {
        return;
    }
    let (mut conn, server) = layer.remove(at);
    let broken = match conn.phase {
        Phase::Broken(Some(why)) => Some(Broken::Refused(why)),
        Phase::Broken(None) | Phase::Handling => Some(Broken::Connection(close.reason.clone())),
        _ => None,
    };
    if broken.is_some() {
        layer.metrics.in_flight -= 1;
        layer.metrics.broken += 1;
        driver.emit(|| HttpEvent::Broken { exchange: conn.key(at) });
        conn.leave(broken);
    }
    if matches!(close.reason, Reason::WriteLimit { .. }) {
        driver.unhandled("tidegate::http", "write limit", format_args!("{}", close.reason));
    }
    if let Some(server) = server {
        driver.bury(server.handler);
    }
    let mut owed = conn.owed.into_iter();
    while let Some(over) = owed.next() {
        // One that panics leaves the others to be told in the next run.
        let rest = |d: &mut Dispatch<'_>| deliver::leave(&mut d.cx(), owed.by_ref());
        d.guard(|d| deliver::tell(d, over), rest);
    }
}

/// Another protocol takes the connection.
fn replaced(cx: &mut Cx<'_>, socket: SocketKey, at: usize) {
    let (layer, mut d) = cx.layer(&HTTP);
    if layer.conn(at, socket).is_none() {
        return;
    }
    let (mut conn, server) = layer.remove(at);
    if matches!(conn.phase, Phase::Handling | Phase::Broken(_)) {
        layer.metrics.in_flight -= 1;
        layer.metrics.broken += 1;
        conn.leave(Some(Broken::Connection(Reason::Destroyed)));
    }
    if let Some(server) = server {
        d.bury(server.handler);
    }
    deliver::leave(cx, conn.owed.into_iter());
}
