//! What is done to connections: `clock` (their clocks run), `reply` (responses are written), `over`
//! (an exchange ends, a connection closes), `deliver` (users and pipes are called), `refuse`,
//! `limited` (a client asks too often), `ends` (handlers and pipes for bodies), `read` (bytes come;
//! read this first), `protocol` (what the net crate calls; clocks that are due), `serve`
//! (connections are accepted). What users call is in `face/`.
#![forbid(unsafe_code)]

pub(crate) mod clock;
pub(crate) mod deliver;
pub(crate) mod ends;
mod limited;
pub(crate) mod over;
mod protocol;
mod read;
mod refuse;
pub(crate) mod reply;
pub(crate) mod serve;
