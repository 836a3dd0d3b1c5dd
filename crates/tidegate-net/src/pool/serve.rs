//! What a machine wants is done: connections are made and closed, and users get theirs. All of it in
//! the pending phase of the pool, or in a dispatch of a connection.
#![forbid(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::rc::Rc;
use std::time::Duration;

use tidegate_loop::kind::{Dispatch, Kind};
use tidegate_loop::{AsCx, Cx, Key, KeyError, TableFull};

use crate::callbacks::contexts::SocketCx;
use crate::client::connect;
use crate::error::close::Reason;
use crate::error::net_error::NetError;
use crate::error::stage::Stage;
use crate::key::SocketKey;
use crate::peer_state::PeerState;
use crate::pool::acts::{Act, ConnId, Why};
use crate::pool::event::{PoolEvent, PoolLeft};
use crate::pool::lease::{Lease, PoolError, PoolKey};
use crate::pool::state::{Conn, Done, POOLS, Tag, Use, nanos};
use crate::pool::unused::{UNUSED, over};
use crate::state::layer::NET;

pub(crate) static POOL: Kind = Kind::new("pool", POOLS.owner())
    .pending(|d, key, _| carry_out(d, key))
    .close(close)
    .closed(|d, key, at| {
        // Those who waited are told before it is gone.
        carry_out(d, key);
        let (layer, mut driver) = d.layer(&POOLS);
        let gone = layer.pools.try_remove(at as usize).map(|row| (row.make, row.failed));
        if let Some(handle) = driver.handle(POOLS.owner(), key) {
            handle.free();
        }
        driver.bury(gone);
    })
    .describe(|cx, key, _| {
        let (layer, d) = cx.layer(&POOLS);
        let Some(row) = layer.row(&d, key) else { return String::new() };
        let c = row.machine.counts();
        format!("{} connections, {} idle, {} wait", c.open, c.free, c.waiting)
    });

/// The pool ends: those who wait are told so, idle connections close. Leases live on.
fn close(cx: &mut Cx<'_>, key: Key, _: u64) -> Result<(), KeyError> {
    let (layer, mut d) = cx.layer(&POOLS);
    let Some(row) = layer.row(&d, key) else { return Ok(()) };
    for waiter in row.machine.close() {
        row.fail(waiter, PoolError::Closed);
    }
    let timer = row.timer.take();
    if let Some(mut handle) = d.handle(POOLS.owner(), key) {
        handle.close();
    }
    if let Some(timer) = timer {
        let _ = cx.timer_stop(timer);
    }
    Ok(())
}

/// Does what the machine wants, and tells those who failed.
pub(crate) fn carry_out(d: &mut Dispatch<'_>, pool: Key) {
    // A callback may panic: the rest is done in the next run.
    let later = |d: &mut Dispatch<'_>| {
        if let Some(mut handle) = d.driver().handle(POOLS.owner(), pool) {
            handle.pend();
        }
    };
    d.guard(|d| all(d, pool), later);
    tend(&mut d.cx(), pool);
}

enum Next {
    Act(Act<Tag, u64>),
    Failed(Done, PoolError),
}

fn next(d: &mut Dispatch<'_>, pool: Key) -> Option<Next> {
    let (layer, driver) = d.layer(&POOLS);
    let row = layer.row(&driver, pool)?;
    match row.failed.pop_front() {
        Some((done, error)) => Some(Next::Failed(done, error)),
        None => row.machine.take_act().map(Next::Act),
    }
}

fn all(d: &mut Dispatch<'_>, pool: Key) {
    while let Some(next) = next(d, pool) {
        match next {
            Next::Failed(done, error) => {
                let told = || PoolEvent::Refused { pool: PoolKey(pool), error: error.clone() };
                d.driver().emit(told);
                done(&mut d.cx(), Err(error));
                d.settle();
            }
            Next::Act(Act::Open(id)) => open(d, pool, id),
            Next::Act(Act::Serve { conn, request, reused }) => {
                serve(d, pool, conn, request, reused)
            }
            Next::Act(Act::Close(tag, why)) => {
                let (layer, mut driver) = d.layer(&POOLS);
                let why = match why {
                    Why::Expired => Some(PoolLeft::Expired),
                    Why::Evicted => Some(PoolLeft::Evicted),
                    Why::Done => Some(PoolLeft::Retired),
                    _ => None,
                };
                if let Some((why, row)) = why.zip(layer.row(&driver, pool)) {
                    *why.counter(&mut row.metrics) += 1;
                    driver.emit(|| PoolEvent::Left { pool: PoolKey(pool), socket: tag.1, why });
                }
                if let Some(conn) = layer.tagged(tag) {
                    conn.id = None;
                    SocketCx::new(d.cx(), tag.1).destroy();
                }
            }
        }
    }
}

