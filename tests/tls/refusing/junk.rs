//! Peers that do not speak TLS, or stop in the middle: the server lives, and an alert arrives.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::time::Duration;

use tidegate::prelude::*;
use tidegate::tls::{TlsServer, TlsVersion};

use super::{Echo, Ends};
use crate::authority::Authority;
use crate::peer::*;
use crate::support::*;
use crate::{ours, tide};

const DECODE_ERROR: [u8; 7] = [21, 3, 3, 0, 2, 2, 50];

fn serve(lp: &mut Loop, tls: &TlsServer, ends: &Ends) -> (ServerKey, SocketAddr) {
    let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
    let server = lp.serve(options, Echo(ends.clone())).unwrap();
    (server, lp.server(server).local_addr().unwrap())
}

/// A client's first flight.
fn hello(ca: &Authority, at: SocketAddr) -> (Peer, Vec<u8>) {
    let mut peer = Peer::client(at, client_config(ca, TlsVersion::V1_3, &[]), "tide.example");
    let hello = peer.records(b"");
    (peer, hello)
}

#[test]
fn b16_junk_is_answered_by_an_alert_and_an_end() {
    let (_, tls) = tide();
    let mut lp = guarded();
    let ends = Ends::default();
    let (_, at) = serve(&mut lp, &tls, &ends);
    // Node's text, then more than fits into what is dropped afterwards at once.
    for junk in [b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xaa; 50_000]] {
        let c = client(at);
        let got = beside(&mut lp, move || {
            write_all(&c, &junk);
            read_to_end(&c)
        });
        assert_eq!(got, DECODE_ERROR);
    }
    turn_until(&mut lp, |_| ends.len() == 2);
    assert_eq!(ends.lines(), ["refused: Handshake ERR_SSL_WRONG_VERSION_NUMBER"; 2]);
}

/// 1 MiB of junk: most of it is never read.
#[test]
fn b16_much_junk_is_cut_off() {
    let (_, tls) = tide();
    let mut lp = guarded();
    let ends = Ends::default();
    let (_, at) = serve(&mut lp, &tls, &ends);
    let mut c = client(at);
    beside(&mut lp, move || {
        let _ = c.write_all(&vec![0xaa; 1 << 20]);
        let _ = c.read_to_end(&mut Vec::new());
    });
    turn_until(&mut lp, |_| ends.len() == 1);
    assert!(lp.net_metrics().bytes_read < 512 * 1024);
}

/// What is behind a hello that is good.
#[test]
fn b16_a_hello_with_junk_behind_it() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let ends = Ends::default();
        let (_, at) = serve(&mut lp, &tls, &ends);
        let config = client_config(&ca, of, &[]);
        let alert = beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            let mut flight = peer.records(b"");
            flight.extend([0xaa; 100]);
            write_all(&peer.tcp, &flight);
            // The server's flight comes before its alert, which 1.3 encrypts.
            let alert = peer.handshake().and_then(|()| peer.receive(1)).unwrap_err();
            alert.to_string()
        });
        assert!(alert.contains("DecodeError"), "{of}: {alert}");
        turn_until(&mut lp, |_| ends.len() == 1);
        assert!(ends.lines()[0].starts_with("refused: Handshake ERR_SSL_"), "{:?}", ends.lines());
    }
}

/// FIN and RST after each part of the hello: refused once, and nobody else is hurt.
#[test]
fn b14_b15_ends_in_the_middle_of_a_handshake() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let ends = Ends::default();
    let (server, at) = serve(&mut lp, &tls, &ends);
    let (_, whole) = hello(&ca, at);
    let mut expected = 1;
    for cut in [0, 1, 4, 5, 6, whole.len() / 2, whole.len() - 1, whole.len()] {
        for by_reset in [false, true] {
            let (peer, hello) = hello(&ca, at);
            write_all(&peer.tcp, &hello[..cut]);
            turn_until(&mut lp, |lp| {
                lp.server(server).stats().unwrap().accepted as usize > expected
            });
            if by_reset {
                reset(peer.tcp);
            } else {
                peer.tcp.shutdown(Shutdown::Write).unwrap();
                let _ = beside(&mut lp, move || (&peer.tcp).read_to_end(&mut Vec::new()));
            }
            turn_until(&mut lp, |_| ends.len() > expected);
            let line = ends.lines().pop().unwrap();
            let ways = ["refused: Handshake ERR_TLS_HANDSHAKE_EOF", "refused: Read ECONNRESET"];
            let written = "refused: Write ECONNRESET";
            assert!(ways.contains(&line.as_str()) || line == written, "{cut} {by_reset}: {line}");
            assert!(by_reset || line == ways[0], "{cut} {by_reset}: {line}");
            expected += 1;
        }
    }
    let stats = lp.server(server).stats().unwrap();
    assert_eq!(stats.refused as usize, ends.len());
    // It serves still.
    let log = Log::default();
    let connected = log.clone();
    let on = On::new().connect(move |_| connected.add("connected"));
    lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
    turn_until(&mut lp, |_| log.has("connected"));
}

