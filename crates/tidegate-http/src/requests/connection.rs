//! What a connection of an agent is called for: what comes back for its request; and while it is
//! free, that it is still there.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::kind::Dispatch;
use tidegate_loop::{Cx, Key};
use tidegate_net::{Chunk, Close, Net, Protocol, Reason, SocketKey};

use crate::agent::state::{CLIENT, Conn, Request, Sent, nanos, with_request};
use crate::client::error::{RequestCause, RequestStage};
use crate::client::event::{AgentMetrics, ClientEvent};
use crate::client::key::RequestKey;
use crate::client::options::Agent;
use crate::codec::{Event, Fields, Refusal, ResponseHead, join_folded};
use crate::requests::call::{call, is_open};
use crate::requests::deadline::{enter, touch};
use crate::requests::ending::{answered, fail};
use crate::requests::sending::{CONTINUE, drained, send_body};
use crate::requests::serve::{carry_out, not_opened, want};

/// 1xx before one answer.
const MOST_INFORMATIONAL: u8 = 16;

/// A connection of an agent.
pub(crate) static HTTP_CLIENT: Protocol = Protocol::new("http client")
    .connect(connected)
    .data(data)
    .end(ended)
    .drain(|d, _, at| {
        if let Some(request) = request_of(d, at) {
            drained(d, request);
        }
    })
    .timer(|d, _, at, token| {
        if let (CONTINUE, Some(request)) = (token, request_of(d, at)) {
            send_body(d, request);
        }
    })
    .timeout(expired)
    .close(closed)
    .replaced(|cx, _, at| forget(cx, at))
    .describe(|cx, _, at| match cx.layer(&CLIENT).0.conn(at) {
        Some(Conn { request: Some(_), .. }) => "busy".into(),
        Some(Conn { connected: true, .. }) => "free".into(),
        _ => String::new(),
    });

fn request_of(d: &mut Dispatch<'_>, at: u64) -> Option<Key> {
    d.layer(&CLIENT).0.conn(at)?.request
}

/// It is made.
fn connected(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    let (layer, driver) = d.layer(&CLIENT);
    let now = nanos(driver.clock());
    let Some(conn) = layer.conn(at) else { return };
    conn.connected = true;
    let (agent, id) = (conn.agent, conn.id);
    let (Some(id), Some(a)) = (id, layer.agent(&driver, agent)) else {
        return d.cx().socket(key).destroy();
    };
    a.metrics.connected += 1;
    let keep = a.options.keep_alive;
    a.pool.connected(id, now.saturating_add(nanos(keep)));
    rest(d, key, at, keep);
    carry_out(d, agent);
}

/// It is free, or has its next request in a moment.
fn rest(d: &mut Dispatch<'_>, key: SocketKey, at: u64, keep: Duration) {
    let (layer, driver) = d.layer(&CLIENT);
    let now = nanos(driver.clock());
    if let Some(conn) = layer.conn(at) {
        conn.freed = now;
    }
    let mut cx = d.cx();
    let mut s = cx.socket(key);
    s.set_idle_timeout(keep);
    // It must see its end.
    s.resume();
}

/// It was free for too long.
fn expired(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    if request_of(d, at).is_none() {
        count(d, at, |m| m.expired += 1);
        give_up(d, key, at);
    }
}

fn count(d: &mut Dispatch<'_>, at: u64, f: impl FnOnce(&mut AgentMetrics)) {
    let (layer, driver) = d.layer(&CLIENT);
    let Some(agent) = layer.conn(at).map(|c| c.agent) else { return };
    if let Some(a) = layer.agent(&driver, agent) {
        f(&mut a.metrics);
    }
}

/// Closes a free connection.
fn give_up(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    let (layer, driver) = d.layer(&CLIENT);
    let Some(conn) = layer.conn(at) else { return };
    let (agent, id) = (conn.agent, conn.id.take());
    if let (Some(a), Some(id)) = (layer.agent(&driver, agent), id) {
        a.pool.removed(id);
    }
    d.cx().socket(key).destroy();
    carry_out(d, agent);
}

/// It has another owner now.
fn forget(cx: &mut Cx<'_>, at: u64) {
    let (layer, mut driver) = cx.layer(&CLIENT);
    let Some(conn) = layer.conns.try_remove(at as usize) else { return };
    if let (Some(a), Some(id)) = (layer.agent(&driver, conn.agent), conn.id) {
        a.pool.removed(id);
        if a.pool.has_act() {
            if let Some(mut handle) = driver.handle(CLIENT.owner(), conn.agent) {
                handle.pend();
            }
        }
    }
    // A request that did not give it away itself has none any more.
    let Some(request) = conn.request else { return };
    let lost = with_request(cx, request, |r, _| {
        r.conn = None;
        r.upgraded.is_none()
    });
    if lost == Some(true) {
        fail(cx, request, RequestCause::Incomplete);
    }
}

