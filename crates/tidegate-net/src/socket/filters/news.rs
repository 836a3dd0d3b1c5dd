//! Reports what filters made, in a dispatch: that all are ready, then bytes, then the end, then the
//! error of a filter that failed. What they made for the kernel is sent by `run.rs`.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};

use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Handle};
use tidegate_stream::ReadState;

use crate::error::stage::Stage;
use crate::filter::stack::Failed;
use crate::key::SocketKey;
use crate::socket::call::{call, connect, ended, received};
use crate::socket::expire;
use crate::socket::filters::run::{By, give_back};
use crate::state::deadlines::clocks::as_nanos;
use crate::state::layer::{NET, Shared};
use crate::state::socket::{Life, Socket};
use crate::state::wire::Wire;

/// The most calls in which one dispatch tells what filters have made.
const TOLD: usize = 1000;

impl Socket {
    /// Whether [`settle`] has something to do now.
    #[cold]
    pub(crate) fn has_news(&self) -> bool {
        let Wire::Filter(stack) = &self.wire else { return false };
        let waits = stack.waits() || stack.failed.is_some();
        let told = match self.life {
            Life::Open => !stack.ready_told || (waits && self.duplex.read.wants_read()),
            Life::Gated => self.server.is_none(),
            _ => false,
        };
        let ready = stack.is_ready();
        let runs = self.duplex.is_open() && self.life != Life::Refused;
        runs && (stack.poked || (ready && told) || (!ready && stack.end_due))
    }

    /// The peer's FIN goes through the filters, once.
    pub(crate) fn wire_end(&mut self, h: &mut Handle<'_>, shared: &mut Shared) {
        // If a filter keeps the end for later, reading would only say it again.
        h.forget(Readiness::READABLE);
        let Wire::Filter(stack) = &mut self.wire else { return };
        if stack.failed.is_some() {
            stack.fin = true;
        }
        if !stack.fin {
            self.filter(h, shared, By::Peer, |stack, run| stack.inbound_end(run));
        }
    }

    /// Whether what filters passed up is to be delivered still.
    pub(super) fn delivers(&self) -> bool {
        let waits = matches!(&self.wire, Wire::Filter(stack) if stack.is_ready() && stack.waits());
        waits && self.life == Life::Open
    }

    /// A filter failed: reported when what was passed up before is delivered.
    pub(super) fn fail_later(&mut self, failed: Failed) {
        self.duplex.write.end();
        self.duplex.write.hold_back(false);
        if let Wire::Filter(stack) = &mut self.wire {
            stack.failed = Some(Box::new(failed));
        }
    }

    /// What filters made was told, as far as that can be now.
    fn after_news(&mut self, h: &mut Handle<'_>, shared: &mut Shared) {
        let Wire::Filter(stack) = &mut self.wire else { return };
        if !stack.ready_told {
            return;
        }
        let failed = if stack.waits() { None } else { stack.failed.take() };
        self.send_later(h);
        if let Some(failed) = failed {
            self.refuse(h, shared, *failed);
        }
    }
}

/// Bytes from the kernel go through the filters to the handler. `false`: the connection is to be
/// offered to its server's handler, which may pause it: no more is read before.
#[cold]
#[inline(never)]
pub(crate) fn filtered(d: &mut Dispatch<'_>, key: SocketKey, wire: &mut [u8]) -> bool {
    let (layer, mut driver) = d.layer(&NET);
    layer.with(&mut driver, key, |s, h, shared| match s.life {
        Life::Refused => s.discard(h, wire.len()),
        _ => s.filter(h, shared, By::Peer, |stack, run| stack.inbound(wire, run)),
    });
    settle(d, key);
    let (layer, driver) = d.layer(&NET);
    !layer.socket(&driver, key).is_some_and(|s| s.may_pass_gate())
}

/// The peer's FIN goes through the filters.
#[cold]
#[inline(never)]
pub(crate) fn wire_ended(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.layer(&NET);
    layer.with(&mut driver, key, |s, h, shared| s.wire_end(h, shared));
    settle(d, key);
}

