//! The end or the reset of a peer while reading is paused: `on_hangup`, once for each.

use std::cell::Cell;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::{Framed, Lines, PeerState, Protocol};
use tidegate::prelude::*;

use crate::support::*;

/// Logs what comes.
pub(super) fn told(log: &Log) -> On {
    let (a, b, c, d) = (log.clone(), log.clone(), log.clone(), log.clone());
    On::new()
        .data(move |_, chunk| a.add(format!("data {}", chunk.len())))
        .hangup(move |_, peer| b.add(format!("hangup {peer:?}")))
        .end(move |_| c.add("end"))
        .close(move |_, close| {
            d.add(match close.reason {
                Reason::Failed(e) => format!("close at {}", e.stage()),
                reason => format!("close {reason}"),
            })
        })
}

/// A server with one connection, which is paused from the beginning; the peer's end of it.
fn paused(lp: &mut Loop, on: On) -> (SocketKey, TcpStream) {
    accept(lp, move |conn| {
        let mut s = conn.accept(on);
        s.pause();
        s.key()
    })
}

fn accept(
    lp: &mut Loop,
    accept: impl FnOnce(Incoming<'_>) -> SocketKey + 'static,
) -> (SocketKey, TcpStream) {
    let key = Rc::new(Cell::new(None));
    let (k, mut accept) = (key.clone(), Some(accept));
    let server = lp.listen("127.0.0.1:0", move |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        k.set(Some(accept.take().unwrap()(conn)));
    });
    let c = client(lp.server(server.unwrap()).local_addr().unwrap());
    turn_until(lp, |_| key.get().is_some());
    (key.get().unwrap(), c)
}

/// Some turns more, in which nothing may come.
pub(super) fn turn(lp: &mut Loop) {
    for _ in 0..4 {
        lp.run_nowait().unwrap();
    }
}

#[test]
fn a_fin_and_then_a_reset() {
    let mut lp = guarded();
    let log = Log::default();
    let (key, c) = paused(&mut lp, told(&log));
    c.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.has("hangup Ended"));
    turn(&mut lp);
    reset(c);
    // A half-closed connection is reset when the peer gets bytes for which it has no socket.
    turn_until(&mut lp, |lp| {
        let _ = lp.socket(key).write("x");
        log.has("hangup Gone") || lp.socket(key).state().is_err()
    });
    turn(&mut lp);
    lp.socket(key).destroy();
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines[0], "hangup Ended");
    let gone = lines.iter().filter(|l| *l == "hangup Gone").count();
    assert!(gone <= 1 && lines.len() == 2 + gone, "{lines:?}");
    assert!(lines[1 + gone].starts_with("close"), "{lines:?}");
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_reset_of_a_silent_peer() {
    let mut lp = guarded();
    let log = Log::default();
    let (key, c) = paused(&mut lp, told(&log));
    reset(c);
    turn_until(&mut lp, |_| log.has("hangup Gone"));
    turn(&mut lp);
    assert!(lp.socket(key).state().is_ok(), "the handler decides");
    lp.socket(key).resume();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["hangup Gone", "close at read"]);
}

/// The bytes before the end wait in the kernel, and come after `resume`.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: an end behind unread bytes is not seen")]
fn bytes_that_wait_are_not_lost() {
    let mut lp = guarded();
    let log = Log::default();
    let (key, c) = paused(&mut lp, told(&log));
    // Both at once: poll(2) says nothing of an end behind bytes that it has reported.
    write_all(&c, b"unread");
    c.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.has("hangup Ended"));
    turn(&mut lp);
    lp.socket(key).resume();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["hangup Ended", "data 6", "end", "close both sides ended"]);
}

/// The end behind bytes that are reported already: epoll and kqueue say it.
#[test]
fn a_fin_behind_unread_bytes() {
    if cfg!(mio_unsupported_force_poll_poll) || cfg!(windows) {
        return; // see `on_hangup`
    }
    let mut lp = guarded();
    let log = Log::default();
    let (key, c) = paused(&mut lp, told(&log));
    write_all(&c, b"unread");
    turn_until(&mut lp, |lp| lp.socket(key).queues().unwrap().receive != Some(0));
    turn(&mut lp);
    assert!(log.lines().is_empty());
    c.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.has("hangup Ended"));
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["hangup Ended", "close destroyed"]);
}

