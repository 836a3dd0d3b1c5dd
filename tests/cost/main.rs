//! What an operation costs: allocations, memory, system calls. This binary has an allocator that
//! counts (for each thread) and runs itself under strace.

mod allocations;
mod datagrams;
mod http;
mod long_pipe;
mod peers;
mod slow_readers;
mod syscalls;
mod tasks;
#[cfg(all(target_os = "linux", not(any(mio_unsupported_force_poll_poll, tidegate_like_kqueue))))]
mod tls;

#[path = "../support/allocation.rs"]
mod allocation;
#[path = "../support/example.rs"]
mod example;
#[cfg(unix)]
#[path = "../support/rlimit.rs"]
mod rlimit;
#[path = "../support/mod.rs"]
mod support;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;
