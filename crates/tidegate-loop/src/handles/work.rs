//! `work`: a job on another thread, and its result in a callback of this loop.
//!
//! | job | `close`, `work_cancel` | loop dropped |
//! |---|---|---|
//! | queued | `done(Err(Cancelled))` follows | dropped |
//! | running | refused: `done` follows with the result | waited for, result dropped |
//! | done | nothing | result dropped |
#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::io;

use slab::Slab;

use crate::core::cx::Cx;
use crate::core::driver::Driver;
use crate::core::kind::{Dispatch, Kind};
use crate::handles::remote::Remote;
use crate::limits::Limits;
use crate::one_line::OneLine;
use crate::store::key::{Key, KeyError};
use crate::sys::LayerId;
use crate::threads::pool::{Class, NotTaken, Outcome, Pool, Run, WorkError, WorkStats};

static WORK: Kind = Kind::new("work", WORKS.owner())
    .notified(|d, key, _| {
        if let Some(outcome) = d.core.own.get(&WORKS).outcome(key) {
            finish(d, key, outcome);
        }
    })
    .pending(|d, key, _| finish(d, key, Err(WorkError::Cancelled)))
    // One that runs already goes on, and its result follows.
    .close(|cx, key, _| if cx.cancel_job(key) { Ok(()) } else { Err(KeyError::Closed) })
    .describe(|_, _, job| format!("job {job}"));

pub(crate) type Done = Box<dyn FnOnce(&mut Cx<'_>, Outcome)>;

/// Names a job. Made by [`Cx::work`].
///
/// ```
/// use tidegate_loop::{AsCx, Loop, WorkKey};
/// let mut lp = Loop::new()?;
/// let key: WorkKey = lp.work(|| 6 * 7, |_, answer| assert_eq!(answer, Ok(42)))?;
/// lp.run()?;
/// assert!(!lp.is_open(key));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkKey(Key);

impl From<WorkKey> for Key {
    fn from(k: WorkKey) -> Key {
        k.0
    }
}

/// A job that was not taken. Both closures come back.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// use tidegate_loop::{AsCx, Loop, WorkRefused};
/// let mut lp = Loop::builder().work_limit(1).work_threads(1).build()?;
/// let mut cx = lp.cx();
/// let refused = (0..10).find_map(|_| {
///     let slow = || std::thread::park_timeout(std::time::Duration::from_millis(50));
///     cx.work(slow, |_, _| {}).err()
/// });
/// let Some(WorkRefused::Full { job, .. }) = refused else { panic!() };
/// job(); // do it here, then
/// # Ok::<(), std::io::Error>(())
/// ```
#[non_exhaustive]
pub enum WorkRefused<J, D> {
    /// `work_limit` jobs are queued already.
    Full {
        /// The job.
        job: J,
        /// Its callback.
        done: D,
    },
    /// There is no thread, and none could be started; or no handle was left.
    NoThread {
        /// Why.
        error: io::Error,
        /// The job.
        job: J,
        /// Its callback.
        done: D,
    },
}

impl<J, D> fmt::Debug for WorkRefused<J, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkRefused::Full { .. } => f.write_str("Full"),
            WorkRefused::NoThread { error, .. } => f.debug_tuple("NoThread").field(error).finish(),
        }
    }
}

impl<J, D> fmt::Display for WorkRefused<J, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkRefused::Full { .. } => f.write_str("too many jobs are queued: see work_limit"),
            WorkRefused::NoThread { error, .. } => {
                write!(f, "no thread for the job: {}", OneLine(error))
            }
        }
    }
}

impl<J, D> std::error::Error for WorkRefused<J, D> {}

impl<J, D> From<WorkRefused<J, D>> for io::Error {
    fn from(e: WorkRefused<J, D>) -> io::Error {
        match e {
            WorkRefused::Full { .. } => io::Error::new(io::ErrorKind::WouldBlock, e.to_string()),
            WorkRefused::NoThread { error, .. } => error,
        }
    }
}

/// Made with the loop, by its limits.
pub(crate) static WORKS: LayerId<Works> = LayerId::new(|| Works::new(&Limits::default()));

/// The jobs of one loop: their callbacks here, the rest in the pool.
pub(crate) struct Works {
    callbacks: Slab<Done>,
    /// Results that came, and were not told.
    finished: VecDeque<(Key, Outcome)>,
    pool: Pool,
}

impl Works {
    pub(crate) fn new(limits: &Limits) -> Works {
        let pool = Pool::new(limits.work_threads, limits.slow_threads, limits.work_limit);
        Works { callbacks: Slab::new(), finished: VecDeque::new(), pool }
    }

    /// Results come in the order of the notifications, but for threads that overtake each other:
    /// so each is found near the front.
    fn outcome(&mut self, key: Key) -> Option<Outcome> {
        let place = |done: &VecDeque<(Key, Outcome)>| done.iter().position(|(k, _)| *k == key);
        let at = match place(&self.finished) {
            Some(at) => at,
            None => {
                self.pool.jobs().collect(&mut self.finished);
                place(&self.finished)?
            }
        };
        self.finished.remove(at).map(|(_, outcome)| outcome)
    }
}

