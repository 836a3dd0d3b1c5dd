//! [`Pool`]: which request gets which connection. It knows no socket, no loop and no clock: calls
//! go in, an ordered list of [`Act`]s comes out.
//!
//! | a connection is | call | next |
//! |---|---|---|
//! | - | `request`, and others, when a request waits and the limits allow | Connecting, `Act::Open` |
//! | Connecting | `connected` | Busy, `Act::Serve` the request that waits longest; else Free |
//! | Connecting | `failed` | gone; a request fails with it if more wait than are being connected |
//! | Free | `request` | Busy, `Act::Serve` |
//! | Busy | `released` | Busy, `Act::Serve` the request that waits longest; else Free |
//! | Busy | `released`, not to be kept | gone, `Act::Close` |
//! | Free | too many are free, or another origin needs the place | gone, `Act::Close` |
//! | any | `removed` | gone |
//!
//! Requests of an origin are served in their order. Of several origins that wait for a place
//! within `max_total`, the one whose request waits longest is first.
#![forbid(unsafe_code)]

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use slab::Slab;

use crate::pool::acts::{Act, Bounds, ConnId, Counts, Why};

#[derive(Debug)]
enum State {
    Connecting,
    Busy,
    /// Since the step of this number; to be used before this time.
    Free(u64, u64),
}

#[derive(Debug)]
struct Conn<T> {
    origin: usize,
    born: u64,
    state: State,
    tag: Option<T>,
}

#[derive(Debug)]
struct Waiter<W> {
    request: W,
    /// Since the step of this number.
    since: u64,
    /// Only a new connection will do.
    fresh: bool,
}

#[derive(Debug)]
struct Row<O, W> {
    origin: O,
    /// Connections in every state.
    open: usize,
    connecting: Vec<usize>,
    /// The one that was free longest is first.
    free: VecDeque<usize>,
    waiting: VecDeque<Waiter<W>>,
}

/// The connections of an agent, and the requests that wait for one.
#[derive(Debug)]
pub struct Pool<O, T, W> {
    bounds: Bounds,
    names: HashMap<O, usize>,
    rows: Slab<Row<O, W>>,
    conns: Slab<Conn<T>>,
    acts: VecDeque<Act<T, W>>,
    connecting: usize,
    free: usize,
    waiting: usize,
    step: u64,
    closed: bool,
}

impl<O: Clone + Eq + Hash, T: Copy, W: Copy + PartialEq> Pool<O, T, W> {
    /// Without connections.
    pub fn new(bounds: Bounds) -> Pool<O, T, W> {
        Pool {
            bounds,
            names: HashMap::new(),
            rows: Slab::new(),
            conns: Slab::new(),
            acts: VecDeque::new(),
            connecting: 0,
            free: 0,
            waiting: 0,
            step: 0,
            closed: false,
        }
    }

    /// A request wants a connection; `fresh`: one that was never used, and before all others
    /// that wait. `false`: too many wait, and the pool knows nothing of it.
    pub fn request(&mut self, origin: &O, request: W, fresh: bool, now: u64) -> bool {
        if self.closed {
            return false;
        }
        let at = self.row(origin);
        if !fresh {
            if let Some(conn) = self.take_free(at, now) {
                self.serve(conn, request, true);
                return true;
            }
        }
        let beyond = self.waiting.saturating_sub(self.connecting);
        // What is tried again was let in before.
        if !fresh && !self.may_open(at) && beyond >= self.bounds.pending {
            self.forget_if_idle(at);
            return false;
        }
        self.step += 1;
        let since = if fresh { 0 } else { self.step };
        let waiter = Waiter { request, since, fresh };
        let waiting = &mut self.rows[at].waiting;
        let place = match fresh {
            true => waiting.iter().take_while(|w| w.fresh).count(),
            false => waiting.len(),
        };
        waiting.insert(place, waiter);
        self.waiting += 1;
        self.grow();
        true
    }

    /// What the caller calls the connection that it makes.
    pub fn opened(&mut self, conn: ConnId, tag: T) {
        if let Some(c) = self.conns.get_mut(conn.0).filter(|c| c.born == conn.1) {
            c.tag = Some(tag);
        }
    }

    /// It is made. `until`: when it would have been free for too long.
    pub fn connected(&mut self, conn: ConnId, until: u64) {
        let Some(c) = self.conns.get_mut(conn.0).filter(|c| c.born == conn.1) else { return };
        let at = c.origin;
        c.state = State::Busy;
        self.no_longer_connecting(at, conn.0);
        match self.next_waiter(at, true) {
            Some(w) => self.serve(conn.0, w, false),
            None => self.keep(conn.0, until),
        }
        self.grow();
    }

