//! Tests that lower the limit of open descriptors, or count them. Both belong to the process, so
//! these tests have a separate process, and each begins with `rlimit::alone()`.

mod every_event;
mod leaks;
mod many_addresses;
mod out_of_descriptors;
mod overload;

#[path = "../support/allocation.rs"]
mod allocation;
#[cfg(unix)]
#[path = "../support/rlimit.rs"]
mod rlimit;
#[path = "../support/mod.rs"]
mod support;

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;
