//! Emptying the queue: what leaves in one call, and what each answer of the system means.
//!
//! | the system says | then |
//! |---|---|
//! | it took the first `k` | these are done; the rest is tried again, and says its own error |
//! | the buffer is full | wait for the poller |
//! | no buffers | wait for a moment: nothing announces them |
//! | it cannot cut a run | the same datagrams again, uncut; if that works, the socket remembers |
//! | another error | once more: it may have been about a datagram before. If it fails again, it is about this one: the next |
#![forbid(unsafe_code)]

use std::io;

use crate::sys::udp::{Outgoing, Refusal, SEGMENT_MOST, refusal};
use crate::udp::machine::queue::{Entry, Queue, Way};

/// The system. What it is given is in the order in which it is to be sent.
pub(crate) trait Outlet {
    /// Sends one.
    fn send(&mut self, out: &Outgoing<'_>) -> io::Result<()>;
    /// Sends several; how many of them, from the first on.
    fn send_many(&mut self, all: &[Outgoing<'_>]) -> io::Result<usize>;
    /// This datagram is sent, or failed: its last word.
    fn done(&mut self, entry: Entry, result: io::Result<()>);
    /// So many datagrams of these bytes in all are sent; the id is that of the last.
    fn run_done(&mut self, datagrams: usize, bytes: usize, id: Option<u64>);
    /// An error that was no fault of a datagram that is in the queue.
    fn earlier(&mut self, error: io::Error);
}

/// Calls of the system that take one datagram or one run each.
const CALLS: usize = 32;

/// Fewer datagrams than this go one by one: a `sendmmsg` costs more for each than a `sendto`, but
/// for the way into the kernel.
const MANY: usize = 8;

/// Datagrams of one run, and bytes: what Linux' UDP_SEGMENT takes in each version.
const RUN: usize = 64;
const RUN_BYTES: usize = 65_000;

/// The longest piece that runs may have; 0: there are none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segments {
    pub(crate) most: u16,
}

impl Default for Segments {
    fn default() -> Segments {
        Segments { most: SEGMENT_MOST as u16 }
    }
}

/// Why a flush stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stop {
    /// Nothing is left.
    Empty,
    /// So many datagrams are enough for one turn.
    Budget,
    /// The poller will say when there is room.
    Blocked,
    /// Nothing will: try again in a moment.
    NoBuffers,
}

/// What a flush did, for the counters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Did {
    pub(crate) calls: u32,
    pub(crate) runs: u32,
    pub(crate) taken: u32,
}

/// Sends up to `budget` datagrams. Each that leaves the queue has its `done` first.
pub(crate) fn flush(
    queue: &mut Queue,
    segments: &mut Segments,
    budget: usize,
    outlet: &mut impl Outlet,
) -> (Stop, Did) {
    let (mut did, mut left) = (Did::default(), budget);
    let few = queue.len() < MANY;
    // The error that came first for the datagram that is the first now.
    let mut tried: Option<io::Error> = None;
    // A run of pieces of this length was refused; one of them alone shows whether that is why.
    let mut suspect: Option<u16> = None;
    loop {
        if queue.is_empty() {
            return (Stop::Empty, did);
        }
        if left == 0 {
            return (Stop::Budget, did);
        }
        did.calls += 1;
        // After an error one alone, so that its answer is about it.
        let asked = match queue.len() {
            1 => alone(queue, outlet),
            _ if tried.is_some() || suspect.is_some() => alone(queue, outlet),
            _ if few => front(queue, *segments, left, outlet),
            _ => many(queue, *segments, left, outlet),
        };
        let has_segments = asked.segment;
        match asked.answer {
            Ok((0, _)) => return (Stop::Blocked, did),
            Ok((taken, runs)) => {
                if let Some(earlier) = tried.take() {
                    outlet.earlier(earlier);
                }
                if let Some(len) = suspect.take() {
                    segments.most = segments.most.min(len.saturating_sub(1));
                }
                did.runs += runs;
                for entry in (0..taken).map_while(|_| queue.pop()) {
                    left = left.saturating_sub(1);
                    did.taken += 1;
                    outlet.done(entry, Ok(()));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => match (refusal(&e, has_segments.is_some()), has_segments) {
                (Refusal::Blocked, _) => {
                    tried.into_iter().for_each(|e| outlet.earlier(e));
                    return (Stop::Blocked, did);
                }
                (Refusal::NoBuffers, _) => {
                    tried.into_iter().for_each(|e| outlet.earlier(e));
                    return (Stop::NoBuffers, did);
                }
                (Refusal::Segments { never: false }, Some(len)) => suspect = Some(len),
                (Refusal::Segments { .. }, _) => segments.most = 0,
                (Refusal::Datagram, _) if tried.is_none() => tried = Some(e),
                (Refusal::Datagram, _) => {
                    (tried, suspect) = (None, None);
                    if let Some(entry) = queue.pop() {
                        left = left.saturating_sub(1);
                        outlet.done(entry, Err(e));
                    }
                }
            },
        }
    }
}

/// Sends a buffer in pieces of this length from where it lies: for a queue that is empty. Each run
/// that leaves has its `run_done`; the id is that of the last piece. Returns what is left, for the
/// queue.
pub(crate) fn straight<'d>(
    data: &'d [u8],
    piece: u16,
    (way, id): (Way, Option<u64>),
    segments: Segments,
    outlet: &mut impl Outlet,
) -> (&'d [u8], Did) {
    let (mut rest, mut did, len) = (data, Did::default(), usize::from(piece));
    if piece == 0 || piece > segments.most {
        return (rest, did);
    }
    let most = if data.len() > len { (RUN_BYTES / len).clamp(1, RUN) * len } else { len };
    let mut tried = None;
    while !rest.is_empty() {
        let run = &rest[..rest.len().min(most)];
        let segment = (run.len() > len).then_some(piece);
        did.calls += 1;
        match outlet.send(&of_way(way, run, segment)) {
            Ok(()) => {
                tried.take().into_iter().for_each(|e| outlet.earlier(e));
                did.runs += u32::from(segment.is_some());
                rest = &rest[run.len()..];
                let pieces = if segment.is_some() { run.len().div_ceil(len) } else { 1 };
                did.taken += pieces as u32;
                outlet.run_done(pieces, run.len(), id.filter(|_| rest.is_empty()));
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => match refusal(&e, segment.is_some()) {
                Refusal::Datagram if tried.is_none() => tried = Some(e),
                // From the queue it is tried again, and answered.
                Refusal::Datagram => break,
                _ => {
                    tried.take().into_iter().for_each(|e| outlet.earlier(e));
                    break;
                }
            },
        }
    }
    (rest, did)
}

/// What one call of the system brought.
struct Asked {
    /// How many datagrams it took, and how many runs they were.
    answer: io::Result<(usize, u32)>,
    /// Into which pieces the first message was to be cut.
    segment: Option<u16>,
}

fn of_way(way: Way, data: &[u8], segment: Option<u16>) -> Outgoing<'_> {
    Outgoing { data, to: way.to, from: way.from, interface: way.interface, ecn: way.ecn, segment }
}

fn outgoing<'q>(queue: &'q Queue, first: &Entry, from: usize, len: usize) -> Outgoing<'q> {
    of_way(first.way, queue.slice(from, len), None)
}

