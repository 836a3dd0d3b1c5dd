//! Users and pipes are called: with the parts of a body, and when an exchange is over. This runs in
//! a dispatch only.
//!
//! Some exchanges end without a connection: it was given to another protocol, or a callback panicked
//! while its close was reported. A handle of the layer reports these ends in the pending phase.
#![forbid(unsafe_code)]

use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_loop::{Cx, Key};
use tidegate_net::SocketKey;
use tidegate_stream::{Chunk, StreamError};

use crate::callbacks::contexts::ExchangeCx;
use crate::callbacks::handler::{Broken, ExchangeHandler, HttpHandler};
use crate::codec::FieldList;
use crate::exchange::key::ExchangeKey;
use crate::server::over;
use crate::state::clocks::Clock;
use crate::state::conn::{Body, Over, Reply};
use crate::state::layer::HTTP;

/// Calls the exchange's handler. Whether there was one.
pub(super) fn call(
    d: &mut Dispatch<'_>,
    key: ExchangeKey,
    f: impl FnOnce(&mut dyn ExchangeHandler, &mut ExchangeCx<'_>),
) -> bool {
    let (layer, _) = d.layer(&HTTP);
    let Some(handler) = layer.exchange(key).and_then(|c| c.handler.take()) else { return false };
    let call = |cx: Cx<'_>, handler: &mut Box<dyn ExchangeHandler>| {
        f(&mut **handler, &mut ExchangeCx::new(cx, key));
    };
    let back = |d: &mut Dispatch<'_>, handler| put_back(d, key, handler);
    d.lend(handler, call, back, back);
    d.settle();
    true
}

fn put_back(d: &mut Dispatch<'_>, key: ExchangeKey, handler: Box<dyn ExchangeHandler>) {
    let (layer, mut driver) = d.layer(&HTTP);
    match layer.conn(key.at(), key.socket) {
        Some(conn) if conn.number == key.number() => match conn.handler {
            None => conn.handler = Some(handler),
            // It was replaced in the call.
            Some(_) => driver.bury(handler),
        },
        // The exchange ended in the call. Its `on_close` comes next.
        Some(conn) => conn.owed.push(Over { handler: Some(handler), ..Over::default() }),
        // And the connection belongs to another protocol.
        None => {
            let over = Over { handler: Some(handler), ..Over::default() };
            leave(&mut d.cx(), std::iter::once(over));
        }
    }
}

/// A server's handler comes back from its call.
pub(super) fn server_back(
    d: &mut Dispatch<'_>,
    server: usize,
    handler: Option<Box<dyn HttpHandler>>,
) {
    let (layer, mut driver) = d.layer(&HTTP);
    match layer.servers.get_mut(server) {
        Some(s) if s.handler.is_none() => s.handler = handler,
        // Its connection was the last, and went to another protocol in the call.
        _ => driver.bury(handler),
    }
}

/// A part of the body.
pub(super) fn body(d: &mut Dispatch<'_>, key: ExchangeKey, part: &[u8]) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.exchange(key) else { return };
    match conn.body_pipe {
        Some(pipe) => {
            pipe.data(d, Chunk::Lent(part));
            d.settle();
        }
        None => {
            call(d, key, |h, x| h.on_data(x, part));
        }
    }
}

pub(super) fn trailers(d: &mut Dispatch<'_>, key: ExchangeKey, fields: FieldList<'_>) {
    call(d, key, |h, x| h.on_trailers(x, fields));
}

/// The body was read to its end: the handler is called, then the pipe, if there is one.
pub(super) fn end_of_body(d: &mut Dispatch<'_>, key: ExchangeKey) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.exchange(key) else { return };
    let handler_knows = conn.body == Body::Read;
    conn.body = Body::Read;
    conn.clocks.clear(Clock::Request);
    let pipe = conn.body_pipe;
    if !handler_knows {
        call(d, key, |h, x| h.on_end(x));
    }
    if let Some(pipe) = pipe {
        pipe.ended(d);
        let (layer, _) = d.layer(&HTTP);
        // If the exchange ended in the call, the pipe is owed its close.
        let still = layer.exchange(key).and_then(|c| c.body_pipe.take_if(|p| *p == pipe));
        if still.is_some() {
            pipe.source_closed(d, Ok(()));
        }
        d.settle();
    }
    let (layer, _) = d.layer(&HTTP);
    if layer.exchange(key).is_some_and(|c| matches!(c.reply, Reply::Done(_))) {
        over::complete(&mut d.cx(), key);
    }
}

/// Reports all that this connection still has to report.
pub(super) fn owed(d: &mut Dispatch<'_>, at: usize, socket: SocketKey) {
    while let Some(conn) = d.layer(&HTTP).0.conn(at, socket).filter(|c| c.owes()) {
        let key = conn.key(at);
        if !conn.owed.is_empty() {
            let over = conn.owed.remove(0);
            tell(d, over);
        } else if conn.is_in(key) {
            end_of_body(d, key);
        } else {
            return;
        }
    }
}

/// An exchange is over: reports that to its pipes, then to its handler. A panic in an end of a pipe
/// is raised by `settle`.
pub(super) fn tell(d: &mut Dispatch<'_>, over: Over) {
    let cause = over.broken.as_ref().map(|b| match b {
        Broken::Connection(reason) => reason.result().err().unwrap_or(StreamError::Premature),
        Broken::Refused(why) => std::io::Error::new(std::io::ErrorKind::InvalidData, *why).into(),
    });
    if let Some(pipe) = over.body_pipe {
        pipe.source_closed(d, Err(cause.clone().unwrap_or(StreamError::Premature)));
    }
    if let Some(pipe) = over.reply_pipe {
        match cause {
            None => {
                pipe.finished(d);
                pipe.sink_closed(d, Ok(()));
            }
            Some(cause) => {
                pipe.sink_closed(d, Err(cause));
            }
        }
    }
    if let Some(handler) = over.handler {
        let result = over.broken.map_or(Ok(()), Err);
        let bury = |d: &mut Dispatch<'_>, handler| d.driver().bury(handler);
        d.lend(handler, |mut cx, h| h.on_close(&mut cx, result), bury, bury);
    }
    d.settle();
}

static TELLER: Kind = Kind::new("http", HTTP.owner()).pending(tell_left);

/// Keeps these for a later call. Runs no user code.
pub(super) fn leave(cx: &mut Cx<'_>, all: impl Iterator<Item = Over>) {
    let (layer, mut d) = cx.layer(&HTTP);
    layer.left.extend(all);
    if layer.left.is_empty() {
        return;
    }
    if layer.teller.is_none() {
        // Without room in the loop's table, the next one that leaves something tries again.
        let Ok(mut handle) = d.insert(&TELLER, 0) else { return };
        handle.set_internal();
        layer.teller = Some(handle.key());
    }
    if let Some(mut handle) = layer.teller.and_then(|key| d.handle(HTTP.owner(), key)) {
        handle.pend();
    }
}

/// A call that panics is repeated: then it goes on with what is left.
fn tell_left(d: &mut Dispatch<'_>, _: Key, _: u64) {
    for _ in 0..d.layer(&HTTP).0.left.len() {
        let Some(over) = d.layer(&HTTP).0.left.pop_front() else { return };
        tell(d, over);
    }
}
