//! What each peer keeps, so that all of them do the same work: what a server does with a
//! connection, with which options, where it notes its times, and which orders it follows.
//! Nothing of a single peer, and nothing of how a server is started (`server.rs`).
#![forbid(unsafe_code)]

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::{cores, epoll};

/// What a server does with a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Closes it at once.
    Accept,
    /// Writes one byte, and closes when the client does.
    Answer,
    /// Sends back what it receives.
    Echo,
    /// Reads and drops.
    Discard,
    /// Writes this many messages of 13 bytes, one by one, without waiting, and ends.
    Batch(u32),
    /// Answers requests of HTTP by hyper's `hello`.
    Hello,
    /// Sends each datagram back to where it came from. There are no connections.
    Datagrams,
    /// Answers each datagram with one of [`ANSWER`] bytes. There are no connections.
    Answers,
    /// Counts the datagrams that come and drops them; echoes what comes on connections to the same
    /// port; and notes how late a timer of 1 ms is, again and again.
    Flooded,
    /// Sends as many datagrams of [`PIECE`] bytes back as a datagram asks for (4 bytes, of this
    /// machine's order), and notes when the kernel has taken all.
    Bulk,
}

impl Mode {
    /// Whether there are datagrams and no connections.
    pub fn is_datagrams(self) -> bool {
        matches!(self, Mode::Datagrams | Mode::Answers | Mode::Bulk)
    }
}

/// The length of an answer.
pub const ANSWER: usize = 512;
/// The length of a datagram of a bulk and of a flood.
pub const PIECE: usize = 1200;
/// How many of them one system call may send: they must not exceed 64 KiB.
pub const RUN: usize = 54;

/// How many connections may wait in the kernel for each server; it may allow fewer.
pub const BACKLOG: u32 = 4096;

/// How a server serves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What it does.
    pub mode: Mode,
    /// Its backlog.
    pub backlog: u32,
    /// How long each turn of its loop computes something else.
    pub work: Duration,
    /// Where it notes the time of each accept callback; what its mode notes.
    pub stamps: Option<Arc<Stamps>>,
    /// Datagrams that a flooded one received.
    pub received: Arc<AtomicU64>,
    /// Whether its memory is counted.
    pub counted: bool,
    /// Whether one that can lets the kernel cut what it sends into datagrams.
    pub offload: bool,
    /// The size of the read buffer, for peers that have one for each connection.
    pub buffer: usize,
}

impl From<Mode> for Options {
    fn from(mode: Mode) -> Options {
        Options {
            mode,
            backlog: BACKLOG,
            work: Duration::ZERO,
            stamps: None,
            received: Arc::default(),
            counted: false,
            offload: true,
            buffer: 64 * 1024,
        }
    }
}

impl Options {
    /// Notes the time, where times are noted.
    pub(crate) fn mark(&self) {
        self.stamps.iter().for_each(|stamps| stamps.mark());
    }

    /// Notes how late it is after this time, in ns; now.
    pub(crate) fn note_late(&self, due: u64) -> u64 {
        let now = cores::now();
        self.stamps.iter().for_each(|stamps| stamps.note(now.saturating_sub(due)));
        now
    }

    /// One more datagram was received. Only one thread counts.
    pub(crate) fn count(&self) {
        self.received.store(self.received.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// The period of the timer of a flooded server, in ns.
pub(crate) const TICK: u64 = 1_000_000;

/// How many datagrams a request for a bulk asks for.
pub(crate) fn asked(request: &[u8]) -> Option<usize> {
    request.try_into().ok().map(|n| u32::from_ne_bytes(n) as usize)
}

/// Times, in ns of the monotonic clock, written by one thread.
#[derive(Debug)]
pub struct Stamps {
    times: Box<[AtomicU64]>,
    used: AtomicU64,
}

impl Stamps {
    /// Room for this many.
    pub fn new(room: usize) -> Arc<Stamps> {
        let times = (0..room).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Stamps { times, used: AtomicU64::new(0) })
    }

    pub(crate) fn mark(&self) {
        self.note(cores::now());
    }

    fn note(&self, ns: u64) {
        let n = self.used.load(Ordering::Relaxed);
        if let Some(slot) = self.times.get(n as usize) {
            slot.store(ns, Ordering::Relaxed);
            self.used.store(n + 1, Ordering::Release);
        }
    }

    /// How many were noted.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Acquire) as usize
    }

    /// What was noted; then there is room again. The server must be quiet.
    pub fn take(&self) -> Vec<u64> {
        let n = self.used.swap(0, Ordering::AcqRel) as usize;
        self.times[..n].iter().map(|t| t.load(Ordering::Relaxed)).collect()
    }

    /// For a peer that is not written in Rust: the places, and how many of them are used.
    #[cfg(libuv)]
    pub(crate) fn parts(&self) -> (&[AtomicU64], &AtomicU64) {
        (&self.times, &self.used)
    }
}

/// An order: do nothing until [`GO`].
pub(crate) const HOLD: u8 = b'h';
/// An order: go on.
pub(crate) const GO: u8 = b'g';

/// Follows the orders that have come, in the server's thread. Returns whether it has to stop.
pub(crate) fn obey(control: &impl AsRawFd) -> bool {
    let mut order = [0];
    loop {
        match epoll::read(control, &mut order) {
            Ok(0) => return true,
            Ok(_) if order[0] == HOLD => {
                if epoll::write(control, &order).is_ok() {
                    epoll::wait_readable(control);
                }
            }
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

/// Computes something for this long.
pub(crate) fn spin(work: Duration) {
    let until = cores::now() + work.as_nanos() as u64;
    while cores::now() < until {
        std::hint::spin_loop();
    }
}
