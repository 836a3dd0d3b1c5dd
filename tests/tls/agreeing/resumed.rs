//! Clients that come back: tickets of 1.2 and of 1.3, in one loop, in two, and after a change of
//! certificates.

use std::net::SocketAddr;

use tidegate::prelude::*;
use tidegate::tls::rustls::HandshakeKind;
use tidegate::tls::{Tickets, TlsServer, TlsVersion};

use crate::authority::Authority;
use crate::peer::*;
use crate::support::*;
use crate::{echo, tide};

/// Whether each of so many connections in a row was resumed.
fn visits(lp: &mut Loop, at: &[SocketAddr], ca: &Authority, of: TlsVersion) -> Vec<bool> {
    let config = client_config(ca, of, &[]);
    let mut resumed = Vec::new();
    for &at in at {
        let config = config.clone();
        resumed.push(beside(lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            // The tickets of 1.3 come with the first bytes.
            peer.send(b"x").unwrap();
            assert_eq!(peer.receive(1).unwrap(), b"x");
            peer.end().unwrap();
            assert_eq!(peer.receive(1).unwrap(), b"");
            peer.conn.handshake_kind() == Some(HandshakeKind::Resumed)
        }));
    }
    resumed
}

#[test]
fn b21_a_second_handshake_is_short() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (_, at) = echo(&mut lp, &tls);
        assert_eq!(visits(&mut lp, &[at; 3], &ca, of), [false, true, true]);
        let stats = tls.stats();
        assert_eq!((stats.handshakes, stats.resumed), (3, 2));
    }
}

/// Two loops with clones of one server, and one with other keys.
#[test]
fn b21_tickets_are_good_in_each_loop_that_shares_the_server() {
    for of in BOTH {
        let (ca, tls) = tide();
        let other = TlsServer::builder().identity(ca.leaf("tide.example")).build().unwrap();
        let (mut here, shared) = (guarded(), tls.clone());
        let (_, first) = echo(&mut here, &tls);
        let (_, foreign) = echo(&mut here, &other);
        let (tell, told) = std::sync::mpsc::channel();
        let second = std::thread::spawn(move || {
            let mut there = guarded();
            let (server, at) = echo(&mut there, &shared);
            tell.send((at, there.remote(), server)).unwrap();
            there.run().unwrap();
        });
        let (at, remote, server) = told.recv().unwrap();
        assert_eq!(visits(&mut here, &[first, at, foreign], &ca, of), [false, true, false]);
        assert!(remote.post(move |cx| cx.server(server).close().unwrap()).is_ok());
        second.join().unwrap();
        assert_eq!((tls.stats().resumed, other.stats().resumed), (1, 0));
    }
}

#[test]
fn b21_tickets_stay_good_when_certificates_change() {
    let ca = Authority::new();
    let mut options = TlsServer::builder().identity(ca.leaf("tide.example"));
    let tls = options.build().unwrap();
    let mut lp = guarded();
    let (_, at) = echo(&mut lp, &tls);
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let mut resumed = Vec::new();
    for _ in 0..2 {
        let config = config.clone();
        resumed.push(beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            peer.send(b"x").unwrap();
            peer.receive(1).unwrap();
            peer.conn.handshake_kind() == Some(HandshakeKind::Resumed)
        }));
        tls.reload(&mut options.clone().identity(ca.leaf("tide.example"))).unwrap();
    }
    assert_eq!(resumed, [false, true]);
}

#[test]
fn b21_without_tickets_each_handshake_is_full() {
    for of in BOTH {
        let ca = Authority::new();
        let builder = TlsServer::builder().identity(ca.leaf("tide.example"));
        let tls = builder.tickets(Tickets::off()).build().unwrap();
        let mut lp = guarded();
        let (_, at) = echo(&mut lp, &tls);
        assert_eq!(visits(&mut lp, &[at; 2], &ca, of), [false, false]);
    }
}

/// Our own client comes back, too.
#[test]
fn b21_a_client_of_ours_resumes() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let (_, at) = echo(&mut lp, &tls);
    let client = crate::ours(&ca);
    for _ in 0..3 {
        let over = Log::default();
        let closed = over.clone();
        let on = On::new()
            .connect(|s| {
                let _ = s.write("x");
            })
            .data(|s, _| s.end())
            .close(move |_, c| closed.add(c.to_string()));
        lp.connect(ConnectOptions::new(at).filter(client.clone()), on);
        turn_until(&mut lp, |_| over.has("both sides ended"));
    }
    let (ours, theirs) = (client.stats(), tls.stats());
    assert_eq!((ours.handshakes, ours.resumed, theirs.resumed), (3, 2, 2));
}
