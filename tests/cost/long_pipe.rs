//! What a pipe of 1 GiB costs: a bounded amount of memory, and no allocation once it runs.

use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tidegate::prelude::*;

use crate::allocation;
use crate::support::*;

/// 1 GiB between two connections, with a reader that stalls now and then: a stall keeps at
/// most one read of 64 KiB, in one buffer; nothing is allocated after the first stalls.
#[test]
fn a_pipe_of_1_gib_neither_grows_nor_allocates() {
    let total: usize = if cfg!(debug_assertions) { 256 << 20 } else { 1 << 30 };
    let mut lp = guarded();
    let (a, sa) = accepted(&mut lp, true, On::new());
    let (b, sb) = accepted(&mut lp, true, On::new());
    let writing = std::thread::spawn(move || {
        let block: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
        for _ in 0..total >> 20 {
            (&a).write_all(&block).unwrap();
        }
        a.shutdown(std::net::Shutdown::Write).unwrap();
        a
    });
    let held_now = Arc::new(AtomicBool::new(false));
    let h = held_now.clone();
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 20];
        let (mut at, mut next_stall) = (0, 0);
        loop {
            // The stall: until the pipe says that the kernel takes no more.
            if at >= next_stall && total - at > 32 << 20 {
                next_stall = at + (8 << 20);
                h.store(false, Ordering::Release);
                while !h.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
            }
            let n = (&b).read(&mut buffer).unwrap();
            if n == 0 {
                return at;
            }
            for (i, byte) in buffer[..n].iter().enumerate().step_by(997) {
                assert_eq!(*byte, (((at + i) % (1 << 20)) % 251) as u8);
            }
            at += n;
        }
    });
    // What this thread allocates: the others have their counts.
    let (mut most, mut stalls, mut full) = (0, 0, false);
    let (mut warm, mut after) = (None, 0);
    let ended = Rc::new(Cell::new(false));
    let e = ended.clone();
    lp.pipe(sa, sb, move |_, result| e.set(result.is_ok())).unwrap();
    while !ended.get() {
        lp.run_once().unwrap();
        let held = lp.socket(sb).memory_held();
        most = most.max(held);
        if held > 0 && !full {
            stalls += 1;
        }
        full = held > 0;
        if full {
            held_now.store(true, Ordering::Release);
        }
        if warm.is_none() && stalls == 5 {
            warm = Some(allocation::calls());
        }
        if lp.socket(sb).bytes_written() < total as u64 {
            after = allocation::calls();
        }
    }
    lp.close_all();
    lp.run().unwrap();
    drop(writing.join().unwrap());
    assert_eq!(reading.join().unwrap(), total);
    println!("{stalls} stalls, at most {most} bytes held");
    assert!(most <= 64 << 10, "{most} bytes held");
    let warm = warm.expect("five stalls at least");
    assert_eq!(after - warm, 0, "allocations after the first stalls ({stalls})");
}
