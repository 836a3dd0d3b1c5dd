//! `run` alone brings streams and pipes to their end: what the loop still has queued keeps it
//! alive, also for handles that do not. What a handle could do if somebody asked it does not.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use tidegate::Loop;
use tidegate::event::Interest;
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::support::*;

/// Pushes so many chunks of one size, one for each question, then the end.
struct Chunks {
    left: usize,
    size: usize,
    /// An empty push before each.
    hesitates: bool,
    hesitated: bool,
}

fn chunks(left: usize, size: usize) -> Chunks {
    Chunks { left, size, hesitates: false, hesitated: false }
}

impl Source for Chunks {
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        self.hesitated = self.hesitates && !self.hesitated;
        if self.hesitated {
            let _ = r.push("");
        } else if self.left == 0 {
            r.push_end();
        } else {
            self.left -= 1;
            let _ = r.push(vec![1; self.size]);
        }
        Ok(())
    }
}

/// What ended by itself, and how often its last word was said.
#[derive(Default)]
struct Got {
    bytes: Cell<usize>,
    calls: Cell<usize>,
    written: Cell<usize>,
    ended: Cell<usize>,
    closed: Cell<usize>,
}

#[derive(Clone, Default)]
struct Take(Rc<Got>);

fn add(to: &Cell<usize>, n: usize) {
    to.set(to.get() + n);
}

impl Sink for Take {
    fn write(&mut self, _: &mut WritableCx<'_>, chunks: &[Bytes]) -> Result<Progress, BoxError> {
        add(&self.0.bytes, chunks.iter().map(Bytes::len).sum());
        add(&self.0.calls, 1);
        Ok(Progress::Done)
    }
}

impl WriteHandler for Take {
    fn on_written(&mut self, _: &mut WritableCx<'_>, _: u64, result: Result<(), &StreamError>) {
        assert!(result.is_ok());
        add(&self.0.written, 1);
    }
    fn on_finish(&mut self, _: &mut WritableCx<'_>) {
        add(&self.0.ended, 1);
    }
    fn on_close(&mut self, _: &mut Cx<'_>, close: StreamClose) {
        assert!(close.result.is_ok(), "{close:?}");
        add(&self.0.closed, 1);
    }
}

impl ReadHandler for Take {
    fn on_data(&mut self, _: &mut ReadableCx<'_>, chunk: Bytes) {
        add(&self.0.bytes, chunk.len());
    }
    fn on_end(&mut self, _: &mut ReadableCx<'_>) {
        add(&self.0.ended, 1);
    }
    fn on_close(&mut self, _: &mut Cx<'_>, close: StreamClose) {
        assert!(close.result.is_ok(), "{close:?}");
        add(&self.0.closed, 1);
    }
}

fn nothing_is_left(lp: &mut Loop) {
    assert!(!lp.is_alive());
    assert_eq!((handles(lp), lp.why_alive()), (0, vec![]));
    assert!(!lp.run_once().unwrap());
}

#[test]
fn a_source_that_answers_at_once_is_read_to_its_end() {
    for hesitates in [false, true] {
        let mut lp = guarded();
        let take = Take::default();
        let source = Chunks { hesitates, ..chunks(160, 64 << 10) };
        lp.open_readable(ReadableOptions::new(), source, take.clone()).unwrap();
        lp.run().unwrap();
        assert_eq!(take.0.bytes.get(), 160 * (64 << 10));
        assert_eq!((take.0.ended.get(), take.0.closed.get()), (1, 1));
        nothing_is_left(&mut lp);
    }
}

/// A transform that says everything twice.
struct Twice;
impl Transform for Twice {
    fn transform(
        &mut self,
        _: &mut Cx<'_>,
        chunk: &[u8],
        out: &mut bytes::BytesMut,
    ) -> Result<(), BoxError> {
        out.extend_from_slice(chunk);
        out.extend_from_slice(chunk);
        Ok(())
    }
}

#[test]
fn a_pipe_of_many_small_chunks_is_done() {
    for stages in 0..3 {
        let mut lp = guarded();
        let take = Take::default();
        let from = lp.open_readable(ReadableOptions::new(), chunks(100_000, 10), ()).unwrap();
        let to = lp.open_writable(WritableOptions::new(), take.clone(), take.clone()).unwrap();
        let done = Rc::new(Cell::new(0));
        let d = done.clone();
        let through = (0..stages).map(|_| Box::new(Twice) as Box<dyn Transform>).collect();
        lp.pipeline(from, through, to, move |_, result| {
            result.unwrap();
            add(&d, 1);
        })
        .unwrap();
        lp.run().unwrap();
        assert_eq!((take.0.bytes.get(), done.get()), (1_000_000 << stages, 1));
        assert_eq!((take.0.ended.get(), take.0.closed.get()), (1, 1));
        nothing_is_left(&mut lp);
    }
}

