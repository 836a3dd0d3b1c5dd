//! Random things done in every callback of racing clients and of a server that shuts down: one
//! close each, nothing after it, and the loop ends.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tidegate::kind::{Dispatch, LayerId};
use tidegate::net::*;
use tidegate::prelude::*;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);
struct R(u64);
impl R {
    fn n(&mut self, m: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % m
    }
}

#[derive(Clone)]
struct W {
    rng: Rc<RefCell<R>>,
    closed: Rc<Cell<u32>>,
    calls_after: Rc<Cell<u32>>,
    panics: bool,
}

/// The same as a protocol, pushed and pulled. Its state is in a slab of the loop's.
static ACTORS: LayerId<Vec<W>> = LayerId::new(Vec::new);

fn act(d: &mut Dispatch<'_>, key: SocketKey, at: u64) {
    let w = d.layer(&ACTORS).0[at as usize].clone();
    w.act(&mut d.cx().socket(key));
}

const ACTS: Protocol = Protocol::new("acts")
    .connect(act)
    .end(act)
    .hangup(|d, key, at, _| act(d, key, at))
    .drain(act)
    .written(|d, key, at, _, _| act(d, key, at))
    .finish(act)
    .timeout(act)
    .timer(|d, key, at, _| act(d, key, at))
    .shutdown(act)
    .writable(act)
    .replaced(|cx, _, at| cx.layer(&ACTORS).0[at as usize].over())
    .close(|d, _, at, _| d.layer(&ACTORS).0[at as usize].over());
static PUSHED: Protocol = ACTS.data(|d, key, at, _| act(d, key, at));
static PULLED: Protocol = ACTS.readable(act);

impl W {
    fn over(&self) {
        self.closed.set(self.closed.get() + 1);
    }

    /// In a third of the cases each: a handler, a protocol, one that reads itself.
    fn accept(self, mut conn: Incoming<'_>) {
        let n = self.rng.borrow_mut().n(3);
        if n == 0 {
            conn.accept(self);
            return;
        }
        let actors = conn.cx().layer(&ACTORS).0.len() as u64;
        conn.cx().layer(&ACTORS).0.push(self);
        let protocol = if n == 1 { &PUSHED } else { &PULLED };
        conn.accept_as(protocol, actors).unwrap();
    }

    fn act(&self, s: &mut SocketCx<'_>) {
        if self.closed.get() > 0 {
            self.calls_after.set(self.calls_after.get() + 1);
        }
        let n = self.rng.borrow_mut().n(36);
        let d = MS * self.rng.borrow_mut().n(4) as u32;
        match n {
            0 => s.destroy(),
            1 => s.reset(),
            2 | 3 => s.end(),
            4 => s.pause(),
            5 => s.resume(),
            6 => s.set_idle_timeout(d),
            7 => s.set_lifetime(d),
            8 => s.set_linger_timeout(d),
            9..=12 => {
                let _ = s.write_id(vec![1u8; 3000], 1);
            }
            13 if self.panics => std::panic::resume_unwind(Box::new(1)),
            14 => s.cork(),
            15 => s.uncork(),
            16 => {
                s.connect("127.0.0.1:1", On::new().close(|_, _| {}));
            }
            17 => s.end_and_drain(2000, d, d),
            18 | 19 => s.unread(&[2; 100]),
            20..=25 => {
                let _ = s.read_now(&mut [0; 1000]);
            }
            26 | 27 => {
                let _ = s.write_now(&[IoSlice::new(&[3; 2000]), IoSlice::new(&[4; 50_000])]);
            }
            28 => {
                let _ = s.write_gathered(&["a".into(), vec![1; 20_000].into()]);
            }
            // The one that was above is over; it counts one more close for this.
            29 if self.closed.get() == 0 => {
                let next = s.cx().layer(&ACTORS).0.len() as u64;
                s.cx().layer(&ACTORS).0.push(W { closed: Rc::default(), ..self.clone() });
                if s.set_protocol(if next % 2 == 0 { &PUSHED } else { &PULLED }, next) {
                    self.closed.set(self.closed.get().max(1));
                }
            }
            30 => s.set_timer(d.as_micros() as u64, d),
            31 => s.clear_timer(1000),
            _ => {}
        }
    }
}
impl Handler for W {
    fn on_connect(&mut self, s: &mut SocketCx<'_>) {
        self.act(s)
    }
    fn on_data(&mut self, s: &mut SocketCx<'_>, _: &[u8]) {
        self.act(s)
    }
    fn on_drain(&mut self, s: &mut SocketCx<'_>) {
        self.act(s)
    }
    fn on_written(&mut self, s: &mut SocketCx<'_>, _: u64, _: Result<(), &Reason>) {
        self.act(s)
    }
    fn on_end(&mut self, s: &mut SocketCx<'_>) {
        self.act(s)
    }
    fn on_hangup(&mut self, s: &mut SocketCx<'_>, _: PeerState) {
        self.act(s)
    }
    fn on_finish(&mut self, s: &mut SocketCx<'_>) {
        self.act(s)
    }
    fn on_timeout(&mut self, s: &mut SocketCx<'_>) {
        self.act(s)
    }
    fn on_shutdown(&mut self, s: &mut SocketCx<'_>) {
        self.act(s)
    }
    fn on_close(&mut self, _s: &mut SocketCx<'_>, _: Close) {
        self.closed.set(self.closed.get() + 1);
    }
}

