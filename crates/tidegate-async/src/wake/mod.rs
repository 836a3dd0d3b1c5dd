//! What other threads touch, and who waits. `schedule` decides who puts a task into the queue,
//! `ticket` is what the wakers of a task share, `waiter` keeps who waits for something; `home` is
//! the loop that a value belongs to.
//!
//! Read `schedule` first. How a task is polled is in `tasks/`.
#![forbid(unsafe_code)]

pub(crate) mod home;
pub(crate) mod schedule;
pub(crate) mod ticket;
pub(crate) mod waiter;
