//! Receiving, bounded: by datagrams and by bytes in a turn. A callback that pauses the socket in
//! the middle of a batch gets the rest when it resumes.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use tidegate_loop::event::Readiness;
use tidegate_loop::kind::{Dispatch, Handle};

use crate::datagram::{Ecn, Meta, UdpReason};
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::key::UdpKey;
use crate::sys::udp::{Beside, SLOTS, Slots, is_of_network, next_soft_error};
use crate::udp::call::call_taken;
use crate::udp::send::TURN;
use crate::udp::state::{Life, UDP, Udp, Watched};
use crate::udp_event::{ReceiveEnd, UdpEvent};

/// Receiving that fails so often with nothing between is the end of the socket.
const FAILURES: u8 = 16;

/// Errors of the error queue that one pass takes.
const HEARD: usize = 64;

/// What became of a turn so far.
struct Batch {
    datagrams: u32,
    bytes: usize,
    budget: u32,
    left: u32,
    bytes_left: usize,
}

/// The socket's turn to receive: until the kernel has no more, the budget is spent, or going back to
/// the poller is cheaper.
pub(crate) fn receive(d: &mut Dispatch<'_>, key: UdpKey) {
    let (layer, mut driver) = d.layer(&UDP);
    let Some((u, _, shared)) = layer.lend(&mut driver, key) else { return };
    let budget = u.bounds.budget.unwrap_or(shared.limits.datagram_budget);
    // A panic loses them, and the next pass makes others.
    let mut slots = shared.slots.take().unwrap_or_else(|| Box::new(Slots::new()));
    let mut batch = Batch {
        datagrams: 0,
        bytes: 0,
        budget,
        left: budget,
        bytes_left: shared.limits.receive_budget,
    };
    u.is.corked = true;
    let kept = if u.has_kept() { deliver_kept(d, key, &mut batch) } else { None };
    let stopped = match kept {
        Some(stopped) => stopped,
        None => run(d, key, &mut slots, &mut batch),
    };
    let (layer, mut driver) = d.layer(&UDP);
    layer.shared.slots = Some(slots);
    let Some((u, mut h, _)) = layer.lend(&mut driver, key) else { return };
    u.is.corked = false;
    u.is.answers_at_once = false;
    if stopped == ReceiveEnd::Budget {
        u.rare().stats.carried_over += 1;
        h.queue();
    }
    if batch.datagrams > 0 {
        let Batch { datagrams, bytes, .. } = batch;
        u.tell(&mut h, || UdpEvent::Received { datagrams, bytes, stopped });
    }
}

fn run(d: &mut Dispatch<'_>, key: UdpKey, slots: &mut Slots, batch: &mut Batch) -> ReceiveEnd {
    let mut tried = 0;
    let (mut want, mut is_level, mut together) = (0, false, true);
    loop {
        let (layer, mut driver) = d.layer(&UDP);
        let Some((u, mut h, shared)) = layer.lend(&mut driver, key) else {
            return ReceiveEnd::Stopped;
        };
        // What the callbacks of the last batch sent.
        if tried > 0 && u.queue.is_some() && !u.is.blocked {
            u.flush(&mut h, shared, TURN);
        }
        if !u.receives() {
            return ReceiveEnd::Stopped;
        }
        let budget = batch.budget;
        if tried == 0 {
            is_level = u.watched == Watched::Level;
            want = u32::MAX;
            if is_level {
                let wanted = u.pace.want(budget, h.batch(), h.away());
                // With control messages one datagram takes that call, too.
                (want, together) = (wanted.datagrams, wanted.together || u.is.controlled);
            }
        }
        if batch.left == 0 || batch.bytes_left == 0 {
            u.learn(is_level, tried, want);
            return ReceiveEnd::Budget;
        }
        if tried >= want {
            // The poller says it again.
            h.forget(Readiness::READABLE);
            u.learn(is_level, tried, want);
            return ReceiveEnd::Enough;
        }
        let ask = if together { u.slots_for((want - tried).min(batch.left)) } else { 1 };
        let Some(socket) = &u.socket else { return ReceiveEnd::Stopped };
        let (most, controlled) = (u.bounds.max_datagram as usize, u.is.controlled);
        let received =
            h.try_io(Readiness::READABLE, || slots.receive(socket, ask, most, controlled));
        let got = match received {
            Ok(got) => got,
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                u.learn(is_level, tried, want);
                return ReceiveEnd::Empty;
            }
            Err(e) => {
                tried += 1;
                batch.left -= 1;
                u.failed(&mut h, e);
                continue;
            }
        };
        u.is.failing = 0;
        u.is.answers_at_once = !together;
        u.counts.receive_calls += 1;
        if u.is.train > 0 {
            u.is.train = longest_train(slots, got);
        }
        tried += got as u32;
        if let Some(end) = deliver_all(d, key, slots, got, batch) {
            return end;
        }
        if is_level && got < ask {
            let (layer, mut driver) = d.layer(&UDP);
            if let Some((u, mut h, _)) = layer.lend(&mut driver, key) {
                h.forget(Readiness::READABLE);
                u.learn(is_level, tried, want);
            }
            return ReceiveEnd::Empty;
        }
    }
}

