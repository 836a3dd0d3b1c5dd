//! Timers of a connection: the loop's, but told to the handler, and gone with the connection.
//!
//! Which there are is kept by `state/rare.rs`. The connection's deadlines are in `expire.rs`.
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::Cx;

use crate::key::SocketKey;
use crate::state::layer::NET;
use crate::state::rare::Rare;
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

/// Starts the timer of this token, or moves it.
pub(crate) fn set(cx: &mut Cx<'_>, key: SocketKey, token: u64, after: Duration) {
    clear(cx, key, token);
    if !is_open(cx, key) {
        return;
    }
    let timer = cx.timer(after, move |cx, _| come_up(cx, key, token));
    // The connection keeps the loop alive. An error: there was no room for it, which is counted.
    if cx.set_ref(timer, false).is_err() {
        return;
    }
    let (layer, mut d) = cx.layer(&NET);
    layer.with(&mut d, key, |s, _, _| s.rare_or_new().timers.add(token, timer));
}

pub(crate) fn clear(cx: &mut Cx<'_>, key: SocketKey, token: u64) {
    let (layer, d) = cx.layer(&NET);
    let Some(rare) = layer.socket(&d, key).and_then(|s| s.rare()) else { return };
    if let Some(timer) = rare.timers.remove(token) {
        let _ = cx.timer_stop(timer);
    }
}

fn is_open(cx: &mut Cx<'_>, key: SocketKey) -> bool {
    let (layer, d) = cx.layer(&NET);
    layer.socket(&d, key).is_some_and(|s| s.duplex.is_open())
}

fn come_up(cx: &mut Cx<'_>, key: SocketKey, token: u64) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut d, key).filter(|(s, _)| s.duplex.is_open())
    else {
        return;
    };
    s.rare_or_new().timers.fall_due(token);
    h.pend();
}

/// The connection is over.
pub(crate) fn stop_all(cx: &mut Cx<'_>, rare: Option<&mut Rare>) {
    if let Some(rare) = rare {
        for timer in rare.timers.take_running() {
            let _ = cx.timer_stop(timer);
        }
    }
}
