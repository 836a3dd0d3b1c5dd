//! Many timers at once: started, and then all fired or all stopped.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use tidegate::TimerKey;
use tidegate::prelude::*;

use super::{nanos, on};
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
