//! Law 8: everything has a limit. What a caller meets at the limits of ticks, of one write queue,
//! and of all queues together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use tidegate::net::Scope;
use tidegate::prelude::*;
use tidegate::stream::StreamLimits;
use tidegate::{LimitError, TickFull};

use crate::support::*;

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
        lp.try_next_tick(say(line)).unwrap();
    }
    let refused = lp.try_next_tick(say("4")).unwrap_err();
    assert_eq!(refused.to_string(), "too many ticks wait: see tick_limit");
    assert_eq!(lp.metrics().ticks_refused, 1);
    let TickFull(back) = refused;
    lp.run().unwrap();
    lp.try_next_tick(back).unwrap();
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
    lp.timer(std::time::Duration::ZERO, move |cx, _| {
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
    lp.next_tick(breed);
    turn_until(&mut lp, |lp| lp.metrics().ticks_refused > 1_000);
    assert!(lp.is_alive());
}

/// A limit that cannot work is an error with the names of its layer and of itself.
#[test]
fn a_limit_of_zero_is_refused() {
    let refused = |builder: tidegate::Builder| {
        let error = builder.build().unwrap_err();
        let error = error.get_ref().unwrap().downcast_ref::<LimitError>();
        error.map(|e| (e.layer, e.name)).unwrap()
    };
    let new = Loop::builder;
    assert_eq!(refused(new().tick_limit(0)), ("loop", "tick_limit"));
    assert_eq!(refused(new().events(usize::MAX)), ("loop", "events"));
    let net = NetLimits::new();
    assert_eq!(refused(new().limits(net.clone().accept_budget(0))), ("net", "accept_budget"));
    assert_eq!(refused(new().limits(net.clone().buffered_limit(0))), ("net", "buffered_limit"));
    let stream = StreamLimits::new().read_limit(0);
    let both = new().limits(net.write_budget(7)).limits(stream);
    assert_eq!(refused(both), ("stream", "read_limit"));
}

#[test]
fn a_producer_that_ignores_full_meets_the_write_limit() {
    let mut lp = guarded();
    let closes = Rc::new(RefCell::new(Vec::new()));
    let c2 = closes.clone();
    let options = ListenOptions::new("127.0.0.1:0").write_limit(1 << 20);
    let srv = lp
        .listen(options, move |conn| {
            let closes = c2.clone();
            let mut s = conn.accept(On::new().close(move |_, c| closes.borrow_mut().push(c)));
            let chunk = Bytes::from(vec![0u8; 256 * 1024]);
            while s.write(chunk.clone()) != Flow::Closed {}
        })
        .unwrap();
    let c = client(lp.server(srv).local_addr().unwrap());
    turn_until(&mut lp, |_| !closes.borrow().is_empty());
    let closes = closes.borrow();
    let Reason::WriteLimit { scope, queued, limit } = closes[0].reason else {
        panic!("{:?}", closes[0])
    };
    assert_eq!((scope, limit), (Scope::Socket, 1 << 20));
    assert!(queued > limit && queued <= limit + 256 * 1024, "by one write at most: {queued}");
    assert!(closes[0].unsent <= queued);
    drop(c);
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn all_queues_together_meet_the_buffered_limit() {
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(1 << 20)).build().unwrap());
    let log = Log::default();
    let l = log.clone();
    let srv = lp
        .listen("127.0.0.1:0", move |conn| {
            let l = l.clone();
            let mut s = conn.accept(On::new().close(move |_, c| l.add(c.to_string())));
            let chunk = Bytes::from(vec![0u8; 8 << 20]);
            let _ = s.write(chunk);
        })
        .unwrap();
    let at = lp.server(srv).local_addr().unwrap();
    let first = client(at);
    turn_until(&mut lp, |lp| lp.server(srv).stats().unwrap().accepted == 1);
    let second = client(at);
    turn_until(&mut lp, |_| log.lines().len() == 1);
    assert!(log.lines()[0].contains("buffered_limit is 1048576"), "{:?}", log.lines());
    assert!(was_reset(&first), "bytes are missing, and the peer gets a reset");
    assert_eq!(lp.net_metrics().sockets, 1, "the second one may go on");
    drop(second);
}
