//! Nothing that a filter keeps is outside of the limits.

use std::cell::Cell;
use std::net::TcpStream;
use std::rc::Rc;

use tidegate::net::{AdoptOptions, Filter, FilterError, Held, Passed, Reason, Scope};
use tidegate::prelude::*;

use super::Done;
use crate::support::*;

/// Keeps what the user writes, up to a number of bytes, and says so.
struct Keeps {
    most: usize,
    kept: Vec<u8>,
}

impl Filter for Keeps {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
        out.down.append(&mut self.kept);
        out.up.extend_from_slice(wire);
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        let n = user.len().min(self.most - self.kept.len());
        self.kept.extend_from_slice(&user[..n]);
        Ok(n)
    }
    fn close(&mut self, out: &mut Passed) -> Done {
        out.down.append(&mut self.kept);
        Ok(())
    }
    fn held(&self) -> Held {
        Held { user: self.kept.len(), wire: 0 }
    }
}

fn keeps(most: usize) -> Keeps {
    Keeps { most, kept: Vec::new() }
}

fn open(lp: &mut Loop, limit: usize, on: On, filter: impl Filter) -> (SocketKey, TcpStream) {
    let (peer, ours) = pair();
    let key = lp.adopt(AdoptOptions::new(ours).write_limit(limit), on).unwrap();
    lp.socket(key).set_filter(filter);
    (key, peer)
}

fn closes(log: &Log) -> On {
    let log = log.clone();
    On::new().close(move |_, c| log.add(format!("{c}, {:?}", c.reset)))
}

#[test]
fn a_filter_that_holds_64_mib_is_full_and_then_closed_by_the_limit() {
    for most in [usize::MAX, 100_000] {
        let mut lp = guarded();
        let log = Log::default();
        let (key, _peer) = open(&mut lp, 1 << 20, closes(&log), keeps(most));
        let piece = vec![1; 16 * 1024];
        let (mut full, mut written) = (0, 0);
        loop {
            match lp.socket(key).write(&piece[..]) {
                Flow::Ready => assert_eq!(full, 0),
                Flow::Full => full += 1,
                Flow::Closed => break,
            }
            written += piece.len();
            assert_eq!(lp.socket(key).buffered(), written);
            assert!(lp.net_metrics().held >= written);
        }
        // The high-water mark is 64 KiB; beyond the limit comes the end.
        assert_eq!((full, written), (written / piece.len() - 3, (1 << 20) + piece.len()));
        lp.run().unwrap();
        let lines = log.lines();
        assert!(lines[0].contains("write_limit is 1048576"), "{lines:?}");
        assert!(lines[0].contains(&format!("({written} bytes unsent), Sent")), "{lines:?}");
        assert_eq!((lp.net_metrics().held, lp.net_metrics().unsent), (0, written as u64));
    }
}

/// The same as above, for one write of 64 MiB at once.
#[test]
fn one_large_write_is_full_and_the_next_is_the_end() {
    let mut lp = guarded();
    let log = Log::default();
    let (key, _peer) = open(&mut lp, 1 << 20, closes(&log), keeps(usize::MAX));
    assert_eq!(lp.socket(key).write(vec![1; 64 << 20]), Flow::Full);
    assert_eq!(lp.net_metrics().held, 64 << 20);
    assert_eq!(lp.socket(key).write("x"), Flow::Closed);
    lp.run().unwrap();
    assert!(log.lines()[0].contains("(67108864 bytes unsent)"), "{:?}", log.lines());
}

/// Drain comes when what was kept is out, once.
#[test]
fn full_by_what_is_kept_drains() {
    for most in [usize::MAX, 1000] {
        let mut lp = guarded();
        let drains = Rc::new(Cell::new(0));
        let d = drains.clone();
        let ids = Log::default();
        let written = ids.clone();
        let on = On::new()
            .written(move |_, id, result| {
                result.unwrap();
                written.add(id.to_string());
            })
            .drain(move |s| {
                // A filter may go on holding less than the high-water mark.
                assert!(s.buffered() < 1000);
                d.set(d.get() + 1);
            });
        let (key, peer) = open(&mut lp, 1 << 20, on, keeps(most));
        assert_eq!(lp.socket(key).write_id(vec![1; 64 * 1024], 1), Flow::Full);
        for _ in 0..5 {
            lp.run_nowait().unwrap();
        }
        assert_eq!((drains.get(), ids.lines().len()), (0, 0));
        let mut got = 0;
        while got < 64 * 1024 {
            // Each byte of the peer's lets it go on.
            write_all(&peer, b"x");
            let before = lp.socket(key).bytes_written();
            turn_until(&mut lp, |lp| lp.socket(key).bytes_written() > before);
            got = lp.socket(key).bytes_written();
        }
        turn_until(&mut lp, |_| drains.get() == 1);
        assert_eq!(ids.lines(), ["1"]);
        assert_eq!(lp.net_metrics().held, 0);
        lp.socket(key).end();
        lp.run_nowait().unwrap();
        drop(peer);
        lp.run().unwrap();
    }
}

