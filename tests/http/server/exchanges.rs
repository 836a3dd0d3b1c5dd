//! Exchanges by their keys: late, twice, never, over; and handlers that panic.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use tidegate::http::{ExchangeHandler, ExchangeKey, Http, HttpError, OnExchange};
use tidegate::prelude::*;

use super::*;

#[test]
fn n53_the_answer_comes_after_the_clients_end() {
    let mut lp = guarded();
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let k = kept.clone();
    let at = listen(&mut lp, move |head, x| match head.path() {
        "/later" => k.set(Some(x.later().key())),
        _ => x.reply(200, "hello"),
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    c.s.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(c.answer(&mut lp).text(), "hello");
    assert!(c.is_over(&mut lp));
    let mut c = Peer::new(at);
    c.send(&mut lp, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    c.s.shutdown(std::net::Shutdown::Write).unwrap();
    c.settle(&mut lp);
    lp.exchange(kept.get().unwrap()).reply(200, "late").unwrap();
    let a = c.answer(&mut lp);
    assert_eq!((a.text(), a.get("connection")), ("late", Some("close")));
    assert!(c.is_over(&mut lp));
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
}

#[test]
fn n54_keys_of_what_is_over() {
    let mut lp = guarded();
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let k = kept.clone();
    let at = listen(&mut lp, move |head, x| match head.path() {
        "/later" => k.set(Some(x.later().key())),
        _ => x.reply(200, "at once"),
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until(&mut lp, |_| kept.get().is_some());
    let key = kept.take().unwrap();
    // Not in another loop.
    let mut other = Loop::new().unwrap();
    assert_eq!(other.exchange(key).reply(200, "x"), Err(HttpError::Closed));
    assert!(lp.exchange(key).state().is_ok());
    lp.exchange(key).reply(200, "late").unwrap();
    assert_eq!(c.answer(&mut lp).text(), "late");
    // Over: never the next one of the connection, be it before it or in it.
    assert_eq!(lp.exchange(key).reply(200, "x"), Err(HttpError::Closed));
    c.send(&mut lp, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until(&mut lp, |_| kept.get().is_some());
    for _ in 0..2 {
        let mut x = lp.exchange(key);
        assert_eq!(x.state(), Err(HttpError::Closed));
        assert_eq!(x.start(200), Err(HttpError::Closed));
        assert_eq!((x.write("x"), x.end()), (Flow::Closed, Err(HttpError::Closed)));
        x.handle(OnExchange::new());
        x.pause();
        x.resume();
        x.reset();
    }
    assert_eq!((key.number(), kept.get().unwrap().number()), (1, 2));
    lp.exchange(kept.get().unwrap()).reply(200, "second").unwrap();
    assert_eq!(c.answer(&mut lp).text(), "second");
    drop(c);
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
    assert_eq!(lp.exchange(kept.get().unwrap()).state(), Err(HttpError::Closed));
}

#[test]
fn n55_a_request_that_nobody_answers() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, _| {});
    let mut c = Peer::new(at);
    assert_eq!(c.get(&mut lp, "/").status, 500);
    assert_eq!(c.get(&mut lp, "/").status, 500);
    assert_eq!(lp.metrics().unhandled_errors, 2);
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn n56_a_panic_closes_that_connection_alone() {
    let mut lp = guarded();
    let closed = Log::default();
    let l = closed.clone();
    let at = listen(&mut lp, move |head, x| match head.path() {
        "/panic" => {
            let l = l.clone();
            x.handle(OnExchange::new().close(move |_, r| l.add(format!("{r:?}"))));
            std::panic::resume_unwind(Box::new("tide"));
        }
        "/data" => {
            x.handle(OnExchange::new().data(|_, _| std::panic::resume_unwind(Box::new("tide"))));
        }
        _ => x.reply(200, "hello"),
    });
    for bad in [
        b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET /panic HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
        post("/data", b"x"),
    ] {
        let (mut bad_peer, mut good) = (Peer::new(at), Peer::new(at));
        good.get(&mut lp, "/");
        bad_peer.send(&mut lp, bad);
        let end = std::time::Instant::now() + DEADLINE;
        while catch_unwind(AssertUnwindSafe(|| lp.run_once().unwrap())).is_ok() {
            assert!(std::time::Instant::now() < end);
        }
        assert_eq!(good.get(&mut lp, "/").text(), "hello");
        assert_eq!(bad_peer.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
        assert_eq!(good.get(&mut lp, "/").text(), "hello");
    }
    assert!(closed.lines()[0].contains("Panicked"), "{:?}", closed.lines());
    assert_eq!(lp.http_metrics().in_flight, 0);
}

/// No method runs a callback: each comes in a dispatch, once.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn n57_methods_call_nobody() {
    struct Once(Rc<Cell<bool>>, Log);
    impl ExchangeHandler for Once {
        fn on_end(&mut self, x: &mut tidegate::http::ExchangeCx<'_>) {
            assert!(!self.0.get(), "inside of a call");
            self.1.add("end");
            self.0.set(true);
            x.reply(200, "done").unwrap();
            self.0.set(false);
        }
        fn on_close(&mut self, _: &mut Cx<'_>, r: Result<(), tidegate::http::Broken>) {
            assert!(!self.0.get(), "inside of a call");
            self.1.add(if r.is_ok() { "closed" } else { "broken" });
        }
    }
    let mut lp = guarded();
    let (inside, log): (Rc<Cell<bool>>, _) = (Rc::default(), Log::default());
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let (i, l, k) = (inside.clone(), log.clone(), kept.clone());
    let at = listen(&mut lp, move |head, x| match head.path() {
        "/later" => k.set(Some(x.later().key())),
        "/reset" => {
            let mut x = x.later();
            i.set(true);
            x.handle(Once(i.clone(), l.clone()));
            x.reset();
            i.set(false);
        }
        _ => {
            i.set(true);
            x.handle(Once(i.clone(), l.clone()));
            i.set(false);
        }
    });
    let mut c = Peer::new(at);
    assert_eq!(c.get(&mut lp, "/").text(), "done");
    assert_eq!(log.lines(), ["end", "closed"]);
    // Outside of a callback.
    c.send(&mut lp, "GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until(&mut lp, |_| kept.get().is_some());
    inside.set(true);
    let mut x = lp.exchange(kept.get().unwrap());
    x.handle(Once(inside.clone(), log.clone()));
    x.handle(Once(inside.clone(), log.clone()));
    inside.set(false);
    assert_eq!(log.lines().len(), 2);
    assert_eq!(c.answer(&mut lp).text(), "done");
    poll_until(&mut lp, |_| log.lines().len() == 4);
    c.send(&mut lp, "GET /reset HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(c.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
    poll_until(&mut lp, |_| log.has("broken"));
}

/// Answered twice, or in the wrong order: errors, and the first answer counts.
#[test]
fn answered_twice() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| {
        let mut x = x.later();
        assert_eq!(x.write("early"), Flow::Closed);
        assert!(x.end().is_err());
        x.start(200).unwrap();
        assert!(x.start(200).is_err() && x.reply(200, "x").is_err() && x.inform(103, []).is_err());
        assert!(x.upgrade(101, On::new()).is_err());
        x.end_with("hello").unwrap();
        assert!(x.reply(200, "x").is_err() && x.end().is_err());
    });
    let mut c = Peer::new(at);
    for _ in 0..2 {
        assert_eq!(c.get(&mut lp, "/").text(), "hello");
    }
}

/// An exchange of one connection is answered while the bytes of another are read.
#[test]
fn one_connection_answers_another() {
    let mut lp = guarded();
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let at = listen(&mut lp, move |_, mut x| match kept.take() {
        None => kept.set(Some(x.later().key())),
        Some(other) => {
            x.cx().exchange(other).reply(200, "from another").unwrap();
            x.reply(200, "own");
        }
    });
    let (mut a, mut b) = (Peer::new(at), Peer::new(at));
    a.send(&mut lp, GET);
    a.settle(&mut lp);
    assert_eq!(b.get(&mut lp, "/").text(), "own");
    assert_eq!(a.answer(&mut lp).text(), "from another");
}
