//! What users do with a server: pause, resume, limit, close, shut down, ask.
#![forbid(unsafe_code)]

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tidegate_loop::kind::{Dispatch, Trigger};
use tidegate_loop::{Cx, Key, KeyError};

use crate::callbacks::contexts::ServerCx;
use crate::endpoint::Endpoint;
use crate::gauge::{AcceptGauge, Gauged};
use crate::key::{OWNER, ServerKey, SocketKey};
use crate::metrics::ServerStats;
use crate::options::listen::AtLimit;
use crate::server::held::{listen_or_hold, resume_held};
use crate::server::offer;
use crate::server_event::ServerEvent;
use crate::shutdown_report::ShutdownReport;
use crate::socket::expire;
use crate::state::deadlines::clocks::as_nanos;
use crate::state::layer::NET;
use crate::state::listener::{Farewell, Listener, Reporter, State};
use crate::state::owed::Owed;
use crate::state::socket::{Life, Socket};
use crate::sys::{self, AcceptQueue};

/// Stops accepting for now; what the kernel holds stays there.
pub(crate) fn pause(cx: &mut Cx<'_>, server: ServerKey) -> Result<(), KeyError> {
    cx.validate(server)?;
    let (layer, mut d) = cx.layer(&NET);
    let (l, mut h) = layer.lend_listener(&mut d, server).ok_or(KeyError::Closed)?;
    match l.state {
        State::Closing => return Err(KeyError::Closed),
        State::Paused => return Ok(()),
        State::Full => l.state = State::Paused,
        State::Listening => {
            l.leave_poller(&mut h);
            l.state = State::Paused;
        }
        State::Held(timer) => {
            l.state = State::Paused;
            layer.held -= 1;
            let _ = cx.timer_stop(timer);
        }
    }
    let (layer, mut d) = cx.layer(&NET);
    if let Some(l) = layer.listener(&d, server) {
        l.tell(&mut d, || ServerEvent::Paused);
    }
    Ok(())
}

/// Takes back [`pause`].
pub(crate) fn unpause(cx: &mut Cx<'_>, server: ServerKey) -> Result<(), KeyError> {
    cx.validate(server)?;
    let (layer, d) = cx.layer(&NET);
    let l = layer.listener(&d, server).ok_or(KeyError::Closed)?;
    match l.state {
        State::Closing => return Err(KeyError::Closed),
        State::Paused => listen_or_hold(cx, server),
        _ => {}
    }
    Ok(())
}

/// How many connections may be open from now on, and what happens to the next.
pub(crate) fn set_max_connections(
    cx: &mut Cx<'_>,
    server: ServerKey,
    most: Option<usize>,
    beyond: AtLimit,
) -> Result<(), KeyError> {
    cx.validate(server)?;
    let (layer, d) = cx.layer(&NET);
    let l = layer.listener(&d, server).ok_or(KeyError::Closed)?;
    if l.state == State::Closing {
        return Err(KeyError::Closed);
    }
    l.admission.max_connections = most;
    l.admission.at_limit = beyond;
    if l.state == State::Full && !(l.is_full() && beyond == AtLimit::Hold) {
        listen_or_hold(cx, server);
    }
    Ok(())
}

/// Stops accepting. The connections live on; `on_close` comes after the last.
pub(crate) fn close(cx: &mut Cx<'_>, server: ServerKey) -> Result<(), KeyError> {
    cx.validate(server)?;
    let (layer, mut d) = cx.layer(&NET);
    let (l, mut h) = layer.lend_listener(&mut d, server).ok_or(KeyError::Closed)?;
    let before = std::mem::replace(&mut l.state, State::Closing);
    if before == State::Closing {
        return Err(KeyError::Closed);
    }
    l.tell(&mut h, || ServerEvent::Closing);
    if before == State::Listening {
        // The descriptor may be shared: one that was adopted.
        l.leave_poller(&mut h);
    }
    l.gauged = None;
    if let Some(mut socket) = l.socket.take() {
        if l.trigger == Trigger::Edge {
            h.before_close(&mut socket);
        }
    }
    if l.stats.connections == 0 {
        h.close();
    }
    if let State::Held(timer) = before {
        layer.held -= 1;
        let _ = cx.timer_stop(timer);
    }
    resume_held(cx);
    Ok(())
}

/// Closes the server, asks its connections to end, and gives them so long.
pub(crate) fn shutdown(
    cx: &mut Cx<'_>,
    server: ServerKey,
    grace: Duration,
) -> Result<(), KeyError> {
    let connections = connections(cx, server);
    let (layer, d) = cx.layer(&NET);
    let began = as_nanos(d.clock());
    if let Some(l) = layer.listener(&d, server).filter(|l| l.farewell.is_none()) {
        let report = ShutdownReport::new(l.local.clone(), connections.len());
        l.farewell = Some(Box::new(Farewell { report, began }));
    }
    let closed = close(cx, server);
    // Closed before, it may still have connections to end.
    if connections.is_empty() {
        return closed;
    }
    for key in connections {
        let (layer, mut d) = cx.layer(&NET);
        let now = as_nanos(d.clock());
        let Some((s, mut h)) = layer.lend_socket(&mut d, key) else { continue };
        s.clocks.end_by(now.saturating_add(as_nanos(grace)));
        // A request may be on its way behind what its filters wait for: then it is asked to end when
        // it was offered.
        if s.life != Life::Gated {
            s.owed.add(Owed::SHUTDOWN);
            h.pend();
        }
        expire::arm(cx, key);
    }
    Ok(())
}

