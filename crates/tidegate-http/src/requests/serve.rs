//! How a request begins, and gets a connection: what the pool wants done is done here.
#![forbid(unsafe_code)]

use std::mem::MaybeUninit;
use std::rc::Rc;
use std::time::Duration;

use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_loop::{Cx, Key, KeyError, TableFull};
use tidegate_net::pool_machine::{Act, Bounds, ConnId, Pool, Why};
use tidegate_net::{ConnectOptions, Net, PeerState, Protocol};

use crate::agent::state::{AgentRow, CLIENT, Conn, Request, Sent, Tag, nanos, with_request};
use crate::client::callbacks::ResponseHandler;
use crate::client::error::{RequestCause, RequestStage};
use crate::client::event::{AgentMetrics, ClientEvent};
use crate::client::key::{AgentKey, RequestKey};
use crate::client::options::{Agent, Scheduling};
use crate::client::request::{Body, ClientRequest};
use crate::codec::{Encoder, Length, ResponseDecoder};
use crate::requests::deadline::{arm, enter};
use crate::requests::ending::{asked, closed, fail};
use crate::requests::sending::{finished, send};

static AGENT: Kind = Kind::new("http agent", CLIENT.owner())
    .pending(|d, key, _| carry_out(d, key))
    .close(close_agent)
    .closed(|d, key, at| {
        let (layer, mut driver) = d.layer(&CLIENT);
        let gone = layer.agents.try_remove(at as usize).map(|a| a.options);
        layer.usual = layer.usual.filter(|usual| *usual != key);
        driver.bury(gone);
    })
    .describe(|cx, key, _| {
        let (layer, d) = cx.layer(&CLIENT);
        let Some(a) = layer.agent(&d, key) else { return String::new() };
        let c = a.pool.counts();
        format!("{} connections, {} free, {} requests wait", c.open, c.free, c.waiting)
    });

static REQUEST: Kind = Kind::new("http request", CLIENT.owner())
    .pending(pending)
    .close(asked)
    .closed(closed)
    .describe(|cx, key, _| {
        let doing = |r: &mut Request| match &r.origin {
            Some(origin) => format!("{} {origin}, {}", r.method, r.stage),
            None => r.stage.to_string(),
        };
        with_request(cx, key, |r, _| doing(r)).unwrap_or_default()
    });

/// A new agent.
pub(crate) fn open_agent(
    cx: &mut Cx<'_>,
    options: Agent,
    protocol: &'static Protocol,
) -> Result<AgentKey, TableFull> {
    let bounds = Bounds {
        sockets: options.max_sockets,
        total: options.max_total,
        free: options.max_free,
        free_total: options.max_free_total,
        pending: options.max_pending,
        fifo: options.scheduling == Scheduling::Fifo,
    };
    let (layer, mut d) = cx.layer(&CLIENT);
    let entry = layer.agents.vacant_entry();
    let mut handle = match d.insert(&AGENT, entry.key() as u64) {
        Ok(handle) => handle,
        Err(full) => {
            d.bury(options);
            return Err(full);
        }
    };
    // Its requests keep the loop alive.
    handle.set_ref(false);
    let key = handle.key();
    let (pool, metrics) = (Pool::new(bounds), AgentMetrics::default());
    entry.insert(AgentRow { options: Rc::new(options), pool, metrics, protocol });
    Ok(AgentKey(key))
}

fn close_agent(cx: &mut Cx<'_>, key: Key, _: u64) -> Result<(), KeyError> {
    let (layer, mut d) = cx.layer(&CLIENT);
    let waiting = layer.agent(&d, key).map(|a| a.pool.close()).unwrap_or_default();
    if let Some(mut handle) = d.handle(CLIENT.owner(), key) {
        handle.close();
    }
    for request in waiting {
        fail(cx, request, RequestCause::AgentClosed);
    }
    while let Some(act) = take_act(cx, key) {
        match act {
            Act::Close(tag, _) => close(cx, tag),
            // It was on its way when a callback panicked.
            Act::Serve { request, conn, .. } => {
                fail(cx, request, RequestCause::AgentClosed);
                cx.socket(conn.1).destroy();
            }
            Act::Open(_) => {}
        }
    }
    Ok(())
}

