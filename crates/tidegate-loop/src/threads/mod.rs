//! What other threads touch: the inbox of a loop, made of a `mailbox` for posts and the keys of
//! `notified` handles, and the pool that runs jobs. Nothing here knows the loop.
//!
//! Read `sync` first: under `--cfg loom` it makes the tests of `mailbox`, `notified` and `pool` try
//! every order of the threads.
#![forbid(unsafe_code)]

pub(crate) mod inbox;
pub(crate) mod mailbox;
pub(crate) mod notified;
#[cfg(feature = "work")]
pub(crate) mod pool;
pub(crate) mod sync;
