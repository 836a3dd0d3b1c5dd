//! What callers do to the bytes of a connection themselves: read and write now, and give back what
//! they read. `lent.rs` is the fast path of `now.rs`.
#![forbid(unsafe_code)]

mod filtered;
mod given_back;
pub(crate) mod lent;
mod now;
