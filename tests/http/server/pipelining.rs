//! Requests behind requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tidegate::http::{ExchangeKey, Http, Response};
use tidegate::prelude::*;

use super::*;

/// `GET /0`, `GET /1`, ...
fn many(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| format!("GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()).collect()
}

#[test]
fn n07_sixteen_answers_in_order() {
    let mut lp = guarded();
    let at = listen(&mut lp, |head, x| x.reply(200, head.path().to_owned()));
    let mut c = Peer::new(at);
    c.send(&mut lp, many(16));
    for i in 0..16 {
        assert_eq!(c.answer(&mut lp).text(), format!("/{i}"));
    }
    // That they are one send is counted in `cost`.
}

/// Requests with the same fields as the one before, and with others; answers of one kind, and of
/// others between them.
#[test]
fn alike_and_not() {
    let mut lp = guarded();
    let at = listen(&mut lp, |head, x| {
        let body = "x".repeat(head.path()[1..].parse().unwrap_or(0));
        let kind = head.get("kind").map(String::from_utf8_lossy).unwrap_or_default();
        let sum = head.fields.len().to_string();
        let response = Response::new(if body.is_empty() { 404 } else { 200 }).header("Sum", &sum);
        let _ = x.respond(response.header("Kind", kind.as_bytes()), body);
    });
    let mut c = Peer::new(at);
    let all = [(5, "a"), (5, "a"), (5, "b"), (13, "b"), (1000, "b"), (0, "b"), (0, "b"), (7, "")];
    let all = [all, all].concat();
    let one = |(len, kind): &(usize, &str)| {
        let more = if *len == 13 { "X: 1\r\n" } else { "" };
        format!("GET /{len} HTTP/1.1\r\nHost: a\r\nKind: {kind}\r\n{more}\r\n")
    };
    c.send(&mut lp, all.iter().map(one).collect::<String>());
    for (len, kind) in all {
        let a = c.answer(&mut lp);
        let status = if len == 0 { 404 } else { 200 };
        let sum = if len == 13 { "3" } else { "2" };
        let said = (a.status, a.get("kind"), a.get("sum"), a.text().len());
        assert_eq!(said, (status, Some(kind), Some(sum), len));
        assert!(a.get("date").is_some() && a.get("connection").is_none());
    }
}

#[test]
fn n08_cut_at_every_byte() {
    let mut lp = guarded();
    let at = listen(&mut lp, |head, x| {
        let path = head.path().to_owned();
        x.collect(100, move |x, body| {
            let _ = x.reply(200, format!("{path} {}", String::from_utf8_lossy(&body)));
        });
    });
    let chunked = "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n";
    let all = [&post("/p", b"hello")[..], GET.as_bytes(), chunked.as_bytes(), &many(1)].concat();
    for cut in 0..=all.len() {
        let mut c = Peer::new(at);
        c.send(&mut lp, &all[..cut]);
        for _ in 0..5 {
            c.turn(&mut lp);
        }
        c.send(&mut lp, &all[cut..]);
        for expected in ["/p hello", "/ ", "/c abcde", "/0 "] {
            assert_eq!(c.answer(&mut lp).text(), expected, "cut at {cut}");
        }
    }
    let mut c = Peer::new(at);
    for byte in &all {
        c.send(&mut lp, [*byte]);
        c.turn(&mut lp);
    }
    for expected in ["/p hello", "/ ", "/c abcde", "/0 "] {
        assert_eq!(c.answer(&mut lp).text(), expected);
    }
}

#[test]
fn n09_the_next_request_waits_for_the_answer() {
    let mut lp = guarded();
    let waiting: Rc<RefCell<Vec<ExchangeKey>>> = Rc::default();
    let keys = waiting.clone();
    let at = listen(&mut lp, move |_, x| keys.borrow_mut().push(x.later().key()));
    let mut c = Peer::new(at);
    c.send(&mut lp, many(3));
    for i in 0..3 {
        poll_until(&mut lp, |_| waiting.borrow().len() == i + 1);
        c.settle(&mut lp);
        assert_eq!(waiting.borrow().len(), i + 1, "one at a time");
        let key = waiting.borrow()[i];
        lp.exchange(key).reply(200, format!("{i}")).unwrap();
        assert_eq!(c.answer(&mut lp).text(), format!("{i}"));
    }
}

/// A client that sends requests and reads no answers is stopped; what is held has a bound.
#[test]
fn n10_a_flood_of_requests_is_stopped() {
    let mut lp = guarded();
    let count = Rc::new(Cell::new(0));
    let counted = count.clone();
    let body = vec![b'x'; 10_000];
    let at = listen(&mut lp, move |_, x| {
        counted.set(counted.get() + 1);
        x.reply(200, &body);
    });
    let mut c = Peer::new(at);
    let flood = many(20_000);
    let mut sent = 0;
    let mut idle = 0;
    while idle < 200 && sent < flood.len() {
        match std::io::Write::write(&mut &c.s, &flood[sent..]) {
            Ok(n) => (sent, idle) = (sent + n, 0),
            Err(_) => idle += 1,
        }
        lp.run_nowait().unwrap();
        assert!(lp.net_metrics().held < 1 << 20, "{}", lp.net_metrics().held);
    }
    assert!(count.get() < 20_000, "it was stopped");
    let before = count.get();
    for _ in 0..20 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(count.get(), before);
    // And goes on when the client reads.
    for _ in 0..before + 5 {
        assert_eq!(c.answer(&mut lp).body.len(), 10_000);
    }
}

/// Ticks of one request run before the next one is called.
#[test]
fn n58_ticks_come_between() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let at = listen(&mut lp, move |head, mut x| {
        l.add(format!("request {}", head.path()));
        let (tick, path) = (l.clone(), head.path().to_owned());
        x.next_tick(move |_| tick.add(format!("tick {path}")));
        x.reply(200, "");
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, many(2));
    c.answer(&mut lp);
    c.answer(&mut lp);
    assert_eq!(log.lines(), ["request /0", "tick /0", "request /1", "tick /1"]);
}

/// Answers later and at once, mixed: in order all the same.
#[test]
fn answers_later_and_at_once() {
    let mut lp = guarded();
    let at = listen(&mut lp, |head, mut x| {
        let path = head.path().to_owned();
        if path.ends_with(['1', '4', '5']) {
            let key = x.key();
            x.after(Duration::from_millis(1), move |cx| {
                cx.exchange(key).reply(200, path).unwrap();
            });
            x.later();
        } else {
            x.reply(200, path);
        }
    });
    let mut c = Peer::new(at);
    c.send(&mut lp, many(30));
    for i in 0..30 {
        assert_eq!(c.answer(&mut lp).text(), format!("/{i}"));
    }
}
