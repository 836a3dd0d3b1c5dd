//! The queue of what waits to be sent: limits, policies, drains. The kernel has no room while an
//! address is not resolved, in a network namespace of the test's own, and has room again when the
//! test resolves it.

use std::cell::Cell;
use std::rc::Rc;

use tidegate::net::{SendOptions, UdpEvent, UdpOptions, UdpReason, WhenFull};
use tidegate::prelude::*;

use crate::netns;
use crate::support::*;
use crate::{nothing, open};

/// Nobody has this address.
const NOBODY: &str = "10.9.0.77:9";

/// Lets go what waits for it.
fn resolve() {
    netns::run("ip neigh replace 10.9.0.77 lladdr 02:00:00:00:00:77 dev near nud permanent")
        .unwrap();
}

/// Runs the test where sending gets stuck; skips it where namespaces are not permitted.
fn stuck(test: impl FnOnce() + Send) {
    match netns::pair() {
        Ok((here, _there)) => here.inside(test),
        Err(e) => eprintln!("skipped: {e}"),
    }
}

/// With the smallest send buffer.
fn small() -> UdpOptions {
    UdpOptions::new("10.9.0.1:0").send_buffer(1)
}

/// Sends until something waits in our queue; how many were sent.
fn block(lp: &mut Loop, key: UdpKey) -> u64 {
    let to = NOBODY.parse().unwrap();
    for _ in 0..100 {
        assert_eq!(lp.datagrams(key).send_to(&[1; 1000], to), SendFlow::Ready);
        lp.run_nowait().unwrap();
        if lp.datagrams(key).waiting().datagrams > 0 {
            return lp.datagrams(key).stats().unwrap().sent;
        }
    }
    panic!("it never blocks");
}

#[test]
fn b25_the_queue_grows_and_returns_to_0() {
    stuck(|| {
        let mut lp = guarded();
        let (key, _) = open(&mut lp, small(), nothing());
        let before = block(&mut lp, key);
        let to = NOBODY.parse().unwrap();
        let first = lp.datagrams(key).waiting();
        assert_eq!((first.datagrams, first.bytes), (1, 1000));
        assert_eq!(lp.datagrams(key).send_to(&[2; 500], to), SendFlow::Ready);
        let now = lp.datagrams(key).waiting();
        assert_eq!((now.datagrams, now.bytes), (2, 1500));
        let e = lp.datagrams(key).try_send_to(b"x", to).unwrap_err();
        assert_eq!(e.kind(), std::io::ErrorKind::WouldBlock);
        assert!(lp.why_alive().iter().any(|h| h.to_string().contains("2 datagrams wait")));
        resolve();
        turn_until(&mut lp, |lp| lp.datagrams(key).waiting().datagrams == 0);
        let stats = lp.datagrams(key).stats().unwrap();
        assert_eq!(stats.sent, before + 2);
        assert!(stats.stalls > 0);
    });
}

/// libuv's udp_ref3.
#[test]
fn b31_what_waits_keeps_the_loop_alive_though_unreferenced() {
    stuck(|| {
        let mut lp = guarded();
        let (key, _) = open(&mut lp, small(), nothing());
        lp.set_ref(key, false).unwrap();
        lp.run().unwrap();
        let before = block(&mut lp, key);
        lp.cx().next_tick(|_| resolve());
        lp.run().unwrap();
        assert_eq!(lp.datagrams(key).stats().unwrap().sent, before + 1);
    });
}

/// Fills the queue up to its limit of 10 datagrams, and sends 5 more.
fn overfill(policy: WhenFull, check: impl FnOnce(&mut Loop, UdpKey, Log, Vec<SendFlow>) + Send) {
    stuck(move || {
        let mut lp = guarded();
        let log = Log::default();
        let (l, m) = (log.clone(), log.clone());
        let handler = nothing()
            .sent(move |_, id, result| l.add(format!("{id} {}", result.is_ok())))
            .drain(move |_| m.add("drain"));
        let options = small().queue_limit(12_000).high_water_mark(5000).when_full(policy);
        let (key, _) = open(&mut lp, options, handler);
        block(&mut lp, key);
        let to = NOBODY.parse().unwrap();
        let send = |id| lp.datagrams(key).send_with(&[1; 1000], SendOptions::to(to).id(id));
        let flows: Vec<_> = (0..15).map(send).collect();
        check(&mut lp, key, log, flows);
    });
}