impl Cx<'_> {
    /// Runs `job` on a thread of the loop's pool, and then `done` here, in the ready
    /// pass, with what it returned. Jobs begin in order. The first one starts a
    /// thread; there are at most `work_threads`.
    ///
    /// A job keeps the loop alive. [`close`](Cx::close) and
    /// [`work_cancel`](Cx::work_cancel) stop one that has not begun. A dropped loop waits
    /// for the jobs that run.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.work(
    ///     || std::fs::read_to_string("/etc/hostname"), // blocks, elsewhere
    ///     |_, read| println!("{:?}", read.unwrap()),
    /// )?;
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn work<T, J, D>(&mut self, job: J, done: D) -> Result<WorkKey, WorkRefused<J, D>>
    where
        T: Send + 'static,
        J: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut Cx<'_>, Result<T, WorkError>) + 'static,
    {
        self.submit(Class::Quick, job, done)
    }

    /// As [`work`](Cx::work), for jobs that mostly wait, such as the lookup of a name: at most
    /// `slow_threads` of them run at once, so that other jobs can run beside them.
    ///
    /// ```
    /// use std::net::ToSocketAddrs;
    /// use tidegate_loop::{AsCx, Loop};
    /// let mut lp = Loop::new()?;
    /// lp.slow_work(
    ///     || "localhost:80".to_socket_addrs().map(|found| found.count()),
    ///     |_, found| println!("{:?}", found.unwrap()),
    /// )?;
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn slow_work<T, J, D>(&mut self, job: J, done: D) -> Result<WorkKey, WorkRefused<J, D>>
    where
        T: Send + 'static,
        J: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut Cx<'_>, Result<T, WorkError>) + 'static,
    {
        self.submit(Class::Slow, job, done)
    }

    fn submit<T, J, D>(
        &mut self,
        class: Class,
        job: J,
        done: D,
    ) -> Result<WorkKey, WorkRefused<J, D>>
    where
        T: Send + 'static,
        J: FnOnce() -> T + Send + 'static,
        D: FnOnce(&mut Cx<'_>, Result<T, WorkError>) + 'static,
    {
        let core = self.core_mut();
        let remote = Remote::to(&core.inbox);
        let works = core.own.get(&WORKS);
        let mut d = Driver::new(&mut core.reactor);
        let callback = works.callbacks.vacant_entry();
        let handle = match d.insert(&WORK, callback.key() as u64) {
            Ok(handle) => handle,
            Err(full) => return Err(WorkRefused::NoThread { error: full.into(), job, done }),
        };
        let key = handle.key();
        // The job goes through a cell, so that a refusal can give it back.
        let slot = std::sync::Arc::new(std::sync::Mutex::new(Some(job)));
        let taken = slot.clone();
        let run: Run = Box::new(move || {
            let job = taken.lock().ok().and_then(|mut job| job.take());
            Box::new(job.map(|job| job()))
        });
        let refused = match works.pool.submit(key, class, run, move |key| remote.notify(key)) {
            Ok(()) => {
                callback.insert(Box::new(move |cx, outcome| {
                    let result = outcome.and_then(|value| match value.downcast::<Option<T>>() {
                        Ok(value) => value.ok_or(WorkError::Cancelled),
                        Err(_) => Err(WorkError::Cancelled),
                    });
                    done(cx, result);
                }));
                return Ok(WorkKey(key));
            }
            Err(refused) => refused,
        };
        handle.free();
        let error = match refused {
            NotTaken::Full => None,
            NotTaken::NoThread(error) => Some(error),
        };
        let job = slot.lock().ok().and_then(|mut job| job.take());
        match (job, error) {
            (Some(job), None) => Err(WorkRefused::Full { job, done }),
            (Some(job), Some(error)) => Err(WorkRefused::NoThread { error, job, done }),
            (None, _) => unreachable!("a refused job did not run"),
        }
    }

    /// Cancels a job that has not begun: `done` gets [`WorkError::Cancelled`], after this call.
    /// `false` if the job runs already, or has run: then its result follows.
    ///
    /// ```
    /// use tidegate_loop::{AsCx, Loop, WorkError};
    /// let mut lp = Loop::builder().work_threads(1).build()?;
    /// lp.work(|| std::thread::park_timeout(std::time::Duration::from_millis(20)), |_, _| {})?;
    /// let second = lp.work(|| (), |_, result| assert_eq!(result, Err(WorkError::Cancelled)))?;
    /// assert_eq!(lp.work_cancel(second), Ok(true));
    /// lp.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn work_cancel(&mut self, job: WorkKey) -> Result<bool, KeyError> {
        self.validate(job)?;
        Ok(self.cancel_job(job.0))
    }

    fn cancel_job(&mut self, key: Key) -> bool {
        let core = self.core_mut();
        let Some(run) = core.own.get(&WORKS).pool.jobs().cancel(key) else { return false };
        core.reactor.graveyard.bury(run);
        core.reactor.pend(key);
        true
    }

    /// What the pool does and did.
    pub fn work_stats(&self) -> WorkStats {
        self.core().own.peek(&WORKS).map_or_else(WorkStats::default, |w| w.pool.stats())
    }
}

fn finish(d: &mut Dispatch<'_>, key: Key, outcome: Outcome) {
    let mut driver = d.driver();
    let Some(handle) = driver.handle(WORKS.owner(), key) else { return };
    let n = handle.data();
    handle.free();
    if let Some(done) = d.core.own.get(&WORKS).callbacks.try_remove(n as usize) {
        done(&mut d.cx(), outcome);
        d.settle();
    }
}
