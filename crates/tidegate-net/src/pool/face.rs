//! What users call of a pool; [`Net`](crate::Net) has the names.
#![forbid(unsafe_code)]

use std::rc::Rc;
use std::time::Duration;

use tidegate_loop::{Cx, Key, KeyError, TableFull};

use crate::options::connect::ConnectOptions;
use crate::pool::acts::Bounds;
use crate::pool::event::PoolEvent;
use crate::pool::lease::{PoolError, PoolKey, PoolMetrics, PoolWait};
use crate::pool::machine::Pool;
use crate::pool::options::PoolOptions;
use crate::pool::serve::{POOL, tend};
use crate::pool::state::{Done, POOLS, Row, Waiter, nanos};

/// A list this short is not pruned.
const FEW: usize = 64;

pub(crate) fn open(
    cx: &mut Cx<'_>,
    options: PoolOptions,
    make: impl Fn(&str) -> ConnectOptions + 'static,
) -> Result<PoolKey, TableFull> {
    let bounds = Bounds {
        sockets: options.per_name,
        total: options.total,
        free: options.idle,
        free_total: options.total,
        pending: options.waiting,
        fifo: options.fifo,
    };
    let (layer, mut d) = cx.layer(&POOLS);
    let entry = layer.pools.vacant_entry();
    let mut handle = match d.insert(&POOL, entry.key() as u64) {
        Ok(handle) => handle,
        Err(full) => {
            d.bury(make);
            return Err(full);
        }
    };
    // Those who wait keep the loop alive.
    handle.set_ref(false);
    let key = handle.key();
    entry.insert(Row {
        options,
        make: Rc::new(make),
        machine: Pool::new(bounds),
        waiters: Default::default(),
        next: 0,
        deadlines: Default::default(),
        timer: None,
        failed: Default::default(),
        metrics: PoolMetrics::default(),
    });
    Ok(PoolKey(key))
}

pub(crate) fn take(cx: &mut Cx<'_>, pool: Key, name: &str, done: Done) -> PoolWait {
    let (layer, mut d) = cx.layer(&POOLS);
    let now = d.now();
    let closing = d.handle(POOLS.owner(), pool).is_none_or(|h| h.is_closing());
    let Some(row) = layer.row(&d, pool).filter(|_| !closing) else {
        cx.owed_tick(move |cx| done(cx, Err(PoolError::Closed)));
        return PoolWait { pool, number: 0 };
    };
    row.next += 1;
    let number = row.next;
    let name = row.machine.known(name).unwrap_or_else(|| name.into());
    let before = row.machine.counts().waiting;
    if row.machine.request(&name, number, false, nanos(now)) {
        let waiting = row.machine.counts().waiting;
        if waiting > before {
            let name = || name.to_string();
            d.emit(|| PoolEvent::Wait { pool: PoolKey(pool), name: name(), waiting });
        }
        row.waiters.insert(number, Waiter { name, done });
        if row.options.wait_timeout > Duration::ZERO {
            if row.deadlines.len() > 2 * row.waiters.len() + FEW {
                let waiters = &row.waiters;
                row.deadlines.retain(|(_, number)| waiters.contains_key(number));
            }
            row.deadlines.push_back((d.clock().saturating_add(row.options.wait_timeout), number));
        }
    } else {
        row.metrics.full += 1;
        row.failed.push_back((done, PoolError::Full));
    }
    if let Some(mut handle) = d.handle(POOLS.owner(), pool) {
        handle.pend();
    }
    tend(cx, pool);
    PoolWait { pool, number }
}

pub(crate) fn cancel(cx: &mut Cx<'_>, wait: PoolWait) -> bool {
    let (layer, mut d) = cx.layer(&POOLS);
    let Some(row) = layer.row(&d, wait.pool) else { return false };
    let Some(waiter) = row.waiters.remove(&wait.number) else { return false };
    row.machine.cancel(&waiter.name, wait.number);
    if let Some(mut handle) = d.handle(POOLS.owner(), wait.pool) {
        handle.pend();
    }
    d.bury(waiter.done);
    tend(cx, wait.pool);
    true
}

pub(crate) fn metrics(cx: &mut Cx<'_>, pool: Key) -> Result<PoolMetrics, KeyError> {
    let (layer, d) = cx.layer(&POOLS);
    d.check(pool)?;
    let row = layer.row(&d, pool).ok_or(KeyError::Closed)?;
    let c = row.machine.counts();
    Ok(PoolMetrics {
        open: c.open,
        connecting: c.connecting,
        idle: c.free,
        waiting: row.waiters.len(),
        ..row.metrics
    })
}
