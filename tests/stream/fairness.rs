//! What a stream may do in one turn: a source or a chain of completions that never ends leaves the
//! turn to others.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::pipe_ends::*;
use crate::support::*;

// ---- empty pushes
#[test]
fn an_empty_push_leaves_the_turn_to_others() {
    struct Empty(Rc<Cell<u64>>);
    impl Source for Empty {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            self.0.set(self.0.get() + 1);
            let _ = r.push("");
            Ok(())
        }
    }
    let mut lp = guarded();
    let n = Rc::new(Cell::new(0));
    lp.open_readable(ReadableOptions::new(), Empty(n.clone()), ()).unwrap();
    let t = std::time::Instant::now();
    lp.run_nowait().unwrap();
    println!(
        "{} reads in one turn of {:?}; next timeout {:?}",
        n.get(),
        t.elapsed(),
        lp.backend_timeout()
    );
    assert!(n.get() < 1000);
}

#[test]
fn tiny_chunks_leave_the_turn_to_others() {
    struct One(Rc<Cell<u64>>);
    impl Source for One {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            self.0.set(self.0.get() + 1);
            let _ = r.push("x");
            Ok(())
        }
    }
    let mut lp = guarded();
    let n = Rc::new(Cell::new(0));
    lp.open_readable(ReadableOptions::new(), One(n.clone()), ()).unwrap();
    let t = std::time::Instant::now();
    lp.run_nowait().unwrap();
    println!("{} reads in one turn of {:?}", n.get(), t.elapsed());
    assert!(n.get() < 10_000);
}

// ---- looking spins
#[test]
fn reading_in_a_hook_does_not_spin() {
    let mut lp = guarded();
    let from = lp.open_readable(ReadableOptions::new().pull(true), Quiet, ()).unwrap();
    lp.prepare(move |cx, _| {
        assert!(cx.readable(from).read(1).is_none());
    });
    settle_one(&mut lp);
    lp.timer(Duration::from_millis(100), |cx, _| cx.stop());
    lp.run().unwrap();
    println!("{} turns in 100 ms", lp.metrics().turns);
    assert!(lp.metrics().turns < 20);
}

fn settle_one(lp: &mut Loop) {
    lp.run_nowait().unwrap();
}

#[test]
fn read_budget_holds_for_a_turn() {
    struct Endless(Rc<Cell<usize>>);
    impl Source for Endless {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            self.0.set(self.0.get() + 4096);
            let _ = r.push(Bytes::from_static(&[0; 4096]));
            Ok(())
        }
    }
    let mut lp = guard(
        Loop::builder()
            .limits(NetLimits::new().read_budget(64 << 10).write_budget(64 << 10))
            .limits(StreamLimits::new().read_budget(64 << 10).write_budget(64 << 10))
            .build()
            .unwrap(),
    );
    let n = Rc::new(Cell::new(0));
    lp.open_readable(ReadableOptions::new(), Endless(n.clone()), ()).unwrap();
    lp.run_nowait().unwrap();
    let first = n.get();
    lp.run_nowait().unwrap();
    println!("{} then {} bytes in one turn", first, n.get() - first);
    assert!(n.get() - first <= (64 << 10) + 4096);
}

// ---- completions without a bound
#[test]
fn completions_of_a_stream_leave_the_turn_to_others() {
    struct Again(Rc<Cell<u64>>);
    impl WriteHandler for Again {
        fn on_written(&mut self, w: &mut WritableCx<'_>, id: u64, _: Result<(), &StreamError>) {
            self.0.set(id);
            if id < 3_000_000 {
                let _ = w.write_id("", id + 1);
            }
        }
    }
    let mut lp = guarded();
    let n = Rc::new(Cell::new(0));
    let to = lp
        .open_writable(
            WritableOptions::new(),
            Keep { all: Kept::default(), later: false },
            Again(n.clone()),
        )
        .unwrap();
    let _ = lp.writable(to).write_id("", 1);
    lp.run_nowait().unwrap();
    println!("{} completions in one turn", n.get());
    assert!(n.get() < 100_000);
}

struct Chain(Rc<Cell<usize>>);

impl Handler for Chain {
    fn on_written(&mut self, s: &mut SocketCx<'_>, id: u64, r: Result<(), &tidegate::net::Reason>) {
        if r.is_err() {
            return;
        }
        self.0.set(self.0.get() + 4096);
        let _ = s.write_id(&[0u8; 4096], id + 1);
    }
}

#[test]
fn completions_of_a_connection_leave_the_turn_to_others() {
    let mut lp = guard(
        Loop::builder()
            .limits(NetLimits::new().write_budget(64 << 10))
            .limits(StreamLimits::new().write_budget(64 << 10))
            .build()
            .unwrap(),
    );
    let n = Rc::new(Cell::new(0));
    let m = n.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let mut s = conn.accept(Chain(m.clone()));
            let _ = s.write_id(&[0u8; 4096], 0);
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    let reading = std::thread::spawn(move || {
        use std::io::Read;
        let mut b = vec![0; 1 << 20];
        let mut n = 0;
        while n < 300 << 20 {
            n += (&c).read(&mut b).unwrap();
        }
    });
    let (mut most, mut longest) = (0, Duration::ZERO);
    while !reading.is_finished() {
        let (before, t) = (n.get(), std::time::Instant::now());
        lp.run_nowait().unwrap();
        longest = longest.max(t.elapsed());
        most = most.max(n.get() - before);
    }
    lp.close_all();
    println!("{most} bytes in one turn, which took {longest:?}");
    assert!(most <= 4 << 20);
}