#[test]
fn b26_reject_says_so_and_the_drain_comes() {
    overfill(WhenFull::Reject, |lp, key, log, flows| {
        let count = |of| flows.iter().filter(|f| **f == of).count();
        let (full, dropped) = (count(SendFlow::Full), count(SendFlow::Dropped));
        assert_eq!(flows[14], SendFlow::Dropped);
        assert!(full > 0 && count(SendFlow::Ready) > 0);
        assert_eq!(lp.datagrams(key).stats().unwrap().refused, dropped as u64);
        assert!(log.lines().is_empty());
        resolve();
        turn_until(lp, |_| log.has("drain"));
        let accepted = 15 - dropped;
        let mut expected: Vec<_> = (0..accepted).map(|id| format!("{id} true")).collect();
        expected.push("drain".into());
        assert_eq!(log.lines(), expected);
    });
}

#[test]
fn b26_drop_oldest_reports_what_gave_way() {
    overfill(WhenFull::DropOldest, |lp, key, log, flows| {
        assert!(flows.iter().all(|f| matches!(f, SendFlow::Ready | SendFlow::Full)), "{flows:?}");
        let stats = lp.datagrams(key).stats().unwrap();
        assert!(stats.dropped_oldest > 0 && stats.refused == 0);
        resolve();
        turn_until(lp, |_| log.has("drain"));
        // The first that gave way has no id: `block` sent it.
        let gone = stats.dropped_oldest as usize - 1;
        let mut expected: Vec<_> = (0..gone).map(|id| format!("{id} false")).collect();
        expected.extend((gone..15).map(|id| format!("{id} true")));
        expected.push("drain".into());
        assert_eq!(log.lines(), expected);
    });
}

#[test]
fn b26_drop_newest_reports_only_ids() {
    overfill(WhenFull::DropNewest, |lp, key, log, flows| {
        assert!(flows.iter().all(|f| matches!(f, SendFlow::Ready | SendFlow::Full)), "{flows:?}");
        let refused = lp.datagrams(key).stats().unwrap().refused;
        assert!(refused > 0);
        resolve();
        turn_until(lp, |_| log.has("drain"));
        let of = |end: &str| log.lines().iter().filter(|l| l.ends_with(end)).count();
        assert_eq!((of("false"), of("true")), (refused as usize, 15 - refused as usize));
    });
}

/// cpython#156698: a queue that errors have emptied is a queue that is empty.
#[test]
fn b26_the_drain_comes_also_if_errors_emptied_the_queue() {
    stuck(|| {
        let mut lp = guarded();
        let drained = Rc::new(Cell::new(false));
        let (d, errors) = (drained.clone(), Log::default());
        let e = errors.clone();
        let handler = nothing()
            .send_error(move |_, error| e.add(error.error.kind().to_string()))
            .drain(move |_| d.set(true));
        let options = small().high_water_mark(2000);
        let (key, _) = open(&mut lp, options, handler);
        block(&mut lp, key);
        let to = NOBODY.parse().unwrap();
        while lp.datagrams(key).send_to(&[1; 1000], to) == SendFlow::Ready {}
        // Whatever waits fails now; the buffer is let go.
        netns::run("ip route add prohibit 10.9.0.77/32").unwrap();
        netns::run("ip addr del 10.9.0.1/24 dev near").unwrap();
        netns::run("ip link set near down").unwrap();
        turn_until(&mut lp, |_| drained.get());
        assert_eq!(lp.datagrams(key).waiting().datagrams, 0);
        assert!(!errors.lines().is_empty());
    });
}

#[test]
fn b30_close_answers_what_is_queued_before_on_close() {
    stuck(|| {
        let mut lp = guarded();
        let log = Log::default();
        let (l, m) = (log.clone(), log.clone());
        let handler = nothing()
            .sent(move |_, id, result| l.add(format!("{id}: {}", result.unwrap_err())))
            .close(move |_, close| m.add(close.to_string()));
        let (key, _) = open(&mut lp, small(), handler);
        block(&mut lp, key);
        let to = NOBODY.parse().unwrap();
        let _ = lp.datagrams(key).send_with(b"x", SendOptions::to(to).id(1));
        let _ = lp.datagrams(key).send_with(b"xy", SendOptions::to(to).id(2));
        let trace = Trace::default();
        lp.observe(trace.clone());
        lp.datagrams(key).destroy();
        lp.run().unwrap();
        let failed = "send to 10.9.0.77:9 failed: the socket was closed before it was sent";
        let expected = [
            format!("1: {failed} [1 bytes]"),
            format!("2: {failed} [2 bytes]"),
            "destroyed (3 datagrams unsent)".into(),
        ];
        assert_eq!(log.lines(), expected);
        let closed = trace.net().iter().any(|(_, e)| {
            matches!(e, tidegate::net::NetEvent::Udp(_, UdpEvent::Closed { unsent: 3, .. }))
        });
        assert!(closed);
    });
}

