//! A server shuts down while connections are paused whose peers are gone: it does not wait for
//! them.

use std::time::Duration;

use tidegate::prelude::*;

use super::hangup::{told, turn};
use crate::support::*;

/// A server shuts down, and a peer is gone whose connection is paused: before that, after it, and
/// with bytes that nobody will read. No one waits for the grace.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_shutdown_does_not_wait_for_those_that_are_gone() {
    for (before, unread) in [(true, false), (true, true), (false, false), (false, true)] {
        if unread && (cfg!(mio_unsupported_force_poll_poll) || cfg!(windows)) {
            continue; // see `on_hangup`
        }
        if !before && (cfg!(tidegate_like_afd) || cfg!(windows)) {
            continue; // there it looks like an end, once our side has ended
        }
        let mut lp = guarded();
        let log = Log::default();
        let on = told(&log);
        let mut on = Some(on);
        let server = lp.listen("127.0.0.1:0", move |conn| {
            conn.accept(on.take().unwrap()).pause();
        });
        let server = server.unwrap();
        let c = client(lp.server(server).local_addr().unwrap());
        turn_until(&mut lp, |lp| lp.net_metrics().sockets == 1);
        let key = lp.server(server).connections()[0];
        if unread {
            write_all(&c, b"never read");
            turn_until(&mut lp, |lp| lp.socket(key).queues().unwrap().receive != Some(0));
        }
        if before {
            reset(c);
            turn_until(&mut lp, |_| log.has("hangup Gone"));
            turn(&mut lp);
            lp.server(server).shutdown(Duration::from_secs(3600)).unwrap();
        } else {
            lp.server(server).shutdown(Duration::from_secs(3600)).unwrap();
            turn(&mut lp);
            assert!(lp.socket(key).state().is_ok(), "the peer may still want its answer");
            reset(c);
        }
        lp.run().unwrap();
        assert_eq!(log.lines(), ["hangup Gone", "close at read"], "{before} {unread}");
    }
}

/// The same on a Unix domain socket, whose peer is gone without an error.
#[cfg(target_os = "linux")]
#[cfg_attr(tidegate_like_kqueue, ignore = "there the peer is `Ended`")]
#[test]
fn nor_for_a_unix_domain_socket_that_is_closed() {
    use std::os::unix::net::UnixStream;
    let mut lp = guarded();
    let log = Log::default();
    let path = std::env::temp_dir().join(format!("tidegate-gone-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut on = Some(told(&log));
    let server = lp.listen(ListenOptions::unix(&path), move |conn| {
        conn.accept(on.take().unwrap()).pause();
    });
    let server = server.unwrap();
    let c = UnixStream::connect(&path).unwrap();
    turn_until(&mut lp, |lp| lp.net_metrics().sockets == 1);
    drop(c);
    turn_until(&mut lp, |_| log.has("hangup Gone"));
    lp.server(server).shutdown(Duration::from_secs(3600)).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["hangup Gone", "close both sides ended"]);
    let _ = std::fs::remove_file(&path);
}

/// A pipe that reads such a connection gets what was sent before the reset.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_pipe_gets_what_was_sent_before() {
    if cfg!(mio_unsupported_force_poll_poll) || cfg!(windows) {
        return; // see `on_hangup`
    }
    let mut lp = guarded();
    let log = Log::default();
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ConnectOptions::new(slow.local_addr().unwrap()).high_water_mark(1);
    let to = lp.connect(options, On::new());
    let (sink, _) = slow.accept().unwrap();
    let mut on = Some(told(&log).shutdown(|s| s.end()));
    let server = lp.listen("127.0.0.1:0", move |conn| {
        let mut s = conn.accept(on.take().unwrap());
        let from = s.key();
        s.cx().pipe(from, to, |_, _| {}).unwrap();
    });
    let server = server.unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    turn_until(&mut lp, |lp| lp.net_metrics().sockets == 2);
    lp.socket(to).cork(); // one byte fills it
    let from = lp.server(server).connections()[0];
    write_all(&c, b"first");
    turn_until(&mut lp, |lp| lp.socket(from).is_paused());
    write_all(&c, b" second");
    turn_until(&mut lp, |lp| lp.socket(from).queues().unwrap().receive != Some(0));
    lp.server(server).shutdown(Duration::from_secs(3600)).unwrap();
    turn(&mut lp);
    reset(c);
    turn_until(&mut lp, |_| log.has("hangup Gone"));
    turn(&mut lp);
    assert_eq!(log.lines(), ["hangup Gone"]);
    lp.socket(to).uncork();
    lp.run().unwrap();
    let mut got = Vec::new();
    let _ = std::io::Read::read_to_end(&mut &sink, &mut got);
    assert_eq!(got, b"first second");
}
