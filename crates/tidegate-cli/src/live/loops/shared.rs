//! What the three threads share: what the loop did and does, samples, and the switch that stops it. Every value is small or bounded, and no lock is held over a callback.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::looks::Look;
use crate::live::model::entry::{Handle, Kinds};
use crate::live::model::ring::{Note, Notes};
use crate::live::model::tape::Tape;
use crate::live::model::turn::Who;
use tidegate::observe::Id;

/// Steps that may wait for a stopped loop.
const STEPS: u32 = 32;

/// The longest that a button may block the loop.
pub(crate) const LONGEST_BLOCK: Duration = Duration::from_secs(2);

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) tape: Tape,
    /// When the loop's clock was zero.
    pub(crate) zero: OnceLock<Instant>,
    kinds: Mutex<Kinds>,
    notes: Mutex<Notes>,
    doing: Mutex<Doing>,
    look: Mutex<Look>,
    peers: Mutex<Vec<Peer>>,
    switch: Mutex<Switch>,
    changed: Condvar,
    /// A page is open: only then are sockets sampled.
    watched: AtomicBool,
    /// Milliseconds that the next `on_data` sleeps.
    block: AtomicU64,
}

/// What happens seldom.
#[derive(Clone, Copy, Default)]
pub(crate) struct Doing {
    /// Stopped between two phases by the page, since then.
    pub(crate) stopped: Option<Instant>,
    /// The last call that took long, until somebody takes it.
    pub(crate) slow: Option<Slow>,
    pub(crate) longest: Option<Slow>,
}

/// What the loop does, since when.
#[derive(Clone)]
pub(crate) enum Now {
    Starting,
    /// In the poller.
    Waits(Instant),
    /// This handle, of this kind, is called.
    Calls(Who, &'static str, Instant),
    /// Stopped between two phases by the page.
    Stopped(Instant),
}

/// On the tape, in the place of a handle: the loop is in the poller.
pub(crate) const WAITS: u64 = 1 << 63;

/// A call of a handle that took long.
#[derive(Clone, Copy)]
pub(crate) struct Slow {
    pub(crate) turn: u64,
    pub(crate) who: Id,
    pub(crate) kind: &'static str,
    pub(crate) took: Duration,
}

/// What a client says of its end.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) local: SocketAddr,
    /// Bytes in the receive queue of its kernel.
    pub(crate) receive: Option<u64>,
    pub(crate) read: u64,
}

#[derive(Default)]
struct Switch {
    stopped: bool,
    steps: u32,
    ended: bool,
}

/// What the studied loop does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Go {
    Run,
    Step,
    End,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn kinds(&self) -> MutexGuard<'_, Kinds> {
        lock(&self.kinds)
    }

    pub(crate) fn notes(&self) -> MutexGuard<'_, Notes> {
        lock(&self.notes)
    }

    /// What the loop does now.
    pub(crate) fn now(&self) -> Now {
        if let Some(since) = self.doing().stopped {
            return Now::Stopped(since);
        }
        let (what, since) = self.tape.now();
        match (what, self.zero.get()) {
            (0, _) | (_, None) => Now::Starting,
            (WAITS, Some(zero)) => Now::Waits(*zero + Duration::from_nanos(since)),
            (handle, Some(zero)) => {
                let (kinds, handle) = (self.kinds(), Handle::of_word(handle));
                let since = *zero + Duration::from_nanos(since);
                Now::Calls(kinds.who(handle), kinds.kind(handle), since)
            }
        }
    }

    pub(crate) fn doing(&self) -> MutexGuard<'_, Doing> {
        lock(&self.doing)
    }

    pub(crate) fn look(&self) -> MutexGuard<'_, Look> {
        lock(&self.look)
    }

    pub(crate) fn peers(&self) -> MutexGuard<'_, Vec<Peer>> {
        lock(&self.peers)
    }

    pub(crate) fn note(&self, note: Note) {
        self.notes().push(note);
    }

    pub(crate) fn set_watched(&self, on: bool) {
        self.watched.store(on, Relaxed);
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// The next `on_data` of a server sleeps this long.
    pub(crate) fn block_next(&self, time: Duration) {
        let millis = time.min(LONGEST_BLOCK).as_millis();
        self.block.store(u64::try_from(millis).unwrap_or(0), Relaxed);
    }

    /// Sleeps, if a button or a preset wants that.
    pub(crate) fn block_now(&self) {
        if self.block.load(Relaxed) > 0 {
            std::thread::sleep(Duration::from_millis(self.block.swap(0, Relaxed)));
        }
    }

    pub(crate) fn stop(&self) {
        lock(&self.switch).stopped = true;
        self.changed.notify_all();
    }

    pub(crate) fn step(&self) {
        let mut switch = lock(&self.switch);
        switch.stopped = true;
        switch.steps = (switch.steps + 1).min(STEPS);
        self.changed.notify_all();
    }

    pub(crate) fn go_on(&self) {
        let mut switch = lock(&self.switch);
        (switch.stopped, switch.steps) = (false, 0);
        self.changed.notify_all();
    }

    pub(crate) fn end(&self) {
        lock(&self.switch).ended = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        lock(&self.switch).stopped
    }

    /// Waits while the loop is stopped.
    pub(crate) fn next(&self) -> Go {
        let waits = |s: &mut Switch| s.stopped && s.steps == 0 && !s.ended;
        let switch = lock(&self.switch);
        let switch = self.changed.wait_while(switch, waits);
        let mut switch = switch.unwrap_or_else(PoisonError::into_inner);
        match (switch.ended, switch.stopped) {
            (true, _) => Go::End,
            (_, false) => Go::Run,
            (_, true) => {
                switch.steps -= 1;
                Go::Step
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_loop_takes_the_steps_it_was_given_then_runs_then_ends() {
        let shared = Shared::default();
        assert_eq!(shared.next(), Go::Run);
        (0..3).for_each(|_| shared.step());
        assert!(shared.is_stopped());
        assert_eq!([shared.next(), shared.next(), shared.next()], [Go::Step; 3]);
        (0..100).for_each(|_| shared.step());
        shared.go_on();
        assert_eq!(shared.next(), Go::Run, "steps that wait are forgotten");
        shared.stop();
        shared.end();
        assert_eq!(shared.next(), Go::End, "also of a stopped loop");
    }

    #[test]
    fn a_block_is_bounded_and_happens_once() {
        let shared = Shared::default();
        shared.block_next(Duration::from_secs(900));
        assert_eq!(shared.block.load(Relaxed), 2_000);
        shared.block_next(Duration::from_millis(1));
        shared.block_now();
        assert_eq!(shared.block.load(Relaxed), 0);
    }
}
