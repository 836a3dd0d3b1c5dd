//! Every byte arrives, in order, whatever the chunks, marks, filters, transforms and pauses.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tidegate::net::{Filter, FilterError, Passed};
use tidegate::prelude::*;
use tidegate::stream::*;

use crate::support::*;

#[derive(Clone)]
struct Rng(Rc<Cell<u64>>);
impl Rng {
    fn n(&self, n: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        (x >> 11) % n
    }
}
struct Src {
    g: Rng,
    left: Vec<u8>,
    at: usize,
}
impl Source for Src {
    fn read(&mut self, r: &mut ReadableCx<'_>) -> Result<(), BoxError> {
        let n = match self.g.n(4) {
            0 => 1,
            1 => self.g.n(100) as usize,
            2 => self.g.n(3000) as usize,
            _ => self.g.n(200_000) as usize,
        };
        let n = n.min(self.left.len() - self.at);
        let chunk = self.left[self.at..self.at + n].to_vec();
        self.at += n;
        let last = self.at == self.left.len();
        match self.g.n(5) {
            0 => {
                let k = r.key();
                r.next_tick(move |cx| {
                    let _ = cx.readable(k).push(chunk.clone());
                    if last {
                        cx.readable(k).push_end()
                    }
                });
            }
            1 => {
                let k = r.key();
                r.timer(Duration::ZERO, move |cx, _| {
                    let _ = cx.readable(k).push(chunk.clone());
                    if last {
                        cx.readable(k).push_end()
                    }
                });
            }
            _ => {
                let h = chunk.len() / 2;
                let _ = r.push(chunk[..h].to_vec());
                let _ = r.push(chunk[h..].to_vec());
                if last {
                    r.push_end()
                }
            }
        }
        Ok(())
    }
}
struct Snk {
    g: Rng,
    all: Rc<RefCell<Vec<u8>>>,
}
impl Sink for Snk {
    fn write(&mut self, w: &mut WritableCx<'_>, c: &[Bytes]) -> Result<Progress, BoxError> {
        self.all.borrow_mut().extend(c.concat());
        let k = w.key();
        match self.g.n(5) {
            0 => {
                let _ = w.written(Ok(()));
                Ok(Progress::Later)
            }
            1 => {
                w.timer(Duration::ZERO, move |cx, _| cx.writable(k).written(Ok(())).unwrap());
                Ok(Progress::Later)
            }
            2 => {
                w.next_tick(move |cx| cx.writable(k).written(Ok(())).unwrap());
                Ok(Progress::Later)
            }
            _ => Ok(Progress::Done),
        }
    }
    fn finish(&mut self, w: &mut WritableCx<'_>) -> Result<Progress, BoxError> {
        let k = w.key();
        if self.g.n(2) == 0 {
            return Ok(Progress::Done);
        }
        w.timer(Duration::ZERO, move |cx, _| cx.writable(k).written(Ok(())).unwrap());
        Ok(Progress::Later)
    }
}
/// Holds some back.
struct Hold(Rng, Vec<u8>);
impl Transform for Hold {
    fn transform(&mut self, _: &mut Cx<'_>, c: &[u8], out: &mut BytesMut) -> Result<(), BoxError> {
        self.1.extend(c);
        let n = self.0.n(self.1.len() as u64 + 1) as usize;
        out.extend(self.1.drain(..n));
        Ok(())
    }
    fn flush(&mut self, _: &mut Cx<'_>, out: &mut BytesMut) -> Result<(), BoxError> {
        out.extend(self.1.drain(..));
        Ok(())
    }
}
struct Xor(Rng, Vec<u8>);
impl Filter for Xor {
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        out.up.extend(wire.iter().map(|b| b ^ 1));
        Ok(())
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        self.1.extend(user.iter().map(|b| b ^ 1));
        let n = self.0.n(self.1.len() as u64 + 1) as usize;
        out.down.extend(self.1.drain(..n));
        Ok(user.len())
    }
    fn close(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        out.down.append(&mut self.1);
        Ok(())
    }
}
fn run(seed: u64, hops: u64) {
    let g = Rng(Rc::new(Cell::new(seed.wrapping_mul(0x9E3779B97F4A7C15) | 1)));
    let mut lp = guard(
        Loop::builder()
            .limits(
                NetLimits::new()
                    .read_budget(1 + g.n(300_000) as usize)
                    .write_budget(1 + g.n(300_000) as usize),
            )
            .limits(
                StreamLimits::new()
                    .read_budget(1 + g.n(300_000) as usize)
                    .write_budget(1 + g.n(300_000) as usize),
            )
            .build()
            .unwrap(),
    );
    let size = match g.n(3) {
        0 => g.n(10),
        1 => g.n(100_000),
        _ => g.n(4_000_000),
    } as usize;
    let data: Vec<u8> = (0..size).map(|i| (i % 251) as u8).collect();
    let log = Log::default();
    let done = |name: String| {
        let l = log.clone();
        move |_: &mut Cx<'_>, r: Result<(), PipeError>| {
            l.add(match r {
                Ok(()) => "ok".into(),
                Err(e) => format!("{name}: {e}"),
            })
        }
    };
    let through = |g: &Rng| -> Vec<Box<dyn Transform>> {
        (0..g.n(3)).map(|_| Box::new(Hold(g.clone(), vec![])) as _).collect()
    };
    let all = Rc::new(RefCell::new(vec![]));
    let mark = |g: &Rng| match g.n(3) {
        0 => 0,
        1 => g.n(1000) as usize,
        _ => 65536,
    };
    let to = lp
        .open_writable(
            WritableOptions::new().high_water_mark(mark(&g)).gather(1 + g.n(5) as usize),
            Snk { g: g.clone(), all: all.clone() },
            (),
        )
        .unwrap();
    let from = lp
        .open_readable(
            ReadableOptions::new().high_water_mark(mark(&g)),
            Src { g: g.clone(), left: data.clone(), at: 0 },
            (),
        )
        .unwrap();
    let mut pipes = 1;
    if hops == 0 {
        lp.pipeline(from, through(&g), to, done("only".into())).unwrap();
    } else {
        // from -> c0 ~ s0 -> c1 ~ s1 -> ... -> to
        let mut prev: Option<SocketKey> = None;
        let mut pending: Vec<Rc<Cell<Option<SocketKey>>>> = vec![];
        let mut conns = vec![];
        for _ in 0..hops {
            let slot = Rc::new(Cell::new(None));
            let k = slot.clone();
            let half = g.n(2) == 0;
            let f = g.n(3) == 0;
            let gg = g.clone();
            let server = lp
                .listen(ListenOptions::new("127.0.0.1:0").allow_half_open(true), move |mut conn| {
                    conn.server(conn.server_key()).close().unwrap();
                    let mut s = conn.accept(On::new());
                    s.pause();
                    if f {
                        s.set_filter(Xor(gg.clone(), vec![]))
                    }
                    k.set(Some(s.key()));
                })
                .unwrap();
            let at = lp.server(server).local_addr().unwrap();
            let c = lp.connect(ConnectOptions::new(at).allow_half_open(half), On::new());
            if f {
                lp.socket(c).set_filter(Xor(g.clone(), vec![]));
            }
            conns.push(c);
            pending.push(slot);
        }
        lp.pipeline(from, through(&g), conns[0], done("first".into())).unwrap();
        for i in 0..hops as usize {
            let p = pending[i].clone();
            turn_until(&mut lp, |_| p.get().is_some());
            prev = p.get();
            let s = prev.unwrap();
            pipes += 1;
            if i + 1 < hops as usize {
                lp.pipeline(s, through(&g), conns[i + 1], done(format!("hop {i}"))).unwrap();
            } else {
                lp.pipeline(s, through(&g), to, done("last".into())).unwrap();
            }
        }
        let _ = prev;
    }
    // the user meddles: pauses the source for a while
    let t = lp.interval(Duration::from_micros(200), {
        let g = g.clone();
        move |cx, _| {
            if g.n(3) == 0 {
                cx.readable(from).pause();
                cx.timer(Duration::ZERO, move |cx, _| cx.readable(from).resume());
            }
            if g.n(4) == 0 {
                cx.writable(to).cork();
                cx.timer(Duration::ZERO, move |cx, _| cx.writable(to).uncork());
            }
        }
    });
    turn_until(&mut lp, |_| log.lines().len() == pipes);
    lp.timer_stop(t).unwrap();
    assert!(log.lines().iter().all(|l| l == "ok"), "{:?}", log.lines());
    assert!(*all.borrow() == data, "{} of {}", all.borrow().len(), data.len());
    lp.close_all();
    lp.run().unwrap();
}
fn many(from: u64, n: u64, hops: u64) {
    for seed in from..from + n {
        if let Err(e) = catch_unwind(AssertUnwindSafe(|| run(seed, hops))) {
            panic!(
                "seed {seed} hops {hops}: {}",
                e.downcast_ref::<String>().cloned().unwrap_or_default()
            );
        }
    }
}
#[test]
fn from_stream_to_stream() {
    many(1, 60, 0)
}
#[test]
fn over_one_connection() {
    many(1000, 20, 1)
}
#[test]
fn over_three_connections() {
    many(2000, 10, 3)
}
