//! A connect that is tried again: what is kept between two tries, how it ends, and how it is ended.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{BackOff, LookupAnswer, LookupFault, NetEvent, SocketEvent, Stage, Timeout};
use tidegate::prelude::*;

use crate::support::*;

/// Milliseconds without chance.
fn every(ms: u64, tries: u32) -> BackOff {
    BackOff::new(tries).first_delay(Duration::from_millis(ms)).factor(1).jitter(0)
}

/// A path on which nobody listens.
fn nobody() -> ConnectOptions {
    ConnectOptions::unix("/nobody/listens/here")
}

#[test]
fn a_server_that_comes_late_is_reached() {
    let mut lp = guarded();
    let trace = Trace::default();
    lp.observe(trace.clone());
    let at = closed_port();
    let log = Log::default();
    let (l, got) = (log.clone(), log.clone());
    let on = On::new()
        .connect(move |s| {
            assert_eq!(s.buffered(), 5, "what was written waits");
            l.add("connected");
        })
        .close({
            let log = log.clone();
            move |_, close| log.add(close.to_string())
        });
    let key = lp.connect(ConnectOptions::new(at).back_off(every(2, 1000)), on);
    let _ = lp.socket(key).end_with("early");
    let failures = |trace: &Trace| {
        let all = trace.net().into_iter();
        all.filter(|(_, e)| matches!(e, NetEvent::Socket(_, SocketEvent::TryFailed { .. }))).count()
    };
    turn_until(&mut lp, |_| failures(&trace) == 3);
    assert_eq!(lp.socket(key).state(), Ok(()));
    let server = lp.listen(at, move |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        let got = got.clone();
        conn.accept(On::new().data(move |_, chunk| got.add(String::from_utf8_lossy(chunk))));
    });
    server.unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["connected", "early", "both sides ended"]);
    let first = trace.net().into_iter().find_map(|(_, e)| match e {
        NetEvent::Socket(_, SocketEvent::TryFailed { error, tries, after }) => {
            Some((error.code(), tries, after))
        }
        _ => None,
    });
    assert_eq!(first, Some((Some("ECONNREFUSED"), 1, Duration::from_millis(2))));
}

#[test]
fn the_last_error_ends_it_once() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let on = On::new().connect(|_| panic!("connected to nobody")).close(move |_, close| {
        let e = close.reason.error().unwrap();
        assert_eq!((e.stage(), e.code(), e.tries()), (Stage::Connect, Some("ECONNREFUSED"), 4));
        assert_eq!((e.attempts().len(), close.unsent), (1, 5), "those of the last try");
        l.add(e.to_string());
    });
    let key = lp.connect(ConnectOptions::new(closed_port()).back_off(every(1, 4)), on);
    let _ = lp.socket(key).write("early");
    lp.run().unwrap();
    let lines = log.lines();
    assert!(lines.len() == 1 && lines[0].ends_with("; this was try 4"), "{lines:?}");
    assert_eq!(handles(&lp), 0);
}

/// The waits, by a clock that moves when the loop waits.
#[test]
#[cfg(unix)] // the targets are paths
fn waits_grow_to_their_limit() {
    let (mut lp, _script) = scripted();
    let back_off = BackOff::new(6)
        .first_delay(Duration::from_millis(10))
        .factor(3)
        .longest_delay(Duration::from_millis(100))
        .jitter(0);
    let start = lp.now();
    let took = Rc::new(Cell::new(Duration::ZERO));
    let t = took.clone();
    let on = On::new().close(move |s, close| {
        assert_eq!(close.reason.error().unwrap().tries(), 6);
        t.set(s.now() - start);
    });
    lp.connect(nobody().back_off(back_off), on);
    lp.run().unwrap();
    assert_eq!(took.get(), Duration::from_millis(10 + 30 + 90 + 100 + 100));
}

