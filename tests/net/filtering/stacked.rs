//! Two filters on a connection: a header that is out of the way once it was read, and a lock
//! over it.

use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{AdoptOptions, PeerState};
use tidegate::prelude::*;

use super::{Lock, Proxy, locked};
use crate::support::*;

fn server_options() -> ListenOptions {
    ListenOptions::new("127.0.0.1:0").filter(Proxy::server).filter(|| Lock::server(7))
}

/// Everything that a client sends, cut at every byte: the same is delivered, in the same order.
#[test]
fn every_cut_gives_the_same() {
    let sent = [&b"\x0810.0.0.1"[..], b"HELLO", &locked(7, b"high"), &locked(7, b"water"), &[0]];
    let sent = sent.concat();
    for cut in 0..=sent.len() {
        let mut lp = guarded();
        let log = Log::default();
        let l = log.clone();
        let server = lp
            .listen(server_options(), move |mut conn| {
                conn.server(conn.server_key()).close().unwrap();
                assert!(conn.filter::<Proxy>().is_none() && conn.filter::<Lock>().is_some());
                l.add("connection");
                let (data, end, close) = (l.clone(), l.clone(), l.clone());
                conn.accept(
                    On::new()
                        .data(move |s, chunk| {
                            data.0
                                .borrow_mut()
                                .last_mut()
                                .unwrap()
                                .push_str(&String::from_utf8_lossy(chunk));
                            let _ = s.write(chunk);
                        })
                        .end(move |_| end.add("end"))
                        .close(move |_, c| close.add(c.to_string())),
                );
            })
            .unwrap();
        let c = client(lp.server(server).local_addr().unwrap());
        c.set_nodelay(true).unwrap();
        write_all(&c, &sent[..cut]);
        let seen = |lp: &mut Loop| lp.net_metrics().bytes_read == cut as u64;
        turn_until(&mut lp, seen);
        write_all(&c, &sent[cut..]);
        lp.run().unwrap();
        assert_eq!(log.lines(), ["connectionhighwater", "end", "both sides ended"], "{cut}");
        let got = read_to_end(&c);
        let (hello, mut rest) = got.split_at(5);
        let mut plain = Vec::new();
        while let Some(len) = rest.first().filter(|len| **len > 0) {
            let (record, more) = rest.split_at(1 + usize::from(*len));
            plain.extend(record[1..].iter().map(|b| b ^ 7));
            rest = more;
        }
        assert_eq!((hello, &plain[..], rest), (&b"hello"[..], &b"highwater"[..], &[0][..]));
    }
}

/// A client's and a server's stack with a peer for each, in one loop.
struct Both {
    lp: Guarded,
    client: SocketKey,
    server: SocketKey,
    log: Log,
}

fn logged(name: &'static str, log: &Log) -> On {
    let logs = [0; 4].map(|_| log.clone());
    let [data, end, finish, close] = logs;
    On::new()
        .data(move |_, chunk| data.add(format!("{name} {}", String::from_utf8_lossy(chunk))))
        .end(move |_| end.add(format!("{name} end")))
        .finish(move |_| finish.add(format!("{name} finish")))
        .close(move |_, c| close.add(format!("{name} {c}")))
}

fn both() -> Both {
    let mut lp = guarded();
    let log = Log::default();
    let keys = Rc::new(RefCell::new(Vec::new()));
    let (k, l) = (keys.clone(), log.clone());
    let server = lp
        .listen(server_options().allow_half_open(true), move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            k.borrow_mut().push(conn.accept(logged("server", &l)).key());
        })
        .unwrap();
    let options = ConnectOptions::new(lp.server(server).local_addr().unwrap())
        .allow_half_open(true)
        .filter(|| Proxy::client(b"10.0.0.1"))
        .filter(|| Lock::client(7));
    let connect = log.clone();
    let client =
        lp.connect(options, logged("client", &log).connect(move |_| connect.add("connect")));
    let _ = lp.socket(client).write("first");
    turn_until(&mut lp, |_| log.has("server first"));
    assert_eq!(log.lines(), ["connect", "server first"]);
    log.0.borrow_mut().clear();
    let server = keys.borrow()[0];
    Both { lp, client, server, log }
}

