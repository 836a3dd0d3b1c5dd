//! The machines: what decides about back-pressure, without a loop, a socket or a clock. Calls go
//! in, an ordered list of effects comes out; in each file stand the inputs, then the queries, then
//! the effects. Read `flow` (the answers) and `write` first, then `read`, `read_queue` and
//! `duplex`; `queued` is what a writing half holds, `beside` counts what waits in front of it;
//! `chunk` and `block` are the bytes. Code that runs callbacks or moves bytes does not belong here.
#![forbid(unsafe_code)]

pub(crate) mod beside;
mod block;
pub(crate) mod chunk;
pub(crate) mod duplex;
pub(crate) mod flow;
pub(crate) mod queued;
pub(crate) mod read;
pub(crate) mod read_queue;
pub(crate) mod write;
#[cfg(test)]
mod write_tests;
