//! Who takes the request's body, and who gives the response's: a handler, or pipes by [`BodyEnd`]
//! and [`ReplyEnd`].
#![forbid(unsafe_code)]

use bytes::Bytes;
use tidegate_loop::Cx;
use tidegate_net::Net;
use tidegate_stream::{Chunk, Flow, PipeKey, ReadEnd, StreamError, WriteEnd};

use crate::callbacks::handler::ExchangeHandler;
use crate::exchange::error::HttpError;
use crate::exchange::key::ExchangeKey;
use crate::exchange::response::Response;
use crate::server::{over, reply};
use crate::state::conn::{Body, Over, Reading, Reply};
use crate::state::layer::HTTP;

/// The body of a request, as the end of a pipe. See
/// [`ExchangeCx::body_end`](crate::ExchangeCx::body_end).
///
/// ```
/// fn from<E: tidegate_stream::ReadEnd>(end: E) {}
/// # let _ = from::<tidegate_http::BodyEnd>;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BodyEnd(pub(crate) ExchangeKey);

/// The body of a response, as the end of a pipe. If the response has not begun, it begins with the
/// status 200. A pipe that fails resets the connection, so that the client does not take a part for
/// the whole. See [`ExchangeCx::reply_end`](crate::ExchangeCx::reply_end).
///
/// ```
/// fn to<E: tidegate_stream::WriteEnd>(end: E) {}
/// # let _ = to::<tidegate_http::ReplyEnd>;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ReplyEnd(pub(crate) ExchangeKey);

/// This handler is called for the exchange from now on, and wants the body.
pub(crate) fn handle(cx: &mut Cx<'_>, key: ExchangeKey, handler: Box<dyn ExchangeHandler>) {
    let (layer, mut d) = cx.layer(&HTTP);
    let Some(conn) = layer.exchange(key) else { return d.bury(handler) };
    if let Some(old) = conn.handler.replace(handler) {
        d.bury(old);
    }
    if conn.body == Body::Read {
        conn.body = Body::EndOwed;
    }
    want(cx, key);
}

/// The request's body is wanted from now on.
fn want(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    let gathers = layer.output.gathers(key.at());
    let Some(conn) = layer.exchange(key) else { return };
    if conn.reply == Reply::Unclaimed {
        conn.reply = Reply::Claimed;
    }
    if conn.body.is_read() {
        // A dispatch tells that there is nothing more.
        if !gathers {
            cx.socket(key.socket).wake();
        }
        return;
    }
    let expected = conn.body == Body::Expected && !conn.reply.has_begun();
    conn.body = Body::Flowing;
    if expected {
        let _ = reply::inform(cx, key, 100, []);
    }
    over::resume(cx, key.at(), key.socket);
}

/// Stops the body for now.
pub(crate) fn pause(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    let gathers = layer.output.gathers(key.at());
    let Some(conn) = layer.exchange(key) else { return };
    if conn.body == Body::Flowing {
        conn.body = Body::Paused;
        // While bytes are read, what is left of them decides.
        if !gathers {
            conn.reading = Reading::Paused;
            cx.socket(key.socket).pause();
        }
    }
}

pub(crate) fn unpause(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.exchange(key) else { return };
    if conn.body == Body::Paused {
        conn.body = Body::Flowing;
        over::resume(cx, key.at(), key.socket);
    }
}

/// The rest of the body is dropped.
pub(crate) fn discard(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.exchange(key) else { return };
    if matches!(conn.body, Body::Flowing | Body::Paused) {
        conn.body = Body::Unasked;
        if matches!(conn.reply, Reply::Done(_)) {
            over::complete(cx, key);
        }
    }
}

/// The deadline of an answer has passed: 503, or a reset if the answer has begun.
pub(crate) fn time_out(cx: &mut Cx<'_>, key: ExchangeKey) {
    match cx.layer(&HTTP).0.exchange(key).map(|c| c.reply) {
        Some(Reply::Unclaimed | Reply::Claimed) => {
            let _ = reply::whole(cx, key, &Response::new(503).close(), "".into());
        }
        Some(Reply::Begun(_)) => reply::reset(cx, key),
        // The rest of the body is what takes so long.
        Some(Reply::Done(_)) => discard(cx, key),
        None => {}
    }
}