fn take_act(cx: &mut Cx<'_>, agent: Key) -> Option<Act<Tag, Key>> {
    let (layer, d) = cx.layer(&CLIENT);
    layer.agent(&d, agent)?.pool.take_act()
}

/// A new request. It begins in the pending phase.
pub(crate) fn begin(
    cx: &mut Cx<'_>,
    request: ClientRequest,
    handler: Box<dyn ResponseHandler>,
    protocol: &'static Protocol,
) -> Result<RequestKey, TableFull> {
    let agent = match request.agent.map(|a| a.0).or(cx.layer(&CLIENT).0.usual) {
        Some(agent) => agent,
        None => match open_agent(cx, Agent::new(), protocol) {
            Ok(agent) => *cx.layer(&CLIENT).0.usual.insert(agent.0),
            Err(full) => {
                cx.driver().bury(handler);
                return Err(full);
            }
        },
    };
    let (layer, mut d) = cx.layer(&CLIENT);
    let now = nanos(d.clock());
    let entry = layer.requests.vacant_entry();
    let mut handle = match d.insert(&REQUEST, entry.key() as u64) {
        Ok(handle) => handle,
        Err(full) => {
            d.bury(handler);
            return Err(full);
        }
    };
    let key = handle.key();
    handle.pend();
    entry.insert(made(agent, request, handler, now));
    if let Some(a) = layer.agent(&d, agent) {
        a.metrics.requests += 1;
    }
    Ok(RequestKey(key))
}

fn made(
    agent: Key,
    request: ClientRequest,
    handler: Box<dyn ResponseHandler>,
    now: u64,
) -> Request {
    let (mut head, mut encoder, mut wrong) = (Vec::new(), Encoder::new(), None);
    let length = match &request.body {
        Body::Whole(body) => Length::Known(body.len() as u64),
        Body::Streamed(length) => *length,
    };
    let idempotent = request.is_idempotent();
    let expect = request.expect.filter(|_| length != Length::Known(0));
    match &request.to {
        Err(what) => wrong = Some(RequestCause::Url(what)),
        Ok((origin, target)) => {
            let fields = request.fields.iter().map(|(name, value)| (&**name, &**value));
            let expects = expect.map(|_| ("Expect", &b"100-continue"[..]));
            let (method, host) = (&*request.method, origin.authority());
            let fields = fields.chain(expects);
            if let Err(e) = encoder.request(&mut head, method, target, &host, length, fields) {
                wrong = Some(RequestCause::Request(e));
            }
        }
    }
    Request {
        agent,
        origin: request.to.ok().map(|(origin, _)| origin),
        handler: Some(handler),
        upgrade: request.upgrade || request.method == "CONNECT",
        method: request.method,
        head,
        encoder,
        body: request.body,
        early: Vec::new(),
        has_streamed: false,
        ended: false,
        sent: Sent::Nothing,
        full: false,
        expect,
        idempotent,
        may_upgrade: false,
        upgraded: None,
        timeouts: request.timeouts,
        started: now,
        since: now,
        moved: now,
        written: 0,
        timer: None,
        armed: 0,
        conn: None,
        stage: RequestStage::Start,
        answered: false,
        reused: false,
        retried: false,
        status: 0,
        informational: 0,
        received: 0,
        paused: false,
        into: None,
        from: None,
        result: None,
        wrong,
    }
}

/// The request begins; or the pipe that writes its body has ended.
fn pending(d: &mut Dispatch<'_>, key: Key, _: u64) {
    let mut cx = d.cx();
    let found = with_request(&mut cx, key, |r, _| (r.stage, r.wrong.take()));
    match found {
        Some((RequestStage::Start, Some(wrong))) => fail(&mut cx, key, wrong),
        Some((RequestStage::Start, None)) => want(d, key, false),
        Some(_) => finished(d, key),
        None => {}
    }
}

