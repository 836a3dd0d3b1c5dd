//! The deadline that a user sets for an exchange.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tidegate::http::{ExchangeKey, Http, OnExchange};
use tidegate::prelude::*;

use super::*;

const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A server whose exchanges have two seconds, and the key of the last one.
fn server(lp: &mut Loop, log: &Log) -> (SocketAddr, Rc<Cell<Option<ExchangeKey>>>) {
    let kept: Rc<Cell<Option<ExchangeKey>>> = Rc::default();
    let (k, log) = (kept.clone(), log.clone());
    let at = listen(lp, move |head, x| {
        let mut x = match head.path() {
            "/begun" => x.start(200).unwrap(),
            "/own" => {
                let log = log.clone();
                x.handle(OnExchange::new().timeout(move |x| {
                    log.add("timeout");
                    x.reply(504, "nobody answered").unwrap();
                }))
            }
            "/closures" => x.handle(OnExchange::new()),
            _ => x.later(),
        };
        x.set_deadline(secs(2));
        k.set(Some(x.key()));
    });
    (at, kept)
}

#[test]
fn without_an_answer_it_is_503() {
    let (mut lp, script) = scripted();
    let log = Log::default();
    let (at, kept) = server(&mut lp, &log);
    for (path, status) in [("/", 503), ("/closures", 503), ("/own", 504)] {
        let mut c = Peer::new(at);
        c.send(&mut lp, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        poll_until(&mut lp, |_| kept.take().is_some());
        script.advance(Duration::from_millis(1999));
        c.settle(&mut lp);
        assert_eq!(lp.http_metrics().in_flight, 1, "not early");
        script.advance(Duration::from_millis(10));
        let a = c.answer(&mut lp);
        assert_eq!((a.status, lp.http_metrics().in_flight), (status, 0));
        assert_eq!(a.get("connection"), (status == 503).then_some("close"));
    }
    assert_eq!(log.lines(), ["timeout"]);
}

/// A part of an answer cannot become another one.
#[test]
fn an_answer_that_has_begun_is_reset() {
    let (mut lp, script) = scripted();
    let (at, kept) = server(&mut lp, &Log::default());
    let mut c = Peer::new(at);
    c.send(&mut lp, "GET /begun HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until(&mut lp, |_| kept.get().is_some());
    script.advance(secs(3));
    assert_eq!(c.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(lp.http_metrics().broken, 1);
}

/// It moves, it can be turned off, and it ends with its exchange.
#[test]
fn it_belongs_to_one_exchange() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let (at, kept) = server(&mut lp, &Log::default());
    let mut c = Peer::new(at);
    c.send(&mut lp, GET);
    poll_until(&mut lp, |_| kept.get().is_some());
    let first = kept.take().unwrap();
    for _ in 0..3 {
        script.advance(secs(1));
        c.settle(&mut lp);
        lp.exchange(first).set_deadline(secs(2));
    }
    lp.exchange(first).set_deadline(Duration::ZERO);
    script.advance(secs(1000));
    c.settle(&mut lp);
    lp.exchange(first).set_deadline(secs(1));
    lp.exchange(first).reply(200, "late").unwrap();
    assert_eq!(c.answer(&mut lp).text(), "late");
    lp.exchange(first).set_deadline(secs(1));
    c.send(&mut lp, GET);
    poll_until(&mut lp, |_| kept.get().is_some());
    script.advance(Duration::from_millis(1500));
    c.settle(&mut lp);
    assert_eq!(lp.http_metrics().in_flight, 1, "that of the first is gone");
    script.advance(secs(1));
    assert_eq!(c.answer(&mut lp).status, 503);
}
