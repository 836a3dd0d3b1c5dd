//! Pull mode with filters: what `read_now` gives came through them, what `write_now` takes goes
//! through them, and neither spins.

use std::io::{ErrorKind, IoSlice};
use std::net::Shutdown;
use std::thread;

use tidegate::kind::{Dispatch, LayerId};
use tidegate::net::{Filter, FilterError, Held, ListenOptions, Passed, Protocol};
use tidegate::prelude::*;

use super::pull::{ECHO, PULL};
use crate::support::*;

/// Says one byte first and is ready when it has the peer's. Then each byte is changed, and one in
/// is `times` bytes up.
struct Key {
    theirs: Option<u8>,
    times: usize,
}

fn key(times: usize) -> Key {
    Key { theirs: None, times }
}

impl Filter for Key {
    fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        out.down.push(b'k');
        Ok(())
    }
    fn inbound(&mut self, mut wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        if self.theirs.is_none() {
            self.theirs = Some(wire[0]);
            wire = &mut wire[1..];
            out.ready();
        }
        if wire.contains(&b'!') {
            out.down.extend(wire.contains(&b'?').then_some(*b"alert").iter().flatten());
            return Err("a bad byte".into());
        }
        for byte in wire.iter() {
            out.up.resize(out.up.len() + self.times, byte ^ 0x20);
        }
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        if user.contains(&b'!') {
            out.down.extend(user.contains(&b'?').then_some(*b"alert").iter().flatten());
            return Err("a bad byte".into());
        }
        out.down.extend(user.iter().map(|b| b ^ 0x20));
        Ok(user.len())
    }
}

/// Passes up whole records of 4 bytes, and takes 4 at a time.
#[derive(Default)]
struct Fours(Vec<u8>);

impl Filter for Fours {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        self.0.extend_from_slice(wire);
        let whole = self.0.len() / 4 * 4;
        out.up.extend(self.0.drain(..whole));
        Ok(())
    }
    fn inbound_end(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        out.up.append(&mut self.0);
        out.end();
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        let taken = user.len().min(4);
        out.down.extend_from_slice(&user[..taken]);
        Ok(taken)
    }
    fn held(&self) -> Held {
        Held { user: 0, wire: self.0.len() }
    }
}

/// What was called, by its name.
static CALLS: LayerId<Log> = LayerId::new(Log::default);

fn call(d: &mut Dispatch<'_>, line: impl Into<String>) {
    d.layer(&CALLS).0.add(line);
}

/// Reads nothing: the test does.
static TOLD: Protocol = Protocol::new("told")
    .ready(|d, _, _| call(d, "ready"))
    .readable(|d, _, _| call(d, "readable"))
    .writable(|d, _, _| call(d, "writable"))
    .finish(|d, _, _| call(d, "finish"))
    .close(|d, _, _, close| call(d, format!("{}", close.reason)));

/// A connection with this filter, the peer of which has sent its key.
fn keyed(lp: &mut Loop, times: usize) -> (std::net::TcpStream, SocketKey, Log) {
    let log = lp.cx().layer(&CALLS).0.clone();
    let (peer, ours) = pair();
    let conn = lp.adopt_as(ours, &TOLD, 0).unwrap();
    lp.socket(conn).set_filter(key(times));
    assert_eq!(kind(lp.socket(conn).read_now(&mut [0])), ErrorKind::WouldBlock, "not ready");
    write_all(&peer, b"K");
    poll_until(lp, |_| log.has("ready"));
    (peer, conn, log)
}

fn kind<T: std::fmt::Debug>(done: std::io::Result<T>) -> ErrorKind {
    done.unwrap_err().kind()
}

fn turns(lp: &mut Loop, n: usize) {
    for _ in 0..n {
        lp.run_nowait().unwrap();
    }
}

