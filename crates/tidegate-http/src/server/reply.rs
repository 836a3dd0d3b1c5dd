//! Responses are written. During a read of a connection its output is collected, and sent by one call
//! at the end of the read; at other times it is sent at once.
#![forbid(unsafe_code)]

use slab::Slab;
use tidegate_loop::Cx;
use tidegate_net::{Net, SocketKey};
use tidegate_stream::{Chunk, Flow};

use crate::codec::{Answering, EncodeError, Encoder, Field, Frame, Length};
use crate::exchange::error::HttpError;
use crate::exchange::key::ExchangeKey;
use crate::exchange::response::Response;
use crate::message::version::Version;
use crate::server::{clock, over};
use crate::state::conn::{After, Body, Conn, DISCARDED, Phase, Reading, Reply};
use crate::state::date::Date;
use crate::state::layer::{HTTP, Layer, Server};
use crate::state::prepared::Prepared;

/// A part of a body up to this size is copied to what is gathered; a larger one leaves beside it.
const SMALL: usize = 4 * 1024;

/// What is gathered leaves when it is this long.
pub(super) const FLUSH: usize = 64 * 1024;

/// Whether the connection is to live on after the response that begins.
fn keeps(conn: &Conn, response: &Response<'_>) -> bool {
    let unread = match conn.body {
        Body::Unasked => conn.request.length.is_some_and(|n| n > DISCARDED),
        // The client may send it, or not.
        Body::Expected => true,
        _ => false,
    };
    let asked = response.keep_alive && conn.request.answering.keep_alive;
    asked && conn.number < conn.last && conn.reading != Reading::Ended && !unread
}

/// Writes the head of the response.
#[inline(always)]
fn begin(
    conn: &mut Conn,
    servers: &Slab<Server>,
    out: &mut Vec<u8>,
    (date, prepared): (&Date, &mut Prepared),
    response: &Response<'_>,
    length: Length,
) -> Result<(), HttpError> {
    if conn.reply.has_begun() {
        return Err(EncodeError::Order.into());
    }
    let hint = servers.get(conn.server).map_or(0, |s| s.options.hint());
    let to = Answering { keep_alive: keeps(conn, response), hint, ..conn.request.answering };
    let (date, until) = (date.text(), date.until());
    let goes_on = match length {
        Length::Known(length) if prepared.is_of(response, to, until) => {
            conn.encoder.begin_known(length)?;
            prepared.write(out, length)
        }
        _ => {
            let encoder = &mut conn.encoder;
            another(encoder, out, (date, until, prepared), (response, to, length))?
        }
    };
    conn.reply = Reply::Begun(if goes_on { After::Next } else { After::Close });
    conn.status = response.status;
    Ok(())
}

