//! Timers of a connection: told to what stands above it, and gone with it.
//!
//! Which there are, and which are due, is kept by `state/deadlines/timers.rs`. They share the
//! connection's entry among the deadlines of the loop, which comes up in `expire.rs`.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::Cx;

use crate::key::SocketKey;
use crate::socket::expire;
use crate::state::deadlines::clocks::as_nanos;
use crate::state::layer::NET;
use crate::state::socket::{Life, Socket};

impl Socket {
    /// The token of the next timer to tell: none before the connection is made.
    pub(crate) fn take_due_timer(&mut self) -> Option<u64> {
        if self.life != Life::Open || !self.duplex.is_open() {
            return None;
        }
        self.rare()?.timers.take_due()
    }
}

/// Starts the timer of this token, or moves it. Costs nothing more if the connection is looked at
/// before that anyway.
pub(crate) fn set(cx: &mut Cx<'_>, key: SocketKey, token: u64, after: Duration) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, h)) = layer.lend_socket(&mut d, key).filter(|(s, _)| s.duplex.is_open()) else {
        return;
    };
    let (noted, after) = (h.moment(), as_nanos(after));
    let rare = if s.is_rare() { s.rare() } else { Some(s.rare_or_new()) };
    let Some(rare) = rare else { return };
    let at = rare.timers.set(token, noted, after);
    if s.clocks.armed_ns == 0 || at < s.clocks.armed_ns {
        expire::push(cx, key, at);
    }
}

pub(crate) fn clear(cx: &mut Cx<'_>, key: SocketKey, token: u64) {
    let (layer, d) = cx.layer(&NET);
    if let Some(rare) = layer.socket(&d, key).and_then(|s| s.rare()) {
        rare.timers.clear(token);
    }
}
