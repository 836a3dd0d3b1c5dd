//! What other threads touch: the inbox of a loop with its mailbox, and the pool that runs jobs.
//! Nothing here knows the loop.
//!
//! Read `sync` first: under `--cfg loom` it makes the tests of `mailbox` and `pool` try every order of
//! the threads.
#![forbid(unsafe_code)]

pub(crate) mod inbox;
pub(crate) mod mailbox;
#[cfg(feature = "work")]
pub(crate) mod pool;
pub(crate) mod sync;
