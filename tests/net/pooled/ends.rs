//! Connections that end: idle, in use, while they are made; and pools that end.

use std::io::Read;
use std::time::Duration;

use tidegate::KeyError;
use tidegate::net::On;

use super::*;

/// A byte, an end, a reset, and time: an idle connection is gone before somebody gets it.
#[test]
fn an_idle_connection_ends() {
    for how in ["byte", "end", "reset", "time"] {
        let mut lp = guarded();
        let (listener, at) = there();
        let options = PoolOptions::new();
        let time = Duration::from_millis(20);
        let pool = pool(&mut lp, if how == "time" { options.idle_timeout(time) } else { options });
        let first = lease(&mut lp, pool, at);
        let mut peer = accept(&listener);
        lp.pool_give(first).unwrap();
        lp.run_nowait().unwrap();
        match how {
            "byte" => write_all(&peer, b"x"),
            "end" => peer.shutdown(std::net::Shutdown::Write).unwrap(),
            "reset" => reset(peer.try_clone().unwrap()),
            _ => assert_eq!(metrics(&mut lp, pool).idle, 1),
        }
        if how == "reset" {
            drop(peer);
        } else {
            // It does not hold the loop, but this does.
            lp.after(DEADLINE / 2, |_| {});
            turn_until(&mut lp, |lp| metrics(lp, pool).open == 0);
            let _ = peer.read(&mut [0]);
        }
        lp.after(DEADLINE / 2, |_| {});
        turn_until(&mut lp, |lp| metrics(lp, pool).open == 0);
        let m = metrics(&mut lp, pool);
        let counts = (m.unsolicited, m.ended_idle, m.expired);
        assert_eq!(
            counts,
            match how {
                "byte" => (1, 0, 0),
                "time" => (0, 0, 1),
                _ => (0, 1, 0),
            },
            "{how}"
        );
        // The next gets a new one.
        let second = lease(&mut lp, pool, at);
        assert!(!second.is_reused() && second.socket() != first.socket());
        assert!(matches!(lp.pool_give(first), Err(KeyError::Closed)));
        lp.close_all();
        lp.run().unwrap();
    }
}

/// The end came, and the loop has not seen it: the one who asks gets another connection.
#[test]
fn an_end_that_nobody_has_seen() {
    let mut lp = guarded();
    let (listener, at) = there();
    let pool = pool(&mut lp, PoolOptions::new().check_after(Duration::ZERO));
    let first = lease(&mut lp, pool, at);
    let peer = accept(&listener);
    lp.pool_give(first).unwrap();
    lp.run_nowait().unwrap();
    drop(peer);
    for _ in 0..20 {
        let got = Got::default();
        take(&mut lp, pool, at, &got);
        turn_until(&mut lp, |_| got.len() == 1);
        let second = got.lease(0);
        let peer = accept(&listener);
        assert!(lp.socket(second.socket()).state().is_ok());
        lp.pool_give(second).unwrap();
        drop(peer);
    }
    over(&mut lp, pool);
}

/// In use it ends by its user's handler; the lease finds nothing, and the place is free.
#[test]
fn a_lease_whose_connection_is_over() {
    let mut lp = guarded();
    let (listener, at) = there();
    let pool = pool(&mut lp, PoolOptions::new().max_per_name(1));
    let (first, log, got) = (lease(&mut lp, pool, at), Log::default(), Got::default());
    let said = log.clone();
    let on = On::new().close(move |_, close| said.add(close.to_string()));
    lp.socket(first.socket()).set_handler(on);
    take(&mut lp, pool, at, &got);
    drop(accept(&listener));
    turn_until(&mut lp, |_| got.len() == 1);
    assert_eq!(log.lines(), ["both sides ended"]);
    assert!(lp.pool_give(first).is_err());
    let second = got.lease(0);
    lp.pool_give(second).unwrap();
    assert!(lp.pool_give(second).is_err(), "twice");
    over(&mut lp, pool);
}