/// The bytes, the end and the pause come in one dispatch.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: an end behind unread bytes is not seen")]
fn paused_by_the_last_bytes() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let on = told(&log).data(move |s, chunk| {
        l.add(format!("data {}", chunk.len()));
        s.pause();
    });
    let (key, c) = paused(&mut lp, on);
    write_all(&c, b"all");
    c.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.has("hangup Ended"));
    lp.socket(key).resume();
    turn_until(&mut lp, |_| log.has("data 3"));
    turn(&mut lp);
    assert_eq!(log.lines(), ["hangup Ended", "data 3"], "it comes once, also after a second pause");
    lp.socket(key).resume();
    lp.run().unwrap();
    assert_eq!(log.lines()[2..], ["end", "close both sides ended"]);
}

/// A connection that reads gets its end, and no hangup.
#[test]
fn not_while_bytes_flow() {
    let mut lp = guarded();
    let log = Log::default();
    let on = told(&log);
    let (_, c) = accept(&mut lp, move |conn| conn.accept(on).key());
    write_all(&c, b"tide");
    c.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["data 4", "end", "close both sides ended"]);
}

/// What a proxy does: the client is gone, so the work for it stops.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: an end behind unread bytes is not seen")]
fn a_handler_may_destroy_in_it() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let on = told(&log).hangup(move |s, peer| {
        l.add(format!("hangup {peer:?}"));
        s.destroy();
    });
    let (_, c) = paused(&mut lp, on);
    write_all(&c, b"never read");
    c.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["hangup Ended", "close destroyed"]);
}

/// Resumed by another callback before it came: the end says it all.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: an end behind unread bytes is not seen")]
fn resumed_in_a_hangup() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let on = told(&log).hangup(move |s, peer| {
        l.add(format!("hangup {peer:?}"));
        s.resume();
        let _ = s.end_with("bye");
    });
    let (_, c) = paused(&mut lp, on);
    write_all(&c, b"late");
    c.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["hangup Ended", "data 4", "end", "close both sides ended"]);
    assert_eq!(read_to_end(&c), b"bye");
}

#[test]
fn a_panic_in_it_closes_the_connection() {
    let mut lp = guarded();
    let log = Log::default();
    let on = told(&log).hangup(|_, _| std::panic::resume_unwind(Box::new("on purpose")));
    let (_, c) = paused(&mut lp, on);
    c.shutdown(Shutdown::Write).unwrap();
    let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run()));
    assert!(run.is_err());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["close a callback panicked"]);
}

/// The source of a pipe whose sink is full: its handler learns of the end, the pipe goes on.
#[test]
fn the_source_of_a_full_pipe() {
    let mut lp = guarded();
    let log = Log::default();
    // Nobody reads here, until the end.
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let to = lp.connect(slow.local_addr().unwrap(), On::new());
    let (sink, _) = slow.accept().unwrap();
    let on = told(&log);
    let (from, c) = accept(&mut lp, move |conn| conn.accept(on).key());
    let l = log.clone();
    lp.pipe(from, to, move |_, result| l.add(format!("piped {result:?}"))).unwrap();
    let sent = std::thread::spawn(move || {
        use std::io::Write;
        let all = vec![7; 8 << 20];
        (&c).write_all(&all[..]).unwrap();
        c.shutdown(Shutdown::Write).unwrap();
        c
    });
    turn_until(&mut lp, |lp| lp.socket(from).is_paused());
    sink.shutdown(Shutdown::Write).unwrap();
    let got = std::thread::spawn(move || read_to_end(&sink).len());
    lp.run().unwrap();
    let _ = sent.join();
    assert_eq!(got.join().unwrap(), 8 << 20);
    let lines = log.lines();
    let hangups = lines.iter().filter(|l| l.starts_with("hangup")).count();
    assert!(hangups <= 1 && lines.iter().any(|l| l.starts_with("piped Ok")), "{lines:?}");
}

/// The same, for certain: the sink takes nothing until the hangup came.
#[test]
fn the_paused_source_of_a_pipe() {
    let mut lp = guarded();
    let log = Log::default();
    let slow = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ConnectOptions::new(slow.local_addr().unwrap()).high_water_mark(1);
    let to = lp.connect(options, On::new());
    let (sink, _) = slow.accept().unwrap();
    let on = told(&log);
    let (from, c) = accept(&mut lp, move |conn| conn.accept(on).key());
    lp.pipe(from, to, |_, _| {}).unwrap();
    lp.socket(to).cork(); // one byte fills it
    write_all(&c, b"first");
    turn_until(&mut lp, |lp| lp.socket(from).is_paused());
    sink.shutdown(Shutdown::Write).unwrap();
    c.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.has("hangup Ended"));
    lp.socket(to).uncork();
    lp.run().unwrap();
    assert_eq!(read_to_end(&sink), b"first");
    assert_eq!(log.lines(), ["hangup Ended", "end", "close both sides ended"]);
}

