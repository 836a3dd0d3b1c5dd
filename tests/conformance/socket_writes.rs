//! Rules of Node's streams, on sockets: completions, their order, and what becomes of
//! them when a connection ends early. The numbers are those of `tests/README.md`.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use bytes::Bytes;
use tidegate::prelude::*;

use crate::support::*;

/// More than the kernel takes at once.
static BIG: [u8; 12 << 20] = [7; 12 << 20];

/// Logs the callbacks of a connection.
fn told(log: &Log) -> On {
    let say = |what: &'static str| {
        let log = log.clone();
        move |_: &mut SocketCx<'_>| log.add(what)
    };
    let (written, close) = (log.clone(), log.clone());
    On::new()
        .drain(say("drain"))
        .finish(say("finish"))
        .end(say("end"))
        .written(move |_, id, result| match result {
            Ok(()) => written.add(format!("written {id}")),
            Err(reason) => written.add(format!("not written {id}: {reason}")),
        })
        .close(move |_, c| close.add(format!("close: {c}")))
}

/// A server for one connection, which `first` gets.
fn serve(
    lp: &mut Loop,
    log: &Log,
    first: impl Fn(&mut SocketCx<'_>) + 'static,
) -> std::net::SocketAddr {
    let log = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            first(&mut conn.accept(told(&log)));
        })
        .unwrap();
    lp.server(server).local_addr().unwrap()
}

/// W4: what the kernel takes at once is ready at any size, with no drain; its
/// completion comes later, never inside the call.
#[test]
fn w04_a_write_that_completes_at_once_is_ready() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = serve(&mut lp, &log, move |s| {
        assert_eq!(s.write_id(&[1; 100_000][..], 1), Flow::Ready);
        assert_eq!(s.write_id(b"", 2), Flow::Ready);
        l.add("returned");
        s.end();
    });
    let c = client(at);
    c.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    // The peer's end may be read anywhere between.
    let lines: Vec<_> = log.lines().into_iter().filter(|l| l != "end").collect();
    let expected = ["returned", "written 1", "written 2", "finish", "close: both sides ended"];
    assert_eq!(lines, expected);
    assert_eq!(read_to_end(&c).len(), 100_000);
}

/// W5, W7, W12: the drain comes before the completion of the write that brought it,
/// completions in the order of the writes, and the finish after all of them.
#[test]
fn w05_w07_w12_drain_completions_finish_in_order() {
    let mut lp = guarded();
    let log = Log::default();
    let at = serve(&mut lp, &log, |s| {
        assert_eq!(s.write_id(Bytes::from_static(&BIG), 1), Flow::Full);
        assert_eq!(s.write_id(b"small", 2), Flow::Full);
        assert_eq!(s.write_id("", 2), Flow::Full, "an id may repeat");
    });
    let mut read = 0;
    lp.connect(
        at,
        On::new().data(move |s, chunk| {
            read += chunk.len();
            if read == BIG.len() + 5 {
                s.end();
            }
        }),
    );
    lp.run().unwrap();
    let expected = [
        "drain",
        "written 1",
        "written 2",
        "written 2",
        "end",
        "finish",
        "close: both sides ended",
    ];
    assert_eq!(log.lines(), expected);
}

/// W13, W14, with our choice: a write after `end`, or on a closed connection, is
/// refused by its answer, is not told again, and destroys nothing.
#[test]
fn w13_w14_a_refused_write_is_not_told_and_destroys_nothing() {
    let mut lp = guarded();
    let log = Log::default();
    let key = Rc::new(Cell::new(None));
    let k = key.clone();
    let at = serve(&mut lp, &log, move |s| {
        k.set(Some(s.key()));
        assert_eq!(s.write_id(b"last", 1), Flow::Ready);
        s.end();
        assert_eq!(s.write_id(b"late", 2), Flow::Closed);
    });
    let c = client(at);
    c.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&c), b"last");
    assert!(
        log.has("written 1") && !log.lines().iter().any(|l| l.contains('2')),
        "{:?}",
        log.lines()
    );
    assert!(log.has("close: both sides ended"));
    assert_eq!(lp.socket(key.get().unwrap()).write_id(b"gone", 3), Flow::Closed);
}

