//! Who gets which connection, in which order, and within which limits.

use std::io::Read;
use std::time::Duration;

use tidegate::net::On;

use super::*;

/// One connection, used three times; the callback never comes inside the call.
#[test]
fn a_connection_is_used_again() {
    let mut lp = guarded();
    let (listener, at) = there();
    let pool = pool(&mut lp, PoolOptions::new());
    let got = Got::default();
    take(&mut lp, pool, at, &got);
    assert_eq!(got.len(), 0);
    turn_until(&mut lp, |_| got.len() == 1);
    let mut peer = accept(&listener);
    for use_number in 1..=3u8 {
        let lease = got.lease(usize::from(use_number) - 1);
        assert_eq!((lease.is_reused(), lease.socket()), (use_number > 1, got.lease(0).socket()));
        let back = Log::default();
        let said = back.clone();
        let mut s = lp.socket(lease.socket());
        s.set_handler(On::new().data(move |s, chunk| {
            said.add(format!("{chunk:?}"));
            s.pool_give(lease).unwrap();
        }));
        assert_eq!(s.write(&[use_number]), Flow::Ready);
        let mut byte = [0];
        peer.read_exact(&mut byte).unwrap();
        write_all(&peer, &byte);
        turn_until(&mut lp, |_| back.has(&format!("[{use_number}]")));
        assert_eq!(metrics(&mut lp, pool).idle, 1);
        take(&mut lp, pool, at, &got);
        turn_until(&mut lp, |_| got.len() == usize::from(use_number) + 1);
    }
    let m = metrics(&mut lp, pool);
    assert_eq!((m.taken, m.reused, m.connected, m.open, m.idle), (4, 3, 1, 1, 0));
    lp.socket(got.lease(3).socket()).destroy();
    over(&mut lp, pool);
}

/// Two connections, five who want one: they get them in their order, as they come back.
#[test]
fn those_who_wait_get_them_in_their_order() {
    let mut lp = guarded();
    let (listener, at) = there();
    let pool = pool(&mut lp, PoolOptions::new().max_per_name(2));
    let order = Log::default();
    let leases = Got::default();
    for n in 0..5 {
        let (order, leases) = (order.clone(), leases.clone());
        lp.pool_take(pool, &at.to_string(), move |_, lease| {
            order.add(format!("{n}"));
            leases.0.borrow_mut().push(lease);
        });
    }
    turn_until(&mut lp, |_| leases.len() == 2);
    let _peers = [accept(&listener), accept(&listener)];
    for n in 0..5 {
        turn_until(&mut lp, |_| leases.len() > n);
        let m = metrics(&mut lp, pool);
        assert!(m.open <= 2 && leases.len() == (n + 2).min(5), "{m:?}");
        lp.pool_give(leases.lease(n)).unwrap();
        turn_until(&mut lp, |_| leases.len() >= (n + 3).min(5));
    }
    assert_eq!(order.lines(), ["0", "1", "2", "3", "4"]);
    over(&mut lp, pool);
}

/// The one that was used last, or the one that was idle longest.
#[test]
fn the_order_of_use() {
    for (options, expected) in [(PoolOptions::new(), 1), (PoolOptions::new().fifo(), 0)] {
        let mut lp = guarded();
        let (listener, at) = there();
        let pool = pool(&mut lp, options);
        let leases = [lease(&mut lp, pool, at), lease(&mut lp, pool, at)];
        let _peers = [accept(&listener), accept(&listener)];
        for lease in leases {
            lp.pool_give(lease).unwrap();
        }
        assert_eq!(lease(&mut lp, pool, at).socket(), leases[expected].socket());
        lp.socket(leases[expected].socket()).destroy();
        over(&mut lp, pool);
    }
}

/// Too many wait; one waits too long; one does not want it any more.
#[test]
fn those_who_get_none() {
    let (mut lp, script) = scripted();
    let (listener, at) = there();
    let options = PoolOptions::new().max_per_name(1).max_waiting(2);
    let pool = pool(&mut lp, options.wait_timeout(Duration::from_secs(3)));
    let first = Got::default();
    take(&mut lp, pool, at, &first);
    poll_until(&mut lp, |_| first.len() == 1);
    let _peer = accept(&listener);
    let (second, third, fourth) = (Got::default(), Got::default(), Got::default());
    take(&mut lp, pool, at, &second);
    script.advance(Duration::from_secs(1));
    lp.run_nowait().unwrap();
    let wait = take(&mut lp, pool, at, &third);
    take(&mut lp, pool, at, &fourth);
    lp.run_nowait().unwrap();
    lp.run_nowait().unwrap();
    assert_eq!(fourth.error(0), "too many wait for a connection");
    assert!(lp.pool_cancel(wait) && !lp.pool_cancel(wait));
    script.advance(Duration::from_millis(1999));
    lp.run_nowait().unwrap();
    assert_eq!((second.len(), third.len()), (0, 0));
    script.advance(Duration::from_millis(1));
    poll_until(&mut lp, |_| second.len() == 1);
    assert_eq!(second.error(0), "no connection came free in time");
    let m = metrics(&mut lp, pool);
    assert_eq!((m.full, m.timed_out, m.waiting, third.len()), (1, 1, 0, 0));
    // Nobody waits, and what is idle does not hold the loop.
    lp.pool_give(first.lease(0)).unwrap();
    lp.run().unwrap();
    assert_eq!(metrics(&mut lp, pool).idle, 1);
    over(&mut lp, pool);
}

/// A connection of another name leaves its place, if nobody uses it.
#[test]
fn a_place_goes_to_another_name() {
    let mut lp = guarded();
    let ((one, at), (two, other)) = (there(), there());
    let pool = pool(&mut lp, PoolOptions::new().max_total(1));
    let first = lease(&mut lp, pool, at);
    let mut peer = accept(&one);
    let got = Got::default();
    take(&mut lp, pool, other, &got);
    lp.run_nowait().unwrap();
    assert_eq!(got.len(), 0);
    lp.pool_give(first).unwrap();
    turn_until(&mut lp, |_| got.len() == 1);
    let _other = accept(&two);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "it is closed");
    lp.socket(got.lease(0).socket()).destroy();
    over(&mut lp, pool);
}

/// Used often enough, old enough: not kept. And those that are too many.
#[test]
fn connections_that_are_not_kept() {
    let worn = PoolOptions::new().max_uses(2);
    let old = PoolOptions::new().max_age(Duration::from_millis(1));
    for (options, uses) in [(worn, 2), (old, 1), (PoolOptions::new().max_idle(0), 1)] {
        let (mut lp, script) = scripted();
        let (listener, at) = there();
        let pool = pool(&mut lp, options);
        let mut keys = Vec::new();
        for _ in 0..uses {
            let got = Got::default();
            take(&mut lp, pool, at, &got);
            poll_until(&mut lp, |_| got.len() == 1);
            keys.push(got.lease(0).socket());
            script.advance(Duration::from_millis(2));
            lp.run_nowait().unwrap();
            lp.pool_give(got.lease(0)).unwrap();
            lp.run_nowait().unwrap();
        }
        let mut peer = accept(&listener);
        poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
        keys.dedup();
        assert_eq!((keys.len(), metrics(&mut lp, pool).open), (1, 0));
        over(&mut lp, pool);
    }
}
