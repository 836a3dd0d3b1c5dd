//! Other protocols on the same connection.

use tidegate::http::{Exchange, Head, Http, HttpError, Response};
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
