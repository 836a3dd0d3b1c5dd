//! What can go wrong, as plain data: a task that does not finish (`join`), a call outside of the
//! loop (`not_on_loop`), a future that nothing can wake (`block_on`), a connection that is not made
//! (`connect`), a job without an answer (`blocking`).
#![forbid(unsafe_code)]

pub(crate) mod block_on;
#[cfg(feature = "work")]
pub(crate) mod blocking;
pub(crate) mod connect;
pub(crate) mod join;
pub(crate) mod not_on_loop;
