//! Every exchange, and every pipe of one, gets its end once: also if a connection is upgraded, if a
//! callback panics, if nobody reads.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use tidegate::http::{
    Broken, ExchangeCx, ExchangeHandler, ExchangeKey, Http, OnExchange, Response,
};
use tidegate::prelude::*;
use tidegate::stream::PipeError;

use super::*;

fn log_close(log: &Log) -> OnExchange {
    let log = log.clone();
    OnExchange::new().close(move |_, r| {
        log.add(r.map_or_else(|e| format!("broken: {e}"), |()| "closed".into()));
    })
}

/// A client whose request waits for its answer, and the key of its exchange, which logs its close.
fn waiting(lp: &mut Loop, log: &Log) -> (Peer, ExchangeKey) {
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let (l, k) = (log.clone(), kept.clone());
    let at = listen(lp, move |_, x| k.set(Some(x.handle(log_close(&l)).key())));
    let mut c = Peer::new(at);
    c.send(lp, GET);
    poll_until(lp, |_| kept.get().is_some());
    (c, kept.get().unwrap())
}

fn log_done(
    log: &Log,
    what: &'static str,
) -> impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + use<> {
    let log = log.clone();
    move |_, r| log.add(format!("{what}: {}", if r.is_ok() { "done" } else { "failed" }))
}

/// The pipe of the body is closed, and the exchange answered before a dispatch has told the pipe.
#[test]
fn a_pipe_that_is_closed_before_the_answer() {
    let mut lp = guarded();
    let log = Log::default();
    let accept = |conn: Incoming<'_>| _ = conn.accept(On::new());
    let elsewhere = lp.listen("127.0.0.1:0", accept).unwrap();
    let elsewhere = lp.server(elsewhere).local_addr().unwrap();
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let (l, k) = (log.clone(), kept.clone());
    let at = listen(&mut lp, move |head, x| {
        let mut x = x.handle(log_close(&l));
        let to = x.connect(elsewhere, On::new().close(|_, _| {}));
        let from = x.body_end();
        let pipe = x.pipe(from, to, log_done(&l, "pipe")).unwrap();
        match head.path() {
            "/later" => k.set(Some(x.key())),
            _ => {
                x.cx().close(pipe).unwrap();
                x.reply(200, "no").unwrap();
            }
        }
    });
    // In the read, and outside of it: then the pipe ends with the exchange.
    let mut c = Peer::new(at);
    c.send(&mut lp, post("/", b"0123456789"));
    assert_eq!(c.answer(&mut lp).text(), "no");
    let told = |n: usize| {
        let lines = log.lines();
        let count = |what: &str| lines.iter().filter(|l| *l == what).count();
        count("pipe: failed") == n && count("closed") == n && lines.len() == 2 * n
    };
    poll_until(&mut lp, |_| told(1));
    c.send(&mut lp, &post("/later", b"0123456789")[..60]);
    poll_until(&mut lp, |_| kept.get().is_some());
    c.settle(&mut lp);
    lp.exchange(kept.get().unwrap()).reply(200, "late").unwrap();
    lp.exchange(kept.get().unwrap()).discard();
    assert_eq!(c.answer(&mut lp).text(), "late");
    poll_until(&mut lp, |_| told(2));
}

/// The end of the body is told once, also if a pipe takes the body when its end was told.
#[test]
fn a_pipe_that_comes_after_the_end() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = listen(&mut lp, move |_, x| {
        let l = l.clone();
        let on = OnExchange::new().end(move |x| {
            l.add("end");
            let (from, to) = (x.body_end(), x.reply_end());
            let _ = x.pipe(from, to, log_done(&l, "pipe"));
        });
        x.handle(on);
    });
    let mut c = Peer::new(at);
    for all in [GET.to_owned().into_bytes(), post("/", b"hello")] {
        c.send(&mut lp, all);
        assert_eq!(c.answer(&mut lp).text(), "");
        poll_until(&mut lp, |_| log.has("pipe: done"));
        assert_eq!(log.lines(), ["end", "pipe: done"]);
        log.0.borrow_mut().clear();
    }
}

fn switching() -> Response<'static> {
    Response::new(101).headers(&[("upgrade", "x")])
}

