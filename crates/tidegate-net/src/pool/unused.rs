//! What stands above a connection of a pool that nobody uses: bytes, an end or a deadline close it.
#![forbid(unsafe_code)]

use tidegate_loop::Key;
use tidegate_loop::kind::Dispatch;

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::protocol::Protocol;
use crate::error::close::Close;
use crate::key::SocketKey;
use crate::pool::lease::{PoolError, PoolMetrics};
use crate::pool::state::{Conn, POOLS, Use};

/// Also above one that is being made, and above a lease whose user set no handler.
pub(crate) static UNUSED: Protocol = Protocol::new("pooled")
    .connect(|d, socket, at| connected(d, socket, at as usize))
    .data(|d, socket, at, _| drop_it(d, socket, at as usize, |m| &mut m.unsolicited))
    .end(|d, socket, at| drop_it(d, socket, at as usize, |m| &mut m.ended_idle))
    .timeout(|d, socket, at| drop_it(d, socket, at as usize, |m| &mut m.expired))
    .close(|_, _, _, _| {});

fn connected(d: &mut Dispatch<'_>, socket: SocketKey, at: usize) {
    let (layer, driver) = d.layer(&POOLS);
    let Some(conn) = layer.tagged((at, socket)) else { return };
    (conn.state, conn.born) = (Use::Idle, driver.now());
    let (pool, id) = (conn.pool, conn.id);
    if let (Some(row), Some(id)) = (layer.row(&driver, pool), id) {
        row.metrics.connected += 1;
        let until = row.until(driver.now());
        let idle = row.options.idle_timeout;
        row.machine.connected(id, until);
        SocketCx::new(d.cx(), socket).set_idle_timeout(idle);
    }
    pend(d, pool);
}

/// It closes; one that is idle is counted.
fn drop_it(
    d: &mut Dispatch<'_>,
    socket: SocketKey,
    at: usize,
    count: fn(&mut PoolMetrics) -> &mut u64,
) {
    let (layer, driver) = d.layer(&POOLS);
    if let Some(conn) = layer.tagged((at, socket)).filter(|c| c.state == Use::Idle) {
        let (pool, id) = (conn.pool, conn.id.take());
        if let Some(row) = layer.row(&driver, pool) {
            *count(&mut row.metrics) += 1;
            if let Some(id) = id {
                row.machine.removed(id);
            }
        }
        pend(d, pool);
    }
    SocketCx::new(d.cx(), socket).destroy();
}

fn pend(d: &mut Dispatch<'_>, pool: Key) {
    if let Some(mut handle) = d.driver().handle(POOLS.owner(), pool) {
        handle.pend();
    }
}

/// A connection of a pool is over, in use or free.
pub(crate) fn over(d: &mut Dispatch<'_>, at: u64, close: &Close) {
    let (layer, driver) = d.layer(&POOLS);
    let Some(Conn { pool, id, state, .. }) = layer.conns.try_remove(at as usize) else { return };
    let Some(row) = layer.row(&driver, pool) else { return };
    row.metrics.connect_failed += u64::from(state == Use::Connecting && close.reason.is_error());
    if let Some(id) = id {
        row.metrics.ended_idle += u64::from(state == Use::Idle);
        match state {
            Use::Connecting => {
                if let Some(waiter) = row.machine.failed(id) {
                    row.fail(waiter, PoolError::Connect(close.reason.clone()));
                }
            }
            _ => row.machine.removed(id),
        }
    }
    pend(d, pool);
}
