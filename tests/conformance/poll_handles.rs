//! libuv's own tests of poll handles, async, the thread pool and metrics, as behaviours of tidegate. The numbers are those of the table in `tests/README.md`.
#![cfg(unix)]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::*;
use crate::watched::{drain, file};
use tidegate::prelude::*;
use tidegate::{Bits, Fd, Interest, KeyError, Phase, WorkError, WorkRefused};

const MS: Duration = Duration::from_millis(1);

/// Closing many sockets while events for them are pending: nothing is called for any
/// of them but its one close.
#[test]
fn libuv_61_watcher_cross_stop() {
    let mut lp = guarded();
    let (keys, closes) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    let (k, c) = (keys.clone(), closes.clone());
    let server = lp
        .listen("127.0.0.1:0", move |conn| {
            let (all, closes, gone) = (k.clone(), c.clone(), Rc::new(Cell::new(false)));
            let g = gone.clone();
            let s = conn.accept(
                On::new()
                    .data(move |s, _| {
                        assert!(!g.get());
                        // The first one closes all, itself among them.
                        for key in all.borrow().iter() {
                            s.socket(*key).destroy();
                        }
                    })
                    .close(move |_, _| {
                        assert!(!gone.replace(true), "exactly once");
                        closes.set(closes.get() + 1);
                    }),
            );
            k.borrow_mut().push(s.key());
        })
        .unwrap();
    let at = lp.local_addr(server).unwrap();
    let clients: Vec<_> = (0..50).map(|_| client(at)).collect();
    turn_until(&mut lp, |lp| lp.server_stats(server).unwrap().accepted == 50);
    lp.run_nowait().unwrap();
    for c in &clients {
        write_all(c, b"x");
    }
    turn_until(&mut lp, |_| closes.get() == 50);
    assert_eq!(lp.server_stats(server).unwrap().connections, 0);
}

/// Urgent data can be watched for; an interest in nothing is refused.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn libuv_62_poll_oob() {
    let mut lp = guarded();
    let l = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let c = client(l.local_addr().unwrap());
    let source = Fd::new(l.accept().unwrap().0).unwrap();
    let urgent = Log::default();
    let u = urgent.clone();
    lp.as_cx()
        .watch(source, Interest::PRIORITY, move |cx, key, source, ready| {
            let mut byte = [std::mem::MaybeUninit::uninit(); 4];
            let socket = socket2::SockRef::from(&**source);
            let n = ready.try_io(Interest::PRIORITY, || socket.recv_out_of_band(&mut byte));
            u.add(n.unwrap().to_string());
            cx.close(key).unwrap();
        })
        .unwrap();
    write_all(&c, b"ordinary");
    socket2::SockRef::from(&c).send_out_of_band(b"!").unwrap();
    lp.run().unwrap();
    assert_eq!(urgent.lines(), ["1"]);
}

/// Both directions of a source; what the callback does not take is offered again.
#[test]
fn libuv_62_poll_duplex() {
    let mut lp = guarded();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let got = Rc::new(RefCell::new(Vec::new()));
    let (g, calls) = (got.clone(), Rc::new(Cell::new(0)));
    let n = calls.clone();
    let both = Interest::READABLE | Interest::WRITABLE;
    let mut wrote = false;
    lp.as_cx()
        .watch(file(ours), both, move |cx, key, source, ready| {
            n.set(n.get() + 1);
            if !wrote {
                assert!(ready.bits().has(Bits::WRITABLE));
                ready.try_io(Interest::WRITABLE, || source.write(b"ping")).unwrap();
                wrote = true;
                // There is always room: nothing more is wanted of it.
                cx.watch_for(key, Interest::READABLE).unwrap();
                return;
            }
            // One byte at a time: the loop calls again for the rest.
            let mut byte = [0];
            match ready.try_io(Interest::READABLE, || source.read(&mut byte)) {
                Ok(0) => cx.close(key).unwrap(),
                Ok(_) => g.borrow_mut().push(byte[0]),
                Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
            }
        })
        .unwrap();
    lp.run_once().unwrap();
    let mut ping = [0; 4];
    (&theirs).read_exact(&mut ping).unwrap();
    assert_eq!(&ping, b"ping");
    (&theirs).write_all(b"pong").unwrap();
    drop(theirs);
    lp.run().unwrap();
    assert_eq!(*got.borrow(), b"pong");
    assert!(calls.get() >= 6, "one for the write, four bytes, the end: {}", calls.get());
    assert_eq!(handles(&lp), 0);
}