    /// It could not be made. Returns the request that fails with it, if one does.
    pub fn failed(&mut self, conn: ConnId) -> Option<W> {
        let at = self.find(conn)?;
        self.drop_conn(conn.0);
        let row = &self.rows[at];
        let fails = match row.waiting.len() > row.connecting.len() {
            true => self.next_waiter(at, true),
            false => None,
        };
        self.grow();
        self.forget_if_idle(at);
        fails
    }

    /// Its request is answered. `until`: it can be used again until then; `None`: not at all.
    pub fn released(&mut self, conn: ConnId, until: Option<u64>) {
        let Some(at) = self.find(conn) else { return };
        let gives_way = self.gives_way(at);
        match until {
            Some(until) if !self.closed && !gives_way => match self.next_waiter(at, false) {
                Some(w) => self.serve(conn.0, w, true),
                None => self.keep(conn.0, until),
            },
            _ => self.close_conn(conn.0, Why::Done),
        }
        self.grow();
        self.forget_if_idle(at);
    }

    /// It is over, or has another owner now.
    pub fn removed(&mut self, conn: ConnId) {
        let Some(at) = self.find(conn) else { return };
        self.drop_conn(conn.0);
        self.grow();
        self.forget_if_idle(at);
    }

    /// A request does not wait any more.
    pub fn cancel(&mut self, origin: &O, request: W) {
        let Some(&at) = self.names.get(origin) else { return };
        let row = &mut self.rows[at];
        let Some(place) = row.waiting.iter().position(|w| w.request == request) else { return };
        row.waiting.remove(place);
        self.waiting -= 1;
        if row.waiting.len() < row.connecting.len() {
            if let Some(&newest) = row.connecting.last() {
                self.close_conn(newest, Why::Unwanted);
            }
        }
        self.grow();
        self.forget_if_idle(at);
    }

    /// Closes what no request uses. Returns the requests that wait; there will be no others.
    pub fn close(&mut self) -> Vec<W> {
        self.closed = true;
        let mut left: Vec<_> = Vec::new();
        for (_, row) in &mut self.rows {
            left.extend(row.waiting.drain(..).map(|w| (w.since, w.request)));
        }
        left.sort_by_key(|(since, _)| *since);
        self.waiting = 0;
        let unused: Vec<_> = self
            .conns
            .iter()
            .filter(|(_, c)| !matches!(c.state, State::Busy))
            .map(|(i, _)| i)
            .collect();
        for conn in unused {
            self.close_conn(conn, Why::Closed);
        }
        let rows: Vec<_> = self.rows.iter().map(|(at, _)| at).collect();
        for at in rows {
            self.forget_if_idle(at);
        }
        left.into_iter().map(|(_, request)| request).collect()
    }

    /// The origin of a connection.
    pub fn origin(&self, conn: ConnId) -> Option<&O> {
        Some(&self.rows.get(self.find(conn)?)?.origin)
    }

    /// An origin that has connections or requests, as it was given first.
    pub fn known<Q: Eq + Hash + ?Sized>(&self, origin: &Q) -> Option<O>
    where
        O: Borrow<Q>,
    {
        Some(self.rows.get(*self.names.get(origin)?)?.origin.clone())
    }

    /// How many there are of each.
    pub fn counts(&self) -> Counts {
        Counts {
            origins: self.rows.len(),
            open: self.conns.len(),
            connecting: self.connecting,
            free: self.free,
            waiting: self.waiting,
        }
    }

    /// Whether there is something to do.
    pub fn has_act(&self) -> bool {
        !self.acts.is_empty()
    }

    /// The next thing to do.
    pub fn take_act(&mut self) -> Option<Act<T, W>> {
        self.acts.pop_front()
    }

    /// The row of its origin, if the connection is there.
    fn find(&self, conn: ConnId) -> Option<usize> {
        self.conns.get(conn.0).filter(|c| c.born == conn.1).map(|c| c.origin)
    }

    fn row(&mut self, origin: &O) -> usize {
        if let Some(&at) = self.names.get(origin) {
            return at;
        }
        let row = Row {
            origin: origin.clone(),
            open: 0,
            connecting: Vec::new(),
            free: VecDeque::new(),
            waiting: VecDeque::new(),
        };
        let at = self.rows.insert(row);
        self.names.insert(origin.clone(), at);
        at
    }

    fn forget_if_idle(&mut self, at: usize) {
        if self.rows.get(at).is_some_and(|r| r.open == 0 && r.waiting.is_empty()) {
            let row = self.rows.remove(at);
            self.names.remove(&row.origin);
        }
    }

    fn serve(&mut self, conn: usize, request: W, reused: bool) {
        let Some(c) = self.conns.get_mut(conn) else { return };
        c.state = State::Busy;
        if let Some(conn) = c.tag {
            self.acts.push_back(Act::Serve { conn, request, reused });
        }
    }

    /// The request that waits longest, and can have this connection.
    fn next_waiter(&mut self, at: usize, new: bool) -> Option<W> {
        let waiting = &mut self.rows[at].waiting;
        let place = waiting.iter().position(|w| new || !w.fresh)?;
        let waiter = waiting.remove(place)?;
        self.waiting -= 1;
        Some(waiter.request)
    }

