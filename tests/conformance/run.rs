//! libuv's own tests of the loop: run modes, phases, references. The numbers are those of the table
//! in `tests/README.md`.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use tidegate::event::Readiness;
use tidegate::prelude::*;
use tidegate::{HookKey, Key, KeyError, Phase};

use crate::support::*;
use crate::{MS, ZERO, add};

/// Check hooks run before the close callbacks of their turn; all of these run, first
/// closed first.
#[test]
fn libuv_01_close_order() {
    let mut lp = guarded();
    let log = Log::default();
    let at = closed_port();
    let sockets = [0, 1, 2].map(|n| {
        let l = log.clone();
        lp.connect(
            at,
            On::new().close(move |s, _| l.add(format!("close {n} in {}", s.cx().phase()))),
        )
    });
    let mut check = add::<HookKey>(&log, "check");
    lp.check(move |cx, me| {
        check(cx, me);
        cx.close(me).unwrap();
    });
    lp.prepare(move |cx, me| {
        cx.close(me).unwrap();
        for key in sockets {
            cx.socket(key).destroy();
        }
    });
    lp.run().unwrap();
    let closes = ["close 0 in closing", "close 1 in closing", "close 2 in closing"];
    assert_eq!(log.lines(), [&["check"][..], &closes].concat());
}

#[test]
fn libuv_02_run_once_and_nowait() {
    let mut lp = guarded();
    let ticks = Rc::new(Cell::new(0));
    let t = ticks.clone();
    lp.idle(move |cx, me| {
        t.set(t.get() + 1);
        if t.get() == 5 {
            cx.close(me).unwrap();
        }
    });
    let mut runs = 0;
    while lp.run_once().unwrap() {
        runs += 1;
        assert_eq!(ticks.get(), runs);
    }
    assert_eq!((runs, ticks.get()), (4, 5));

    let fired = Rc::new(Cell::new(false));
    let f = fired.clone();
    let timer = lp.timer(2 * DEADLINE, move |_, _| f.set(true));
    lp.next_tick(|_| {});
    assert!(lp.run_once().unwrap(), "a turn that had something to tell does not wait");
    assert!(lp.run_nowait().unwrap(), "more work");
    assert!(!fired.get());
    lp.close(timer).unwrap();
}

/// libuv 3: an empty loop is dead and does not block.
#[test]
fn libuv_03_loop_alive() {
    let mut lp = Loop::new().unwrap();
    assert!(!lp.is_alive());
    lp.run().unwrap();
    let t = lp.timer(ZERO, |_, _| {});
    assert!(lp.is_alive());
    lp.set_ref(t, false).unwrap();
    assert!(!lp.is_alive(), "an unreferenced timer does not count");
    lp.set_ref(t, true).unwrap();
    lp.run().unwrap();
    assert!(!lp.is_alive());
}

/// A stop ends the run after its turn; later runs go on where it left off.
#[test]
fn libuv_04_loop_stop() {
    let mut lp = guarded();
    let (ticks, stop) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(true)));
    let (t, s) = (ticks.clone(), stop.clone());
    lp.prepare(move |cx, me| {
        t.set(t.get() + 1);
        if t.get() == 10 {
            cx.close(me).unwrap();
        }
    });
    lp.interval(MS, move |cx, me| {
        if s.replace(false) {
            cx.stop();
        }
        if ticks.get() == 10 {
            cx.close(me).unwrap();
        }
    });
    lp.run().unwrap();
    assert!(!stop.get() && lp.is_alive());
    while lp.run_once().unwrap() {}
    assert!(!lp.is_alive());
}

/// libuv 4, 5: `stop` ends the run after its turn; before `run` it runs nothing.
#[test]
fn libuv_05_loop_stop_before_run() {
    let mut lp = guarded();
    let log = Log::default();
    lp.timer(ZERO, add(&log, "fired"));
    lp.stop();
    lp.run().unwrap();
    assert!(log.lines().is_empty() && lp.is_alive());
    lp.run().unwrap();
    assert_eq!(log.lines(), ["fired"]);
}

