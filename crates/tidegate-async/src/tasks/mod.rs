//! What is done with tasks: `spawn` (one begins), `run` (one is polled; read this first), `end` (one
//! is over), `wake` (wakes the tasks that wait), `join` (its result), `root` (the future of
//! `block_on`).
//!
//! Who owns what is in `state/`; when a poll is due is decided in `wake/`.
#![forbid(unsafe_code)]

pub(crate) mod end;
pub(crate) mod join;
pub(crate) mod root;
pub(crate) mod run;
pub(crate) mod spawn;
pub(crate) mod wake;