/// Bytes.
fn data(d: &mut Dispatch<'_>, key: SocketKey, at: u64, bytes: &mut [u8]) {
    let Some(request) = request_of(d, at) else {
        count(d, at, |m| m.unsolicited += 1);
        return give_up(d, key, at);
    };
    touch(&mut d.cx(), request);
    let mut rest = match d.layer(&CLIENT).0.conn(at) {
        Some(conn) => std::mem::take(&mut conn.rest),
        None => return,
    };
    let bytes: &mut [u8] = if rest.is_empty() {
        bytes
    } else {
        rest.extend_from_slice(bytes);
        &mut rest
    };
    with_request(&mut d.cx(), request, |r, _| r.answered = true);
    decode(d, key, at, request, bytes);
}

/// Decodes what is there, and tells it.
fn decode(d: &mut Dispatch<'_>, key: SocketKey, at: u64, request: Key, bytes: &mut [u8]) {
    let mut from = 0;
    loop {
        let mut fields = Fields::new();
        let Some(conn) = d.layer(&CLIENT).0.conn(at).filter(|c| c.request == Some(request)) else {
            return;
        };
        if conn.joins_folded && !conn.decoder.is_in_body() {
            join_folded(&mut bytes[from..]);
        }
        let (n, event) = conn.decoder.next(&bytes[from..], &mut fields);
        from += n;
        let goes_on = match event {
            Event::More => {
                if let Some(conn) = d.layer(&CLIENT).0.conn(at) {
                    conn.rest.extend_from_slice(&bytes[from..]);
                }
                return;
            }
            Event::Head(head) => head_came(d, at, request, &head),
            Event::Body(part) => part_came(d, request, part),
            Event::Trailers(fields) => call(d, request, |h, r| h.on_trailers(r, &fields)),
            Event::End => match end_came(d, key, at, request, &bytes[from..]) {
                // That was an informational response.
                Ended::GoesOn => true,
                Ended::Over => return,
            },
            Event::Refused(why) => {
                fail(&mut d.cx(), request, RequestCause::Refused(why));
                false
            }
        };
        if !goes_on {
            return;
        }
        if with_request(&mut d.cx(), request, |r, _| r.upgraded.is_some()) == Some(true) {
            // What came behind the head is the handler's.
            d.cx().socket(key).unread(&bytes[from..]);
            return answered(&mut d.cx(), request);
        }
        let paused = with_request(&mut d.cx(), request, |r, _| r.paused && r.status != 0);
        if paused != Some(false) {
            // Also if it was paused before there was an answer.
            d.cx().socket(key).pause();
            if from < bytes.len() {
                d.cx().socket(key).unread(&bytes[from..]);
                return;
            }
        }
    }
}

/// A head. Whether the request goes on.
fn head_came(d: &mut Dispatch<'_>, at: u64, key: Key, head: &ResponseHead<'_>) -> bool {
    let mut cx = d.cx();
    if head.is_informational() {
        let counted = with_request(&mut cx, key, |r, _| {
            r.informational += 1;
            (r.informational, r.sent)
        });
        return match counted {
            Some((n, _)) if n > MOST_INFORMATIONAL => {
                let why = Refusal::new(502, "too many informational responses");
                fail(&mut cx, key, RequestCause::Refused(why));
                false
            }
            Some((_, Sent::Head)) if head.status == 100 => {
                send_body(d, key);
                is_open(d, key)
            }
            Some(_) if head.status == 100 => true,
            _ => call(d, key, |h, r| h.on_informational(r, head)),
        };
    }
    let (layer, mut driver) = cx.layer(&CLIENT);
    let now = driver.clock();
    if let Some(conn) = layer.conn(at) {
        conn.keep_alive = head.keep_alive;
        conn.hint = head.fields.get("keep-alive").and_then(timeout_of);
    }
    let Some(r) = layer.request(&driver, key) else { return false };
    (r.status, r.may_upgrade) = (head.status, head.upgrade && r.upgrade);
    let elapsed = now.saturating_sub(Duration::from_nanos(r.started));
    let (request, status) = (RequestKey(key), head.status);
    driver.emit(|| ClientEvent::Head { request, status, elapsed });
    enter(&mut cx, key, RequestStage::Body);
    let goes_on = call(d, key, |h, r| h.on_head(r, head));
    with_request(&mut d.cx(), key, |r, _| r.may_upgrade = false);
    if goes_on && head.upgrade {
        let upgraded = with_request(&mut d.cx(), key, |r, _| r.upgraded).flatten();
        if upgraded.is_none() {
            fail(&mut d.cx(), key, RequestCause::NotUpgraded);
            return false;
        }
    }
    goes_on
}

/// `timeout=N` of a field `Keep-Alive`.
fn timeout_of(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().parse().ok())?
    })
}

fn part_came(d: &mut Dispatch<'_>, key: Key, part: &[u8]) -> bool {
    let into = with_request(&mut d.cx(), key, |r, _| {
        r.received += part.len() as u64;
        r.into
    });
    match into {
        None => false,
        Some(Some(pipe)) => {
            pipe.data(d, Chunk::Lent(part));
            d.settle();
            is_open(d, key)
        }
        Some(None) => call(d, key, |h, r| h.on_data(r, part)),
    }
}