/// libuv answers EBUSY to closing a loop with open handles. Here closing it is dropping
/// it, always possible; `close_all` and a run end everything in good order before.
#[test]
fn libuv_06_loop_close() {
    let data = Rc::new(Cell::new(0));
    let mut lp = guarded();
    let d = data.clone();
    lp.interval(MS, move |_, _| d.set(1));
    let d = data.clone();
    lp.listen("127.0.0.1:0", move |_| d.set(2)).unwrap();
    let d = data.clone();
    lp.connect(
        closed_port(),
        On::new().close(move |_, c| {
            assert!(matches!(c.reason, Reason::Destroyed));
            d.set(3);
        }),
    );
    assert!(lp.is_alive());
    lp.close_all();
    lp.run().unwrap();
    assert_eq!((lp.is_alive(), lp.handles(), data.get()), (false, 0, 3));
    assert_eq!(Rc::strong_count(&data), 1, "what was the user's is given back");
}

#[test]
fn libuv_07_backend_timeout() {
    let mut lp = Loop::new().unwrap();
    assert_eq!(lp.backend_timeout(), Some(ZERO));
    let timer = lp.timer(MS * 1000, |_, _| {});
    let timeout = lp.backend_timeout().unwrap();
    assert!(timeout > MS * 900 && timeout <= MS * 1000, "{timeout:?}");
    lp.close(timer).unwrap();
    assert_eq!(lp.backend_timeout(), Some(ZERO));
    let server = lp.listen("127.0.0.1:0", |conn| conn.reject()).unwrap();
    assert_eq!(lp.backend_timeout(), None, "as long as it takes");
    let idle = lp.idle(|_, _| {});
    assert_eq!(lp.backend_timeout(), Some(ZERO), "an idle hook");
    lp.close(idle).unwrap();
    lp.stop();
    assert_eq!(lp.backend_timeout(), Some(ZERO), "stop was asked for");
    lp.run().unwrap();
    lp.server(server).close().unwrap();
    assert_eq!(lp.backend_timeout(), Some(ZERO), "a close callback is due");
}

/// Runs of an empty loop still read the clock.
#[test]
fn libuv_08_update_time() {
    let mut lp = Loop::new().unwrap();
    let start = lp.now();
    let real = Instant::now();
    while lp.now() < start + MS * 5 {
        lp.run_nowait().unwrap();
        assert!(real.elapsed() < DEADLINE);
    }
}

/// Hooks close themselves and each other; one that is started in its own phase runs
/// from the next turn on; none runs after its close.
#[test]
fn libuv_09_loop_handles() {
    let mut lp = guarded();
    let log = Log::default();
    let second: Rc<Cell<Option<HookKey>>> = Rc::default();
    let (l, other) = (log.clone(), second.clone());
    lp.prepare(move |cx, me| {
        l.add(format!("first {}", cx.turn()));
        match cx.turn() {
            1 => {
                let l = l.clone();
                cx.prepare(move |cx, me| {
                    l.add(format!("third {}", cx.turn()));
                    if cx.turn() == 3 {
                        cx.close(me).unwrap();
                    }
                });
            }
            2 => {
                cx.close(other.get().unwrap()).unwrap();
                cx.close(me).unwrap();
                assert_eq!(cx.close(me), Err(KeyError::Closed));
            }
            turn => panic!("called in turn {turn}"),
        }
    });
    let l = log.clone();
    second.set(Some(lp.prepare(move |cx, _| l.add(format!("second {}", cx.turn())))));
    // Something for the polls not to wait for.
    lp.idle(|cx, me| {
        if cx.turn() == 3 {
            cx.close(me).unwrap();
        }
    });
    lp.run().unwrap();
    assert_eq!(log.lines(), ["first 1", "second 1", "first 2", "third 2", "third 3"]);
    assert_eq!(handles(&lp), 0);
}

/// A busy idle hook starves neither timers nor check hooks.
#[test]
fn libuv_10_idle_starvation() {
    let mut lp = guarded();
    let (idles, checks) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let (i, c) = (idles.clone(), checks.clone());
    let idle = lp.idle(move |_, _| i.set(i.get() + 1));
    let check = lp.check(move |_, _| c.set(c.get() + 1));
    lp.timer(MS * 5, move |cx, _| {
        cx.close(idle).unwrap();
        cx.close(check).unwrap();
    });
    lp.run().unwrap();
    assert!(idles.get() > 0);
    assert_eq!(idles.get(), checks.get());
}