/// Sends the first datagram.
fn alone(queue: &Queue, outlet: &mut impl Outlet) -> Asked {
    let answer = match queue.entry(0) {
        Some(first) => outlet.send(&outgoing(queue, first, 0, first.len)).map(|()| (1, 0)),
        None => Ok((0, 0)),
    };
    Asked { answer, segment: None }
}

/// Sends the first datagram with those that make a run with it.
fn front(queue: &Queue, segments: Segments, budget: usize, outlet: &mut impl Outlet) -> Asked {
    let run = run(queue, 0, segments, budget);
    let Some(first) = queue.entry(0).filter(|_| run > 1) else { return alone(queue, outlet) };
    let len = (0..run).filter_map(|i| Some(queue.entry(i)?.len)).sum();
    let segment = u16::try_from(first.len).ok();
    let sent = outlet.send(&Outgoing { segment, ..outgoing(queue, first, 0, len) });
    Asked { answer: sent.map(|()| (run, 1)), segment }
}

/// Sends what one call can.
fn many(queue: &Queue, segments: Segments, budget: usize, outlet: &mut impl Outlet) -> Asked {
    let mut calls = [Outgoing::default(); CALLS];
    let mut lens = [0; CALLS];
    let (mut at, mut from, mut n) = (0, 0, 0);
    while n < CALLS && at < budget {
        let Some(first) = queue.entry(at) else { break };
        let run = run(queue, at, segments, budget - at);
        let len = (at..at + run).filter_map(|i| Some(queue.entry(i)?.len)).sum();
        calls[n] = outgoing(queue, first, from, len);
        if run > 1 {
            calls[n].segment = u16::try_from(first.len).ok();
        }
        lens[n] = run;
        (at, from, n) = (at + run, from + len, n + 1);
    }
    let answer = match &calls[..n] {
        [one] => outlet.send(one).map(|()| 1),
        all => outlet.send_many(all),
    };
    let answer = answer.map(|taken| {
        let taken = taken.min(n);
        let runs = lens[..taken].iter().filter(|len| **len > 1).count();
        (lens[..taken].iter().sum(), u32::try_from(runs).unwrap_or(0))
    });
    Asked { answer, segment: calls[0].segment }
}

/// How many datagrams from here on are equal but for the last, which may be shorter.
fn run(queue: &Queue, at: usize, segments: Segments, most: usize) -> usize {
    let Some(first) = queue.entry(at) else { return 0 };
    if first.len == 0 || first.len > usize::from(segments.most) {
        return 1;
    }
    let (mut n, mut bytes) = (1, first.len);
    while n < most.min(RUN) {
        let Some(next) = queue.entry(at + n) else { break };
        let fits = next.len > 0 && next.len <= first.len && bytes + next.len <= RUN_BYTES;
        if next.way != first.way || !fits {
            break;
        }
        (n, bytes) = (n + 1, bytes + next.len);
        if next.len < first.len {
            break;
        }
    }
    n
}
