//! Sending: into the queue, out of it, and past it.
//!
//! A datagram is copied into the queue, and the queue leaves when the callback returns, so that many
//! of them leave by few system calls. Beyond the high-water mark it leaves at once; so does the first
//! that a callback sends while datagrams come singly, without a copy. Sends run no callback: what
//! they have to tell waits for the next dispatch.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::net::UdpSocket;
use tidegate_loop::Cx;
use tidegate_loop::kind::Handle;

use crate::datagram::{SendError, SendFlow, SendOptions};
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::key::UdpKey;
use crate::options::udp::WhenFull;
use crate::sys::udp::{
    self as sys, IS_CONNECTED, NO_DESTINATION, Outgoing, TOO_BIG, is_of_network,
};
use crate::udp::machine::flush::{Did, Outlet, Segments, Stop, flush, straight};
use crate::udp::machine::queue::{Entry, Queue, Way};
use crate::udp::state::{Counts, Life, Rare, Shared, Told, UDP, Udp};
use crate::udp_event::UdpEvent;

/// Datagrams that one turn sends.
pub(crate) const TURN: usize = 1024;

/// No datagram is longer.
const LONGEST: usize = 65_535;

/// A datagram that was accepted and that closing the socket cut off.
pub(crate) fn closed(to: Option<SocketAddr>, len: usize) -> SendError {
    let e = io::Error::new(ErrorKind::BrokenPipe, "the socket was closed before it was sent");
    failure(e, to, len)
}

fn failure(e: io::Error, to: Option<SocketAddr>, len: usize) -> SendError {
    SendError { to, len, path_mtu: None, error: NetError::new(Stage::Send, e).at(None, to) }
}

fn way_of(options: &SendOptions) -> Way {
    Way {
        to: options.to,
        from: options.from,
        interface: options.interface,
        ecn: options.ecn.map(|ecn| ecn.bits()),
    }
}

/// Accepts a datagram made of these parts.
pub(crate) fn push(
    cx: &mut Cx<'_>,
    key: UdpKey,
    parts: &[&[u8]],
    options: &SendOptions,
) -> SendFlow {
    let (layer, mut d) = cx.layer(&UDP);
    let Some((u, mut h, shared)) = layer.lend(&mut d, key) else { return SendFlow::Closed };
    if u.life != Life::Open {
        return SendFlow::Closed;
    }
    let flow = u.accept(&mut h, shared, parts, options);
    if !u.is.corked {
        h.pend();
    }
    flow
}

impl Udp {
    #[inline]
    fn accept(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        parts: &[&[u8]],
        options: &SendOptions,
    ) -> SendFlow {
        if self.news() >= self.bounds.queue as usize {
            return self.refuse(h);
        }
        let len = parts.iter().map(|p| p.len()).sum::<usize>();
        let piece = options.segment.map_or(LONGEST, usize::from).max(1);
        let datagrams = if options.segment.is_some() { len.div_ceil(piece).max(1) } else { 1 };
        let longest = if datagrams > 1 { piece } else { len };
        if let Err(e) = self.check(longest, options.to) {
            self.failed_to_send(h, options.id, failure(e, options.to, len));
            let queued = self.queue.as_ref().map_or(0, |q| q.weight());
            return self.flow(h, queued);
        }
        if std::mem::take(&mut self.is.answers_at_once) && datagrams == 1 && len > 0 {
            if let ([data], Ok(piece)) = (parts, u16::try_from(len)) {
                let whole = Segments::default();
                let rest = self.send_pieces(h, data, piece, options, whole);
                if rest.is_empty() {
                    return self.flow(h, 0);
                }
            }
        }
        let weight = Queue::weight_of(0) * datagrams + len;
        if !self.make_room(h, shared, weight) {
            return self.no_room(h, shared, weight, len, parts, options);
        }
        if let ([data], Some(piece), true) = (parts, options.segment, datagrams > 1) {
            let rest = self.send_pieces(h, data, piece, options, self.segments);
            if rest.is_empty() {
                return self.flow(h, 0);
            }
            return self.enqueue(h, shared, &[rest], options);
        }
        self.enqueue(h, shared, parts, options)
    }

