//! No deadline of a connection is early, not by a nanosecond of the loop's clock. It counts from
//! the end of the turn in which bytes moved at the latest, and comes in the turn after the one
//! that runs when it is due, as any timer does. The clock is a script: it moves when a callback
//! works, or when the loop waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use proptest::prelude::*;
use tidegate::net::Timeout;
use tidegate::prelude::*;
use tidegate::test::Script;

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

/// A connection of a scripted loop, and its peer.
fn adopted(lp: &mut Loop, on: On) -> (SocketKey, TcpStream) {
    let (peer, ours) = pair();
    (lp.adopt(ours, on).unwrap(), peer)
}

/// A connection with an idle timeout of 150 ms, which works for 120 ms and then answers the question
/// that waits for it; when it timed out, and its peer.
fn slow_answer() -> (Loop, Rc<Cell<Duration>>, TcpStream) {
    let (mut lp, script) = Loop::scripted().unwrap();
    let timed_out = Rc::new(Cell::new(Duration::ZERO));
    let (t, s1, s2) = (timed_out.clone(), script.clone(), script.clone());
    let on = On::new()
        .data(move |s, _| {
            s1.advance(120 * MS);
            assert_eq!(s.write(b"answer"), Flow::Ready);
        })
        .timeout(move |s| {
            t.set(s2.now());
            s.destroy();
        });
    let (key, peer) = adopted(&mut lp, on);
    lp.socket(key).set_idle_timeout(150 * MS);
    write_all(&peer, b"question");
    (lp, timed_out, peer)
}

/// `on_data` works, then writes: the idle time counts from the write.
#[test]
fn idle_counts_from_the_write_not_from_the_poll() {
    let (mut lp, timed_out, _peer) = slow_answer();
    lp.run().unwrap();
    assert!(timed_out.get() >= 270 * MS, "{:?}", timed_out.get());
    assert!(timed_out.get() <= 390 * MS, "{:?}", timed_out.get());
}

/// The same for a write from a timer, from a tick, and from outside of a run.
#[test]
fn idle_counts_from_writes_of_any_phase() {
    for place in ["timer", "tick", "outside"] {
        let (mut lp, script) = Loop::scripted().unwrap();
        let timed_out = Rc::new(Cell::new(Duration::ZERO));
        let (t, s) = (timed_out.clone(), script.clone());
        let on = On::new().timeout(move |c| {
            t.set(s.now());
            c.destroy();
        });
        let (key, _peer) = adopted(&mut lp, on);
        lp.socket(key).set_idle_timeout(150 * MS);
        lp.run_nowait().unwrap();
        let s = script.clone();
        let write = move |cx: &mut Cx<'_>| {
            s.advance(120 * MS);
            assert_eq!(cx.socket(key).write(b"x"), Flow::Ready);
        };
        match place {
            "timer" => drop(lp.timer(Duration::ZERO, move |cx, _| write(cx))),
            "tick" => lp.next_tick(write),
            _ => write(&mut lp.cx()),
        }
        lp.run().unwrap();
        let late = if place == "outside" { 0 } else { 120 };
        assert!(timed_out.get() >= 270 * MS, "{place}: {:?}", timed_out.get());
        assert!(timed_out.get() <= (270 + late + 1) * MS, "{place}: {:?}", timed_out.get());
    }
}

/// The peer ends while nothing is read; a linger timeout that is set later counts from then.
#[test]
fn linger_counts_from_when_it_is_set() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let closed = Rc::new(RefCell::new(None));
    let (c, s) = (closed.clone(), script.clone());
    let on = On::new().close(move |_, close| *c.borrow_mut() = Some((s.now(), close)));
    let (key, peer) = adopted(&mut lp, on);
    lp.socket(key).pause();
    lp.run_nowait().unwrap();
    script.advance(300 * MS);
    peer.shutdown(Shutdown::Write).unwrap();
    let state = |lp: &mut Loop| lp.socket(key).peer_state();
    turn_until_ended(&mut lp, state);
    script.advance(10 * MS);
    lp.socket(key).set_linger_timeout(150 * MS);
    lp.run().unwrap();
    let (at, close) = closed.borrow_mut().take().unwrap();
    assert!(matches!(close.reason, Reason::TimedOut(Timeout::Linger, _)), "{close}");
    assert_eq!(at, 460 * MS);
}

