//! A connection changes hands: from a handler to a protocol and back, with bytes that came
//! already (`unread`).

use std::net::Shutdown;

use tidegate::kind::LayerId;
use tidegate::net::{AdoptOptions, Protocol, Reason, Scope};
use tidegate::prelude::*;

use crate::support::*;

static LOG: LayerId<Log> = LayerId::new(Log::default);

static LINES: Protocol = Protocol::new("lines")
    .data(|d, key, at, bytes| {
        let line = format!("{at}: {}", String::from_utf8_lossy(bytes));
        d.layer(&LOG).0.add(line);
        if let Some(rest) = bytes.strip_prefix(b"upgrade ") {
            let mut cx = d.cx();
            let mut s = cx.socket(key);
            s.set_handler(logs());
            s.unread(rest);
        }
    })
    .replaced(|cx, _, at| cx.layer(&LOG).0.add(format!("{at} replaced")))
    .close(|d, _, at, _| d.layer(&LOG).0.add(format!("{at} closed")));

fn logs() -> On {
    On::new()
        .data(|s, chunk| {
            let line = format!("handler: {}", String::from_utf8_lossy(chunk));
            s.cx().layer(&LOG).0.add(line);
        })
        .end(|s| s.cx().layer(&LOG).0.add("end"))
        .close(|s, _| s.cx().layer(&LOG).0.add("closed"))
}

fn log_of(lp: &mut Loop) -> Log {
    lp.cx().layer(&LOG).0.clone()
}

#[test]
fn an_upgrade_gives_the_rest_to_the_handler() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    lp.adopt_as(ours, &LINES, 7).unwrap();
    let log = log_of(&mut lp);
    write_all(&peer, b"upgrade tide");
    turn_until(&mut lp, |_| log.has("handler: tide"));
    write_all(&peer, b"more");
    peer.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    let expected =
        ["7: upgrade tide", "7 replaced", "handler: tide", "handler: more", "end", "closed"];
    assert_eq!(log.lines(), expected);
}

#[test]
fn the_rest_comes_before_an_end_that_is_there_already() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    write_all(&peer, b"upgrade tide");
    peer.shutdown(Shutdown::Write).unwrap();
    arrived(&ours);
    lp.adopt_as(ours, &LINES, 7).unwrap();
    let log = log_of(&mut lp);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["7: upgrade tide", "7 replaced", "handler: tide", "end", "closed"]);
}

#[test]
fn a_handler_gives_its_connection_to_a_protocol() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let handler = On::new().data(|s, chunk| {
        assert!(s.set_protocol(&LINES, 3));
        s.unread(&chunk[1..]);
    });
    lp.adopt(ours, handler).unwrap();
    write_all(&peer, b"-tide");
    let log = log_of(&mut lp);
    turn_until(&mut lp, |_| log.has("3: tide"));
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["3: tide", "3 closed"]);
}

/// In order, the last first, in pieces that the buffer has room for; counted while they wait.
#[test]
fn bytes_given_back_wait_while_it_is_paused() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt(ours, logs()).unwrap();
    let log = log_of(&mut lp);
    write_all(&peer, b"four");
    let mut s = lp.socket(key);
    s.pause();
    s.unread(b"three ");
    s.unread(b"");
    s.unread(b"one two ");
    assert_eq!(s.memory_held(), 14);
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(log.lines(), [""; 0]);
    assert_eq!(lp.net_metrics().held, 14);
    lp.socket(key).resume();
    poll_until(&mut lp, |_| log.has("handler: four"));
    assert_eq!(log.lines(), ["handler: one two three ", "handler: four"]);
    assert_eq!((lp.socket(key).memory_held(), lp.socket(key).bytes_read()), (0, 4));
    drop(peer);
    lp.run().unwrap();
    lp.socket(key).unread(b"late");
    assert_eq!(lp.net_metrics().held, 0);
}

#[test]
fn bytes_given_back_have_the_limit_of_writes() {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let (log, o) = (Log::default(), AdoptOptions::new(ours).write_limit(1000));
    let close = log.clone();
    let on = On::new().close(move |_, c| match c.reason {
        Reason::WriteLimit { scope: Scope::Socket, queued: 1002, limit: 1000 } => {
            close.add("limit")
        }
        reason => close.add(reason.to_string()),
    });
    let key = lp.adopt(o, on).unwrap();
    lp.socket(key).pause();
    lp.socket(key).unread(&[0; 1001]);
    assert!(lp.socket(key).state().is_ok());
    lp.socket(key).unread(b"1");
    lp.run().unwrap();
    assert_eq!(log.lines(), ["limit"]);
}

/// A pipe that is attached gets them first.
#[test]
fn bytes_given_back_go_into_a_pipe() {
    let mut lp = guarded();
    let ((peer, ours), (peer2, ours2)) = (pair(), pair());
    let from = lp.adopt(ours, On::new().close(|_, _| {})).unwrap();
    let to = lp.adopt(ours2, On::new().close(|_, _| {})).unwrap();
    lp.socket(from).unread(b"head ");
    lp.pipe(from, to, |_, r| r.unwrap()).unwrap();
    write_all(&peer, b"body");
    peer.shutdown(Shutdown::Write).unwrap();
    peer2.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(read_to_end(&peer2), b"head body");
}

#[test]
fn nothing_is_given_back_after_the_end() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let log = log_of(&mut lp);
    let at_end = On::new().end(|s| {
        s.unread(b"late");
        assert_eq!(s.memory_held(), 0);
        s.cx().layer(&LOG).0.add("end");
    });
    lp.adopt(ours, at_end).unwrap();
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["end"]);
}

/// A connection that nobody accepted yet is its server's.
#[test]
fn a_protocol_is_refused_where_it_would_never_be_called() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt(ours, On::new()).unwrap();
    lp.socket(key).destroy();
    lp.run().unwrap();
    drop(peer);
    assert!(!lp.socket(key).set_protocol(&LINES, 1));
    let server = lp
        .listen("127.0.0.1:0", |mut c| {
            c.server(c.server_key()).close().unwrap();
            let key = c.key();
            assert!(!c.socket(key).set_protocol(&LINES, 1));
            c.reject();
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let peer = client(at);
    lp.run().unwrap();
    drop(peer);
    assert_eq!(log_of(&mut lp).lines(), [""; 0]);
}
