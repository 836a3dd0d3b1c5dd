//! A server for which no descriptor or memory is left: it holds, sheds, and goes on.
//!
//! `accept4` says `EMFILE` also if nobody waits, so a held server leaves the poller. It comes
//! back, with all others that are held, by a timer, and in the pending phase after a connection
//! of this loop closed: that connection does not call a server, it queues one
//! (`Layer::pend_held`).
//! Who takes what is free then is decided in `state/fairness/claims.rs`.
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::time::Duration;

use tidegate_loop::event::Readiness;
use tidegate_loop::kind::Dispatch;
use tidegate_loop::{Cx, TimerKey};

use crate::key::ServerKey;
use crate::options::listen::OutOfDescriptors;
use crate::server_event::BatchEnd;
use crate::state::layer::NET;
use crate::state::listener::{Listener, State};
use crate::sys::{self, AcceptFailure};

/// How long a server without descriptors waits before it tries again.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Out of descriptors or memory: the connections stay in the kernel's queue.
/// The listener leaves the poller, or a level-triggered one would spin.
pub(crate) fn hold(d: &mut Dispatch<'_>, server: ServerKey) {
    let timer = back_off(&mut d.cx());
    let (layer, mut d) = d.layer(&NET);
    let Some((l, mut h)) = layer.lend_listener(&mut d, server) else { return };
    l.stats.held += 1;
    l.state = State::Held(timer);
    l.leave_poller(&mut h);
    layer.held += 1;
}

/// Accepts and closes what waits, with the descriptor that is kept for it; how many there
/// were, and why it stopped. `None` if that is not wanted, or did not help.
pub(crate) fn shed(d: &mut Dispatch<'_>, server: ServerKey) -> Option<(u32, BatchEnd)> {
    let (layer, mut driver) = d.layer(&NET);
    let (l, mut h) = layer.lend_listener(&mut driver, server)?;
    let socket = l.socket.as_ref()?;
    drop(l.spare.take()?);
    let (mut connections, mut end) = (0, BatchEnd::Budget);
    while connections < l.budget {
        match h.try_io(Readiness::READABLE, || socket.accept()) {
            Ok(_) => connections += 1,
            Err(e) if sys::accept_failure(&e) == AcceptFailure::Aborted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                end = BatchEnd::WouldBlock;
                break;
            }
            Err(_) => break,
        }
    }
    l.stats.accepted += u64::from(connections);
    l.stats.shed += u64::from(connections);
    l.spare = sys::spare();
    // If none could be shed although some wait, this would be tried again at once, for ever.
    (connections > 0 || end == BatchEnd::WouldBlock).then_some((connections, end))
}

/// All come back together: else the one whose timer is first would be it each time.
pub(crate) fn back_off(cx: &mut Cx<'_>) -> TimerKey {
    cx.timer(BACK_OFF, |cx, _| resume_held(cx))
}

/// Accepts again; if the poller does not take the server back, as soon as it does.
pub(crate) fn listen_or_hold(cx: &mut Cx<'_>, server: ServerKey) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((l, mut h)) = layer.lend_listener(&mut d, server) else { return };
    if l.listen_again(&mut h) {
        l.state = State::Listening;
        return;
    }
    layer.held += 1;
    let timer = back_off(cx);
    let (layer, d) = cx.layer(&NET);
    if let Some(l) = layer.listener(&d, server) {
        l.state = State::Held(timer);
    }
}

/// Tries again what was held.
fn resume(cx: &mut Cx<'_>, server: ServerKey) {
    let (layer, mut d) = cx.layer(&NET);
    let Some((l, mut h)) = layer.lend_listener(&mut d, server) else { return };
    let State::Held(timer) = l.state else { return };
    if l.spare.is_none() && l.admission.out_of_descriptors == OutOfDescriptors::Shed {
        l.spare = sys::spare();
    }
    if l.listen_again(&mut h) {
        l.state = State::Listening;
        layer.held -= 1;
    } else {
        let again = back_off(cx);
        let (layer, d) = cx.layer(&NET);
        if let Some(l) = layer.listener(&d, server) {
            l.state = State::Held(again);
        }
    }
    // It is this timer that runs, or one that is not needed any more.
    let _ = cx.timer_stop(timer);
}

/// A descriptor came free, or may have: those that are held come back, the one that was served
/// least recently first.
pub(crate) fn resume_held(cx: &mut Cx<'_>) {
    let (layer, _) = cx.layer(&NET);
    if layer.held == 0 {
        return;
    }
    let is_held = |l: &Listener| matches!(l.state, State::Held(_));
    let held = layer.listeners.iter().map(|(_, l)| l).filter(|l| is_held(l));
    let mut held: Vec<(u64, ServerKey)> = held.map(|l| (l.place.served, l.key)).collect();
    held.sort_unstable();
    if let Some((claim, _)) = held.first() {
        layer.claims.open_round(*claim);
    }
    for (_, server) in held {
        resume(cx, server);
    }
}
