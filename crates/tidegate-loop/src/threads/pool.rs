//! The threads behind `work`: a queue of jobs that any of them takes from, in order,
//! with a share for the slow ones. Knows no loop; what is done is left in a list,
//! and the owner is notified.
#![forbid(unsafe_code)]

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use log::Level;

use crate::one_line::OneLine;
use crate::store::key::Key;
use crate::thinned::Thinned;
use crate::threads::sync::{Condvar, Mutex, lock};

pub(crate) type Outcome = Result<Box<dyn Any + Send>, WorkError>;
pub(crate) type Run = Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>;

/// Why a job has no result.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_loop::{AsCx, Loop, WorkError};
/// let mut lp = Loop::new()?;
/// let job = || -> u32 { std::panic::resume_unwind(Box::new("out of depth")) };
/// lp.work(job, |_, result| {
///     assert_eq!(result, Err(WorkError::Panicked { message: "out of depth".into() }));
/// })?;
/// lp.run()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkError {
    /// It was cancelled before a thread began it.
    Cancelled,
    /// It panicked; the thread goes on with other jobs.
    Panicked {
        /// The panic's message, if it was a text.
        message: String,
    },
}

impl WorkError {
    /// The payload ends here, and may do so with another panic.
    pub(crate) fn panicked(payload: Box<dyn Any + Send>) -> WorkError {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(again);
        }
        WorkError::Panicked { message: text.unwrap_or_default() }
    }
}

impl fmt::Display for WorkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkError::Cancelled => f.write_str("the job was cancelled"),
            WorkError::Panicked { message } => write!(f, "the job panicked: {}", OneLine(message)),
        }
    }
}

impl std::error::Error for WorkError {}

/// What the pool of a loop does and did.
///
/// ```
/// use tidegate_loop::{AsCx, Loop};
/// assert_eq!(Loop::new()?.work_stats().threads, 0, "started at first use");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkStats {
    /// Threads that were started.
    pub threads: usize,
    /// Jobs that wait for one.
    pub queued: usize,
    /// Jobs that run.
    pub running: usize,
    /// Jobs that ran, in all.
    pub done: u64,
    /// Of these, jobs that panicked.
    pub panicked: u64,
    /// Jobs that were cancelled, in all.
    pub cancelled: u64,
}

/// Which share of the threads a job may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Class {
    Quick,
    Slow,
}

struct Job {
    key: Key,
    class: Class,
    run: Run,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    finished: VecDeque<(Key, Outcome)>,
    idle: usize,
    slow_running: usize,
    stats: WorkStats,
    stop: bool,
}

/// What the threads share.
pub(crate) struct Jobs {
    state: Mutex<State>,
    available: Condvar,
    slow_share: usize,
}

impl Jobs {
    pub(crate) fn new(slow_share: usize) -> Jobs {
        Jobs { state: Mutex::new(State::default()), available: Condvar::new(), slow_share }
    }

    /// The first job that may run now. Slow ones wait while theirs is the share
    /// of the threads already, and others pass them.
    fn pick(&self, state: &mut State) -> Option<Job> {
        let slow_may = state.slow_running < self.slow_share;
        let first = state.jobs.iter().position(|j| slow_may || j.class == Class::Quick)?;
        let job = state.jobs.remove(first)?;
        state.slow_running += usize::from(job.class == Class::Slow);
        state.stats.queued -= 1;
        state.stats.running += 1;
        Some(job)
    }

    /// The life of a thread: takes jobs until the pool stops, and calls `tell` with the key of each
    /// that is done.
    pub(crate) fn serve(&self, tell: impl Fn(Key)) {
        let mut state = lock(&self.state);
        loop {
            if let Some(Job { key, class, run }) = self.pick(&mut state) {
                drop(state);
                let outcome = catch_unwind(AssertUnwindSafe(run)).map_err(WorkError::panicked);
                state = lock(&self.state);
                state.slow_running -= usize::from(class == Class::Slow);
                state.stats.running -= 1;
                state.stats.done += 1;
                state.stats.panicked += u64::from(outcome.is_err());
                state.finished.push_back((key, outcome));
                drop(state);
                tell(key);
                if class == Class::Slow {
                    // Another slow one may run now, and a thread may sleep over it.
                    self.available.notify_one();
                }
                state = lock(&self.state);
            } else if state.stop {
                return;
            } else {
                state.idle += 1;
                state =
                    self.available.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                state.idle -= 1;
            }
        }
    }

    /// `true` if there are more jobs than threads that wait for one.
    fn push(&self, job: Job) -> bool {
        let mut state = lock(&self.state);
        state.jobs.push_back(job);
        state.stats.queued += 1;
        let short = state.jobs.len() > state.idle;
        drop(state);
        self.available.notify_one();
        short
    }

    /// Takes a job back that no thread has begun.
    fn take_back(&self, key: Key) -> Option<Run> {
        let mut state = lock(&self.state);
        let at = state.jobs.iter().position(|j| j.key == key)?;
        state.stats.queued -= 1;
        state.jobs.remove(at).map(|j| j.run)
    }

    /// The same, and counts it as cancelled.
    pub(crate) fn cancel(&self, key: Key) -> Option<Run> {
        let run = self.take_back(key)?;
        lock(&self.state).stats.cancelled += 1;
        Some(run)
    }

    pub(crate) fn collect(&self, into: &mut VecDeque<(Key, Outcome)>) {
        into.append(&mut lock(&self.state).finished);
    }

