//! Writes to a connection that is reset, ended or closed.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;

use tidegate::KeyError;
use tidegate::prelude::*;

use crate::one_connection::{logged, server};
use crate::support::*;

/// node S9: the peer's RST is a read error, and no end.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn node_s9_reset_in_the_middle() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = server(&mut lp, move || logged("server", &l));
    let c = client(at);
    write_all(&c, b"half a req");
    turn_until(&mut lp, |_| !log.lines().is_empty());
    reset(c);
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
    assert!(log.lines()[1].starts_with("server close: read with 127.0.0.1:"));
    assert!(log.lines()[1].contains("ECONNRESET"));
}

/// node S10: writing into a reset connection ends it with the write's error,
/// also while it is paused.
#[test]
fn node_s10_writing_to_a_peer_that_is_gone() {
    for pause in [false, true] {
        let mut lp = guarded();
        let log = Log::default();
        let key = Rc::new(Cell::new(None));
        let (l, k) = (log.clone(), key.clone());
        let srv = lp
            .listen("127.0.0.1:0", move |conn| {
                let mut s = conn.accept(logged("server", &l));
                if pause {
                    s.pause();
                }
                k.set(Some(s.key()));
            })
            .unwrap();
        let c = client(lp.server(srv).local_addr().unwrap());
        turn_until(&mut lp, |_| key.get().is_some());
        reset(c);
        let key = key.get().unwrap();
        // The reset is in the kernel; no turn ran that could read it.
        let mut flow = Flow::Ready;
        for _ in 0..3 {
            flow = lp.socket(key).write(b"anyone?");
        }
        assert_eq!(flow, Flow::Closed, "pause: {pause}");
        turn_until(&mut lp, |_| !log.lines().is_empty());
        assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
        assert!(log.lines()[0].contains("write with"), "{:?}", log.lines());
    }
}

/// An answer that came before the reset is delivered, though our write failed.
#[test]
fn what_came_before_the_reset_is_read_after_a_failed_write() {
    let mut lp = guarded();
    let log = Log::default();
    let key = Rc::new(Cell::new(None));
    let (l, k) = (log.clone(), key.clone());
    let at = {
        let srv = lp.listen("127.0.0.1:0", move |conn| {
            let mut s = conn.accept(logged("server", &l));
            s.pause();
            k.set(Some(s.key()));
        });
        lp.server(srv.unwrap()).local_addr().unwrap()
    };
    let c = client(at);
    turn_until(&mut lp, |_| key.get().is_some());
    let key = key.get().unwrap();
    write_all(&c, b"sorry, full");
    // Unread bytes of ours make the peer's close a RST.
    assert_eq!(lp.socket(key).write(b"unread"), Flow::Ready);
    drop(c);
    lp.socket(key).resume();
    while lp.socket(key).write(b"more") != Flow::Closed {}
    turn_until(&mut lp, |_| log.lines().len() == 2);
    assert_eq!(log.lines()[0], "server data sorry, full");
    assert!(log.lines()[1].contains("write with"), "{:?}", log.lines());
}

/// node W13, W14, with tidegate's choice: `Closed`, and nothing is destroyed.
#[test]
fn node_w13_write_after_end_and_w14_after_close() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = server(&mut lp, move || logged("server", &l));
    let key = lp.connect(at, logged("client", &log));
    let mut s = lp.socket(key);
    assert_eq!(s.write(b"all"), Flow::Ready);
    s.end();
    assert_eq!(s.write(b"too late"), Flow::Closed);
    s.end();
    s.end();
    lp.run().unwrap();
    assert!(log.has("server data all") && log.has("client close: both sides ended"));
    let mut s = lp.socket(key);
    assert_eq!(s.write(b"much too late"), Flow::Closed);
    s.pause();
    s.resume();
    s.cork();
    s.uncork();
    s.end();
    s.destroy();
    s.set_handler(On::new());
    assert_eq!(s.state(), Err(KeyError::Closed));
    assert_eq!((s.peer_addr(), s.buffered()), (None, 0));
    assert_eq!(s.local_addr().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(handles(&lp), 0);
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
            let l = l.clone();
            let close = move |_: &mut SocketCx<'_>, close: Close| l.add(close.to_string());
            k.set(Some(conn.accept(On::new().close(close)).key()));
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
