//! Deadlines and timers of connections come up: a connection is looked at, and told or closed.
//!
//! When they come up is decided in `state/deadlines/`. None of them keeps a loop alive.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::Cx;
use tidegate_loop::event::Readiness;
use tidegate_loop::kind::Handle;

use crate::error::close::Reason;
use crate::error::fault::Timeout;
use crate::error::stage::Stage;
use crate::key::SocketKey;
use crate::state::deadlines::clocks::{Due, View, as_nanos};
use crate::state::deadlines::timers::OwnTimers;
use crate::state::layer::NET;
use crate::state::socket::{Life, Socket};

/// Makes sure that the connection is looked at when its next deadline comes. Cheap if there
/// is none, or an entry that is early enough.
pub(crate) fn arm(cx: &mut Cx<'_>, key: SocketKey) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, h)) = layer.lend_socket(&mut d, key).filter(|(s, _)| s.duplex.is_open()) else {
        return;
    };
    let (view, now) = (s.view(&h), h.nanos());
    let Some(at) = s.look_at(view, now) else { return };
    push(cx, key, at);
}

impl Socket {
    /// When to look at its deadlines and timers again.
    fn look_at(&self, view: View, now: u64) -> Option<u64> {
        let timers = self.timers().and_then(OwnTimers::look_at);
        self.clocks.look_at(view, now).into_iter().chain(timers).min()
    }
}

/// The connection is to be looked at then, if not before.
#[inline(never)]
pub(crate) fn push(cx: &mut Cx<'_>, key: SocketKey, at: u64) {
    let (layer, d) = cx.layer(&NET);
    let Some(s) = layer.socket(&d, key) else { return };
    if s.clocks.armed_ns != 0 && s.clocks.armed_ns <= at {
        return;
    }
    s.clocks.armed_ns = at;
    layer.deadlines.push(at, key);
    if layer.deadlines.is_overgrown(layer.sockets.len()) {
        let live = layer.sockets.iter().map(|(_, s)| (s.clocks.armed_ns, s.key));
        layer.deadlines.replace(live.filter(|(armed, _)| *armed != 0));
    }
    start_timer(cx);
}

/// A timer for the first entry, if the one that runs is later.
fn start_timer(cx: &mut Cx<'_>) {
    let (layer, d) = cx.layer(&NET);
    let Some(first) = layer.deadlines.first() else { return };
    let running = layer.deadlines.timer;
    if running.is_some_and(|(_, at)| at <= first) {
        return;
    }
    let after = Duration::from_nanos(first.saturating_sub(as_nanos(d.clock())));
    let reset = running.filter(|(timer, _)| cx.timer_reset(*timer, after).is_ok());
    let timer = match reset {
        Some((timer, _)) => timer,
        None => cx.internal_timer(after, |cx, _| come_up(cx)),
    };
    cx.layer(&NET).0.deadlines.timer = Some((timer, first));
}

/// The first entries are due.
fn come_up(cx: &mut Cx<'_>) {
    let at = now(cx);
    cx.layer(&NET).0.deadlines.timer = None;
    while let Some((due, key)) = cx.layer(&NET).0.deadlines.take_due(at) {
        look(cx, key, due, at);
    }
    start_timer(cx);
}

fn look(cx: &mut Cx<'_>, key: SocketKey, entry: u64, now: u64) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut d, key).filter(|(s, _)| s.duplex.is_open())
    else {
        return;
    };
    if s.clocks.armed_ns != entry {
        return;
    }
    s.clocks.armed_ns = 0;
    if s.rare().is_some_and(|r| r.timers.fall_due(now, |noted| h.latest(noted))) {
        h.pend();
    }
    s.clocks.place_activity(|noted| h.latest(noted));
    let view = s.view(&h);
    let due = s.clocks.next(view).filter(|(at, _)| *at <= now);
    let Some((_, which)) = due else {
        s.clocks.wait();
        if let Some(at) = s.look_at(view, now) {
            push(cx, key, at);
        }
        return;
    };
    let timers = s.timers().and_then(OwnTimers::look_at);
    let reads = matches!(s.life, Life::Open | Life::Gated) && s.takes_bytes();
    let hard = matches!(which, Timeout::Lifetime | Timeout::Shutdown);
    let soft = which == Timeout::Connect || !hard && reads;
    if soft {
        // The loop may be late: the kernel is asked before it is called silent.
        s.clocks.probe();
        if reads {
            h.assume(Readiness::READABLE);
        }
        h.queue();
    } else {
        s.clocks.fall_due();
        h.pend();
    }
    // Its deadlines go on when this one was told or taken back.
    if let Some(at) = timers {
        push(cx, key, at);
    }
}

/// What is due for this connection, once. An idle one is to be told, unless it has closed by
/// then; the others are its end.
pub(crate) fn take_due(s: &mut Socket, h: &mut Handle<'_>) -> Option<Due> {
    if !s.clocks.is_due() {
        return None;
    }
    s.clocks.wait();
    s.clocks.place_activity(|noted| h.latest(noted));
    let now = h.nanos();
    let view = s.view(h);
    // Bytes may have moved since, or it was taken back.
    let due = s.clocks.next(view).filter(|(at, _)| *at <= now);
    let Some((_, which)) = due else { return Some(Due::NotYet) };
    if which == Timeout::Idle {
        s.clocks.idle_was_told();
    }
    Some(Due::Now(which))
}

/// The end of a connection by a deadline.
pub(crate) fn reason(s: &mut Socket, h: &Handle<'_>, which: Timeout) -> Reason {
    let alone = s.remote().filter(|_| s.stream.is_some());
    if let Some(c) = s.connecting_mut() {
        c.give_up_on_running(alone, h.nanos());
    }
    let stage = match which {
        Timeout::Connect if s.life == Life::Connecting => Stage::Connect,
        Timeout::Connect | Timeout::Handshake => Stage::Handshake,
        _ => Stage::Open,
    };
    let source = std::io::Error::new(std::io::ErrorKind::TimedOut, which);
    Reason::TimedOut(which, s.error(stage, source, h))
}

fn now(cx: &mut Cx<'_>) -> u64 {
    as_nanos(cx.driver().now())
}