/// A paused watcher is not called, and nothing is lost; going on costs no system call.
#[test]
fn a_paused_watcher_is_not_called() {
    let mut lp = guarded();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let got = Rc::new(RefCell::new(Vec::new()));
    let g = got.clone();
    let key = lp
        .as_cx()
        .watch(file(ours), Interest::READABLE, move |_, _, source, ready| {
            g.borrow_mut().extend(drain(source, ready).0);
        })
        .unwrap();
    lp.as_cx().watch_for(key, None).unwrap();
    (&theirs).write_all(b"later").unwrap();
    for _ in 0..3 {
        lp.run_nowait().unwrap();
    }
    assert!(got.borrow().is_empty());
    lp.as_cx().watch_for(key, Interest::READABLE).unwrap();
    turn_until(&mut lp, |_| *got.borrow() == b"later");
}

/// A second watcher on a descriptor is an error, and the first goes on.
#[test]
fn libuv_62_poll_multiple_handles() {
    let mut lp = guarded();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let got = Log::default();
    let g = got.clone();
    // Two owners of one descriptor number.
    let ours = Rc::new(ours);
    struct Shared(Rc<UnixStream>);
    impl std::os::fd::AsFd for Shared {
        fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
            self.0.as_fd()
        }
    }
    let dropped = Rc::new(());
    let held = dropped.clone();
    lp.as_cx()
        .watch(Fd::new(Shared(ours.clone())).unwrap(), Interest::READABLE, move |_, _, s, r| {
            g.add(String::from_utf8(drain(&mut &*s.0, r).0).unwrap());
        })
        .unwrap();
    let again = lp.as_cx().watch(
        Fd::new(Shared(ours.clone())).unwrap(),
        Interest::READABLE,
        move |_, _, _, _| panic!("{held:?}"),
    );
    assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyExists);
    (&theirs).write_all(b"first").unwrap();
    turn_until(&mut lp, |_| got.has("first"));
    assert_eq!(Rc::strong_count(&dropped), 1, "the refused closure is given back");
}

/// A source that cannot be polled, and one whose descriptor was closed meanwhile.
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
#[test]
fn libuv_62_a_file_cannot_be_watched() {
    let mut lp = guarded();
    let disk = Fd::new(File::open("/proc/self/exe").unwrap()).unwrap();
    let refused = lp.as_cx().watch(disk, Interest::READABLE, |_, _, _, _| {});
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(handles(&lp), 0);
}

/// A watcher that closes itself and is woken at the same time.
#[test]
fn libuv_62_poll_close() {
    let mut lp = guarded();
    let pairs: Vec<_> = (0..5).map(|_| UnixStream::pair().unwrap()).collect();
    let calls = Rc::new(Cell::new(0));
    let keys: Rc<RefCell<Vec<tidegate::WatchKey>>> = Rc::default();
    let mut peers = Vec::new();
    for (ours, theirs) in pairs {
        let (c, k) = (calls.clone(), keys.clone());
        let watch = lp.as_cx().watch(file(ours), Interest::READABLE, move |cx, me, _, _| {
            c.set(c.get() + 1);
            // The first closes all.
            for key in k.borrow().iter() {
                cx.close(*key).unwrap();
            }
            assert_eq!(cx.close(me), Err(KeyError::Closed));
        });
        keys.borrow_mut().push(watch.unwrap());
        peers.push(theirs);
    }
    for mut p in &peers {
        p.write_all(b"x").unwrap();
    }
    lp.run().unwrap();
    assert_eq!((calls.get(), handles(&lp)), (1, 0));
    // The descriptors are closed: the peers see the end.
    for mut p in &peers {
        assert!(matches!(p.read(&mut [0; 1]), Ok(0)) || p.take_error().is_ok());
    }
}

