//! The rules of libuv and of Node's streams, by number. `tests/README.md` has the table.

mod metrics;
mod other_threads;
mod pipe;
mod poll_handles;
mod readable;
mod run;
mod socket_writes;
mod timers;
mod writable;

#[path = "../support/mod.rs"]
mod support;
#[cfg(unix)]
#[path = "../support/watched.rs"]
mod watched;
