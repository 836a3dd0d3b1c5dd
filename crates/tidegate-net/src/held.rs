//! A server for which no descriptor or memory is left: it holds, sheds, and goes on.
//!
//! `accept4` says `EMFILE` also if nobody waits, so a held server leaves the poller. It comes
//! back, with all others that are held, when a connection of this loop closes, and by a timer.
//!
//! What is free then goes round: the server that was served least recently claims it. Servers
//! that are not held are in the poller already and would be called before those that come
//! back, so one that was served more recently than a claimer goes once behind the others.
#![forbid(unsafe_code)]

use std::io::ErrorKind;
use std::time::Duration;

use tidegate_loop::{Bits, Cx, Dispatch, Driver, TimerKey, Trigger};

use crate::event::{BatchEnd, ServerEvent};
use crate::key::ServerKey;
use crate::layer::Layer;
use crate::listener::{Listener, State};
use crate::options::OutOfDescriptors;
use crate::sys;

/// How long a server without descriptors waits before it tries again.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Whose turn it is to take a descriptor.
#[derive(Default)]
pub(crate) struct Claims {
    /// Batches of all servers that accepted something.
    served: u64,
    /// The times that servers came back.
    round: u64,
    /// When the one that comes first of these was served.
    claim: Option<u64>,
}

/// One server's place in that.
#[derive(Default)]
pub(crate) struct Place {
    /// The number of its last batch.
    served: u64,
    /// The last round in which it let others go first.
    yielded: u64,
}

impl Claims {
    /// Its batch is over.
    #[inline]
    pub(crate) fn served(&mut self, place: &mut Place) {
        self.served += 1;
        place.served = self.served;
    }

    /// Whether it is to let another go first, which waited for longer.
    #[inline]
    pub(crate) fn must_yield(&self, place: &mut Place) -> bool {
        let Some(claim) = self.claim else { return false };
        if place.served <= claim || place.yielded == self.round {
            return false;
        }
        place.yielded = self.round;
        true
    }

    fn open_round(&mut self, claim: u64) {
        self.round += 1;
        self.claim = Some(claim);
    }
}

/// Out of descriptors or memory: the connections stay in the kernel's queue.
/// The listener leaves the poller, or a level-triggered one would spin.
pub(crate) fn hold(d: &mut Dispatch<'_>, server: ServerKey) {
    let timer = back_off(&mut d.cx());
    let (layer, mut d) = d.parts::<Layer>();
    let Some(l) = layer.listener(&d, server) else { return };
    l.stats.held += 1;
    l.state = State::Held(timer);
    leave_poller(l, &mut d);
    layer.held += 1;
}

/// A listener that accepts nothing must not be level-triggered: every poll would return.
pub(crate) fn leave_poller(l: &mut Listener, d: &mut Driver<'_>) {
    if let (Some(socket), Trigger::Level) = (&mut l.socket, l.trigger) {
        if let Err(e) = d.deregister_level(l.key.0, socket) {
            let alike = ("hold", l.key, e.raw_os_error());
            d.warn("tidegate::net", alike, 1, format_args!("holding {} failed: {e}", l.local));
        }
    }
}

/// Back to the poller, which says who waits; `false` if that failed.
pub(crate) fn listen_again(l: &mut Listener, d: &mut Driver<'_>) -> bool {
    let back = match (&mut l.socket, l.trigger) {
        (Some(socket), Trigger::Level) => d.register_level(l.key.0, socket).map(|_| ()),
        _ => Ok(()),
    };
    // Accepting just to see would fail for want of a descriptor even if nobody waited, so
    // only an edge-triggered one does.
    if back.is_ok() && l.trigger == Trigger::Edge {
        d.assume(l.key.0, Bits::READABLE);
        d.queue(l.key.0);
    }
    if back.is_ok() {
        l.tell(d, || ServerEvent::Resumed);
    }
    if let Err(e) = &back {
        let (alike, at) = (("held", l.key, e.raw_os_error()), &l.local);
        d.warn("tidegate::net", alike, 1, format_args!("accept on {at} is still held: {e}"));
    }
    back.is_ok()
}

/// Accepts and closes what waits, with the descriptor that is kept for it; how many there
/// were, and why it stopped. `None` if that is not wanted, or did not help.
pub(crate) fn shed(d: &mut Dispatch<'_>, server: ServerKey) -> Option<(u32, BatchEnd)> {
    let (layer, mut driver) = d.parts::<Layer>();
    let l = layer.listener(&driver, server)?;
    let socket = l.socket.as_ref()?;
    drop(l.spare.take()?);
    let (mut connections, mut end) = (0, BatchEnd::Budget);
    while connections < l.budget {
        match driver.try_io(server.0, Bits::READABLE, || socket.accept()) {
            Ok(_) => connections += 1,
            Err(e) if e.kind() == ErrorKind::ConnectionAborted => {}
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
    // With nobody shed, though somebody waits, this would be tried again at once and for ever.
    (connections > 0 || end == BatchEnd::WouldBlock).then_some((connections, end))
}

/// All come back together: else the one whose timer is first would be it each time.
pub(crate) fn back_off(cx: &mut Cx<'_>) -> TimerKey {
    cx.timer(BACK_OFF, |cx, _| resume_held(cx))
}

/// Tries again what was held.
fn resume(cx: &mut Cx<'_>, server: ServerKey) {
    let (layer, mut d) = cx.parts::<Layer>();
    let Some(l) = layer.listener(&d, server) else { return };
    let State::Held(timer) = l.state else { return };
    if l.spare.is_none() && l.admission.out_of_descriptors == OutOfDescriptors::Shed {
        l.spare = sys::spare();
    }
    if listen_again(l, &mut d) {
        l.state = State::Listening;
        layer.held -= 1;
    } else {
        let again = back_off(cx);
        let (layer, d) = cx.parts::<Layer>();
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
    let (layer, _) = cx.parts::<Layer>();
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
