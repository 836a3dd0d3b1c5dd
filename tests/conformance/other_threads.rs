//! libuv's own tests of what other threads do: posts (async) and jobs (the thread pool). The numbers
//! are those of the table in `tests/README.md`.
#![cfg(unix)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tidegate::kind::LayerId;
use tidegate::prelude::*;
use tidegate::{KeyError, Phase, WorkError, WorkRefused};

use crate::support::*;

const MS: Duration = Duration::from_millis(1);

/// Wake-ups from other threads coalesce, and are never lost after the loop has looked.
#[test]
fn libuv_63_async() {
    let mut lp = guarded();
    let state = Arc::new(AtomicU32::new(0));
    let (seen, remote) = (state.clone(), lp.remote());
    let keep = lp.timer(DEADLINE * 2, |_, _| {});
    let sender = std::thread::spawn(move || {
        for n in 1..=10_000 {
            seen.store(n, Ordering::Relaxed);
            remote.wake();
        }
    });
    let mut turns = 0;
    while state.load(Ordering::Relaxed) < 10_000 {
        lp.run_once().unwrap();
        turns += 1;
    }
    sender.join().unwrap();
    assert!(turns <= 10_001);
    lp.close(keep).unwrap();
}

static POSTS: LayerId<u32> = LayerId::new(|| 0);

/// A burst of posts to a busy loop is one wake-up.
#[test]
fn libuv_63_a_burst_is_one_wake_up() {
    let mut lp = guarded();
    let remote = lp.remote();
    let got = Rc::new(Cell::new(0));
    lp.next_tick({
        let remote = remote.clone();
        move |cx| {
            // The loop is busy with this callback meanwhile.
            let sender = std::thread::spawn(move || {
                for _ in 0..1000 {
                    remote.post(|cx| *cx.layer(&POSTS).0 += 1).unwrap();
                }
            });
            sender.join().unwrap();
            assert_eq!(*cx.layer(&POSTS).0, 0);
        }
    });
    lp.run().unwrap();
    got.set(*lp.cx().layer(&POSTS).0);
    assert_eq!(got.get(), 1000);
    assert!(lp.metrics().events <= 2, "{} events for the waker", lp.metrics().events);
}

