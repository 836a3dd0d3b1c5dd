//! What is no request, over a socket: the answer, the count, and a close that lets the client read
//! it. Every case of the policy is in `codec/`; here is one of each status.

use tidegate::http::{Http, HttpHandler, HttpOptions, Refusal};
use tidegate::prelude::*;

use super::*;

struct Refuses(Log);

impl HttpHandler for Refuses {
    fn on_request(&mut self, head: &Head<'_>, x: Exchange<'_>) {
        self.0.add(format!("request {}", head.path()));
        x.collect(1 << 20, |x, body| {
            let _ = x.reply(200, body);
        });
    }
    fn on_refused(&mut self, _: &mut SocketCx<'_>, why: &Refusal) {
        self.0.add(format!("refused {why}"));
    }
}

#[test]
fn n25_to_n44_each_is_answered_and_closed() {
    let mut lp = guarded();
    let log = Log::default();
    let (_, at) = serve(&mut lp, HttpOptions::new(), Refuses(log.clone()));
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(17_000));
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(9_000));
    let coded = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ";
    for (bytes, status) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx".to_owned(), 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(), 400),
        (format!("{coded}chunked\r\n\r\nxyz\r\n"), 400),
        (format!("{coded}chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n"), 400),
        (format!("{coded}gzip, chunked\r\n\r\n"), 501),
        (target, 414),
        (long, 431),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("\r\n".repeat(9), 400),
    ] {
        // Behind a request that is answered, and in front of one that is not.
        let before = log.lines().iter().filter(|l| l.starts_with("request /first")).count();
        let mut c = Peer::new(at);
        c.send(&mut lp, "GET /first HTTP/1.1\r\nHost: a\r\n\r\n".to_owned() + &bytes);
        assert_eq!(c.answer(&mut lp).status, 200);
        let a = c.answer(&mut lp);
        let short = &bytes[..bytes.len().min(60)];
        assert_eq!((a.status, a.get("connection")), (status, Some("close")), "{short:?}");
        c.send(&mut lp, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(c.is_over(&mut lp), "{short:?}");
        let after = log.lines().iter().filter(|l| l.starts_with("request /first")).count();
        assert_eq!(after, before + 1);
    }
    assert!(!log.has("request /never"));
    assert_eq!(log.lines().iter().filter(|l| l.starts_with("refused")).count(), 11);
    let m = lp.http_metrics();
    assert_eq!((m.refused, m.in_flight), (11, 0));
}

#[test]
fn n64_the_limit_of_a_head_is_exact() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| x.reply(200, ""));
    let head = |len: usize| {
        let short = "GET / HTTP/1.1\r\nHost: a\r\nA: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "a".repeat(len - short))
    };
    let mut c = Peer::new(at);
    c.send(&mut lp, head(16 * 1024));
    assert_eq!(c.answer(&mut lp).status, 200);
    // Cut at the limit.
    let all = head(16 * 1024);
    c.send(&mut lp, &all[..all.len() - 1]);
    c.settle(&mut lp);
    c.send(&mut lp, "\n");
    assert_eq!(c.answer(&mut lp).status, 200);
    c.send(&mut lp, head(16 * 1024 + 1));
    assert_eq!(c.answer(&mut lp).status, 431);
    assert!(c.is_over(&mut lp));
}

#[test]
fn the_end_inside_of_a_head() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| x.reply(200, ""));
    let mut c = Peer::new(at);
    c.send(&mut lp, "GET / HT");
    c.settle(&mut lp);
    c.s.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(c.answer(&mut lp).status, 400);
    assert!(c.is_over(&mut lp));
    // And before one: nothing to answer.
    let mut c = Peer::new(at);
    c.s.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(c.is_over(&mut lp));
    poll_until(&mut lp, |lp| lp.net_metrics().sockets == 0);
}

/// The rest of a request is refused after its answer has begun: the client must not take that for
/// the whole.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_refusal_inside_of_an_answer_is_a_reset() {
    struct Begins(Log);
    impl HttpHandler for Begins {
        fn on_request(&mut self, _: &Head<'_>, x: Exchange<'_>) {
            let (mut x, l) = (x.start(200).unwrap(), self.0.clone());
            x.handle(tidegate::http::OnExchange::new().close(move |_, r| l.add(format!("{r:?}"))));
        }
        fn on_refused(&mut self, _: &mut SocketCx<'_>, why: &Refusal) {
            self.0.add(format!("refused {why}"));
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let (_, at) = serve(&mut lp, HttpOptions::new(), Begins(log.clone()));
    let mut c = Peer::new(at);
    c.send(&mut lp, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    c.settle(&mut lp);
    c.send(&mut lp, "xyz");
    assert_eq!(c.rest(&mut lp).1, Err(std::io::ErrorKind::ConnectionReset));
    poll_until(&mut lp, |_| log.lines().iter().any(|l| l.contains("Refused")));
    assert_eq!(log.lines().len(), 2, "{:?}", log.lines());
    assert_eq!(log.lines()[0], "refused a bad size of a chunk (400)");
    assert_eq!(lp.http_metrics().refused, 1);
}
