//! Connections that change their protocol: from HTTP, and to HTTP.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tidegate::http::{Exchange, Head, Http, HttpError, HttpHandler, HttpOptions, Response};
use tidegate::prelude::*;

use super::*;

fn echo() -> On {
    On::new()
        .data(|s, chunk| {
            let _ = s.write(chunk.to_ascii_uppercase());
        })
        .end(|s| s.end())
}

fn answer(head: &Head<'_>, x: Exchange<'_>) {
    if !head.upgrade && !head.is_connect() {
        return x.reply(200, "plain");
    }
    let status = if head.is_connect() { 200 } else { 101 };
    let mut x = x.later();
    let protocol = [("upgrade", "upper")];
    let response = match status {
        101 => Response::new(101).headers(&protocol),
        _ => Response::new(200),
    };
    match x.upgrade(response, echo()) {
        Ok(()) => assert_eq!(x.state(), Err(HttpError::Closed)),
        Err(HttpError::Body) => {
            x.handle(tidegate::http::OnExchange::new().end(|x| {
                x.upgrade(Response::new(101).headers(&[("upgrade", "upper")]), echo()).unwrap();
            }));
        }
        Err(e) => panic!("{e}"),
    }
}

const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: upper\r\n\r\n";

#[test]
fn n21_bytes_behind_the_request_come_first() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    c.send(&mut lp, GET.to_owned() + UPGRADE + "high ");
    assert_eq!(c.answer(&mut lp).text(), "plain");
    let a = c.answer(&mut lp);
    assert_eq!(
        (a.status, a.get("upgrade"), a.get("connection")),
        (101, Some("upper"), Some("upgrade"))
    );
    c.send(&mut lp, "tide");
    c.s.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(c.rest(&mut lp), (b"HIGH TIDE".to_vec(), Ok(())));
    let m = lp.http_metrics();
    assert_eq!((m.upgraded, m.connections, m.in_flight), (1, 0, 0));
}

#[test]
fn n22_connect() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    c.send(&mut lp, "CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\nfirst ");
    let a = c.next(&mut lp, "CONNECT").unwrap();
    assert_eq!((a.status, a.get("content-length"), a.get("transfer-encoding")), (200, None, None));
    c.send(&mut lp, "second");
    c.s.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(c.rest(&mut lp), (b"FIRST SECOND".to_vec(), Ok(())));
}

#[test]
fn n23_an_upgrade_that_is_not_taken() {
    let mut lp = guarded();
    let at = listen(&mut lp, |_, x| x.reply(200, "no"));
    let mut c = Peer::new(at);
    c.send(&mut lp, UPGRADE);
    assert_eq!(c.answer(&mut lp).text(), "no");
    assert_eq!(c.get(&mut lp, "/").text(), "no");
}

/// The body of the request is read first.
#[test]
fn a_body_comes_before_the_other_protocol() {
    let mut lp = guarded();
    let at = listen(&mut lp, answer);
    let all = "POST /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: upper\r\nContent-Length: 4\r\n\r\nbodytide";
    for cut in 80..all.len() {
        let mut c = Peer::new(at);
        c.send(&mut lp, &all[..cut]);
        c.settle(&mut lp);
        c.send(&mut lp, &all[cut..]);
        assert_eq!(c.answer(&mut lp).status, 101, "cut at {cut}");
        c.s.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(c.rest(&mut lp), (b"TIDE".to_vec(), Ok(())), "cut at {cut}");
    }
}

/// Later, by the key; what came meanwhile was given back.
#[test]
fn an_upgrade_later() {
    let mut lp = guarded();
    let kept = std::rc::Rc::new(std::cell::Cell::new(None));
    let k = kept.clone();
    let at = listen(&mut lp, move |_, x| k.set(Some(x.later().key())));
    let mut c = Peer::new(at);
    c.send(&mut lp, UPGRADE.to_owned() + "early ");
    poll_until(&mut lp, |_| kept.get().is_some());
    c.send(&mut lp, "bytes");
    c.settle(&mut lp);
    let mut x = lp.exchange(kept.get().unwrap());
    x.upgrade(Response::new(101).headers(&[("upgrade", "upper")]), echo()).unwrap();
    assert_eq!(c.answer(&mut lp).status, 101);
    c.s.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(c.rest(&mut lp), (b"EARLY BYTES".to_vec(), Ok(())));
}

/// No timeout of the requests is left.
#[test]
fn the_other_protocol_has_no_timeouts_of_ours() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let at = listen(&mut lp, answer);
    let mut c = Peer::new(at);
    c.send(&mut lp, UPGRADE);
    assert_eq!(c.answer(&mut lp).status, 101);
    script.advance(std::time::Duration::from_secs(10_000));
    c.settle(&mut lp);
    c.send(&mut lp, "tide");
    c.s.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(c.rest(&mut lp), (b"TIDE".to_vec(), Ok(())));
}

// HTTP on connections that a program has already.

struct Hello(Log);