    /// Pieces of one buffer leave from where they lie, if nothing waits; what is left.
    fn send_pieces<'d>(
        &mut self,
        h: &mut Handle<'_>,
        data: &'d [u8],
        piece: u16,
        options: &SendOptions,
        segments: Segments,
    ) -> &'d [u8] {
        let waits = self.queue.is_some() || self.is.blocked || self.is.retrying;
        let Some(socket) = self.socket.as_ref().filter(|_| !waits) else { return data };
        let mut kernel = Kernel {
            socket,
            counts: &mut self.counts,
            rare: &mut self.rare,
            is_v6: self.is.v6,
            hears_errors: self.is.hears_errors,
            failed: 0,
        };
        let way = (way_of(options), options.id);
        let (rest, did) = straight(data, piece, way, segments, &mut kernel);
        let failed = kernel.failed;
        self.count(h, did, failed);
        rest
    }

    fn enqueue(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        parts: &[&[u8]],
        options: &SendOptions,
    ) -> SendFlow {
        let way = way_of(options);
        let queue = self.queue.get_or_insert_with(|| shared.queue());
        let before = queue.weight();
        match options.segment {
            None => queue.push(parts.iter().copied(), way, options.id),
            Some(piece) => queue.push_pieces(parts, piece, way, options.id),
        }
        shared.held += queue.weight() - before;
        let mut queued = queue.weight();
        let mark = self.bounds.high_water_mark as usize;
        if queued >= mark && !self.is.blocked && !self.is.retrying {
            self.flush(h, shared, TURN);
            queued = self.queue.as_ref().map_or(0, |q| q.weight());
        }
        self.flow(h, queued)
    }

    /// The answer to a datagram that was accepted, with so much in the queue.
    #[inline]
    fn flow(&mut self, h: &mut Handle<'_>, queued: usize) -> SendFlow {
        let queued = queued + self.news();
        if queued < self.bounds.high_water_mark as usize {
            return SendFlow::Ready;
        }
        if !self.is.needs_drain {
            self.is.needs_drain = true;
            self.tell(h, || UdpEvent::Full { queued });
        }
        SendFlow::Full
    }

    /// What can be said before the system is asked.
    fn check(&self, longest: usize, to: Option<SocketAddr>) -> io::Result<()> {
        let code = match to {
            _ if longest > LONGEST => TOO_BIG,
            None if !self.is.connected => NO_DESTINATION,
            Some(_) if self.is.connected => IS_CONNECTED,
            Some(to) => {
                let list = self.rare.as_ref().and_then(|r| r.block_list.as_deref());
                if !list.is_some_and(|list| list.contains(to.ip())) {
                    return Ok(());
                }
                let text = "the block list forbids this address";
                return Err(io::Error::new(ErrorKind::PermissionDenied, text));
            }
            None => return Ok(()),
        };
        Err(io::Error::from_raw_os_error(code))
    }

    /// Whether there is room for so much more, after the kernel was asked to take what it can.
    #[inline]
    fn make_room(&mut self, h: &mut Handle<'_>, shared: &mut Shared, weight: usize) -> bool {
        let fits = |u: &Udp, held: usize, most: usize| {
            let queued = u.queue.as_ref().map_or(0, |q| q.weight());
            queued + weight <= u.bounds.queue as usize && held + weight <= most
        };
        let most = shared.limits.queued_limit;
        if fits(self, shared.held, most) {
            return true;
        }
        if self.queue.is_some() && !self.is.blocked && !self.is.retrying {
            self.flush(h, shared, TURN);
        }
        fits(self, shared.held, most)
    }

    /// A datagram that is not accepted.
    #[cold]
    fn refuse(&mut self, h: &mut Handle<'_>) -> SendFlow {
        self.is.needs_drain = true;
        self.rare().stats.refused += 1;
        self.tell(h, || UdpEvent::Dropped { datagrams: 1, oldest: false });
        SendFlow::Dropped
    }

    /// The queue is at its limit.
    #[cold]
    fn no_room(
        &mut self,
        h: &mut Handle<'_>,
        shared: &mut Shared,
        weight: usize,
        len: usize,
        parts: &[&[u8]],
        options: &SendOptions,
    ) -> SendFlow {
        let policy = self.bounds.when_full;
        self.is.needs_drain = true;
        if policy == WhenFull::DropOldest && self.drop_oldest(h, shared, weight) {
            return match self.enqueue(h, shared, parts, options) {
                SendFlow::Ready if self.queue.is_some() => SendFlow::Full,
                flow => flow,
            };
        }
        let dropped = self.refuse(h);
        if policy != WhenFull::DropNewest {
            return dropped;
        }
        if let Some(id) = options.id {
            let e = io::Error::new(ErrorKind::StorageFull, "the send queue is full");
            let failed = Told::Failed(Some(id), failure(e, options.to, len));
            self.rare().told.push_back(failed);
        }
        SendFlow::Full
    }

    /// Makes room for so much by dropping what waits longest; whether that helps.
    fn drop_oldest(&mut self, h: &mut Handle<'_>, shared: &mut Shared, weight: usize) -> bool {
        let most = shared.limits.queued_limit;
        let own = self.queue.as_ref().map_or(0, |q| q.weight());
        // Not in vain: others may hold what is missing.
        if weight > self.bounds.queue as usize || shared.held - own + weight > most {
            return false;
        }
        let mut dropped = 0;
        while let Some(queue) = &mut self.queue {
            let queued = queue.weight();
            if queued + weight <= self.bounds.queue as usize && shared.held + weight <= most {
                break;
            }
            let Some(entry) = queue.pop() else { break };
            shared.held -= queued - queue.weight();
            dropped += 1;
            if let Some(id) = entry.id {
                let e = io::Error::new(ErrorKind::StorageFull, "newer datagrams took its place");
                let failed = Told::Failed(Some(id), failure(e, entry.way.to, entry.len));
                self.rare().told.push_back(failed);
            }
        }
        self.give_queue_back(shared);
        self.rare().stats.dropped_oldest += dropped as u64;
        self.tell(h, || UdpEvent::Dropped { datagrams: dropped, oldest: true });
        true
    }

    /// A datagram was accepted and cannot be sent.
    #[cold]
    fn failed_to_send(&mut self, h: &mut Handle<'_>, id: Option<u64>, e: SendError) {
        let (to, error, code) = (e.to, e.error.in_words(), e.error.code());
        self.tell(h, || UdpEvent::SendFailed { to, error, code });
        let rare = self.rare();
        rare.stats.send_errors += 1;
        rare.told.push_back(Told::Failed(id, e));
    }

    fn give_queue_back(&mut self, shared: &mut Shared) {
        if let Some(queue) = self.queue.take_if(|q| q.is_empty()) {
            shared.give_back(queue);
        }
    }

    /// Asks the kernel to take what is queued. Runs no callback.
    pub(crate) fn flush(&mut self, h: &mut Handle<'_>, shared: &mut Shared, budget: usize) {
        let (Some(socket), Some(queue)) = (&self.socket, &mut self.queue) else { return };
        if self.is.blocked || self.is.retrying {
            return;
        }
        let before = queue.weight();
        let mut kernel = Kernel {
            socket,
            counts: &mut self.counts,
            rare: &mut self.rare,
            is_v6: self.is.v6,
            hears_errors: self.is.hears_errors,
            failed: 0,
        };
        let (stop, did) = flush(queue, &mut self.segments, budget, &mut kernel);
        let failed = kernel.failed;
        shared.held -= before - queue.weight();
        self.give_queue_back(shared);
        self.count(h, did, failed);
        match stop {
            Stop::Empty | Stop::Budget => {}
            Stop::Blocked | Stop::NoBuffers => {
                self.is.blocked = stop == Stop::Blocked;
                self.is.retrying = stop == Stop::NoBuffers;
                self.rare().stats.stalls += 1;
                let queued = self.waiting().bytes;
                self.tell(h, || UdpEvent::Stalled { queued });
                // Its dispatch makes the poller watch, or starts the timer.
                h.pend();
            }
        }
    }

    /// Counts what was sent, and tells the observer.
    #[inline]
    fn count(&mut self, h: &mut Handle<'_>, did: Did, failed: usize) {
        self.counts.send_calls += u64::from(did.calls);
        if did.runs > 0 {
            self.rare().stats.runs += u64::from(did.runs);
        }
        if did.taken > 0 {
            let (datagrams, calls, runs) = (did.taken, did.calls, did.runs);
            self.tell(h, || UdpEvent::Sent { datagrams, calls, runs });
        }
        if failed > 0 {
            self.tell_failures(h, failed);
        }
    }

    /// The observer hears of the failures that were noted last.
    #[cold]
    fn tell_failures(&self, h: &mut Handle<'_>, failed: usize) {
        let told = self.rare.iter().flat_map(|r| r.told.iter().rev().take(failed));
        for told in told {
            match told {
                Told::Failed(_, e) => self.tell(h, || UdpEvent::SendFailed {
                    to: e.to,
                    error: e.error.in_words(),
                    code: e.error.code(),
                }),
                Told::Error(e) => self
                    .tell(h, || UdpEvent::TransportError { error: e.in_words(), code: e.code() }),
                Told::Sent(_) => {}
            }
        }
    }
}

