//! A client asks more often than it may: it gets 429, and its connection is not read before it may
//! ask again. So one that does not obey costs no more than two answers for each request that it may
//! make.
//!
//! | event | next |
//! |---|---|
//! | a request too many | 429; the connection is held: paused, for a time with a random part |
//! | the same, and an idle connection is not kept for so long | 429, and the connection closes |
//! | the time is over | it goes on; if the turn has no room for it, it waits in the line |
//! | the client ends its side | it is read as ever, and what comes before the end waits |
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::kind::{Dispatch, Driver, Kind};
use tidegate_loop::{Cx, Key};
use tidegate_net::{Net, SocketKey};

use crate::exchange::key::ExchangeKey;
use crate::exchange::response::Response;
use crate::server::{clock, over, reply};
use crate::state::clocks::Clock;
use crate::state::conn::{Phase, Reading};
use crate::state::held::Held;
use crate::state::layer::HTTP;

/// The only timer of the connection that is not one of its clocks.
const HOLD: u64 = 0;

/// Called for those that wait in the line.
static LINE: Kind = Kind::new("http", HTTP.owner()).ready(serve_line);

/// How long the client of this connection must wait with its request; `None`: it may ask now, which
/// is counted. A client on a Unix domain socket has no address and no limit.
#[cold]
pub(super) fn wait(cx: &mut Cx<'_>, server: usize, socket: SocketKey) -> Option<Duration> {
    let peer = cx.socket(socket).peer_addr()?;
    let (layer, d) = cx.layer(&HTTP);
    let limiter = layer.servers.get_mut(server)?.limiter.as_mut()?;
    limiter.take(peer.ip(), d.now()).err()
}

/// The answer. What comes behind the request waits.
#[cold]
pub(super) fn refuse(d: &mut Dispatch<'_>, key: ExchangeKey, wait: Duration) {
    let (layer, _) = d.layer(&HTTP);
    layer.metrics.limited += 1;
    let (hold, seconds) = layer.held.hold(wait);
    let found = layer.with_options(key.at(), key.socket);
    let holds = found.is_some_and(|(conn, options)| {
        let kept = options.kept();
        conn.held = kept.is_zero() || wait <= kept;
        conn.held
    });
    let after = seconds.to_string();
    let answer = Response::new(429).header("Retry-After", &after);
    let mut cx = d.cx();
    if holds {
        cx.socket(key.socket).set_timer(HOLD, hold);
    }
    let answer = if holds { answer } else { answer.close() };
    let _ = reply::whole(&mut cx, key, &answer, "".into());
}

/// The client may ask again.
pub(super) fn time_is_over(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let turn = d.cx().turn();
    let (layer, mut driver) = d.layer(&HTTP);
    let room = layer.held.is_empty() && layer.held.take_step(turn);
    if room || !call_line(&mut layer.held, &mut driver) {
        return go_on(d, socket, at);
    }
    layer.held.push(socket, at);
}

/// The first in the line is called in the next turn. `false`: the loop's table has no room for the
/// line's own handle.
fn call_line(held: &mut Held, d: &mut Driver<'_>) -> bool {
    if held.handle.is_none() {
        held.handle = d.insert(&LINE, 0).ok().map(|mut h| {
            h.set_internal();
            h.key()
        });
    }
    let called = held.handle.and_then(|key| d.handle(HTTP.owner(), key)).map(|mut h| h.queue());
    called.is_some()
}

/// As many as this turn has room for.
fn serve_line(d: &mut Dispatch<'_>, _: Key, _: u64) {
    let turn = d.cx().turn();
    while let Some((socket, at)) = d.layer(&HTTP).0.held.pop(turn) {
        go_on(d, socket, at);
    }
    let (layer, mut driver) = d.layer(&HTTP);
    if !layer.held.is_empty() {
        call_line(&mut layer.held, &mut driver);
    }
}

fn go_on(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some((conn, options)) = layer.with_options(at, socket) else { return };
    conn.held = false;
    let (idle, kept) = (conn.phase == Phase::Idle && !conn.full, options.kept());
    let mut cx = d.cx();
    if idle {
        clock::set(&mut cx, at, socket, Clock::Head, kept);
    }
    over::resume(&mut cx, at, socket);
}

/// The client has ended its side while it is held: then it may want no answer any more, and its
/// connection is free. Bytes before the end are kept for their time.
pub(super) fn client_ended(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket).filter(|c| c.held) else { return };
    if conn.reading == Reading::Paused {
        conn.reading = Reading::Flowing;
        d.cx().socket(socket).resume();
    }
}