/// W16, S8, X3: a connection that ends early tells what never went out, all with the one
/// reason of the close, and before it.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn w16_s08_x03_what_is_outstanding_fails_with_the_closes_reason() {
    let mut lp = guarded();
    let log = Log::default();
    let key = Rc::new(Cell::new(None));
    let k = key.clone();
    let at = serve(&mut lp, &log, move |s| {
        k.set(Some(s.key()));
        assert_eq!(s.write_id(b"out at once", 1), Flow::Ready);
        for id in 2..=3 {
            assert_eq!(s.write_id(Bytes::from_static(&BIG), id), Flow::Full);
        }
    });
    let c = client(at);
    turn_until(&mut lp, |_| key.get().is_some());
    reset(c);
    lp.run().unwrap();
    let lines = log.lines();
    let close = lines.last().unwrap().strip_prefix("close: ").unwrap();
    let reason = close.split(" (").next().unwrap();
    assert!(reason.starts_with("write with ") || reason.starts_with("read with "), "{lines:?}");
    assert_eq!(lines[0], "written 1", "{lines:?}");
    for id in 2..=3 {
        assert!(lines[id - 1].starts_with(&format!("not written {id}: {reason}")), "{lines:?}");
    }
    assert_eq!(lines.len(), 4, "{lines:?}");
}

/// S4: writes that queued before a connect that failed all get its error, one for all.
#[test]
fn s04_writes_before_a_failing_connect_get_its_error() {
    let mut lp = guarded();
    let log = Log::default();
    let key = lp.connect(closed_port(), told(&log));
    for id in 1..=2 {
        assert_eq!(lp.socket(key).write_id(b"early", id), Flow::Ready);
    }
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.iter().all(|l| l.contains("ECONNREFUSED")), "{lines:?}");
    assert!(lines[0].starts_with("not written 1") && lines[1].starts_with("not written 2"));
    assert!(lines[2].ends_with("(10 bytes unsent)"), "{lines:?}");
}

/// libuv 47: 10,000 queued writes and a destroy: every completion once, in order, and
/// what went out is reported as that.
#[test]
fn libuv_47_write_queue_order() {
    let mut lp = guarded();
    let told = Rc::new(RefCell::new(Vec::new()));
    let t = told.clone();
    let key = Rc::new(Cell::new(None));
    let k = key.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let t = t.clone();
            let mut s = conn
                .accept(On::new().written(move |_, id, r| t.borrow_mut().push((id, r.is_ok()))));
            for id in 0..10_000 {
                let _ = s.write_id(vec![1; 5_000], id);
            }
            k.set(Some(s.key()));
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| key.get().is_some());
    let mut some = vec![0; 2_000_000];
    std::io::Read::read_exact(&mut &c, &mut some).unwrap();
    turn_until(&mut lp, |_| !told.borrow().is_empty());
    lp.socket(key.get().unwrap()).destroy();
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    let told = told.borrow();
    assert!(told.iter().map(|(id, _)| *id).eq(0..10_000));
    let out = told.iter().take_while(|(_, ok)| *ok).count();
    assert!((1..10_000).contains(&out), "{out} were out");
    assert!(told[out..].iter().all(|(_, ok)| !ok), "none after the first that was not");
}

/// A panic in `on_written` while the connection closes: the others and the close still come.
#[test]
fn a_panic_in_a_late_completion_loses_nothing() {
    let mut lp = guarded();
    let log = Log::default();
    let (l, c) = (log.clone(), log.clone());
    let key = lp.connect(
        closed_port(),
        On::new()
            .written(move |_, id, _| {
                l.add(id.to_string());
                if id == 1 {
                    resume_unwind(Box::new("on purpose"));
                }
            })
            .close(move |_, _| c.add("close")),
    );
    for id in 1..=3 {
        let _ = lp.socket(key).write_id(b"x", id);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["1", "2", "3", "close"]);
}

/// libuv 49: a reset is a RST, and our own reason for it is that we destroyed it.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn libuv_49_tcp_close_reset() {
    let mut lp = guarded();
    let log = Log::default();
    let at = serve(&mut lp, &log, |s| s.reset());
    let c = client(at);
    lp.run().unwrap();
    assert!(was_reset(&c));
    assert_eq!(log.lines(), ["close: destroyed"]);
}

/// A connection that is cut off by a limit tells its peer so, by a RST: what it got is
/// not all.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_cut_off_connection_is_reset() {
    let mut lp = guarded();
    let options = ListenOptions::new("127.0.0.1:0").write_limit(1000);
    let server = lp
        .listen(options, |conn| {
            let mut s = conn.accept(On::new());
            while s.write(Bytes::from_static(&BIG)) != Flow::Closed {}
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| {
        let stats = lp.server(server).stats().unwrap();
        stats.accepted == 1 && stats.connections == 0
    });
    assert!(was_reset(&c));
}