/// A frame's handler has the connection paused; the one inside of it gets the hangup.
#[test]
fn through_framed() {
    let mut lp = guarded();
    let log = Log::default();
    let on = told(&log);
    let (_, c) = accept(&mut lp, move |conn| {
        let frames = on.framed(Lines::new(64), |s, _| {
            s.pause();
            Flow::Ready
        });
        conn.accept(frames).key()
    });
    write_all(&c, b"one\ntwo\n");
    c.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.has("hangup Ended"));
    lp.close_all();
    lp.run().unwrap();
}

/// What comes while the frames stop at `Full` is not said to be ready again, either.
#[test]
fn framed_passes_ready_on() {
    struct Same;
    impl tidegate::net::Filter for Same {
        fn inbound(
            &mut self,
            wire: &mut [u8],
            out: &mut tidegate::net::Passed,
        ) -> Result<(), tidegate::net::FilterError> {
            out.up.extend_from_slice(wire);
            Ok(())
        }
        fn outbound(
            &mut self,
            user: &[u8],
            out: &mut tidegate::net::Passed,
        ) -> Result<usize, tidegate::net::FilterError> {
            out.down.extend_from_slice(user);
            Ok(user.len())
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let (key, c) = accept(&mut lp, move |conn| {
        let on = On::new().ready(move |_| l.add("ready"));
        conn.accept(Framed::around(on, Lines::new(64), |_, _, _| Flow::Ready)).key()
    });
    lp.socket(key).set_filter(Same);
    turn_until(&mut lp, |_| log.has("ready"));
    drop(c);
    lp.run().unwrap();
}

#[test]
fn a_protocol_is_told() {
    static PAUSED: Protocol = Protocol::new("paused").hangup(|d, key, at, peer| {
        assert_eq!((at, peer), (3, PeerState::Ended));
        d.cx().socket(key).destroy();
    });
    let mut lp = guarded();
    let (key, c) = accept(&mut lp, |conn| {
        let mut s = conn.accept_as(&PAUSED, 3).unwrap();
        s.pause();
        s.key()
    });
    c.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert!(lp.socket(key).state().is_err());
}

/// A client's connection: nothing comes before it is made.
#[test]
fn a_client_that_paused_before_it_is_connected() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let there = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at: SocketAddr = there.local_addr().unwrap();
    let key = lp.connect(at, told(&log).connect(move |_| l.add("connect")));
    lp.socket(key).pause();
    let (peer, _) = there.accept().unwrap();
    drop(peer);
    turn_until(&mut lp, |_| log.has("hangup Ended"));
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["connect", "hangup Ended", "close destroyed"]);
}

/// The linger deadline begins with the hangup, as it does with a read end.
#[test]
fn a_linger_timeout_ends_it() {
    let mut lp = guarded();
    let log = Log::default();
    let (key, c) = paused(&mut lp, told(&log));
    lp.socket(key).set_linger_timeout(Duration::from_millis(5));
    c.shutdown(Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines()[0], "hangup Ended");
    assert!(log.lines()[1].starts_with("close connection"), "{:?}", log.lines());
}

/// The peer's whole socket is gone, and no reset says so.
#[cfg(unix)]
#[test]
fn a_unix_domain_socket_that_is_closed() {
    use std::os::unix::net::UnixStream;
    let mut lp = guarded();
    let log = Log::default();
    let path = std::env::temp_dir().join(format!("tidegate-hangup-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let l = log.clone();
    let server = lp.listen(ListenOptions::unix(&path), move |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        conn.accept(told(&l)).pause();
    });
    server.unwrap();
    let c = UnixStream::connect(&path).unwrap();
    turn_until(&mut lp, |lp| lp.net_metrics().sockets == 1);
    drop(c);
    turn_until(&mut lp, |_| !log.lines().is_empty());
    let expected = match cfg!(target_os = "linux") && !cfg!(tidegate_like_kqueue) {
        true => "hangup Gone",
        false => "hangup Ended",
    };
    assert_eq!(log.lines(), [expected]);
    lp.close_all();
    lp.run().unwrap();
    let _ = std::fs::remove_file(&path);
}
