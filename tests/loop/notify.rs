//! Handles that are notified, from their own thread and from others: order, coalescing, the budget
//! of a pass, and what becomes of notifications that find nothing.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tidegate::kind::{Dispatch, Kind, LayerId};
use tidegate::observe::{Event, Moment, Observer};
use tidegate::prelude::*;
use tidegate::{Key, Remote};

use crate::support::*;

type Act = Rc<dyn Fn(&mut Dispatch<'_>, Key, u64)>;

/// What the calls of this file's handles do, and which there were: turn, data word.
#[derive(Default)]
struct Calls {
    act: Option<Act>,
    calls: Vec<(u64, u64)>,
}

static CALLS: LayerId<Calls> = LayerId::new(Calls::default);
static BELL: Kind = Kind::new("bell", CALLS.owner()).ready(called).notified(called);
static DEAF: Kind = Kind::new("deaf", CALLS.owner());

fn called(d: &mut Dispatch<'_>, key: Key, data: u64) {
    let turn = d.cx().turn();
    let layer = d.layer(&CALLS).0;
    layer.calls.push((turn, data));
    if let Some(act) = layer.act.clone() {
        act(d, key, data);
    }
}

fn bell(lp: &mut Loop, data: u64) -> Key {
    lp.cx().driver().insert(&BELL, data).unwrap().key()
}

fn act(lp: &mut Loop, act: impl Fn(&mut Dispatch<'_>, Key, u64) + 'static) {
    lp.cx().layer(&CALLS).0.act = Some(Rc::new(act));
}

fn take_calls(lp: &mut Loop) -> Vec<(u64, u64)> {
    std::mem::take(&mut lp.cx().layer(&CALLS).0.calls)
}

fn free(d: &mut Dispatch<'_>, key: Key) {
    d.driver().handle(CALLS.owner(), key).unwrap().free();
}

#[test]
fn each_is_called_once_in_order() {
    let mut lp = guarded();
    let [a, b, c] = [1, 2, 3].map(|data| bell(&mut lp, data));
    let remote = lp.remote();
    for key in [b, a, b, c, a] {
        remote.notify(key);
    }
    assert_eq!(lp.backend_timeout(), Some(Duration::ZERO));
    lp.run_once().unwrap();
    assert_eq!(take_calls(&mut lp), [(1, 2), (1, 1), (1, 3)]);
    let other = remote.clone();
    thread::spawn(move || [c, c, b].map(|key| other.notify(key))).join().unwrap();
    lp.run_once().unwrap();
    assert_eq!(take_calls(&mut lp), [(2, 3), (2, 2)]);
    act(&mut lp, |d, key, _| free(d, key));
    for key in [a, b, c] {
        remote.notify(key);
    }
    lp.run().unwrap();
    assert_eq!((take_calls(&mut lp).len(), handles(&lp)), (3, 0));
}

/// From a call of the ready pass, and from one that was notified: in the same turn, and the
/// kernel has nothing to do with it.
#[test]
fn what_a_pass_notifies_it_calls() {
    let mut lp = guarded();
    let keys: Vec<Key> = (0..4).map(|data| bell(&mut lp, data)).collect();
    let (remote, last) = (lp.remote(), keys.len() as u64 - 1);
    lp.cx().driver().handle(CALLS.owner(), keys[0]).unwrap().queue();
    act(&mut lp, move |d, key, data| {
        free(d, key);
        if data < last {
            remote.notify(keys[data as usize + 1]);
        }
    });
    lp.run().unwrap();
    assert_eq!(take_calls(&mut lp), [(1, 0), (1, 1), (1, 2), (1, 3)]);
    let m = lp.metrics();
    assert_eq!((m.turns, m.events, m.blocking_polls), (1, 0, 0));
}

/// In phases without a ready pass: the next turn has it, and does not wait.
#[test]
fn what_other_phases_notify_the_next_pass_calls() {
    let (mut lp, _script) = scripted();
    let key = bell(&mut lp, 0);
    let remote = lp.remote();
    lp.timer(Duration::from_secs(1), move |_, _| remote.notify(key));
    act(&mut lp, |d, key, _| free(d, key));
    lp.run().unwrap();
    assert_eq!(take_calls(&mut lp).len(), 1);
    assert_eq!((lp.metrics().blocking_polls, lp.metrics().events), (1, 0));
}

/// One that notifies itself for ever is called as often as the budget says, and the turn goes on.
#[test]
fn a_pass_has_a_budget() {
    let mut lp = guard(Loop::builder().notify_budget(3).build().unwrap());
    let [a, b] = [1, 2].map(|data| bell(&mut lp, data));
    let remote = lp.remote();
    let again = remote.clone();
    act(&mut lp, move |d, key, data| {
        if d.layer(&CALLS).0.calls.len() > 8 {
            free(d, key);
        } else if data == 1 {
            again.notify(key);
        }
    });
    lp.check(move |cx, me| {
        if cx.handles() == 3 {
            cx.close(me).unwrap();
        }
    });
    remote.notify(a);
    remote.notify(b);
    lp.run_once().unwrap();
    assert_eq!(lp.backend_timeout(), Some(Duration::ZERO));
    while lp.run_once().unwrap() && lp.is_open(a) {}
    let calls = take_calls(&mut lp);
    let turns: Vec<u64> = calls.iter().map(|(turn, _)| *turn).collect();
    assert_eq!(turns, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
    let who: Vec<u64> = calls.iter().map(|(_, who)| *who).collect();
    assert_eq!(who, [1, 2, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!((lp.metrics().notified_carried_over, lp.metrics().events), (2, 0));
    lp.close_all();
    lp.run().unwrap();
}

/// A handle that was made in the pass, by one that was notified, has its call in it, too.
#[test]
fn a_handle_made_meanwhile_is_called_in_the_pass() {
    let mut lp = guarded();
    let key = bell(&mut lp, 0);
    act(&mut lp, |d, key, data| {
        free(d, key);
        if data == 0 {
            d.driver().insert(&BELL, 1).unwrap().queue_now();
        }
    });
    lp.remote().notify(key);
    lp.run().unwrap();
    assert_eq!(take_calls(&mut lp), [(1, 0), (1, 1)]);
}

#[test]
fn four_threads_and_no_notification_is_lost() {
    const THREADS: u64 = 4;
    const EACH: u64 = 25_000;
    const HANDLES: usize = 50;
    let mut lp = guard(Loop::builder().notify_budget(16).build().unwrap());
    let keys: Vec<Key> = (0..HANDLES).map(|n| bell(&mut lp, n as u64)).collect();
    let written: Arc<Vec<AtomicU64>> = Arc::new((0..HANDLES).map(|_| AtomicU64::new(0)).collect());
    let seen = written.clone();
    let full = THREADS * EACH / HANDLES as u64;
    act(&mut lp, move |d, key, n| {
        if seen[n as usize].load(Ordering::Relaxed) == full {
            free(d, key);
        }
    });
    let remote = lp.remote();
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (remote, keys, written) = (remote.clone(), keys.clone(), written.clone());
            thread::spawn(move || {
                for n in 0..EACH {
                    let n = (n + thread) as usize % HANDLES;
                    written[n].fetch_add(1, Ordering::Relaxed);
                    remote.notify(keys[n]);
                }
            })
        })
        .collect();
    lp.run().unwrap(); // until each handle saw all that was written for it
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(handles(&lp), 0);
}

#[test]
fn a_call_that_panics_is_repeated_and_the_others_follow() {
    let mut lp = guarded();
    let keys = [1, 2].map(|data| bell(&mut lp, data));
    act(&mut lp, |d, key, _| {
        if d.layer(&CALLS).0.calls.len() == 1 {
            resume_unwind(Box::new("on purpose"));
        }
        free(d, key);
    });
    let remote = lp.remote();
    for key in keys {
        remote.notify(key);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| lp.run())).is_err());
    lp.run().unwrap();
    let who: Vec<u64> = take_calls(&mut lp).iter().map(|(_, who)| *who).collect();
    assert_eq!((who, handles(&lp)), (vec![1, 2, 1], 0));
}

#[test]
fn nothing_happens_for_what_cannot_be_called() {
    let mut lp = guarded();
    let remote = lp.remote();
    let [gone, closing] = [1, 2].map(|data| bell(&mut lp, data));
    let deaf = lp.cx().driver().insert(&DEAF, 0).unwrap().key();
    let never = lp.cx().driver().stale_key();
    let mut other = guarded();
    let foreign = bell(&mut other, 3);
    lp.cx().driver().handle(CALLS.owner(), gone).unwrap().free();
    lp.close(closing).unwrap();
    for key in [gone, closing, deaf, never, foreign, Key::from(lp.timer(DEADLINE, |_, _| {}))] {
        remote.notify(key);
    }
    lp.run_once().unwrap();
    assert_eq!((take_calls(&mut lp), take_calls(&mut other)), (vec![], vec![]));
    // The next handle in the place of one that is gone is not called for it.
    remote.notify(gone);
    let next = bell(&mut lp, 4);
    remote.notify(next);
    lp.run_nowait().unwrap();
    assert!(take_calls(&mut lp).iter().all(|(_, who)| *who == 4));
    drop(lp);
    remote.notify(next);
    other.close_all();
    other.run().unwrap();
}

/// A notification is a hint: only the end of a job or of a [`KeepAlive`] ends its handle.
#[test]
fn a_kind_looks_what_there_is_to_do() {
    let mut lp = guarded();
    let remote = lp.remote();
    let (go, wait) = channel::<()>();
    let kept = lp.keep_alive("the test").unwrap();
    let answers = Rc::new(RefCell::new(Vec::new()));
    let got = answers.clone();
    let job = lp.work(move || wait.recv().is_ok(), move |_, r| got.borrow_mut().push(r)).unwrap();
    remote.notify(&kept);
    remote.notify(job);
    lp.run_nowait().unwrap();
    assert!(lp.is_open(&kept) && lp.is_open(job));
    drop(kept);
    go.send(()).unwrap();
    lp.run().unwrap();
    assert_eq!((handles(&lp), &*answers.borrow()), (0, &vec![Ok(true)]));
}

/// It is dropped with the thread's own values, when much of std is gone already.
#[test]
fn a_keep_alive_ends_with_its_thread() {
    use tidegate::KeepAlive;
    thread_local!(static KEPT: RefCell<Option<KeepAlive>> = const { RefCell::new(None) });
    let mut lp = guarded();
    let kept = lp.keep_alive("a thread").unwrap();
    let thread = thread::spawn(move || KEPT.with(|here| *here.borrow_mut() = Some(kept)));
    lp.run().unwrap();
    thread.join().unwrap();
}

/// Turn and text of what the loop tells of handles.
#[derive(Clone, Default)]
struct Told(Rc<RefCell<Vec<String>>>);

impl Observer for Told {
    fn event(&mut self, _: &Moment, event: &Event<'_>) {
        let line = match event {
            Event::Ready { kind, .. } => format!("ready {kind}"),
            Event::Calling { kind, .. } => format!("calling {kind}"),
            Event::Called { kind, .. } => format!("called {kind}"),
            _ => return,
        };
        self.0.borrow_mut().push(line);
    }
}

#[test]
fn observers_see_who_is_called_and_when() {
    let mut lp = guarded();
    let told = Told::default();
    lp.observe(told.clone());
    let key = bell(&mut lp, 0);
    act(&mut lp, |d, key, _| free(d, key));
    lp.remote().notify(key);
    lp.timer(Duration::ZERO, |_, _| {});
    lp.run().unwrap();
    let lines: Vec<_> = told.0.take().into_iter().filter(|l| !l.contains("inbox")).collect();
    let expected = ["calling timer", "called timer", "ready bell", "calling bell", "called bell"];
    assert_eq!(lines, expected);
}

/// Each call begins with `Calling` and ends with `Called`, exactly as long after it.
#[test]
fn a_call_has_a_beginning_and_an_end() {
    #[derive(Clone, Default)]
    struct Spans {
        open: Rc<RefCell<Option<(Key, Duration)>>>,
        over: Rc<RefCell<u64>>,
    }
    impl Observer for Spans {
        fn event(&mut self, at: &Moment, event: &Event<'_>) {
            match *event {
                Event::Calling { key, .. } => {
                    assert_eq!(self.open.replace(Some((key, at.elapsed))), None);
                }
                Event::Called { key, took, .. } => {
                    assert_eq!(self.open.take(), Some((key, at.elapsed - took)));
                    *self.over.borrow_mut() += 1;
                }
                _ => {}
            }
        }
    }
    let mut lp = guarded();
    let spans = Spans::default();
    lp.observe(spans.clone());
    lp.idle(|cx, me| cx.close(me).unwrap());
    lp.timer(Duration::ZERO, |cx, _| cx.next_tick(|_| {}));
    lp.work(|| (), |_, _| {}).unwrap();
    let server = lp
        .listen("127.0.0.1:0", |conn| {
            conn.accept(On::new().connect(|_| {}));
        })
        .unwrap();
    let at = lp.server(server).local_addr().unwrap();
    lp.connect(at, On::new().connect(|s| s.end()).close(move |s, _| s.cx().close(server).unwrap()));
    lp.run().unwrap();
    assert!(*spans.over.borrow() >= 8 && spans.open.borrow().is_none());
}

/// Between the loop's last look and the poll only observers run.
#[test]
fn an_observer_that_notifies_before_the_poll_wakes_it() {
    struct AtPoll(Remote, Key);
    impl Observer for AtPoll {
        fn event(&mut self, _: &Moment, event: &Event<'_>) {
            if let Event::Poll { timeout: None, .. } = event {
                self.0.notify(self.1);
            }
        }
    }
    let mut lp = Loop::new().unwrap(); // no guard: its timer would bound the wait
    let key = bell(&mut lp, 0);
    act(&mut lp, |d, key, _| free(d, key));
    let remote = lp.remote();
    lp.observe(AtPoll(remote.clone(), key));
    // If nothing else wakes it, this does.
    let (done, over) = channel::<()>();
    let late =
        thread::spawn(move || over.recv_timeout(DEADLINE).is_err() && remote.post(|_| {}).is_ok());
    lp.run().unwrap();
    drop(done);
    assert!(late.join().is_ok() && lp.metrics().events == 1);
}

/// A notification that is under way when the loop is dropped finds it or not.
#[test]
fn loops_end_while_others_notify() {
    let keys: Arc<Mutex<Option<(Remote, Key)>>> = Arc::default();
    let (seen, (done, over)) = (keys.clone(), channel::<()>());
    let sender = thread::spawn(move || {
        while over.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            let found = seen.lock().unwrap().clone();
            if let Some((remote, key)) = found {
                remote.notify(key);
            }
        }
    });
    for data in 0..100 {
        let mut lp = guarded();
        let key = bell(&mut lp, data);
        *keys.lock().unwrap() = Some((lp.remote(), key));
        while take_calls(&mut lp).is_empty() {
            lp.run_once().unwrap();
        }
    }
    drop(done);
    sender.join().unwrap();
}