#[test]
fn a_sink_that_takes_at_once_gets_everything() {
    let mut lp = guarded();
    let take = Take::default();
    let to = lp.open_writable(WritableOptions::new(), take.clone(), take.clone()).unwrap();
    for _ in 0..320 {
        assert_ne!(lp.writable(to).write(vec![1; 64 << 10]), Flow::Closed);
    }
    lp.writable(to).end();
    lp.run().unwrap();
    assert_eq!(take.0.bytes.get(), 20 << 20);
    assert_eq!((take.0.ended.get(), take.0.closed.get()), (1, 1));
    nothing_is_left(&mut lp);
}

/// More completions than one dispatch tells.
#[test]
fn every_completion_is_told() {
    let mut lp = guarded();
    let take = Take::default();
    let to = lp.open_writable(WritableOptions::new(), take.clone(), take.clone()).unwrap();
    for id in 0..5_500 {
        assert_ne!(lp.writable(to).write_id("", id), Flow::Closed);
    }
    lp.run().unwrap();
    assert_eq!(take.0.written.get(), 5_500);
}

/// The same of a connection that does not keep the loop alive by itself.
#[test]
fn every_completion_of_an_unreferenced_connection_is_told() {
    let mut lp = guarded();
    let (_peer, ours) = pair();
    let written = Rc::new(Cell::new(0));
    let w = written.clone();
    let key = lp.adopt(ours, On::new().written(move |_, _, _| add(&w, 1))).unwrap();
    lp.set_ref(key, false).unwrap();
    for id in 0..5_500 {
        assert_ne!(lp.socket(key).write_id("", id), Flow::Closed);
    }
    lp.run().unwrap();
    assert_eq!(written.get(), 5_500);
}