/// The echo of `pull.rs`, with filters that stay; the client ends with its key and its bytes in
/// one segment, or sends many.
#[test]
fn an_echo_through_filters() {
    for len in [0, 1, 5, 8 << 20] {
        let mut lp = guarded();
        let o = ListenOptions::new("127.0.0.1:0").filter(|| key(1)).filter(Fours::default);
        let server = lp
            .listen(o, |mut c| {
                c.server(c.server_key()).close().unwrap();
                c.accept_as(&PULL, 0).unwrap();
            })
            .unwrap();
        let client = client(lp.server(server).local_addr().unwrap());
        let writer = client.try_clone().unwrap();
        let all: Vec<u8> = (0..len).map(|i| (i / 5) as u8 | 0x80).collect();
        let sent = all.clone();
        let sender = thread::spawn(move || {
            write_all(&writer, &[&b"K"[..], &all].concat());
            writer.shutdown(Shutdown::Write).unwrap();
        });
        if len > 1 << 20 {
            // Nobody reads: it comes to a halt with little memory.
            turn_until(&mut lp, |lp| !lp.cx().layer(&ECHO).0.waiting.is_empty());
            turns(&mut lp, 20);
            let m = lp.net_metrics();
            assert!(m.held <= 256 << 10, "{} bytes are held", m.held);
        }
        let reader = thread::spawn(move || read_to_end(&client));
        lp.run().unwrap();
        sender.join().unwrap();
        assert_eq!(lp.cx().layer(&ECHO).0.log.lines(), ["close: both sides ended"]);
        assert!(reader.join().unwrap() == [&b"k"[..], &sent].concat());
        let m = lp.net_metrics();
        assert_eq!((m.bytes_read, m.bytes_written), (len as u64 + 1, len as u64 + 1));
    }
}

/// What one call has no room for waits for the next, also while it is paused; and after what was
/// given back.
#[test]
fn what_does_not_fit_waits() {
    let mut lp = guarded();
    let (peer, conn, log) = keyed(&mut lp, 100);
    write_all(&peer, b"AB");
    poll_until(&mut lp, |lp| lp.socket(conn).read_now(&mut [0; 60]).is_ok());
    assert_eq!(lp.net_metrics().held, 140);
    lp.socket(conn).pause();
    turns(&mut lp, 3);
    let before = log.lines().len();
    turns(&mut lp, 3);
    assert_eq!(log.lines().len(), before, "nobody is called while it is paused");
    let mut buffer = [0; 60];
    assert_eq!(lp.socket(conn).read_now(&mut buffer).unwrap(), 60);
    assert_eq!((buffer[39], buffer[40]), (b'a', b'b'));
    lp.socket(conn).unread(&buffer[30..]);
    assert_eq!(lp.net_metrics().held, 110);
    assert_eq!(lp.socket(conn).read_now(&mut buffer).unwrap(), 30);
    assert_eq!((buffer[9], buffer[10]), (b'a', b'b'));
    // It is called again in each turn, and not when nothing is left.
    lp.socket(conn).resume();
    lp.run_nowait().unwrap();
    lp.run_nowait().unwrap();
    assert_eq!(log.lines().len(), before + 2);
    assert_eq!(lp.socket(conn).read_now(&mut [0; 200]).unwrap(), 80);
    assert_eq!(kind(lp.socket(conn).read_now(&mut [0; 200])), ErrorKind::WouldBlock);
    turns(&mut lp, 2);
    let before = log.lines().len();
    turns(&mut lp, 5);
    assert_eq!((log.lines().len(), lp.net_metrics().held), (before, 0));
    lp.socket(conn).destroy();
    lp.run().unwrap();
}

/// A handler that takes over gets what waits.
#[test]
fn a_handler_gets_the_rest() {
    let mut lp = guarded();
    let (peer, conn, log) = keyed(&mut lp, 3);
    write_all(&peer, b"ABC");
    peer.shutdown(Shutdown::Write).unwrap();
    let mut buffer = [0; 4];
    poll_until(&mut lp, |lp| lp.socket(conn).read_now(&mut buffer).is_ok());
    assert_eq!(&buffer, b"aaab");
    lp.socket(conn).unread(b"<");
    let (a, b) = (log.clone(), log.clone());
    let on = On::new().data(move |_, chunk| a.add(String::from_utf8_lossy(chunk)));
    lp.socket(conn).set_handler(on.close(move |_, close| b.add(close.to_string())));
    lp.run().unwrap();
    let got: Vec<_> = log.lines().into_iter().filter(|l| !l.contains("rea")).collect();
    assert_eq!(got[..2].concat(), "<bbccc");
    assert!(got[2].contains("ended"), "{got:?}");
}

