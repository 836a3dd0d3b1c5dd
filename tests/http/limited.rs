//! Clients that ask too often: 429 with `Retry-After`, and their next request waits.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tidegate::http::{Exchange, Head, Http, HttpOptions};
use tidegate::net::{ProxyProtocol, Rate};
use tidegate::prelude::*;

use crate::server::{GET, Peer, Plain, post};
use crate::support::*;

/// A server that counts its calls.
fn limited(lp: &mut Loop, at: ListenOptions, rate: Rate) -> (ServerKey, SocketAddr, Log) {
    let log = Log::default();
    let said = log.clone();
    let options = HttpOptions::new().request_rate(rate).keep_alive_timeout(Duration::from_secs(90));
    let handler = Plain(move |head: &Head<'_>, x: Exchange<'_>| {
        said.add(head.path());
        x.reply(200, "high");
    });
    let server = lp.http_serve(at, options, handler).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    (server, at, log)
}

fn plain() -> ListenOptions {
    ListenOptions::new("127.0.0.1:0")
}

/// The burst is answered; the next gets 429, with the seconds to wait rounded up; the request
/// behind it is read after the client may ask again, and not after what it was told.
#[test]
fn beyond_the_rate_it_is_429() {
    let (mut lp, script) = scripted();
    let (server, at, log) = limited(&mut lp, plain(), Rate::per_minute(40).burst(2));
    let mut c = Peer::new(at);
    for path in ["/1", "/2"] {
        assert_eq!(c.get(&mut lp, path).status, 200);
    }
    let refused = c.get(&mut lp, "/3");
    // One each 1.5 s.
    assert_eq!((refused.status, refused.get("retry-after")), (429, Some("2")));
    assert_eq!((refused.get("connection"), refused.text()), (None, ""));
    let read = lp.net_metrics().bytes_read;
    c.send(&mut lp, "GET /4 HTTP/1.1\r\nHost: a\r\n\r\n");
    c.settle(&mut lp);
    script.advance(Duration::from_millis(1400));
    c.settle(&mut lp);
    assert_eq!((log.lines().len(), lp.net_metrics().bytes_read), (2, read), "it is not read");
    let m = lp.http_metrics();
    assert_eq!((m.requests, m.limited, m.responses[3]), (3, 1, 1));
    script.advance(Duration::from_millis(601));
    assert_eq!(c.answer(&mut lp).status, 200);
    assert_eq!(log.lines(), ["/1", "/2", "/4"]);
    drop(c);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// Another connection of the same client has the same bucket; a client that obeys is not refused
/// again.
#[test]
fn connections_of_one_client_share_it() {
    let (mut lp, script) = scripted();
    let (server, at, log) = limited(&mut lp, plain(), Rate::per_second(1).burst(1));
    let (mut one, mut two) = (Peer::new(at), Peer::new(at));
    assert_eq!(one.get(&mut lp, "/one").status, 200);
    let refused = two.get(&mut lp, "/two");
    assert_eq!((refused.status, refused.get("retry-after")), (429, Some("1")));
    script.advance(Duration::from_secs(1));
    assert_eq!(two.get(&mut lp, "/two").status, 200);
    assert_eq!(log.lines(), ["/one", "/two"]);
    drop((one, two));
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// A pipeline, a body, HTTP/1.0 and an end behind the request that is refused.
#[test]
fn what_comes_with_a_refused_request() {
    let (mut lp, script) = scripted();
    let (server, at, log) = limited(&mut lp, plain(), Rate::per_second(1).burst(1));
    let mut c = Peer::new(at);
    c.send(&mut lp, GET.repeat(3));
    assert_eq!(c.answer(&mut lp).status, 200);
    assert_eq!(c.answer(&mut lp).status, 429);
    c.settle(&mut lp);
    assert_eq!(log.lines().len(), 1);
    script.advance(Duration::from_secs(1));
    assert_eq!(c.answer(&mut lp).status, 200);
    // A body is dropped, and the connection goes on.
    c.send(&mut lp, [&post("/", b"tide")[..], GET.as_bytes()].concat());
    assert_eq!(c.answer(&mut lp).status, 429);
    script.advance(Duration::from_secs(1));
    assert_eq!(c.answer(&mut lp).status, 200);
    let mut old = Peer::new(at);
    old.send(&mut lp, "GET / HTTP/1.0\r\n\r\n");
    assert_eq!(old.answer(&mut lp).status, 429);
    assert!(old.is_over(&mut lp));
    // It ends with a request unread: it is read, and answered, in its time.
    c.send(&mut lp, GET.repeat(2));
    assert_eq!(c.answer(&mut lp).status, 429);
    c.s.shutdown(std::net::Shutdown::Write).unwrap();
    c.settle(&mut lp);
    script.advance(Duration::from_secs(1));
    assert_eq!(c.answer(&mut lp).status, 200);
    assert!(c.is_over(&mut lp));
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// By the address that the header of a balancer names.
#[test]
fn clients_behind_a_balancer() {
    let (mut lp, _script) = scripted();
    let expected = ProxyProtocol::new("127.0.0.1".parse().unwrap());
    let (server, at, _) =
        limited(&mut lp, plain().proxy_protocol(expected), Rate::per_minute(1).burst(1));
    let mut statuses = Vec::new();
    for ip in [1, 2, 1, 3] {
        let mut c = Peer::new(at);
        c.send(&mut lp, format!("PROXY TCP4 192.0.2.{ip} 198.51.100.1 51000 443\r\n{GET}"));
        statuses.push(c.answer(&mut lp).status);
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// 200 clients that do not stop come back together, and one that is alone: in each turn few of the
/// 200 are answered, so it waits for no more than two turns.
#[test]
fn others_do_not_wait_for_them() {
    const HELD: usize = 200;
    let (mut lp, script) = scripted();
    let expected = ProxyProtocol::new("127.0.0.1".parse().unwrap());
    let (server, at, log) =
        limited(&mut lp, plain().proxy_protocol(expected), Rate::per_second(1).burst(1));
    let header = |n: usize| {
        let ip = std::net::Ipv4Addr::from(0xc000_0200 + n as u32);
        format!("PROXY TCP4 {ip} 198.51.100.1 51000 443\r\n")
    };
    let mut held: Vec<Peer> = (0..HELD).map(|_| Peer::new(at)).collect();
    for (n, c) in held.iter_mut().enumerate() {
        c.send(&mut lp, header(n) + &GET.repeat(3));
    }
    turn_until(&mut lp, |lp| lp.http_metrics().limited as usize == HELD);
    let mut good = Peer::new(at);
    good.send(&mut lp, header(HELD));
    good.settle(&mut lp);
    assert_eq!(log.lines().len(), HELD);
    // They may ask again: their requests are there, and that of the other.
    script.advance(Duration::from_secs(1));
    good.s.write_all(b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let last = *lp.server(server).connections().last().unwrap();
    let end = Instant::now() + DEADLINE;
    while lp.socket(last).queues().unwrap().receive == Some(0) {
        assert!(Instant::now() < end, "it did not come");
    }
    let (mut most, mut waited, mut turns) = (0, None, 0);
    while log.lines().len() < 2 * HELD + 1 {
        let before = log.lines().len();
        lp.run_nowait().unwrap();
        turns += 1;
        assert!(turns < 1000, "{} lines", log.lines().len());
        if waited.is_none() && log.has("/good") {
            waited = Some(turns);
        }
        most = most.max(log.lines().len() - before);
    }
    // The step of the turn, and the other.
    assert!(most <= 17, "{most} in one turn");
    assert!(waited.unwrap() <= 3, "the other waited {waited:?} of {turns} turns");
    assert_eq!(lp.http_metrics().limited as usize, HELD, "none was refused again");
    drop((held, good));
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// A client that would be held for longer than an idle connection is kept: its answer says when to ask
/// again, and the connection closes.
#[test]
fn a_long_wait_closes() {
    let (mut lp, _script) = scripted();
    let options = HttpOptions::new().request_rate(Rate::per_minute(4).burst(1));
    let handler = Plain(|_: &Head<'_>, x: Exchange<'_>| {
        x.reply(200, "high");
    });
    let server = lp.http_serve(plain(), options, handler).unwrap();
    let mut c = Peer::new(lp.server(server).local_addr().unwrap());
    assert_eq!(c.get(&mut lp, "/").status, 200);
    let refused = c.get(&mut lp, "/");
    assert_eq!((refused.status, refused.get("retry-after")), (429, Some("15")));
    assert_eq!(refused.get("connection"), Some("close"));
    assert!(c.is_over(&mut lp));
    drop(c);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// A held client is gone, by its end or by a reset: its connection does not wait for the time. One
/// that obeys is kept: the clock of idle connections runs from the end of that time.
#[test]
fn held_clients_that_leave_and_that_stay() {
    let (mut lp, script) = scripted();
    let options = HttpOptions::new()
        .request_rate(Rate::per_second(1).burst(1))
        .keep_alive_timeout(Duration::from_secs(1));
    let handler = Plain(|_: &Head<'_>, x: Exchange<'_>| {
        x.reply(200, "high");
    });
    let server = lp.http_serve(plain(), options, handler).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let mut ends = Peer::new(at);
    assert_eq!(ends.get(&mut lp, "/").status, 200);
    assert_eq!(ends.get(&mut lp, "/").status, 429);
    ends.s.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(ends.is_over(&mut lp));
    let mut resets = Peer::new(at);
    assert_eq!(resets.get(&mut lp, "/").status, 429);
    reset(resets.s);
    turn_until(&mut lp, |lp| lp.http_metrics().connections == 0);
    let mut stays = Peer::new(at);
    assert_eq!(stays.get(&mut lp, "/").status, 429);
    script.advance(Duration::from_secs(1));
    stays.settle(&mut lp);
    script.advance(Duration::from_millis(1900));
    assert_eq!(stays.get(&mut lp, "/").status, 200);
    script.advance(Duration::from_millis(2001));
    assert!(stays.is_over(&mut lp));
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}
