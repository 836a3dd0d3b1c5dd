//! Random things done in every callback of streams, transforms, pipes and connections, with
//! and without panics: one end each, nothing after it, no pipe left waiting.

mod act;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use act::act;
use bytes::{Bytes, BytesMut};
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::support::*;

#[derive(Default)]
struct World {
    seed: Cell<u64>,
    panics: Cell<bool>,
    quiet: Cell<bool>,
    made: Cell<usize>,
    r: RefCell<Vec<ReadableKey>>,
    w: RefCell<Vec<WritableKey>>,
    s: RefCell<Vec<SocketKey>>,
    p: RefCell<Vec<PipeKey>>,
    counts: RefCell<std::collections::BTreeMap<(&'static str, usize), usize>>,
    trace: RefCell<Vec<String>>,
    ends: RefCell<Vec<(usize, tidegate::Key, tidegate::Key)>>,
}

type W = Rc<World>;

impl World {
    fn rnd(&self, n: u64) -> u64 {
        let mut x = self.seed.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed.set(x);
        (x >> 11) % n
    }
    fn hit(&self, what: &'static str, id: usize) {
        self.trace.borrow_mut().push(format!("{what} {id}"));
        *self.counts.borrow_mut().entry((what, id)).or_default() += 1;
    }
    fn expect(&self, what: &'static str, id: usize) {
        self.counts.borrow_mut().entry((what, id)).or_default();
    }
    fn id(&self) -> usize {
        self.made.set(self.made.get() + 1);
        self.made.get()
    }
    fn check_open(&self, closed: &'static str, id: usize) {
        assert!(
            self.counts.borrow().get(&(closed, id)).copied().unwrap_or(0) == 0,
            "called after {closed} {id}: {:#?}",
            self.trace.borrow()
        );
    }
}

fn pick<T: Copy>(w: &W, v: &RefCell<Vec<T>>) -> Option<T> {
    let v = v.borrow();
    if v.is_empty() { None } else { Some(v[w.rnd(v.len() as u64) as usize]) }
}

struct Src(W, usize);

impl Source for Src {
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        self.0.check_open("src destroy", self.1);
        match self.0.rnd(12) {
            0 => {
                let _ = r.push("");
            }
            1 => r.push_end(),
            2..=6 => {
                let n = self.0.rnd(9000) as usize;
                let _ = r.push(vec![9; n]);
            }
            7 if self.0.rnd(4) == 0 => return Err("src".into()),
            8..=10 => {
                let key = r.key();
                r.next_tick(move |cx| {
                    let _ = cx.readable(key).push("later");
                });
            }
            _ => {}
        }
        act(&self.0, &mut r.cx());
        Ok(())
    }
    fn destroy(&mut self, cx: &mut Cx<'_>, _: Result<(), &StreamError>) {
        self.0.hit("src destroy", self.1);
        act(&self.0, cx);
    }
}

struct Rd(W, usize);

impl ReadHandler for Rd {
    fn on_data(&mut self, r: &mut ReadableCx<'_>, c: Bytes) {
        self.0.check_open("r close", self.1);
        assert!(!c.is_empty());
        act(&self.0, &mut r.cx())
    }
    fn on_readable(&mut self, r: &mut ReadableCx<'_>) {
        self.0.check_open("r close", self.1);
        if self.0.rnd(2) == 0 {
            r.read_all();
        } else {
            r.read(self.0.rnd(5000) as usize);
        }
        act(&self.0, &mut r.cx())
    }
    fn on_end(&mut self, r: &mut ReadableCx<'_>) {
        self.0.check_open("r close", self.1);
        act(&self.0, &mut r.cx())
    }
    fn on_close(&mut self, cx: &mut Cx<'_>, _: StreamClose) {
        self.0.hit("r close", self.1);
        act(&self.0, cx)
    }
}

struct Snk(W, usize);

impl Sink for Snk {
    fn write(&mut self, w: &mut WritableCx<'_>, _: &[Bytes]) -> Result<Progress, BoxError> {
        self.0.check_open("snk destroy", self.1);
        act(&self.0, &mut w.cx());
        match self.0.rnd(10) {
            0..=4 => Ok(Progress::Done),
            5 => {
                let _ = w.written(Ok(()));
                Ok(Progress::Later)
            }
            6 if self.0.rnd(4) == 0 => Err("snk".into()),
            _ => {
                let k = w.key();
                w.next_tick(move |cx| {
                    let _ = cx.writable(k).written(Ok(()));
                });
                Ok(Progress::Later)
            }
        }
    }
    fn finish(&mut self, w: &mut WritableCx<'_>) -> Result<Progress, BoxError> {
        self.0.check_open("snk destroy", self.1);
        act(&self.0, &mut w.cx());
        match self.0.rnd(8) {
            0..=4 => Ok(Progress::Done),
            5 => Err("fin".into()),
            _ => {
                let k = w.key();
                w.next_tick(move |cx| {
                    let _ = cx.writable(k).written(Ok(()));
                });
                Ok(Progress::Later)
            }
        }
    }
    fn destroy(&mut self, cx: &mut Cx<'_>, _: Result<(), &StreamError>) {
        self.0.hit("snk destroy", self.1);
        act(&self.0, cx);
    }
}

