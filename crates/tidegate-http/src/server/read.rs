//! Bytes of a connection: one message after the other. The next request is looked at when the
//! exchange before it is over; until then its bytes go back to the connection, which is paused. So
//! order, limits and back-pressure are those of one exchange.
//!
//! Responses that are written meanwhile are gathered, and leave in one call at the end.
#![forbid(unsafe_code)]

use tidegate_loop::kind::Dispatch;
use tidegate_net::{Net, SocketKey};

use crate::callbacks::contexts::Exchange;
use crate::codec::{Answering, Event, Expect, Fields, Framing, RequestHead};
use crate::exchange::event::HttpEvent;
use crate::exchange::key::ExchangeKey;
use crate::exchange::response::Response;
use crate::message::refusal::Refusal;
use crate::server::clock::{self, DEADLINE, REQUEST};
use crate::server::{deliver, limited, over, refuse, reply};
use crate::state::conn::{Phase, Reply, Wanted};
use crate::state::layer::HTTP;

/// Why the bytes are left that are left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// They are the beginning of something.
    Begun,
    /// They come too early.
    Early,
    /// Nobody reads them.
    Closing,
    /// The connection belongs to another protocol.
    HandedOver,
}

/// Bytes came.
pub(super) fn data(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, bytes: &mut [u8]) {
    let cut_off = |d: &mut Dispatch<'_>| {
        let (layer, _) = d.layer(&HTTP);
        layer.output.of(at).clear();
        layer.output.gathering = None;
    };
    d.guard(|d| receive(d, socket, at, bytes), cut_off);
}

fn receive(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, bytes: &[u8]) {
    let (layer, _) = d.layer(&HTTP);
    layer.output.gathering = Some(at);
    let Some(conn) = layer.conn(at, socket) else { return };
    if conn.rest.is_empty() {
        let (n, left) = decode(d, socket, at, bytes);
        finish(d, socket, at, &bytes[n..], left);
    } else {
        let mut all = std::mem::take(&mut conn.rest);
        all.extend_from_slice(bytes);
        let (n, left) = decode(d, socket, at, &all);
        finish(d, socket, at, &all[n..], left);
    }
}

/// Decodes as much as is wanted; how many bytes that were.
fn decode(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, bytes: &[u8]) -> (usize, Left) {
    let mut pos = 0;
    loop {
        let (layer, _) = d.layer(&HTTP);
        let Some(conn) = layer.conn(at, socket) else { return (pos, Left::HandedOver) };
        if conn.owes() {
            deliver::owed(d, at, socket);
            continue;
        }
        let key = conn.key(at);
        match conn.phase {
            Phase::Closing | Phase::Broken => return (pos, Left::Closing),
            Phase::Idle | Phase::Head if conn.full || conn.held => return (pos, Left::Early),
            Phase::Handling if conn.body != Wanted::Yes => return (pos, Left::Early),
            _ => {}
        }
        if pos == bytes.len() && !conn.decoder.is_body_done() {
            return (pos, Left::Begun);
        }
        let mut fields = Fields::new();
        let (n, event) = conn.decoder.next(&bytes[pos..], &mut fields);
        pos += n;
        match event {
            Event::More => {
                let begins = conn.phase == Phase::Idle && conn.decoder.is_in_head();
                if begins {
                    begin_head(d, socket, at);
                }
                return (pos, Left::Begun);
            }
            Event::Head(head) => request(d, key, &head, pos < bytes.len()),
            Event::Body(part) => match &mut conn.phase {
                Phase::Discarding(left) => match left.checked_sub(part.len() as u64) {
                    Some(fewer) => *left = fewer,
                    None => {
                        conn.phase = Phase::Closing;
                        conn.clean = false;
                    }
                },
                _ => {
                    conn.expects = false;
                    deliver::body(d, key, part);
                }
            },
            Event::Trailers(fields) => deliver::trailers(d, key, fields),
            Event::End => match conn.phase {
                Phase::Handling => deliver::end_of_body(d, key),
                _ => conn.phase = Phase::Idle,
            },
            Event::Refused(why) => refuse::refuse(d, at, socket, why),
        }
    }
}

