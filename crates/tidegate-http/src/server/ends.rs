//! The bodies of an exchange as ends of pipes: [`BodyEnd`] gives the request's, [`ReplyEnd`] takes
//! the response's.
#![forbid(unsafe_code)]

use bytes::Bytes;
use tidegate_loop::Cx;
use tidegate_net::Net;
use tidegate_stream::{Chunk, Flow, PipeKey, ReadEnd, StreamError, WriteEnd};

use crate::exchange::error::HttpError;
use crate::exchange::key::ExchangeKey;
use crate::exchange::response::Response;
use crate::server::{clock, over, reply};
use crate::state::conn::{Reply, Wanted};
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

/// Somebody wants the request's body. `false`: the exchange is over.
pub(crate) fn want(cx: &mut Cx<'_>, key: ExchangeKey) -> bool {
    let (layer, _) = cx.layer(&HTTP);
    let gathers = layer.output.gathers(key.at());
    let Some(conn) = layer.exchange(key) else { return false };
    conn.claimed = true;
    if conn.body == Wanted::Done {
        // A dispatch tells that there is nothing more.
        conn.owes_end = true;
        if !gathers {
            clock::wake(cx, key.socket);
        }
        return true;
    }
    conn.body = Wanted::Yes;
    let expects = std::mem::take(&mut conn.expects) && conn.reply == Reply::No;
    if expects {
        let _ = reply::inform(cx, key, 100, []);
    }
    over::resume(cx, key.at(), key.socket);
    true
}

/// Nobody wants the body now.
pub(crate) fn pause(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    let gathers = layer.output.gathers(key.at());
    let Some(conn) = layer.exchange(key) else { return };
    if conn.body == Wanted::Yes {
        conn.body = Wanted::Paused;
        if !gathers {
            conn.paused = true;
            cx.socket(key.socket).pause();
        }
    }
}

pub(crate) fn unpause(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.exchange(key) else { return };
    if conn.body == Wanted::Paused {
        conn.body = Wanted::Yes;
        over::resume(cx, key.at(), key.socket);
    }
}

/// The rest of the body is dropped.
pub(crate) fn discard(cx: &mut Cx<'_>, key: ExchangeKey) {
    let (layer, _) = cx.layer(&HTTP);
    let Some(conn) = layer.exchange(key) else { return };
    if conn.body != Wanted::Done {
        conn.body = Wanted::No;
        if conn.reply == Reply::Done {
            over::complete(cx, key);
        }
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
        conn.over.get_or_insert_default().body_pipe = Some(pipe);
        discard(cx, self.0);
        if !gathers {
            clock::wake(cx, self.0.socket);
        }
    }
}

/// The answer of a pipe begins, unless it has.
fn begin(cx: &mut Cx<'_>, key: ExchangeKey) -> Result<(), HttpError> {
    match cx.layer(&HTTP).0.exchange(key).map(|c| c.reply) {
        Some(Reply::No) => reply::start(cx, key, &Response::new(200)),
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
            Reply::Done => return Err(StreamError::Closed),
            Reply::Begun => {}
            // The client waits for 100, which comes when the body is wanted: the answer behind it.
            Reply::No if conn.expects => conn.claimed = true,
            Reply::No => {
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