impl HttpHandler for Hello {
    fn on_request(&mut self, head: &Head<'_>, x: Exchange<'_>) {
        match head.path() {
            "/never" => drop(x.later()),
            path => x.reply(200, path.to_owned()),
        }
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

/// A port with two protocols: the first byte says which.
fn sniffs(lp: &mut Loop, log: &Log, options: HttpOptions) -> (ServerKey, SocketAddr) {
    let log = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let log = log.clone();
            conn.accept(On::new().data(move |s, first| match first[0] {
                b'#' => {
                    let _ = s.end_with("another protocol");
                }
                _ => {
                    let key = s.key();
                    s.cx().http_attach(key, options, Hello(log.clone())).unwrap();
                    s.unread(first);
                }
            }));
        })
        .unwrap();
    (server, lp.server(server).local_addr().unwrap())
}

#[test]
fn the_first_byte_says_which_protocol() {
    let mut lp = guarded();
    let log = Log::default();
    let (_, at) = sniffs(&mut lp, &log, HttpOptions::new());
    let mut other = Peer::new(at);
    other.send(&mut lp, "#");
    let all = "GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    for cut in 1..all.len() {
        let mut c = Peer::new(at);
        c.send(&mut lp, &all[..cut]);
        c.turn(&mut lp);
        c.send(&mut lp, &all[cut..]);
        assert_eq!(c.answer(&mut lp).text(), "/a");
        assert_eq!(c.answer(&mut lp).text(), "/b");
        c.s.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(c.is_over(&mut lp));
    }
    assert_eq!(other.rest(&mut lp), (b"another protocol".to_vec(), Ok(())));
    poll_until(&mut lp, |_| log.lines().len() == all.len() - 1);
    let m = lp.http_metrics();
    assert_eq!((m.connections, m.requests), (0, 2 * (all.len() as u64 - 1)));
}

/// Its options count, and the shutdown of the listener that accepted it.
#[test]
fn an_attached_connection_is_one_like_others() {
    let (mut lp, script) = scripted();
    let log = Log::default();
    let options = HttpOptions::new().max_requests(2).headers_timeout(Duration::from_secs(3));
    let (server, at) = sniffs(&mut lp, &log, options);
    let mut c = Peer::new(at);
    assert_eq!(c.get(&mut lp, "/").get("connection"), None);
    assert_eq!(c.get(&mut lp, "/").get("connection"), Some("close"));
    assert!(c.is_over(&mut lp));
    let mut slow = Peer::new(at);
    slow.send(&mut lp, "GET / HT");
    slow.settle(&mut lp);
    script.advance(Duration::from_secs(4));
    assert_eq!(slow.answer(&mut lp).status, 408);
    let (mut idle, mut busy) = (Peer::new(at), Peer::new(at));
    idle.get(&mut lp, "/");
    busy.send(&mut lp, "GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    poll_until(&mut lp, |lp| lp.http_metrics().in_flight == 1);
    lp.server(server).shutdown(Duration::from_secs(5)).unwrap();
    assert!(idle.is_over(&mut lp));
    script.advance(Duration::from_secs(6));
    poll_until(&mut lp, |lp| lp.http_metrics().connections == 0);
    poll_until(&mut lp, |_| log.lines().len() == 4);
}

/// A connection that is over, one that is offered, one of another loop.
#[test]
fn what_cannot_be_attached() {
    let mut lp = guarded();
    let log = Log::default();
    let (l, kept) = (log.clone(), Rc::new(Cell::new(None)));
    let k = kept.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let key = conn.key();
            let offered = conn.cx().http_attach(key, HttpOptions::new(), Hello(l.clone()));
            assert_eq!(offered, Err(tidegate::KeyError::Closed));
            k.set(Some(key));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _c = client(at);
    poll_until(&mut lp, |_| kept.get().is_some());
    let key = kept.get().unwrap();
    let closed = lp.http_attach(key, HttpOptions::new(), Hello(log.clone()));
    assert_eq!(closed, Err(tidegate::KeyError::Closed));
    let mut other = Loop::new().unwrap();
    let foreign = other.http_attach(key, HttpOptions::new(), Hello(log.clone()));
    assert_eq!(foreign, Err(tidegate::KeyError::Foreign));
    lp.run_nowait().unwrap();
    other.run_nowait().unwrap();
    assert_eq!(log.lines(), ["dropped"; 3]);
    assert_eq!(lp.http_metrics().connections, 0);
}

/// The handler is in its call when its connection, which was its only one, goes to another protocol
/// and another handler takes its place.
#[test]
fn the_place_of_a_handler_is_used_again() {
    struct Upgrades(Log);
    impl HttpHandler for Upgrades {
        fn on_request(&mut self, _: &Head<'_>, x: Exchange<'_>) {
            let mut x = x.later();
            let key = x.key().socket();
            x.upgrade(101, On::new()).unwrap();
            x.cx().http_attach(key, HttpOptions::new(), Hello(self.0.clone())).unwrap();
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let mut s = conn.accept(On::new());
            let key = s.key();
            s.cx().http_attach(key, HttpOptions::new(), Upgrades(l.clone())).unwrap();
        })
        .unwrap();
    let mut c = Peer::new(lp.server(server).local_addr().unwrap());
    c.send(&mut lp, GET);
    assert_eq!(c.answer(&mut lp).status, 101);
    assert_eq!(c.get(&mut lp, "/hello").text(), "/hello");
    assert!(log.lines().is_empty());
    drop(c);
    poll_until(&mut lp, |_| log.has("dropped"));
}