    /// A free connection that is not too old.
    fn take_free(&mut self, at: usize, now: u64) -> Option<usize> {
        loop {
            let free = &mut self.rows[at].free;
            let conn = match self.bounds.fifo {
                true => free.pop_front()?,
                false => free.pop_back()?,
            };
            self.free -= 1;
            let is_young = matches!(self.conns[conn].state, State::Free(_, until) if now < until);
            self.conns[conn].state = State::Busy;
            if is_young {
                return Some(conn);
            }
            self.close_conn(conn, Why::Expired);
        }
    }

    fn keep(&mut self, conn: usize, until: u64) {
        self.step += 1;
        let step = self.step;
        let Some(c) = self.conns.get_mut(conn) else { return };
        c.state = State::Free(step, until);
        let row = &mut self.rows[c.origin];
        row.free.push_back(conn);
        self.free += 1;
        if row.free.len() > self.bounds.free {
            if let Some(&oldest) = row.free.front() {
                self.close_conn(oldest, Why::Evicted);
            }
        } else if self.free > self.bounds.free_total {
            self.evict();
        }
    }

    /// Closes the connection that was free longest.
    fn evict(&mut self) {
        let oldest = self.rows.iter().filter_map(|(_, r)| r.free.front().copied());
        let oldest = oldest.min_by_key(|c| match self.conns[*c].state {
            State::Free(step, _) => step,
            _ => 0,
        });
        if let Some(conn) = oldest {
            let at = self.conns[conn].origin;
            self.close_conn(conn, Why::Evicted);
            self.forget_if_idle(at);
        }
    }

    fn close_conn(&mut self, conn: usize, why: Why) {
        match self.drop_conn(conn) {
            Some(tag) => self.acts.push_back(Act::Close(tag, why)),
            // Making it has not begun.
            None => self.acts.retain(|a| !matches!(a, Act::Open(c) if c.0 == conn)),
        }
    }

    fn drop_conn(&mut self, conn: usize) -> Option<T> {
        let c = self.conns.try_remove(conn)?;
        let row = &mut self.rows[c.origin];
        row.open -= 1;
        match c.state {
            State::Connecting => self.no_longer_connecting(c.origin, conn),
            State::Free(..) => {
                row.free.retain(|f| *f != conn);
                self.free -= 1;
            }
            State::Busy => {}
        }
        c.tag
    }

    fn no_longer_connecting(&mut self, at: usize, conn: usize) {
        self.rows[at].connecting.retain(|c| *c != conn);
        self.connecting -= 1;
    }

    fn may_open(&self, at: usize) -> bool {
        let has_place = self.conns.len() < self.bounds.total || self.free > 0;
        self.rows[at].open < self.bounds.sockets && has_place && !self.closed
    }

    /// Whether an origin has requests for which it makes no connection, and might. If it has free
    /// connections, these requests want a new one, and one that is free leaves its place.
    fn is_hungry(&self, row: &Row<O, W>) -> bool {
        let has_place = row.open < self.bounds.sockets || !row.free.is_empty();
        row.waiting.len() > row.connecting.len() && has_place
    }

    /// The hungry origin whose request waits longest.
    fn hungriest(&self) -> Option<(usize, u64)> {
        let hungry = self.rows.iter().filter(|(_, r)| self.is_hungry(r));
        hungry.filter_map(|(i, r)| Some((i, r.waiting.front()?.since))).min_by_key(|(_, s)| *s)
    }

    /// Whether a connection that is done has to leave its place to another origin, whose request
    /// waits for longer.
    fn gives_way(&self, at: usize) -> bool {
        if self.waiting == 0 || self.conns.len() < self.bounds.total || self.free > 0 {
            return false;
        }
        let own = self.rows[at].waiting.iter().find(|w| !w.fresh).map_or(u64::MAX, |w| w.since);
        self.hungriest().is_some_and(|(other, since)| other != at && since < own)
    }

    /// Makes connections for those who wait, within the limits.
    fn grow(&mut self) {
        while !self.closed && self.waiting > 0 {
            let Some((at, _)) = self.hungriest() else { return };
            let row = &self.rows[at];
            if let Some(&oldest) = row.free.front().filter(|_| row.open >= self.bounds.sockets) {
                self.close_conn(oldest, Why::Evicted);
            }
            if self.conns.len() >= self.bounds.total {
                if self.free == 0 {
                    return;
                }
                self.evict();
            }
            self.step += 1;
            let born = self.step;
            let conn = Conn { origin: at, born, state: State::Connecting, tag: None };
            let conn = self.conns.insert(conn);
            let row = &mut self.rows[at];
            row.open += 1;
            row.connecting.push(conn);
            self.connecting += 1;
            self.acts.push_back(Act::Open(ConnId(conn, born)));
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
