//! Back-pressure: the high-water mark is that of the records, a pause is exact, and memory is
//! bounded whatever is sent.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;

use tidegate::prelude::*;
use tidegate::tls::TlsVersion;

use crate::peer::*;
use crate::support::*;
use crate::{echo, ours, tide};

/// Random enough, and the same each time.
struct Cuts(u32);

impl Cuts {
    fn next(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        1 + self.0 as usize % most
    }
}

fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// 24 MiB, cut anyhow.
#[test]
fn b08_a_long_echo_with_random_cuts_is_bounded() {
    long_echo(24);
}

/// 1 GiB: some seconds in a release build, by `--release -- --ignored b08_1_gib`.
#[test]
#[ignore = "it takes long in a debug build"]
fn b08_1_gib_with_random_cuts_is_bounded() {
    long_echo(1024);
}

/// The most memory that this process had, in KiB, where the system tells. Other tests of this
/// process count.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// So many MiB, in pieces cut anyhow, come back in order; what waits on our side never exceeds one
/// mark and one read.
fn long_echo(mib: usize) {
    let total = mib << 20;
    let (ca, tls) = tide();
    let mut lp = guarded();
    let (server, at) = echo(&mut lp, &tls);
    let (sent, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    // The client of ours writes in random pieces, as long as it may, and checks what comes back.
    let mut cuts = Cuts(7);
    let mut fill = move |s: &mut SocketCx<'_>, sent: &Cell<usize>| {
        let mut piece = Vec::new();
        while sent.get() < total {
            let len = cuts.next(50_000).min(total - sent.get());
            piece.clear();
            piece.extend((sent.get()..sent.get() + len).map(byte));
            sent.set(sent.get() + len);
            if s.write(&piece[..]) != Flow::Ready {
                return;
            }
        }
    };
    let fill = Rc::new(RefCell::new(move |s: &mut SocketCx<'_>, sent: &Cell<usize>| fill(s, sent)));
    let (on_connect, on_drain) = (fill.clone(), fill);
    let (first, again, mut got) = (sent.clone(), sent.clone(), 0);
    let watched = most.clone();
    let on = On::new()
        .connect(move |s| (on_connect.borrow_mut())(s, &first))
        .drain(move |s| (on_drain.borrow_mut())(s, &again))
        .data(move |s, chunk| {
            assert!(chunk.iter().enumerate().all(|(i, b)| *b == byte(got + i)), "at {got}");
            got += chunk.len();
            let m = s.net_metrics();
            watched.set(m.held.max(watched.get()));
            if got == total {
                s.end();
                s.server(server).close().unwrap();
            }
        });
    lp.connect(ConnectOptions::new(at).filter(ours(&ca)), on);
    let before = memory().filter(|_| mib >= 1024);
    lp.run().unwrap();
    assert_eq!(sent.get(), total);
    // Two connections: each a mark, the last write beyond it, and the loop's read that was echoed.
    assert!(most.get() < 512 * 1024, "{} bytes were held", most.get());
    if let (Some(before), Some(after)) = (before, memory()) {
        // The process's: both ends, their queues, and what the allocator keeps.
        // The kernel's counters are approximate.
        let grown = after.saturating_sub(before);
        assert!(grown < 8192, "it grew by {grown} KiB");
        println!("{mib} MiB: the process grew by {grown} KiB");
    }
    println!("{mib} MiB: at most {} bytes held", most.get());
}

#[test]
fn b09_a_pause_is_exact() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (chunks, bytes) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (count, sum) = (chunks.clone(), bytes.clone());
        let key = Rc::new(Cell::new(None));
        let here = key.clone();
        let options = ListenOptions::new("127.0.0.1:0").filter(tls.clone());
        let server = lp.listen(options, move |conn| {
            let (count, sum) = (count.clone(), sum.clone());
            let s = conn.accept(On::new().data(move |s, chunk| {
                count.set(count.get() + 1);
                sum.set(sum.get() + chunk.len());
                s.pause();
            }));
            here.set(Some(s.key()));
        });
        let at = lp.server(server.unwrap()).local_addr().unwrap();
        let config = client_config(&ca, of, &[]);
        let total = 8 << 20;
        let sender = std::thread::spawn(move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            peer.conn.set_buffer_limit(None);
            peer.send(&vec![1; total]).unwrap();
            peer.end().unwrap();
            let _ = peer.receive(1);
        });
        turn_until(&mut lp, |_| chunks.get() == 1);
        for _ in 0..20 {
            lp.run_nowait().unwrap();
        }
        // Once, and then nothing: the sender waits for the kernel.
        assert_eq!(chunks.get(), 1);
        assert!(bytes.get() <= 64 * 1024, "{}", bytes.get());
        assert!(!sender.is_finished());
        assert!(lp.net_metrics().held < 1024);
        let mut expected = 1;
        turn_until(&mut lp, |lp| {
            if chunks.get() == expected {
                expected += 1;
                lp.socket(key.get().unwrap()).resume();
            }
            assert!(chunks.get() <= expected);
            bytes.get() == total
        });
        let mut s = lp.socket(key.get().unwrap());
        s.resume();
        turn_until(&mut lp, |_| sender.is_finished());
        sender.join().unwrap();
    }
}

