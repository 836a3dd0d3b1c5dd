//! What other threads ask of a loop: to wake up, or to run a closure. The loop is on the
//! servers' core, they on the client's.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::task::{Poll, Waker};
use std::time::Instant;

use tidegate::kind::LayerId;
use tidegate::prelude::*;
use tokio::runtime::{Builder, Handle};

use super::{FAR, Sides, nanos, on};
use crate::sys::cores::{self, Core};
use crate::sys::epoll::{self, Epoll, EventFd, Events};
use crate::sys::semaphore::Semaphore;

/// Wake-ups without a word; the time of the calls.
pub fn wakes() -> Sides {
    &[
        ("tidegate", own_wakes),
        ("floor", floor_wakes),
        ("tokio", tokio_wakes),
        #[cfg(libuv)]
        ("libuv", |n| on(Core::Server, || crate::sys::libuv::wakes(n))),
    ]
}

/// Closures from one thread.
pub fn from_one() -> Sides {
    &[
        ("tidegate", |n| own_posts(n, 1)),
        ("floor", |n| floor_posts(n, 1)),
        ("tokio", |n| tokio_posts(n, 1)),
        #[cfg(libuv)]
        ("libuv", |n| on(Core::Server, || crate::sys::libuv::posts(n, 1))),
    ]
}

/// Closures from two.
pub fn from_two() -> Sides {
    &[
        ("tidegate", |n| own_posts(n, 2)),
        ("floor", |n| floor_posts(n, 2)),
        ("tokio", |n| tokio_posts(n, 2)),
        #[cfg(libuv)]
        ("libuv", |n| on(Core::Server, || crate::sys::libuv::posts(n, 2))),
    ]
}

/// Closures from four.
pub fn from_four() -> Sides {
    &[
        ("tidegate", |n| own_posts(n, 4)),
        ("floor", |n| floor_posts(n, 4)),
        ("tokio", |n| tokio_posts(n, 4)),
        #[cfg(libuv)]
        ("libuv", |n| on(Core::Server, || crate::sys::libuv::posts(n, 4))),
    ]
}

/// Closures that answer, each waited for.
pub fn round_trips() -> Sides {
    &[
        ("tidegate", own_round_trips),
        ("floor", floor_round_trips),
        ("tokio", tokio_round_trips),
        #[cfg(libuv)]
        ("libuv", |n| on(Core::Server, || crate::sys::libuv::round_trips(n))),
    ]
}

// tidegate

/// A loop that runs while threads reach it.
fn own(threads: u32, each: impl Fn(tidegate::Remote) + Clone + Send + Sync + 'static) -> u64 {
    on(Core::Server, || {
        let mut lp = Loop::new().expect("a loop");
        lp.timer(FAR, |_, _| {});
        let start = Instant::now();
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                let (remote, each) = (lp.remote(), each.clone());
                std::thread::spawn(move || {
                    cores::pin(Core::Client);
                    each(remote)
                })
            })
            .collect();
        lp.run().expect("the poller works");
        let took = nanos(start);
        threads.into_iter().for_each(|t| t.join().expect("it does not panic"));
        took
    })
}

/// A post, again and again until there is room for it.
fn post(remote: &tidegate::Remote, f: impl FnOnce(&mut Cx<'_>) + Send + 'static) {
    let mut f = f;
    while let Err(tidegate::PostError::Full(back)) = remote.post(f) {
        f = back;
        std::thread::yield_now();
    }
}

/// How many posts ran in a loop.
static POSTS_SEEN: LayerId<u64> = LayerId::new(|| 0);

fn own_posts(n: u64, threads: u32) -> u64 {
    let each = n / u64::from(threads);
    let all = each * u64::from(threads);
    own(threads, move |remote| {
        for _ in 0..each {
            post(&remote, move |cx| {
                let (seen, _) = cx.layer(&POSTS_SEEN);
                *seen += 1;
                if *seen == all {
                    cx.stop();
                }
            });
        }
    })
}

fn own_round_trips(n: u64) -> u64 {
    let answer = Arc::new(Semaphore::default());
    own(1, move |remote| {
        for _ in 0..n {
            let answered = answer.clone();
            post(&remote, move |_| answered.post());
            answer.wait();
        }
        post(&remote, |cx| cx.stop());
    })
}

/// Times the calls in a thread, while `run` is the loop until it sees that they are over.
fn time_wakes(n: u64, wake: impl Fn() + Send + 'static, run: impl FnOnce(&AtomicBool)) -> u64 {
    let done = Arc::new(AtomicBool::new(false));
    let told = done.clone();
    let sender = std::thread::spawn(move || {
        cores::pin(Core::Client);
        let start = Instant::now();
        for _ in 0..n {
            wake();
        }
        let took = nanos(start);
        told.store(true, Ordering::SeqCst);
        wake();
        took
    });
    run(&done);
    sender.join().expect("it does not panic")
}

fn own_wakes(n: u64) -> u64 {
    on(Core::Server, || {
        let mut lp = Loop::new().expect("a loop");
        lp.timer(FAR, |_, _| {});
        let remote = lp.remote();
        time_wakes(
            n,
            move || remote.wake(),
            |done| {
                while !done.load(Ordering::SeqCst) {
                    lp.run_once().expect("the poller works");
                }
            },
        )
    })
}

// The floor: a queue under a mutex, and an eventfd that is written when it was empty.

type Posted = Box<dyn FnOnce(&mut Run) + Send>;

#[derive(Default)]
struct Run {
    seen: u64,
    over: bool,
}

impl Run {
    fn saw_one_of(&mut self, all: u64) {
        self.seen += 1;
        self.over = self.seen == all;
    }
}

struct Inbox {
    queue: Mutex<Vec<Posted>>,
    wake: EventFd,
}

impl Inbox {
    fn post(&self, f: impl FnOnce(&mut Run) + Send + 'static) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.push(Box::new(f));
        let first = queue.len() == 1;
        drop(queue);
        if first {
            self.wake.wake();
        }
    }
}

fn floor(threads: u32, each: impl Fn(&Inbox) + Clone + Send + Sync + 'static) -> u64 {
    on(Core::Server, || {
        let wake = EventFd::new().expect("an eventfd");
        let epoll = Epoll::new().expect("an epoll instance");
        epoll.add(&wake, epoll::IN, 0).expect("it can be watched");
        let inbox = Arc::new(Inbox { queue: Mutex::default(), wake });
        let mut events = Events::with_capacity(64);
        let start = Instant::now();
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                let (inbox, each) = (inbox.clone(), each.clone());
                std::thread::spawn(move || {
                    cores::pin(Core::Client);
                    each(&inbox)
                })
            })
            .collect();
        let (mut run, mut batch) = (Run::default(), Vec::new());
        while !run.over {
            epoll.wait(&mut events, -1);
            inbox.wake.clear();
            let mut queue = inbox.queue.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::swap(&mut *queue, &mut batch);
            drop(queue);
            batch.drain(..).for_each(|f| f(&mut run));
        }
        let took = nanos(start);
        threads.into_iter().for_each(|t| t.join().expect("it does not panic"));
        took
    })
}