/// The source waits for nothing but the connection, and the connection for nothing but the
/// source.
#[test]
fn a_source_is_piped_into_a_connection_to_its_end() {
    let mut lp = guarded();
    let got = Rc::new(Cell::new(0));
    let g = got.clone();
    let server = lp
        .listen("127.0.0.1:0", move |mut conn| {
            conn.server(conn.server_key()).close().unwrap();
            let g = g.clone();
            conn.accept(On::new().data(move |_, chunk| add(&g, chunk.len())));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let to = lp.connect(at, On::new());
    let from = lp.open_readable(ReadableOptions::new(), chunks(160, 64 << 10), ()).unwrap();
    let done = Rc::new(Cell::new(0));
    let d = done.clone();
    lp.pipe(from, to, move |_, result| {
        result.unwrap();
        add(&d, 1);
    })
    .unwrap();
    lp.run().unwrap();
    assert_eq!((got.get(), done.get()), (10 << 20, 1));
    nothing_is_left(&mut lp);
}

/// Completed from a timer, from a tick and from another thread: each time a budget's worth
/// is to be done at once.
#[test]
fn what_a_late_completion_makes_due_is_done() {
    struct Late;
    impl Sink for Late {
        fn write(&mut self, w: &mut WritableCx<'_>, _: &[Bytes]) -> Result<Progress, BoxError> {
            let key = w.key();
            let complete = move |cx: &mut Cx<'_>| cx.writable(key).written(Ok(())).unwrap();
            match w.cx().turn() % 3 {
                0 => w.next_tick(complete),
                1 => {
                    w.timer(Duration::ZERO, move |cx, _| complete(cx));
                }
                _ => {
                    let stay = w.cx().keep_alive("a completion").unwrap();
                    let remote = w.remote();
                    std::thread::spawn(move || {
                        remote.post(complete).unwrap();
                        drop(stay);
                    });
                }
            }
            Ok(Progress::Later)
        }
    }
    let mut lp = guarded();
    let take = Take::default();
    let to = lp.open_writable(WritableOptions::new().gather(1), Late, take.clone()).unwrap();
    for id in 0..20 {
        for _ in 0..3 {
            assert_ne!(lp.writable(to).write_id(vec![0; 100_000], id), Flow::Closed);
        }
    }
    lp.writable(to).end();
    lp.run().unwrap();
    assert_eq!(take.0.written.get(), 60);
    nothing_is_left(&mut lp);
}

/// A pause is nobody's work: the loop returns, and what is resumed goes to its end.
#[test]
fn a_paused_stream_lets_the_loop_return_and_a_resumed_one_ends() {
    struct Stops(Take);
    impl ReadHandler for Stops {
        fn on_data(&mut self, r: &mut ReadableCx<'_>, chunk: Bytes) {
            self.0.on_data(r, chunk);
            if self.0.0.bytes.get() == 5 << 20 {
                r.pause();
            }
        }
        fn on_close(&mut self, cx: &mut Cx<'_>, close: StreamClose) {
            ReadHandler::on_close(&mut self.0, cx, close);
        }
    }
    let mut lp = guarded();
    let take = Take::default();
    let source = chunks(160, 64 << 10);
    let key = lp.open_readable(ReadableOptions::new(), source, Stops(take.clone())).unwrap();
    lp.run().unwrap();
    assert_eq!(take.0.bytes.get(), 5 << 20);
    assert!(!lp.is_alive() && lp.why_alive().is_empty());
    lp.readable(key).resume();
    lp.run().unwrap();
    assert_eq!((take.0.bytes.get(), take.0.closed.get()), (10 << 20, 1));
    nothing_is_left(&mut lp);
}

/// Between two turns: alive, named, and the next poll does not block.
#[test]
fn what_is_queued_is_alive_and_why_alive_names_it() {
    let mut lp = guarded();
    let take = Take::default();
    let source = chunks(160, 64 << 10);
    lp.open_readable(ReadableOptions::new(), source, take.clone()).unwrap();
    let mut turns = 0;
    loop {
        assert!(lp.is_alive());
        let names: Vec<_> = lp.why_alive().iter().map(|h| h.kind).collect();
        assert_eq!(names, ["readable"]);
        assert_eq!(lp.backend_timeout(), Some(Duration::ZERO));
        turns += 1;
        let more = if turns % 2 == 0 { lp.run_once() } else { lp.run_nowait() }.unwrap();
        if !more {
            break;
        }
    }
    assert!(turns > 4, "{turns} turns");
    assert_eq!(take.0.bytes.get(), 10 << 20);
    nothing_is_left(&mut lp);
}

/// libuv: an active handle that is not referenced does not hold `uv_run`, however ready its
/// descriptor is.
#[cfg(unix)]
#[test]
fn an_unreferenced_watcher_that_never_drains_lets_the_loop_return() {
    use mio::net::UnixStream;
    let mut lp = guarded();
    let (source, mut peer) = UnixStream::pair().unwrap();
    peer.write_all(b"never read").unwrap();
    let calls = Rc::new(Cell::new(0));
    let c = calls.clone();
    let watch = lp.watch(source, Interest::READABLE, move |_, _, _, _| add(&c, 1)).unwrap();
    lp.set_ref(watch, false).unwrap();
    lp.timer(Duration::from_millis(5), |_, _| {});
    lp.run().unwrap();
    assert!(calls.get() > 0);
    assert!(!lp.is_alive() && lp.why_alive().is_empty());
    let before = calls.get();
    lp.run().unwrap();
    assert_eq!(calls.get(), before);
    // Beside a stream that has something to do it is called, and ends with that.
    let take = Take::default();
    lp.open_readable(ReadableOptions::new(), chunks(160, 64 << 10), take.clone()).unwrap();
    lp.run().unwrap();
    assert_eq!(take.0.closed.get(), 1);
    assert!(calls.get() > before);
}

/// A server that is not referenced and has spent its budget, and a connection that is not
/// referenced and has more to read than its budget.
#[test]
fn an_unreferenced_server_or_connection_with_more_to_do_lets_the_loop_return() {
    let mut lp = guard(
        Loop::builder()
            .limits(NetLimits::new().accept_budget(1).read_budget(1000))
            .limits(StreamLimits::new().read_budget(1000))
            .build()
            .unwrap(),
    );
    let reads = Rc::new(RefCell::new(0u32));
    let r = reads.clone();
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let r = r.clone();
            let mut s = conn.accept(On::new().data(move |_, _| *r.borrow_mut() += 1));
            let key = s.key();
            s.cx().set_ref(key, false).unwrap();
        })
        .unwrap();
    lp.set_ref(server, false).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let clients: Vec<_> = (0..20).map(|_| client(at)).collect();
    for c in &clients {
        write_all(c, &[0; 50_000]);
    }
    // Until the first is accepted, and until something is read.
    let stay = |lp: &mut Loop, until: fn(&mut Cx<'_>, ServerKey, u32) -> bool| {
        let reads = reads.clone();
        lp.check(move |cx, me| {
            if until(cx, server, *reads.borrow()) {
                cx.close(me).unwrap();
            }
        });
        lp.run().unwrap();
    };
    stay(&mut lp, |cx, server, _| cx.server(server).stats().unwrap().accepted > 0);
    assert!(lp.server(server).stats().unwrap().accepted < 20);
    stay(&mut lp, |_, _, reads| reads > 0);
    assert!(!lp.is_alive(), "{:?}", lp.why_alive());
}
