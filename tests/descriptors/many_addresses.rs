//! A name with many addresses: how many are tried, how many at once, how long an address that
//! does not answer keeps its place, and what the error lists.
#![cfg(target_os = "linux")]

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::net::*;
use tidegate::prelude::*;

use crate::rlimit::alone;
use crate::support::*;

const MS: Duration = Duration::from_millis(1);

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// The first `n` addresses of 127/8, without 127.0.0.0.
fn loopback(n: u32) -> Vec<IpAddr> {
    (1..=n).map(|i| std::net::Ipv4Addr::from(0x7f00_0000 + i).into()).collect()
}

fn to(port: u16, found: Vec<IpAddr>) -> ConnectOptions {
    let lookup = move |cx: &mut Cx<'_>, _: &str, answer: LookupAnswer| {
        answer.give(cx, Ok(found.clone()));
    };
    ConnectOptions::new(("tide.example", port)).lookup(lookup)
}

/// The attempts' addresses in the order in which they began.
fn starts(trace: &Trace) -> Vec<IpAddr> {
    let to = |(_, e): (u64, NetEvent)| match e {
        NetEvent::Socket(_, SocketEvent::AttemptStart { to: Endpoint::Ip(to) }) => Some(to.ip()),
        _ => None,
    };
    trace.net().into_iter().filter_map(to).collect()
}

/// The close of a connection, and a handler that notes it.
fn noted() -> (Rc<RefCell<Option<Close>>>, On) {
    let close = Rc::new(RefCell::new(None));
    let c = close.clone();
    (close, On::new().close(move |_, close| *c.borrow_mut() = Some(close)))
}

/// 200 addresses that do not answer take four descriptors, not 200, and the loop sleeps.
#[test]
fn few_attempts_are_under_way_at_once() {
    let _alone = alone();
    let Some((listener, _fill)) = silent() else {
        return println!("skipped: the system answers although the queue is full");
    };
    let port = listener.local_addr().unwrap().port();
    let mut lp = guarded();
    lp.run_nowait().unwrap();
    let (close, on) = noted();
    let before = descriptors();
    let key = lp.connect(to(port, loopback(200)).attempt_delay(10 * MS), on);
    let (mut most, turns) = (0, lp.metrics().turns);
    let end = Instant::now() + 500 * MS;
    lp.interval(5 * MS, |_, _| {});
    while Instant::now() < end {
        lp.run_once().unwrap();
        most = most.max(descriptors() - before);
    }
    assert_eq!(most, 4, "attempts at once");
    let turns = lp.metrics().turns - turns;
    assert!(turns < 200, "{turns} turns are a spin");
    lp.socket(key).destroy();
    turn_until(&mut lp, |_| close.borrow().is_some());
    assert_eq!(descriptors(), before);
}

/// The addresses tried have a limit, and so has what the error lists; the rest is counted.
#[test]
fn sixteen_addresses_are_tried_and_eight_listed() {
    let _alone = alone();
    let port = closed_port().port();
    let mut lp = guarded();
    let (close, on) = noted();
    let trace = Trace::default();
    lp.observe(trace.clone());
    let mut found = loopback(3_999);
    found.push("::1".parse().unwrap());
    lp.connect(to(port, found), on);
    lp.run().unwrap();
    let close = close.borrow_mut().take().unwrap();
    let e = close.reason.error().unwrap();
    assert_eq!((e.attempts().len(), e.untried()), (16, 3_984));
    assert_eq!(starts(&trace).len(), 16);
    assert_eq!(e.attempts()[1].remote.ip().to_string(), "::1", "both families are among them");
    let text = close.to_string();
    assert_eq!(text.matches(" after ").count(), 1 + 8, "{text}");
    assert!(text.ends_with("; 8 more failed; 3984 addresses were not tried"), "{text}");
    assert!(text.len() < 1_000, "{} bytes", text.len());
    let looked_up = trace.net().into_iter().find_map(|(_, e)| match e {
        NetEvent::Socket(_, SocketEvent::LookedUp { addresses, left_out, .. }) => {
            Some((addresses.len(), left_out))
        }
        _ => None,
    });
    assert_eq!(looked_up, Some((16, 3_984)));
}