/// An eventfd and a timerfd: descriptors that no layer knows.
#[cfg(target_os = "linux")]
#[test]
fn eventfd_and_timerfd_can_be_watched() {
    use std::os::fd::FromRawFd;
    #[allow(unsafe_code)]
    fn descriptors() -> (File, File) {
        // SAFETY: no pointers; the results are new descriptors that nobody else has.
        let (event, timer) = unsafe {
            let event = libc::eventfd(0, libc::EFD_CLOEXEC);
            let timer = libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC);
            assert!(event >= 0 && timer >= 0);
            (File::from_raw_fd(event), File::from_raw_fd(timer))
        };
        let spec = libc::itimerspec {
            it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: libc::timespec { tv_sec: 0, tv_nsec: 1_000_000 },
        };
        let fd = std::os::fd::AsRawFd::as_raw_fd(&timer);
        // SAFETY: a valid descriptor and a valid local; no old value is asked for.
        assert_eq!(unsafe { libc::timerfd_settime(fd, 0, &spec, std::ptr::null_mut()) }, 0);
        (event, timer)
    }
    let mut lp = guarded();
    let (event, timer) = descriptors();
    let mut signal = event.try_clone().unwrap();
    let log = Log::default();
    for (name, source) in [("eventfd", event), ("timerfd", timer)] {
        let log = log.clone();
        let source = Fd::new(source).unwrap();
        lp.as_cx()
            .watch(source, Interest::READABLE, move |cx, key, source, ready| {
                let mut count = [0; 8];
                if ready.try_io(Interest::READABLE, || source.read(&mut count)).is_ok() {
                    log.add(format!("{name} {} in {}", u64::from_ne_bytes(count), cx.phase()));
                    cx.close(key).unwrap();
                }
            })
            .unwrap();
    }
    signal.write_all(&3u64.to_ne_bytes()).unwrap();
    lp.run().unwrap();
    let mut lines = log.lines();
    lines.sort();
    assert_eq!(lines, ["eventfd 3 in ready", "timerfd 1 in ready"]);
}

/// Wake-ups from other threads coalesce, and are never lost after the loop has looked.
#[test]
fn libuv_63_async() {
    let mut lp = guarded();
    let state = Arc::new(AtomicU32::new(0));
    let (seen, remote) = (state.clone(), lp.as_cx().remote());
    let keep = lp.as_cx().timer(DEADLINE * 2, |_, _| {});
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
    lp.as_cx().close(keep).unwrap();
}

