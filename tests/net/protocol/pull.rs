//! Pull mode: the layer reads and writes itself, with `read_now` and `write_now`.

use std::io::{ErrorKind, IoSlice};
use std::net::Shutdown;
use std::thread;

use tidegate::kind::{Dispatch, LayerId};
use tidegate::net::{Protocol, Reason};
use tidegate::prelude::*;

use crate::support::*;

/// What the echo of one loop keeps: one connection.
#[derive(Default)]
pub(super) struct Echo {
    pub(super) waiting: Vec<u8>,
    ended: bool,
    readable: u32,
    writable: u32,
    pub(super) log: Log,
}

pub(super) static ECHO: LayerId<Echo> = LayerId::new(Echo::default);

pub(super) static PULL: Protocol = Protocol::new("pull echo")
    .readable(readable)
    .writable(|d, key, at| {
        d.layer(&ECHO).0.writable += 1;
        send(d, key);
        if d.layer(&ECHO).0.waiting.is_empty() {
            d.cx().socket(key).resume();
            readable(d, key, at);
        }
    })
    .data(|_, _, _, _| panic!("it reads itself"))
    .end(|_, _, _| panic!("it reads the end itself"))
    .close(|d, _, _, close| {
        let line = format!("close: {}", close.reason);
        d.layer(&ECHO).0.log.add(line);
    });

