//! Many timers at once: started, and then all fired or all stopped; and timers of idle
//! connections, which are restarted again and again.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use tidegate::TimerKey;
use tidegate::prelude::*;

use super::{FAR, nanos, on};
use crate::stats::shuffled;
use crate::sys::cores::Core;

/// Which timers, and in which order they are stopped.
#[derive(Clone, Debug)]
pub struct Load {
    /// Milliseconds, 1 to 20, in no order.
    delay: Vec<u32>,
    order: Vec<u32>,
}

impl Load {
    /// So many.
    pub fn new(n: u32) -> Load {
        let order = shuffled(n);
        Load { delay: order.iter().map(|i| i % 20 + 1).collect(), order }
    }
}

/// Starts them, and then fires them all (`true`) or stops them: the ns of both.
pub type Side = fn(&Load, bool) -> [u64; 2];

/// Idle timeouts of so many connections are restarted, one after the other.
const LIVE: usize = 10_000;

/// What rises: every so many timers the delay is a millisecond longer.
const SAME_DELAY: u32 = 1_000;

/// Starts so many timers with rising deadlines; stops them and does it again, in memory that was
/// used before; then restarts those of idle connections as often. The ns of each.
pub type Idle = fn(u32) -> [u64; 3];

/// The contenders, again.
pub fn idle_sides() -> &'static [(&'static str, Idle)] {
    &[
        ("tidegate", idle_own),
        ("floor", idle_floor),
        #[cfg(libuv)]
        ("libuv", |n| {
            on(Core::Server, || crate::sys::libuv::idle_timers(n, SAME_DELAY, LIVE as u32))
        }),
    ]
}

fn rising(n: u32) -> impl Iterator<Item = Duration> {
    (0..n).map(|i| Duration::from_millis(u64::from(i / SAME_DELAY + 1)))
}

/// The contenders.
pub fn sides() -> &'static [(&'static str, Side)] {
    &[
        ("tidegate", own),
        ("floor", floor),
        #[cfg(libuv)]
        ("libuv", |load, fire| {
            on(Core::Server, || crate::sys::libuv::timers(&load.delay, &load.order, fire))
        }),
    ]
}

thread_local!(static FIRED: Cell<usize> = const { Cell::new(0) });

fn fired() {
    FIRED.set(FIRED.get() + 1);
}

/// Until the last one is due.
fn wait(load: &Load) {
    let longest = load.delay.iter().copied().max().unwrap_or(0);
    let due = Duration::from_millis(u64::from(longest) + 2);
    let last = Instant::now();
    while last.elapsed() < due {
        std::hint::spin_loop();
    }
}

fn own(load: &Load, fire: bool) -> [u64; 2] {
    on(Core::Server, || {
        let mut lp = Loop::new().expect("a loop");
        let mut keys: Vec<TimerKey> = Vec::with_capacity(load.delay.len());
        let mut cx = lp.cx();
        let start = Instant::now();
        for ms in &load.delay {
            keys.push(cx.timer(Duration::from_millis(u64::from(*ms)), |_, _| fired()));
        }
        let started = nanos(start);
        if fire {
            wait(load);
            let start = Instant::now();
            lp.run_nowait().expect("the poller works");
            let took = nanos(start);
            assert_eq!(FIRED.get(), load.delay.len());
            return [started, took];
        }
        let start = Instant::now();
        for n in &load.order {
            cx.timer_stop(keys[*n as usize]).expect("it runs");
        }
        [started, nanos(start)]
    })
}

/// A heap of deadlines beside a list of callbacks. Stopping takes the callback out; when
/// more than half of the deadlines are dead, they leave the heap.
fn floor(load: &Load, fire: bool) -> [u64; 2] {
    on(Core::Server, || {
        let mut heap = BinaryHeap::new();
        let mut callbacks: Vec<Option<Box<dyn FnOnce()>>> = Vec::with_capacity(load.delay.len());
        let begin = Instant::now();
        for ms in &load.delay {
            let due = nanos(begin) + u64::from(*ms) * 1_000_000;
            heap.push(Reverse((due, callbacks.len())));
            callbacks.push(Some(Box::new(fired)));
        }
        let started = nanos(begin);
        if fire {
            wait(load);
            let start = Instant::now();
            let now = nanos(begin);
            while let Some(Reverse((due, n))) = heap.peek().copied() {
                if due > now {
                    break;
                }
                heap.pop();
                if let Some(callback) = callbacks[n].take() {
                    callback();
                }
            }
            let took = nanos(start);
            assert_eq!(FIRED.get(), load.delay.len());
            return [started, took];
        }
        let start = Instant::now();
        let mut dead = 0;
        for n in &load.order {
            callbacks[*n as usize] = None;
            dead += 1;
            if dead > heap.len() / 2 {
                heap.retain(|Reverse((_, n))| callbacks[*n].is_some());
                dead = 0;
            }
        }
        [started, nanos(start)]
    })
}

fn idle_own(n: u32) -> [u64; 3] {
    on(Core::Server, || {
        let mut lp = Loop::new().expect("a loop");
        let mut keys: Vec<TimerKey> = Vec::with_capacity(n as usize);
        let mut start_all = || {
            let mut cx = lp.cx();
            let start = Instant::now();
            keys.extend(rising(n).map(|after| cx.timer(after, |_, _| fired())));
            let took = nanos(start);
            keys.drain(..).rev().for_each(|key| cx.timer_stop(key).expect("it is started"));
            took
        };
        let cold = start_all();
        let warm = start_all();
        let mut cx = lp.cx();
        keys.extend((0..LIVE).map(|_| cx.timer(FAR, |_, _| fired())));
        let start = Instant::now();
        for i in 0..n as usize {
            cx.timer_reset(keys[i % LIVE], FAR).expect("it is started");
        }
        [cold, warm, nanos(start)]
    })
}

/// The heap of [`floor`]. A restart notes the deadline beside it: the heap is looked at when the
/// old one comes up.
fn idle_floor(n: u32) -> [u64; 3] {
    on(Core::Server, || {
        let mut heap = BinaryHeap::new();
        let mut callbacks: Vec<Box<dyn FnOnce()>> = Vec::new();
        let begin = Instant::now();
        let mut start_all = || {
            let start = Instant::now();
            for after in rising(n) {
                heap.push(Reverse((nanos(begin) + after.as_nanos() as u64, callbacks.len())));
                callbacks.push(Box::new(fired));
            }
            let took = nanos(start);
            heap.clear();
            callbacks.clear();
            took
        };
        let cold = start_all();
        let warm = start_all();
        let mut deadlines = vec![0; LIVE];
        let start = Instant::now();
        for i in 0..n as usize {
            deadlines[i % LIVE] = nanos(begin) + FAR.as_nanos() as u64;
        }
        let took = nanos(start);
        assert!(deadlines.iter().all(|d| *d > 0));
        [cold, warm, took]
    })
}
