//! A filter that fails: its last bytes reach the peer, and the connection fails with its error.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tidegate::net::{Filter, FilterError, FilterFault, Passed, Stage};
use tidegate::prelude::*;

use super::{Done, Lock};
use crate::support::*;

/// Refuses a byte 0: it answers `alert`, unless it is to be silent.
struct Strict {
    silent: bool,
}

impl Filter for Strict {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
        assert!(out.key().is_some());
        let good = wire.split(|byte| *byte == 0).next().unwrap_or_default();
        out.up.extend_from_slice(good);
        if wire.contains(&0) {
            if !self.silent {
                out.down.extend(b"alert");
            }
            let fault =
                FilterFault::new(Stage::Tls, ErrorKind::InvalidData, "EZERO", "there is a zero");
            return Err(fault.into());
        }
        Ok(())
    }

    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        out.down.extend_from_slice(user);
        Ok(user.len())
    }
}

/// A loop with a server of these, and a client; what happens is logged.
fn strict(log: &Log, silent: bool) -> (Guarded, ServerKey, TcpStream) {
    let mut lp = guarded();
    let options = ListenOptions::new("127.0.0.1:0").filter(move || Strict { silent });
    let (first, log) = (log, log.clone());
    let server = lp
        .listen(options, move |conn| {
            let (data, finish, close) = (log.clone(), log.clone(), log.clone());
            conn.accept(
                On::new()
                    .data(move |s, chunk| {
                        data.add(String::from_utf8_lossy(chunk));
                        // It has failed by then.
                        assert!(chunk != b"last" || s.write("late") == Flow::Closed);
                    })
                    .finish(move |_| finish.add("finish"))
                    .close(move |s, c| {
                        let e = c.reason.error().unwrap();
                        close.add(format!("{:?} {:?} {:?}", e.stage(), e.kind(), e.code()));
                        assert!(s.write(b"late") == Flow::Closed);
                    }),
            );
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    write_all(&c, b"good");
    turn_until(&mut lp, |_| first.has("good"));
    (lp, server, c)
}

const FAILED: &str = "Tls InvalidData Some(\"EZERO\")";

/// The peer sends on while it is refused: a plain close would reset it, and the alert is lost.
#[test]
fn its_last_bytes_arrive_although_the_peer_sends_on() {
    let log = Log::default();
    let (mut lp, server, c) = strict(&log, false);
    write_all(&c, b"\0bad");
    write_all(&c, &[1; 10_000]);
    // Not closed before the peer has seen it.
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_written == 5);
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    write_all(&c, &[1; 10_000]);
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(log.lines(), ["good"]);
    assert_eq!(read_to_end(&c), b"alert");
    drop(c);
    turn_until(&mut lp, |_| log.has(FAILED));
    assert_eq!(log.lines(), ["good", FAILED]);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

#[test]
fn a_peer_that_sends_on_for_ever_is_cut_off() {
    let log = Log::default();
    let (mut lp, server, mut c) = strict(&log, false);
    write_all(&c, b"\0");
    c.set_nonblocking(true).unwrap();
    poll_until(&mut lp, |_| {
        let _ = c.write(&[1; 4096]);
        log.has(FAILED)
    });
    assert!(lp.net_metrics().bytes_read < 256 * 1024);
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

#[test]
fn a_peer_that_stays_is_waited_for_2_s() {
    let log = Log::default();
    let (mut lp, script) = scripted();
    let options = ListenOptions::new("127.0.0.1:0").filter(|| Lock::server(7));
    struct Refused(Log);
    impl ServerHandler for Refused {
        fn on_connection(&mut self, _: Incoming<'_>) {}
        fn on_refused(&mut self, server: &mut ServerCx<'_>, close: Close) {
            self.0.add(close.reason.error().unwrap().kind().to_string());
            server.close().unwrap();
        }
    }
    let server = lp.serve(options, Refused(log.clone())).unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    write_all(&c, b"GET / HTTP/1.1\r\n");
    poll_until(&mut lp, |lp| lp.net_metrics().bytes_written == 5);
    script.advance(Duration::from_millis(1900));
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(log.lines(), [""; 0]);
    let began = Instant::now();
    script.advance(Duration::from_millis(101));
    poll_until(&mut lp, |_| !log.lines().is_empty());
    assert!(began.elapsed() < DEADLINE);
    assert_eq!(log.lines(), ["invalid data"]);
    assert_eq!(read_to_end(&c), b"alert");
    lp.run().unwrap();
}

#[test]
fn one_that_says_nothing_is_closed_at_once() {
    let log = Log::default();
    let (mut lp, server, c) = strict(&log, true);
    write_all(&c, b"\0");
    turn_until(&mut lp, |_| log.has(FAILED));
    assert_eq!(log.lines(), ["good", FAILED]);
    assert_eq!(read_to_end(&c), b"");
    lp.server(server).close().unwrap();
    lp.run().unwrap();
}

/// What came in front of the bad byte, in the same read, is delivered; then comes the error.
#[test]
fn what_it_passed_up_before_is_delivered_first() {
    for silent in [false, true] {
        let log = Log::default();
        let (mut lp, server, c) = strict(&log, silent);
        write_all(&c, b"last\0bad");
        turn_until(&mut lp, |_| log.has("last"));
        assert_eq!(read_to_end(&c), if silent { &b""[..] } else { b"alert" });
        drop(c);
        turn_until(&mut lp, |_| log.has(FAILED));
        assert_eq!(log.lines(), ["good", "last", FAILED]);
        lp.server(server).close().unwrap();
        lp.run().unwrap();
    }
}

/// A connection that is paused gets both after `resume`. Meanwhile nothing is written, and the
/// filter is not called.
#[test]
fn a_paused_connection_is_told_after_resume() {
    struct Breaks(bool);
    impl Filter for Breaks {
        fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
            assert!(!self.0);
            out.up.extend_from_slice(wire);
            Ok(())
        }
        fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
            assert!(!self.0);
            Ok(user.len())
        }
        fn poke(&mut self, out: &mut Passed) -> Done {
            assert!(!std::mem::replace(&mut self.0, true));
            out.up.extend(b"last");
            out.down.extend(b"alert");
            Err("broken".into())
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let (peer, ours) = pair();
    let on = On::with(log.clone())
        .data(|log, _, chunk| log.add(String::from_utf8_lossy(chunk)))
        .close(|log, _, close| log.add(close.reason.error().unwrap().stage().to_string()));
    let key = lp.adopt(ours, on).unwrap();
    let mut s = lp.socket(key);
    s.set_filter(Breaks(false));
    s.pause();
    s.poke_filter();
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_written == 5);
    lp.socket(key).poke_filter();
    write_all(&peer, b"unread");
    for _ in 0..5 {
        lp.run_nowait().unwrap();
    }
    assert_eq!(lp.socket(key).write("late"), Flow::Closed);
    assert_eq!(log.lines(), [""; 0]);
    lp.socket(key).resume();
    turn_until(&mut lp, |_| !log.lines().is_empty());
    assert_eq!(log.lines(), ["last"]);
    assert_eq!(read_to_end(&peer), b"alert");
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["last", "filter"]);
}