impl Udp {
    /// How many slots to receive to, for so many datagrams: trains are taken to be as long as those
    /// of the last call.
    #[inline]
    fn slots_for(&self, datagrams: u32) -> usize {
        let slots = match self.is.train {
            0 => datagrams,
            train => (datagrams / u32::from(train)).max(1),
        };
        slots.min(SLOTS as u32) as usize
    }

    fn learn(&mut self, is_level: bool, tried: u32, want: u32) {
        if is_level {
            self.pace.learn(tried, want);
        }
    }

    /// Receiving failed. An error of the network is about a datagram that was sent.
    #[cold]
    fn failed(&mut self, h: &mut Handle<'_>, e: io::Error) {
        let peer = self.socket.as_ref().and_then(|s| s.peer_addr().ok());
        let local = self.socket.as_ref().and_then(|s| s.local_addr().ok());
        if is_of_network(&e) {
            // The error queue has it with its destination.
            if self.is.hears_errors {
                return hear(self, h);
            }
            return self.network_said(h, NetError::new(Stage::Receive, e).at(local, peer));
        }
        self.is.failing += 1;
        let error = NetError::new(Stage::Receive, e).at(local, peer);
        match self.is.failing >= FAILURES {
            true => self.destroy(h, UdpReason::Failed(Arc::new(error))),
            false => self.note_error(error),
        }
    }

    /// An error of the network, for `on_error`.
    #[cold]
    pub(crate) fn network_said(&mut self, h: &mut Handle<'_>, error: NetError) {
        self.tell(h, || UdpEvent::TransportError { error: error.in_words(), code: error.code() });
        self.rare().stats.transport_errors += 1;
        self.note_error(error);
    }

    fn forbids(&self, from: SocketAddr) -> bool {
        let list = self.rare.as_ref().and_then(|r| r.block_list.as_deref());
        list.is_some_and(|list| list.contains(from.ip()))
    }
}

/// Takes what the error queue has.
#[cold]
pub(crate) fn hear(u: &mut Udp, h: &mut Handle<'_>) {
    for n in 0..=HEARD {
        if n == HEARD {
            h.assume(Readiness::ERROR);
            return h.queue();
        }
        let Some(socket) = &u.socket else { return };
        let Some(soft) = next_soft_error(socket) else { return };
        let local = socket.local_addr().ok();
        u.network_said(h, NetError::new(Stage::Send, soft.error).at(local, soft.to));
    }
}

/// Datagrams that a pause held back come first.
fn deliver_kept(d: &mut Dispatch<'_>, key: UdpKey, batch: &mut Batch) -> Option<ReceiveEnd> {
    loop {
        let (layer, driver) = d.layer(&UDP);
        let Some(u) = layer.get(&driver, key) else { return Some(ReceiveEnd::Stopped) };
        if !u.receives() {
            return Some(ReceiveEnd::Stopped);
        }
        if !u.has_kept() {
            return None;
        }
        if batch.left == 0 {
            return Some(ReceiveEnd::Budget);
        }
        let kept = u.rare().kept.pop_front();
        if let Some((meta, data)) = kept {
            deliver(d, key, &data, meta, batch, || 0);
        }
    }
}

/// How many datagrams the longest train of a call had.
fn longest_train(slots: &Slots, got: usize) -> u8 {
    let longest = (0..got).map(|i| pieces_of(slots, i).count()).max();
    longest.and_then(|n| u8::try_from(n).ok()).unwrap_or(u8::MAX).max(1)
}