fn floor_posts(n: u64, threads: u32) -> u64 {
    let each = n / u64::from(threads);
    let all = each * u64::from(threads);
    floor(threads, move |inbox| {
        for _ in 0..each {
            inbox.post(move |run| run.saw_one_of(all));
        }
    })
}

fn floor_round_trips(n: u64) -> u64 {
    let answer = Arc::new(Semaphore::default());
    floor(1, move |inbox| {
        for _ in 0..n {
            let answered = answer.clone();
            inbox.post(move |run| {
                run.saw_one_of(n);
                answered.post();
            });
            answer.wait();
        }
    })
}

fn floor_wakes(n: u64) -> u64 {
    on(Core::Server, || {
        let wake = EventFd::new().expect("an eventfd");
        let epoll = Epoll::new().expect("an epoll instance");
        epoll.add(&wake, epoll::IN, 0).expect("it can be watched");
        let mut events = Events::with_capacity(64);
        let shared = Arc::new((wake, AtomicBool::new(false)));
        let ours = shared.clone();
        time_wakes(
            n,
            move || {
                // A look before the exchange would be cheaper, and could lose a wake-up.
                if !shared.1.swap(true, Ordering::SeqCst) {
                    shared.0.wake();
                }
            },
            |done| {
                while !done.load(Ordering::SeqCst) {
                    epoll.wait(&mut events, -1);
                    ours.0.clear();
                    ours.1.store(false, Ordering::SeqCst);
                }
            },
        )
    })
}

// tokio: a task for each closure.

thread_local! {
    static SEEN: Cell<u64> = const { Cell::new(0) };
    static MAIN: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

fn tokio(n: u64, threads: u32, each: impl Fn(&Handle) + Clone + Send + Sync + 'static) -> u64 {
    on(Core::Server, || {
        let rt = Builder::new_current_thread().enable_io().build().expect("a runtime");
        let start = Instant::now();
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                let (handle, each) = (rt.handle().clone(), each.clone());
                std::thread::spawn(move || {
                    cores::pin(Core::Client);
                    each(&handle)
                })
            })
            .collect();
        rt.block_on(poll_fn(|cx| {
            if SEEN.get() == n {
                return Poll::Ready(());
            }
            MAIN.with_borrow_mut(|main| *main = Some(cx.waker().clone()));
            Poll::Pending
        }));
        let took = nanos(start);
        threads.into_iter().for_each(|t| t.join().expect("it does not panic"));
        took
    })
}

fn tokio_saw(all: u64) {
    SEEN.set(SEEN.get() + 1);
    if SEEN.get() == all {
        MAIN.with_borrow_mut(|main| main.take()).into_iter().for_each(Waker::wake);
    }
}

fn tokio_posts(n: u64, threads: u32) -> u64 {
    let each = n / u64::from(threads);
    let all = each * u64::from(threads);
    tokio(all, threads, move |handle| {
        for _ in 0..each {
            handle.spawn(async move { tokio_saw(all) });
        }
    })
}

fn tokio_round_trips(n: u64) -> u64 {
    let answer = Arc::new(Semaphore::default());
    tokio(n, 1, move |handle| {
        for _ in 0..n {
            let answered = answer.clone();
            handle.spawn(async move {
                tokio_saw(n);
                answered.post();
            });
            answer.wait();
        }
    })
}

fn tokio_wakes(n: u64) -> u64 {
    on(Core::Server, || {
        let rt = Builder::new_current_thread().enable_io().build().expect("a runtime");
        let (tell, told) = mpsc::channel::<Waker>();
        let waker = std::sync::OnceLock::new();
        time_wakes(
            n,
            move || waker.get_or_init(|| told.recv().expect("the loop runs")).wake_by_ref(),
            |done| {
                let mut first = Some(tell);
                rt.block_on(poll_fn(|cx| {
                    if let Some(tell) = first.take() {
                        tell.send(cx.waker().clone()).expect("somebody wakes");
                    }
                    match done.load(Ordering::SeqCst) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                }));
            },
        )
    })
}