/// What was written leaves; bytes that are left are kept, or go back.
fn finish(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, rest: &[u8], left: Left) {
    reply::flush(&mut d.cx(), at, socket);
    let (layer, _) = d.layer(&HTTP);
    layer.output.gathering = None;
    if left == Left::HandedOver {
        return d.cx().socket(socket).unread(rest);
    }
    let Some(conn) = layer.conn(at, socket) else { return };
    match left {
        Left::Begun if !rest.is_empty() => conn.rest = rest.to_vec(),
        Left::Early if !rest.is_empty() || conn.body == Wanted::Paused => {
            conn.paused = true;
            let mut cx = d.cx();
            let mut s = cx.socket(socket);
            s.unread(rest);
            s.pause();
        }
        Left::Closing if conn.phase == Phase::Broken => return,
        Left::Closing => {
            conn.clean &= rest.is_empty();
            return over::close(&mut d.cx(), at, socket);
        }
        _ => {}
    }
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    // While answers wait, the clock of those runs.
    if conn.phase == Phase::Idle && conn.number > 1 && !conn.full {
        let keep_alive = layer.conns.get(at).map(|c| layer.options(c).keep_alive_timeout);
        clock::set(&mut d.cx(), socket, DEADLINE, clock::kept(keep_alive.unwrap_or_default()));
    }
}

/// A part of a head came.
#[cold]
fn begin_head(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    conn.phase = Phase::Head;
    conn.timed = true;
    let is_first = conn.number == 1;
    let Some(o) = layer.conns.get(at).map(|c| layer.options(c)) else { return };
    // That of the first one runs since the connection was accepted.
    if !is_first {
        clock::set(&mut d.cx(), socket, DEADLINE, o.headers_timeout);
    }
    clock::set(&mut d.cx(), socket, REQUEST, o.request_timeout);
}

/// The head of a request came; `more`: something behind it is there already.
fn request(d: &mut Dispatch<'_>, key: ExchangeKey, head: &RequestHead<'_>, more: bool) {
    let (layer, mut driver) = d.layer(&HTTP);
    let (at, now) = (key.at(), driver.nanos());
    let Some(conn) = layer.conns.get_mut(at) else { return };
    let was_timed = conn.timed;
    conn.phase = Phase::Handling;
    conn.reply = Reply::No;
    conn.answering = Answering::from(head);
    conn.connect = head.is_connect();
    conn.claimed = false;
    conn.bytes = 0;
    conn.since = now;
    conn.goes_on = true;
    if conn.decoder.is_body_done() {
        // The end needs no more bytes.
        let _ = conn.decoder.next(&[], &mut Fields::new());
        conn.body = Wanted::Done;
        conn.timed = false;
    } else {
        conn.body = Wanted::No;
        conn.timed = true;
        conn.expects = head.expect == Expect::Continue && !more;
        conn.length = match head.framing {
            Framing::Length(n) => Some(n),
            _ => None,
        };
    }
    let (timed, server) = (conn.timed, conn.server);
    layer.metrics.requests += 1;
    layer.metrics.reused += u64::from(key.number() > 1);
    layer.metrics.in_flight += 1;
    let taken =
        layer.servers.get_mut(server).map(|s| (s.handler.take(), s.options.request_timeout));
    driver.emit(|| HttpEvent::Request {
        exchange: key,
        method: head.method.to_owned(),
        target: head.target.to_owned(),
    });
    let Some((handler, request_timeout)) = taken else { return };
    match (was_timed, timed) {
        (false, true) => clock::set(&mut d.cx(), key.socket, REQUEST, request_timeout),
        (true, false) => d.cx().socket(key.socket).clear_timer(REQUEST),
        _ => {}
    }
    if let Some(wait) = limited::wait(&mut d.cx(), server, key.socket) {
        deliver::server_back(d, server, handler);
        return limited::refuse(d, key, wait);
    }
    if head.expect == Expect::Unknown {
        deliver::server_back(d, server, handler);
        let _ = reply::whole(&mut d.cx(), key, &Response::new(417), "".into());
        return;
    }
    if let Some(handler) = handler {
        let back = |d: &mut Dispatch<'_>, handler| deliver::server_back(d, server, Some(handler));
        d.lend(handler, |cx, h| h.on_request(head, Exchange::new(cx, key)), back, back);
    }
    let (layer, mut driver) = d.layer(&HTTP);
    if layer.exchange(key).is_some_and(|c| !c.claimed) {
        let text = format_args!("a request was not answered");
        driver.unhandled("tidegate::http", "a request was not answered", text);
        let _ = reply::whole(&mut d.cx(), key, &Response::new(500), "".into());
    }
    d.settle();
}

/// The peer ended.
pub(super) fn ended(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    conn.ended = true;
    match (conn.phase, conn.body) {
        (Phase::Handling, Wanted::Done) | (Phase::Closing | Phase::Broken, _) => {}
        (Phase::Head, _) => {
            refuse::refuse(d, at, socket, Refusal::new(400, "the end inside of a head"))
        }
        (Phase::Handling, _) => {
            let text = "the end inside of a request";
            let error = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text);
            d.cx().socket(socket).destroy_with(error);
        }
        (Phase::Idle | Phase::Discarding(_), _) => {
            conn.phase = Phase::Closing;
            d.cx().socket(socket).end();
        }
    }
}
