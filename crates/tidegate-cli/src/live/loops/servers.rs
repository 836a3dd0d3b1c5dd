//! [`Opened`]: a server of the studied loop, for the other threads.
//!
//! | server | what it does |
//! |---|---|
//! | `echo` | sends back what comes; this is where callbacks block |
//! | `one at a time` | the same with `accept_budget(1)` |
//! | `source` | sends 10 MiB to each connection, and stops at `Full` |
//! | `sink` | reads, and drops it |
#![forbid(unsafe_code)]

use std::net::SocketAddr;

use tidegate::net::AcceptGauge;
use tidegate::prelude::*;

/// Where each server is in the list.
pub(crate) const ECHO: usize = 0;
pub(crate) const ONE: usize = 1;
pub(crate) const SOURCE: usize = 2;
pub(crate) const SINK: usize = 3;

#[derive(Clone)]
pub(crate) struct Opened {
    pub(crate) name: &'static str,
    pub(crate) key: ServerKey,
    pub(crate) at: SocketAddr,
    pub(crate) gauge: AcceptGauge,
}
