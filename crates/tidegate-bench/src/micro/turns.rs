//! Turns of a loop in which nothing happens, and ticks.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

use tidegate::prelude::*;

use super::{FAR, Sides, nanos, on};
use crate::sys::cores::Core;
use crate::sys::epoll::{Epoll, Events};

/// Turns with nothing due.
pub fn empty() -> Sides {
    &[
        ("tidegate", own_empty),
        ("floor", floor_empty),
        #[cfg(libuv)]
        ("libuv", |n| on(Core::Server, || crate::sys::libuv::turns(n))),
    ]
}

/// Turns of one run, with an idle hook.
pub fn idle() -> Sides {
    &[
        ("tidegate", own_idle),
        ("floor", floor_idle),
        #[cfg(libuv)]
        ("libuv", |n| on(Core::Server, || crate::sys::libuv::idle_turns(n))),
    ]
}

/// Ticks that each queue the next.
pub fn ticks() -> Sides {
    &[("tidegate", own_ticks), ("floor", floor_ticks)]
}

fn own_empty(n: u64) -> u64 {
    on(Core::Server, || {
        let mut lp = Loop::new().expect("a loop");
        lp.timer(FAR, |_, _| {});
        let start = Instant::now();
        for _ in 0..n {
            lp.run_nowait().expect("the poller works");
        }
        nanos(start)
    })
}

fn own_idle(n: u64) -> u64 {
    on(Core::Server, || {
        let mut lp = Loop::new().expect("a loop");
        let mut left = n;
        lp.idle(move |cx, me| {
            left -= 1;
            if left == 0 {
                cx.close(me).expect("this hook");
            }
        });
        let start = Instant::now();
        lp.run().expect("the poller works");
        nanos(start)
    })
}

/// A poll that does not wait, and a look at the clock: less is no loop.
fn floor_turns(n: u64, mut idle: impl FnMut() + Send) -> u64 {
    on(Core::Server, || {
        let epoll = Epoll::new().expect("an epoll instance");
        let mut events = Events::with_capacity(1024);
        let start = Instant::now();
        for _ in 0..n {
            idle();
            black_box(epoll.wait(&mut events, 0));
            black_box(Instant::now());
        }
        nanos(start)
    })
}

fn floor_empty(n: u64) -> u64 {
    floor_turns(n, || {})
}

fn floor_idle(n: u64) -> u64 {
    let mut left = n;
    floor_turns(n, move || left = black_box(left - 1))
}

fn own_ticks(n: u64) -> u64 {
    fn next(cx: &mut Cx<'_>, left: u64) {
        if left > 0 {
            cx.next_tick(move |cx| next(cx, left - 1));
        }
    }
    on(Core::Server, || {
        let mut lp = Loop::builder().tick_budget(u32::MAX).build().expect("a loop");
        next(&mut lp.cx(), n);
        let start = Instant::now();
        lp.run().expect("the poller works");
        nanos(start)
    })
}

struct Queue(VecDeque<Tick>);
type Tick = Box<dyn FnOnce(&mut Queue)>;

/// A queue of boxed closures.
fn floor_ticks(n: u64) -> u64 {
    fn next(queue: &mut Queue, left: u64) {
        if left > 0 {
            queue.0.push_back(Box::new(move |queue| next(queue, left - 1)));
        }
    }
    on(Core::Server, || {
        let mut queue = Queue(VecDeque::new());
        next(&mut queue, n);
        let start = Instant::now();
        while let Some(f) = queue.0.pop_front() {
            f(&mut queue);
        }
        nanos(start)
    })
}
