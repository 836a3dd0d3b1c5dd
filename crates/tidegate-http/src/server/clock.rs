//! The timers of a connection. Each moves when the state changes, never when bytes come; what
//! happens when one comes up is in `protocol.rs`.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::Cx;
use tidegate_net::{Net, SocketKey};

/// Of the head that is awaited: its request has begun, or it is to begin.
pub(super) const DEADLINE: u64 = u64::MAX;
/// Of the whole request.
pub(super) const REQUEST: u64 = u64::MAX - 1;
/// Of writes that wait.
pub(super) const STALL: u64 = u64::MAX - 2;
/// To be called soon.
pub(super) const WAKE: u64 = u64::MAX - 3;
/// Until the client may ask again.
pub(super) const HOLD: u64 = u64::MAX - 4;

/// Starts or moves a timer; zero: it is off.
#[inline]
pub(super) fn set(cx: &mut Cx<'_>, socket: SocketKey, which: u64, after: Duration) {
    match after {
        Duration::ZERO => cx.socket(socket).clear_timer(which),
        after => cx.socket(socket).set_timer(which, after),
    }
}

/// Calls the connection in a dispatch of its own.
pub(super) fn wake(cx: &mut Cx<'_>, socket: SocketKey) {
    cx.socket(socket).set_timer(WAKE, Duration::ZERO);
}

/// Ends all of them: another protocol takes the connection.
pub(super) fn clear(cx: &mut Cx<'_>, socket: SocketKey) {
    for which in [DEADLINE, REQUEST, STALL, WAKE, HOLD] {
        cx.socket(socket).clear_timer(which);
    }
}

/// How long an idle connection is kept: a request that is on its way then still comes.
pub(super) fn kept(keep_alive: Duration) -> Duration {
    match keep_alive {
        Duration::ZERO => Duration::ZERO,
        keep_alive => keep_alive + Duration::from_secs(1),
    }
}