enum Ended {
    GoesOn,
    Over,
}

/// A message is complete; `left` came behind it.
fn end_came(d: &mut Dispatch<'_>, socket: SocketKey, at: u64, key: Key, left: &[u8]) -> Ended {
    let found = with_request(&mut d.cx(), key, |r: &mut Request, _| {
        (r.status == 0, r.sent == Sent::All, r.into)
    });
    let Some((is_informational, is_sent, into)) = found else { return Ended::Over };
    if is_informational {
        return Ended::GoesOn;
    }
    // The answer is complete, also if the connection is closed now.
    let mut cx = d.cx();
    let is_out = is_sent && cx.socket(socket).buffered() == 0;
    let (layer, driver) = cx.layer(&CLIENT);
    let now = nanos(driver.clock());
    let Some(conn) = layer.conn(at) else { return Ended::Over };
    let (agent, id, hint) = (conn.agent, conn.id, conn.hint);
    let is_reusable = conn.keep_alive && is_out && left.is_empty();
    conn.request = None;
    if let Some(r) = layer.request(&driver, key) {
        r.conn = None;
    }
    let keep = match (is_reusable, layer.agent(&driver, agent)) {
        (true, Some(a)) => kept(&a.options, hint),
        _ => None,
    };
    if let Some(a) = layer.agent(&driver, agent) {
        a.metrics.unsolicited += u64::from(!left.is_empty());
    }
    if let Some(pipe) = into {
        pipe.ended(d);
    }
    call(d, key, |h, r| h.on_end(r));
    answered(&mut d.cx(), key);
    // The callback may have closed the agent.
    let (layer, driver) = d.layer(&CLIENT);
    match (id, layer.agent(&driver, agent)) {
        (Some(id), Some(a)) => {
            a.pool.released(id, keep.map(|k| now.saturating_add(nanos(k))));
            if let Some(keep) = keep {
                rest(d, socket, at, keep);
            }
            carry_out(d, agent);
        }
        _ => d.cx().socket(socket).destroy(),
    }
    Ended::Over
}

/// For how long a connection is kept; `None`: not at all.
fn kept(options: &Agent, hint: Option<u64>) -> Option<Duration> {
    let keep = match hint {
        // The server closes it a moment after that: better not to meet it.
        Some(seconds) => {
            Duration::from_secs(seconds.saturating_sub(1)).min(options.most_keep_alive)
        }
        None => options.keep_alive,
    };
    (!keep.is_zero() && options.max_free > 0).then_some(keep)
}

/// The peer's end.
fn ended(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    let (layer, _) = d.layer(&CLIENT);
    let Some(conn) = layer.conn(at) else { return };
    let Some(request) = conn.request else {
        if conn.id.is_some() {
            count(d, at, |m| m.ended_free += 1);
            give_up(d, key, at);
        }
        return;
    };
    match conn.decoder.eof() {
        // That is the end of the body.
        Ok(true) => {
            end_came(d, key, at, request, &[]);
        }
        // What this means is decided by `closed`.
        _ => d.cx().socket(key).destroy(),
    }
}

/// It is over.
fn closed(d: &mut Dispatch<'_>, _: SocketKey, at: u64, close: Close) {
    let Some(conn) = d.layer(&CLIENT).0.conns.try_remove(at as usize) else { return };
    let (agent, id) = (conn.agent, conn.id);
    if !conn.connected {
        if let Some(id) = id {
            not_opened(&mut d.cx(), agent, id, RequestCause::Connection(close.reason));
        }
        return carry_out(d, agent);
    }
    let (layer, driver) = d.layer(&CLIENT);
    if let (Some(id), Some(a)) = (id, layer.agent(&driver, agent)) {
        a.pool.removed(id);
        let was_free = conn.request.is_none() && close.reason.is_error();
        a.metrics.ended_free += u64::from(was_free);
    }
    if let Some(request) = conn.request {
        lost(d, request, &conn, close);
    }
    carry_out(d, agent);
}

/// A request has lost its connection: it is sent once more, or fails.
fn lost(d: &mut Dispatch<'_>, key: Key, conn: &Conn, close: Close) {
    let nothing_went = close.bytes_written == conn.written_before;
    let is_again = with_request(&mut d.cx(), key, |r, _| {
        r.conn = None;
        let again = r.reused && !r.retried && !r.answered && r.is_replayable();
        if again && (r.idempotent || nothing_went) {
            (r.retried, r.sent) = (true, Sent::Nothing);
            return true;
        }
        false
    });
    if is_again == Some(true) {
        let (layer, mut driver) = d.layer(&CLIENT);
        if let Some(a) = layer.agent(&driver, conn.agent) {
            a.metrics.retried += 1;
        }
        driver.emit(|| ClientEvent::Retried { request: RequestKey(key) });
        return want(d, key, true);
    }
    let cause = match close.reason {
        Reason::Ended | Reason::Destroyed => RequestCause::Incomplete,
        Reason::Panicked => RequestCause::Panicked,
        reason => RequestCause::Connection(reason),
    };
    fail(&mut d.cx(), key, cause);
}
