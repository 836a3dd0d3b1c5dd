//! The pool against what must hold after every call, and the order in which it serves.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const BOUNDS: Bounds =
    Bounds { sockets: 2, total: 4, free: 2, free_total: 3, pending: 2, fifo: false };

type Small = Pool<u8, u32, u32>;

/// The pool with what its caller keeps: connections by their tags.
struct Driver {
    pool: Small,
    bounds: Bounds,
    now: u64,
    tags: u32,
    connecting: BTreeMap<u32, ConnId>,
    open: BTreeMap<u32, ConnId>,
    /// Which request each busy connection has.
    busy: BTreeMap<u32, u32>,
    waiting: BTreeMap<u32, (u8, bool)>,
    closed: Vec<(u32, Why)>,
    served: Vec<(u32, u32, bool)>,
    used: BTreeSet<u32>,
}

impl Driver {
    fn new(bounds: Bounds) -> Driver {
        Driver {
            pool: Pool::new(bounds),
            bounds,
            now: 0,
            tags: 0,
            connecting: BTreeMap::new(),
            open: BTreeMap::new(),
            busy: BTreeMap::new(),
            waiting: BTreeMap::new(),
            closed: Vec::new(),
            served: Vec::new(),
            used: BTreeSet::new(),
        }
    }

    fn ask(&mut self, origin: u8, request: u32, fresh: bool) -> bool {
        let taken = self.pool.request(&origin, request, fresh, self.now);
        if taken {
            self.waiting.insert(request, (origin, fresh));
        }
        self.drain();
        taken
    }

    fn drain(&mut self) {
        while let Some(act) = self.pool.take_act() {
            match act {
                Act::Open(conn) => {
                    assert!(self.pool.origin(conn).is_some());
                    self.tags += 1;
                    self.connecting.insert(self.tags, conn);
                    self.pool.opened(conn, self.tags);
                }
                Act::Serve { conn, request, reused } => {
                    let (_, fresh) = self.waiting.remove(&request).expect("it waits");
                    assert_eq!(reused, self.used.contains(&conn), "a new connection is new");
                    assert!(!(fresh && reused));
                    assert!(self.busy.insert(conn, request).is_none(), "two on one");
                    self.used.insert(conn);
                    self.served.push((request, conn, reused));
                }
                Act::Close(tag, why) => {
                    assert!(!self.busy.contains_key(&tag) || why == Why::Done);
                    self.busy.remove(&tag);
                    let known = self.connecting.remove(&tag).or(self.open.remove(&tag));
                    assert!(known.is_some(), "closed twice");
                    self.closed.push((tag, why));
                }
            }
        }
        self.check();
    }

    fn connect(&mut self, tag: u32) {
        let Some(conn) = self.connecting.remove(&tag) else { return };
        self.open.insert(tag, conn);
        self.pool.connected(conn, self.now + 100);
        // A new connection that no request took counts as used before.
        if !self.pool.has_act() || !self.serves(tag) {
            self.used.insert(tag);
        }
        self.drain();
    }

    fn serves(&self, tag: u32) -> bool {
        self.pool.acts.iter().any(|a| matches!(a, Act::Serve { conn, .. } if *conn == tag))
    }

    fn fail(&mut self, tag: u32) -> Option<u32> {
        let conn = self.connecting.remove(&tag)?;
        let fails = self.pool.failed(conn);
        if let Some(request) = fails {
            assert!(self.waiting.remove(&request).is_some());
        }
        self.drain();
        fails
    }

    fn release(&mut self, tag: u32, keep: bool) {
        if self.busy.remove(&tag).is_some() {
            self.pool.released(self.open[&tag], keep.then_some(self.now + 100));
            self.drain();
        }
    }

    fn lose(&mut self, tag: u32) {
        if let Some(conn) = self.open.remove(&tag) {
            self.busy.remove(&tag);
            self.pool.removed(conn);
            // Once more: it is not there.
            self.pool.removed(conn);
            self.drain();
        }
    }

    fn cancel(&mut self, request: u32) {
        if let Some((origin, _)) = self.waiting.remove(&request) {
            self.pool.cancel(&origin, request);
            self.drain();
        }
    }