/// `Full` at the mark, a drain when all is out, and `on_written` when the record's last byte is.
#[test]
fn b30_b31_the_mark_and_the_ids_are_those_of_the_records() {
    let (ca, tls) = tide();
    let mut lp = guarded();
    let log = Log::default();
    let (drained, written) = (log.clone(), log.clone());
    let (begin, may_begin) = mpsc::channel();
    let options = ListenOptions::new("127.0.0.1:0").high_water_mark(100_000).filter(tls);
    let server = lp.listen(options, move |mut conn| {
        conn.server(conn.server_key()).close().unwrap();
        let (drained, written) = (drained.clone(), written.clone());
        let mut s = conn.accept(
            On::new()
                .drain(move |s| {
                    drained.add(format!("drain {}", s.metrics().unwrap().queued));
                    s.end();
                })
                .written(move |_, id, done| {
                    written.add(format!("{id} {}", done.is_ok()));
                }),
        );
        let mut id = 0;
        let full = loop {
            id += 1;
            match s.write_id(vec![1; 50_000], id) {
                Flow::Ready => {}
                Flow::Full => break s.metrics().unwrap().queued,
                Flow::Closed => panic!("closed"),
            }
        };
        assert!((100_000..160_000).contains(&full), "{full}");
        begin.send(()).unwrap();
    });
    let at = lp.server(server.unwrap()).local_addr().unwrap();
    let config = client_config(&ca, TlsVersion::V1_3, &[]);
    let got = beside(&mut lp, move || {
        let mut peer = Peer::client(at, config, "tide.example");
        peer.handshake().unwrap();
        // A client that is faster than the server would take all that it writes.
        may_begin.recv().unwrap();
        let got = peer.receive(1 << 30).unwrap().len();
        peer.end().unwrap();
        got
    });
    lp.run().unwrap();
    let (drains, ids): (Vec<_>, Vec<_>) =
        log.lines().into_iter().partition(|line| line.starts_with("drain"));
    assert_eq!(drains, ["drain 0"]);
    assert_eq!(ids.len() * 50_000, got);
    assert!(ids.iter().enumerate().all(|(i, l)| *l == format!("{} true", i + 1)), "{ids:?}");
}

/// Both sides send all the time.
#[test]
fn b10_both_ways_at_once() {
    for of in BOTH {
        let (ca, tls) = tide();
        let mut lp = guarded();
        let (_, at) = echo(&mut lp, &tls);
        let config = client_config(&ca, of, &[]);
        let good = beside(&mut lp, move || {
            let mut peer = Peer::client(at, config, "tide.example");
            peer.handshake().unwrap();
            let mut back = Vec::new();
            for i in 0..200usize {
                peer.send(&vec![i as u8; 5000]).unwrap();
                back.extend(peer.receive(1 + (i * 37) % 5000).unwrap());
            }
            back.extend(peer.receive(200 * 5000 - back.len()).unwrap());
            back.iter().enumerate().all(|(i, b)| *b == (i / 5000) as u8)
        });
        assert!(good);
    }
}