    /// No more jobs: the threads end after those that run. The queued ones come back.
    fn stop(&self) -> impl Drop {
        let mut state = lock(&self.state);
        state.stop = true;
        let queued = std::mem::take(&mut state.jobs);
        state.stats.cancelled += queued.len() as u64;
        state.stats.queued = 0;
        drop(state);
        self.available.notify_all();
        queued
    }
}

/// The threads of one loop. Dropping it cancels what is queued, and waits for what
/// runs.
pub(crate) struct Pool {
    jobs: Arc<Jobs>,
    threads: Vec<JoinHandle<()>>,
    most: usize,
    limit: usize,
    thinned: Thinned,
}

/// Why a job was not taken.
pub(crate) enum NotTaken {
    Full,
    NoThread(io::Error),
}

impl Pool {
    pub(crate) fn new(threads: usize, slow_share: usize, limit: usize) -> Pool {
        let jobs = Arc::new(Jobs::new(slow_share));
        Pool { jobs, threads: Vec::new(), most: threads, limit, thinned: Thinned::default() }
    }

    /// Queues a job. A thread is started while there are fewer than jobs to do;
    /// that it cannot is an error only if there is none at all.
    pub(crate) fn submit(
        &mut self,
        key: Key,
        class: Class,
        run: Run,
        tell: impl Fn(Key) + Send + 'static,
    ) -> Result<(), NotTaken> {
        if lock(&self.jobs.state).jobs.len() >= self.limit {
            return Err(NotTaken::Full);
        }
        let short = self.jobs.push(Job { key, class, run });
        if short && self.threads.len() < self.most {
            let jobs = self.jobs.clone();
            let thread = std::thread::Builder::new().name("tidegate-work".into());
            match thread.spawn(move || jobs.serve(tell)) {
                Ok(thread) => self.threads.push(thread),
                Err(e) if self.threads.is_empty() => {
                    self.jobs.take_back(key);
                    return Err(NotTaken::NoThread(e));
                }
                Err(e) => {
                    let left = self.threads.len();
                    self.thinned.log(
                        Level::Warn,
                        "tidegate::loop",
                        "no thread",
                        1,
                        format_args!("work goes on with {left} threads: {e}"),
                    );
                }
            }
        }
        Ok(())
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    pub(crate) fn stats(&self) -> WorkStats {
        WorkStats { threads: self.threads.len(), ..lock(&self.jobs.state).stats }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        drop(self.jobs.stop());
        for thread in self.threads.drain(..) {
            // A job's panic was caught; the thread itself has none.
            let _ = thread.join();
        }
    }
}

#[cfg(all(test, loom))]
mod tests {
    use super::*;
    use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use loom::thread;

    fn job(key: Key, class: Class, run: impl FnOnce() + Send + 'static) -> Job {
        let run: Run = Box::new(move || {
            run();
            Box::new(())
        });
        Job { key, class, run }
    }

    fn keys() -> [Key; 2] {
        let mut table = crate::store::table::Table::new(1, 1, "vacant");
        [0, 1].map(|n| table.insert("job", n, 0, crate::store::readiness::Readiness::NONE).unwrap())
    }

    /// All orders with up to two preemptions: more take hours and found nothing.
    fn model(f: impl Fn() + Send + Sync + 'static) {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(f);
    }

    /// A thread, two jobs, a cancel and a stop: each job ran and is in the list, or came
    /// back.
    #[test]
    fn every_job_is_done_or_comes_back() {
        model(|| {
            let jobs = loom::sync::Arc::new(Jobs::new(1));
            let ran = loom::sync::Arc::new(AtomicUsize::new(0));
            let server = {
                let jobs = jobs.clone();
                thread::spawn(move || jobs.serve(|_| {}))
            };
            let keys = keys();
            for (key, class) in keys.into_iter().zip([Class::Slow, Class::Quick]) {
                let ran = ran.clone();
                jobs.push(job(key, class, move || {
                    ran.fetch_add(1, Relaxed);
                }));
            }
            let cancelled = usize::from(jobs.cancel(keys[0]).is_some());
            drop(jobs.stop());
            server.join().unwrap();
            let mut finished = VecDeque::new();
            jobs.collect(&mut finished);
            let stats = lock(&jobs.state).stats;
            assert_eq!(finished.len(), ran.load(Relaxed));
            assert_eq!(stats.done + stats.cancelled, 2);
            assert!(stats.cancelled >= cancelled as u64);
            assert_eq!((stats.queued, stats.running), (0, 0));
        });
    }

    /// Two threads and a share of one: slow jobs run one at a time, and the end of the
    /// first does not leave the second asleep.
    #[test]
    fn a_slow_job_wakes_the_next() {
        model(|| {
            let jobs = loom::sync::Arc::new(Jobs::new(1));
            let at_once = loom::sync::Arc::new(AtomicUsize::new(0));
            let done = loom::sync::Arc::new((Mutex::new(0), Condvar::new()));
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    let (jobs, done) = (jobs.clone(), done.clone());
                    thread::spawn(move || {
                        jobs.serve(|_| {
                            *lock(&done.0) += 1;
                            done.1.notify_one();
                        })
                    })
                })
                .collect();
            for key in &keys()[..2] {
                let at_once = at_once.clone();
                jobs.push(job(*key, Class::Slow, move || {
                    assert_eq!(at_once.fetch_add(1, Relaxed), 0);
                    at_once.fetch_sub(1, Relaxed);
                }));
            }
            let mut n = lock(&done.0);
            while *n < 2 {
                n = done.1.wait(n).unwrap();
            }
            drop(n);
            drop(jobs.stop());
            for t in threads {
                t.join().unwrap();
            }
        });
    }
}
