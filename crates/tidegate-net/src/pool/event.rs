//! [`PoolEvent`]: what observers see of pools. Each connection of a pool has its own events, too,
//! which are in `event.rs` of the crate.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt;

use tidegate_loop::{LayerEvent, Value};

use crate::key::SocketKey;
use crate::pool::lease::{PoolError, PoolKey, PoolMetrics};

/// What happened in a pool. It arrives as [`Event::Layer`](tidegate_loop::Event::Layer); downcast
/// it.
///
/// ```
/// use tidegate_loop::{Event, Moment, Observer};
/// use tidegate_net::PoolEvent;
/// struct Refused(u64);
/// impl Observer for Refused {
///     fn event(&mut self, _: &Moment, event: &Event<'_>) {
///         if let Event::Layer(e) = event {
///             if let Some(PoolEvent::Refused { .. }) = e.as_any().downcast_ref() {
///                 self.0 += 1;
///             }
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PoolEvent {
    /// No connection is free for one who wants it.
    Wait {
        /// The pool.
        pool: PoolKey,
        /// The name that was asked for.
        name: String,
        /// How many wait now.
        waiting: usize,
    },
    /// One got a connection.
    Taken {
        /// The pool.
        pool: PoolKey,
        /// The connection.
        socket: SocketKey,
        /// Whether it was used before.
        reused: bool,
    },
    /// A connection came back.
    Given {
        /// The pool.
        pool: PoolKey,
        /// The connection.
        socket: SocketKey,
    },
    /// A connection that nobody used left the pool.
    Left {
        /// The pool.
        pool: PoolKey,
        /// The connection.
        socket: SocketKey,
        /// Why.
        why: PoolLeft,
    },
    /// One who wanted a connection gets none.
    Refused {
        /// The pool.
        pool: PoolKey,
        /// Why.
        error: PoolError,
    },
}

/// Why a connection that nobody used left its pool.
///
/// ```
/// assert_eq!(tidegate_net::PoolLeft::Evicted.to_string(), "another needed its place");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PoolLeft {
    /// Its other side ended or broke it.
    Ended,
    /// Bytes came that nobody asked for.
    Unsolicited,
    /// It was kept too long.
    Expired,
    /// Another connection needed its place.
    Evicted,
    /// It was not kept when it came back: too old, used too often, or not clean.
    Retired,
}

impl PoolLeft {
    pub(crate) fn counter(self, metrics: &mut PoolMetrics) -> &mut u64 {
        match self {
            PoolLeft::Ended => &mut metrics.ended_idle,
            PoolLeft::Unsolicited => &mut metrics.unsolicited,
            PoolLeft::Expired => &mut metrics.expired,
            PoolLeft::Evicted => &mut metrics.evicted,
            PoolLeft::Retired => &mut metrics.retired,
        }
    }
}

impl fmt::Display for PoolLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PoolLeft::Ended => "its other side ended it",
            PoolLeft::Unsolicited => "bytes came that nobody asked for",
            PoolLeft::Expired => "it was kept too long",
            PoolLeft::Evicted => "another needed its place",
            PoolLeft::Retired => "it is not used again",
        })
    }
}

impl LayerEvent for PoolEvent {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn layer(&self) -> &'static str {
        "pool"
    }

    fn name(&self) -> &'static str {
        match self {
            PoolEvent::Wait { .. } => "wait",
            PoolEvent::Taken { .. } => "taken",
            PoolEvent::Given { .. } => "given",
            PoolEvent::Left { .. } => "left",
            PoolEvent::Refused { .. } => "refused",
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str, Value<'_>)) {
        let (PoolEvent::Wait { pool, .. }
        | PoolEvent::Taken { pool, .. }
        | PoolEvent::Given { pool, .. }
        | PoolEvent::Left { pool, .. }
        | PoolEvent::Refused { pool, .. }) = self;
        visit("pool", Value::Handle { kind: "pool", key: pool.0 });
        if let PoolEvent::Taken { socket, .. }
        | PoolEvent::Given { socket, .. }
        | PoolEvent::Left { socket, .. } = self
        {
            visit("socket", Value::Handle { kind: "socket", key: socket.0 });
        }
        match self {
            PoolEvent::Wait { name, waiting, .. } => {
                visit("host", Value::Str(name));
                visit("waiting", (*waiting).into());
            }
            PoolEvent::Taken { reused, .. } => visit("reused", (*reused).into()),
            PoolEvent::Given { .. } => {}
            PoolEvent::Left { why, .. } => visit("why", Value::Text(why)),
            PoolEvent::Refused { error, .. } => visit("error", Value::Text(error)),
        }
    }
}

/// What happened, without the names of the pool and the connection.
impl fmt::Display for PoolEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolEvent::Wait { name, waiting, .. } => {
                write!(f, "no connection to {name} is free: {waiting} wait")
            }
            PoolEvent::Taken { reused: false, .. } => f.write_str("a new connection is taken"),
            PoolEvent::Taken { .. } => f.write_str("a connection is taken again"),
            PoolEvent::Given { .. } => f.write_str("a connection came back"),
            PoolEvent::Left { why, .. } => write!(f, "a connection left: {why}"),
            PoolEvent::Refused { error, .. } => error.fmt(f),
        }
    }
}
