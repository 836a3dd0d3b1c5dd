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

/// A filter that keeps, splits, is late, leaves and fails as it likes. It changes no byte.
struct Odd {
    rng: Rc<RefCell<R>>,
    up: Vec<u8>,
    down: Vec<u8>,
    fin: bool,
}

impl Odd {
    fn new(rng: &Rc<RefCell<R>>) -> Odd {
        Odd { rng: rng.clone(), up: Vec::new(), down: Vec::new(), fin: false }
    }

    fn n(&self, m: usize) -> usize {
        self.rng.borrow_mut().n(m as u64) as usize
    }

    fn go_on(&mut self, out: &mut Passed, up: bool) -> Result<(), FilterError> {
        let n = if up { self.n(self.up.len() + 1) } else { 0 };
        out.up.extend(self.up.drain(..n));
        let n = self.n(self.down.len() + 1);
        out.down.extend(self.down.drain(..n));
        match self.n(40) {
            0 if up => {
                out.up.append(&mut self.up);
                out.down.append(&mut self.down);
                if self.fin {
                    out.end();
                }
                out.leave();
            }
            1 => return Err("odd".into()),
            2 if up => std::panic::resume_unwind(Box::new("odd")),
            3..20 => out.ready(),
            20..30 if up && self.fin => {
                out.up.append(&mut self.up);
                out.end();
            }
            _ => {}
        }
        Ok(())
    }
}

impl Filter for Odd {
    fn start(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        self.go_on(out, true)
    }
    fn inbound(&mut self, wire: &mut [u8], out: &mut Passed) -> Result<(), FilterError> {
        assert!(!self.fin);
        self.up.extend_from_slice(wire);
        self.go_on(out, true)
    }
    fn inbound_end(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        self.fin = true;
        self.go_on(out, true)
    }
    fn outbound(&mut self, user: &[u8], out: &mut Passed) -> Result<usize, FilterError> {
        let taken = self.n(user.len() + 1);
        self.down.extend_from_slice(&user[..taken]);
        self.go_on(out, false)?;
        Ok(taken)
    }
    fn close(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        out.down.append(&mut self.down);
        Ok(())
    }
    fn poke(&mut self, out: &mut Passed) -> Result<(), FilterError> {
        self.go_on(out, true)
    }
    fn held(&self) -> Held {
        Held { user: self.down.len(), wire: self.up.len() }
    }
}

/// Some connections of a server have two of them.
struct OddSeed(u64);

impl FilterFactory for OddSeed {
    fn make(&self) -> Box<dyn Filter> {
        Box::new(Odd::new(&Rc::new(RefCell::new(R(self.0)))))
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
    .ready(act)
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
        let n = self.rng.borrow_mut().n(40);
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
            32 => s.set_filter(Odd::new(&self.rng)),
            33..36 => s.poke_filter(),
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
    fn on_ready(&mut self, s: &mut SocketCx<'_>) {
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
        let odd = |n| OddSeed(seed.wrapping_mul(0x9E3779B97F4A7C15) + n);
        let o = match seed % 4 {
            1 => o.filter(odd(1)).filter(odd(2)).handshake_timeout(4 * MS),
            _ => o,
        };
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
