//! [`PoolOptions`]: how many connections a pool keeps, and for how long.
#![forbid(unsafe_code)]

use std::time::Duration;

/// How many connections a pool makes and keeps. Give it to [`Net::pool`](crate::Net::pool).
///
/// ```
/// use std::time::Duration;
/// use tidegate_net::PoolOptions;
/// let options = PoolOptions::new().max_per_name(16).idle_timeout(Duration::from_secs(60));
/// # let _ = options;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolOptions {
    pub(crate) per_name: usize,
    pub(crate) total: usize,
    pub(crate) idle: usize,
    pub(crate) waiting: usize,
    pub(crate) fifo: bool,
    pub(crate) idle_timeout: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) max_age: Duration,
    pub(crate) max_uses: u64,
    pub(crate) check_after: Duration,
}

impl Default for PoolOptions {
    fn default() -> PoolOptions {
        PoolOptions {
            per_name: 64,
            total: 1024,
            idle: 16,
            waiting: 1024,
            fifo: false,
            idle_timeout: Duration::from_secs(30),
            wait_timeout: Duration::from_secs(5),
            max_age: Duration::from_secs(3600),
            max_uses: 0,
            check_after: Duration::from_secs(1),
        }
    }
}

impl PoolOptions {
    /// The default options.
    pub fn new() -> PoolOptions {
        PoolOptions::default()
    }

    /// Connections with one name, in use or not; default 64, at least 1.
    pub fn max_per_name(mut self, connections: usize) -> PoolOptions {
        self.per_name = connections.max(1);
        self
    }

    /// Connections in all; default 1024, at least 1. One of another name that nobody uses leaves its
    /// place when it is needed.
    pub fn max_total(mut self, connections: usize) -> PoolOptions {
        self.total = connections.max(1);
        self
    }

    /// Connections with one name that are kept while nobody uses them; default 16.
    pub fn max_idle(mut self, connections: usize) -> PoolOptions {
        self.idle = connections;
        self
    }

    /// How many may wait because a limit of connections is reached; default 1024. The next gets
    /// [`PoolError::Full`](crate::PoolError::Full).
    pub fn max_waiting(mut self, waiting: usize) -> PoolOptions {
        self.waiting = waiting;
        self
    }

    /// The connection that was idle longest is used first, so that all stay in use. By default the
    /// one that was used last: few stay busy, the others expire.
    pub fn fifo(mut self) -> PoolOptions {
        self.fifo = true;
        self
    }

    /// How long a connection is kept that nobody uses; default 30 s; zero: for ever. Let it be less
    /// than the other side's, so that you close first.
    pub fn idle_timeout(mut self, after: Duration) -> PoolOptions {
        self.idle_timeout = after;
        self
    }

    /// How long one waits for a connection; default 5 s; zero: for ever. Then it gets
    /// [`PoolError::TimedOut`](crate::PoolError::TimedOut).
    pub fn wait_timeout(mut self, after: Duration) -> PoolOptions {
        self.wait_timeout = after;
        self
    }

    /// A connection that is older is not kept when it comes back; default one hour; zero: no limit.
    /// So the name is looked up again now and then, and a new server gets its share.
    pub fn max_age(mut self, age: Duration) -> PoolOptions {
        self.max_age = age;
        self
    }

    /// Before a connection is used that was idle for this long, one system call asks the kernel
    /// whether it is still there; default 1 s.
    pub fn check_after(mut self, time: Duration) -> PoolOptions {
        self.check_after = time;
        self
    }

    /// A connection that was used so often is not kept; default 0: no limit.
    pub fn max_uses(mut self, uses: u64) -> PoolOptions {
        self.max_uses = uses;
        self
    }
}