/// Delivers what one call received; why not all of it, if a callback or the budget stopped that.
fn deliver_all(
    d: &mut Dispatch<'_>,
    key: UdpKey,
    slots: &Slots,
    got: usize,
    batch: &mut Batch,
) -> Option<ReceiveEnd> {
    for i in 0..got {
        let (data, from, truncated, beside) = slots.get(i);
        // Without an address it is none that can be answered, nor that UDP sends.
        let Some(from) = from else { continue };
        let meta = meta_of(from, truncated, beside);
        if beside.segment.is_none() && got == 1 {
            let goes_on = deliver(d, key, data, meta, batch, || 0);
            return if goes_on { None } else { Some(ReceiveEnd::Stopped) };
        }
        // An empty datagram is one, too.
        let piece = beside.segment.unwrap_or(data.len()).max(1);
        let pieces = data.len().div_ceil(piece).max(1);
        for n in 0..pieces {
            let data = &data[n * piece..data.len().min((n + 1) * piece)];
            let lost = || {
                let later = (i + 1..got).map(|i| pieces_of(slots, i).count());
                pieces - n - 1 + later.sum::<usize>()
            };
            let goes_on = deliver(d, key, data, meta, batch, lost);
            // More slots than the budget are not asked for, so only trains exceed it.
            if goes_on && (batch.left > 0 || lost() == 0) {
                continue;
            }
            let rest = (n + 1..pieces)
                .map(|n| (meta, slots.get(i).0[n * piece..].chunks(piece).next()))
                .chain((i + 1..got).flat_map(|i| pieces_of(slots, i)));
            keep(d, key, rest);
            return Some(if goes_on { ReceiveEnd::Budget } else { ReceiveEnd::Stopped });
        }
    }
    None
}

/// The datagrams of a slot.
fn pieces_of(slots: &Slots, i: usize) -> impl Iterator<Item = (Meta, Option<&[u8]>)> {
    let (data, from, truncated, beside) = slots.get(i);
    let piece = beside.segment.unwrap_or(data.len()).max(1);
    let empty = data.is_empty().then_some(data);
    let all = data.chunks(piece).chain(empty);
    let meta = from.map(|from| meta_of(from, truncated, beside));
    all.filter_map(move |data| Some((meta?, Some(data))))
}

fn meta_of(from: SocketAddr, truncated: bool, beside: Beside) -> Meta {
    Meta {
        from,
        to: beside.to,
        interface: beside.interface,
        truncated,
        ecn: beside.tos.map(Ecn::from_bits),
        kernel_time: beside.time,
        local: beside.local,
    }
}

/// A callback paused the socket, or trains exceed the budget: the rest waits. If it was closed, the
/// rest is counted in its [`UdpClose`](crate::UdpClose).
#[cold]
fn keep<'s>(
    d: &mut Dispatch<'_>,
    key: UdpKey,
    rest: impl Iterator<Item = (Meta, Option<&'s [u8]>)>,
) {
    let (layer, mut driver) = d.layer(&UDP);
    let Some((u, _, _)) = layer.lend(&mut driver, key) else { return };
    let is_open = u.life == Life::Open;
    for (meta, data) in rest {
        let data = if is_open { data.unwrap_or_default().to_vec() } else { Vec::new() };
        u.rare().kept.push_back((meta, data));
    }
}

/// One datagram for the handler; whether the next may follow. `lost` says how many follow in this
/// batch.
#[inline(always)]
fn deliver(
    d: &mut Dispatch<'_>,
    key: UdpKey,
    data: &[u8],
    meta: Meta,
    batch: &mut Batch,
    lost: impl Fn() -> usize,
) -> bool {
    batch.left = batch.left.saturating_sub(1);
    batch.bytes_left = batch.bytes_left.saturating_sub(data.len());
    let (layer, driver) = d.layer(&UDP);
    let Some(u) = layer.get(&driver, key) else { return false };
    if u.rare.is_some() && u.forbids(meta.from) {
        u.rare().stats.blocked += 1;
        return true;
    }
    if meta.truncated {
        u.rare().stats.truncated += 1;
    }
    u.counts.received += 1;
    u.counts.received_bytes += data.len() as u64;
    batch.datagrams += 1;
    batch.bytes += data.len();
    let Some(handler) = u.handler.take() else { return false };
    call_taken(d, key, handler, |h, u| h.on_datagram(u, data, &meta), lost);
    let (layer, driver) = d.layer(&UDP);
    layer.get(&driver, key).is_some_and(|u| u.receives())
}