fn turn_until_ended(lp: &mut Loop, state: impl Fn(&mut Loop) -> tidegate::net::PeerState) {
    while state(lp) != tidegate::net::PeerState::Ended {
        lp.run_nowait().unwrap();
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    PeerWrites,
    PeerEnds,
    Write,
    End,
    Pause,
    Resume,
    Idle(u64),
    Linger(u64),
    Lifetime(u64),
}

/// One step of a program: after `wait`, and `before` of work, the operation, and `after` of
/// work. `answer` is what `on_data` works before it answers, if it does.
#[derive(Clone, Copy, Debug)]
struct Step {
    wait: u64,
    before: u64,
    op: Op,
    connection: usize,
    after: u64,
    answer: Option<u64>,
}

/// Microseconds, so that moments do not meet by chance alone.
fn time(below: u64) -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(0u64), 5 => 0..below]
}

fn step() -> impl Strategy<Value = Step> {
    let ms = || prop_oneof![1 => Just(0u64), 5 => 1u64..120];
    let op = prop_oneof![
        4 => Just(Op::PeerWrites),
        1 => Just(Op::PeerEnds),
        4 => Just(Op::Write),
        1 => Just(Op::End),
        2 => Just(Op::Pause),
        3 => Just(Op::Resume),
        3 => ms().prop_map(Op::Idle),
        2 => ms().prop_map(Op::Linger),
        1 => ms().prop_map(Op::Lifetime),
    ];
    let answer = prop::option::of(time(50_000));
    (time(60_000), time(60_000), op, 0..3usize, time(60_000), answer).prop_map(
        |(wait, before, op, connection, after, answer)| Step {
            wait,
            before,
            op,
            connection,
            after,
            answer,
        },
    )
}

/// What a connection's deadlines count from, as the test saw it.
#[derive(Clone, Debug, Default)]
struct Model {
    open: bool,
    active: Duration,
    idle: Duration,
    told: bool,
    lifetime: Option<Duration>,
    linger: Duration,
    /// When a side ended last, or the linger timeout was set.
    ended: Duration,
    half_closed: bool,
    paused: bool,
}

impl Model {
    fn moved(&mut self, now: Duration) {
        self.active = now;
        self.told = false;
    }

    fn deadline(&self, which: Timeout) -> Option<Duration> {
        match which {
            Timeout::Idle if !self.told && !self.idle.is_zero() => Some(self.active + self.idle),
            Timeout::Lifetime => self.lifetime,
            Timeout::Linger if self.half_closed && !self.linger.is_zero() => {
                Some(self.active.max(self.ended) + self.linger)
            }
            _ => None,
        }
    }
}

/// The world of one program.
#[derive(Clone)]
struct World {
    script: Script,
    models: Rc<RefCell<Vec<Model>>>,
    /// How long each turn worked.
    turns: Rc<RefCell<BTreeMap<u64, Duration>>>,
    answer: Rc<Cell<Option<u64>>>,
    wrong: Log,
}

impl World {
    fn work(&self, cx: &Cx<'_>, micros: u64) {
        self.script.advance(Duration::from_micros(micros));
        *self.turns.borrow_mut().entry(cx.turn()).or_default() += Duration::from_micros(micros);
    }

    fn longest(&self) -> Duration {
        self.turns.borrow().values().max().copied().unwrap_or_default()
    }

    fn with(&self, n: usize, f: impl FnOnce(&mut Model, Duration)) {
        f(&mut self.models.borrow_mut()[n], self.script.now());
    }

