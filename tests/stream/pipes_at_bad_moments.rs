//! Pipes and streams at bad moments: panics between two words, ends that refuse, others that
//! meddle, and what a turn may cost.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::support::*;
use bytes::{Bytes, BytesMut};
use tidegate::prelude::*;
use tidegate::stream::*;

struct Quiet;
impl Source for Quiet {
    fn read(&mut self, _: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        Ok(())
    }
}
type Kept = Rc<RefCell<Vec<u8>>>;
struct Keep {
    all: Kept,
    later: bool,
}
impl Sink for Keep {
    fn write(&mut self, _: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError> {
        self.all.borrow_mut().extend(chunks.concat());
        Ok(if self.later { Progress::Later } else { Progress::Done })
    }
}
fn settle(lp: &mut Loop) {
    while lp.run_nowait().unwrap() && lp.backend_timeout() == Some(Duration::ZERO) {}
}
fn keep(lp: &mut Loop, later: bool, mark: usize) -> (WritableKey, Kept) {
    let all = Kept::default();
    let o = WritableOptions::new().high_water_mark(mark);
    (lp.open_writable(o, Keep { all: all.clone(), later }, ()).unwrap(), all)
}
fn quiet(lp: &mut Loop) -> ReadableKey {
    lp.open_readable(ReadableOptions::new(), Quiet, ()).unwrap()
}
fn done(log: &Log) -> impl FnOnce(&mut Cx<'_>, Result<(), PipeError>) + 'static {
    let log = log.clone();
    move |_, r| {
        log.add(match r {
            Ok(()) => "done".into(),
            Err(e) => e.to_string(),
        })
    }
}
fn accepted(lp: &mut Loop, half_open: bool, h: impl Handler) -> (std::net::TcpStream, SocketKey) {
    let key = Rc::new(Cell::new(None));
    let (k, mut h) = (key.clone(), Some(h));
    let options = ListenOptions::new("127.0.0.1:0").allow_half_open(half_open);
    let server = lp
        .listen(options, move |conn| {
            let Some(h) = h.take() else { return };
            let mut s = conn.accept(Boxed(Box::new(h)));
            s.pause();
            k.set(Some(s.key()));
        })
        .unwrap();
    let c = client(lp.local_addr(server).unwrap());
    turn_until(lp, |_| key.get().is_some());
    lp.close_server(server).unwrap();
    (c, key.get().unwrap())
}
struct Boxed(Box<dyn Handler>);
impl Handler for Boxed {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_connect(s)
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, c: &[u8]) {
        self.0.on_data(s, c)
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_drain(s)
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_end(s)
    }
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.0.on_finish(s)
    }
    fn on_close(&mut self, s: &mut SocketCx<'_>, c: tidegate::net::Close) {
        self.0.on_close(s, c)
    }
}
fn boom(cx: &mut Cx<'_>) {
    cx.next_tick(|_| resume_unwind(Box::new("on purpose")));
}

// ---- panic of a tick between a stream's last word and the pipe's
struct TickAtEnd;
impl Reader for TickAtEnd {
    fn on_end(&mut self, r: &mut ReadableCx<'_>) {
        boom(r)
    }
}
impl WriteHandler for TickAtEnd {
    fn on_finish(&mut self, w: &mut WritableCx<'_>) {
        boom(w)
    }
}

