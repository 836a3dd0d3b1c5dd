//! What the benches and the report share: peers, load, and contests between them.
//!
//! Linux, because the floor under each figure is epoll; empty elsewhere.
#![cfg(epoll)]
#![deny(unsafe_code)]

pub mod contest;
pub mod counted;
pub mod load;
pub mod micro;
pub mod peer;
pub mod server;
pub mod stats;
pub mod suite;

#[allow(unsafe_code)] // system calls, and calls into C
pub mod sys;