struct Wr(W, usize);

impl WriteHandler for Wr {
    fn on_drain(&mut self, w: &mut WritableCx<'_>) {
        self.0.check_open("w close", self.1);
        act(&self.0, &mut w.cx())
    }
    fn on_written(&mut self, w: &mut WritableCx<'_>, id: u64, _: Result<(), &StreamError>) {
        self.0.check_open("w close", self.1);
        self.0.hit("written", id as usize);
        act(&self.0, &mut w.cx())
    }
    fn on_finish(&mut self, w: &mut WritableCx<'_>) {
        self.0.check_open("w close", self.1);
        self.0.hit("w finish", self.1);
        act(&self.0, &mut w.cx())
    }
    fn on_close(&mut self, cx: &mut Cx<'_>, _: StreamClose) {
        self.0.hit("w close", self.1);
        act(&self.0, cx)
    }
}

struct Tr(W);

impl Transform for Tr {
    fn transform(&mut self, cx: &mut Cx<'_>, c: &[u8], out: &mut BytesMut) -> Result<(), BoxError> {
        act(&self.0, cx);
        match self.0.rnd(10) {
            0 => {}
            1 if self.0.rnd(4) == 0 => return Err("tr".into()),
            2 => {
                out.extend_from_slice(c);
                out.extend_from_slice(c)
            }
            _ => out.extend_from_slice(c),
        }
        Ok(())
    }
    fn flush(&mut self, cx: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        act(&self.0, cx);
        out.extend_from_slice(b"end");
        Ok(())
    }
}

struct Hd(W, usize);

impl Handler for Hd {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        act(&self.0, &mut s.cx())
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, _: &[u8]) {
        self.0.check_open("s close", self.1);
        act(&self.0, &mut s.cx())
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.0.check_open("s close", self.1);
        act(&self.0, &mut s.cx())
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.0.check_open("s close", self.1);
        act(&self.0, &mut s.cx())
    }
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.0.check_open("s close", self.1);
        act(&self.0, &mut s.cx())
    }
    fn on_close(&mut self, s: &mut SocketCx<'_>, _: tidegate::net::Close) {
        self.0.hit("s close", self.1);
        act(&self.0, &mut s.cx())
    }
}

fn open(w: &W, cx: &mut Cx<'_>) {
    if w.r.borrow().len() > 30 {
        return;
    }
    let id = w.id();
    let o = ReadableOptions::new().high_water_mark(w.rnd(8000) as usize).pull(w.rnd(5) == 0);
    let k = cx.open_readable(o, Src(w.clone(), id), Rd(w.clone(), id)).unwrap();
    w.expect("src destroy", id);
    w.expect("r close", id);
    w.r.borrow_mut().push(k);
    let o =
        WritableOptions::new().high_water_mark(w.rnd(8000) as usize).gather(1 + w.rnd(4) as usize);
    let k = cx.open_writable(o, Snk(w.clone(), id), Wr(w.clone(), id)).unwrap();
    w.expect("snk destroy", id);
    w.expect("w close", id);
    w.w.borrow_mut().push(k);
}

fn pipe(w: &W, cx: &mut Cx<'_>) {
    if w.p.borrow().len() > 60 {
        return;
    }
    let id = w.id();
    let v = w.clone();
    let done = move |cx: &mut Cx<'_>, _: Result<(), PipeError>| {
        v.hit("done", id);
        act(&v, cx)
    };
    let through: Vec<Box<dyn Transform>> =
        (0..w.rnd(3)).map(|_| Box::new(Tr(w.clone())) as _).collect();
    let (r, wr, s, t) = (pick(w, &w.r), pick(w, &w.w), pick(w, &w.s), pick(w, &w.s));
    let which = w.rnd(4);
    let p = match (which, r, wr, s, t) {
        (0, Some(r), Some(k), ..) => cx.pipeline(r, through, k, done),
        (1, Some(r), _, Some(s), _) => cx.pipeline(r, through, s, done),
        (2, _, Some(k), Some(s), _) => cx.pipeline(s, through, k, done),
        (_, _, _, Some(s), Some(t)) => cx.pipeline(s, through, t, done),
        _ => return,
    };
    w.expect("done", id);
    let e = match (which, r, wr, s, t) {
        (0, Some(r), Some(k), ..) => (r.into(), k.into()),
        (1, Some(r), _, Some(s), _) => (r.into(), s.into()),
        (2, _, Some(k), Some(s), _) => (s.into(), k.into()),
        (_, _, _, Some(s), Some(t)) => (s.into(), t.into()),
        _ => return,
    };
    w.ends.borrow_mut().push((id, e.0, e.1));
    w.p.borrow_mut().push(p.unwrap());
}

