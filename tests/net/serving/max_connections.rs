//! `max_connections`: what happens to the connections beyond it.

use std::io::Read;
use std::time::Duration;

use tidegate::net::*;
use tidegate::prelude::*;

use super::server::{Told, local};
use crate::support::*;

/// server-max-connections: beyond the limit a connection is accepted and closed, told and
/// counted; server-connections-close-makes-more-available: a place that is free is used.
#[test]
fn max_connections_drops_the_surplus() {
    let mut lp = guarded();
    let log = Log::default();
    let server = lp.serve(local().max_connections(2, AtLimit::Drop), Told(log.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let clients: Vec<_> = (0..4).map(|_| client(at)).collect();
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 4);
    assert_eq!(log.lines(), ["connection", "connection", "dropped 1", "dropped 2"]);
    assert_eq!((&clients[3]).read(&mut [0]).unwrap_or(0), 0, "an end, or a reset");
    drop(clients);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().connections == 0);
    let _again = client(at);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().connections == 1);
    assert_eq!(lp.server(server).stats().unwrap().dropped, 2);
}

/// maxConnections 0 drops all.
#[test]
fn max_connections_0_lets_nobody_in() {
    let mut lp = guarded();
    let log = Log::default();
    let server = lp.serve(local().max_connections(0, AtLimit::Drop), Told(log.clone())).unwrap();
    let _c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |_| log.has("dropped 1"));
}

/// Held ones wait in the kernel's queue, cost no turn, and come in when there is a place.
#[test]
fn max_connections_holds_the_surplus() {
    let mut lp = guarded();
    let log = Log::default();
    let server = lp.serve(local().max_connections(1, AtLimit::Hold), Told(log.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let (first, second) = (client(at), client(at));
    turn_until(&mut lp, |_| log.has("connection"));
    let before = lp.metrics().turns;
    lp.timer(Duration::from_millis(30), |cx, _| cx.stop());
    lp.run().unwrap();
    assert!(lp.metrics().turns - before < 6, "nothing spins");
    assert_eq!(lp.server(server).stats().unwrap().accepted, 1);
    drop(first);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().accepted == 2);
    drop(second);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["connection", "connection", "close"]);
}

/// The limit of an open server: raised, it lets those in that wait; lowered, it closes nobody.
#[test]
fn max_connections_of_an_open_server() {
    let mut lp = guarded();
    let log = Log::default();
    let server = lp.serve(local().max_connections(1, AtLimit::Hold), Told(log.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let open = |lp: &mut Loop| lp.server(server).stats().unwrap().connections;
    let first: Vec<_> = (0..5).map(|_| client(at)).collect();
    turn_until(&mut lp, |_| log.has("connection"));
    run_for(&mut lp, Duration::from_millis(5)); // full, and out of the poller
    lp.server(server).set_max_connections(3, AtLimit::Hold).unwrap();
    turn_until(&mut lp, |lp| open(lp) == 3);
    run_for(&mut lp, Duration::from_millis(5));
    assert_eq!(open(&mut lp), 3);
    lp.server(server).set_max_connections(2, AtLimit::Hold).unwrap();
    run_for(&mut lp, Duration::from_millis(5));
    assert_eq!(open(&mut lp), 3, "nobody is closed");
    lp.server(server).set_max_connections(None, AtLimit::Hold).unwrap();
    turn_until(&mut lp, |lp| open(lp) == 5);
    // Full once more, and those that wait are to be dropped.
    lp.server(server).set_max_connections(Some(0), AtLimit::Hold).unwrap();
    let late = client(at);
    run_for(&mut lp, Duration::from_millis(5));
    assert_eq!(lp.server(server).stats().unwrap().dropped, 0);
    lp.server(server).set_max_connections(0, AtLimit::Drop).unwrap();
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().dropped == 1);
    drop((first, late));
    lp.server(server).close().unwrap();
    let closed = lp.server(server).set_max_connections(1, AtLimit::Drop);
    assert_eq!(closed, Err(tidegate::KeyError::Closed));
    lp.run().unwrap();
}