/// Asks the pool for a connection; `fresh`: for one that was never used.
pub(crate) fn want(d: &mut Dispatch<'_>, key: Key, fresh: bool) {
    let mut cx = d.cx();
    let (layer, mut driver) = cx.layer(&CLIENT);
    let now = nanos(driver.clock());
    let Some(r) = layer.request(&driver, key) else { return };
    let (agent, Some(origin)) = (r.agent, r.origin.clone()) else { return };
    let row = layer.agent(&driver, agent);
    let cause = match row {
        None => Some(RequestCause::AgentClosed),
        Some(row) if origin.is_secure() && row.options.secure.is_none() => {
            Some(RequestCause::NoTls)
        }
        Some(row) => match row.pool.request(&origin, key, fresh, now) {
            true => None,
            false if driver.handle(CLIENT.owner(), agent).is_some_and(|h| h.is_closing()) => {
                Some(RequestCause::AgentClosed)
            }
            false => Some(RequestCause::PoolFull),
        },
    };
    if let Some(cause) = cause {
        return fail(&mut cx, key, cause);
    }
    let is_first = with_request(&mut cx, key, |r, _| {
        let is_first = r.stage == RequestStage::Start;
        r.stage = RequestStage::Connect;
        is_first
    });
    match is_first {
        // The time before counts.
        Some(true) => arm(&mut cx, key),
        _ => enter(&mut cx, key, RequestStage::Connect),
    }
    carry_out(d, agent);
    let (layer, mut driver) = d.layer(&CLIENT);
    if layer.request(&driver, key).is_some_and(|r| r.stage == RequestStage::Connect) {
        driver.emit(|| ClientEvent::Waiting { request: RequestKey(key) });
    }
}

/// Does what the pool wants.
pub(crate) fn carry_out(d: &mut Dispatch<'_>, agent: Key) {
    // A callback may panic: the rest is done in the next run.
    let later = |d: &mut Dispatch<'_>| {
        if let Some(mut handle) = d.driver().handle(CLIENT.owner(), agent) {
            handle.pend();
        }
    };
    d.guard(|d| carry_out_all(d, agent), later);
}

fn carry_out_all(d: &mut Dispatch<'_>, agent: Key) {
    while let Some(act) = take_act(&mut d.cx(), agent) {
        match act {
            Act::Open(id) => open(d, agent, id),
            Act::Serve { conn, request, reused } => serve(d, agent, conn, request, reused),
            Act::Close(tag, why) => {
                let (layer, driver) = d.layer(&CLIENT);
                if let Some(a) = layer.agent(&driver, agent) {
                    a.metrics.expired += u64::from(why == Why::Expired);
                    a.metrics.evicted += u64::from(why == Why::Evicted);
                }
                close(&mut d.cx(), tag);
            }
        }
    }
}

/// Closes a connection that the pool has forgotten.
fn close(cx: &mut Cx<'_>, tag: Tag) {
    if let Some(conn) = cx.layer(&CLIENT).0.tagged(tag) {
        conn.id = None;
        cx.socket(tag.1).destroy();
    }
}

/// Makes a connection.
fn open(d: &mut Dispatch<'_>, agent: Key, id: ConnId) {
    let (layer, driver) = d.layer(&CLIENT);
    let Some(a) = layer.agent(&driver, agent) else { return };
    let Some(origin) = a.pool.origin(id).cloned() else { return };
    let (options, protocol) = (a.options.clone(), a.protocol);
    let decoder = ResponseDecoder::new(options.limits);
    let joins_folded = options.join_folded;
    // The user's closures may panic: then there is no connection.
    let to = d.guard(
        |_| {
            let to = ConnectOptions::new((origin.host(), origin.port()));
            let mut to = to.no_delay(true).connect_timeout(Duration::from_secs(10));
            if let Some(f) = &options.connect {
                to = f(&origin, to);
            }
            match &options.secure {
                Some(f) if origin.is_secure() => f(&origin, to),
                _ => to,
            }
        },
        |d| not_opened(&mut d.cx(), agent, id, RequestCause::Panicked),
    );
    let (layer, _) = d.layer(&CLIENT);
    let at = layer.conns.insert(Conn {
        agent,
        id: Some(id),
        socket: None,
        connected: false,
        decoder,
        joins_folded,
        rest: Vec::new(),
        request: None,
        written_before: 0,
        keep_alive: false,
        hint: None,
        freed: 0,
    });
    let mut cx = d.cx();
    match cx.connect_as(to, protocol, at as u64) {
        Ok(socket) => {
            // The requests keep the loop alive, not the connections.
            let _ = cx.set_ref(socket, false);
            let (layer, driver) = cx.layer(&CLIENT);
            if let Some(conn) = layer.conns.get_mut(at) {
                conn.socket = Some(socket);
            }
            if let Some(a) = layer.agent(&driver, agent) {
                a.pool.opened(id, (at, socket));
            }
        }
        Err(_) => {
            cx.layer(&CLIENT).0.conns.try_remove(at);
            not_opened(&mut cx, agent, id, RequestCause::TableFull);
        }
    }
}

