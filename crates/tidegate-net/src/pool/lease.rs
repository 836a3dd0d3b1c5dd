//! What users of a pool get: keys, a [`Lease`], errors, counters.
#![forbid(unsafe_code)]

use std::fmt;

use tidegate_loop::Key;

use crate::error::close::Reason;
use crate::key::SocketKey;

/// Names a pool.
///
/// ```
/// assert_eq!(size_of::<tidegate_net::PoolKey>(), 8);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PoolKey(pub(crate) Key);

impl From<PoolKey> for Key {
    fn from(key: PoolKey) -> Key {
        key.0
    }
}

/// One who waits for a connection: what [`Net::pool_take`](crate::Net::pool_take) returns.
///
/// ```
/// fn forget(cx: &mut tidegate_loop::Cx<'_>, wait: tidegate_net::PoolWait) {
///     tidegate_net::Net::pool_cancel(cx, wait);
/// }
/// # let _ = forget;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolWait {
    pub(crate) pool: Key,
    pub(crate) number: u64,
}

/// A connection of a pool, for one use. Give it back by [`Net::pool_give`](crate::Net::pool_give); if
/// its connection closes before, it is gone, and nothing has to be done. It is plain data: after it
/// was given back it finds nothing.
///
/// ```
/// use tidegate_net::{Lease, Net, On};
/// fn ask(cx: &mut tidegate_loop::Cx<'_>, lease: Lease) {
///     let mut s = cx.socket(lease.socket());
///     s.set_handler(On::new().data(move |s, answer| {
///         println!("{answer:?}");
///         let _ = s.pool_give(lease);
///     }));
///     let _ = s.write("PING\r\n");
/// }
/// # let _ = ask;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    pub(crate) socket: SocketKey,
    pub(crate) pool: Key,
    pub(crate) at: usize,
    pub(crate) use_number: u64,
}

impl Lease {
    /// The connection.
    pub fn socket(&self) -> SocketKey {
        self.socket
    }

    /// Whether it was used before. Then its other side may have closed it at the same moment: what
    /// fails at once can be tried again on another connection.
    pub fn is_reused(&self) -> bool {
        self.use_number > 1
    }
}

/// Why there is no connection.
///
/// What to do next is in [the catalogue of errors](../tidegate/manual/errors/index.html).
///
/// ```
/// assert_eq!(tidegate_net::PoolError::Closed.to_string(), "the pool is closed");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PoolError {
    /// As many wait as may.
    Full,
    /// It waited for so long as it may, while all connections were in use.
    TimedOut,
    /// A connection was not made, for this reason.
    Connect(Reason),
    /// The pool is closed.
    Closed,
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolError::Full => f.write_str("too many wait for a connection"),
            PoolError::TimedOut => f.write_str("no connection came free in time"),
            PoolError::Connect(reason) => reason.fmt(f),
            PoolError::Closed => f.write_str("the pool is closed"),
        }
    }
}

impl std::error::Error for PoolError {}

/// What a pool has, and what it counted: see [`Net::pool_metrics`](crate::Net::pool_metrics).
///
/// ```
/// fn is_busy(m: &tidegate_net::PoolMetrics) -> bool { m.waiting > 0 && m.idle == 0 }
/// # let _ = is_busy;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct PoolMetrics {
    /// Connections, in every state.
    pub open: usize,
    /// Of these, being made.
    pub connecting: usize,
    /// Of these, not in use.
    pub idle: usize,
    /// How many wait for one.
    pub waiting: usize,
    /// Leases given out.
    pub taken: u64,
    /// Of these, of a connection that was used before.
    pub reused: u64,
    /// Connections made.
    pub connected: u64,
    /// Connections that could not be made.
    pub connect_failed: u64,
    /// Idle ones that their other side ended or broke.
    pub ended_idle: u64,
    /// Idle ones closed because bytes came that nobody asked for.
    pub unsolicited: u64,
    /// Idle ones kept too long.
    pub expired: u64,
    /// Idle ones that had to leave their place.
    pub evicted: u64,
    /// Connections not kept when they came back: too old, used too often, or not clean.
    pub retired: u64,
    /// How often too many waited.
    pub full: u64,
    /// How often one waited for too long.
    pub timed_out: u64,
}
