//! The clocks of connections: set when the state changes, never when bytes come; and they come up.
//! What is done when one is due is in `protocol.rs`.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::Cx;
use tidegate_net::{Net, SocketKey};

use crate::state::clocks::Clock;
use crate::state::deadlines::Entry;
use crate::state::layer::HTTP;

/// Starts or moves a clock; zero: it is off.
#[inline]
pub(crate) fn set(cx: &mut Cx<'_>, at: usize, socket: SocketKey, which: Clock, after: Duration) {
    let (layer, d) = cx.layer(&HTTP);
    let Some(conn) = layer.conn(at, socket) else { return };
    let after = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
    if let Some(time) = conn.clocks.set(which, d.moment(), after) {
        push(cx, (time, socket, at));
    }
}

/// Starts the clock of writes that wait.
pub(super) fn watch_writes(cx: &mut Cx<'_>, at: usize, socket: SocketKey) {
    let out_before = cx.socket(socket).bytes_written();
    let (layer, _) = cx.layer(&HTTP);
    let Some((conn, o)) = layer.with_options(at, socket) else { return };
    conn.out_before = out_before;
    let timeout = o.write_timeout;
    set(cx, at, socket, Clock::Write, timeout);
}

#[cold]
#[inline(never)]
pub(super) fn push(cx: &mut Cx<'_>, entry: Entry) {
    let (layer, _) = cx.layer(&HTTP);
    layer.deadlines.push(entry);
    if layer.deadlines.is_overgrown(layer.conns.len()) {
        let live = layer.conns.iter().map(|(at, c)| (c.clocks.armed(), c.socket, at));
        layer.deadlines.replace(live.filter(|(armed, ..)| *armed != 0));
    }
    start_timer(cx);
}

/// A timer for the first entry, if the one that runs is later.
fn start_timer(cx: &mut Cx<'_>) {
    let (layer, d) = cx.layer(&HTTP);
    let Some(first) = layer.deadlines.first() else { return };
    let running = layer.deadlines.timer;
    if running.is_some_and(|(_, at)| at <= first) {
        return;
    }
    let after = Duration::from_nanos(first.saturating_sub(d.clock_nanos()));
    let moved = running.filter(|(timer, _)| cx.timer_reset(*timer, after).is_ok());
    let timer = match moved {
        Some((timer, _)) => timer,
        None => cx.internal_timer(after, |cx, _| come_up(cx)),
    };
    cx.layer(&HTTP).0.deadlines.timer = Some((timer, first));
}

/// The first entries are due: their connections are called, or looked at again later.
fn come_up(cx: &mut Cx<'_>) {
    let now = cx.driver().nanos();
    cx.layer(&HTTP).0.deadlines.timer = None;
    while let Some((time, socket, at)) = cx.layer(&HTTP).0.deadlines.take_due(now) {
        let (layer, d) = cx.layer(&HTTP);
        let live = layer.conn(at, socket).filter(|c| c.clocks.armed() == time);
        let Some(conn) = live else { continue };
        if conn.clocks.come_up(now, |noted| d.latest(noted)) {
            // The loop may be late, and what is waited for has come.
            cx.socket(socket).wake_after_read();
        } else if let Some(next) = conn.clocks.arm() {
            layer.deadlines.push((next, socket, at));
        }
    }
    start_timer(cx);
}