#[test]
fn libuv_11_active() {
    let mut lp = guarded();
    let seen = Rc::new(Cell::new(false));
    let at_close = seen.clone();
    let key = lp.connect(
        closed_port(),
        On::new().close(move |s, _| {
            let key = s.key();
            assert!(!s.cx().is_open(key) && !s.cx().is_closing(key), "the slot is free before");
            at_close.set(true);
        }),
    );
    let cx = &mut lp.cx();
    assert!(cx.is_open(key) && !cx.is_closing(key));
    cx.close(key).unwrap();
    assert!(cx.is_open(key) && cx.is_closing(key));
    assert_eq!(cx.close(key), Err(KeyError::Closed));
    lp.run().unwrap();
    assert!(seen.get());
}

/// Handles that are not referenced do not keep `run` going, and still get their end.
#[test]
fn libuv_12_unref() {
    struct Told(Log);
    impl ServerHandler for Told {
        fn on_connection(&mut self, conn: Incoming<'_>) {
            conn.reject();
        }
        fn on_close(&mut self, _: &mut ServerCx<'_>) {
            self.0.add("server closed");
        }
    }
    let mut lp = guarded();
    let log = Log::default();
    let server = lp.serve("127.0.0.1:0", Told(log.clone())).unwrap();
    let timer = lp.interval(MS, add(&log, "timer"));
    let hook = lp.prepare(move |cx, me| cx.set_ref(me, false).unwrap());
    let keys: [Key; 2] = [server.into(), timer.into()];
    for key in keys {
        lp.set_ref(key, false).unwrap();
        lp.set_ref(key, false).unwrap();
        assert!(!lp.cx().has_ref(key));
    }
    lp.run().unwrap();
    assert!(!lp.cx().has_ref(hook), "it ran once, and that was that");
    lp.set_ref(server, true).unwrap();
    assert!(lp.is_alive(), "a flag, not a count");
    lp.set_ref(server, false).unwrap();
    lp.server(server).close().unwrap();
    lp.run().unwrap();
    assert!(log.has("server closed"));
}

/// A connect under way, and bytes that wait, keep the loop alive, referenced or not.
#[test]
fn libuv_13_a_request_keeps_the_loop_alive() {
    let mut lp = guarded();
    let log = Log::default();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(On::new());
        })
        .unwrap();
    lp.set_ref(server, false).unwrap();
    let at = lp.server(server).local_addr().unwrap();
    let l = log.clone();
    let key = lp.connect(
        at,
        On::new().connect(move |s| {
            l.add("connected");
            // More than the kernel takes.
            let _ = s.write(bytes::Bytes::from_static(&[0; 16 << 20]));
        }),
    );
    lp.set_ref(key, false).unwrap();
    assert!(lp.is_alive());
    // The accepted end is referenced; here it is only its reading that lets go.
    lp.run_once().unwrap();
    turn_until(&mut lp, |lp| log.has("connected") && lp.socket(key).buffered() > 0);
    assert!(lp.why_alive().iter().any(|h| h.key == key.into()), "{:?}", lp.why_alive());
    turn_until(&mut lp, |lp| lp.socket(key).buffered() == 0);
    assert!(!lp.why_alive().iter().any(|h| h.key == key.into()), "{:?}", lp.why_alive());
}

/// Every handle is visited, and the loop can be driven by another one.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn libuv_14_walk_and_embed() {
    let mut lp = Loop::new().unwrap();
    let log = Log::default();
    let timer = lp.timer(MS * 5, add(&log, "timer"));
    let hook = lp.check(|_, _| {});
    lp.set_ref(hook, false).unwrap();
    let key = lp.connect(
        closed_port(),
        On::new().close({
            let log = log.clone();
            move |_, _| log.add("close")
        }),
    );
    let mut kinds: Vec<_> = lp.walk().into_iter().map(|h| (h.kind, h.key)).collect();
    kinds.sort();
    let expected = [("check", hook.into()), ("socket", key.into()), ("timer", Key::from(timer))];
    assert_eq!(kinds, expected);

    let mut outer = mio::Poll::new().unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&lp.backend_fd().unwrap());
    let mut source = mio::unix::SourceFd(&fd);
    outer.registry().register(&mut source, mio::Token(0), mio::Interest::READABLE).unwrap();
    let mut events = mio::Events::with_capacity(8);
    let start = Instant::now();
    while lp.is_alive() {
        outer.poll(&mut events, lp.backend_timeout()).unwrap();
        lp.run_nowait().unwrap();
        assert!(start.elapsed() < DEADLINE);
    }
    assert_eq!(log.lines(), ["close", "timer"]);
}

