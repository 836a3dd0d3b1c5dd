//! `close_notify`, FIN, and what comes of one without the other.

use std::net::Shutdown;

use tidegate::net::Stage;
use tidegate::prelude::*;
use tidegate::tls::{TlsServer, TlsVersion};

use super::{Echo, Ends};
use crate::authority::Authority;
use crate::peer::*;
use crate::support::*;
use crate::{ours, tide};

fn serve(lp: &mut Loop, tls: &TlsServer, half_open: bool) -> (Ends, std::net::SocketAddr) {
    let ends = Ends::default();
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(half_open).filter(tls.clone());
    let server = lp.serve(options, Echo(ends.clone())).unwrap();
    (ends, lp.server(server).local_addr().unwrap())
}

#[test]
fn b12_close_notify_is_the_end_although_tcp_stays_open() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (ends, at) = serve(&mut lp, &tls, false);
        let config = client_config(&ca, of, &[]);
        let rest = beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            peer.send(b"last").unwrap();
            peer.conn.send_close_notify();
            peer.flush().unwrap();
            // No FIN of ours; theirs comes, with what they had to say.
            let got = peer.receive(100).unwrap();
            // Dropped, and no error: it came after the end.
            write_all(&peer.tcp, b"junk");
            got
        });
        assert_eq!(rest, b"last", "{of}");
        turn_until(&mut lp, |_| ends.len() == 2);
        assert_eq!(ends.lines(), ["end", "closed: both sides ended"], "{of}");
    }
}

/// Everything that came before is delivered, then it is an error, which names the way out.
#[test]
fn b13_a_fin_without_close_notify_is_an_error() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (ends, at) = serve(&mut lp, &tls, false);
        let config = client_config(&ca, of, &[]);
        let got = beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            // The server has the connection before it is cut.
            peer.send(b"x").unwrap();
            peer.receive(1).unwrap();
            let records = peer.records(b"all of it");
            write_all(&peer.tcp, &records);
            peer.tcp.shutdown(Shutdown::Write).unwrap();
            peer.receive(9).unwrap()
        });
        assert_eq!(got, b"all of it");
        turn_until(&mut lp, |_| ends.len() == 1);
        assert_eq!(ends.lines(), ["closed: Truncated ERR_TLS_TRUNCATED"]);
        assert_eq!((tls.stats().truncated, tls.stats().broken), (1, 0));
    }
    let (ca, tls) = tide();
    let mut lp = guarded();
    let (server, at) = crate::echo(&mut lp, &tls);
    let log = Log::default();
    let closed = log.clone();
    let on =
        On::new().connect(|s| s.destroy()).close(move |s, _| s.server(server).close().unwrap());
    lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
    lp.run().unwrap();
    closed.add(Stage::Truncated.to_string());
    assert_eq!(log.lines(), ["truncated"]);
}

#[test]
fn b13_it_is_an_end_where_that_is_allowed() {
    for of in BOTH {
        let ca = Authority::new();
        let builder = TlsServer::builder().identity(ca.leaf("tide.example"));
        let tls = builder.allow_truncation(true).build().unwrap();
        let mut lp = guarded();
        let (ends, at) = serve(&mut lp, &tls, false);
        let config = client_config(&ca, of, &[]);
        beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            peer.tcp.shutdown(Shutdown::Write).unwrap();
            assert_eq!(peer.receive(1).unwrap(), b"");
        });
        turn_until(&mut lp, |_| ends.len() == 2);
        assert_eq!(ends.lines(), ["end", "closed: both sides ended"]);
    }
}

/// A FIN inside of a record.
#[test]
fn b14_a_record_that_is_cut_is_truncated() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (ends, at) = serve(&mut lp, &tls, false);
        let config = client_config(&ca, of, &[]);
        beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            // The server has the connection before it is cut.
            peer.send(b"x").unwrap();
            peer.receive(1).unwrap();
            let records = peer.records(b"half of it");
            write_all(&peer.tcp, &records[..records.len() / 2]);
            peer.tcp.shutdown(Shutdown::Write).unwrap();
            let _ = peer.receive(1);
        });
        turn_until(&mut lp, |_| ends.len() == 1);
        assert_eq!(ends.lines(), ["closed: Truncated ERR_TLS_TRUNCATED"]);
    }
}

