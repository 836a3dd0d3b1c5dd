//! Pools of connections: who gets which, what happens to those that nobody uses, and what those who
//! wait are told. Which use gets which connection is under proptest beside the machine.

mod ends;
mod takes;
mod told;

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;

use tidegate::net::{Lease, PoolError, PoolKey, PoolMetrics, PoolOptions, PoolWait};
use tidegate::prelude::*;

use crate::support::*;

/// Leases that were given out, and errors.
#[derive(Clone, Default)]
pub(crate) struct Got(pub(crate) Rc<RefCell<Vec<Result<Lease, PoolError>>>>);

impl Got {
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn lease(&self, at: usize) -> Lease {
        match &self.0.borrow()[at] {
            Ok(lease) => *lease,
            Err(e) => panic!("{e}"),
        }
    }

    pub(crate) fn error(&self, at: usize) -> String {
        match &self.0.borrow()[at] {
            Ok(lease) => panic!("{lease:?}"),
            Err(e) => e.to_string(),
        }
    }
}

/// A pool whose names are addresses.
pub(crate) fn pool(lp: &mut Loop, options: PoolOptions) -> PoolKey {
    lp.pool(options, |name| ConnectOptions::new(name)).unwrap()
}

pub(crate) fn take(lp: &mut Loop, pool: PoolKey, at: SocketAddr, got: &Got) -> PoolWait {
    let got = got.clone();
    lp.pool_take(pool, &at.to_string(), move |_, lease| got.0.borrow_mut().push(lease))
}

/// Takes one, and waits for it.
pub(crate) fn lease(lp: &mut Loop, pool: PoolKey, at: SocketAddr) -> Lease {
    let got = Got::default();
    take(lp, pool, at, &got);
    turn_until(lp, |_| got.len() == 1);
    got.lease(0)
}

pub(crate) fn metrics(lp: &mut Loop, pool: PoolKey) -> PoolMetrics {
    lp.pool_metrics(pool).unwrap()
}

/// A listener of the standard library's, and its address.
pub(crate) fn there() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

pub(crate) fn accept(listener: &TcpListener) -> TcpStream {
    let (peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(DEADLINE)).unwrap();
    peer
}

pub(crate) fn over(lp: &mut Loop, pool: PoolKey) {
    lp.close(pool).unwrap();
    lp.run().unwrap();
}
