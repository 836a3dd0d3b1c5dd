//! What a loop keeps of its pools, and who owns what.
#![forbid(unsafe_code)]

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;
use tidegate_loop::kind::{Driver, LayerId};
use tidegate_loop::{Cx, Key, TimerKey};

use crate::key::SocketKey;
use crate::options::connect::ConnectOptions;
use crate::pool::acts::ConnId;
use crate::pool::lease::{Lease, PoolError, PoolMetrics};
use crate::pool::machine::Pool;
use crate::pool::options::PoolOptions;

/// The layer.
pub(crate) static POOLS: LayerId<Pools> = LayerId::new(Pools::default);

#[derive(Default)]
pub(crate) struct Pools {
    pub(crate) pools: Slab<Row>,
    pub(crate) conns: Slab<Conn>,
}

/// What the machine calls a connection: its place, and which one must stand there.
pub(crate) type Tag = (usize, SocketKey);

pub(crate) type Make = dyn Fn(&str) -> ConnectOptions;

pub(crate) type Done = Box<dyn FnOnce(&mut Cx<'_>, Result<Lease, PoolError>)>;

/// A pool.
pub(crate) struct Row {
    pub(crate) options: PoolOptions,
    pub(crate) make: Rc<Make>,
    pub(crate) machine: Pool<Rc<str>, Tag, u64>,
    /// By their numbers.
    pub(crate) waiters: HashMap<u64, Waiter>,
    pub(crate) next: u64,
    /// When those who wait give up, in their order; some do not wait any more.
    pub(crate) deadlines: VecDeque<(Duration, u64)>,
    pub(crate) timer: Option<TimerKey>,
    /// To be told in the pending phase.
    pub(crate) failed: VecDeque<(Done, PoolError)>,
    pub(crate) metrics: PoolMetrics,
}

pub(crate) struct Waiter {
    pub(crate) name: Rc<str>,
    pub(crate) done: Done,
}

/// A connection of a pool.
pub(crate) struct Conn {
    pub(crate) pool: Key,
    /// `None`: the machine does not know it any more.
    pub(crate) id: Option<ConnId>,
    pub(crate) socket: SocketKey,
    pub(crate) born: Duration,
    /// When it came free last.
    pub(crate) freed: Duration,
    pub(crate) uses: u64,
    pub(crate) state: Use,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Use {
    Connecting,
    Idle,
    Leased,
}

impl Pools {
    pub(crate) fn row(&mut self, d: &Driver<'_>, key: Key) -> Option<&mut Row> {
        self.pools.get_mut(d.data(POOLS.owner(), key)? as usize)
    }

    /// A connection, if this is the one that stands there.
    pub(crate) fn tagged(&mut self, tag: Tag) -> Option<&mut Conn> {
        self.conns.get_mut(tag.0).filter(|c| c.socket == tag.1)
    }
}

/// As the machine counts time.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Row {
    /// Until when a connection that comes free now is kept.
    pub(crate) fn until(&self, now: Duration) -> u64 {
        match self.options.idle_timeout {
            Duration::ZERO => u64::MAX,
            time => nanos(now.saturating_add(time)),
        }
    }

    /// One does not wait any more: the pending phase reports to it what is due.
    pub(crate) fn fail(&mut self, number: u64, error: PoolError) {
        if let Some(waiter) = self.waiters.remove(&number) {
            self.failed.push_back((waiter.done, error));
        }
    }
}
