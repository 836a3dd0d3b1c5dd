//! The loop's own kinds of handles, and what users do with them: each file has a kind and its
//! part of `impl Cx`. Sockets and streams are in the crates above.
//!
//! Read `any` first (what all handles have in common), then `keep_alive`, the shortest kind, and
//! `watch`, which has a callback. The entries of timers, hooks and ticks are in `store/`. `remote`
//! is the way in from other threads; `keep_alive`, `work` and `signal` use it.
#![forbid(unsafe_code)]

pub(crate) mod any;
pub(crate) mod hook;
pub(crate) mod keep_alive;
pub(crate) mod remote;
pub(crate) mod share;
#[cfg(feature = "signal")]
pub(crate) mod signal;
pub(crate) mod tick;
pub(crate) mod timer;
pub(crate) mod watch;
#[cfg(feature = "work")]
pub(crate) mod work;
