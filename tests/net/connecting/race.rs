//! A name with several addresses: attempts race, one wins, and all of them may fail.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::AsCx;
use tidegate::net::*;

use super::connect::{V4, V6, WELL, hello, knows, name, told};
use crate::support::*;

/// A port of which both families refuse.
fn refused() -> u16 {
    closed_port().port()
}

/// autoselectfamily: IPv6 refused, IPv4 reached; the attempts are reported.
#[test]
fn a_refused_family_is_followed_by_the_other() {
    let mut lp = guarded();
    let trace = Trace::default();
    lp.observe(trace.clone());
    let at = hello(&mut lp, "127.0.0.1:0").unwrap();
    let log = Log::default();
    lp.connect(name(at.port()).lookup(knows(&[V6, V4]).0), told(&log));
    lp.run().unwrap();
    assert_eq!(log.lines(), WELL);
    let starts: Vec<SocketAddr> = trace
        .net()
        .into_iter()
        .filter_map(|(_, e)| match e {
            NetEvent::Socket(_, SocketEvent::AttemptStart { to: Endpoint::Ip(to) }) => Some(to),
            _ => None,
        })
        .collect();
    assert_eq!(starts, [SocketAddr::new(V6, at.port()), at]);
}

/// autoselectfamily: IPv6 reachable, IPv4 is never contacted.
#[test]
fn the_first_that_connects_is_the_only_one() {
    let mut lp = guarded();
    let Some(at) = hello(&mut lp, "[::1]:0") else {
        return println!("skipped: there is no IPv6 here");
    };
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, at.port())).unwrap();
    other.set_nonblocking(true).unwrap();
    let log = Log::default();
    lp.connect(name(at.port()).lookup(knows(&[V6, V4]).0), told(&log));
    lp.run().unwrap();
    assert_eq!(log.lines(), WELL);
    assert_eq!(other.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// All failed: one error that lists every attempt.
#[test]
fn all_attempts_failed() {
    let mut lp = guarded();
    let log = Log::default();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (s, l) = (seen.clone(), log.clone());
    let port = refused();
    let close = move |_: &mut SocketCx<'_>, close: Close| {
        let e = close.reason.error().unwrap();
        assert_eq!((e.stage(), e.kind()), (Stage::Connect, ErrorKind::ConnectionRefused));
        assert_eq!(e.code(), Some("ECONNREFUSED"));
        s.borrow_mut().extend(e.attempts().iter().map(|a| a.remote.ip()));
        l.add(close.to_string());
    };
    let others: [IpAddr; 2] = ["127.0.0.2".parse().unwrap(), "127.0.0.3".parse().unwrap()];
    let found = [V4, others[0], others[1], V6];
    lp.connect(name(port).lookup(knows(&found).0), On::new().close(close));
    lp.run().unwrap();
    assert_eq!(*seen.borrow(), [V4, V6, others[0], others[1]], "families in turns");
    let text = &log.lines()[0];
    assert!(text.starts_with(&format!("connect to tide.example:{port} failed after ")), "{text}");
    for ip in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
        assert!(text.contains(&format!("{ip}:{port} after ")), "{text}");
    }
    assert_eq!(text.matches("; ").count(), 3, "{text}");
    assert_eq!(lp.handles(), 1, "the guard");
}

/// RFC 8305: the first address is silent; the second starts after the attempt delay, beside
/// it, and wins.
#[test]
#[cfg(target_os = "linux")]
fn a_silent_address_is_raced_by_the_next() {
    let Some((listener, _fill)) = super::connect::silent_alone() else {
        return println!("skipped: the system answers although the queue is full");
    };
    let port = listener.local_addr().unwrap().port();
    let mut lp = guarded();
    let log = Log::default();
    let second: IpAddr = "127.0.0.2".parse().unwrap();
    assert!(hello(&mut lp, &format!("{second}:{port}")).is_some());
    let start = Instant::now();
    let options = name(port).lookup(knows(&[V4, second]).0);
    lp.connect(options.attempt_delay(Duration::from_millis(40)), told(&log));
    lp.run().unwrap();
    let took = start.elapsed();
    assert_eq!(log.lines(), WELL);
    assert!(took >= Duration::from_millis(40) && took < Duration::from_secs(2), "{took:?}");
    assert_eq!(handles(&lp), 0, "the loser is closed");
}

fn two(port: u16) -> ConnectOptions {
    ConnectOptions::new(("tide.example", port)).lookup(|cx, _, a| {
        a.give(cx, Ok(vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()]))
    })
}

#[test]
fn winner_panics() {
    let mut lp = guarded();
    let server = lp
        .listen("127.0.0.1:0", |mut c| {
            c.server(c.server_key()).close().unwrap();
            c.accept(On::new());
        })
        .unwrap();
    let port = lp.server(server).local_addr().unwrap().port();
    let log = Log::default();
    let l = log.clone();
    let key = lp.connect(
        two(port),
        On::new()
            .connect(|_| std::panic::resume_unwind(Box::new(1)))
            .close(move |_, c| l.add(format!("{c}"))),
    );
    let _ = lp.socket(key).write_id("abc", 1);
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run()));
    assert!(run.is_err());
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 1, "{:?}", log.lines());
    assert_eq!(handles(&lp), 0);
}

#[test]
fn write_and_end_before_a_race() {
    for how in 0..5 {
        let mut lp = guarded();
        let log = Log::default();
        let (l, l2) = (log.clone(), log.clone());
        let server = lp
            .listen("127.0.0.1:0", move |mut c| {
                c.server(c.server_key()).close().unwrap();
                let l = l.clone();
                c.accept(
                    On::new().data(move |_, b| l.add(format!("got {}", b.len()))).close(|_, _| {}),
                );
            })
            .unwrap();
        let port = lp.server(server).local_addr().unwrap().port();
        let key = lp.connect(
            two(port),
            On::new()
                .connect(move |s| match how {
                    1 => s.destroy(),
                    2 => s.reset(),
                    3 => s.end(),
                    4 => {
                        let k = s.key();
                        s.cx().close(k).unwrap()
                    }
                    _ => {}
                })
                .close(move |_, c| l2.add(format!("{c}"))),
        );
        let _ = lp.socket(key).write(b"abc");
        lp.socket(key).end();
        lp.run().unwrap();
        println!("{how}: {:?}", log.lines());
        assert_eq!(handles(&lp), 0);
        assert_eq!(log.lines().iter().filter(|l| !l.starts_with("got")).count(), 1);
    }
}