    fn check(&self) {
        let (c, b) = (self.pool.counts(), self.bounds);
        assert_eq!(c.open, self.connecting.len() + self.open.len());
        assert_eq!(c.connecting, self.connecting.len());
        assert_eq!(c.free, self.open.len() - self.busy.len());
        assert_eq!(c.waiting, self.waiting.len());
        assert!(c.open <= b.total && c.free <= b.free_total);
        let mut origins = 0;
        for (_, row) in &self.pool.rows {
            origins += 1;
            assert!(row.open <= b.sockets && row.free.len() <= b.free);
            assert!(row.open > 0 || !row.waiting.is_empty(), "an empty origin is forgotten");
            let ordinary = row.waiting.iter().any(|w| !w.fresh);
            assert!(
                !ordinary || row.free.is_empty(),
                "a free connection, and a request that waits"
            );
            // If no connection is being made for a request that waits, a limit is the reason.
            if row.waiting.len() > row.connecting.len() {
                let no_place = c.open == b.total && c.free == 0;
                let is_full = row.open == b.sockets && row.free.is_empty();
                assert!(is_full || no_place, "nothing holds it back");
            }
        }
        assert_eq!((c.origins, self.pool.names.len()), (origins, origins));
    }
}

#[derive(Clone, Debug)]
enum Op {
    Ask(u8, bool),
    Connect(usize),
    Fail(usize),
    Release(usize, bool),
    Lose(usize),
    Cancel(usize),
    Later(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        5 => (0u8..3, prop::bool::weighted(0.15)).prop_map(|(o, f)| Op::Ask(o, f)),
        4 => (0usize..8).prop_map(Op::Connect),
        1 => (0usize..8).prop_map(Op::Fail),
        4 => (0usize..8, prop::bool::weighted(0.8)).prop_map(|(c, k)| Op::Release(c, k)),
        1 => (0usize..8).prop_map(Op::Lose),
        1 => (0usize..8).prop_map(Op::Cancel),
        1 => (1u64..150).prop_map(Op::Later),
    ];
    prop::collection::vec(op, 1..120)
}

fn nth<V>(map: &BTreeMap<u32, V>, n: usize) -> u32 {
    map.keys().nth(n % map.len().max(1)).copied().unwrap_or(0)
}

proptest! {
    #[test]
    fn it_keeps_its_bounds_and_loses_no_request(ops in ops(), fifo: bool) {
        let mut d = Driver::new(Bounds { fifo, ..BOUNDS });
        let (mut requests, mut refused, mut over) = (0, 0, 0);
        for op in ops {
            match op {
                Op::Ask(origin, fresh) => {
                    requests += 1;
                    refused += usize::from(!d.ask(origin, requests, fresh));
                }
                Op::Connect(n) => d.connect(nth(&d.connecting, n)),
                Op::Fail(n) => over += usize::from(d.fail(nth(&d.connecting, n)).is_some()),
                Op::Release(n, keep) => d.release(nth(&d.busy, n), keep),
                Op::Lose(n) => d.lose(nth(&d.open, n)),
                Op::Cancel(n) => {
                    over += usize::from(!d.waiting.is_empty());
                    d.cancel(nth(&d.waiting, n));
                }
                Op::Later(by) => d.now += by,
            }
        }
        let all = requests as usize;
        prop_assert_eq!(d.served.len() + d.waiting.len() + refused + over, all);
        // If every connection can be made and is released, everybody is served.
        for _ in 0..4 * all + 8 {
            d.connect(nth(&d.connecting, 0));
            d.release(nth(&d.busy, 0), true);
        }
        prop_assert_eq!(d.waiting.len(), 0);
        prop_assert_eq!(d.served.len(), all - refused - over);
        // Closed, it has nothing any more.
        prop_assert!(d.pool.close().is_empty());
        d.drain();
        prop_assert_eq!(d.pool.counts(), Counts::default());
        prop_assert!(!d.pool.request(&0, 1, false, 0));
    }

    /// Requests of one origin are served in the order in which they came.
    #[test]
    fn it_is_fair(frees in prop::collection::vec(0usize..2, 30)) {
        let bounds = Bounds { pending: 100, ..BOUNDS };
        let mut d = Driver::new(bounds);
        for request in 1..=30 {
            d.ask(0, request, false);
        }
        d.connect(1);
        d.connect(2);
        for n in frees {
            d.release(nth(&d.busy, n), true);
        }
        let order: Vec<_> = d.served.iter().map(|(request, ..)| *request).collect();
        prop_assert_eq!(order, (1..=30).collect::<Vec<_>>());
    }
}