/// Half a record, and a peer's end that a filter keeps: nothing to read, and no calls.
#[test]
fn nothing_to_read_is_no_reason_to_call() {
    /// Gives the end when it is poked.
    struct Later;
    impl Filter for Later {
        fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
            out.up.extend_from_slice(wire);
            Ok(())
        }
        fn inbound_end(&mut self, _: &mut Passed) -> Result<(), FilterError> {
            Ok(())
        }
        fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
            out.down.extend_from_slice(user);
            Ok(user.len())
        }
        fn poke(&mut self, out: &mut Passed) -> Result<(), FilterError> {
            out.end();
            Ok(())
        }
    }
    let mut lp = guarded();
    let log = lp.cx().layer(&CALLS).0.clone();
    let (peer, ours) = pair();
    let conn = lp.adopt_as(ours, &TOLD, 0).unwrap();
    lp.socket(conn).set_filter(Fours::default());
    lp.socket(conn).set_filter(Later);
    let mut buffer = [0; 64];
    write_all(&peer, b"tid");
    poll_until(&mut lp, |lp| {
        assert_eq!(kind(lp.socket(conn).read_now(&mut buffer)), ErrorKind::WouldBlock);
        lp.socket(conn).bytes_read() == 3
    });
    turns(&mut lp, 2);
    let before = log.lines().len();
    turns(&mut lp, 5);
    assert_eq!(log.lines().len(), before);
    write_all(&peer, b"e");
    peer.shutdown(Shutdown::Write).unwrap();
    poll_until(&mut lp, |lp| lp.socket(conn).read_now(&mut buffer).is_ok_and(|n| n == 4));
    assert_eq!(kind(lp.socket(conn).read_now(&mut buffer)), ErrorKind::WouldBlock);
    for _ in 0..5 {
        lp.run_nowait().unwrap();
        assert_eq!(kind(lp.socket(conn).read_now(&mut buffer)), ErrorKind::WouldBlock);
    }
    let before = log.lines().len();
    turns(&mut lp, 5);
    assert_eq!(log.lines().len(), before);
    lp.socket(conn).poke_filter();
    turns(&mut lp, 2);
    assert_eq!(log.lines()[before..], ["readable", "readable"]);
    assert_eq!(lp.socket(conn).read_now(&mut buffer).unwrap(), 0);
    assert_eq!(lp.socket(conn).read_now(&mut buffer).unwrap(), 0);
    lp.run().unwrap();
    assert_eq!(log.lines()[before + 2..], ["finish", "both sides ended"]);
}

/// Not before the filter is ready, not past a cork, and told when it may be tried again.
#[test]
fn writes_wait_for_the_filter() {
    let mut lp = guarded();
    let log = lp.cx().layer(&CALLS).0.clone();
    let (peer, ours) = pair();
    let conn = lp.adopt_as(ours, &TOLD, 0).unwrap();
    lp.socket(conn).set_filter(key(1));
    let pieces = [IoSlice::new(b"hi"), IoSlice::new(b""), IoSlice::new(b"gh")];
    assert_eq!(kind(lp.socket(conn).write_now(&pieces)), ErrorKind::WouldBlock);
    turns(&mut lp, 3);
    assert_eq!(log.lines(), [""; 0]);
    write_all(&peer, b"K");
    poll_until(&mut lp, |_| log.has("writable"));
    // Where a short read does not show that there is no more, it is readable, too.
    let lines = log.lines();
    let lines: Vec<_> = lines.iter().filter(|line| *line != "readable").collect();
    assert_eq!(lines[..2], ["ready", "writable"]);
    assert_eq!(lp.socket(conn).write_now(&pieces).unwrap(), 4);
    lp.socket(conn).cork();
    let _ = lp.socket(conn).write("-");
    assert_eq!(kind(lp.socket(conn).write_now(&pieces)), ErrorKind::WouldBlock);
    lp.socket(conn).uncork();
    assert_eq!(lp.socket(conn).write_now(&pieces[..1]).unwrap(), 2);
    lp.socket(conn).end();
    assert_eq!(kind(lp.socket(conn).write_now(&pieces)), ErrorKind::BrokenPipe);
    assert_eq!(read_to_end(&peer), b"kHIGH\x0dHI");
    lp.socket(conn).destroy();
    lp.run().unwrap();
}

