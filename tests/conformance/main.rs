//! The rules of libuv and of Node's streams, by number. `tests/README.md` has the table.

mod pipe;
mod poll_handles;
mod readable;
mod run;
mod socket_writes;
mod writable;

#[path = "../support/allocation.rs"]
mod allocation;
#[cfg(unix)]
#[path = "../support/rlimit.rs"]
mod rlimit;
#[path = "../support/mod.rs"]
mod support;
#[cfg(unix)]
#[path = "../support/watched.rs"]
mod watched;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;