/// What is kept at the end goes out by `close`.
#[test]
fn close_lets_out_what_is_kept() {
    let mut lp = guarded();
    let log = Log::default();
    let (key, peer) = open(&mut lp, 1 << 20, closes(&log), keeps(usize::MAX));
    let _ = lp.socket(key).write_id("tide", 1);
    lp.socket(key).end();
    assert_eq!(read_to_end(&peer), b"tide");
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["both sides ended, No"]);
}

/// Makes many bytes of each.
struct Grows {
    up: usize,
    wire: usize,
    kept: usize,
}

impl Filter for Grows {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
        out.up.resize(wire.len() * self.up, 1);
        self.kept += wire.len() * self.wire;
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
        Ok(user.len())
    }
    fn held(&self) -> Held {
        Held { user: 0, wire: self.kept }
    }
}

#[test]
fn what_a_filter_passes_up_or_keeps_of_the_peer_has_a_bound() {
    for filter in [Grows { up: 2 << 20, wire: 0, kept: 0 }, Grows { up: 0, wire: 2 << 20, kept: 0 }]
    {
        let mut lp = guarded();
        let log = Log::default();
        let (_, peer) = open(&mut lp, 1 << 20, closes(&log), filter);
        write_all(&peer, b"x");
        lp.run().unwrap();
        assert_eq!(log.lines(), ["2097152 bytes were queued, write_limit is 1048576, Sent"]);
        assert_eq!(lp.net_metrics().held, 0);
    }
}

/// A filter that is never ready cannot collect without end.
#[test]
fn early_bytes_have_a_bound() {
    struct Never;
    impl Filter for Never {
        fn start(&mut self, _: &mut Passed) -> Done {
            Ok(())
        }
        fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Done {
            out.up.extend_from_slice(wire);
            Ok(())
        }
        fn outbound(&mut self, _: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
            unreachable!()
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let (_, peer) = open(&mut lp, 1 << 20, closes(&log), Never);
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        (&peer).write_all(&vec![1; 64 << 20]).is_err()
    });
    lp.run().unwrap();
    assert!(writer.join().unwrap());
    assert!(log.lines()[0].contains("write_limit is 1048576"), "{:?}", log.lines());
}

/// What was received does not count against what may be written.
#[test]
fn received_bytes_refuse_no_write() {
    let mut lp = guarded();
    let log = Log::default();
    let filter = Grows { up: 0, wire: 60 * 1024, kept: 0 };
    let (key, peer) = open(&mut lp, 16 * 1024, closes(&log), filter);
    write_all(&peer, b"x");
    turn_until(&mut lp, |lp| lp.socket(key).memory_held() == 60 * 1024);
    for _ in 0..3 {
        assert_eq!(lp.socket(key).write("tide"), Flow::Ready);
    }
    lp.socket(key).destroy();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["destroyed, No"]);
}

/// The loop's limit sees what filters keep.
#[test]
fn the_limit_of_the_loop_counts_what_is_kept() {
    let mut lp =
        guard(Loop::builder().limits(NetLimits::new().buffered_limit(1 << 20)).build().unwrap());
    let log = Log::default();
    let scope = log.clone();
    let on = On::new().close(move |_, c| match c.reason {
        Reason::WriteLimit { scope: Scope::Loop, .. } => scope.add(c.unsent.to_string()),
        _ => panic!("{c}"),
    });
    let (a, _pa) = open(&mut lp, 64 << 20, on, keeps(usize::MAX));
    let (b, _pb) = open(&mut lp, 64 << 20, closes(&log), keeps(usize::MAX));
    assert_eq!(lp.socket(a).write(vec![1; 1 << 20]), Flow::Full);
    assert_eq!(lp.socket(b).write("x"), Flow::Ready);
    assert_eq!(lp.socket(b).write("x"), Flow::Full);
    lp.run_nowait().unwrap();
    assert_eq!(log.lines(), ["1048576"]);
    assert_eq!(lp.net_metrics().held, 2);
    lp.socket(b).destroy();
    lp.run().unwrap();
}

/// Bytes that a filter kept when it failed did not go out, although its last message does.
#[test]
fn what_a_failed_filter_kept_is_lost() {
    /// Keeps what is written, and fails at the first byte of the peer's.
    #[derive(Default)]
    struct Safe(usize);
    impl Filter for Safe {
        fn inbound(&mut self, _: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
            self.0 = 0;
            out.down.extend(b"alert");
            Err("broken into".into())
        }
        fn outbound(&mut self, user: &[u8], _: &mut Passed) -> Result<usize, FilterError> {
            self.0 += user.len();
            Ok(user.len())
        }
        fn held(&self) -> Held {
            Held { user: self.0, wire: 0 }
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let (peer, ours) = pair();
    let on = On::with(log.clone())
        .written(|log, _, id, result| log.add(format!("{id}: {}", result.is_ok())))
        .close(|log, _, close| log.add(format!("{}", close.reason.is_error())));
    let key = lp.adopt(ours, on).unwrap();
    lp.socket(key).set_filter(Safe::default());
    assert_eq!(lp.socket(key).write_id("gold", 7), Flow::Ready);
    write_all(&peer, b"?");
    turn_until(&mut lp, |lp| lp.net_metrics().bytes_written == 5);
    assert_eq!(log.lines(), [""; 0]);
    assert_eq!(read_to_end(&peer), b"alert");
    drop(peer);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["7: false", "true"]);
}
