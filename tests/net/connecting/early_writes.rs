//! Writes before the connection is made: they wait for `on_connect`, and fail with a connect that
//! fails.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

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
                conn.server(conn.server_key()).close().unwrap();
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
            conn.server(conn.server_key()).close().unwrap();
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

/// write-connect-write, connect-buffer, bytes-*: what was written before the connection was
/// made goes out first, and is counted; every byte value arrives (binary).
#[test]
fn writes_before_the_connect_go_out_first() {
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            conn.accept(On::new().data(|s, chunk| {
                let _ = s.write(chunk);
            }));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let all: Vec<u8> = (0..=255).collect();
    let got = Rc::new(RefCell::new(Vec::new()));
    let (g, late) = (got.clone(), all[100..].to_vec());
    let on = On::new()
        .connect(move |s| {
            assert_eq!(s.buffered(), 100, "still queued");
            let _ = s.write(&late);
            s.end();
        })
        .data(move |_, chunk| g.borrow_mut().extend_from_slice(chunk))
        .close(|_, close| assert_eq!((close.bytes_read, close.bytes_written), (256, 256)));
    let key = lp.connect(at, on);
    for n in 0..100 {
        assert_eq!(lp.socket(key).write(&all[n..=n]), Flow::Ready);
        assert_eq!(lp.socket(key).buffered(), n + 1);
    }
    lp.run().unwrap();
    assert_eq!(*got.borrow(), all);
}

/// A write without bytes is written when the connection is made, and not before; never if
/// it is refused.
#[test]
fn an_empty_write_waits_for_the_connect() {
    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for (at, expected) in [
        (there.local_addr().unwrap(), "connect, written 1 true, written 2 true, closed"),
        (closed_port(), "written 1 false, written 2 false, closed"),
    ] {
        let mut lp = guarded();
        let log = Log::default();
        let (a, b, c) = (log.clone(), log.clone(), log.clone());
        let on = On::new()
            .connect(move |_| a.add("connect"))
            .written(move |s, id, result| {
                b.add(format!("written {id} {}", result.is_ok()));
                if id == 2 {
                    s.destroy();
                }
            })
            .close(move |_, _| c.add("closed"));
        let key = lp.connect(at, on);
        assert_eq!(lp.socket(key).write_id("", 1), Flow::Ready);
        assert_eq!(lp.socket(key).write_id("", 2), Flow::Ready);
        lp.run().unwrap();
        assert_eq!(log.lines().join(", "), expected);
    }
}
