//! Limits of handshakes: how many at once, how many in a turn, how much may wait.

use std::io::{Read, Write};

use tidegate::prelude::*;
use tidegate::tls::{TlsServer, TlsVersion};

use super::{Echo, Ends};
use crate::authority::Authority;
use crate::peer::*;
use crate::support::*;
use crate::{ours, tide};

#[test]
fn b24_beyond_max_handshakes_connections_are_closed() {
    let ca = Authority::new();
    let builder = TlsServer::builder().identity(ca.leaf("tide.example"));
    let tls = builder.max_handshakes(2).build().unwrap();
    let mut lp = guarded();
    let ends = Ends::default();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
    let server = lp.serve(options, Echo(ends.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let waiting = [client(at), client(at)];
    turn_until(&mut lp, |_| tls.stats().under_way == 2);
    let third = client(at);
    turn_until(&mut lp, |_| ends.len() == 1);
    assert_eq!(ends.lines(), ["refused: Handshake ERR_TLS_TOO_MANY"]);
    assert_eq!(read_to_end(&third), b"");
    assert_eq!(tls.stats().under_way, 2);
    drop(waiting);
    turn_until(&mut lp, |_| tls.stats().under_way == 0);
    let log = Log::default();
    let connected = log.clone();
    let on = On::new().connect(move |_| connected.add("connected"));
    lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
    turn_until(&mut lp, |_| log.has("connected"));
}

/// Hellos that wait together are answered over several turns.
#[test]
fn b40_so_many_handshakes_in_a_turn() {
    let ca = Authority::new();
    let builder = TlsServer::builder().identity(ca.leaf("tide.example"));
    let tls = builder.handshakes_per_turn(3).build().unwrap();
    let mut lp = guarded();
    let ends = Ends::default();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
    let server = lp.serve(options, Echo(ends.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let peers: Vec<Peer> = (0..10)
        .map(|_| {
            let mut peer = Peer::client(at, config.clone(), "tide.example");
            peer.flush().unwrap();
            peer.tcp.set_nonblocking(true).unwrap();
            peer
        })
        .collect();
    let answered = || peers.iter().filter(|p| p.tcp.peek(&mut [0]).is_ok()).count();
    let mut turns = vec![answered()];
    poll_until(&mut lp, |_| {
        turns.push(answered());
        turns.last() == Some(&10)
    });
    // All of them waited before the first was answered.
    let each: Vec<usize> = turns.windows(2).map(|w| w[1] - w[0]).filter(|n| *n > 0).collect();
    assert_eq!(each, [3, 3, 3, 1]);
    drop(peers);
    turn_until(&mut lp, |_| ends.len() == 10);
}

/// By default, between the moment in which an echo of a connection without TLS is asked for and its
/// answer, one step of a handshake is done at most, however many wait.
#[test]
fn b40_an_echo_waits_for_one_step_at_most() {
    let ca = Authority::new();
    let tls = TlsServer::builder().identity(ca.leaf("tide.example")).build().unwrap();
    let mut lp = guarded();
    let ends = Ends::default();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
    let server = lp.serve(options, Echo(ends.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let (plain, ours) = pair();
    let echo = On::new().data(|s, chunk| {
        let _ = s.write(chunk);
    });
    lp.adopt(ours, echo).unwrap();
    plain.set_nonblocking(true).unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let mut peers: Vec<Peer> = (0..10)
        .map(|_| {
            let mut peer = Peer::client(at, config.clone(), "tide.example");
            peer.flush().unwrap();
            peer.tcp.set_nonblocking(true).unwrap();
            peer
        })
        .collect();
    // How many steps there were while each echo was under way, until ten are done.
    let mut steps_beside = |done: &dyn Fn() -> usize| {
        let (mut before, mut waited) = (0, Vec::new());
        while before < 10 {
            (&plain).write_all(b"?").unwrap();
            poll_until(&mut lp, |_| (&plain).read(&mut [0]).is_ok());
            waited.push(done() - before);
            before = done();
        }
        waited
    };
    let hellos = steps_beside(&|| peers.iter().filter(|p| p.tcp.peek(&mut [0]).is_ok()).count());
    assert!(hellos.iter().all(|steps| *steps <= 1), "{hellos:?}");
    for peer in &mut peers {
        peer.tcp.set_nonblocking(false).unwrap();
        peer.handshake().unwrap();
    }
    let finished = steps_beside(&|| tls.stats().handshakes as usize);
    assert!(finished.iter().all(|steps| *steps <= 1), "{finished:?}");
    drop(peers);
    turn_until(&mut lp, |_| ends.len() == 10);
}

/// A client that sends on while it is decided about.
#[test]
fn b03_what_waits_for_a_choice_is_bounded() {
    let ca = Authority::new();
    let tls = TlsServer::builder()
        .identity(ca.leaf("tide.example"))
        .choose(|_| tidegate::tls::Choice::Later)
        .build()
        .unwrap();
    let mut lp = guarded();
    let ends = Ends::default();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls);
    let server = lp.serve(options, Echo(ends.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let mut peer = Peer::client(at, client_config(&ca, TlsVersion::V1_3, &[]), "tide.example");
    peer.flush().unwrap();
    let sender = std::thread::spawn(move || {
        let _ = std::io::Write::write_all(&mut &peer.tcp, &vec![22; 1 << 20]);
        peer
    });
    turn_until(&mut lp, |_| ends.len() == 1);
    assert_eq!(ends.lines(), ["refused: Handshake ERR_TLS_HANDSHAKE_TOO_LONG"]);
    drop(sender.join().unwrap());
}

/// What the user writes before the handshake is over has `write_limit`.
#[test]
fn b31_writes_before_the_handshake_is_over_are_counted() {
    let (ca, _) = tide();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let mut lp = guarded();
    let ends = Ends::default();
    let closed = ends.clone();
    let options =
        ConnectOptions::new(at).high_water_mark(1000).write_limit(100_000).filter(ours(&ca));
    let key = lp.connect(options, On::new().close(move |_, c| closed.add("closed", &c)));
    assert_eq!(lp.socket(key).write(vec![1; 999]), Flow::Ready);
    assert_eq!(lp.socket(key).write("1"), Flow::Full);
    let mut flow = Flow::Full;
    for _ in 0..200 {
        flow = lp.socket(key).write(vec![1; 1000]);
    }
    assert_eq!(flow, Flow::Closed);
    lp.run().unwrap();
    assert!(ends.lines()[0].contains("write_limit is 100000"), "{:?}", ends.lines());
}
