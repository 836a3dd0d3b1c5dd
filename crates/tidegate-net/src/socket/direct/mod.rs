//! What callers do to the bytes of a connection themselves: read and write now, and give back what
//! they read.
#![forbid(unsafe_code)]

mod filtered;
mod given_back;
mod now;
