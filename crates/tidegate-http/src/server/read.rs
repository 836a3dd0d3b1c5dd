//! Decodes the bytes of a connection, one message after the other. The next request is decoded when
//! the exchange before it is over. Until then its bytes go back to the connection, which is paused.
//! So order, limits and back-pressure are those of one exchange.
//!
//! Responses written during one read are collected, and sent by one call at its end.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::kind::Dispatch;
use tidegate_net::{Net, SocketKey};

use crate::callbacks::contexts::Exchange;
use crate::codec::{Answering, Event, Expect, Fields, Framing, RequestHead};
use crate::exchange::event::HttpEvent;
use crate::exchange::key::ExchangeKey;
use crate::exchange::response::Response;
use crate::message::refusal::Refusal;
use crate::server::{clock, deliver, limited, over, refuse, reply};
use crate::state::clocks::Clock;
use crate::state::conn::{Body, Phase, Reading, Reply, Request, Unread};
use crate::state::layer::{HTTP, Layer};

/// Why the bytes are left that are left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// They are the beginning of something.
    Begun,
    /// They come too early.
    Early,
    /// They are dropped.
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
        if finish(d, socket, at, &bytes[n..], left) {
            keep(d, socket, at, bytes[n..].to_vec());
        }
    } else {
        let mut all = std::mem::take(&mut conn.rest);
        all.extend_from_slice(bytes);
        let (n, left) = decode(d, socket, at, &all);
        if finish(d, socket, at, &all[n..], left) {
            all.drain(..n);
            keep(d, socket, at, all);
        }
    }
}

/// Keeps the beginning of something.
fn keep(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, rest: Vec<u8>) {
    if let Some(conn) = d.layer(&HTTP).0.conn(at, socket) {
        conn.rest = rest;
    }
}

/// Decodes as much as is wanted; how many bytes that were.
fn decode(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, bytes: &[u8]) -> (usize, Left) {
    let mut pos = 0;
    let (mut fields, mut before) = (Fields::new(), None);
    loop {
        let (layer, _) = d.layer(&HTTP);
        let Some(conn) = layer.conn(at, socket) else { return (pos, Left::HandedOver) };
        let key = conn.key(at);
        match conn.phase {
            Phase::Closing(_) | Phase::Ending(_) | Phase::Draining | Phase::Broken(_) => {
                return (pos, Left::Closing);
            }
            _ if conn.owes() => {
                deliver::owed(d, at, socket);
                continue;
            }
            Phase::Idle | Phase::Head if conn.full || conn.held => return (pos, Left::Early),
            Phase::Handling if conn.body != Body::Flowing => return (pos, Left::Early),
            _ => {}
        }
        if pos == bytes.len() && !conn.decoder.is_body_done() {
            return (pos, Left::Begun);
        }
        let (n, event) = conn.decoder.next_of_many(&bytes[pos..], &mut fields, &mut before);
        pos += n;
        match &event {
            Event::More => {
                if conn.phase == Phase::Idle && conn.decoder.is_in_head() {
                    begin_head(d, socket, at);
                }
                return (pos, Left::Begun);
            }
            Event::Head(head) => request(d, key, head, pos < bytes.len()),
            Event::Body(part) => match &mut conn.phase {
                Phase::Discarding(left) => match left.checked_sub(part.len() as u64) {
                    Some(fewer) => *left = fewer,
                    None => conn.phase = Phase::Closing(Unread::Something),
                },
                _ => deliver::body(d, key, part),
            },
            Event::Trailers(fields) => deliver::trailers(d, key, *fields),
            Event::End => match conn.phase {
                Phase::Handling => deliver::end_of_body(d, key),
                // The server shut down meanwhile.
                _ if conn.number > conn.last => conn.phase = Phase::Closing(Unread::Nothing),
                _ => {
                    conn.clocks.clear(Clock::Request);
                    conn.phase = Phase::Idle;
                }
            },
            Event::Refused(why) => refuse::refuse(d, at, socket, *why),
        }
    }
}