    /// A deadline came: now, and for this connection.
    fn came(&self, n: usize, which: Timeout) {
        let now = self.script.now();
        let model = self.models.borrow()[n].clone();
        match model.deadline(which) {
            Some(due) if now < due => {
                self.wrong.add(format!("{n}: {which} at {now:?}, due at {due:?}: {model:?}"));
            }
            Some(_) => {}
            None => {
                self.wrong.add(format!("{n}: {which} at {now:?}, and there is none: {model:?}"))
            }
        }
    }

    /// No open connection has one that is overdue: by the turn in which its bytes moved, the
    /// turn in which it became due, and the turn after that.
    fn none_late(&self) {
        let now = self.script.now();
        let late = 3 * self.longest();
        for (n, model) in self.models.borrow().iter().enumerate().filter(|(_, m)| m.open) {
            for which in [Timeout::Idle, Timeout::Lifetime, Timeout::Linger] {
                // The kernel may show a peer's end later, while nothing is read.
                let unseen = which == Timeout::Linger && model.paused;
                let due = model.deadline(which).filter(|_| !unseen);
                if due.is_some_and(|due| now > due + late) {
                    let due = due.unwrap();
                    self.wrong.add(format!("{n}: {which} is late: {due:?}, {now:?}, {model:?}"));
                }
            }
        }
    }

    fn handler(&self, n: usize) -> On {
        let [a, b, c, d, e] = [(); 5].map(|()| self.clone());
        On::new()
            .data(move |s, _| {
                a.with(n, |m, now| m.moved(now));
                if let Some(work) = a.answer.get() {
                    a.work(&s.cx(), work);
                    if s.write(b"answer") == Flow::Ready {
                        a.with(n, |m, now| m.moved(now));
                    }
                    a.work(&s.cx(), work / 2);
                }
            })
            .end(move |_| b.with(n, |m, now| (m.ended, m.half_closed) = (now, true)))
            .finish(move |_| c.with(n, |m, now| (m.ended, m.half_closed) = (now, true)))
            .timeout(move |_| {
                d.came(n, Timeout::Idle);
                d.with(n, |m, _| m.told = true);
            })
            .close(move |_, close| {
                if let Reason::TimedOut(which, _) = close.reason {
                    e.came(n, which);
                }
                e.with(n, |m, _| m.open = false);
            })
    }

    fn step(&self, cx: &mut Cx<'_>, keys: &[SocketKey], peers: &[TcpStream], step: Step) {
        self.none_late();
        self.work(cx, step.before);
        self.answer.set(step.answer);
        let n = step.connection;
        let mut s = cx.socket(keys[n]);
        let ms = Duration::from_millis;
        match step.op {
            // It may be over already.
            Op::PeerWrites => drop(std::io::Write::write_all(&mut &peers[n], b"x")),
            Op::PeerEnds => drop(peers[n].shutdown(Shutdown::Write)),
            Op::Write => {
                if s.write(b"y") == Flow::Ready {
                    self.with(n, |m, now| m.moved(now));
                }
            }
            Op::End => s.end(),
            Op::Pause => {
                s.pause();
                self.with(n, |m, _| m.paused = true);
            }
            Op::Resume => {
                s.resume();
                self.with(n, |m, _| m.paused = false);
            }
            Op::Idle(t) => {
                s.set_idle_timeout(ms(t));
                self.with(n, |m, now| {
                    m.idle = ms(t);
                    m.moved(now);
                });
            }
            Op::Linger(t) => {
                s.set_linger_timeout(ms(t));
                self.with(n, |m, now| (m.linger, m.ended) = (ms(t), now));
            }
            Op::Lifetime(t) => {
                s.set_lifetime(ms(t));
                self.with(n, |m, now| m.lifetime = (t > 0).then(|| now + ms(t)));
            }
        }
        // A peer's end is noticed while nothing is read, too.
        if let Op::PeerEnds = step.op {
            self.with(n, |m, now| {
                if m.paused && !m.half_closed {
                    (m.half_closed, m.ended) = (true, m.ended.max(now));
                }
            });
        }
        self.work(cx, step.after);
    }
}

