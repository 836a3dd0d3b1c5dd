//! The end of an exchange: the connection goes on, drops the rest of a body, or closes.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::Cx;
use tidegate_loop::kind::Driver;
use tidegate_net::{Net, SocketKey};

use crate::exchange::event::HttpEvent;
use crate::exchange::key::ExchangeKey;
use crate::exchange::metrics::HttpMetrics;
use crate::server::clock;
use crate::state::clocks::Clock;
use crate::state::conn::{After, Body, Conn, DISCARDED, Phase, Reading, Reply, Unread};
use crate::state::layer::{HTTP, Layer};

/// The response is written to its end.
#[inline]
pub(super) fn replied(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    if layer.exchange(key).is_some_and(written) {
        complete(cx, key);
    }
}

/// The response is written. Whether the exchange is over with it.
#[inline]
pub(super) fn written(conn: &mut Conn) -> bool {
    if let Reply::Begun(after) = conn.reply {
        conn.reply = Reply::Done(after);
    }
    !matches!(conn.body, Body::Flowing | Body::Paused)
}

/// The exchange is over: its key finds nothing from now on.
pub(super) fn complete(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, mut d) = cx.layer(&HTTP);
    let Layer { conns, output, metrics, .. } = layer;
    let Some(conn) = conns.get_mut(key.at()).filter(|c| c.is_in(key)) else { return };
    let gathers = output.gathers(key.at());
    close_exchange(conn, key, gathers.then_some(&mut output.answered), metrics, &mut d);
    if !gathers {
        go_on(cx, key.at(), key.socket);
    }
}

/// The exchange of this connection is over. `answered`: it is in a read, which counts what was
/// answered.
#[inline(always)]
pub(super) fn close_exchange(
    conn: &mut Conn,
    key: ExchangeKey,
    answered: Option<&mut u32>,
    metrics: &mut HttpMetrics,
    d: &mut Driver<'_>,
) {
    let (status, bytes) = (conn.status, conn.bytes);
    // One look at the clock for all that are answered in one read.
    let counts_later = answered.filter(|_| conn.request.since == d.nanos());
    let elapsed = match counts_later.is_none() || d.is_observed() {
        true => Duration::from_nanos(d.clock_nanos().saturating_sub(conn.request.since)),
        false => Duration::ZERO,
    };
    let goes_on = conn.reply == Reply::Done(After::Next)
        && conn.reading != Reading::Ended
        && conn.number < conn.last;
    conn.phase = match (conn.body.is_read(), goes_on) {
        (true, true) => Phase::Idle,
        (true, false) => Phase::Closing(Unread::Nothing),
        (false, true) => Phase::Discarding(DISCARDED),
        (false, false) => Phase::Closing(Unread::Something),
    };
    if conn.body.is_read() {
        conn.clocks.clear(Clock::Request);
    }
    end(conn);
    let class = usize::from(status / 100).clamp(1, 9);
    metrics.responses[class - 1] += u64::from(conn.counted);
    match counts_later {
        Some(answered) => *answered += u32::from(conn.counted),
        None if conn.counted => metrics.durations.record(elapsed),
        None => {}
    }
    metrics.in_flight -= 1;
    d.emit(|| HttpEvent::Response { exchange: key, status, bytes, elapsed, keep_alive: goes_on });
}

/// What is left of the exchange waits for a dispatch.
#[inline]
pub(crate) fn end(conn: &mut Conn) {
    conn.leave(None);
    conn.number += 1;
    conn.clocks.clear(Clock::Answer);
}

/// After an exchange that ended outside of a read.
fn go_on(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some((conn, o)) = layer.with_options(at, socket) else { return };
    let (phase, full, owes, kept) = (conn.phase, conn.full, conn.owes(), o.kept());
    match phase {
        Phase::Closing(_) => return close(cx, at, socket),
        // While answers wait, the clock of those runs.
        Phase::Idle if !full => clock::set(cx, at, socket, Clock::Head, kept),
        _ => {}
    }
    resume(cx, at, socket);
    if owes {
        cx.socket(socket).wake();
    }
}

/// Reads again, if that is what the state wants.
pub(super) fn resume(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    let reads = match conn.phase {
        Phase::Idle | Phase::Head => !conn.full && !conn.held,
        Phase::Handling => conn.body == Body::Flowing,
        Phase::Discarding(_) | Phase::Closing(_) | Phase::Ending(_) | Phase::Draining => true,
        Phase::Broken(_) => false,
    };
    if reads && conn.reading == Reading::Paused {
        conn.reading = Reading::Flowing;
        cx.socket(socket).resume();
    }
}

/// Our side ends, behind what is queued.
pub(super) fn close(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    let unread = match conn.phase {
        Phase::Closing(_) if conn.reading == Reading::Paused => Unread::Something,
        Phase::Closing(unread) => unread,
        _ => Unread::Something,
    };
    conn.phase = Phase::Ending(unread);
    conn.clocks.clear_all();
    let owes = conn.owes();
    if cx.socket(socket).buffered() == 0 {
        drain(cx, at, socket);
    } else {
        clock::watch_writes(cx, at, socket);
        cx.socket(socket).end();
        resume(cx, at, socket);
    }
    if owes {
        cx.socket(socket).wake();
    }
}

/// All that we wrote is out. A client that asked for the end sends nothing more: then the
/// connection is closed at once. Else what it sends is dropped, so that it can read the answer.
pub(super) fn drain(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some((conn, o)) = layer.with_options(at, socket) else { return };
    let Phase::Ending(unread) = conn.phase else { return };
    conn.phase = Phase::Draining;
    conn.clocks.clear_all();
    let asked = unread == Unread::Nothing && !conn.request.answering.keep_alive;
    let (bytes, silence, total) = (o.linger_bytes, o.linger_silence, o.linger_total);
    let has_ended = conn.reading == Reading::Ended;
    let mut s = cx.socket(socket);
    if has_ended {
        s.end();
    } else if asked {
        s.destroy();
    } else {
        s.end_and_drain(bytes, silence, total);
    }
}
