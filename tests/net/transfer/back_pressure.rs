//! Back-pressure on a connection: `Full` and drain, pause and resume, cork.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use tidegate::prelude::*;

use crate::one_connection::server;
use crate::support::*;

/// Node W3, W6: the queue fills, `Full`; the peer reads, one `Drain`; all bytes
/// arrive in order.
#[test]
fn full_once_drain_once_and_every_byte_in_order() {
    let mut lp = guarded();
    let drains = Rc::new(Cell::new(0));
    let d = drains.clone();
    let written = Rc::new(Cell::new(0usize));
    let w = written.clone();
    let at = server(&mut lp, move || {
        let (d, w) = (d.clone(), w.clone());
        On::new()
            .data(move |s, _| {
                let mut next = 0u8;
                loop {
                    let chunk: Vec<u8> = (0..10_007)
                        .map(|_| {
                            next = next.wrapping_add(1);
                            next
                        })
                        .collect();
                    w.set(w.get() + chunk.len());
                    if s.write(&chunk) == Flow::Full {
                        assert!(s.buffered() >= 64 * 1024);
                        break;
                    }
                }
            })
            .drain(move |s| {
                assert_eq!(s.buffered(), 0);
                d.set(d.get() + 1);
                s.end();
            })
    });
    let c = client(at);
    write_all(&c, b"go");
    // The peer reads only once the queue is full.
    turn_until(&mut lp, |_| written.get() > 0);
    let reader = std::thread::spawn(move || read_to_end(&c));
    lp.run().unwrap();
    let got = reader.join().unwrap();
    assert_eq!((drains.get(), got.len()), (1, written.get()));
    assert!(got.iter().enumerate().all(|(i, b)| *b == (i + 1) as u8));
}

/// libuv 50, node R5: nothing is delivered after `pause`, and nothing is lost.
#[test]
fn pause_is_immediate_and_costs_no_byte() {
    let mut lp = guarded();
    let got = Rc::new(Cell::new(0usize));
    let paused = Rc::new(Cell::new(false));
    let key = Rc::new(Cell::new(None));
    let (g, p, k) = (got.clone(), paused.clone(), key.clone());
    let at = server(&mut lp, move || {
        let (g, p, k) = (g.clone(), p.clone(), k.clone());
        On::new().data(move |s, chunk| {
            assert!(!p.get(), "data while paused");
            g.set(g.get() + chunk.len());
            if k.get().is_none() {
                k.set(Some(s.key()));
                p.set(true);
                s.pause();
            }
        })
    });
    let c = client(at);
    let total = 3 << 20;
    let writer = std::thread::spawn(move || {
        write_all(&c, &vec![1u8; total]);
        c
    });
    turn_until(&mut lp, |_| paused.get());
    for _ in 0..10 {
        lp.run_nowait().unwrap();
    }
    paused.set(false);
    lp.socket(key.get().unwrap()).resume();
    turn_until(&mut lp, |_| got.get() == total);
    drop(writer.join().unwrap());
    lp.run().unwrap();
}

#[test]
fn many_small_writes_behind_a_stall_leave_together_and_in_order() {
    let mut lp = guarded();
    let at = server(&mut lp, || {
        On::new().data(|s, _| {
            let _ = s.write(Bytes::from(vec![0u8; 4 << 20]));
            for n in 0..10_000u32 {
                let _ = s.write(&n.to_be_bytes());
            }
            s.end();
        })
    });
    let c = client(at);
    write_all(&c, b"go");
    let reader = std::thread::spawn(move || read_to_end(&c));
    lp.run().unwrap();
    let got = reader.join().unwrap();
    let small = &got[4 << 20..];
    assert_eq!(small.len(), 40_000);
    for (n, four) in small.chunks(4).enumerate() {
        assert_eq!(four, (n as u32).to_be_bytes());
    }
}

#[test]
fn cork_holds_writes_back_until_uncork() {
    let mut lp = guarded();
    let at = server(&mut lp, || {
        On::new().data(|s, _| {
            s.cork();
            let _ = s.write(b"a");
            let _ = s.write(b"b");
            assert_eq!(s.buffered(), 2);
            s.uncork();
            assert_eq!(s.buffered(), 0);
            s.uncork();
            s.end();
        })
    });
    let c = client(at);
    write_all(&c, b"go");
    let reader = std::thread::spawn(move || read_to_end(&c));
    lp.run().unwrap();
    assert_eq!(reader.join().unwrap(), b"ab");
}
