//! The example programs, as a user runs them: started, talked to by blocking peers and by the
//! programs of others, stopped by a signal.
#![cfg(unix)]

mod arguments;
mod redis;
mod running;
mod socks5;

#[path = "../support/example.rs"]
mod example;
#[path = "../support/mod.rs"]
mod support;
