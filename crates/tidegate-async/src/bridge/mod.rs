//! Futures whose values come from callbacks: `oneshot` (a callback of the program's), `blocking` (a
//! job on another thread), `lookup` (addresses of a name), `signals`.
#![forbid(unsafe_code)]

#[cfg(feature = "work")]
pub(crate) mod blocking;
pub(crate) mod lookup;
pub(crate) mod oneshot;
#[cfg(feature = "signal")]
pub(crate) mod signals;
