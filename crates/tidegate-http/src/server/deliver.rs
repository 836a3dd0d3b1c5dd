//! Users and pipes are called: with the parts of a body, and when an exchange is over. Only a
//! dispatch comes here.
#![forbid(unsafe_code)]

use tidegate_loop::Cx;
use tidegate_loop::kind::Dispatch;
use tidegate_net::{Net, SocketKey};
use tidegate_stream::{Chunk, StreamError};

use crate::callbacks::contexts::ExchangeCx;
use crate::callbacks::handler::{Broken, ExchangeHandler, HttpHandler};
use crate::codec::FieldList;
use crate::exchange::key::ExchangeKey;
use crate::server::clock::REQUEST;
use crate::server::over;
use crate::state::conn::{Over, Reply, Wanted};
use crate::state::layer::HTTP;

/// Calls the exchange's handler, if there is one.
pub(super) fn call(
    d: &mut Dispatch<'_>,
    key: ExchangeKey,
    f: impl FnOnce(&mut dyn ExchangeHandler, &mut ExchangeCx<'_>),
) {
    let (layer, _) = d.layer(&HTTP);
    let Some(handler) = layer.exchange(key).and_then(|c| c.handler.take()) else { return };
    let call = |cx: Cx<'_>, handler: &mut Box<dyn ExchangeHandler>| {
        f(&mut **handler, &mut ExchangeCx::new(cx, key));
    };
    let back = |d: &mut Dispatch<'_>, handler| put_back(d, key, handler);
    d.lend(handler, call, back, back);
    d.settle();
}

fn put_back(d: &mut Dispatch<'_>, key: ExchangeKey, handler: Box<dyn ExchangeHandler>) {
    let (layer, mut driver) = d.layer(&HTTP);
    match layer.conn(key.at(), key.socket) {
        Some(conn) if conn.handler.is_none() && conn.number == key.number() => {
            conn.handler = Some(handler);
        }
        // The exchange ended in the call: that is told next.
        Some(conn) if !conn.is_in(key) => {
            conn.over.get_or_insert_default().handler = Some(handler);
        }
        _ => driver.bury(handler),
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
        Some(s) => s.handler = handler,
        None => driver.bury(handler),
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
        None => call(d, key, |h, x| h.on_data(x, part)),
    }
}

pub(super) fn trailers(d: &mut Dispatch<'_>, key: ExchangeKey, fields: FieldList<'_>) {
    call(d, key, |h, x| h.on_trailers(x, fields));
}

/// The body was read to its end.
pub(super) fn end_of_body(d: &mut Dispatch<'_>, key: ExchangeKey) {
    let (layer, _) = d.layer(&HTTP);
    let Some(conn) = layer.exchange(key) else { return };
    conn.body = Wanted::Done;
    conn.owes_end = false;
    let timed = std::mem::take(&mut conn.timed);
    let pipe = conn.body_pipe.take();
    if timed {
        d.cx().socket(key.socket).clear_timer(REQUEST);
    }
    call(d, key, |h, x| h.on_end(x));
    if let Some(pipe) = pipe {
        pipe.ended(d);
        pipe.source_closed(d, Ok(()));
        d.settle();
    }
    let (layer, _) = d.layer(&HTTP);
    if layer.exchange(key).is_some_and(|c| c.reply == Reply::Done) {
        over::complete(&mut d.cx(), key);
    }
}

/// Tells what exchanges owe.
pub(super) fn owed(d: &mut Dispatch<'_>, at: usize, socket: SocketKey) {
    while let Some(conn) = d.layer(&HTTP).0.conn(at, socket).filter(|c| c.owes()) {
        let key = conn.key(at);
        match conn.over.take() {
            Some(over) => ended(d, *over),
            None => {
                conn.owes_end = false;
                end_of_body(d, key);
            }
        }
    }
}

/// An exchange is over.
pub(super) fn ended(d: &mut Dispatch<'_>, over: Over) {
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
    if let Some(mut handler) = over.handler {
        handler.on_close(&mut d.cx(), over.broken.map_or(Ok(()), Err));
    }
    d.settle();
}