/// A connection that we asked for is made: its filters are started, then, or when they are
/// ready, comes `on_connect`.
pub(crate) fn made(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.layer(&NET);
    let gated = layer.socket(&driver, key).is_some_and(|s| s.life == Life::Gated);
    if !gated {
        return connect(d, key);
    }
    layer.with(&mut driver, key, |s, h, shared| {
        s.filter(h, shared, By::Peer, |stack, run| stack.start(run));
    });
    settle(d, key);
}

/// Delivers what filters have made: ready, then bytes, then the end, then an error; for a server's
/// connection that waits to be offered, nothing. `false`: it was too much for one dispatch, and the
/// rest comes in the next turn.
#[cold]
#[inline(never)]
pub(crate) fn settle(d: &mut Dispatch<'_>, key: SocketKey) -> bool {
    for _ in 0..TOLD {
        if !settle_one(d, key) {
            settle_last(d, key);
            return true;
        }
    }
    let (layer, mut driver) = d.layer(&NET);
    if let Some((s, mut h)) = layer.lend_socket(&mut driver, key) {
        s.go_on_later(&mut h);
    }
    false
}

/// What is left to do when all is delivered that can be now.
fn settle_last(d: &mut Dispatch<'_>, key: SocketKey) {
    let (layer, mut driver) = d.layer(&NET);
    let Some(s) = layer.socket(&driver, key) else { return };
    if matches!(&s.wire, Wire::Filter(stack) if stack.failed.is_some() || !stack.later.is_empty()) {
        layer.with(&mut driver, key, |s, h, shared| s.after_news(h, shared));
    }
}

/// The next thing that filters have made. Whether there may be more.
fn settle_one(d: &mut Dispatch<'_>, key: SocketKey) -> bool {
    let (layer, mut driver) = d.layer(&NET);
    let Some((s, mut h)) = layer.lend_socket(&mut driver, key) else { return false };
    if !s.duplex.is_open() || s.life == Life::Refused {
        return false;
    }
    let Wire::Filter(stack) = &mut s.wire else { return false };
    if stack.failed.is_some() {
        stack.poked = false;
    }
    if stack.poked {
        layer.with(&mut driver, key, |s, h, shared| {
            s.filter(h, shared, By::Peer, |stack, run| stack.poke(run));
        });
        return true;
    }
    if !stack.is_ready() {
        if stack.end_due {
            let text = "the peer ended before the filter was ready";
            s.fail(&mut h, Stage::Filter, io::Error::new(ErrorKind::UnexpectedEof, text));
        }
        return false;
    }
    match s.life {
        Life::Open if !stack.ready_told => {
            stack.ready_told = true;
            call(d, key, |h, s| h.on_ready(s), |d, p, data| (p.ready)(d, key, data));
            return true;
        }
        Life::Open => {}
        Life::Gated if s.server.is_none() => {
            stack.ready_told = true;
            let lifetime_ms = stack.lifetime_ms;
            s.life = Life::Open;
            s.tell_busy(&mut h);
            s.clocks.set_until(lifetime_ms, as_nanos(h.clock()));
            expire::arm(&mut d.cx(), key);
            connect(d, key);
            return true;
        }
        _ => return false,
    }
    if s.duplex.read == ReadState::OnDemand {
        // A protocol that reads takes it, or what was given back comes first: in the next dispatch.
        s.go_on_reading(&mut h);
        layer.with(&mut driver, key, |s, _, _| s.drop_spent());
        return false;
    }
    if !s.duplex.read.wants_read() {
        return false;
    }
    if !stack.inbox.is_empty() {
        let mut up = std::mem::take(&mut stack.inbox);
        layer.with(&mut driver, key, |s, h, _| s.count_filters(h));
        received(d, key, &mut up);
        up.clear();
        give_back(&mut d.layer(&NET).0.shared.passed.up, up);
        return true;
    }
    if std::mem::take(&mut stack.end_due) {
        ended(d, key);
        return false;
    }
    layer.with(&mut driver, key, |s, _, _| s.drop_spent());
    false
}