/// A burst of posts to a busy loop is one wake-up.
#[test]
fn libuv_63_a_burst_is_one_wake_up() {
    let mut lp = guarded();
    let remote = lp.as_cx().remote();
    let got = Rc::new(Cell::new(0));
    lp.as_cx().next_tick({
        let remote = remote.clone();
        move |cx| {
            // The loop is busy with this callback meanwhile.
            let sender = std::thread::spawn(move || {
                for _ in 0..1000 {
                    remote.post(|cx| *cx.parts::<u32>().0 += 1).unwrap();
                }
            });
            sender.join().unwrap();
            assert_eq!(*cx.parts::<u32>().0, 0);
        }
    });
    lp.run().unwrap();
    got.set(*lp.as_cx().parts::<u32>().0);
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
            let (remote, ran, stop) = (lp.as_cx().remote(), ran.clone(), stop.clone());
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
    let keep = lp.as_cx().timer(DEADLINE * 2, |_, _| {});
    while !stop.load(Ordering::Relaxed) {
        lp.run_once().unwrap();
    }
    lp.as_cx().close(keep).unwrap();
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
        .as_cx()
        .work(
            move || (std::thread::current().id() != here, 42),
            move |cx, result| d.set(Some((cx.phase(), result.unwrap()))),
        )
        .unwrap();
    assert!(lp.is_alive() && lp.as_cx().is_open(key));
    lp.run().unwrap();
    assert_eq!(done.get(), Some((Phase::Ready, (true, 42))));
    assert_eq!(lp.as_cx().work_cancel(key), Err(KeyError::Closed));
    let stats = lp.as_cx().work_stats();
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
                    lp.as_cx()
                        .work(move || i * n, move |_, r| sum.set(sum.get() + r.unwrap()))
                        .unwrap();
                }
                lp.run().unwrap();
                assert!(lp.as_cx().work_stats().threads <= 4);
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
        .as_cx()
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
            lp.as_cx().work(
                || panic!("it never runs"),
                move |_, r: Result<(), _>| {
                    assert_eq!(r, Err(WorkError::Cancelled));
                    l.add(format!("cancelled {n}"));
                },
            )
        })
        .collect();
    running.recv().unwrap();
    let mut cx = lp.as_cx();
    assert_eq!(cx.work_cancel(busy), Ok(false), "EBUSY in libuv");
    for key in queued {
        let key = key.unwrap();
        assert_eq!(cx.work_cancel(key), Ok(true));
        assert_eq!(cx.work_cancel(key), Ok(false));
    }
    assert!(log.lines().is_empty(), "not from inside the call");
    let stats = cx.work_stats();
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
        lp.as_cx().slow_work(wait, move |_, _| l.add(format!("slow {n}"))).unwrap();
    }
    let l = log.clone();
    lp.as_cx()
        .work(
            || (),
            move |cx, _| {
                l.add("quick");
                cx.stop();
            },
        )
        .unwrap();
    lp.run().unwrap();
    assert_eq!(log.lines(), ["quick"], "although three slow ones came first");
    assert_eq!(lp.as_cx().work_stats().running, 1);
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
        lp.as_cx()
            .work(
                move || std::panic::resume_unwind(Box::new(format!("{text} on purpose"))),
                move |_, r: Result<(), _>| l.add(r.unwrap_err().to_string()),
            )
            .unwrap();
    }
    lp.run().unwrap();
    let said = |n: &str| format!("the job panicked: {n} on purpose");
    assert_eq!(log.lines(), [said("first"), said("second")]);
    let stats = lp.as_cx().work_stats();
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
        lp.as_cx()
            .slow_work(
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
    let mut cx = lp.as_cx();
    cx.work(
        move || {
            begun.send(()).unwrap();
            wait();
        },
        |_, _| {},
    )
    .unwrap();
    running.recv().unwrap();
    for _ in 0..2 {
        cx.work(|| (), |_, _| {}).unwrap();
    }
    let called = Rc::new(Cell::new(false));
    let c = called.clone();
    match cx.work(|| 7, move |_, _| c.set(true)) {
        Err(WorkRefused::Full { job, done }) => {
            assert_eq!(job(), 7);
            done(&mut cx, Ok(7));
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
    let mut cx = lp.as_cx();
    cx.work(
        move || {
            begun.send(()).unwrap();
            std::thread::park_timeout(MS * 20);
            f.store(true, Ordering::Release);
        },
        |_, _| panic!("no callback runs in drop"),
    )
    .unwrap();
    cx.work(move || drop(held), |_, _| panic!("no callback runs in drop")).unwrap();
    running.recv().unwrap();
    drop(lp);
    assert!(finished.load(Ordering::Acquire));
    assert_eq!(Arc::strong_count(&never), 1);
}

#[test]
fn libuv_67_metrics_info_check() {
    let mut lp = guarded();
    let (ours, theirs) = UnixStream::pair().unwrap();
    lp.as_cx()
        .watch(file(ours), Interest::READABLE, |_, _, source, ready| {
            drain(source, ready);
        })
        .unwrap();
    (&theirs).write_all(b"x").unwrap();
    lp.run_nowait().unwrap();
    let m = lp.metrics();
    assert_eq!((m.turns, m.events, m.events_waiting), (1, 1, 1));
    (&theirs).write_all(b"x").unwrap();
    lp.run_once().unwrap();
    let m = lp.metrics();
    assert_eq!((m.turns, m.events, m.events_waiting, m.blocking_polls), (2, 2, 1, 1));
    assert_eq!(m.turn_lengths.count(), 2);
}

/// Time in the poller is idle; time in callbacks is not, and shows in the histogram of
/// turns.
#[test]
fn libuv_67_metrics_idle_time() {
    let mut lp = guarded();
    let start = Instant::now();
    lp.as_cx().timer(MS * 20, |cx, _| {
        let start = Instant::now();
        while start.elapsed() < MS * 20 {
            std::hint::spin_loop();
        }
        cx.timer(Duration::ZERO, |_, _| {});
    });
    lp.run().unwrap();
    let (m, wall) = (lp.metrics(), start.elapsed());
    assert!(m.idle >= MS * 19, "{:?}", m.idle);
    assert!(m.idle + MS * 19 <= wall, "{:?} of {wall:?}", m.idle);
    assert!(m.turn_lengths.quantile(1.0) >= MS * 20, "{:?}", m.turn_lengths);
}

/// Phases and calls are measured while somebody watches, and only then.
#[test]
fn phases_are_measured_with_an_observer() {
    let mut lp = guarded();
    let slow = |_: &mut Cx<'_>, _| {
        let start = Instant::now();
        while start.elapsed() < MS * 3 {
            std::hint::spin_loop();
        }
    };
    lp.as_cx().timer(Duration::ZERO, slow);
    lp.run().unwrap();
    assert!(lp.metrics().longest_call.is_zero());
    lp.observe(Trace::default());
    lp.as_cx().timer(MS, slow);
    lp.run().unwrap();
    let m = lp.metrics();
    assert!(m.longest_call >= MS * 3 && m.phase(Phase::Timers) >= MS * 3, "{m:?}");
    assert!(m.phase(Phase::Ready) < MS * 3, "{m:?}");
}
