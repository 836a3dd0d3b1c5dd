//! Streams and pipes at work: what runs the machines and calls users' code. Read `layer` first
//! (what a loop keeps of them), then `call` (how users' code is called), `row` (what both kinds of
//! streams do alike), `pipe`, with the transforms of `through`, `join`, which is two pipes, and
//! `readable` and `writable`, which know the pipe that they are an end of. What users call to open
//! them is in `streams.rs`.
#![forbid(unsafe_code)]

pub(crate) mod call;
pub(crate) mod join;
pub(crate) mod layer;
pub(crate) mod pipe;
pub(crate) mod readable;
mod row;
pub(crate) mod through;
pub(crate) mod writable;