fn readable(d: &mut Dispatch<'_>, key: SocketKey, _: u64) {
    d.layer(&ECHO).0.readable += 1;
    let mut buffer = [0; 3000];
    loop {
        match d.cx().socket(key).read_now(&mut buffer) {
            Ok(0) => {
                d.layer(&ECHO).0.ended = true;
                break d.cx().socket(key).end();
            }
            Ok(n) => {
                d.layer(&ECHO).0.waiting.extend(&buffer[..n]);
                send(d, key);
                if !d.layer(&ECHO).0.waiting.is_empty() {
                    break d.cx().socket(key).pause();
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) => break d.layer(&ECHO).0.log.add(format!("read: {:?}", e.kind())),
        }
    }
}

fn send(d: &mut Dispatch<'_>, key: SocketKey) {
    let waiting = std::mem::take(&mut d.layer(&ECHO).0.waiting);
    let (a, b) = waiting.split_at(waiting.len() / 2);
    let sent = d.cx().socket(key).write_now(&[IoSlice::new(a), IoSlice::new(b)]);
    let sent = match sent {
        Ok(n) => n,
        Err(e) if e.kind() == ErrorKind::WouldBlock => 0,
        Err(e) => return d.layer(&ECHO).0.log.add(format!("write: {:?}", e.kind())),
    };
    d.layer(&ECHO).0.waiting = waiting[sent..].to_vec();
}

fn serve(lp: &mut Loop, half_open: bool) -> std::net::SocketAddr {
    let o = ListenOptions::new("127.0.0.1:0").allow_half_open(half_open);
    let server = lp
        .listen(o, |mut c| {
            c.server(c.server_key()).close().unwrap();
            c.accept_as(&PULL, 0).unwrap();
        })
        .unwrap();
    lp.server(server).local_addr().unwrap()
}

#[test]
fn a_pull_echo_echoes() {
    const LEN: usize = 20 << 20;
    for half_open in [false, true] {
        let mut lp = guarded();
        let client = client(serve(&mut lp, half_open));
        let writer = client.try_clone().unwrap();
        let sender = thread::spawn(move || {
            let all: Vec<u8> = (0..LEN).map(|i| (i / 5) as u8).collect();
            write_all(&writer, &all);
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let stalled = lp.cx().layer(&ECHO).0.log.clone();
        // Nobody reads: it comes to a halt, with one read of memory.
        turn_until(&mut lp, |lp| !lp.cx().layer(&ECHO).0.waiting.is_empty());
        let before = lp.cx().layer(&ECHO).0.readable;
        for _ in 0..20 {
            lp.run_nowait().unwrap();
        }
        assert_eq!(lp.net_metrics().held, 0);
        assert!(lp.cx().layer(&ECHO).0.readable <= before + 20);
        assert_eq!(stalled.lines(), [""; 0]);
        let reader = thread::spawn(move || read_to_end(&client));
        lp.run().unwrap();
        sender.join().unwrap();
        let got = reader.join().unwrap();
        assert_eq!(got.len(), LEN);
        assert!(got.iter().enumerate().all(|(i, b)| *b == (i / 5) as u8));
        let echo = lp.cx().layer(&ECHO).0.log.lines();
        assert_eq!(echo, ["close: both sides ended"]);
        assert!(lp.cx().layer(&ECHO).0.writable > 0 && lp.cx().layer(&ECHO).0.ended);
        let m = lp.net_metrics();
        assert_eq!((m.bytes_read, m.bytes_written), (LEN as u64, LEN as u64));
    }
}

/// What is not read is reported again in each turn, and not while it is paused.
#[test]
fn readable_comes_again_while_there_is_something() {
    static CALLS: LayerId<u32> = LayerId::new(|| 0);
    static ONE_BYTE: Protocol = Protocol::new("one byte").readable(|d, key, _| {
        let n = d.cx().socket(key).read_now(&mut [0]);
        // The last of them finds nothing.
        *d.layer(&CALLS).0 += u32::from(n.is_ok_and(|n| n == 1));
    });
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt_as(ours, &ONE_BYTE, 0).unwrap();
    write_all(&peer, b"tide");
    poll_until(&mut lp, |lp| *lp.cx().layer(&CALLS).0 == 2);
    lp.socket(key).pause();
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(*lp.cx().layer(&CALLS).0, 2);
    // Reading is possible all the same.
    assert_eq!(lp.socket(key).read_now(&mut [0; 1]).unwrap(), 1);
    lp.socket(key).resume();
    lp.run_nowait().unwrap();
    assert_eq!((*lp.cx().layer(&CALLS).0, lp.socket(key).bytes_read()), (3, 4));
    // Nothing is left: no more calls.
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(*lp.cx().layer(&CALLS).0, 3);
    lp.socket(key).destroy();
    lp.run().unwrap();
}

static QUIET: Protocol = Protocol::new("quiet").readable(|_, _, _| {}).close(|_, _, _, _| {});

fn kind<T: std::fmt::Debug>(done: std::io::Result<T>) -> ErrorKind {
    done.unwrap_err().kind()
}

#[test]
fn errors_of_reading_and_writing_now() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt_as(ours, &QUIET, 0).unwrap();
    let hello = [IoSlice::new(b"hello")];
    let mut buffer = [0; 10];
    assert_eq!(kind(lp.socket(key).read_now(&mut buffer)), ErrorKind::WouldBlock);
    assert_eq!(lp.socket(key).write_now(&[]).unwrap(), 0);
    assert_eq!(lp.socket(key).write_now(&hello).unwrap(), 5);
    lp.socket(key).cork();
    let _ = lp.socket(key).write("a");
    assert_eq!(kind(lp.socket(key).write_now(&hello)), ErrorKind::WouldBlock);
    lp.socket(key).uncork();
    lp.socket(key).end();
    assert_eq!(kind(lp.socket(key).write_now(&hello)), ErrorKind::BrokenPipe);
    assert_eq!(read_to_end(&peer), b"helloa");
    peer.shutdown(Shutdown::Write).unwrap();
    arrived(&peer);
    poll_until(&mut lp, |lp| lp.socket(key).read_now(&mut buffer).is_ok_and(|n| n == 0));
    assert_eq!(lp.socket(key).read_now(&mut buffer).unwrap(), 0);
    lp.run().unwrap();
    assert_eq!(kind(lp.socket(key).read_now(&mut buffer)), ErrorKind::NotConnected);
    assert_eq!(kind(lp.socket(key).write_now(&hello)), ErrorKind::NotConnected);
}

#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn a_reset_is_an_error_of_the_read_and_the_reason() {
    let mut lp = guarded();
    let peer = client(serve(&mut lp, false));
    let log = lp.cx().layer(&ECHO).0.log.clone();
    write_all(&peer, b"tide");
    poll_until(&mut lp, |lp| lp.net_metrics().bytes_written == 4);
    reset(peer);
    lp.run().unwrap();
    let lines = log.lines();
    assert_eq!(lines[0], "read: ConnectionReset");
    assert!(lines[1].starts_with("close: ") && lines.len() == 2, "{lines:?}");
}

/// No byte goes past a pipe.
#[test]
fn pipes_are_not_bypassed() {
    let mut lp = guarded();
    let (peer, ours) = pair();
    let (peer2, ours2) = pair();
    let key = lp.adopt_as(ours, &QUIET, 0).unwrap();
    let to = lp.adopt(ours2, On::new().close(|_, _| {})).unwrap();
    lp.pipe(key, to, |_, _| {}).unwrap();
    assert_eq!(kind(lp.socket(key).read_now(&mut [0])), ErrorKind::Unsupported);
    write_all(&peer, b"through");
    peer.shutdown(Shutdown::Write).unwrap();
    let reader = thread::spawn(move || read_to_end(&peer2));
    lp.run().unwrap();
    assert_eq!(reader.join().unwrap(), b"through");
}

/// The deadlines of a connection know the bytes that were read and written directly.
#[test]
fn deadlines_count_from_what_was_read() {
    let (mut lp, script) = scripted();
    let log = Log::default();
    let (peer, ours) = pair();
    static IDLE: Protocol = Protocol::new("idle")
        .readable(|d, key, _| {
            let _ = d.cx().socket(key).read_now(&mut [0; 64]);
        })
        .timeout(|d, key, _| {
            d.layer(&ECHO).0.log.add("timeout");
            d.cx().socket(key).time_out();
        })
        .close(|d, _, _, close| {
            assert!(matches!(close.reason, Reason::TimedOut(..)));
            d.layer(&ECHO).0.log.add("close");
        });
    lp.cx().layer(&ECHO).0.log = log.clone();
    let key = lp.adopt_as(ours, &IDLE, 0).unwrap();
    lp.socket(key).set_idle_timeout(std::time::Duration::from_secs(10));
    script.advance(std::time::Duration::from_secs(9));
    write_all(&peer, b"tide");
    poll_until(&mut lp, |lp| lp.socket(key).bytes_read() == 4);
    script.advance(std::time::Duration::from_secs(9));
    lp.run_nowait().unwrap();
    assert_eq!(log.lines(), [""; 0]);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["timeout", "close"]);
}

