//! Futures of time: `sleep`, `timeout`, and `yield_now`, which waits for the next turn.
#![forbid(unsafe_code)]

pub(crate) mod sleep;
pub(crate) mod timeout;
pub(crate) mod yield_now;