/// Written, and ended, before the handshake is over: the bytes, `close_notify`, FIN.
#[test]
fn b05_b06_writes_and_an_end_before_the_handshake_is_over() {
    for of in BOTH {
        let ca = Authority::new();
        let config = server_config(&ca.leaf("tide.example"), of);
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let mut lp = guarded();
        let log = Log::default();
        let (finish, written, close) = (log.clone(), log.clone(), log.clone());
        let on = On::new()
            .drain(|_| panic!("nobody waits for it"))
            .written(move |_, id, done| written.add(format!("written {id} {}", done.is_ok())))
            .finish(move |_| finish.add("finish"))
            .close(move |_, c| close.add(c.to_string()));
        let key = lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
        assert_eq!(lp.socket(key).write("one "), Flow::Ready);
        assert_eq!(lp.socket(key).write_id("two", 2), Flow::Ready);
        lp.socket(key).end();
        assert_eq!(lp.socket(key).write("late"), Flow::Closed);
        let got = beside(&mut lp, move || {
            let mut peer = Peer::server(listener.accept().unwrap().0, config);
            peer.handshake().unwrap();
            // `Ok` at the end: `close_notify` came.
            let got = peer.receive(100).unwrap();
            peer.end().unwrap();
            got
        });
        assert_eq!(got, b"one two");
        lp.run().unwrap();
        assert_eq!(log.lines(), ["written 2 true", "finish", "both sides ended"]);
    }
}

/// The peer has ended, and gets an answer for as long as we like: 1.3, half-open.
#[test]
fn b33_answers_after_the_peers_end() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let options = ListenOptions::new("127.0.0.1:0").allow_half_open(true).filter(tls);
        let server = lp.listen(options, |conn| {
            conn.accept(On::new().end(|s| {
                let _ = s.write(vec![7; 1 << 20]);
                s.end();
            }));
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        let config = client_config(&ca, of, &[]);
        let got = beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            peer.end().unwrap();
            peer.receive(2 << 20).unwrap()
        });
        assert_eq!(got.len(), 1 << 20, "{of}");
    }
}

/// Destroyed in each callback: the peer sees an end that is none.
#[test]
fn b07_destroyed_in_the_middle() {
    for at_data in [false, true] {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (server, at) = crate::echo(&mut lp, &tls);
        let log = Log::default();
        let closed = log.clone();
        let on = On::new()
            .connect(move |s| {
                assert_eq!(s.write("x"), Flow::Ready);
                if !at_data {
                    s.destroy();
                    assert_eq!(s.write("y"), Flow::Closed);
                }
            })
            .data(|s, _| s.destroy())
            .close(move |s, c| {
                closed.add(c.reason.to_string());
                s.server(server).close().unwrap();
            });
        lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
        lp.run().unwrap();
        assert_eq!(log.lines(), ["destroyed"]);
        assert!(tls.stats().truncated <= 1);
    }
}

#[test]
fn b35_a_server_that_shuts_down_gives_handshakes_its_grace_and_ends_the_others() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let ends = Ends::default();
    let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
    let server = lp.serve(options, Echo(ends.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let mut open = beside(&mut lp, move || {
        let mut open = Peer::client(at, config, "tide.example");
        open.handshake().unwrap();
        open.send(b"x").unwrap();
        open.receive(1).unwrap();
        open
    });
    let half = client(at);
    write_all(&half, &[22, 3, 1]);
    turn_until(&mut lp, |_| tls.stats().under_way == 1);
    lp.server(server).shutdown(std::time::Duration::from_millis(500)).unwrap();
    let ended = std::thread::spawn(move || {
        let got = open.receive(1).unwrap();
        open.end().unwrap();
        got
    });
    lp.run().unwrap();
    assert_eq!(ended.join().unwrap(), b"");
    let mut lines = ends.lines();
    lines.sort();
    assert_eq!(lines, ["closed: both sides ended", "end", "refused: Handshake -"]);
    drop(half);
}
