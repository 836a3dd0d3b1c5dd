//! The filters of a connection begin, are ready, or refuse: the connection then fails with the
//! filter's error. What that filter said last, a TLS alert, reaches the peer: closing a socket with
//! bytes of the peer unread sends a RST, which may overtake it.
//!
//! | the call that failed | next |
//! |---|---|
//! | passed nothing down, or the peer has ended | closed at once |
//! | passed bytes down | they go out, then our FIN; what comes is dropped: at most 64 KiB, 2 s |
#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_loop::kind::Handle;

use crate::callbacks::filter::Factory;
use crate::error::close::Reason;
use crate::error::filter_fault::placed;
use crate::filter::call::make_all;
use crate::filter::stack::{Failed, Stack};
use crate::options::listen::Gate;
use crate::socket::filters::run::By;
use crate::state::deadlines::clocks::as_nanos;
use crate::state::layer::Shared;
use crate::state::rare::Discard;
use crate::state::socket::{Life, Socket};
use crate::state::wire::Wire;

/// What is dropped at most, and for how long.
const MOST: u64 = 64 * 1024;
const TIME_MS: u32 = 2000;

impl Socket {
    /// The filters of these factories, which are started once the connection is made. `false`
    /// if a factory panicked: the connection is over.
    pub(crate) fn make_filters(
        &mut self,
        h: &mut Handle<'_>,
        factories: &[Factory],
        host: Option<&str>,
    ) -> bool {
        match make_all(factories, host) {
            Ok(filters) => {
                let mut stack = Box::<Stack>::default();
                for filter in filters {
                    stack.push(filter);
                }
                self.wire = Wire::Filter(stack);
                true
            }
            Err(payload) => {
                self.destroy(h, Reason::Panicked);
                h.panic_later(payload);
                false
            }
        }
    }

    /// As [`make_filters`](Socket::make_filters), for a server's connection: so long may pass
    /// until they are ready. It is started.
    pub(crate) fn gate(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        gate: &Gate,
        lifetime_ms: u32,
    ) {
        if !self.make_filters(h, &gate.filters, None) {
            return;
        }
        if let Wire::Filter(stack) = &mut self.wire {
            stack.has_deadline = gate.handshake_ms != 0;
            stack.lifetime_ms = lifetime_ms;
        }
        if gate.handshake_ms != 0 {
            self.clocks.set_until(gate.handshake_ms, as_nanos(h.clock()));
        }
        self.filter(h, shared, By::Peer, |stack, run| stack.start(run));
    }

    /// Whether the filters of a server's connection are ready, so that it is offered now.
    pub(crate) fn may_pass_gate(&self) -> bool {
        let is_ready = matches!(&self.wire, Wire::Filter(stack) if stack.is_ready());
        is_ready && self.life == Life::Gated && self.server.is_some() && self.duplex.is_open()
    }

    /// The same, and it passes.
    pub(crate) fn pass_gate(&mut self) -> bool {
        let passes = self.may_pass_gate();
        if let Wire::Filter(stack) = &mut self.wire {
            if passes {
                stack.ready_told = true;
                stack.passes_gate = true;
                stack.has_deadline = false;
                self.life = Life::Offered;
            }
        }
        passes
    }

    /// A filter failed; what it passed down was offered to the kernel.
    pub(crate) fn refuse(&mut self, h: &mut Handle<'_>, shared: &mut Shared, failed: Failed) {
        let Failed { error, otherwise, spoke } = failed;
        if !self.duplex.is_open() {
            // Its last message met a reset, which is the reason already.
            h.unhandled("tidegate::net", "filter", format_args!("{}: {error}", self.describe()));
            return h.bury(error);
        }
        let (stage, source) = placed(error, otherwise);
        let error = self.error(stage, source, h);
        let sends = spoke && !self.duplex.write.has_failed() && self.stream.is_some();
        let peer_ended = matches!(&self.wire, Wire::Filter(stack) if stack.fin);
        if !sends || peer_ended || self.life == Life::Connecting {
            return self.destroy(h, Reason::Failed(error));
        }
        self.life = Life::Refused;
        self.keep_failure(error);
        drop(self.take_all_given_back(shared));
        self.pipes_mut().discard = Some(Discard::UpTo(MOST));
        self.steer_reads();
        self.resume(h);
        let now = as_nanos(h.clock());
        self.clocks.set_idle(Duration::ZERO, now);
        self.clocks.set_linger(Duration::ZERO, now);
        self.clocks.set_until(TIME_MS, now);
        self.duplex.write.end();
        self.duplex.write.hold_back(false);
        self.flush(h, shared);
        self.finish();
        // The pending phase finds that it is not due, and arms it.
        self.clocks.fall_due();
        h.pend();
    }

    /// Why it ends: a connection that a filter refused ends with that.
    pub(crate) fn first_reason(&mut self, reason: Reason) -> Reason {
        if self.life != Life::Refused {
            return reason;
        }
        self.take_failure().map_or(reason, Reason::Failed)
    }
}