#[test]
fn random() {
    for seed in 1..80u64 {
        let mut lp = guarded();
        let rng = Rc::new(RefCell::new(R(seed.wrapping_mul(0x9E3779B97F4A7C15))));
        let after = Rc::new(Cell::new(0));
        let all: Rc<RefCell<Vec<Rc<Cell<u32>>>>> = Rc::default();
        let new = {
            let (rng, all, after) = (rng.clone(), all.clone(), after.clone());
            move || {
                let c = Rc::new(Cell::new(0));
                all.borrow_mut().push(c.clone());
                W { rng: rng.clone(), closed: c, calls_after: after.clone(), panics: seed % 2 == 0 }
            }
        };
        let n2 = new.clone();
        let r2 = rng.clone();
        let o = ListenOptions::new("0.0.0.0:0")
            .max_connections(3, if seed % 3 == 0 { AtLimit::Hold } else { AtLimit::Drop })
            .idle_timeout(3 * MS)
            .linger_timeout(4 * MS)
            .lifetime(30 * MS);
        let server = lp
            .listen(o, move |mut c| {
                let srv = c.server_key();
                match r2.borrow_mut().n(12) {
                    0 => {
                        let _ = c.server(srv).pause();
                    }
                    1 => {
                        let _ = c.server(srv).resume();
                    }
                    2 => return c.reject(),
                    3 => return,
                    _ => {}
                }
                n2().accept(c);
            })
            .unwrap();
        let port = lp.server(server).local_addr().unwrap().port();
        let mut keys = Vec::new();
        for _ in 0..8 {
            let late = rng.borrow_mut().n(3);
            let o = ConnectOptions::new(("tide.example", port))
                .connect_timeout(20 * MS)
                .attempt_delay(10 * MS)
                .lifetime(40 * MS)
                .lookup(move |cx, _, a| {
                    let ips = Ok(vec![
                        "::1".parse().unwrap(),
                        "127.0.0.1".parse().unwrap(),
                        "127.0.0.2".parse().unwrap(),
                    ]);
                    if late == 0 {
                        a.give(cx, ips)
                    } else {
                        let mut x = Some((a, ips));
                        cx.timer(MS * late as u32, move |cx, _| {
                            let (a, ips) = x.take().unwrap();
                            a.give(cx, ips)
                        });
                    }
                });
            keys.push(lp.connect(o, new()));
        }
        let step = |lp: &mut Loop| {
            let _r = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run_nowait()));
        };
        for _ in 0..60 {
            let n = rng.borrow_mut().n(20);
            let k = rng.borrow_mut().n(8) as usize;
            match n {
                0 => lp.socket(keys[k]).destroy(),
                1 => lp.socket(keys[k]).reset(),
                2 => lp.socket(keys[k]).end(),
                3 => {
                    let _ = lp.socket(keys[k]).write(b"abcdef");
                }
                4 => lp.server(server).pause().unwrap(),
                5 | 6 => lp.server(server).resume().unwrap(),
                _ => {}
            }
            step(&mut lp);
            if n > 10 {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
        lp.server(server).shutdown(5 * MS).unwrap();
        let start = Instant::now();
        let step_once = |lp: &mut Loop| {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lp.run_once()));
            assert!(start.elapsed() < Duration::from_secs(5), "seed {seed}: {:?}", lp.why_alive());
        };
        // The grace ends what is the server's, whatever it did to its deadlines.
        while lp.server(server).stats().is_ok() {
            step_once(&mut lp);
        }
        // A client that paused itself and took its deadlines back would stay.
        for key in keys {
            lp.socket(key).destroy();
        }
        while lp.is_alive() {
            step_once(&mut lp);
        }
        assert_eq!(after.get(), 0, "seed {seed}: calls after close");
        assert!(all.borrow().iter().all(|c| c.get() == 1), "seed {seed}: {:?}", all.borrow());
    }
}