/// An upgrade ends the exchange: in a callback of its handler, in `on_request`, and from outside.
#[test]
fn an_upgrade_is_the_end_of_an_exchange() {
    let mut lp = guarded();
    let log = Log::default();
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let (l, k) = (log.clone(), kept.clone());
    let at = listen(&mut lp, move |head, x| {
        let on = log_close(&l);
        match head.path() {
            "/in" => {
                x.handle(on.end(|x| x.upgrade(switching(), On::new()).unwrap()));
            }
            "/now" => {
                let mut x = x.handle(on);
                x.upgrade(switching(), On::new()).unwrap();
            }
            _ => k.set(Some(x.handle(on).key())),
        }
    });
    for (i, path) in ["/in", "/now", "/later"].into_iter().enumerate() {
        let mut c = Peer::new(at);
        c.send(&mut lp, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        if path == "/later" {
            poll_until(&mut lp, |_| kept.get().is_some());
            let mut x = lp.exchange(kept.get().unwrap());
            x.upgrade(switching(), On::new()).unwrap();
            assert_eq!(log.lines().len(), i, "not inside of the call");
        }
        assert_eq!(c.answer(&mut lp).status, 101);
        poll_until(&mut lp, |_| log.lines().len() == i + 1);
        let m = lp.http_metrics();
        assert_eq!((m.upgraded, m.in_flight, m.broken), (i as u64 + 1, 0, 0));
    }
    assert!(log.lines().iter().all(|l| l == "closed"), "{:?}", log.lines());
}

/// Somebody else takes the connection in the middle of an exchange: that is its end, too.
#[test]
fn a_connection_that_is_taken_away() {
    let mut lp = guarded();
    let log = Log::default();
    let (_client, key) = waiting(&mut lp, &log);
    lp.socket(key.socket()).set_handler(On::new());
    assert!(log.lines().is_empty());
    poll_until(&mut lp, |_| log.lines().len() == 1);
    assert!(log.lines()[0].starts_with("broken"), "{:?}", log.lines());
    let m = lp.http_metrics();
    assert_eq!((m.connections, m.in_flight, m.broken), (0, 0, 1));
}

/// Says whether its value is dropped by a panic that unwinds.
struct Panics(Log);

impl ExchangeHandler for Panics {
    fn on_end(&mut self, x: &mut ExchangeCx<'_>) {
        let _ = x.reply(200, "hello");
    }
    fn on_close(&mut self, _: &mut Cx<'_>, r: Result<(), Broken>) {
        self.0.add(if r.is_ok() { "closed" } else { "broken" });
        resume_unwind(Box::new("tide"));
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.0.add(if std::thread::panicking() { "dropped in the panic" } else { "dropped" });
    }
}

fn run_until_a_panic(lp: &mut Loop) {
    let end = std::time::Instant::now() + DEADLINE;
    while catch_unwind(AssertUnwindSafe(|| lp.run_once().unwrap())).is_ok() {
        assert!(std::time::Instant::now() < end, "no panic");
    }
}

/// `on_close` of an exchange panics, with its connection open, and closed: the handler is dropped
/// when the panic is over, the connection ends, and the loop goes on.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn n56_a_panic_in_the_close_of_an_exchange() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = listen(&mut lp, move |head, x| match head.path() {
        "/" => x.reply(200, "hello"),
        _ => drop(x.handle(Panics(l.clone()))),
    });
    let mut good = Peer::new(at);
    good.get(&mut lp, "/");
    let mut c = Peer::new(at);
    c.send(&mut lp, "GET /panics HTTP/1.1\r\nHost: a\r\n\r\n");
    run_until_a_panic(&mut lp);
    poll_until(&mut lp, |_| log.lines().len() == 2);
    assert_eq!(log.lines(), ["closed", "dropped"]);
    assert_eq!(c.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
    // In the middle of a body, the client leaves.
    let mut c = Peer::new(at);
    c.send(&mut lp, &post("/panics", b"0123456789")[..60]);
    poll_until(&mut lp, |lp| lp.http_metrics().in_flight == 1);
    reset(c.s);
    run_until_a_panic(&mut lp);
    poll_until(&mut lp, |_| log.lines().len() == 4);
    assert_eq!(log.lines()[2..], ["broken", "dropped"]);
    assert_eq!(good.get(&mut lp, "/").text(), "hello");
    assert_eq!((lp.http_metrics().in_flight, lp.metrics().panics), (0, 2));
}

/// The body is paused, so nothing is read that would show the reset: it ends the exchange all the
/// same.
#[test]
fn n14_a_client_that_leaves_while_nobody_reads() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = listen(&mut lp, move |_, x| {
        let mut x = x.handle(log_close(&l));
        x.pause();
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, post("/", b"0123456789"));
    poll_until(&mut lp, |lp| lp.http_metrics().in_flight == 1);
    c.settle(&mut lp);
    reset(c.s);
    poll_until(&mut lp, |_| log.lines().len() == 1);
    assert!(log.lines()[0].starts_with("broken"), "{:?}", log.lines());
    assert_eq!(lp.net_metrics().sockets, 0);
}

/// A response that is written to a connection that is over is not one that was written.
#[test]
fn an_answer_to_nobody_is_broken() {
    let mut lp = guarded();
    let log = Log::default();
    let (_client, key) = waiting(&mut lp, &log);
    lp.socket(key.socket()).destroy();
    assert!(lp.exchange(key).reply(200, "hello").is_err());
    poll_until(&mut lp, |_| log.lines().len() == 1);
    assert!(log.lines()[0].starts_with("broken"), "{:?}", log.lines());
    let m = lp.http_metrics();
    assert_eq!((m.broken, m.responses[1], m.in_flight), (1, 0, 0));
    assert_eq!(lp.metrics().unhandled_errors, 0, "a client that is gone is no error of ours");
}