/// Writes a head that is another one than that before, and keeps it. Whether the connection goes on
/// after the response.
#[inline(never)]
fn another(
    encoder: &mut Encoder,
    out: &mut Vec<u8>,
    (date, until, prepared): (&[u8; 29], u64, &mut Prepared),
    (response, to, length): (&Response<'_>, Answering, Length),
) -> Result<bool, EncodeError> {
    let (from, fields) = (out.len(), response.fields());
    let goes_on = encoder.response(out, to, response.status, length, Some(date), fields)?;
    if let Length::Known(length) = length {
        prepared.keep(&out[from..], response, to, until, (length, goes_on));
    }
    Ok(goes_on)
}

/// The response in one piece.
pub(crate) fn whole(
    cx: &mut Cx<'_>,
    key: ExchangeKey,
    response: &Response<'_>,
    body: Chunk<'_>,
) -> Result<(), HttpError> {
    let len = body.bytes().len();
    if len > 0 && matches!(response.status, 204 | 304) {
        return Err(EncodeError::NoBody.into());
    }
    let length = match response.length {
        // What a GET would get, to a HEAD.
        Some(length) if len == 0 => length,
        _ => len as u64,
    };
    let (layer, mut d) = cx.layer(&HTTP);
    let Layer { conns, servers, output, date, prepared, metrics, .. } = layer;
    let conn = conns.get_mut(key.at()).filter(|c| c.is_in(key)).ok_or(HttpError::Closed)?;
    let (gathers, out) = (output.gathers(key.at()), output.of(key.at()));
    begin(conn, servers, out, (date.at(d.moment()), prepared), response, Length::Known(length))?;
    if gathers && len <= SMALL && out.len() + len < FLUSH {
        // It waits for the end of the read, as the head does.
        conn.encoder.body(out, body.bytes())?;
        conn.bytes = len as u64;
        if conn.encoder.end(out, []).is_ok() {
            if over::written(conn) {
                over::close_exchange(conn, key, Some(&mut output.answered), metrics, &mut d);
            }
            return Ok(());
        }
    } else if len > 0 {
        let _ = data(cx, key, body);
    }
    match end(cx, key, []) {
        // It was announced, and does not come.
        Err(HttpError::Encode(EncodeError::TooShort)) => reset(cx, key),
        done => done?,
    }
    Ok(())
}

/// As [`start`], asked for by the user. A client that waits with its body gets 100 first, if the
/// answer is none that refuses it: behind the head of the answer it could not come any more.
pub(crate) fn start_by_user(
    cx: &mut Cx<'_>,
    key: ExchangeKey,
    response: &Response<'_>,
) -> Result<(), HttpError> {
    let (layer, _) = cx.layer(&HTTP);
    let waits = layer.exchange(key).filter(|c| c.body == Body::Expected && !c.reply.has_begun());
    if let Some(conn) = waits.filter(|_| response.status < 300) {
        conn.body = Body::Unasked;
        inform(cx, key, 100, [])?;
    }
    start(cx, key, response)
}

/// Begins a response that is written in parts.
pub(crate) fn start(
    cx: &mut Cx<'_>,
    key: ExchangeKey,
    response: &Response<'_>,
) -> Result<(), HttpError> {
    let (layer, d) = cx.layer(&HTTP);
    let length = response.length.map_or(Length::Unknown, Length::Known);
    let Layer { conns, servers, output, date, prepared, .. } = layer;
    let conn = conns.get_mut(key.at()).filter(|c| c.is_in(key)).ok_or(HttpError::Closed)?;
    let out = output.of(key.at());
    begin(conn, servers, out, (date.at(d.moment()), prepared), response, length)?;
    send(cx, key.at(), key.socket);
    Ok(())
}

/// A part of the body.
pub(crate) fn data(cx: &mut Cx<'_>, key: ExchangeKey, part: Chunk<'_>) -> Result<Flow, HttpError> {
    let (layer, _) = cx.layer(&HTTP);
    let conn = layer.exchange(key).ok_or(HttpError::Closed)?;
    let len = part.bytes().len();
    let frame = conn.encoder.data(len)?;
    conn.bytes += len as u64;
    if !frame.is_sent() {
        return Ok(if conn.full { Flow::Full } else { Flow::Ready });
    }
    Ok(push(cx, key.at(), key.socket, Some(frame), part))
}

/// The end of the body.
pub(crate) fn end<'f>(
    cx: &mut Cx<'_>,
    key: ExchangeKey,
    trailers: impl IntoIterator<Item = Field<'f>>,
) -> Result<(), HttpError> {
    let (layer, _) = cx.layer(&HTTP);
    let Layer { conns, output, .. } = layer;
    let conn = conns.get_mut(key.at()).filter(|c| c.is_in(key)).ok_or(HttpError::Closed)?;
    conn.encoder.end(output.of(key.at()), trailers)?;
    send(cx, key.at(), key.socket);
    over::replied(cx, key);
    Ok(())
}

/// An informational response; the answer is still to come.
pub(crate) fn inform<'f>(
    cx: &mut Cx<'_>,
    key: ExchangeKey,
    status: u16,
    fields: impl IntoIterator<Item = Field<'f>>,
) -> Result<(), HttpError> {
    let (layer, _) = cx.layer(&HTTP);
    let Layer { conns, output, .. } = layer;
    let conn = conns.get_mut(key.at()).filter(|c| c.is_in(key)).ok_or(HttpError::Closed)?;
    if conn.reply.has_begun() {
        return Err(EncodeError::Order.into());
    }
    if !(100..200).contains(&status) || status == 101 {
        return Err(EncodeError::Status.into());
    }
    // HTTP/1.0 does not know them.
    if conn.request.answering.version == Version::Http11 {
        conn.encoder.informational(output.of(key.at()), status, fields)?;
        send(cx, key.at(), key.socket);
    }
    Ok(())
}