/// One turn with a callback in every phase, as a text trace.
#[test]
fn every_phase_in_its_order_first_in_first_out() {
    let mut lp = guarded();
    let log = Log::default();
    let line = |log: &Log, what: &str| {
        let (log, what) = (log.clone(), what.to_owned());
        move |cx: &Cx<'_>| log.add(format!("{} {}: {what}", cx.turn(), cx.phase()))
    };
    // A connection that finishes in the ready pass: its effects come in pending.
    let server = lp
        .listen("127.0.0.1:0", {
            let (say, finish, close) =
                (line(&log, "on_connection"), line(&log, "on_finish"), line(&log, "on_close"));
            move |mut conn| {
                say(&conn.cx());
                let (finish, close) = (finish.clone(), close.clone());
                let mut s = conn.accept(
                    On::new()
                        .finish(move |s| finish(&mut s.cx()))
                        .close(move |s, _| close(&mut s.cx())),
                );
                s.end();
                let key = s.key();
                s.next_tick(move |cx| cx.socket(key).destroy());
            }
        })
        .unwrap();
    let c = client(lp.server(server).local_addr().unwrap());
    for n in 1..=2 {
        let say = line(&log, &format!("hook {n}"));
        lp.check(move |cx, _| say(cx));
        let say = line(&log, &format!("hook {n}"));
        lp.prepare(move |cx, _| say(cx));
        let say = line(&log, &format!("hook {n}"));
        lp.idle(move |cx, _| say(cx));
        let say = line(&log, &format!("timer {n}"));
        lp.timer(ZERO, move |cx, _| say(cx));
    }
    assert!(lp.run_once().unwrap());
    assert_eq!(
        log.lines(),
        [
            "1 idle: hook 1",
            "1 idle: hook 2",
            "1 prepare: hook 1",
            "1 prepare: hook 2",
            "1 ready: on_connection",
            "1 check: hook 1",
            "1 check: hook 2",
            "1 closing: on_close",
            "1 timers: timer 1",
            "1 timers: timer 2",
        ]
    );
    drop(c);
}

/// Effects of API calls come in the pending phase of their own turn, and its passes are
/// bounded: what is left waits for the next turn, whose poll does not block.
#[test]
fn pending_is_bounded() {
    use tidegate::kind::{Kind, LayerId};
    static TURNS: LayerId<Vec<u64>> = LayerId::new(Vec::new);
    static AGAIN: Kind = Kind::new("again", TURNS.owner()).pending(|d, key, _| {
        assert_eq!(d.cx().phase(), Phase::Pending);
        let turn = d.cx().turn();
        let (turns, mut driver) = d.layer(&TURNS);
        let mut handle = driver.handle(TURNS.owner(), key).unwrap();
        turns.push(turn);
        if turns.len() < 30 {
            handle.pend();
        } else {
            handle.close();
        }
    });
    let mut lp = guarded();
    let mut cx = lp.cx();
    let mut driver = cx.driver();
    let mut handle = driver.insert(&AGAIN, 0).unwrap();
    handle.assume(Readiness::NONE);
    handle.pend();
    lp.run().unwrap();
    let mut cx = lp.cx();
    let turns = std::mem::take(cx.layer(&TURNS).0);
    // Twice eight passes a turn.
    assert_eq!(turns.iter().filter(|t| **t == 1).count(), 16);
    assert_eq!(turns.iter().filter(|t| **t == 2).count(), 14);
    assert_eq!(lp.metrics().blocking_polls, 0);
}
