//! What stands above a connection of a pool that nobody uses: bytes, an end or a deadline close it.
#![forbid(unsafe_code)]

use tidegate_loop::Key;
use tidegate_loop::kind::Dispatch;

use crate::callbacks::contexts::SocketCx;
use crate::callbacks::protocol::Protocol;
use crate::error::close::Close;
use crate::key::SocketKey;
use crate::pool::event::{PoolEvent, PoolLeft};
use crate::pool::lease::{PoolError, PoolKey};
use crate::pool::state::{Conn, POOLS, Use};

/// Also above one that is being made, and above a lease whose user set no handler.
pub(crate) static UNUSED: Protocol = Protocol::new("pooled")
    .connect(|d, socket, at| connected(d, socket, at as usize))
    .data(|d, socket, at, _| drop_it(d, socket, at as usize, PoolLeft::Unsolicited))
    .end(|d, socket, at| drop_it(d, socket, at as usize, PoolLeft::Ended))
    .timeout(|d, socket, at| drop_it(d, socket, at as usize, PoolLeft::Expired))
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
fn drop_it(d: &mut Dispatch<'_>, socket: SocketKey, at: usize, why: PoolLeft) {
    let (layer, mut driver) = d.layer(&POOLS);
    if let Some(conn) = layer.tagged((at, socket)).filter(|c| c.state == Use::Idle) {
        let (pool, id) = (conn.pool, conn.id.take());
        if let Some(row) = layer.row(&driver, pool) {
            *why.counter(&mut row.metrics) += 1;
            driver.emit(|| PoolEvent::Left { pool: PoolKey(pool), socket, why });
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
    let (layer, mut driver) = d.layer(&POOLS);
    let Some(conn) = layer.conns.try_remove(at as usize) else { return };
    let Conn { pool, id, socket, state, .. } = conn;
    let Some(row) = layer.row(&driver, pool) else { return };
    row.metrics.connect_failed += u64::from(state == Use::Connecting && close.reason.is_error());
    if let Some(id) = id {
        if state == Use::Idle {
            row.metrics.ended_idle += 1;
            let (pool, why) = (PoolKey(pool), PoolLeft::Ended);
            driver.emit(|| PoolEvent::Left { pool, socket, why });
        }
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