#[test]
fn b18_a_plain_server_for_a_client_of_ours() {
    let ca = Authority::new();
    let mut lp = guarded();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let plain = std::thread::spawn(move || {
        let (mut s, _) = listener.accept().unwrap();
        s.read_exact(&mut [0; 5]).unwrap();
        s.write_all(b"220 mail.example ESMTP\r\n").unwrap();
        let mut rest = Vec::new();
        let _ = s.read_to_end(&mut rest);
        rest
    });
    let log = Log::default();
    let closed = log.clone();
    let on = On::new().close(move |_, c| closed.add(c.to_string()));
    lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
    lp.run().unwrap();
    let text = log.lines().remove(0);
    assert!(text.contains("the peer does not speak TLS (ERR_SSL_WRONG_VERSION_NUMBER"), "{text}");
    assert!(plain.join().unwrap().ends_with(&DECODE_ERROR));
}

#[test]
fn b24_silent_and_slow_clients_meet_the_deadline() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let ends = Ends::default();
    let options = ListenOptions::new("127.0.0.1:0")
        .handshake_timeout(Duration::from_millis(60))
        .max_connections(2, tidegate::net::AtLimit::Drop)
        .filter(tls.clone());
    let server = lp.serve(options, Echo(ends.clone())).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let _silent = client(at);
    let (slow, hello) = hello(&ca, at);
    turn_until(&mut lp, |_| tls.stats().under_way == 2);
    // They count as connections.
    let dropped = client(at);
    turn_until(&mut lp, |lp| lp.server(server).stats().unwrap().dropped == 1);
    drop(dropped);
    let mut drops = hello.chunks(1);
    turn_until(&mut lp, |lp| {
        if let Some(byte) = drops.next() {
            // Dripping does not help.
            let _ = (&slow.tcp).write(byte);
        }
        lp.cx().after(Duration::from_millis(5), |_| {});
        ends.len() == 2
    });
    assert_eq!(ends.lines(), ["refused: Handshake -"; 2]);
    assert_eq!(tls.stats().under_way, 0);
}

/// A good record and a bad one in the same segment: what is good is delivered, then it is an error.
#[test]
fn b17_what_came_before_a_bad_record_is_delivered() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let log = Log::default();
        let seen = log.clone();
        let options = ListenOptions::new("127.0.0.1:0").filter(tls);
        let server = lp.listen(options, move |conn| {
            let on = On::with(seen.clone())
                .data(|log, s, chunk| {
                    log.add(String::from_utf8_lossy(chunk));
                    if chunk == b"first" {
                        assert_eq!(s.write("x"), Flow::Ready);
                    }
                })
                .close(|log, _, close| log.add(close.reason.error().unwrap().code().unwrap()));
            conn.accept(on);
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        let config = client_config(&ca, of, &[]);
        let alert = beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            peer.send(b"first").unwrap();
            peer.receive(1).unwrap();
            let mut records = peer.records(b"good");
            let bad = peer.records(b"bad").len();
            records.extend([23, 3, 3, 0, bad as u8]);
            records.extend(vec![0; bad]);
            write_all(&peer.tcp, &records);
            peer.receive(1).unwrap_err().to_string()
        });
        assert!(alert.contains("BadRecordMac"), "{of}: {alert}");
        turn_until(&mut lp, |_| log.lines().len() == 3);
        let code = "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC";
        assert_eq!(log.lines(), ["first", "good", code], "{of}");
    }
}
