//! What other threads touch: the mailbox that posts wait in, and the pool that runs jobs. Nothing
//! here knows the loop.
//!
//! Read `sync` first: under `--cfg loom` it makes the tests of the other two try every order of
//! the threads.
#![forbid(unsafe_code)]

pub(crate) mod mailbox;
#[cfg(feature = "work")]
pub(crate) mod pool;
pub(crate) mod sync;