fn run(seed: u64, panics: bool, sockets: bool) {
    let w = W::default();
    w.seed.set(seed.wrapping_mul(0x9E3779B97F4A7C15) | 1);
    w.panics.set(panics);
    let mut lp = guard(
        Loop::builder()
            .limits(NetLimits::new().read_budget(20_000).write_budget(20_000))
            .limits(StreamLimits::new().read_budget(20_000).write_budget(20_000))
            .build()
            .unwrap(),
    );
    for _ in 0..3 {
        open(&w, &mut lp.cx());
    }
    if sockets {
        let v = w.clone();
        let server = lp
            .listen(ListenOptions::new("127.0.0.1:0").allow_half_open(w.rnd(2) == 0), move |conn| {
                let id = v.id();
                v.expect("s close", id);
                let s = conn.accept(Hd(v.clone(), id));
                v.s.borrow_mut().push(s.key());
            })
            .unwrap();
        let at = lp.server(server).local_addr().unwrap();
        for _ in 0..3 {
            let id = w.id();
            w.expect("s close", id);
            let k = lp
                .connect(ConnectOptions::new(at).allow_half_open(w.rnd(2) == 0), Hd(w.clone(), id));
            w.s.borrow_mut().push(k);
        }
    }
    for _ in 0..4 {
        pipe(&w, &mut lp.cx());
    }
    for _ in 0..60 {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            lp.run_nowait().unwrap();
        }));
        let _ = catch_unwind(AssertUnwindSafe(|| act(&w, &mut lp.cx())));
    }
    w.quiet.set(true);
    for _ in 0..200 {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            lp.run_nowait().unwrap();
        }));
    }
    for (id, a, b) in w.ends.borrow().iter() {
        let told = w.counts.borrow()[&("done", *id)] > 0;
        let (a, b) = (lp.is_open(*a), lp.is_open(*b));
        assert!(
            told || a && b,
            "seed {seed}: pipe {id} hangs, source open {a}, sink open {b}: {:#?}",
            w.trace.borrow()
        );
        STAT.with(|s| {
            let mut t = s.get();
            if told {
                t.0 += 1
            } else {
                t.1 += 1
            }
            s.set(t)
        });
    }
    w.trace.borrow_mut().push("--- close all".into());
    lp.close_all();
    let mut n = 0;
    while !matches!(catch_unwind(AssertUnwindSafe(|| lp.run_nowait().unwrap())), Ok(false)) {
        n += 1;
        assert!(n < 10_000);
    }
    EV.set(EV.get() + w.trace.borrow().len());
    let bad: Vec<_> = w
        .counts
        .borrow()
        .iter()
        .filter(|((what, _), n)| **n != 1 && *what != "w finish" || **n > 1)
        .map(|(k, n)| (*k, *n))
        .collect();
    let tail: Vec<String> = w.trace.borrow().clone();
    assert!(bad.is_empty(), "seed {seed}: {bad:?}\n{tail:#?}");
    assert_eq!(lp.handles(), 0, "seed {seed}");
}

thread_local! { static STAT: Cell<(u32, u32)> = const { Cell::new((0, 0)) }; static EV: Cell<usize> = const { Cell::new(0) }; }

fn many(n: u64, panics: bool, sockets: bool) {
    let mut bad = Vec::new();
    for seed in 1..=n {
        if let Err(e) = catch_unwind(AssertUnwindSafe(|| run(seed, panics, sockets))) {
            let m = e.downcast_ref::<String>().cloned().unwrap_or_default();
            bad.push((seed, m.lines().next().unwrap_or("").to_string()));
        }
    }
    println!("pipes told, not told: {:?}; {} events", STAT.get(), EV.get());
    assert!(bad.is_empty(), "{} of {n}: {:#?}", bad.len(), &bad[..bad.len().min(10)]);
}

#[test]
fn streams() {
    many(300, false, false)
}

#[test]
fn streams_that_panic() {
    many(300, true, false)
}

#[test]
fn streams_and_connections() {
    many(100, false, true)
}

#[test]
fn streams_and_connections_that_panic() {
    many(100, true, true)
}
