//! Limits for each peer: connections at once, and how often it may come; by the client's address if
//! a header names it.

use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

use tidegate::net::{NetEvent, PeerLimit, Rate, ServerEvent, ServerStats};

use super::*;

fn stats(lp: &mut Loop, server: ServerKey) -> ServerStats {
    lp.server(server).stats().unwrap()
}

/// Whether it was closed at once.
fn is_refused(peer: &TcpStream) -> bool {
    let mut peer = peer;
    peer.read(&mut [0; 8]).map_or(true, |n| n == 0)
}

fn from(ip: u8) -> Vec<u8> {
    format!("PROXY TCP4 192.0.2.{ip} 198.51.100.1 51000 443\r\n").into_bytes()
}

#[test]
fn connections_of_one_peer() {
    let trace = Trace::default();
    let mut lp = guarded();
    lp.observe(trace.clone());
    let (server, at, log) = echo(&mut lp, plain().max_per_peer(2));
    let peers: Vec<_> = (0..3).map(|_| client(at)).collect();
    turn_until(&mut lp, |lp| stats(lp, server).accepted == 3);
    assert_eq!((stats(&mut lp, server).connections, stats(&mut lp, server).limited), (2, 1));
    assert!(is_refused(&peers[2]));
    // One closes: there is room for one.
    drop(peers);
    turn_until(&mut lp, |lp| stats(lp, server).connections == 0);
    let again: Vec<_> = (0..3).map(|_| client(at)).collect();
    turn_until(&mut lp, |lp| stats(lp, server).accepted == 6);
    assert_eq!((stats(&mut lp, server).connections, stats(&mut lp, server).limited), (2, 2));
    drop(again);
    end(&mut lp, server);
    assert_eq!(log.lines().iter().filter(|l| l.contains("by itself")).count(), 4);
    let limited = trace.net().into_iter().filter(|(_, e)| {
        matches!(e, NetEvent::Server(_, ServerEvent::Limited { limit: PeerLimit::Connections, .. }))
    });
    assert_eq!(limited.count(), 2);
}

/// Each way in which a connection can leave the server: the count goes down once.
#[test]
fn every_end_makes_room() {
    let mut lp = guarded();
    let mut turn = 0;
    let server = lp.listen(plain().max_per_peer(1), move |mut conn| {
        turn += 1;
        match turn {
            1 => conn.reject(),
            2 => drop(conn.detach()),
            3 => {
                // With a place in the loop.
                conn.key();
                conn.reject();
            }
            4 => {
                conn.key();
                drop(conn.detach());
            }
            5 => {
                let key = conn.key();
                conn.socket(key).destroy();
            }
            6 => {}
            7 => conn.accept(On::new()).destroy(),
            8 => conn.accept(On::new()).reset(),
            _ => conn.accept(On::new()).end(),
        }
    });
    let server = server.unwrap();
    let at = lp.server(server).local_addr().unwrap();
    for n in 1..=9 {
        let peer = client(at);
        turn_until(&mut lp, |lp| stats(lp, server).accepted == n);
        assert_eq!(stats(&mut lp, server).limited, 0, "connection {n}");
        drop(peer);
        turn_until(&mut lp, |lp| stats(lp, server).connections == 0);
    }
    end(&mut lp, server);
}

/// The loop's time is a script: exact.
#[test]
fn how_often_one_peer_may_come() {
    let (mut lp, script) = scripted();
    let rate = Rate::per_second(10).burst(2);
    let (server, at, _log) = echo(&mut lp, plain().accept_rate(rate));
    let come = |lp: &mut Loop| {
        let before = stats(lp, server);
        let peer = client(at);
        poll_until(lp, |lp| stats(lp, server).accepted > before.accepted);
        drop(peer);
        poll_until(lp, |lp| stats(lp, server).connections == 0);
        stats(lp, server).limited == before.limited
    };
    let come_after = |lp: &mut Loop, ms: u64| {
        script.advance(Duration::from_millis(ms));
        come(lp)
    };
    let came: Vec<_> = [0, 0, 0, 50, 49, 1, 0, 200, 0, 0].map(|ms| come_after(&mut lp, ms)).into();
    // Two at once; none before 100 ms, none at 99; after 200 ms two.
    assert_eq!(came, [true, true, false, false, false, true, false, true, true, false]);
    end(&mut lp, server);
}

/// By the address in the header; the proxy itself has no limit.
#[test]
fn clients_behind_a_proxy() {
    let mut lp = guarded();
    let options = plain().proxy_protocol(from_loopback()).max_per_peer(1);
    let (server, at, log) = echo(&mut lp, options.accept_rate(Rate::per_minute(100)));
    let mut open = Vec::new();
    for (ip, lets_in) in [(1, true), (2, true), (1, false), (3, true), (2, false)] {
        let (before, lines) = (stats(&mut lp, server).limited, log.lines().len());
        let peer = client(at);
        write_all(&peer, &from(ip));
        let came = |lp: &mut Loop| log.lines().len() > lines || stats(lp, server).limited > before;
        turn_until(&mut lp, came);
        assert_eq!(stats(&mut lp, server).limited > before, !lets_in, "{ip}");
        assert_eq!(stats(&mut lp, server).connections, open.len() + usize::from(lets_in));
        if lets_in {
            open.push(peer);
        } else {
            assert!(is_refused(&peer));
        }
    }
    // Health checks of the proxy.
    for _ in 0..5 {
        let lines = log.lines().len();
        let peer = client(at);
        write_all(&peer, b"PROXY UNKNOWN\r\n");
        turn_until(&mut lp, |_| log.lines().len() > lines);
        open.push(peer);
    }
    drop(open);
    turn_until(&mut lp, |lp| stats(lp, server).connections == 0);
    // The count went down again.
    let peer = client(at);
    write_all(&peer, &from(1));
    turn_until(&mut lp, |lp| stats(lp, server).connections == 1 && stats(lp, server).limited == 2);
    drop(peer);
    end(&mut lp, server);
}

/// A connection that waits for its header counts to nobody, and one that is refused neither.
#[test]
fn before_the_header_nobody_is_counted() {
    let mut lp = guarded();
    let options = plain().proxy_protocol(from_loopback()).max_per_peer(1);
    let (server, at, log) = echo(&mut lp, options);
    let waiting: Vec<_> = (0..3).map(|_| client(at)).collect();
    turn_until(&mut lp, |lp| stats(lp, server).connections == 3);
    let peer = client(at);
    write_all(&peer, &from(1));
    turn_until(&mut lp, |_| !log.lines().is_empty());
    write_all(&waiting[0], b"GET");
    turn_until(&mut lp, |lp| stats(lp, server).refused == 1);
    drop((waiting, peer));
    end(&mut lp, server);
}
