//! Calls on a connection that has failed, is failing, or is closed: none leads to a spin, a leak or
//! a wait without end.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tidegate::prelude::*;

use crate::support::*;

fn told(log: &Log) -> impl FnMut(&mut SocketCx<'_>, Close) + 'static {
    let log = log.clone();
    move |_, close| log.add(close.to_string())
}

/// `end` and `uncork` on a connection that was refused, before its own dispatch: the
/// write must not take the error away.
#[test]
fn ending_a_connection_that_is_being_refused() {
    for uncork in [false, true] {
        let mut lp = guarded();
        let log = Log::default();
        let server = lp
            .listen("127.0.0.1:0", |mut conn| {
                let server = conn.server_key();
                conn.server(server).close().unwrap();
                conn.reject();
            })
            .unwrap();
        let at = lp.server(server).local_addr().unwrap();
        let other = Rc::new(Cell::new(None));
        let o = other.clone();
        lp.connect(
            at,
            On::new().connect(move |s| {
                let mut other = s.socket(o.get().unwrap());
                if uncork { other.uncork() } else { other.end() }
            }),
        );
        let key = lp.connect(closed_port(), On::new().close(told(&log)));
        other.set(Some(key));
        if uncork {
            lp.socket(key).cork();
        }
        assert_eq!(lp.socket(key).write(b"queued"), Flow::Ready);
        lp.run().unwrap();
        let lines = log.lines();
        assert!(lines.len() == 1 && lines[0].contains("ECONNREFUSED"), "{lines:?}");
        assert!(lines[0].ends_with("(6 bytes unsent)"), "{lines:?}");
        assert!(lp.metrics().turns < 20, "{} turns", lp.metrics().turns);
    }
}

/// Bytes written before the connection is made leave after `on_connect`.
#[test]
fn nothing_leaves_before_on_connect() {
    let mut lp = guarded();
    let got = Log::default();
    let g = got.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let server = conn.server_key();
            conn.server(server).close().unwrap();
            let g = g.clone();
            conn.accept(On::new().data(move |_, chunk| g.add(String::from_utf8_lossy(chunk))));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let key = lp.connect(at, On::new().connect(|s| assert_eq!(s.bytes_written(), 0)));
    assert_eq!(lp.socket(key).write(b"early"), Flow::Ready);
    lp.socket(key).end();
    lp.run().unwrap();
    assert_eq!(got.lines(), ["early"]);
}

/// A write fails, and the handler pauses because the answer was not `Ready`: the
/// connection ends with the write's error, all the same.
#[test]
fn pausing_after_a_failed_write_is_the_end() {
    let mut lp = guarded();
    let (log, key) = (Log::default(), Rc::new(Cell::new(None)));
    let (l, k) = (log.clone(), key.clone());
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            k.set(Some(conn.accept(On::new().close(told(&l))).key()));
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| key.get().is_some());
    reset(c);
    // From outside, so that the write meets the reset before a read does.
    let mut s = lp.socket(key.get().unwrap());
    while s.write(b"x") != Flow::Closed {}
    s.pause();
    turn_until(&mut lp, |_| !log.lines().is_empty());
    assert!(log.lines()[0].starts_with("write with "), "{:?}", log.lines());
    assert_eq!(lp.server(server).stats().unwrap().connections, 0);
}

/// Urgent data cuts a read short although more is there: what follows does not wait.
#[test]
fn libuv_58_urgent_data_holds_nothing_up() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let l = l.clone();
            conn.accept(On::new().data(move |_, chunk| l.add(String::from_utf8_lossy(chunk))));
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
    lp.run_nowait().unwrap();
    write_all(&c, b"abc");
    socket2::SockRef::from(&c).send_out_of_band(b"!").unwrap();
    write_all(&c, b"request");
    turn_until(&mut lp, |_| log.lines().concat() == "abcrequest");
}

/// The time of a connect counts from when it was asked for, not from the last poll.
#[test]
fn elapsed_counts_from_the_call() {
    let mut lp = guarded();
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(50) {
        std::hint::spin_loop();
    }
    let elapsed = Rc::new(Cell::new(Duration::MAX));
    let e = elapsed.clone();
    let close = move |_: &mut SocketCx<'_>, c: Close| {
        e.set(c.reason.error().unwrap().elapsed().unwrap());
    };
    lp.connect(closed_port(), On::new().close(close));
    let asked = start.elapsed();
    lp.run().unwrap();
    assert!(elapsed.get() <= start.elapsed() - asked + Duration::from_millis(40), "{elapsed:?}");
}

/// Once it is over, a connection has no address and nothing queued.
#[test]
fn a_destroyed_connection_tells_nothing() {
    let mut lp = guarded();
    let at = closed_port();
    let seen = Rc::new(Cell::new(None));
    let s = seen.clone();
    let key = lp.connect(at, On::new().close(move |_, c| s.set(Some((c.peer, c.unsent)))));
    let mut s = lp.socket(key);
    assert_eq!(s.write(b"abc"), Flow::Ready);
    assert_eq!((s.peer_addr(), s.buffered()), (Some(at), 3));
    s.destroy();
    assert_eq!((s.peer_addr(), s.buffered(), s.memory_held()), (None, 0, 0));
    lp.run().unwrap();
    assert_eq!(seen.get(), Some((Some(at), 3)), "the close has both");
}

/// Closing a server twice is an error, also while it waits for its connections.
#[test]
fn closing_a_server_twice() {
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(On::new());
        })
        .unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 1);
    assert_eq!(lp.close(server), Ok(()));
    assert_eq!(lp.close(server), Err(tidegate::KeyError::Closed));
}
