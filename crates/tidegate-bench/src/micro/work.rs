//! Jobs that other threads do for a loop, each started when the one before is back.
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use tidegate::prelude::*;
use tokio::runtime::Builder;

use super::{Sides, nanos, on};
use crate::sys::cores::Core;
use crate::sys::epoll::{self, Epoll, EventFd, Events};

/// The contenders.
pub fn sides() -> Sides {
    &[
        ("tidegate", own),
        ("floor", floor),
        ("tokio", tokio),
        #[cfg(libuv)]
        ("libuv", |n| on(Core::Any, || crate::sys::libuv::jobs(n))),
    ]
}

fn own(n: u64) -> u64 {
    fn next(cx: &mut Cx<'_>, left: u64) {
        if left > 0 {
            cx.work(|| (), move |cx, _| next(cx, left - 1)).expect("room for a job");
        }
    }
    on(Core::Any, || {
        let mut lp = Loop::new().expect("a loop");
        next(&mut lp.cx(), n);
        let start = Instant::now();
        lp.run().expect("the poller works");
        nanos(start)
    })
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Jobs {
    queue: VecDeque<Job>,
    over: bool,
}

/// As many threads as tidegate and libuv have.
const THREADS: usize = 4;

/// Threads at a queue, and an eventfd for what they have done.
fn floor(n: u64) -> u64 {
    on(Core::Any, || {
        let wake = Arc::new(EventFd::new().expect("an eventfd"));
        let epoll = Epoll::new().expect("an epoll instance");
        epoll.add(&*wake, epoll::IN, 0).expect("it can be watched");
        let mut events = Events::with_capacity(64);
        let shared: Arc<(Mutex<Jobs>, Condvar)> = Arc::default();
        let start = Instant::now();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let (jobs, more) = &*shared;
                    loop {
                        let mut jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
                        let job = loop {
                            if let Some(job) = jobs.queue.pop_front() {
                                break job;
                            }
                            if jobs.over {
                                return;
                            }
                            jobs = more.wait(jobs).unwrap_or_else(PoisonError::into_inner);
                        };
                        drop(jobs);
                        job();
                    }
                })
            })
            .collect();
        let (jobs, more) = &*shared;
        for _ in 0..n {
            let done = wake.clone();
            let job: Job = Box::new(move || done.wake());
            jobs.lock().unwrap_or_else(PoisonError::into_inner).queue.push_back(job);
            more.notify_one();
            while epoll.wait(&mut events, -1) == 0 {}
            wake.clear();
        }
        let took = nanos(start);
        jobs.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        more.notify_all();
        threads.into_iter().for_each(|t| t.join().expect("it does not panic"));
        took
    })
}

fn tokio(n: u64) -> u64 {
    on(Core::Any, || {
        let rt = Builder::new_current_thread().enable_io().build().expect("a runtime");
        let start = Instant::now();
        rt.block_on(async {
            for _ in 0..n {
                tokio::task::spawn_blocking(|| ()).await.expect("it does not panic");
            }
        });
        nanos(start)
    })
}