/// Makes a connection.
fn open(d: &mut Dispatch<'_>, pool: Key, id: ConnId) {
    let (layer, driver) = d.layer(&POOLS);
    let Some(row) = layer.row(&driver, pool) else { return };
    let Some(name) = row.machine.origin(id).cloned() else { return };
    let make = row.make.clone();
    // The user's closure may panic: then there is no connection.
    let failed = |d: &mut Dispatch<'_>| not_made(d, pool, id, Reason::Panicked);
    let to = d.guard(|_| make(&name), failed);
    let (layer, driver) = d.layer(&POOLS);
    let now = driver.now();
    let at = layer.conns.vacant_key();
    let Ok(socket) = connect::start_as(&mut d.cx(), to, &UNUSED, at as u64) else {
        let error = NetError::new(Stage::Connect, io::Error::from(TableFull));
        return not_made(d, pool, id, Reason::Failed(error.into()));
    };
    let (layer, driver) = d.layer(&POOLS);
    let state = Use::Connecting;
    let conn = Conn { pool, id: Some(id), socket, born: now, freed: now, uses: 0, state };
    layer.conns.insert(conn);
    if let Some(row) = layer.row(&driver, pool) {
        row.machine.opened(id, (at, socket));
    }
    let mut cx = d.cx();
    // Those who wait keep the loop alive, not the connections.
    let _ = cx.set_ref(socket, false);
    let (layer, driver) = cx.layer(&NET);
    if let Some(s) = layer.socket(&driver, socket) {
        s.stirred = true;
        s.rare_or_new().watcher = Some((over, at as u64));
    }
}

fn not_made(d: &mut Dispatch<'_>, pool: Key, id: ConnId, reason: Reason) {
    let (layer, driver) = d.layer(&POOLS);
    let Some(row) = layer.row(&driver, pool) else { return };
    row.metrics.connect_failed += 1;
    if let Some(waiter) = row.machine.failed(id) {
        row.fail(waiter, PoolError::Connect(reason));
    }
}

/// Gives one who waits a connection, if that is still there.
fn serve(d: &mut Dispatch<'_>, pool: Key, tag: Tag, number: u64, reused: bool) {
    let is_dead =
        !is_clean(&mut d.cx(), tag.1) || (reused && is_silent_end(&mut d.cx(), pool, tag));
    let (layer, mut driver) = d.layer(&POOLS);
    let now = driver.now();
    let conn = layer.tagged(tag);
    let id = conn.as_ref().and_then(|c| c.id);
    if is_dead || id.is_none() {
        // It has ended since: another one, and it closes by itself.
        if let Some(conn) = conn {
            conn.id = None;
        }
        let Some(row) = layer.row(&driver, pool) else { return };
        if let Some(id) = id {
            row.metrics.ended_idle += 1;
            row.machine.removed(id);
            let (pool, socket, why) = (PoolKey(pool), tag.1, PoolLeft::Ended);
            driver.emit(|| PoolEvent::Left { pool, socket, why });
        }
        let name = row.waiters.get(&number).map(|w| w.name.clone());
        if name.is_some_and(|name| !row.machine.request(&name, number, false, nanos(now))) {
            row.fail(number, PoolError::Full);
        }
        return SocketCx::new(d.cx(), tag.1).destroy();
    }
    let Some(conn) = conn else { return };
    conn.state = Use::Leased;
    conn.uses += 1;
    let lease = Lease { socket: tag.1, pool, at: tag.0, use_number: conn.uses };
    let Some(row) = layer.row(&driver, pool) else { return };
    let Some(waiter) = row.waiters.remove(&number) else {
        // It was cancelled while it was on its way.
        let _ = give(&mut d.cx(), lease);
        return;
    };
    row.metrics.taken += 1;
    row.metrics.reused += u64::from(reused);
    driver.emit(|| PoolEvent::Taken { pool: PoolKey(pool), socket: tag.1, reused });
    let mut cx = d.cx();
    let _ = cx.set_ref(tag.1, true);
    SocketCx::new(cx.cx(), tag.1).set_idle_timeout(Duration::ZERO);
    let done = waiter.done;
    let lost = |d: &mut Dispatch<'_>| SocketCx::new(d.cx(), tag.1).destroy();
    d.guard(|d| done(&mut d.cx(), Ok(lease)), lost);
    d.settle();
}