/// Posting while the loop ends is an `Ok` that ran, or an error that gives back.
#[test]
fn libuv_63_async_close_while_senders_run() {
    let mut lp = guarded();
    let (ran, stop) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let senders: Vec<_> = (0..2)
        .map(|_| {
            let (remote, ran, stop) = (lp.remote(), ran.clone(), stop.clone());
            std::thread::spawn(move || {
                let mut accepted = 0;
                loop {
                    let ran = ran.clone();
                    match remote.post(move |_| {
                        ran.fetch_add(1, Ordering::Relaxed);
                    }) {
                        Ok(()) => accepted += 1,
                        Err(tidegate::PostError::LoopGone(_)) => return accepted,
                        Err(_) => {}
                    }
                    if accepted == 100 {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    let keep = lp.timer(DEADLINE * 2, |_, _| {});
    while !stop.load(Ordering::Relaxed) {
        lp.run_once().unwrap();
    }
    lp.close(keep).unwrap();
    drop(lp);
    let accepted: u32 = senders.into_iter().map(|s| s.join().unwrap()).sum();
    assert!(ran.load(Ordering::Relaxed) <= accepted, "what was dropped with the loop did not run");
}

#[test]
fn libuv_64_threadpool_queue_work_simple() {
    let mut lp = guarded();
    let here = std::thread::current().id();
    let done = Rc::new(Cell::new(None));
    let d = done.clone();
    let key = lp
        .work(
            move || (std::thread::current().id() != here, 42),
            move |cx, result| d.set(Some((cx.phase(), result.unwrap()))),
        )
        .unwrap();
    assert!(lp.is_alive() && lp.is_open(key));
    lp.run().unwrap();
    assert_eq!(done.get(), Some((Phase::Ready, (true, 42))));
    assert_eq!(lp.work_cancel(key), Err(KeyError::Closed));
    let stats = lp.work_stats();
    assert_eq!((stats.threads, stats.done, stats.queued, stats.running), (1, 1, 0, 0));
}

/// Several loops have their own pools.
#[test]
fn libuv_64_threadpool_multiple_event_loops() {
    let threads: Vec<_> = (0..3)
        .map(|n| {
            std::thread::spawn(move || {
                let mut lp = guarded();
                let sum = Rc::new(Cell::new(0));
                for i in 0..20 {
                    let sum = sum.clone();
                    lp.work(move || i * n, move |_, r| sum.set(sum.get() + r.unwrap())).unwrap();
                }
                lp.run().unwrap();
                assert!(lp.work_stats().threads <= 4);
                sum.get()
            })
        })
        .collect();
    let sums: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(sums, [0, 190, 380]);
}

/// A thread that stands until it is let go.
fn gate() -> (mpsc::Sender<()>, impl FnOnce() + Send + 'static) {
    let (open, closed) = mpsc::channel::<()>();
    (open, move || {
        // An error means that the gate was dropped, which opens it as well.
        let _ = closed.recv();
    })
}

/// A job that has not begun is cancelled: it never runs, its callback comes later, with
/// that as the result. One that runs is not, and ends as usual.
#[test]
fn libuv_64_threadpool_cancel() {
    let mut lp = guard(Loop::builder().work_threads(1).build().unwrap());
    let log = Log::default();
    let (open, wait) = gate();
    let (begun, running) = mpsc::channel();
    let l = log.clone();
    let busy = lp
        .work(
            move || {
                begun.send(()).unwrap();
                wait();
            },
            move |_, r| l.add(format!("busy {r:?}")),
        )
        .unwrap();
    let queued: Vec<_> = (0..3)
        .map(|n| {
            let l = log.clone();
            lp.work(
                || panic!("it never runs"),
                move |_, r: Result<(), _>| {
                    assert_eq!(r, Err(WorkError::Cancelled));
                    l.add(format!("cancelled {n}"));
                },
            )
        })
        .collect();
    running.recv().unwrap();
    assert_eq!(lp.work_cancel(busy), Ok(false), "EBUSY in libuv");
    for key in queued {
        let key = key.unwrap();
        assert_eq!(lp.work_cancel(key), Ok(true));
        assert_eq!(lp.work_cancel(key), Ok(false));
    }
    assert!(log.lines().is_empty(), "not from inside the call");
    let stats = lp.work_stats();
    assert_eq!((stats.running, stats.queued, stats.cancelled), (1, 0, 3));
    open.send(()).unwrap();
    lp.run().unwrap();
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["busy Ok(())", "cancelled 0", "cancelled 1", "cancelled 2"]);
    assert_eq!(handles(&lp), 0);
}

/// Jobs begin in order; slow ones take their share of the threads and no more.
#[test]
fn libuv_64_slow_work_does_not_stop_the_rest() {
    let builder = Loop::builder().work_threads(2).slow_threads(1);
    let mut lp = guard(builder.build().unwrap());
    let log = Log::default();
    let mut gates = Vec::new();
    for n in 0..3 {
        let (open, wait) = gate();
        gates.push(open);
        let l = log.clone();
        lp.slow_work(wait, move |_, _| l.add(format!("slow {n}"))).unwrap();
    }
    let l = log.clone();
    lp.work(
        || (),
        move |cx, _| {
            l.add("quick");
            cx.stop();
        },
    )
    .unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["quick"], "although three slow ones came first");
    assert_eq!(lp.work_stats().running, 1);
    drop(gates);
    lp.run().unwrap();
    assert_eq!(log.lines(), ["quick", "slow 0", "slow 1", "slow 2"]);
}

/// A panic in a job reaches its callback, and the thread lives on.
#[test]
fn a_panic_in_a_job_is_an_error_value() {
    let mut lp = guard(Loop::builder().work_threads(1).build().unwrap());
    let log = Log::default();
    for text in ["first", "second"] {
        let l = log.clone();
        lp.work(
            move || std::panic::resume_unwind(Box::new(format!("{text} on purpose"))),
            move |_, r: Result<(), _>| l.add(r.unwrap_err().to_string()),
        )
        .unwrap();
    }
    lp.run().unwrap();
    let said = |n: &str| format!("the job panicked: {n} on purpose");
    assert_eq!(log.lines(), [said("first"), said("second")]);
    let stats = lp.work_stats();
    assert_eq!((stats.threads, stats.done, stats.panicked), (1, 2, 2));
}

/// A payload whose drop panics as well takes no thread with it.
#[test]
fn a_panic_in_the_drop_of_a_panic() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("again"));
        }
    }
    let mut lp = guard(Loop::builder().work_threads(1).build().unwrap());
    let log = Log::default();
    for _ in 0..2 {
        let l = log.clone();
        lp.slow_work(
            || std::panic::resume_unwind(Box::new(Bomb)),
            move |_, r: Result<(), _>| l.add(r.unwrap_err().to_string()),
        )
        .unwrap();
    }
    lp.run().unwrap();
    assert_eq!(log.lines(), ["the job panicked: ", "the job panicked: "]);
}

/// A full queue gives both closures back.
#[test]
fn work_beyond_its_limit_comes_back() {
    let builder = Loop::builder().work_threads(1).work_limit(2);
    let mut lp = guard(builder.build().unwrap());
    let (open, wait) = gate();
    let (begun, running) = mpsc::channel();
    lp.work(
        move || {
            begun.send(()).unwrap();
            wait();
        },
        |_, _| {},
    )
    .unwrap();
    running.recv().unwrap();
    for _ in 0..2 {
        lp.work(|| (), |_, _| {}).unwrap();
    }
    let called = Rc::new(Cell::new(false));
    let c = called.clone();
    match lp.work(|| 7, move |_, _| c.set(true)) {
        Err(WorkRefused::Full { job, done }) => {
            assert_eq!(job(), 7);
            done(&mut lp.cx(), Ok(7));
        }
        other => panic!("{other:?}"),
    }
    assert!(called.get());
    drop(open);
    lp.run().unwrap();
    assert_eq!(handles(&lp), 0);
}

/// A dropped loop waits for what runs, and drops what is queued and every result.
#[test]
fn a_dropped_loop_waits_for_running_work() {
    let mut lp = guard(Loop::builder().work_threads(1).build().unwrap());
    let finished = Arc::new(AtomicBool::new(false));
    let never = Arc::new(());
    let (begun, running) = mpsc::channel();
    let (f, held) = (finished.clone(), never.clone());
    lp.work(
        move || {
            begun.send(()).unwrap();
            std::thread::park_timeout(MS * 20);
            f.store(true, Ordering::Release);
        },
        |_, _| panic!("no callback runs in drop"),
    )
    .unwrap();
    lp.work(move || drop(held), |_, _| panic!("no callback runs in drop")).unwrap();
    running.recv().unwrap();
    drop(lp);
    assert!(finished.load(Ordering::Acquire));
    assert_eq!(Arc::strong_count(&never), 1);
}