impl ReadEnd for BodyEnd {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<(), StreamError> {
        let (layer, _) = cx.layer(&HTTP);
        let conn = layer.exchange(self.0).ok_or(StreamError::Closed)?;
        if conn.body_pipe.is_some() {
            return Err(StreamError::Piped);
        }
        conn.body_pipe = Some(pipe);
        want(cx, self.0);
        Ok(())
    }

    fn pause(&self, cx: &mut Cx<'_>) {
        pause(cx, self.0);
    }

    fn resume(&self, cx: &mut Cx<'_>) {
        unpause(cx, self.0);
    }

    /// The rest of the body is dropped; the response may still be written.
    fn destroy(&self, cx: &mut Cx<'_>, _: &StreamError) {
        let (layer, _) = cx.layer(&HTTP);
        let gathers = layer.output.gathers(self.0.at());
        let Some(conn) = layer.exchange(self.0) else { return };
        let Some(pipe) = conn.body_pipe.take() else { return };
        conn.owed.push(Over { body_pipe: Some(pipe), ..Over::default() });
        discard(cx, self.0);
        if !gathers {
            cx.socket(self.0.socket).wake();
        }
    }
}

/// The answer of a pipe begins, unless it has.
fn begin(cx: &mut Cx<'_>, key: ExchangeKey) -> Result<(), HttpError> {
    match cx.layer(&HTTP).0.exchange(key).map(|c| c.reply) {
        Some(Reply::Unclaimed | Reply::Claimed) => reply::start(cx, key, &Response::new(200)),
        _ => Ok(()),
    }
}

impl WriteEnd for ReplyEnd {
    fn attach(&self, cx: &mut Cx<'_>, pipe: PipeKey) -> Result<Flow, StreamError> {
        let (layer, _) = cx.layer(&HTTP);
        let conn = layer.exchange(self.0).ok_or(StreamError::Closed)?;
        if conn.reply_pipe.is_some() {
            return Err(StreamError::Piped);
        }
        match conn.reply {
            Reply::Done(_) => return Err(StreamError::Closed),
            Reply::Begun(_) => {}
            // The client waits for 100, which comes when the body is wanted: the answer behind it.
            _ if conn.body == Body::Expected => conn.reply = Reply::Claimed,
            Reply::Unclaimed | Reply::Claimed => {
                let started = begin(cx, self.0);
                started.map_err(|e| StreamError::from(std::io::Error::from(e)))?;
            }
        }
        let conn = cx.layer(&HTTP).0.exchange(self.0).ok_or(StreamError::Closed)?;
        conn.reply_pipe = Some(pipe);
        Ok(if conn.full { Flow::Full } else { Flow::Ready })
    }

    /// All of it or nothing: the size of a chunk stands before it.
    fn try_write(&self, cx: &mut Cx<'_>, data: &[u8]) -> usize {
        let (layer, _) = cx.layer(&HTTP);
        if layer.exchange(self.0).is_none_or(|c| c.full) {
            return 0;
        }
        let sent = begin(cx, self.0).and_then(|()| reply::data(cx, self.0, Chunk::Lent(data)));
        match sent {
            Ok(Flow::Closed) | Err(_) => 0,
            Ok(_) => data.len(),
        }
    }

    fn write(&self, cx: &mut Cx<'_>, data: Bytes) -> Flow {
        let sent = begin(cx, self.0).and_then(|()| reply::data(cx, self.0, Chunk::Shared(data)));
        sent.unwrap_or_else(|_| {
            // More than was announced: no pipe can go on.
            reply::reset(cx, self.0);
            Flow::Closed
        })
    }

    fn end(&self, cx: &mut Cx<'_>) {
        if begin(cx, self.0).and_then(|()| reply::end(cx, self.0, [])).is_err() {
            reply::reset(cx, self.0);
        }
    }

    fn destroy(&self, cx: &mut Cx<'_>, _: &StreamError) {
        reply::reset(cx, self.0);
    }
}