/// The peer must see that the response is not whole.
pub(crate) fn reset(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    if let Some(conn) = layer.exchange(key) {
        conn.phase = Phase::Broken(None);
        layer.output.of(key.at()).clear();
        cx.socket(key.socket).reset();
    }
}

/// The answer to what is no request. The connection closes after it.
pub(super) fn refusal(cx: &mut Cx<'_>, at: usize, socket: SocketKey, status: u16, text: &str) {
    let (layer, d) = cx.layer(&HTTP);
    let date = *layer.date.at(d.moment()).text();
    let out = layer.output.of(at);
    let to = Answering { keep_alive: false, ..Answering::default() };
    let length = Length::Known(text.len() as u64 + 1);
    let fields = [("Content-Type", &b"text/plain"[..])];
    if Encoder::new().response(out, to, status, length, Some(&date), fields).is_ok() {
        out.extend_from_slice(text.as_bytes());
        out.push(b'\n');
    }
    send(cx, at, socket);
}

/// What was encoded leaves now or is gathered.
#[inline]
fn send(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let output = &mut cx.layer(&HTTP).0.output;
    if !(output.gathers(at) && output.of(at).len() < FLUSH) {
        let _ = push(cx, at, socket, None, Chunk::Lent(&[]));
    }
}

/// What was encoded, and then a part of a body, leaves now or is gathered.
fn push(
    cx: &mut Cx<'_>,
    at: usize,
    socket: SocketKey,
    frame: Option<Frame>,
    part: Chunk<'_>,
) -> Flow {
    let (layer, _) = cx.layer(&HTTP);
    let gathers = layer.output.gathers(at);
    let out = layer.output.of(at);
    let (before, after) = frame.as_ref().map_or((&[][..], &[][..]), |f| (f.before(), f.after()));
    let small = part.bytes().len() <= SMALL;
    if small {
        for piece in [before, part.bytes(), after] {
            out.extend_from_slice(piece);
        }
        if gathers && out.len() < FLUSH {
            let full = layer.conns.get(at).is_some_and(|c| c.full);
            return if full { Flow::Full } else { Flow::Ready };
        }
    }
    let mut bytes = std::mem::take(out);
    let mut s = cx.socket(socket);
    let flow = match (small, bytes.is_empty() && before.is_empty()) {
        (true, true) => Flow::Ready,
        (true, false) => s.write(&bytes),
        (false, true) => s.write(part),
        (false, false) => s.write_gathered(&[(&bytes).into(), before.into(), part, after.into()]),
    };
    bytes.clear();
    *cx.layer(&HTTP).0.output.of(at) = bytes;
    written(cx, at, socket, flow);
    flow
}

/// What was gathered leaves.
#[inline]
pub(crate) fn flush(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let out = cx.layer(&HTTP).0.output.of(at);
    if out.is_empty() {
        return;
    }
    let mut bytes = std::mem::take(out);
    let flow = cx.socket(socket).write(&bytes);
    bytes.clear();
    *cx.layer(&HTTP).0.output.of(at) = bytes;
    written(cx, at, socket, flow);
}

/// Notes what a write returned.
#[inline]
fn written(cx: &mut Cx<'_>, at: usize, socket: SocketKey, flow: Flow) {
    if flow != Flow::Ready {
        not_ready(cx, at, socket, flow);
    }
}

#[cold]
fn not_ready(cx: &mut Cx<'_>, at: usize, socket: SocketKey, flow: Flow) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    match flow {
        // The connection is over, and its close is to come.
        Flow::Closed if conn.phase == Phase::Handling => conn.phase = Phase::Broken(None),
        // The clock runs since the first: more writes must not move it.
        Flow::Full if !conn.full => {
            conn.full = true;
            clock::watch_writes(cx, at, socket);
        }
        _ => {}
    }
}