fn with_free(fifo: bool) -> Driver {
    let mut d = Driver::new(Bounds { fifo, ..BOUNDS });
    d.ask(0, 1, false);
    d.ask(0, 2, false);
    d.connect(1);
    d.connect(2);
    d.release(1, true);
    d.release(2, true);
    d
}

#[test]
fn last_in_first_out_or_first_in_first_out() {
    let mut lifo = with_free(false);
    lifo.ask(0, 3, false);
    assert_eq!(lifo.served.last(), Some(&(3, 2, true)));
    let mut fifo = with_free(true);
    fifo.ask(0, 3, false);
    assert_eq!(fifo.served.last(), Some(&(3, 1, true)));
}

#[test]
fn an_old_connection_is_not_used() {
    let mut d = with_free(false);
    d.now = 100;
    d.ask(0, 3, false);
    assert_eq!(d.closed, [(2, Why::Expired), (1, Why::Expired)]);
    d.connect(3);
    assert_eq!(d.served.last(), Some(&(3, 3, false)));
}

#[test]
fn too_many_wait() {
    let mut d = Driver::new(BOUNDS);
    let taken: Vec<_> = (1..=5).map(|r| d.ask(0, r, false)).collect();
    assert_eq!(taken, [true, true, true, true, false]);
}

#[test]
fn another_origin_takes_the_place_of_the_connection_that_was_free_longest() {
    let mut d = with_free(false);
    d.ask(1, 3, false);
    d.ask(1, 4, false);
    d.connect(3);
    d.connect(4);
    assert_eq!(d.closed, []);
    d.ask(2, 5, false);
    assert_eq!(d.closed, [(1, Why::Evicted)]);
}

/// With every place taken, a connection is closed for a request that waits longer than those of
/// its own origin.
#[test]
fn no_origin_starves() {
    let mut d = Driver::new(Bounds { sockets: 4, pending: 100, ..BOUNDS });
    for request in 1..=4 {
        d.ask(0, request, false);
        d.connect(request);
    }
    d.ask(0, 5, false);
    d.ask(1, 6, false);
    d.ask(0, 7, false);
    d.release(1, true);
    assert_eq!((d.served.last(), &d.closed[..]), (Some(&(5, 1, true)), &[][..]));
    d.release(2, true);
    assert_eq!(d.closed, [(2, Why::Done)]);
    d.connect(5);
    assert_eq!(d.served.last(), Some(&(6, 5, false)));
}

#[test]
fn a_request_that_is_tried_again_gets_a_new_connection_before_the_others() {
    let mut d = Driver::new(Bounds { sockets: 1, pending: 9, ..BOUNDS });
    d.ask(0, 1, false);
    d.connect(1);
    d.ask(0, 2, false);
    d.lose(1);
    d.ask(0, 1, true);
    d.connect(2);
    assert_eq!(d.served.last(), Some(&(1, 2, false)));
    // The others may have it afterwards.
    d.release(2, true);
    assert_eq!(d.served.last(), Some(&(2, 2, true)));
}

/// Each connection that fails ends one request at most: a server that is gone ends all of them.
#[test]
fn a_connection_that_fails_ends_one_request() {
    let mut d = Driver::new(BOUNDS);
    for request in 1..=4 {
        d.ask(0, request, false);
    }
    let ended: Vec<_> = (1..=4).map(|tag| d.fail(tag)).collect();
    assert_eq!(ended, [Some(1), Some(2), Some(3), Some(4)]);
    assert_eq!(d.pool.counts(), Counts::default());
}

#[test]
fn a_connection_that_no_request_wants_is_closed() {
    let mut d = Driver::new(BOUNDS);
    d.ask(0, 1, false);
    d.ask(0, 2, false);
    d.cancel(2);
    assert_eq!(d.closed, [(2, Why::Unwanted)]);
    d.connect(1);
    assert_eq!(d.served, [(1, 1, false)]);
}

#[test]
fn closing_returns_the_requests_that_wait_in_their_order() {
    let mut d = Driver::new(Bounds { sockets: 1, pending: 9, ..BOUNDS });
    for (origin, request) in [(1, 1), (0, 2), (1, 3), (0, 4)] {
        d.ask(origin, request, false);
    }
    assert_eq!(d.pool.close(), [1, 2, 3, 4]);
    d.waiting.clear();
    d.drain();
    assert_eq!(d.closed, [(1, Why::Closed), (2, Why::Closed)]);
}