/// A connection could not be made; a request may fail with it.
pub(crate) fn not_opened(cx: &mut Cx<'_>, agent: Key, id: ConnId, cause: RequestCause) {
    let (layer, d) = cx.layer(&CLIENT);
    let Some(a) = layer.agent(&d, agent) else { return };
    a.metrics.connect_failed += 1;
    if let Some(request) = a.pool.failed(id) {
        // The pool does not know it any more.
        fail(cx, request, cause);
    }
}

/// Gives a request its connection, if both are still there.
fn serve(d: &mut Dispatch<'_>, agent: Key, tag: Tag, request: Key, reused: bool) {
    // A new one is used as it is. If its server ends each at once, the request fails with that; with
    // one more connection for each it would never end.
    let is_dead = reused && is_dead(&mut d.cx(), agent, tag);
    let (layer, driver) = d.layer(&CLIENT);
    let now = nanos(driver.clock());
    let is_wanted = layer.request(&driver, request).is_some();
    let Some(conn) = layer.tagged(tag) else {
        // It has closed since, and the pool knows.
        return want(d, request, false);
    };
    let id = conn.id;
    if is_dead || !is_wanted {
        if is_dead {
            conn.id = None;
        }
        if let (Some(a), Some(id)) = (layer.agent(&driver, agent), id) {
            match is_dead {
                true => a.pool.removed(id),
                false => {
                    let until = now.saturating_add(nanos(a.options.keep_alive));
                    a.pool.released(id, Some(until));
                }
            }
        }
        if is_dead {
            d.cx().socket(tag.1).destroy();
            want(d, request, false);
        }
        return;
    }
    let written = d.cx().socket(tag.1).bytes_written();
    let (layer, mut driver) = d.layer(&CLIENT);
    if let Some(a) = layer.agent(&driver, agent) {
        a.metrics.reused += u64::from(reused);
    }
    let Some(r) = layer.request(&driver, request) else { return };
    (r.conn, r.reused) = (Some(tag.0), reused);
    let method = r.method.clone();
    if let Some(conn) = layer.tagged(tag) {
        (conn.request, conn.written_before) = (Some(request), written);
        (conn.keep_alive, conn.hint) = (false, None);
        conn.decoder.expect(&method);
    }
    driver.emit(|| ClientEvent::Sent { request: RequestKey(request), socket: tag.1, reused });
    d.cx().socket(tag.1).set_idle_timeout(Duration::ZERO);
    send(d, request, tag.1);
}

/// Whether a connection that was free has ended meanwhile, as far as the kernel knows.
fn is_dead(cx: &mut Cx<'_>, agent: Key, tag: Tag) -> bool {
    if cx.socket(tag.1).peer_state() != PeerState::Open {
        return true;
    }
    let (layer, d) = cx.layer(&CLIENT);
    let now = nanos(d.clock());
    let Some(freed) = layer.tagged(tag).map(|c| c.freed) else { return true };
    let Some(after) = layer.agent(&d, agent).map(|a| a.options.check_after) else { return false };
    if freed == 0 || now.saturating_sub(freed) < nanos(after) {
        return false;
    }
    // Bytes without a request, an end, or an error: with any of them it is not usable.
    let seen = cx.socket(tag.1).socket_option(|s| s.peek(&mut [MaybeUninit::uninit()]));
    !seen.is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock)
}