#[test]
fn b30_end_sends_what_is_queued_first() {
    stuck(|| {
        let mut lp = guarded();
        let ended = Rc::new(Cell::new(0));
        let e = ended.clone();
        let handler = nothing().close(move |_, close| {
            assert!(matches!(close.reason, UdpReason::Ended), "{close}");
            assert_eq!(close.unsent.datagrams, 0);
            e.set(close.stats.sent);
        });
        let (key, _) = open(&mut lp, small(), handler);
        let before = block(&mut lp, key);
        lp.datagrams(key).end();
        let to = NOBODY.parse().unwrap();
        assert_eq!(lp.datagrams(key).send_to(b"x", to), SendFlow::Closed);
        lp.run_nowait().unwrap();
        assert_eq!(ended.get(), 0);
        resolve();
        lp.run().unwrap();
        assert_eq!(ended.get(), before + 1);
    });
}

/// All queues of a loop together have a limit, too.
#[test]
fn the_loop_bounds_all_queues_together() {
    stuck(|| {
        let limits = tidegate::net::UdpLimits::new().queued_limit(8000);
        let lp = Loop::builder().limits(limits).build().unwrap();
        let mut lp = guard(lp);
        let (a, _) = open(&mut lp, small(), nothing());
        let (b, _) = open(&mut lp, small(), nothing());
        block(&mut lp, a);
        block(&mut lp, b);
        let to = NOBODY.parse().unwrap();
        while lp.datagrams(a).send_to(&[0; 1000], to) == SendFlow::Ready {}
        assert_eq!(lp.datagrams(b).send_to(&[0; 1000], to), SendFlow::Dropped);
        lp.datagrams(a).destroy();
        lp.run_nowait().unwrap();
        assert_eq!(lp.datagrams(b).send_to(&[0; 1000], to), SendFlow::Ready);
        lp.datagrams(b).destroy();
        lp.run().unwrap();
    });
}

/// A callback that queues more than the limit at once asks the kernel in between.
#[test]
fn a_burst_beyond_the_limit_is_no_reason_to_drop() {
    let mut lp = guarded();
    let (_socket, to) = crate::peer();
    let options = UdpOptions::new("127.0.0.1:0").queue_limit(10_000).high_water_mark(5000);
    let (key, _) = open(&mut lp, options, nothing());
    for _ in 0..200 {
        assert_eq!(lp.datagrams(key).send_to(&[0; 1000], to), SendFlow::Ready);
    }
    lp.datagrams(key).end();
    lp.run().unwrap();
}

/// What other sockets hold cannot be had by dropping what is ours.
#[test]
fn b26_drop_oldest_drops_nothing_in_vain() {
    stuck(|| {
        let limits = tidegate::net::UdpLimits::new().queued_limit(8000);
        let mut lp = guard(Loop::builder().limits(limits).build().unwrap());
        let (a, _) = open(&mut lp, small(), nothing());
        let (b, _) = open(&mut lp, small().when_full(WhenFull::DropOldest), nothing());
        block(&mut lp, a);
        block(&mut lp, b);
        let to = NOBODY.parse().unwrap();
        while lp.datagrams(a).send_to(&[0; 1000], to) == SendFlow::Ready {}
        let waits = lp.datagrams(b).waiting();
        assert_eq!(lp.datagrams(b).send_to(&[0; 5000], to), SendFlow::Dropped);
        assert_eq!(lp.datagrams(b).waiting(), waits);
        assert_eq!(lp.datagrams(b).send_to(&[0; 900], to), SendFlow::Full);
        assert_eq!(lp.datagrams(b).stats().unwrap().dropped_oldest, 1);
    });
}