#[test]
fn tick_panic_at_on_end_of_a_readable() {
    let mut lp = guarded();
    let log = Log::default();
    let (to, all) = keep(&mut lp, false, 100);
    let from = lp.open_readable(ReadableOptions::new(), Quiet, TickAtEnd).unwrap();
    lp.pipe(from, to, done(&log)).unwrap();
    let _ = lp.readable(from).push("all");
    lp.readable(from).push_end();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!(&all.borrow()[..], b"all");
    assert_eq!(log.lines(), ["done"]);
}
#[test]
fn tick_panic_at_on_finish_of_a_writable() {
    let mut lp = guarded();
    let log = Log::default();
    let all = Kept::default();
    let to = lp
        .open_writable(WritableOptions::new(), Keep { all: all.clone(), later: false }, TickAtEnd)
        .unwrap();
    let from = quiet(&mut lp);
    lp.pipe(from, to, done(&log)).unwrap();
    let _ = lp.readable(from).push("all");
    lp.readable(from).push_end();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["done"]);
}
#[test]
fn tick_panic_at_on_end_of_a_socket() {
    let mut lp = guarded();
    let log = Log::default();
    let (c, s) = accepted(&mut lp, true, On::new().end(|s| boom(s)));
    let (to, all) = keep(&mut lp, false, 100);
    lp.pipe(s, to, done(&log)).unwrap();
    write_all(&c, b"all");
    c.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.as_cx().timer(Duration::from_millis(300), |cx, _| cx.stop());
    lp.run().unwrap();
    assert_eq!(&all.borrow()[..], b"all");
    assert_eq!(log.lines(), ["done"], "after 300 ms");
}
#[test]
fn tick_panic_at_on_finish_of_a_socket() {
    let mut lp = guarded();
    let log = Log::default();
    let (c, s) = accepted(&mut lp, true, On::new().finish(|s| boom(s)));
    let from = quiet(&mut lp);
    lp.pipe(from, s, done(&log)).unwrap();
    let _ = lp.readable(from).push("all");
    lp.readable(from).push_end();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.as_cx().timer(Duration::from_millis(300), |cx, _| cx.stop());
    lp.run().unwrap();
    assert_eq!(read_to_end(&c), b"all");
    assert_eq!(log.lines(), ["done"], "after 300 ms");
}
struct FlushTick;
impl Transform for FlushTick {
    fn transform(&mut self, _: &mut Cx<'_>, c: &[u8], out: &mut BytesMut) -> Result<(), BoxError> {
        out.extend_from_slice(c);
        Ok(())
    }
    fn flush(&mut self, cx: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        boom(cx);
        out.extend_from_slice(b"!");
        Ok(())
    }
}
#[test]
fn tick_panic_at_flush() {
    let mut lp = guarded();
    let log = Log::default();
    let (c, s) = accepted(&mut lp, true, On::new());
    let (to, all) = keep(&mut lp, false, 100);
    lp.pipeline(s, vec![Box::new(FlushTick)], to, done(&log)).unwrap();
    write_all(&c, b"all");
    c.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.as_cx().timer(Duration::from_millis(300), |cx, _| cx.stop());
    lp.run().unwrap();
    assert_eq!(&all.borrow()[..], b"all!");
    assert_eq!(log.lines(), ["done"], "after 300 ms");
}

// ---- a rejected connection was an end
#[test]
fn a_pipe_from_a_connection_that_is_rejected() {
    let mut lp = guarded();
    let log = Log::default();
    let (to, _) = keep(&mut lp, false, 100);
    let l = log.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let server = conn.server();
            conn.close_server(server).unwrap();
            let key = conn.key();
            conn.pipe(key, to, done(&l)).unwrap();
            conn.reject();
        })
        .unwrap();
    let _c = client(lp.local_addr(server).unwrap());
    lp.run().unwrap();
    assert_eq!(log.lines().len(), 1, "done comes once");
}

// ---- flush refused by an ended sink
struct Tail;
impl Transform for Tail {
    fn transform(&mut self, _: &mut Cx<'_>, c: &[u8], out: &mut BytesMut) -> Result<(), BoxError> {
        out.extend_from_slice(c);
        Ok(())
    }
    fn flush(&mut self, _: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        out.extend_from_slice(b"tail");
        Ok(())
    }
}
#[test]
fn a_flush_that_an_ended_sink_refuses_is_no_success() {
    let mut lp = guarded();
    let log = Log::default();
    let (to, all) = keep(&mut lp, true, 100);
    let from = quiet(&mut lp);
    lp.pipeline(from, vec![Box::new(Tail)], to, done(&log)).unwrap();
    let _ = lp.readable(from).push("head ");
    settle(&mut lp);
    lp.writable(to).end(); // the sink still has "head " under way
    lp.readable(from).push_end();
    settle(&mut lp);
    lp.writable(to).written(Ok(())).unwrap();
    lp.run().unwrap();
    assert!(
        log.lines() != ["done"] || &all.borrow()[..] == b"head tail",
        "{:?} {:?}",
        log.lines(),
        String::from_utf8_lossy(&all.borrow())
    );
}
// Same, with a socket whose peer's FIN ended our side while bytes wait.

