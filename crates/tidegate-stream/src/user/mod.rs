//! What users of streams write, and what their callbacks are given: definitions only, which
//! `run/` calls and gives methods. Read `source` and `sink` first (the traits), then
//! `context` (keys, and what callbacks are called with), `options` and `close`. Nothing
//! here knows how a stream is run, or what a pipe is.
#![forbid(unsafe_code)]

pub(crate) mod close;
pub(crate) mod context;
pub(crate) mod options;
pub(crate) mod sink;
pub(crate) mod source;