/// A layer reads to the end, and gives bytes back: who stands above the connection then gets them,
/// and the end behind them.
#[test]
fn bytes_given_back_behind_the_end_come_again() {
    static GIVES_BACK: Protocol = Protocol::new("gives back").readable(|d, key, _| {
        let mut buffer = [0; 100];
        let mut all = Vec::new();
        loop {
            match d.cx().socket(key).read_now(&mut buffer) {
                Ok(0) => break,
                Ok(n) => all.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    // Not all of it yet.
                    return d.cx().socket(key).unread(&all);
                }
                Err(e) => panic!("{e}"),
            }
        }
        let log = d.layer(&ECHO).0.log.clone();
        let (data, end, close) = (log.clone(), log.clone(), log);
        d.cx().socket(key).unread(&all);
        d.cx().socket(key).set_handler(
            On::new()
                .data(move |_, chunk| data.add(String::from_utf8_lossy(chunk)))
                .end(move |_| end.add("end"))
                .close(move |_, c| close.add(format!("{c}, {} bytes", c.bytes_read))),
        );
    });
    for half_open in [false, true] {
        let mut lp = guarded();
        let (peer, ours) = pair();
        let log = lp.cx().layer(&ECHO).0.log.clone();
        let trace = Trace::default();
        lp.observe(trace.clone());
        write_all(&peer, b"high water");
        peer.shutdown(Shutdown::Write).unwrap();
        let key = lp.adopt_as(ours, &GIVES_BACK, 0).unwrap();
        lp.socket(key).set_allow_half_open(half_open);
        turn_until(&mut lp, |_| log.has("end"));
        lp.socket(key).end();
        lp.run().unwrap();
        assert_eq!(log.lines(), ["high water", "end", "both sides ended, 10 bytes"]);
        use tidegate::net::{NetEvent, SocketEvent};
        let is_end = |e: &NetEvent| matches!(e, NetEvent::Socket(_, SocketEvent::End));
        assert_eq!(trace.net().iter().filter(|(_, e)| is_end(e)).count(), 1);
    }
}

/// With the bytes comes whether there may be more: not after a short read, unless the peer's end is
/// there, too. Of other pollers a short read proves nothing.
#[cfg(all(target_os = "linux", not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))))]
#[test]
fn a_read_says_whether_there_may_be_more() {
    static READS: Protocol = Protocol::new("reads").readable(|d, key, _| {
        let mut four = [0; 4];
        let line = match d.cx().socket(key).read_now_more(&mut four) {
            Ok((n, more)) => format!("{n}, {more}"),
            Err(e) => format!("{:?}", e.kind()),
        };
        d.layer(&ECHO).0.log.add(line);
    });
    let mut lp = guarded();
    let (peer, ours) = pair();
    let key = lp.adopt_as(ours, &READS, 0).unwrap();
    lp.socket(key).set_allow_half_open(true);
    let log = lp.cx().layer(&ECHO).0.log.clone();
    for _ in 0..2 {
        write_all(&peer, b"waters");
        turn_until(&mut lp, |_| log.lines().len() == 2);
        assert_eq!(log.lines(), ["4, true", "2, false"]);
        log.0.borrow_mut().clear();
    }
    write_all(&peer, b"at");
    peer.shutdown(Shutdown::Write).unwrap();
    turn_until(&mut lp, |_| log.lines().len() == 2);
    assert_eq!(log.lines(), ["2, true", "0, true"]);
    lp.close_all();
    lp.run().unwrap();
}