/// Silent listeners on these addresses, with one port.
fn silent_on(addresses: &[IpAddr]) -> Option<(u16, Vec<TcpListener>, Vec<TcpStream>)> {
    use socket2::{Domain, Socket, Type};
    let (mut port, mut listeners, mut fill) = (0, Vec::new(), Vec::new());
    for address in addresses {
        let raw = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        raw.bind(&SocketAddr::new(*address, port).into()).ok()?;
        raw.listen(0).unwrap();
        let listener: TcpListener = raw.into();
        let at = listener.local_addr().unwrap();
        port = at.port();
        let full = (0..8).any(|_| match TcpStream::connect_timeout(&at, 50 * MS) {
            Ok(c) => {
                fill.push(c);
                false
            }
            Err(_) => true,
        });
        if !full {
            return None;
        }
        listeners.push(listener);
    }
    Some((port, listeners, fill))
}

/// While all places are taken by addresses that do not answer, the oldest gives way to the next
/// after its time, so that the one that answers has its turn.
#[test]
fn a_silent_attempt_gives_way_to_the_next_address() {
    let _alone = alone();
    let addresses = loopback(7);
    let Some((port, _listeners, _fill)) = silent_on(&addresses[..6]) else {
        return println!("skipped: the system answers although the queue is full");
    };
    let mut lp = guarded();
    lp.listen((addresses[6], port), |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        let _ = conn.accept(On::new()).end_with("high water");
    })
    .unwrap();
    let trace = Trace::default();
    lp.observe(trace.clone());
    let (close, on) = noted();
    let start = Instant::now();
    let options = to(port, addresses.clone()).attempt_delay(10 * MS).attempt_timeout(100 * MS);
    lp.connect(options, on);
    lp.run().unwrap();
    let took = start.elapsed();
    assert!(matches!(close.borrow().as_ref().unwrap().reason, Reason::Ended));
    assert_eq!(starts(&trace), addresses);
    let failed: Vec<String> = trace
        .net()
        .into_iter()
        .filter_map(|(_, e)| match e {
            NetEvent::Socket(_, SocketEvent::AttemptFailed(a)) => {
                assert_eq!(a.error.kind(), std::io::ErrorKind::TimedOut);
                assert!(a.elapsed >= 100 * MS, "{a}");
                Some(a.to_string())
            }
            _ => None,
        })
        .collect();
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert!(failed[0].ends_with("no answer, and it gave way to the next address"), "{failed:?}");
    assert!(took >= 120 * MS && took < Duration::from_secs(2), "{took:?}");
    assert_eq!(handles(&lp), 0);
}

/// One place, and all are silent: each address has its turn, and the deadline ends the last.
#[test]
fn one_at_a_time() {
    let _alone = alone();
    let Some((listener, _fill)) = silent() else {
        return println!("skipped: the system answers although the queue is full");
    };
    let port = listener.local_addr().unwrap().port();
    let mut lp = guarded();
    let (close, on) = noted();
    let options = to(port, loopback(40)).attempts_at_once(1).max_addresses(3);
    lp.connect(options.attempt_timeout(30 * MS).connect_timeout(150 * MS), on);
    let turns = lp.metrics().turns;
    lp.run().unwrap();
    assert!(lp.metrics().turns - turns < 30, "{} turns", lp.metrics().turns - turns);
    let close = close.borrow_mut().take().unwrap();
    assert!(matches!(close.reason, Reason::TimedOut(Timeout::Connect, _)), "{close}");
    let e = close.reason.error().unwrap();
    let tried: Vec<IpAddr> = e.attempts().iter().map(|a| a.remote.ip()).collect();
    assert_eq!((tried, e.untried()), (loopback(3), 37), "{close}");
}

/// A limit of 0 would try nothing: it counts as 1.
#[test]
fn limits_of_zero_count_as_one() {
    let _alone = alone();
    let mut lp = guarded();
    let (close, on) = noted();
    let options = to(closed_port().port(), loopback(3)).attempts_at_once(0).max_addresses(0);
    lp.connect(options.attempt_timeout(Duration::ZERO), on);
    lp.run().unwrap();
    let close = close.borrow_mut().take().unwrap();
    let e = close.reason.error().unwrap();
    assert_eq!((e.code(), e.untried()), (Some("ECONNREFUSED"), 2), "{close}");
    assert!(close.to_string().ends_with("2 addresses were not tried"), "{close}");
}