/// It takes what the kernel has room for and little more, and says when there is more room.
#[test]
fn a_peer_that_does_not_read() {
    let mut lp = guarded();
    let (peer, conn, log) = keyed(&mut lp, 1);
    let data = vec![b'a'; 1 << 20];
    let mut sent = 0;
    loop {
        match lp.socket(conn).write_now(&[IoSlice::new(&data)]) {
            Ok(n) => sent += n,
            Err(e) => break assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
    }
    let m = lp.net_metrics();
    assert!(sent > 16 << 10 && m.queued <= 16 << 10 && m.held <= 64 << 10, "{sent} {m:?}");
    turns(&mut lp, 5);
    assert!(!log.has("writable"));
    let reader = thread::spawn(move || read_to_end(&peer));
    turn_until(&mut lp, |_| log.has("writable"));
    assert_eq!(lp.net_metrics().queued, 0);
    let rest = lp.socket(conn).write_now(&[IoSlice::new(b"z")]).unwrap();
    lp.socket(conn).end();
    turn_until(&mut lp, |_| log.has("finish"));
    assert_eq!(reader.join().unwrap().len(), 1 + sent + rest);
    lp.socket(conn).destroy();
    lp.run().unwrap();
}

/// An error of a filter is that of the call, and the connection's; with a last message, too.
#[test]
fn errors_of_filters() {
    for (reads, bad) in [(true, b"a!"), (false, b"a!"), (true, b"?!"), (false, b"?!")] {
        let mut lp = guarded();
        let (peer, conn, log) = keyed(&mut lp, 1);
        let failed = if reads {
            write_all(&peer, bad);
            let mut told = ErrorKind::WouldBlock;
            poll_until(&mut lp, |lp| {
                told = kind(lp.socket(conn).read_now(&mut [0; 9]));
                told != ErrorKind::WouldBlock
            });
            told
        } else {
            kind(lp.socket(conn).write_now(&[IoSlice::new(bad)]))
        };
        assert_eq!(failed, ErrorKind::InvalidData);
        if bad == b"?!" {
            assert_eq!(kind(lp.socket(conn).read_now(&mut [0; 9])), ErrorKind::InvalidData);
            let hello = [IoSlice::new(b"hello")];
            assert_eq!(kind(lp.socket(conn).write_now(&hello)), ErrorKind::InvalidData);
            peer.shutdown(Shutdown::Write).unwrap();
        }
        lp.run().unwrap();
        assert_eq!(kind(lp.socket(conn).read_now(&mut [0; 9])), ErrorKind::NotConnected);
        assert!(log.lines().last().unwrap().contains("a bad byte"), "{:?}", log.lines());
    }
}

/// Bytes wait that the protocol does not read yet: room for its own is noticed all the same. Also
/// without filters.
#[test]
#[cfg_attr(tidegate_under_wine, ignore = "Wine: a reset reads as an end")]
fn room_is_noticed_while_bytes_wait() {
    let mut lp = guarded();
    let log = lp.cx().layer(&CALLS).0.clone();
    let (peer, ours) = pair();
    write_all(&peer, b"unread");
    let conn = lp.adopt_as(ours, &TOLD, 0).unwrap();
    let data = vec![b'a'; 1 << 20];
    while lp.socket(conn).write_now(&[IoSlice::new(&data)]).is_ok() {}
    turns(&mut lp, 5);
    assert!(!log.has("writable"));
    // Closing with unread bytes resets the connection.
    let reader = thread::spawn(move || std::io::copy(&mut &peer, &mut std::io::sink()).is_err());
    turn_until(&mut lp, |_| log.has("writable"));
    lp.socket(conn).destroy();
    lp.run().unwrap();
    assert!(reader.join().unwrap());
}