/// A lease comes back.
pub(crate) fn give(cx: &mut Cx<'_>, lease: Lease) -> Result<(), KeyError> {
    let (layer, d) = cx.layer(&POOLS);
    d.check(lease.socket.0)?;
    let now = d.now();
    let is_it = |c: &&mut Conn| c.state == Use::Leased && c.uses == lease.use_number;
    let conn = layer.tagged((lease.at, lease.socket)).filter(is_it).ok_or(KeyError::Closed)?;
    let (id, born, uses) = (conn.id, conn.born, conn.uses);
    (conn.state, conn.freed) = (Use::Idle, now);
    // Its pool is closed: nobody will use it again.
    let Some((row, id)) = layer.row(&d, lease.pool).zip(id) else {
        SocketCx::new(cx.cx(), lease.socket).destroy();
        return Ok(());
    };
    let o = row.options;
    let is_old = o.max_age > Duration::ZERO && now.saturating_sub(born) >= o.max_age;
    let is_worn = o.max_uses > 0 && uses >= o.max_uses;
    let until = row.until(now);
    let is_clean = is_clean(cx, lease.socket);
    let mut s = SocketCx::new(cx.cx(), lease.socket);
    s.set_protocol(&UNUSED, lease.at as u64);
    s.set_idle_timeout(o.idle_timeout);
    s.resume();
    let _ = cx.set_ref(lease.socket, false);
    let (layer, mut d) = cx.layer(&POOLS);
    d.emit(|| PoolEvent::Given { pool: PoolKey(lease.pool), socket: lease.socket });
    if let Some(row) = layer.row(&d, lease.pool) {
        row.machine.released(id, (is_clean && !is_old && !is_worn).then_some(until));
    }
    if let Some(mut handle) = d.handle(POOLS.owner(), lease.pool) {
        handle.pend();
    }
    Ok(())
}

/// Whether a connection is between two uses, as far as we know: both sides are open, and nothing is
/// queued, given back, or piped.
fn is_clean(cx: &mut Cx<'_>, socket: SocketKey) -> bool {
    let (layer, mut d) = cx.layer(&NET);
    let Some((s, h)) = layer.lend_socket(&mut d, socket) else { return false };
    let open =
        s.duplex.is_open() && s.duplex.write.is_open() && s.peer_state(&h) == PeerState::Open;
    open && s.queued() == 0 && s.given_back().is_empty() && !s.is_diverted()
}

/// Whether a connection that was idle for long has an end, an error or bytes that the loop has not
/// seen. One system call.
fn is_silent_end(cx: &mut Cx<'_>, pool: Key, tag: Tag) -> bool {
    let (layer, d) = cx.layer(&POOLS);
    let now = d.now();
    let Some(freed) = layer.tagged(tag).map(|conn| conn.freed) else { return true };
    let Some(row) = layer.row(&d, pool) else { return true };
    if now.saturating_sub(freed) < row.options.check_after {
        return false;
    }
    let mut s = SocketCx::new(cx.cx(), tag.1);
    let seen = s.socket_option(|s| s.peek(&mut [MaybeUninit::uninit()]));
    !seen.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
}

/// The timer for the one who gives up next; and whether somebody waits, which keeps the loop alive.
pub(crate) fn tend(cx: &mut Cx<'_>, pool: Key) {
    let (layer, mut d) = cx.layer(&POOLS);
    let now = d.now();
    let Some(row) = layer.row(&d, pool) else { return };
    while row.deadlines.front().is_some_and(|(_, number)| !row.waiters.contains_key(number)) {
        row.deadlines.pop_front();
    }
    let waits = !row.waiters.is_empty();
    let first = row.deadlines.front().map(|(at, _)| at.saturating_sub(now));
    let timer = row.timer;
    if let Some(mut handle) = d.handle(POOLS.owner(), pool) {
        handle.set_busy(waits);
    }
    match (first, timer) {
        (None, Some(timer)) => {
            let _ = cx.timer_stop(timer);
        }
        // It is too early at most.
        (Some(_), Some(_)) | (None, None) => return,
        (Some(_), None) => {}
    }
    let timer = first.map(|after| cx.after(after, move |cx| expire(cx, pool)));
    let (layer, d) = cx.layer(&POOLS);
    if let Some(row) = layer.row(&d, pool) {
        row.timer = timer;
    }
}

/// Some have waited for too long.
fn expire(cx: &mut Cx<'_>, pool: Key) {
    let (layer, mut d) = cx.layer(&POOLS);
    let now = d.clock();
    let Some(row) = layer.row(&d, pool) else { return };
    row.timer = None;
    while let Some((_, number)) = row.deadlines.front().copied().filter(|(at, _)| *at <= now) {
        row.deadlines.pop_front();
        if let Some(name) = row.waiters.get(&number).map(|w| Rc::clone(&w.name)) {
            row.machine.cancel(&name, number);
            row.metrics.timed_out += 1;
            row.fail(number, PoolError::TimedOut);
        }
    }
    if let Some(mut handle) = d.handle(POOLS.owner(), pool) {
        handle.pend();
    }
}
