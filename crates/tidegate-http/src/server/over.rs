//! An exchange is over: the connection goes on, drops the rest of a body, or closes.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::Cx;
use tidegate_net::{Net, SocketKey};

use crate::callbacks::handler::Broken;
use crate::exchange::event::HttpEvent;
use crate::exchange::key::ExchangeKey;
use crate::server::clock::{self, DEADLINE, REQUEST};
use crate::state::conn::{Conn, DISCARDED, Phase, Reply, Wanted};
use crate::state::layer::HTTP;

/// The response is written to its end.
pub(super) fn replied(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.exchange(key) else { return };
    conn.reply = Reply::Done;
    if !matches!(conn.body, Wanted::Yes | Wanted::Paused) {
        complete(cx, key);
    }
}

/// The exchange is over: its key finds nothing from now on.
pub(super) fn complete(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, mut d) = cx.layer(&HTTP);
    let at = key.at();
    let elapsed = layer.conns.get(at).map(|c| d.nanos().saturating_sub(c.since));
    let elapsed = Duration::from_nanos(elapsed.unwrap_or(0));
    let Some(conn) = layer.exchange(key) else { return };
    let class = usize::from(conn.status / 100).clamp(1, 9);
    let (status, bytes) = (conn.status, conn.bytes);
    conn.phase = match (conn.body, conn.goes_on && !conn.ended) {
        (Wanted::Done, true) => Phase::Idle,
        (Wanted::Done, false) => Phase::Closing,
        (_, true) => Phase::Discarding(DISCARDED),
        (_, false) => {
            conn.clean = false;
            Phase::Closing
        }
    };
    let keep_alive = conn.phase != Phase::Closing;
    let timed = std::mem::take(&mut conn.timed) && conn.body == Wanted::Done;
    end(conn, None);
    layer.metrics.responses[class - 1] += 1;
    layer.metrics.durations.record(elapsed);
    layer.metrics.in_flight -= 1;
    d.emit(|| HttpEvent::Response { exchange: key, status, bytes, elapsed, keep_alive });
    let gathers = layer.output.gathers(at);
    if timed {
        cx.socket(key.socket).clear_timer(REQUEST);
    }
    if !gathers {
        go_on(cx, at, key.socket);
    }
}

/// What is left of the exchange waits for a dispatch.
pub(super) fn end(conn: &mut Conn, broken: Option<Broken>) {
    conn.number += 1;
    conn.owes_end = false;
    if conn.handler.is_some() || conn.body_pipe.is_some() || conn.reply_pipe.is_some() {
        let over = conn.over.get_or_insert_default();
        over.handler = conn.handler.take();
        over.body_pipe = conn.body_pipe.take();
        over.reply_pipe = conn.reply_pipe.take();
        over.broken = broken;
    }
}

/// After an exchange that ended outside of a read.
fn go_on(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    let (phase, owes) = (conn.phase, conn.owes());
    let keep_alive = layer.conns.get(at).map(|c| layer.options(c).keep_alive_timeout);
    match phase {
        Phase::Closing => close(cx, at, socket),
        Phase::Idle => {
            let keep_alive = keep_alive.unwrap_or_default();
            clock::set(cx, socket, DEADLINE, clock::kept(keep_alive));
            resume(cx, at, socket);
        }
        _ => resume(cx, at, socket),
    }
    if owes {
        clock::wake(cx, socket);
    }
}

/// Reads again, if that is what the state wants.
pub(super) fn resume(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    let reads = match conn.phase {
        Phase::Idle | Phase::Head => !conn.full && !conn.held,
        Phase::Handling => conn.body == Wanted::Yes,
        Phase::Discarding(_) | Phase::Closing => true,
        Phase::Broken => false,
    };
    if reads && std::mem::take(&mut conn.paused) {
        cx.socket(socket).resume();
    }
}

/// Our side ends. A client that asked for it sends nothing more: then the connection is closed at
/// once. Else what it sends is dropped, so that it can read the answer.
pub(super) fn close(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    conn.phase = Phase::Closing;
    let asked = !conn.answering.keep_alive && conn.clean && !conn.paused;
    let (ended, o) = (conn.ended, layer.conns.get(at).map(|c| layer.options(c)));
    let o = o.unwrap_or_default();
    clock::clear(cx, socket);
    let mut s = cx.socket(socket);
    if ended {
        s.end();
    } else if asked && s.buffered() == 0 {
        s.destroy();
    } else {
        s.end_and_drain(o.linger_bytes, o.linger_silence, o.linger_total);
    }
    let (layer, _) = cx.layer(&HTTP);
    if layer.conn(at, socket).is_some_and(|c| c.over.is_some()) {
        clock::wake(cx, socket);
    }
}