/// Runs the steps, one after the other by a timer each.
fn go_on(
    cx: &mut Cx<'_>,
    world: World,
    keys: Rc<Vec<SocketKey>>,
    peers: Rc<Vec<TcpStream>>,
    mut steps: std::vec::IntoIter<Step>,
) {
    let Some(step) = steps.next() else {
        // Whatever is left comes, and then all ends.
        let w = world.clone();
        cx.timer(Duration::from_secs(2), move |cx, _| {
            w.none_late();
            cx.close_all();
        });
        return;
    };
    let mut rest = Some((world, keys, peers, steps));
    cx.timer(Duration::from_micros(step.wait), move |cx, _| {
        let Some((world, keys, peers, steps)) = rest.take() else { return };
        world.step(cx, &keys, &peers, step);
        go_on(cx, world, keys, peers, steps);
    });
}

fn program(options: [u64; 3], steps: Vec<Step>) -> Vec<String> {
    let (mut lp, script) = Loop::scripted().unwrap();
    let world = World {
        script: script.clone(),
        models: Rc::default(),
        turns: Rc::default(),
        answer: Rc::default(),
        wrong: Log::default(),
    };
    let [idle, lifetime, linger] = options.map(Duration::from_millis);
    let listen = ListenOptions::new("127.0.0.1:0")
        .idle_timeout(idle)
        .lifetime(lifetime)
        .linger_timeout(linger);
    let keys = Rc::new(RefCell::new(Vec::new()));
    let (w, k) = (world.clone(), keys.clone());
    let server = lp
        .listen(listen, move |conn| {
            let n = k.borrow().len();
            let now = w.script.now();
            w.models.borrow_mut().push(Model {
                open: true,
                active: now,
                idle,
                linger,
                lifetime: (!lifetime.is_zero()).then(|| now + lifetime),
                ..Model::default()
            });
            let s = conn.accept(w.handler(n));
            k.borrow_mut().push(s.key());
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let peers: Vec<_> = (0..3).map(|_| client(at)).collect();
    while lp.server(server).stats().unwrap().accepted < 3 {
        lp.run_nowait().unwrap();
    }
    lp.server(server).close().unwrap();
    let (keys, peers) = (Rc::new(keys.take()), Rc::new(peers));
    let (w, p) = (world.clone(), peers.clone());
    lp.next_tick(move |cx| go_on(cx, w, keys, p, steps.into_iter()));
    lp.run().unwrap();
    drop(peers);
    holds_nothing(&mut lp);
    world.wrong.lines()
}

fn cases() -> u32 {
    std::env::var("TIDEGATE_PROGRAMS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_deadline_is_early_and_none_is_late(
        options in prop::array::uniform3(prop_oneof![1 => Just(0u64), 2 => 1u64..200]),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let wrong = program(options, steps);
        prop_assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// A turn that took long, long ago, moves no deadline of today.
#[test]
fn a_long_turn_long_ago_delays_nothing() {
    let (mut lp, script) = Loop::scripted().unwrap();
    let s = script.clone();
    lp.timer(Duration::ZERO, move |_, _| s.advance(1500 * MS));
    lp.timer(4500 * MS, |cx, _| cx.stop());
    lp.run().unwrap();
    let timed_out = Rc::new(Cell::new(Duration::ZERO));
    let (t, s) = (timed_out.clone(), script.clone());
    let on = On::new().timeout(move |c| {
        t.set(s.now());
        c.destroy();
    });
    let (key, peer) = adopted(&mut lp, on);
    lp.socket(key).set_idle_timeout(500 * MS);
    write_all(&peer, b"x");
    let began = script.now();
    lp.run().unwrap();
    let waited = timed_out.get() - began;
    assert!(waited >= 500 * MS && waited <= 502 * MS, "{waited:?}");
}

/// A run that ends in the middle of a turn, after a phase, knows by when its bytes moved.
#[test]
fn idle_counts_from_a_write_of_a_single_phase() {
    let (mut lp, timed_out, _peer) = slow_answer();
    for _ in 0..200 {
        lp.run_phase().unwrap();
    }
    assert!(timed_out.get() >= 270 * MS, "{:?}", timed_out.get());
}
