//! 10,000 connections through one process, and as many deadlines: nothing is left behind.

use std::cell::Cell;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use tidegate::net::*;
use tidegate::prelude::*;

use crate::allocation;
#[cfg(unix)]
use crate::rlimit::alone;
use crate::support::*;

const TOTAL: u32 = 10_000;

const AT_ONCE: u32 = 50;

/// What the clients share.
struct Run {
    started: Cell<u32>,
    closed: Cell<u32>,
    server: ServerKey,
    at: std::net::SocketAddr,
    half: Cell<isize>,
    full: Cell<isize>,
}

/// Connects, sends, is answered, ends; and then the next one starts.
fn start(cx: &mut Cx<'_>, run: &Rc<Run>) {
    run.started.set(run.started.get() + 1);
    let shared = run.clone();
    cx.connect(
        run.at,
        On::new()
            .connect(|s| assert_eq!(s.write(b"sixteen bytes ok"), Flow::Ready))
            .data(|s, chunk| {
                assert_eq!(chunk, b"sixteen bytes ok");
                s.end();
            })
            .close(move |s, close| {
                assert!(matches!(close.reason, Reason::Ended), "{close}");
                shared.closed.set(shared.closed.get() + 1);
                let run = shared.clone();
                // From a fresh turn, so that all of this one's memory is gone.
                s.timer(std::time::Duration::ZERO, move |cx, _| next(cx, &run));
            }),
    );
}

/// Waves of clients; the memory is looked at between two of them, when only the
/// server is left.
fn next(cx: &mut Cx<'_>, run: &Rc<Run>) {
    if run.full.get() != 0 {
        return;
    }
    let closed = run.closed.get();
    if closed < run.started.get() || cx.server(run.server).stats().unwrap().connections > 0 {
        if closed == run.started.get() {
            // The server's half of the last one closes a little later.
            let run = run.clone();
            cx.timer(std::time::Duration::ZERO, move |cx, _| next(cx, &run));
        }
        return;
    }
    match closed {
        n if n == TOTAL / 2 => run.half.set(allocation::live()),
        n if n == TOTAL => run.full.set(allocation::live()),
        _ => {}
    }
    if closed == TOTAL {
        cx.server(run.server).close().unwrap();
        return;
    }
    for _ in 0..AT_ONCE {
        start(cx, run);
    }
}

#[cfg(target_os = "linux")]
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[cfg(not(target_os = "linux"))]
fn descriptors() -> usize {
    0
}

#[test]
fn ten_thousand_connections_leave_no_slot_no_descriptor_and_no_byte() {
    #[cfg(unix)]
    let _alone = alone();
    let mut lp = Loop::new().unwrap();
    let before = descriptors();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(On::new().data(|s, chunk| assert_eq!(s.write(chunk), Flow::Ready)));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let run = Rc::new(Run {
        started: Cell::new(0),
        closed: Cell::new(0),
        server,
        at,
        half: Cell::new(0),
        full: Cell::new(0),
    });
    next(&mut lp.cx(), &run);
    lp.run().unwrap();
    assert_eq!((run.started.get(), run.closed.get()), (TOTAL, TOTAL));
    assert_eq!(lp.handles(), 0);
    assert_eq!(descriptors(), before);
    assert_eq!(run.half.get(), run.full.get(), "live bytes after 5,000 and after 10,000");
    assert!(run.full.get() > 0);
}

#[cfg(unix)]
#[test]
fn deadlines_of_closed_connections_are_forgotten() {
    let _a = alone();
    let mut lp = guarded();
    let server = lp
        .listen(ListenOptions::new("127.0.0.1:0").idle_timeout(Duration::from_secs(3600)), |conn| {
            conn.accept(On::new()).destroy();
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let one_thousand = |lp: &mut Loop| {
        let n = lp.server(server).stats().unwrap().accepted;
        for i in 1..=1000u64 {
            let c = TcpStream::connect(at).unwrap();
            turn_until(lp, |lp| lp.server(server).stats().unwrap().accepted == n + i);
            reset(c);
        }
        lp.run_nowait().unwrap();
    };
    one_thousand(&mut lp);
    let before = allocation::live();
    for _ in 0..8 {
        one_thousand(&mut lp);
    }
    let grown = allocation::live() - before;
    println!("8000 connections opened and closed, none open: {grown} bytes more");
    assert!(grown < 16 * 1024, "{grown} bytes for connections that are over");
}