pub(crate) fn closed(d: &mut Dispatch<'_>, raw: Key, index: u64) {
    let (layer, mut driver) = d.layer(&NET);
    let Some(l) = layer.listeners.try_remove(index as usize) else { return };
    if let Some(handle) = driver.handle(&OWNER, raw) {
        handle.free();
    }
    l.tell(&mut driver, || ServerEvent::Closed);
    if let Some(mut farewell) = l.farewell {
        farewell.report.stats = l.stats;
        report(d, *farewell, l.reporter);
    }
    if let Some(mut handler) = l.handler {
        handler.on_close(&mut ServerCx::new(d.cx(), ServerKey(raw)));
    }
}

/// The end of a shutdown. Without somebody who wants to know, the log gets what went wrong.
#[cold]
fn report(d: &mut Dispatch<'_>, farewell: Farewell, to: Option<Reporter>) {
    let mut driver = d.driver();
    let Farewell { mut report, began } = farewell;
    report.took = Duration::from_nanos(as_nanos(driver.clock()).saturating_sub(began));
    let Some(reporter) = to else {
        if report.cut_off > 0 {
            driver.warn("tidegate::net", "cut off", 1, format_args!("{report}"));
        }
        return;
    };
    let told = catch_unwind(AssertUnwindSafe(|| reporter(&mut d.cx(), report)));
    // The server's `on_close` is still to come.
    if let Err(payload) = told {
        d.driver().panic_later(payload);
    }
}

/// Who gets the report of a shutdown; one that was there before is dropped.
pub(crate) fn set_reporter(
    cx: &mut Cx<'_>,
    server: ServerKey,
    reporter: Reporter,
) -> Result<(), KeyError> {
    let (layer, mut d) = cx.layer(&NET);
    let found = d.check(server.0).and_then(|()| layer.listener(&d, server).ok_or(KeyError::Closed));
    match found {
        Ok(l) => {
            if let Some(before) = l.reporter.replace(reporter) {
                d.bury(before);
            }
            Ok(())
        }
        Err(e) => {
            d.bury(reporter);
            Err(e)
        }
    }
}

/// The connections of a server that are open.
pub(crate) fn connections(cx: &mut Cx<'_>, server: ServerKey) -> Vec<SocketKey> {
    let (layer, mut d) = cx.layer(&NET);
    // The one that is offered is open, too, and is named by its key.
    offer::place(layer, &mut d);
    let of_it = |s: &&Socket| s.server == Some(server) && s.duplex.is_open();
    layer.sockets.iter().map(|(_, s)| s).filter(of_it).map(|s| s.key).collect()
}

/// Where an open server listens.
pub(crate) fn endpoint(cx: &mut Cx<'_>, server: ServerKey) -> Result<Endpoint, KeyError> {
    look(cx, server, |l| l.socket.as_ref().map(|_| l.local.clone()))?.ok_or(KeyError::Closed)
}

/// What waits in the kernel for a server.
pub(crate) fn accept_queue(cx: &mut Cx<'_>, server: ServerKey) -> Result<AcceptQueue, KeyError> {
    look(cx, server, |l| l.socket.as_ref().map(sys::accept_queue))?.ok_or(KeyError::Closed)
}

/// The same for other threads, over one descriptor more for each server that is asked so.
pub(crate) fn accept_gauge(cx: &mut Cx<'_>, server: ServerKey) -> io::Result<AcceptGauge> {
    cx.validate(server)?;
    let (layer, d) = cx.layer(&NET);
    let l = layer.listener(&d, server).ok_or(KeyError::Closed)?;
    let socket = l.socket.as_ref().ok_or(KeyError::Closed)?;
    let gauged = match l.gauged.take() {
        Some(gauged) => gauged,
        None => Gauged::new(sys::duplicate(socket)?),
    };
    Ok(l.gauged.insert(gauged).gauge())
}

pub(crate) fn stats(cx: &mut Cx<'_>, server: ServerKey) -> Result<ServerStats, KeyError> {
    look(cx, server, |l| l.stats)
}

pub(crate) fn look<R>(
    cx: &mut Cx<'_>,
    server: ServerKey,
    f: impl FnOnce(&Listener) -> R,
) -> Result<R, KeyError> {
    cx.validate(server)?;
    let (layer, d) = cx.layer(&NET);
    layer.listener(&d, server).map(|l| f(l)).ok_or(KeyError::Closed)
}
