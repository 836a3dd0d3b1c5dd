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
}

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
    /// Where it notes the time of each accept callback.
    pub stamps: Option<Arc<Stamps>>,
    /// Whether its memory is counted.
    pub counted: bool,
    /// The size of the read buffer, for peers that have one for each connection.
    pub buffer: usize,
}

impl From<Mode> for Options {
    fn from(mode: Mode) -> Options {
        let (backlog, work) = (BACKLOG, Duration::ZERO);
        Options { mode, backlog, work, stamps: None, counted: false, buffer: 64 * 1024 }
    }
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
        let n = self.used.load(Ordering::Relaxed);
        if let Some(slot) = self.times.get(n as usize) {
            slot.store(cores::now(), Ordering::Relaxed);
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