/// Not between two uses: bytes are queued, or it is ending. It is closed, not kept.
#[test]
fn a_lease_that_is_not_clean() {
    for ends in [true, false] {
        let mut lp = guarded();
        let (listener, at) = there();
        let pool = pool(&mut lp, PoolOptions::new());
        let first = lease(&mut lp, pool, at);
        let mut peer = accept(&listener);
        let mut s = lp.socket(first.socket());
        s.set_handler(On::new());
        match ends {
            true => s.end(),
            false => assert_eq!(s.write(vec![7; 32 << 20]), Flow::Full),
        }
        lp.pool_give(first).unwrap();
        turn_until(&mut lp, |lp| metrics(lp, pool).retired == 1);
        assert_eq!(metrics(&mut lp, pool).open, 0);
        let _ = peer.read_to_end(&mut Vec::new());
        over(&mut lp, pool);
    }
}

/// Nobody listens: each who waits gets the error of one attempt, not of all; then somebody does.
#[test]
fn a_server_that_is_down_and_comes_back() {
    let mut lp = guarded();
    let at = closed_port();
    let pool = pool(&mut lp, PoolOptions::new().max_per_name(2));
    let got = Got::default();
    for _ in 0..5 {
        take(&mut lp, pool, at, &got);
    }
    turn_until(&mut lp, |_| got.len() == 5);
    for n in 0..5 {
        assert!(got.error(n).contains("(ECONNREFUSED)"), "{}", got.error(n));
    }
    let m = metrics(&mut lp, pool);
    assert_eq!((m.connect_failed, m.open, m.waiting), (5, 0, 0));
    let listener = std::net::TcpListener::bind(at).unwrap();
    let first = lease(&mut lp, pool, at);
    let _peer = accept(&listener);
    lp.pool_give(first).unwrap();
    over(&mut lp, pool);
}

/// The pool ends: who waits is told, idle connections close, a lease lives on until it comes back.
#[test]
fn a_pool_is_closed() {
    let mut lp = guarded();
    let (listener, at) = there();
    let pool = pool(&mut lp, PoolOptions::new().max_per_name(2));
    let (first, second) = (lease(&mut lp, pool, at), lease(&mut lp, pool, at));
    let _peers = [accept(&listener), accept(&listener)];
    let got = Got::default();
    take(&mut lp, pool, at, &got);
    lp.close(pool).unwrap();
    take(&mut lp, pool, at, &got);
    turn_until(&mut lp, |_| got.len() == 2);
    assert!((0..2).all(|n| got.error(n) == "the pool is closed"));
    assert!(lp.pool_metrics(pool).is_err());
    assert!(lp.socket(first.socket()).state().is_ok());
    for lease in [first, second] {
        let _ = lp.pool_give(lease);
    }
    lp.run().unwrap();
    assert_eq!(lp.net_metrics().sockets, 0);
}

/// A callback that panics: the panic leaves `run`, its connection is closed, the others get theirs.
#[test]
fn callbacks_that_panic() {
    let mut lp = guarded();
    let (listener, at) = there();
    let pool = pool(&mut lp, PoolOptions::new().max_per_name(1));
    lp.pool_take(pool, &at.to_string(), |_, _| panic!("a callback"));
    let got = Got::default();
    take(&mut lp, pool, at, &got);
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        turn_until(&mut lp, |_| got.len() == 1);
    }));
    assert!(run.is_err());
    turn_until(&mut lp, |_| got.len() == 1);
    let _peers = [accept(&listener), accept(&listener)];
    lp.pool_give(got.lease(0)).unwrap();
    over(&mut lp, pool);
    let wrong = lp.pool(PoolOptions::new(), |_| panic!("no options")).unwrap();
    let got = Got::default();
    take(&mut lp, wrong, at, &got);
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        turn_until(&mut lp, |_| got.len() == 1);
    }));
    assert!(run.is_err());
    turn_until(&mut lp, |_| got.len() == 1);
    assert_eq!(got.len(), 1);
    over(&mut lp, wrong);
}
