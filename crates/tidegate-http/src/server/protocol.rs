//! What the net crate calls for a connection of HTTP, but for its bytes, which are for `read.rs`.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;
use tidegate_net::{Close, Net, Protocol, Reason, SocketKey};

use crate::callbacks::handler::Broken;
use crate::exchange::event::HttpEvent;
use crate::message::refusal::Refusal;
use crate::server::clock::{self, DEADLINE, HOLD, REQUEST, STALL, WAKE};
use crate::server::{deliver, limited, over, read, refuse};
use crate::state::conn::{Over, Phase, Reply};
use crate::state::layer::HTTP;

pub(super) static PROTOCOL: Protocol = Protocol::new("http")
    .data(|d, socket, at, bytes| read::data(d, socket, at as usize, bytes))
    .end(|d, socket, at| {
        read::ended(d, socket, at as usize);
        deliver::owed(d, at as usize, socket);
    })
    .drain(|d, socket, at| drain(d, socket, at as usize))
    .timer(|d, socket, at, which| {
        timer(d, socket, at as usize, which);
        deliver::owed(d, at as usize, socket);
    })
    .shutdown(|d, socket, at| shutdown(d, socket, at as usize))
    .close(|d, socket, at, close| closed(d, socket, at as usize, &close))
    .replaced(|cx, socket, at| replaced(cx, socket, at as usize))
    .describe(|cx, socket, at| {
        let (layer, _) = cx.layer(&HTTP);
        layer.conn(at as usize, socket).map_or_else(String::new, |c| c.describe())
    });

/// Room again.
fn drain(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    conn.full = false;
    let (key, pipe) = (conn.key(at), conn.reply_pipe);
    d.cx().socket(socket).clear_timer(STALL);
    if let Some(pipe) = pipe {
        pipe.drained(d);
        d.settle();
    }
    deliver::call(d, key, |h, x| h.on_drain(x));
    deliver::owed(d, at, socket);
    over::resume(&mut d.cx(), at, socket);
    let (layer, _) = d.layer(&HTTP);
    let idle = layer.conns.get(at).filter(|c| c.socket == socket && c.phase == Phase::Idle);
    if let Some(keep_alive) = idle.map(|c| layer.options(c).keep_alive_timeout) {
        clock::set(&mut d.cx(), socket, DEADLINE, clock::kept(keep_alive));
    }
}

fn timer(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, which: u64) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    let late = |what| Refusal::new(408, what);
    match (which, conn.phase) {
        (DEADLINE, Phase::Head) => refuse::refuse(d, at, socket, late("the head took too long")),
        (DEADLINE, Phase::Idle) if conn.number == 1 => {
            refuse::refuse(d, at, socket, late("no request came"));
        }
        (DEADLINE, Phase::Idle) if !conn.full => {
            let mut cx = d.cx();
            let mut s = cx.socket(socket);
            let (waiting, out) = (s.buffered(), s.bytes_written());
            if waiting == 0 {
                return idle(d, socket);
            }
            // The answer is not out: that of writes runs.
            let (layer, _) = d.layer(&HTTP);
            let timeout = layer.conns.get(at).map(|c| layer.options(c).write_timeout);
            if let Some(conn) = layer.conn(at, socket) {
                conn.out_before = out;
            }
            clock::set(&mut d.cx(), socket, STALL, timeout.unwrap_or_default());
        }
        (REQUEST, Phase::Head | Phase::Handling | Phase::Discarding(_)) if conn.timed => {
            refuse::refuse(d, at, socket, late("the request took too long"));
        }
        (STALL, _) => stalled(d, socket, at),
        (WAKE, _) => {}
        (HOLD, _) => limited::go_on(d, socket, at),
        _ => {}
    }
}

/// No request came.
fn idle(d: &mut Dispatch<'_>, socket: SocketKey) {
    d.layer(&HTTP).0.metrics.idle_closed += 1;
    d.cx().socket(socket).destroy();
}

/// Bytes wait, or did: whether some went out since it was looked at.
fn stalled(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let mut cx = d.cx();
    let mut s = cx.socket(socket);
    let (waiting, out) = (s.buffered(), s.bytes_written());
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    if waiting == 0 {
        if conn.phase == Phase::Idle {
            idle(d, socket);
        }
        return;
    }
    if conn.out_before == out {
        return cx.socket(socket).reset();
    }
    conn.out_before = out;
    let timeout = layer.conns.get(at).map(|c| layer.options(c).write_timeout);
    clock::set(&mut cx, socket, STALL, timeout.unwrap_or_default());
}

/// The server shuts down: who waits for a request is closed, the others after their answer.
fn shutdown(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    conn.shutting = true;
    if conn.phase == Phase::Idle {
        over::close(&mut d.cx(), at, socket);
    }
}

/// The connection is over.
fn closed(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, close: &Close) {
    let (layer, mut driver) = d.layer(&HTTP);
    if layer.conn(at, socket).is_none() {
        return;
    }
    let mut conn = layer.conns.remove(at);
    let key = conn.key(at);
    let broke = matches!(conn.phase, Phase::Handling | Phase::Broken);
    if broke {
        layer.metrics.in_flight -= 1;
        layer.metrics.broken += 1;
        driver.emit(|| HttpEvent::Broken { exchange: key });
    }
    if matches!(close.reason, Reason::WriteLimit { .. }) {
        driver.unhandled("tidegate::http", "write limit", format_args!("{}", close.reason));
    }
    if let Some(before) = conn.over.take() {
        deliver::ended(d, *before);
    }
    if broke {
        let broken = match conn.refused {
            Some(why) => Broken::Refused(why),
            None => Broken::Connection(close.reason.clone()),
        };
        let over = Over {
            handler: conn.handler.take(),
            body_pipe: conn.body_pipe.take(),
            reply_pipe: conn.reply_pipe.take(),
            broken: Some(broken),
        };
        debug_assert!(conn.reply != Reply::Done || over.broken.is_some());
        deliver::ended(d, over);
    }
}

/// Another protocol takes the connection.
fn replaced(cx: &mut Cx<'_>, socket: SocketKey, at: usize) {
    let (layer, mut d) = cx.layer(&HTTP);
    if layer.conn(at, socket).is_some() {
        let conn = layer.conns.remove(at);
        layer.metrics.in_flight -=
            usize::from(matches!(conn.phase, Phase::Handling | Phase::Broken));
        d.bury((conn.handler, conn.over));
        clock::clear(cx, socket);
    }
}