#[test]
#[cfg(unix)] // the targets are paths
fn destroy_ends_the_wait() {
    let (mut lp, _script) = scripted();
    let log = Log::default();
    let l = log.clone();
    let on = On::new().close(move |_, close| l.add(close.to_string()));
    let key = lp.connect(nobody().back_off(every(1000, u32::MAX)), on);
    lp.after(Duration::from_millis(2500), move |cx| cx.socket(key).destroy());
    let start = lp.now();
    lp.run().unwrap();
    assert_eq!(lp.now() - start, Duration::from_millis(2500), "no timer is left");
    assert_eq!(log.lines(), ["destroyed"]);
    assert_eq!(handles(&lp), 0);
}

#[test]
#[cfg(unix)] // the targets are paths
fn what_another_try_cannot_change_is_tried_once() {
    let mut blocked = tidegate::net::BlockList::new();
    blocked.add([127, 0, 0, 1].into());
    for (to, kind) in [
        (ConnectOptions::new("127.0.0.1"), ErrorKind::InvalidInput),
        (ConnectOptions::unix(""), ErrorKind::InvalidInput),
        (ConnectOptions::new("127.0.0.1:1").block_list(blocked), ErrorKind::PermissionDenied),
    ] {
        let mut lp = guarded();
        let log = Log::default();
        let l = log.clone();
        let on = On::new().close(move |_, close| {
            let e = close.reason.error().unwrap();
            assert_eq!((e.kind(), e.tries()), (kind, 1), "{e}");
            l.add("closed");
        });
        lp.connect(to.back_off(every(1, 5)), on);
        lp.run().unwrap();
        assert_eq!(log.lines(), ["closed"]);
    }
}

/// Each try looks the name up again, tries all addresses, and lists its own.
#[test]
fn each_try_begins_with_the_lookup() {
    let mut lp = guarded();
    let asked = Rc::new(Cell::new(0));
    let a = asked.clone();
    let to = ConnectOptions::new(("tide.example", closed_port().port())).back_off(every(1, 3));
    let to = to.lookup(move |cx, _, answer| {
        a.set(a.get() + 1);
        let found = match a.get() {
            2 => Err(LookupFault::TryAgain.into()),
            _ => Ok(vec![[127, 0, 0, 1].into(), [127, 0, 0, 2].into()]),
        };
        answer.give(cx, found);
    });
    let on = On::new().close(|_, close| {
        let e = close.reason.error().unwrap();
        assert_eq!((e.attempts().len(), e.tries(), e.stage()), (2, 3, Stage::Connect), "{e}");
        assert!(e.name().is_some_and(|name| name.starts_with("tide.example:")));
    });
    lp.connect(to, on);
    lp.run().unwrap();
    assert_eq!(asked.get(), 3);
}

/// The connect timeout is that of a try, and an answer that comes later is not for the wait.
#[test]
fn the_connect_timeout_is_that_of_each_try() {
    let (mut lp, _script) = scripted();
    let answers = Rc::new(RefCell::new(Vec::<LookupAnswer>::new()));
    let a = answers.clone();
    let to = ConnectOptions::new("tide.example:80")
        .connect_timeout(Duration::from_millis(50))
        .back_off(every(100, 3))
        .lookup(move |_, _, answer| a.borrow_mut().push(answer));
    let took = Rc::new(Cell::new(Duration::ZERO));
    let (t, start) = (took.clone(), lp.now());
    let on = On::new().connect(|_| panic!("connected while it waits")).close(move |s, close| {
        let e = close.reason.error().unwrap();
        assert_eq!((e.timeout(), e.tries()), (Some(Timeout::Connect), 3), "{e}");
        t.set(s.now() - start);
    });
    lp.connect(to, on);
    // In the wait after the first try.
    let late = answers.clone();
    lp.after(Duration::from_millis(70), move |cx| {
        let answer = late.borrow_mut().remove(0);
        answer.give(cx, Ok(vec![[127, 0, 0, 1].into()]));
    });
    lp.run().unwrap();
    assert_eq!(answers.borrow().len(), 2);
    assert_eq!(took.get(), Duration::from_millis(3 * 50 + 2 * 100));
}