// ---- resume by the user while the pipe is full
#[test]
fn resuming_the_source_of_a_full_pipe_changes_nothing() {
    let mut lp = guarded();
    let (to, _) = keep(&mut lp, true, 4);
    struct Endless;
    impl Source for Endless {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            let _ = r.push(vec![0; 4096]);
            Ok(())
        }
    }
    let log = Log::default();
    let from = lp.open_readable(ReadableOptions::new(), Endless, ()).unwrap();
    lp.pipe(from, to, done(&log)).unwrap();
    settle(&mut lp);
    println!("before: {}", lp.writable(to).buffered());
    lp.readable(from).resume();
    for _ in 0..100 {
        lp.run_nowait().unwrap();
    }
    println!("after: {} {:?}", lp.writable(to).buffered(), log.lines());
    assert!(log.lines().is_empty() && lp.writable(to).buffered() < 100_000);
}
#[test]
fn an_echos_handler_on_a_piped_connection_does_no_harm() {
    // The usual drain handler, on a connection that is piped into a slow sink.
    let mut lp = guarded();
    let log = Log::default();
    let (c, s) = accepted(&mut lp, true, On::new().drain(|s| s.resume()));
    let (to, _) = keep(&mut lp, true, 1000);
    lp.pipe(s, to, done(&log)).unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let w = c.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        use std::io::Write;
        let b = vec![1; 1 << 20];
        let mut n = 0;
        w.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        while let Ok(k) = (&w).write(&b) {
            n += k;
            if n > 100 << 20 {
                break;
            }
        }
        n
    });
    let reading = std::thread::spawn(move || read_some(c));
    // It writes to its peer now and then.
    let most = Rc::new(Cell::new(0));
    let m = most.clone();
    lp.as_cx().interval(Duration::from_millis(5), move |cx, _| {
        let n = cx.writable(to).buffered();
        m.set(m.get().max(n));
        let mut k = cx.socket(s);
        if k.buffered() == 0 {
            let _ = k.write(&vec![2; 16 << 20]);
        }
    });
    lp.as_cx().timer(Duration::from_secs(2), |cx, _| cx.stop());
    lp.run().unwrap();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    println!("{} bytes in the sink at most; {:?}", most.get(), log.lines());
    lp.as_cx().close_all();
    lp.run().unwrap();
    let _ = (writing.join(), reading.join());
    assert!(most.get() < 1 << 20);
}
fn read_some(mut c: std::net::TcpStream) {
    use std::io::Read;
    let mut b = vec![0; 1 << 20];
    while let Ok(n) = c.read(&mut b) {
        if n == 0 {
            return;
        }
    }
}

// ---- unhandled
#[test]
fn a_streams_error_that_the_pipe_tells_is_handled() {
    let mut lp = guarded();
    let log = Log::default();
    let (to, _) = keep(&mut lp, false, 4);
    let from = quiet(&mut lp);
    lp.pipe(from, to, done(&log)).unwrap();
    lp.readable(from).fail("no disk");
    lp.run().unwrap();
    assert_eq!(log.lines(), ["the pipe's source failed: no disk"]);
    assert_eq!(lp.metrics().unhandled_errors, 0, "the pipe told it");
}
#[test]
fn an_error_after_the_pipe_is_not_silent() {
    let mut lp = guarded();
    let log = Log::default();
    let (c, s) = accepted(&mut lp, true, On::new());
    let from = quiet(&mut lp);
    lp.pipe(from, s, done(&log)).unwrap();
    lp.readable(from).push_end();
    turn_until(&mut lp, |_| log.has("done"));
    lp.socket(s).resume();
    reset(c);
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
    assert_eq!(lp.metrics().unhandled_errors, 1, "ECONNRESET, told to nobody");
}

// ---- on_drain of a sink's handler
#[test]
fn the_handler_of_a_sink_gets_its_drain() {
    let mut lp = guarded();
    let log = Log::default();
    let l = log.clone();
    let (c, s) = accepted(&mut lp, true, On::new().drain(move |_| l.add("drain")));
    let from = quiet(&mut lp);
    lp.pipe(from, s, |_, _| {}).unwrap();
    assert_eq!(lp.socket(s).write(&vec![0; 20 << 20]), Flow::Full);
    let reading = std::thread::spawn(move || {
        use std::io::Read;
        let mut b = vec![0; 20 << 20];
        (&c).read_exact(&mut b).unwrap();
        c
    });
    turn_until(&mut lp, |lp| lp.socket(s).buffered() == 0);
    let _c = reading.join().unwrap();
    settle(&mut lp);
    assert_eq!(log.lines(), ["drain"]);
}