#[test]
fn each_side_ends_for_itself() {
    for client_first in [true, false] {
        let Both { mut lp, client, server, log } = both();
        let (first, then) = if client_first { (client, server) } else { (server, client) };
        let (a, b) = if client_first { ("client", "server") } else { ("server", "client") };
        let _ = lp.socket(first).end_with("last");
        turn_until(&mut lp, |_| log.has(&format!("{b} end")));
        assert_eq!(lp.socket(first).write("x"), Flow::Closed);
        let _ = lp.socket(then).write("answer");
        turn_until(&mut lp, |_| log.has(&format!("{a} answer")));
        lp.socket(then).end();
        lp.run().unwrap();
        let of = |name: &str| -> Vec<String> {
            log.lines().into_iter().filter(|l| l.starts_with(name)).collect()
        };
        let expected = ["finish", "answer", "end", "both sides ended"];
        assert_eq!(of(a), expected.map(|e| format!("{a} {e}")));
        let expected = ["last", "end", "finish", "both sides ended"];
        assert_eq!(of(b), expected.map(|e| format!("{b} {e}")));
    }
}

/// A proxy of pipes in front of the stack: plain -> lock -> plain, and back.
#[test]
fn pipes_go_through() {
    let mut lp = guarded();
    let size = 3_000_017;
    let bytes: Vec<u8> = (0..size).map(|i: usize| (i * 31 % 251) as u8).collect();
    // The far end: echoes through its stack.
    let far = lp
        .listen(server_options(), |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let mut s = conn.accept(On::new());
            let key = s.key();
            s.pipe(key, key, |_, r| r.unwrap()).unwrap();
        })
        .unwrap();
    let at = lp.server(far).local_addr().unwrap();
    let (mut peer, ours) = pair();
    let near = lp.adopt(AdoptOptions::new(ours).allow_half_open(true), On::new()).unwrap();
    let options = ConnectOptions::new(at)
        .allow_half_open(true)
        .filter(|| Proxy::client(b"10.0.0.1"))
        .filter(|| Lock::client(7));
    let through = lp.connect(options, On::new());
    lp.pipe(near, through, |_, r| r.unwrap()).unwrap();
    lp.pipe(through, near, |_, r| r.unwrap()).unwrap();
    let sent = bytes.clone();
    let writer = peer.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        write_all(&writer, &sent);
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        std::io::Read::read_to_end(&mut peer, &mut got).unwrap();
        got
    });
    lp.run().unwrap();
    writer.join().unwrap();
    assert!(reader.join().unwrap() == bytes);
    assert_eq!(lp.net_metrics().held, 0);
}

/// When the last filter has left, the connection is plain, and nothing is counted beside it.
#[test]
fn a_filter_that_leaves_leaves_a_plain_connection() {
    let mut lp = guarded();
    let log = Log::default();
    let (peer, ours): (TcpStream, _) = pair();
    let on = logged("it", &log);
    let key = lp.adopt(ours, on).unwrap();
    lp.socket(key).set_filter(Proxy::server());
    let _ = lp.socket(key).write("answer");
    write_all(&peer, b"\x03abchigh");
    turn_until(&mut lp, |_| log.has("it high"));
    write_all(&peer, b"water");
    turn_until(&mut lp, |_| log.has("it water"));
    assert!(lp.socket(key).filter::<Proxy>().is_none());
    let _ = lp.socket(key).write("more");
    assert_eq!(lp.socket(key).memory_held(), 0);
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&peer), b"answermore");
}

/// STARTTLS: the filter is put on an open connection, in a callback; what comes after goes
/// through it, also what is there already.
#[test]
fn a_filter_on_an_open_connection_is_told_ready() {
    let mut lp = guarded();
    let log = Log::default();
    let (data, ready) = (log.clone(), log.clone());
    let on = On::new()
        .data(move |s, chunk| {
            data.add(String::from_utf8_lossy(chunk));
            if chunk == b"STARTTLS" {
                let _ = s.write("go");
                s.set_filter(Lock::server(7));
                assert_eq!(s.write("secret"), Flow::Ready);
            }
        })
        .ready(move |_| ready.add("ready"));
    let (peer, ours) = pair();
    let key = lp.adopt(ours, on).unwrap();
    write_all(&peer, b"STARTTLS");
    turn_until(&mut lp, |_| log.has("STARTTLS"));
    write_all(&peer, &[&b"HELLO"[..], &locked(7, b"tide"), &[0]].concat());
    turn_until(&mut lp, |lp| lp.socket(key).peer_state() != PeerState::Open || log.has("tide"));
    drop_after(&mut lp);
    let expected = [&b"gohello"[..], &locked(7, b"secret"), &[0]].concat();
    assert_eq!(read_to_end(&peer), expected);
    assert_eq!(log.lines(), ["STARTTLS", "ready", "tide"]);
}

fn drop_after(lp: &mut Loop) {
    lp.timer(Duration::from_millis(1), |cx, _| cx.stop());
    lp.run().unwrap();
}
