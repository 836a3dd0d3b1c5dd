//! How a request ends: its result is noted at once, `on_close` comes in the closing phase.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Duration;

use tidegate_loop::kind::Dispatch;
use tidegate_loop::{Cx, Key, KeyError};
use tidegate_net::Net;
use tidegate_stream::StreamError;

use crate::agent::state::{CLIENT, Sent};
use crate::client::callbacks::Answered;
use crate::client::error::{RequestCause, RequestError, RequestStage};
use crate::client::event::ClientEvent;
use crate::client::key::RequestKey;

/// The request fails, unless it is over. Its connection is closed. Runs no user code.
pub(crate) fn fail(cx: &mut Cx<'_>, key: Key, cause: RequestCause) {
    let (layer, mut d) = cx.layer(&CLIENT);
    let now = d.clock();
    let Some(r) = layer.request(&d, key) else { return };
    let error = RequestError {
        stage: r.stage,
        cause,
        origin: r.origin.clone(),
        elapsed: now.saturating_sub(Duration::from_nanos(r.started)),
        piped: false,
    };
    let (conn, agent, origin) = (r.conn.take(), r.agent, r.origin.clone());
    let waits = r.stage == RequestStage::Connect;
    r.result = Some(Err(error));
    let timer = r.timer.take();
    let socket = conn.and_then(|at| layer.conns.get_mut(at)).and_then(|c| {
        c.request = None;
        c.socket
    });
    if let (Some(origin), true) = (origin, waits) {
        if let Some(row) = layer.agent(&d, agent) {
            row.pool.cancel(&origin, key);
            if row.pool.has_act() {
                if let Some(mut handle) = d.handle(CLIENT.owner(), agent) {
                    handle.pend();
                }
            }
        }
    }
    if let Some(mut handle) = d.handle(CLIENT.owner(), key) {
        handle.close();
    }
    if let Some(timer) = timer {
        let _ = cx.timer_stop(timer);
    }
    if let Some(socket) = socket {
        cx.socket(socket).destroy();
    }
}

/// The request is answered. It has no connection any more.
pub(crate) fn answered(cx: &mut Cx<'_>, key: Key) {
    let (layer, mut d) = cx.layer(&CLIENT);
    let now = d.clock();
    let Some(r) = layer.request(&d, key) else { return };
    r.result = Some(Ok(Answered {
        status: r.status,
        body: r.received,
        elapsed: now.saturating_sub(Duration::from_nanos(r.started)),
        reused: r.reused,
        retried: r.retried,
        upgraded: r.upgraded.is_some(),
    }));
    let timer = r.timer.take();
    if let Some(mut handle) = d.handle(CLIENT.owner(), key) {
        handle.close();
    }
    if let Some(timer) = timer {
        let _ = cx.timer_stop(timer);
    }
}

/// [`Cx::close`](tidegate_loop::Cx::close) was called with its key.
pub(crate) fn asked(cx: &mut Cx<'_>, key: Key, _: u64) -> Result<(), KeyError> {
    fail(cx, key, RequestCause::Destroyed);
    Ok(())
}

/// The closing phase: frees the key, tells pipes, and then the handler.
pub(crate) fn closed(d: &mut Dispatch<'_>, key: Key, at: u64) {
    let (layer, mut driver) = d.layer(&CLIENT);
    let Some(r) = layer.requests.try_remove(at as usize) else { return };
    if let Some(handle) = driver.handle(CLIENT.owner(), key) {
        handle.free();
    }
    let Some(mut result) = r.result else { return };
    if let Some(agent) = layer.agent(&driver, r.agent) {
        let m = &mut agent.metrics;
        match &result {
            Ok(_) => m.answered += 1,
            Err(e) => {
                m.failed += 1;
                m.timed_out += u64::from(matches!(e.cause, RequestCause::TimedOut(..)));
                m.pool_full += u64::from(matches!(e.cause, RequestCause::PoolFull));
            }
        }
    }
    let request = RequestKey(key);
    driver.emit(|| match &result {
        Ok(a) => {
            ClientEvent::Answered { request, status: a.status, body: a.body, elapsed: a.elapsed }
        }
        Err(error) => ClientEvent::Failed { request, error: error.clone() },
    });
    let as_end = |result: &Result<Answered, RequestError>| match result {
        Ok(_) => Ok(()),
        Err(e) => Err(match &e.cause {
            RequestCause::Destroyed => StreamError::Destroyed,
            RequestCause::Panicked => StreamError::Panicked,
            RequestCause::Piped(e) => e.clone(),
            _ => StreamError::Failed(Arc::new(e.clone())),
        }),
    };
    let mut piped = false;
    if let Some(pipe) = r.into {
        piped |= pipe.source_closed(d, as_end(&result));
    }
    if let Some(pipe) = r.from {
        if result.is_ok() && r.sent == Sent::All {
            pipe.finished(d);
        }
        piped |= pipe.sink_closed(d, as_end(&result));
    }
    if let Err(e) = &mut result {
        e.piped = piped;
    }
    if let Some(mut handler) = r.handler {
        handler.on_close(&mut d.cx(), request, result);
    }
}