// ---- limit below the mark
#[test]
fn a_write_limit_below_the_mark_is_the_mark() {
    let mut lp = guard(Loop::builder().write_limit(16 << 10).build().unwrap());
    let log = Log::default();
    let all = Kept::default();
    let to = lp.open_writable(WritableOptions::new(), Keep { all, later: true }, ()).unwrap();
    let from = quiet(&mut lp);
    lp.pipe(from, to, done(&log)).unwrap();
    for _ in 0..8 {
        let _ = lp.readable(from).push(vec![0; 4096]);
        settle(&mut lp);
    }
    settle(&mut lp);
    assert!(log.lines().is_empty(), "{:?}", log.lines());
}

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
    lp.as_cx().prepare(move |cx, _| {
        assert!(cx.readable(from).read(1).is_none());
    });
    settle_one(&mut lp);
    lp.as_cx().timer(Duration::from_millis(100), |cx, _| cx.stop());
    lp.run().unwrap();
    println!("{} turns in 100 ms", lp.metrics().turns);
    assert!(lp.metrics().turns < 20);
}
fn settle_one(lp: &mut Loop) {
    lp.run_nowait().unwrap();
}

// ---- law 1
struct End(#[allow(dead_code)] Rc<()>);
impl ReadEnd for End {
    fn attach(&self, _: &mut Cx<'_>, _: PipeKey) -> Result<(), StreamError> {
        Err(StreamError::Closed)
    }
    fn pause(&self, _: &mut Cx<'_>) {}
    fn resume(&self, _: &mut Cx<'_>) {}
    fn destroy(&self, _: &mut Cx<'_>, _: &StreamError) {}
}
#[test]
fn law_1_pipe_drops_no_end_that_refused() {
    let mut lp = guarded();
    let (to, _) = keep(&mut lp, true, 4);
    let end = Rc::new(());
    lp.pipe(End(end.clone()), to, |_, _| {}).unwrap();
    assert_eq!(Rc::strong_count(&end), 2, "dropped inside pipe()");
}
// ---- the cause of a connect that failed at once
#[test]
fn the_cause_of_an_early_connect_failure_is_told() {
    let mut lp = guarded();
    let log = Log::default();
    let s = lp.connect("nobody.invalid:80", On::new().close(|_, _| {}));
    let from = quiet(&mut lp);
    lp.pipe(from, s, done(&log)).unwrap();
    lp.run().unwrap();
    println!("{:?}", log.lines());
    assert!(log.lines()[0].contains("lookup"), "{:?}", log.lines());
}
// ---- up to the mark while connecting
#[test]
fn a_connecting_sink_takes_up_to_its_mark() {
    let mut lp = guarded();
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let s = lp.connect(l.local_addr().unwrap(), On::new());
    let from = quiet(&mut lp);
    lp.pipe(from, s, |_, _| {}).unwrap();
    for _ in 0..5 {
        let _ = lp.readable(from).push(vec![0; 1000]);
    }
    // only the pending phase, before the poller can tell of the connection
    let b = Rc::new(Cell::new((0, 0)));
    let bb = b.clone();
    lp.as_cx().prepare(move |cx, _| {
        if bb.get() == (0, 0) {
            bb.set((cx.socket(s).buffered(), cx.readable(from).buffered()))
        }
    });
    lp.run_nowait().unwrap();
    println!("sink {} source {}", b.get().0, b.get().1);
    assert_eq!(b.get(), (5000, 0));
}
// ---- the sink hears the cause
struct Hear(Log);
impl Sink for Hear {
    fn write(&mut self, _: &mut WritableCx<'_>, _: &[Bytes]) -> Result<Progress, BoxError> {
        Ok(Progress::Done)
    }
    fn destroy(&mut self, _: &mut Cx<'_>, r: Result<(), &StreamError>) {
        self.0.add(match r {
            Ok(()) => "ok".into(),
            Err(e) => e.to_string(),
        })
    }
}
#[test]
fn p02_the_others_are_destroyed_with_the_same_error() {
    let mut lp = guarded();
    let log = Log::default();
    let to = lp.open_writable(WritableOptions::new(), Hear(log.clone()), ()).unwrap();
    let from = quiet(&mut lp);
    lp.pipe(from, to, |_, _| {}).unwrap();
    lp.readable(from).fail("no disk");
    lp.run().unwrap();
    assert_eq!(log.lines(), ["failed: no disk"]);
}
// 14 read beyond the limit
#[test]
fn a_pull_beyond_the_limit_is_the_end() {
    struct Endless;
    impl Source for Endless {
        fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
            let _ = r.push(vec![0; 100]);
            Ok(())
        }
    }
    let mut lp = guarded();
    let from = lp
        .open_readable(
            ReadableOptions::new().pull(true).high_water_mark(500).read_limit(1000),
            Endless,
            (),
        )
        .unwrap();
    settle(&mut lp);
    assert_eq!(lp.readable(from).read(1000), None, "not that many wait by themselves");
    settle(&mut lp);
    assert_eq!(lp.readable(from).read(1000).unwrap().len(), 1000);
    assert_eq!(lp.readable(from).read(1100), None);
    assert!(lp.readable(from).state().is_err(), "it would never come");
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
    let mut lp =
        guard(Loop::builder().read_budget(64 << 10).write_budget(64 << 10).build().unwrap());
    let n = Rc::new(Cell::new(0));
    lp.open_readable(ReadableOptions::new(), Endless(n.clone()), ()).unwrap();
    lp.run_nowait().unwrap();
    let first = n.get();
    lp.run_nowait().unwrap();
    println!("{} then {} bytes in one turn", first, n.get() - first);
    assert!(n.get() - first <= (64 << 10) + 4096);
}

// ---- default connections piped both ways, closed in good order
fn both_ways(half_open: bool) -> Vec<String> {
    let mut lp = guarded();
    let log = Log::default();
    let (a, sa) = accepted(&mut lp, half_open, On::new());
    let (b, sb) = accepted(&mut lp, half_open, On::new());
    lp.pipe(sa, sb, done(&log)).unwrap();
    lp.pipe(sb, sa, done(&log)).unwrap();
    let far = std::thread::spawn(move || {
        let q = read_to_end(&b);
        drop(b);
        q
    });
    write_all(&a, b"question");
    a.shutdown(std::net::Shutdown::Write).unwrap();
    lp.run().unwrap();
    assert_eq!(far.join().unwrap(), b"question");
    log.lines()
}
#[test]
fn a_default_proxy_ends_cleanly() {
    assert_eq!(both_ways(true), ["done", "done"]);
    assert_eq!(both_ways(false), ["done", "done"]);
}
// with a filter the queue may hold bytes while the pipe flows
#[test]
fn and_loses_no_bytes() {
    use tidegate::net::{Filter, FilterError, Passed};
    struct Same;
    impl Filter for Same {
        fn inbound(&mut self, w: &[u8], o: &mut Passed) -> Result<(), FilterError> {
            o.up.extend(w);
            Ok(())
        }
        fn outbound(&mut self, w: &[u8], o: &mut Passed) -> Result<(), FilterError> {
            o.down.extend(w);
            Ok(())
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let (a, sa) = accepted(&mut lp, false, On::new());
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sb = lp.connect(l.local_addr().unwrap(), On::new());
    lp.socket(sb).set_filter(Same);
    lp.pipe(sa, sb, done(&log)).unwrap();
    lp.pipe(sb, sa, done(&log)).unwrap();
    write_all(&a, b"question");
    a.shutdown(std::net::Shutdown::Write).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    let far = std::thread::spawn(move || {
        let (b, _) = l.accept().unwrap();
        let mut v = vec![];
        use std::io::Read;
        let _ = (&b).read_to_end(&mut v);
        v
    });
    lp.run().unwrap();
    println!("{:?}", log.lines());
    assert_eq!(far.join().unwrap(), b"question");
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
    let mut lp = guard(Loop::builder().write_budget(64 << 10).build().unwrap());
    let n = Rc::new(Cell::new(0));
    let m = n.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            let sv = conn.server();
            conn.close_server(sv).unwrap();
            let mut s = conn.accept(Chain(m.clone()));
            let _ = s.write_id(&[0u8; 4096], 0);
        })
        .unwrap();
    let c = client(lp.local_addr(server).unwrap());
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
    lp.as_cx().close_all();
    println!("{most} bytes in one turn, which took {longest:?}");
    assert!(most <= 4 << 20);
}