/// What was written leaves. Bytes that come too early go back. Whether those that are left are to be
/// kept.
fn finish(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, rest: &[u8], left: Left) -> bool {
    reply::flush(&mut d.cx(), at, socket);
    let (layer, driver) = d.layer(&HTTP);
    let noted = driver.moment();
    layer.output.gathering = None;
    let answered = std::mem::take(&mut layer.output.answered);
    if answered > 0 {
        let elapsed = driver.clock_nanos().saturating_sub(driver.nanos());
        layer.metrics.durations.record_many(Duration::from_nanos(elapsed), answered);
    }
    if left == Left::HandedOver {
        d.cx().socket(socket).unread(rest);
        return false;
    }
    let Some(conn) = layer.conn(at, socket) else { return false };
    match left {
        Left::Early if !rest.is_empty() || conn.body == Body::Paused || conn.held => {
            conn.reading = Reading::Paused;
            let mut cx = d.cx();
            let mut s = cx.socket(socket);
            s.unread(rest);
            s.pause();
        }
        Left::Closing => {
            match &mut conn.phase {
                Phase::Closing(unread) => {
                    if !rest.is_empty() {
                        *unread = Unread::Something;
                    }
                    over::close(&mut d.cx(), at, socket);
                }
                Phase::Ending(unread) if !rest.is_empty() => *unread = Unread::Something,
                _ => {}
            }
            return false;
        }
        _ => {}
    }
    let (layer, _) = d.layer(&HTTP);
    let Some((conn, o)) = layer.with_options(at, socket) else { return false };
    if conn.waits_for_request() && conn.number > 1 {
        if let Some(time) = conn.clocks.set(Clock::Head, noted, o.kept_nanos()) {
            clock::push(&mut d.cx(), (time, socket, at));
        }
    }
    left == Left::Begun && !rest.is_empty()
}

/// A part of a head came.
#[cold]
fn begin_head(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, _) = d.layer(&HTTP);
    let Some((conn, o)) = layer.with_options(at, socket) else { return };
    let (headers_timeout, request_timeout) = (o.headers_timeout, o.request_timeout);
    conn.phase = Phase::Head;
    // That of the first one runs since the connection was accepted.
    if conn.number > 1 {
        clock::set(&mut d.cx(), at, socket, Clock::Head, headers_timeout);
    }
    clock::set(&mut d.cx(), at, socket, Clock::Request, request_timeout);
}

/// The head of a request came; `more`: something behind it is there already.
fn request(d: &mut Dispatch<'_>, key: ExchangeKey, head: &RequestHead<'_>, more: bool) {
    let (layer, mut driver) = d.layer(&HTTP);
    let Layer { conns, servers, metrics, .. } = layer;
    let Some(conn) = conns.get_mut(key.at()) else { return };
    let Some(server) = servers.get_mut(conn.server) else { return };
    conn.phase = Phase::Handling;
    conn.reply = Reply::Unclaimed;
    conn.bytes = 0;
    conn.clocks.clear(Clock::Head);
    conn.request = Request {
        answering: Answering::from(head),
        is_connect: head.is_connect(),
        length: match head.framing {
            Framing::Length(n) => Some(n),
            _ => None,
        },
        since: driver.nanos(),
    };
    let mut clock = None;
    if conn.decoder.take_end() {
        conn.body = Body::Read;
        conn.clocks.clear(Clock::Request);
    } else {
        let waits = head.expect == Expect::Continue && !more;
        conn.body = if waits { Body::Expected } else { Body::Unasked };
        clock = (!conn.clocks.is_on(Clock::Request)).then_some(server.options.request_timeout);
    }
    metrics.requests += u64::from(conn.counted);
    metrics.reused += u64::from(conn.counted && key.number() > 1);
    metrics.in_flight += 1;
    let (place, handler) = (conn.server, server.handler.take());
    let is_limited = server.limiter.is_some();
    driver.emit(|| HttpEvent::Request {
        exchange: key,
        method: head.method.to_owned(),
        target: head.target.to_owned(),
        headers: head.fields.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect(),
    });
    if let Some(timeout) = clock {
        clock::set(&mut d.cx(), key.at(), key.socket, Clock::Request, timeout);
    }
    if is_limited {
        if let Some(wait) = limited::wait(&mut d.cx(), place, key.socket) {
            deliver::server_back(d, place, handler);
            return limited::refuse(d, key, wait);
        }
    }
    if head.expect == Expect::Unknown {
        deliver::server_back(d, place, handler);
        let _ = reply::whole(&mut d.cx(), key, &Response::new(417), "".into());
        return;
    }
    if let Some(handler) = handler {
        let back = |d: &mut Dispatch<'_>, handler| deliver::server_back(d, place, Some(handler));
        d.lend(handler, |cx, h| h.on_request(head, Exchange::new(cx, key)), back, back);
    }
    let (layer, mut driver) = d.layer(&HTTP);
    // Most are over by now.
    if layer.exchange(key).is_some_and(|c| c.reply == Reply::Unclaimed) {
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
    conn.reading = Reading::Ended;
    match (conn.phase, conn.body) {
        (Phase::Handling, body) if body.is_read() => {}
        (Phase::Handling, _) => {
            let text = "the end inside of a request";
            let error = std::io::Error::new(std::io::ErrorKind::UnexpectedEof, text);
            d.cx().socket(socket).destroy_with(error);
        }
        (Phase::Head, _) => {
            refuse::refuse(d, at, socket, Refusal::new(400, "the end inside of a head"))
        }
        (Phase::Idle | Phase::Discarding(_), _) => over::close(&mut d.cx(), at, socket),
        _ => {}
    }
}