/// The system, for the machine.
struct Kernel<'a> {
    socket: &'a UdpSocket,
    counts: &'a mut Counts,
    rare: &'a mut Option<Box<Rare>>,
    is_v6: bool,
    hears_errors: bool,
    failed: usize,
}

impl Outlet for Kernel<'_> {
    #[inline]
    fn send(&mut self, out: &Outgoing<'_>) -> io::Result<()> {
        sys::send(self.socket, out)
    }

    fn send_many(&mut self, all: &[Outgoing<'_>]) -> io::Result<usize> {
        sys::send_many(self.socket, all)
    }

    #[inline]
    fn done(&mut self, entry: Entry, result: io::Result<()>) {
        match result {
            Ok(()) => {
                self.counts.sent += 1;
                self.counts.sent_bytes += entry.len as u64;
                if let Some(id) = entry.id {
                    self.rare.get_or_insert_default().told.push_back(Told::Sent(id));
                }
            }
            Err(e) => self.gave_up(entry, e),
        }
    }

    #[inline]
    fn run_done(&mut self, datagrams: usize, bytes: usize, id: Option<u64>) {
        self.counts.sent += datagrams as u64;
        self.counts.sent_bytes += bytes as u64;
        if let Some(id) = id {
            self.rare.get_or_insert_default().told.push_back(Told::Sent(id));
        }
    }

    #[cold]
    fn earlier(&mut self, error: io::Error) {
        // The error queue has it with its destination, and the poller announces that.
        if self.hears_errors && is_of_network(&error) {
            return;
        }
        let (local, peer) = (self.socket.local_addr().ok(), self.socket.peer_addr().ok());
        let rare = self.rare.get_or_insert_default();
        rare.stats.transport_errors += 1;
        let error = NetError::new(Stage::Send, error).at(local, peer);
        rare.told.push_back(Told::Error(error));
        self.failed += 1;
    }
}

