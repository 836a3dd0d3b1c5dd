//! The limit of ticks that wait, and what a caller meets there.

use std::cell::Cell;
use std::rc::Rc;

use crate::support::*;
use tidegate::TickFull;
use tidegate::prelude::*;

/// Counts its drops.
struct Dropped(Rc<Cell<u32>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// At the limit the closure comes back, whole; what waits runs in its order, and then there is
/// room again.
#[test]
fn a_tick_beyond_the_limit_comes_back() {
    let mut lp = guard(Loop::builder().tick_limit(3).build().unwrap());
    let log = Log::default();
    let say = |line: &'static str| {
        let log = log.clone();
        move |_: &mut Cx<'_>| log.add(line)
    };
    for line in ["1", "2", "3"] {
        lp.as_cx().try_next_tick(say(line)).unwrap();
    }
    let refused = lp.as_cx().try_next_tick(say("4")).unwrap_err();
    assert_eq!(refused.to_string(), "too many ticks wait: see tick_limit");
    assert_eq!(lp.metrics().ticks_refused, 1);
    let TickFull(back) = refused;
    lp.run().unwrap();
    lp.as_cx().try_next_tick(back).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["1", "2", "3", "4"]);
    let e: std::io::Error = TickFull(()).into();
    assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock);
}

/// `next_tick` cannot say no: beyond the limit it counts, and drops the closure after the
/// callback, not in the call.
#[test]
fn a_tick_without_an_answer_is_counted_and_dropped_later() {
    let mut lp = guard(Loop::builder().tick_limit(2).build().unwrap());
    let (ran, drops) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (r, d) = (ran.clone(), drops.clone());
    lp.as_cx().timer(std::time::Duration::ZERO, move |cx, _| {
        for _ in 0..10 {
            let (r, held) = (r.clone(), Dropped(d.clone()));
            cx.next_tick(move |_| {
                r.set(r.get() + 1);
                drop(held);
            });
        }
        assert_eq!(d.get(), 0, "no call drops a user's value");
    });
    lp.run().unwrap();
    assert_eq!((ran.get(), drops.get()), (2, 10));
    assert_eq!(lp.metrics().ticks_refused, 8);
}

/// Ticks that multiply meet the default limit, and the loop lives on.
#[test]
fn ticks_that_multiply_are_bounded() {
    fn breed(cx: &mut Cx<'_>) {
        for _ in 0..3 {
            cx.next_tick(breed);
        }
    }
    let mut lp = guarded();
    assert_eq!(lp.limits().tick_limit, 65_536);
    lp.as_cx().next_tick(breed);
    turn_until(&mut lp, |lp| lp.metrics().ticks_refused > 1_000);
    assert!(lp.is_alive());
    assert!(Loop::builder().tick_limit(0).build().is_err());
}
