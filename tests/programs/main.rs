//! The example programs and the steps of the tutorial, as a user runs them: started, talked to by
//! blocking peers and by the programs of others, stopped by a signal.
#![cfg(unix)]

mod arguments;
mod database_proxy;
mod http;
mod production;
mod rate_limited;
mod redis;
mod rpc;
mod running;
mod small;
mod socks5;
mod tutorial;

#[path = "../support/example.rs"]
mod example;
#[path = "../support/shape.rs"]
mod shape;
#[path = "../support/mod.rs"]
mod support;