impl Kernel<'_> {
    #[cold]
    fn gave_up(&mut self, entry: Entry, e: io::Error) {
        let is_too_big = e.raw_os_error() == Some(TOO_BIG);
        let peer = self.socket.peer_addr().ok();
        let mut failed = failure(e, entry.way.to, entry.len);
        if is_too_big && peer.is_some() {
            failed.path_mtu = sys::path_mtu(self.socket, self.is_v6);
        }
        let rare = self.rare.get_or_insert_default();
        rare.stats.send_errors += 1;
        rare.told.push_back(Told::Failed(entry.id, failed));
        self.failed += 1;
    }
}

/// Sends now, if nothing waits: the answer is the kernel's.
pub(crate) fn try_now(
    cx: &mut Cx<'_>,
    key: UdpKey,
    data: &[u8],
    to: Option<SocketAddr>,
) -> io::Result<()> {
    cx.validate(key)?;
    let (layer, mut d) = cx.layer(&UDP);
    let Some((u, mut h, shared)) = layer.lend(&mut d, key) else {
        return Err(tidegate_loop::KeyError::Closed.into());
    };
    if u.life != Life::Open {
        return Err(tidegate_loop::KeyError::Closed.into());
    }
    u.check(data.len(), to)?;
    // In order: what waits goes first.
    u.flush(&mut h, shared, TURN);
    let Some(socket) = u.socket.as_ref().filter(|_| u.queue.is_none()) else {
        return Err(ErrorKind::WouldBlock.into());
    };
    let out = Outgoing { data, to, ..Outgoing::default() };
    u.counts.send_calls += 1;
    let mut sent = sys::send(socket, &out);
    let old = sent.as_ref().is_err_and(|e| is_of_network(e) && !is_blocked(e));
    if old {
        // It may be about an earlier datagram. If it is about this one, it comes again.
        u.counts.send_calls += 1;
        let first = std::mem::replace(&mut sent, sys::send(socket, &out));
        if let (Ok(()), Err(e), false) = (&sent, first, u.is.hears_errors) {
            let peer = socket.peer_addr().ok();
            u.network_said(&mut h, NetError::new(Stage::Send, e).at(None, peer));
            h.pend();
        }
    }
    if sent.is_ok() {
        u.counts.sent += 1;
        u.counts.sent_bytes += data.len() as u64;
    }
    sent
}

fn is_blocked(e: &io::Error) -> bool {
    e.kind() == ErrorKind::WouldBlock
}
