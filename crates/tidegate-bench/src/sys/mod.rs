//! All that is unsafe: system calls, and calls into C.

pub mod allocator;
pub mod cores;
pub mod epoll;
#[cfg(libuv)]
pub mod libuv;
pub mod network;
pub mod semaphore;
