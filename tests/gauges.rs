//! A gauge never keeps the port of a closed server, not even while it is read.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use support::*;
use tidegate::net::AcceptGauge;
use tidegate::prelude::*;

/// `close_server`: "Stops accepting, now". So its port is free for the next one.
#[test]
fn the_port_is_free_though_another_thread_reads() {
    let mut lp = guarded();
    let (give, gauges) = mpsc::channel::<AcceptGauge>();
    let (reads, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (r, d) = (reads.clone(), done.clone());
    let reader = thread::spawn(move || {
        let mut gauge = gauges.recv().unwrap();
        while !d.load(Ordering::Relaxed) {
            gauge = gauges.try_recv().unwrap_or(gauge);
            if gauge.read().is_ok() {
                r.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut at = "127.0.0.1:0".to_owned();
    for n in 0..2000 {
        let server = lp.listen(at.as_str(), |conn| conn.reject());
        let server = server.unwrap_or_else(|e| panic!("the {n}th time: {e}"));
        at = lp.local_addr(server).unwrap().to_string();
        give.send(lp.accept_gauge(server).unwrap()).unwrap();
        let before = reads.load(Ordering::Relaxed);
        while reads.load(Ordering::Relaxed) == before && !reader.is_finished() {
            thread::yield_now();
        }
        lp.close_server(server).unwrap();
        lp.run_nowait().unwrap();
    }
    done.store(true, Ordering::Relaxed);
    reader.join().unwrap();
}
